//! Why a step failed.

use std::io;
use std::path::Path;

/// Why a step failed, and what to do where that is not the same for all of the step's failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(super) why: String,
    pub(super) advice: Option<&'static str>,
}

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), advice: None }
    }

    /// With what to do about it.
    pub(crate) fn advised(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// Something about a file.
    pub(crate) fn at(path: &Path, error: &io::Error) -> Self {
        Self::new(format!("{}: {error}", path.display()))
    }
}

/// Errors that say all there is to say.
macro_rules! from {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error.to_string())
            }
        })*
    };
}

from!(
    sealpack_kernel::Error,
    sealpack_node::Error,
    sealpack_store::Error,
    sealpack_mount::Error,
    sealpack_mount::PlanError,
    sealpack_format::boot::CommandLineError,
    sealpack_format::boot::Changed,
    sealpack_format::boot::OrderError,
    sealpack_kernel::seccomp::AssemblyError,
    crate::broker::BrokerError,
);
