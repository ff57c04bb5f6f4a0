//! Where a store is when nobody says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The store of the whole machine, used by root.
pub const SYSTEM: &str = "/var/lib/sealpack";

/// The usual store of user `uid`: [`SYSTEM`] for root, otherwise `sealpack` below
/// `$XDG_DATA_HOME`, or below `$HOME/.local/share` (XDG Base Directory Specification,
/// which has relative paths ignored). `env` answers for the environment.
///
/// `None` when the environment names no home.
#[must_use]
pub fn usual(uid: u32, env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if uid == 0 {
        return Some(PathBuf::from(SYSTEM));
    }
    let absolute = |name| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/share"));
    absolute("XDG_DATA_HOME").or_else(home).map(|data: PathBuf| data.join(Path::new("sealpack")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_the_systems_store_and_users_have_theirs_below_their_data() {
        let usual = |uid, variables: &[(&str, &str)]| {
            usual(uid, |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        assert_eq!(usual(0, &[("HOME", "/root")]), Some("/var/lib/sealpack".into()));
        assert_eq!(usual(7, &[("HOME", "/h"), ("XDG_DATA_HOME", "/d")]), Some("/d/sealpack".into()));
        assert_eq!(
            usual(7, &[("HOME", "/h"), ("XDG_DATA_HOME", "d")]),
            Some("/h/.local/share/sealpack".into())
        );
        assert_eq!(usual(7, &[("HOME", "")]), None);
    }
}
