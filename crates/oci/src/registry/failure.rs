//! What became of an attempt to ask a registry.

use std::fmt;
use std::time::Duration;

use super::error::RegistryError;
use crate::error::Error;

/// What became of one attempt.
pub(super) enum Failure {
    /// Trying again cannot help.
    Final(Error),
    /// Trying again may help.
    Temporary(Temporary),
}

pub(super) struct Temporary {
    pub(super) url: String,
    pub(super) cause: Cause,
    pub(super) retry_after: Option<Duration>,
}

pub(super) enum Cause {
    Network { problem: String, proxy: Option<String>, nobody: bool },
    Status { status: u16, said: String },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { problem, .. } => f.write_str(problem),
            Self::Status { status, said } if said.is_empty() => write!(f, "it answered {status}"),
            Self::Status { status, said } => write!(f, "it answered {status}: {said}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Final(error.into())
    }
}

impl Temporary {
    pub(super) fn into_error(self, attempts: u32) -> Error {
        let url = self.url;
        match self.cause {
            Cause::Network { problem, proxy, .. } => {
                RegistryError::Unreachable { url, proxy, attempts, problem }.into()
            }
            Cause::Status { status, said } => RegistryError::Status { url, status, attempts, said }.into(),
        }
    }
}
