//! Between a thread that may block and a call that waits for it.

use tonic::{Code as Wire, Status};

use crate::error::{Code, Error};

/// Does something that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| status(&error)),
        Err(panic) => Err(Status::internal(format!("sealpack: {panic}"))),
    }
}

/// An error as containerd gets it. Its text reaches whoever asked.
pub(super) fn status(error: &Error) -> Status {
    Status::new(wire(error.code()), format!("sealpack: {error}"))
}

const fn wire(code: Code) -> Wire {
    match code {
        Code::InvalidArgument => Wire::InvalidArgument,
        Code::NotFound => Wire::NotFound,
        Code::AlreadyExists => Wire::AlreadyExists,
        Code::FailedPrecondition => Wire::FailedPrecondition,
        Code::DataLoss => Wire::DataLoss,
        Code::ResourceExhausted => Wire::ResourceExhausted,
        Code::Unimplemented => Wire::Unimplemented,
        Code::Unavailable => Wire::Unavailable,
        Code::Internal => Wire::Internal,
    }
}
