//! Lockdown: the kernel's memory is not written, whoever asks (security/lockdown/lockdown.c).

use std::path::Path;

use crate::start::failure::Failure;
use crate::start::files;

const LEVEL: &str = "/sys/kernel/security/lockdown";

/// Raises lockdown to `integrity`, unless the kernel did so itself, as it does under Secure Boot. It only goes up.
pub(super) fn raise() -> Result<(), Failure> {
    raise_at(Path::new(LEVEL))
}

fn raise_at(path: &Path) -> Result<(), Failure> {
    if is_raised(&files::read_text(path)?) {
        return Ok(());
    }
    files::set(path, "integrity")?;
    match files::read_text(path)? {
        text if is_raised(&text) => Ok(()),
        text => Err(Failure::new(format!("{} says {text:?} after it was raised", path.display()))),
    }
}

/// `none [integrity] confidentiality`: the brackets mark what holds.
fn is_raised(text: &str) -> bool {
    ["[integrity]", "[confidentiality]"]
        .iter()
        .any(|level| text.split_whitespace().any(|word| word == *level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_holds_already_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "none integrity [confidentiality]\n";
        std::fs::write(file.path(), text).unwrap();
        raise_at(file.path()).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
    }

    #[test]
    fn a_level_that_is_not_taken_or_not_there_is_a_failure() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[none] integrity confidentiality\n").unwrap();
        // A file is not the kernel's: it has other text now, and no level that holds.
        assert!(raise_at(file.path()).unwrap_err().why.contains("after it was raised"));
        assert!(raise_at(Path::new("/nowhere")).unwrap_err().why.starts_with("/nowhere: "));
    }
}
