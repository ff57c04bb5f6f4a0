//! What a command answers when it does not succeed, and the exit status for it.

use std::error::Error;
use std::fmt;

use sealpack_mount::PlanError;
use sealpack_node::mounting::MountingError;

use crate::hint;

/// Why a command failed. The kind decides the exit status.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: Kind,
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
    /// The exit status, where it is not that of the kind.
    status: Option<u8>,
}

/// From what says least to what says most, as their exit statuses are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
        Self { kind: Kind::Failed, error: message.to_string().into(), hint: None, status: None }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Usage, ..Self::failed(message) }
    }

    pub(crate) fn refused(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Refused, ..Self::failed(message) }
    }

    /// Adds a line that says what to do, in the place of the one that there may be.
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Has the advice be of a command that takes what is older in its own way, where the error is about that.
    pub(crate) fn of_what_takes_older(self, takes: hint::TakesOlder) -> Self {
        match hint::of_older(&*self.error, takes) {
            Some(advice) => self.hint(advice),
            None => self,
        }
    }

    /// Adds advice to what there may be.
    pub(crate) fn also_hint(self, hint: impl fmt::Display) -> Self {
        match self.hint.clone() {
            Some(first) => self.hint(format_args!("{first}; {hint}")),
            None => self.hint(hint),
        }
    }

    /// Says which one of several things it is about.
    pub(crate) fn about(self, what: &str) -> Self {
        let error = format!("{what}: {}", self.error).into();
        Self { error, ..self }
    }

    /// Ends the program with another status than its kind has.
    pub(crate) fn exit_as(self, status: u8) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Ends the program with the status that its kind has.
    pub(crate) fn exit_as_its_kind(self) -> Self {
        Self { status: None, ..self }
    }

    /// Ends the program with another status than its kind has, unless it has such a status already.
    pub(crate) fn or_exit_as(self, status: u8) -> Self {
        Self { status: self.status.or(Some(status)), ..self }
    }

    /// 1 failed, 2 usage, 3 refused: verification failed, or a required level was not reached.
    pub(crate) const fn exit_status(&self) -> u8 {
        if let Some(status) = self.status {
            return status;
        }
        match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
        }
    }

    /// Whether something is not what a digest, a signature, a rule or a required level says.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self.kind, Kind::Refused)
    }

    /// The word that machines get for the kind.
    pub(crate) const fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::Refused => "refused",
        }
    }

    pub(crate) fn message(&self) -> String {
        self.error.to_string()
    }

    /// Whether there is no store, and nothing in its place.
    pub(crate) fn is_no_store(&self) -> bool {
        matches!(
            self.error.downcast_ref(),
            Some(sealpack_store::Error::Missing { .. } | sealpack_store::Error::Empty { .. })
        )
    }

    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// An error of a library's, with what the command line knows to do about it.
    fn of(error: impl Error + Send + Sync + 'static, is_verification: bool) -> Self {
        let kind = match hint::is_usage(&error) {
            true => Kind::Usage,
            false if is_verification => Kind::Refused,
            false => Kind::Failed,
        };
        let hint = hint::of(&error);
        Self { kind, error: error.into(), hint, status: None }
    }
}

/// What failed of several things that do not depend on each other.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: usize,
    worst: Option<Kind>,
}

impl Failures {
    /// Counts one, which has been told.
    pub(crate) fn add(&mut self, error: &CommandError) {
        self.count += 1;
        self.worst = self.worst.max(Some(error.kind));
    }

    /// The command's result, where it was about `all` things.
    pub(crate) fn result(self, all: usize, thing: &str) -> CommandResult {
        let Some(kind) = self.worst else { return Ok(()) };
        let message = format!("{} of {all} {thing}s failed", self.count);
        Err(CommandError { kind, ..CommandError::failed(message) })
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}

pub(crate) type CommandResult = Result<(), CommandError>;

/// Errors of libraries, which know whether verification failed.
macro_rules! from_library {
    ($($error:ty => $is_verification:expr),* $(,)?) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                let is_verification: fn(&$error) -> bool = $is_verification;
                let is_verification = is_verification(&error);
                Self::of(error, is_verification)
            }
        }
    )*};
}

from_library! {
    sealpack_store::Error => |error| error.is_verification(),
    sealpack_mount::Error => |error| error.is_verification(),
    PlanError => |error| matches!(error, PlanError::Level { .. }),
    sealpack_oci::Error => |error| error.is_verification(),
    sealpack_oci::pull::PullError => |error| error.is_verification(),
    sealpack_trust::pkcs7::SigningError => |_| false,
    sealpack_node::Error => |error| error.is_verification(),
    sealpack_gate::Error => |error| error.is_verification(),
    sealpack_host::disk::DiskError => |error| error.is_verification(),
    sealpack_host::image::ImageFileError => |error| error.is_verification(),
    sealpack_host::upgrade::UpgradeError => |error| error.is_verification(),
    sealpack_host::uki::UkiError => |error| error.is_verification(),
    sealpack_host::signing::ProgramSigningError => |error| error.is_verification(),
}

impl From<MountingError> for CommandError {
    fn from(error: MountingError) -> Self {
        match error {
            MountingError::Plan(error) => error.into(),
            MountingError::Node(error) => match *error {
                sealpack_node::Error::Mount(error) => error.into(),
                error => error.into(),
            },
        }
    }
}

/// Errors of the parts of a library, as those of the whole.
macro_rules! from_part {
    ($whole:ty: $($error:ty),* $(,)?) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                <$whole>::from(error).into()
            }
        }
    )*};
}

from_part! {
    sealpack_node::Error:
    sealpack_node::find::FindError,
    sealpack_node::keys::KeyFileError,
    sealpack_node::new_files::NewFileError,
    sealpack_node::policy::PolicyError,
    sealpack_node::seals::SealingError,
    sealpack_node::trust_store::TrustStoreError,
}
