//! `sealpack.toml`: what the programs of a machine use where nobody says otherwise. docs/sealpack.toml.md says what is in it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sealpack_trust::anchors::{TomlError, read_toml};
use serde::Deserialize;

/// Where a machine has them.
pub const SYSTEM: &str = "/etc/sealpack/sealpack.toml";

/// What is not there has a usual value, which whoever needs it knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The store.
    pub store: Option<PathBuf>,
    /// The trust store.
    pub trust: Option<PathBuf>,
    /// How registries are talked to by what nobody gives options.
    #[serde(default)]
    pub registry: Registry,
    /// What serves containerd.
    #[serde(default)]
    pub snapshotter: Snapshotter,
}

/// How registries are talked to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The only files of credentials, docker's or podman's, in order.
    #[serde(default)]
    pub auth_files: Vec<PathBuf>,
    /// Programs of credential helpers, by the name that these files have for them.
    #[serde(default)]
    pub helpers: BTreeMap<String, PathBuf>,
    /// Files of certificate authorities that are trusted besides the system's.
    #[serde(default)]
    pub ca_files: Vec<PathBuf>,
}

/// What serves containerd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshotter {
    /// The socket that it serves on.
    pub socket: Option<PathBuf>,
    /// containerd's own.
    pub containerd: Option<PathBuf>,
    /// The directory for mounts of images.
    pub mounts: Option<PathBuf>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Their file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is in it.
    #[error("{}: {source}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        source: TomlError,
    },
    /// A path that would depend on where a program is started.
    #[error("{}: {key} is {:?}, and has to be an absolute path", path.display(), value.display())]
    Relative {
        /// The file.
        path: PathBuf,
        /// Which setting.
        key: String,
        /// What it is.
        value: PathBuf,
    },
}

impl Settings {
    /// Those in `given`, which must be there, or the machine's, if it has any.
    ///
    /// # Errors
    /// [`SettingsError`], for keys that are not known too.
    pub fn read(given: Option<&Path>) -> Result<Self, SettingsError> {
        let path = given.unwrap_or(Path::new(SYSTEM));
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && given.is_none() => {
                return Ok(Self::default());
            }
            other => other.map_err(|source| SettingsError::Read { path: path.to_owned(), source })?,
        };
        let settings: Self =
            read_toml(&bytes).map_err(|source| SettingsError::Toml { path: path.to_owned(), source })?;
        settings.check(path)?;
        Ok(settings)
    }

    fn check(&self, path: &Path) -> Result<(), SettingsError> {
        let Self { store, trust, registry, snapshotter } = self;
        let one = [
            ("store", store),
            ("trust", trust),
            ("snapshotter.socket", &snapshotter.socket),
            ("snapshotter.containerd", &snapshotter.containerd),
            ("snapshotter.mounts", &snapshotter.mounts),
        ];
        let one = one.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.as_ref()?)));
        let Registry { auth_files, helpers, ca_files } = registry;
        let many = [("registry.auth_files", auth_files), ("registry.ca_files", ca_files)];
        let many =
            many.iter().flat_map(|(key, values)| values.iter().map(|value| ((*key).to_owned(), value)));
        let named = helpers.iter().map(|(name, value)| (format!("registry.helpers.{name}"), value));
        match one.chain(many).chain(named).find(|(_, value)| !value.is_absolute()) {
            Some((key, value)) => {
                Err(SettingsError::Relative { path: path.to_owned(), key, value: value.clone() })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Settings::read(Some(file.path()))
            .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
    }

    #[test]
    fn the_documented_file_is_read_and_has_every_setting() {
        let page = include_str!("../../../docs/sealpack.toml.md");
        let text: String =
            page.lines().filter_map(|line| line.strip_prefix("    ")).flat_map(|l| [l, "\n"]).collect();
        let settings = read(&text).unwrap();
        let Settings { store, trust, registry, snapshotter } = settings;
        assert!(store.is_some() && trust.is_some());
        let Registry { auth_files, helpers, ca_files } = registry;
        assert!(!auth_files.is_empty() && !helpers.is_empty() && !ca_files.is_empty());
        let Snapshotter { socket, containerd, mounts } = snapshotter;
        assert!(socket.is_some() && containerd.is_some() && mounts.is_some());
    }

    #[test]
    fn what_is_not_known_and_what_is_not_absolute_is_refused_by_name() {
        assert_eq!(read("").unwrap(), Settings::default());
        let unknown = read("store = \"/s\"\n[snapshotter]\nsockte = \"/x\"\n").unwrap_err();
        assert!(unknown.starts_with("FILE: line 3: unknown field `sockte`"), "{unknown}");
        let relative = read("[registry]\nca_files = [\"/a\", \"b\"]\n").unwrap_err();
        assert_eq!(relative, "FILE: registry.ca_files is \"b\", and has to be an absolute path");
        let relative = read("[registry.helpers]\nvault = \"docker-credential-vault\"\n").unwrap_err();
        assert_eq!(
            relative,
            "FILE: registry.helpers.vault is \"docker-credential-vault\", and has to be an absolute path"
        );
        let missing = Settings::read(Some(Path::new("/nowhere/sealpack.toml"))).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/sealpack.toml"), "{missing}");
    }
}
