//! The credentials that docker and podman keep: where they lie, and which one is for a registry.
//!
//! The files and their order are those of containers-auth.json(5), then docker's config.json.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::environment::Environment;

mod file;
mod helper;
#[cfg(test)]
mod tests;

use file::AuthFile;

/// How long a credential helper may take.
pub const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest file of credentials that is read.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// A way to prove who one is to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// User name and password.
    Password {
        /// The user.
        user: String,
        /// The password or personal token.
        password: String,
    },
    /// A token that buys access tokens (OAuth2 refresh token).
    IdentityToken(String),
    /// A token that is sent to the registry as it is.
    RegistryToken(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user:?}, …)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(…)"),
            Self::RegistryToken(_) => f.write_str("RegistryToken(…)"),
        }
    }
}

/// A secret and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The secret.
    pub secret: Secret,
    /// The file, and the helper that it names, for messages.
    pub origin: String,
}

impl fmt::Display for Credentials {
    /// Says whose the credentials are and where they were found, never the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.secret {
            Secret::Password { user, .. } => write!(f, "the credentials of {user:?} from {}", self.origin),
            Secret::IdentityToken(_) => write!(f, "the identity token from {}", self.origin),
            Secret::RegistryToken(_) => write!(f, "the registry token from {}", self.origin),
        }
    }
}

/// Why credentials that are meant to be there could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file could not be read.
    #[error("read the credentials in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("the credentials in {} are not valid: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A helper could not be started, failed, or talks nonsense.
    #[error("the credential helper {program} (named in {}) {problem}", path.display())]
    Helper {
        /// The helper's program.
        program: String,
        /// The file that names it.
        path: PathBuf,
        /// What happened.
        problem: String,
    },
}

/// The files of credentials, in the order in which they are asked.
#[derive(Debug, Clone)]
pub struct CredentialStore {
    files: Vec<PathBuf>,
    /// A file that must exist, since the user named it.
    named: Option<PathBuf>,
    path_variable: Option<std::ffi::OsString>,
    helper_timeout: Duration,
}

impl CredentialStore {
    /// The files that docker and podman would use; with `named`, that file only.
    #[must_use]
    pub fn new(environment: &Environment, named: Option<&Path>) -> Self {
        let named = named.or_else(|| environment.path("REGISTRY_AUTH_FILE")).map(Path::to_owned);
        let mut files = Vec::new();
        if named.is_none() {
            let home = environment.path("HOME");
            match environment.path("XDG_RUNTIME_DIR") {
                Some(directory) => files.push(directory.join("containers/auth.json")),
                None => {
                    let path = format!("/run/containers/{}/auth.json", environment.user_id());
                    files.push(environment.system(&path));
                }
            }
            let config = environment.path("XDG_CONFIG_HOME").map(Path::to_owned);
            files.extend(
                config
                    .or_else(|| home.map(|home| home.join(".config")))
                    .map(|dir| dir.join("containers/auth.json")),
            );
            let docker = environment.path("DOCKER_CONFIG").map(Path::to_owned);
            files.extend(
                docker.or_else(|| home.map(|home| home.join(".docker"))).map(|dir| dir.join("config.json")),
            );
        }
        Self {
            files,
            named,
            path_variable: environment.variable("PATH").map(ToOwned::to_owned),
            helper_timeout: HELPER_TIMEOUT,
        }
    }

    /// The same with another limit to a helper's time.
    #[must_use]
    pub fn with_helper_timeout(mut self, timeout: Duration) -> Self {
        self.helper_timeout = timeout;
        self
    }

    /// The credentials for `repository` in `registry`, or `None` when no file has any.
    ///
    /// In each file a helper for the registry goes before the file's own entries, and an entry
    /// for a namespace before one for the whole registry.
    ///
    /// # Errors
    /// When a file that exists cannot be read or understood, or a helper that it names fails.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Credentials>, CredentialsError> {
        for path in self.named.iter().chain(&self.files) {
            let Some(file) = AuthFile::read(path, self.named.is_some())? else { continue };
            if let Some(program) = file.helper(registry) {
                let call = helper::Helper {
                    program,
                    path,
                    path_variable: self.path_variable.as_deref(),
                    timeout: self.helper_timeout,
                };
                if let Some(secret) = call.get(file::helper_key(registry))? {
                    let origin = format!("the helper {program} (named in {})", path.display());
                    return Ok(Some(Credentials { secret, origin }));
                }
            }
            if let Some(secret) = file.secret(registry, repository)? {
                return Ok(Some(Credentials { secret, origin: path.display().to_string() }));
            }
        }
        Ok(None)
    }

    /// The files that were, or would be, looked at.
    #[must_use]
    pub fn searched(&self) -> Vec<&Path> {
        self.named.iter().chain(&self.files).map(PathBuf::as_path).collect()
    }
}
