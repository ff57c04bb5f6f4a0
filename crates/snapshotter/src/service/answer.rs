//! Between a thread that may block and a call that waits for it.

use std::sync::Arc;
use std::time::Instant;

use tonic::{Code as Wire, Status};

use crate::error::{Code, Error};
use crate::event::{Event, Observer};
use crate::snapshots::Snapshotter;

/// Answers calls, and has it counted and heard.
#[derive(Clone)]
pub(super) struct Answerer {
    snapshotter: Arc<Snapshotter>,
    observer: Observer,
}

impl Answerer {
    pub(super) const fn new(snapshotter: Arc<Snapshotter>, observer: Observer) -> Self {
        Self { snapshotter, observer }
    }

    /// Does something that may block, for the call of that name, which is about `of`.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        call: &'static str,
        of: &str,
        work: impl FnOnce(&Snapshotter) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Status> {
        let (snapshotter, began) = (Arc::clone(&self.snapshotter), Instant::now());
        let done = tokio::task::spawn_blocking(move || work(&snapshotter)).await;
        let (answer, problem) = match done {
            Ok(Ok(done)) => (Ok(done), None),
            Ok(Err(error)) => {
                if let Some(reason) = error.refusal() {
                    self.snapshotter.metrics().refused(reason);
                    let (of, why) = (of.to_owned(), error.to_string());
                    (self.observer)(&Event::Refused { call, of, reason, why });
                }
                (Err(status(&error)), Some((error.code(), error.to_string())))
            }
            Err(panic) => {
                let text = panic.to_string();
                (Err(Status::internal(format!("sealpack: {text}"))), Some((Code::Internal, text)))
            }
        };
        let took = began.elapsed();
        self.snapshotter.metrics().answered(call, took, problem.as_ref().map(|(code, _)| *code));
        (self.observer)(&Event::Answered { call, of: of.to_owned(), took, problem });
        answer
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
