//! A boot that is refused: it says why, and the machine starts again.

use std::fmt;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use sealpack_format::boot::{RefusedBoot, Started};
use sealpack_kernel::Kernel;
use sealpack_kernel::directory::Directory;
use sealpack_node::refused_boot;

use super::failure::Failure;
use super::step::Step;
use crate::kernel_log::{self, Matters};

/// What is done at the moment: where a panic would be.
static NOW: Mutex<Option<Step>> = Mutex::new(None);

/// The data partition, once it is mounted, and which image is started.
static RECORD: OnceLock<Record> = OnceLock::new();

/// How long the reason stands on the screen before the machine starts again.
pub(super) const SHOWN_FOR: Duration = Duration::from_secs(3);

/// Where a refusal is recorded, and of what.
#[derive(Debug)]
struct Record {
    data: Directory,
    started: Started,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) step: Step,
    pub(super) failure: Failure,
}

impl Refusal {
    /// The record of it.
    fn record(&self, started: Option<Started>) -> RefusedBoot {
        let Failure { why, advice } = &self.failure;
        RefusedBoot {
            step: self.step.name().to_owned(),
            why: why.clone(),
            advice: advice.unwrap_or(self.step.advice()).to_owned(),
            started,
        }
    }
}

/// One line: the step, what failed, what to do.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record(None).fmt(f)
    }
}

/// From now on a refusal in this process names `step`.
pub(super) fn at(step: Step) {
    *NOW.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(step);
}

/// From now on a refusal is recorded on the data partition, with what was to be `started`.
pub(super) fn record_at(data: Directory, started: Started) {
    // It is set once; a second data partition there is not.
    _ = RECORD.set(Record { data, started });
}

/// Has a panic end as any other failure does. The processes that are forked of this one end by themselves.
pub(super) fn take_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if std::process::id() != 1 {
            kernel_log::write(Matters::Warning, &panic.to_string());
            return;
        }
        // The lock is held for moments only, and never where something can fail.
        let step = NOW.lock().unwrap_or_else(std::sync::PoisonError::into_inner).unwrap_or(Step::Mounts);
        let why = format!("a fault of this program: {panic}");
        refuse(&Kernel::new(), &Refusal { step, failure: Failure::new(why).advised("report it") });
    }));
}

/// Says why, where it will be found, and starts the machine again.
pub(super) fn refuse(kernel: &Kernel, refusal: &Refusal) -> ! {
    kernel_log::write(Matters::Alert, &format!("{refusal}. Starting again"));
    if let Some(Record { data, started }) = RECORD.get() {
        record(data, &refusal.record(Some(started.clone())));
    }
    kernel.sync();
    std::thread::sleep(SHOWN_FOR);
    match kernel.reboot() {
        Ok(never) => match never {},
        Err(error) => {
            kernel_log::write(Matters::Alert, &format!("{error}; ending, which is a panic of the kernel"));
            std::process::exit(1)
        }
    }
}

/// Records what was said on the data partition.
pub(super) fn record(data: &Directory, refused: &RefusedBoot) {
    if let Err(error) = refused_boot::keep(data, refused) {
        let text = format!("the reason cannot be kept on the data partition: {error}");
        kernel_log::write(Matters::Warning, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_with_the_step_the_reason_and_what_to_do() {
        let refusal = Refusal { step: Step::Data, failure: Failure::new("two\nlines\n") };
        assert_eq!(
            refusal.to_string(),
            "boot refused, data-partition: two; lines. To do: check the disk from another system (e2fsck)"
        );
        let failure = Failure::new("x").advised("do that");
        assert!(Refusal { step: Step::Data, failure }.to_string().ends_with("x. To do: do that"));
    }
}
