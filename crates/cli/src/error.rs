//! What a command answers when it does not succeed, and the exit status for it.

use std::fmt;

/// Why a command failed. The kind decides the exit status.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It could not be done.
    Failed,
    /// It was asked for wrongly.
    Usage,
    /// Something is not what a digest or a required level says.
    Refused,
}

impl CommandError {
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Failed, message: message.to_string(), hint: None }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Usage, ..Self::failed(message) }
    }

    pub(crate) fn refused(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Refused, ..Self::failed(message) }
    }

    /// Adds a line that says what to do.
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// 1 failed, 2 usage, 3 refused because verification failed.
    pub(crate) const fn exit_status(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
        }
    }

    /// The word that machines get for the kind.
    pub(crate) const fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::Refused => "refused",
        }
    }

    /// Whether it says that something is not what it should be.
    pub(crate) fn is_refusal(&self) -> bool {
        self.kind == Kind::Refused
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Of errors that know whether verification failed.
    pub(crate) fn classed(message: impl fmt::Display, is_verification: bool) -> Self {
        if is_verification { Self::refused(message) } else { Self::failed(message) }
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}

pub(crate) type CommandResult = Result<(), CommandError>;

impl From<sealpack_store::Error> for CommandError {
    fn from(error: sealpack_store::Error) -> Self {
        Self::classed(&error, error.is_verification())
    }
}

impl From<sealpack_mount::Error> for CommandError {
    fn from(error: sealpack_mount::Error) -> Self {
        Self::classed(&error, error.is_verification())
    }
}

impl From<sealpack_oci::Error> for CommandError {
    fn from(error: sealpack_oci::Error) -> Self {
        let command = Self::classed(&error, error.is_verification());
        match error.hint() {
            Some(hint) => command.hint(hint),
            None => command,
        }
    }
}

impl From<sealpack_oci::pull::PullError> for CommandError {
    fn from(error: sealpack_oci::pull::PullError) -> Self {
        let command = Self::classed(&error, error.is_verification());
        match error.hint() {
            Some(hint) => command.hint(hint),
            None => command,
        }
    }
}
