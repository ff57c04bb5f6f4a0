//! What to do where an image is older than the one that its name had, or has lost its seal: which option takes it all the
//! same is for each command to say.

use std::error::Error;

use sealpack_trust::judge::{PassedOver, Refusal};

/// How a command takes what is older, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakesOlder {
    /// `pull`, `verify`, `host switch`.
    Rollback,
    /// `host upgrade`.
    Older,
    /// None of its own: `run --pull`.
    ByPull,
}

impl TakesOlder {
    const fn advice(self) -> &'static str {
        match self {
            Self::Rollback => "--allow-rollback takes it all the same, on purpose",
            Self::Older => "--allow-older takes it all the same, on purpose",
            Self::ByPull => "`sealpack pull --allow-rollback` takes it all the same, on purpose",
        }
    }
}

/// The advice for an error of a command that takes what is older so; `None` where it is about something else.
pub(crate) fn of_older(error: &(dyn Error + 'static), takes: TakesOlder) -> Option<String> {
    match error.downcast_ref()? {
        sealpack_gate::Error::Refused(refusal) => of_refusal(refusal, takes).map(str::to_owned),
        _ => None,
    }
}

/// The same for the refusal.
pub(super) fn of_refusal(refusal: &Refusal, takes: TakesOlder) -> Option<&'static str> {
    match refusal {
        Refusal::Stripped { .. } => Some(takes.advice()),
        Refusal::NotSealed { seals, .. } if seals.iter().any(is_older) => Some(takes.advice()),
        _ => None,
    }
}

/// Whether a seal is passed over for its epoch alone.
fn is_older(seal: &PassedOver) -> bool {
    seal.reasons.iter().all(|reason| reason.ends_with("an older image"))
}
