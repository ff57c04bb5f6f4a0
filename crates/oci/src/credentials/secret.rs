//! What proves who one is to a registry, and why that could not be read.

use std::fmt;
use std::io;
use std::path::PathBuf;

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
#[non_exhaustive]
pub enum CredentialsError {
    /// A file could not be read.
    #[error("cannot read the credentials in {}: {source}", path.display())]
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
