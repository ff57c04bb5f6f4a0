//! What of the process's surroundings the registry client looks at, in one place that tests replace.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The variables that are read; nothing else of the environment matters here.
const VARIABLES: [&str; 14] = [
    "HOME",
    "PATH",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Variables, the user's ID and the root of `/etc` and `/run`.
#[derive(Debug, Clone)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    user_id: u32,
    root: PathBuf,
}

impl Environment {
    /// That of this process, by its own word: `variable` is `std::env::var_os`.
    #[must_use]
    pub fn of_process(variable: impl Fn(&'static str) -> Option<OsString>) -> Self {
        let mut environment = Self::empty("/");
        environment.user_id = rustix::process::getuid().as_raw();
        for name in VARIABLES {
            if let Some(value) = variable(name) {
                environment.variables.insert(name.to_owned(), value);
            }
        }
        environment
    }

    /// One without variables, of user 0, whose `/etc` and `/run` lie below `root`.
    #[must_use]
    pub fn empty(root: impl Into<PathBuf>) -> Self {
        Self { variables: BTreeMap::new(), user_id: 0, root: root.into() }
    }

    /// The same with a variable set.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// The value of a variable; an empty one counts as none.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The first of `names` that has a value which is text.
    pub(crate) fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.variable(name)).and_then(OsStr::to_str)
    }

    /// A path of a variable's value.
    pub(crate) fn path(&self, name: &str) -> Option<&Path> {
        self.variable(name).map(Path::new)
    }

    /// `/path` of the machine.
    pub(crate) fn system(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(crate) const fn user_id(&self) -> u32 {
        self.user_id
    }
}
