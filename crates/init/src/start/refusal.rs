//! A boot that is refused: it says why, and the machine starts again.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use sealpack_format::boot::data;
use sealpack_kernel::Kernel;
use sealpack_kernel::directory::Directory;

use super::failure::Failure;
use super::step::Step;
use crate::kernel_log::{self, Matters};

/// What is done at the moment: where a panic would be.
static NOW: Mutex<Option<Step>> = Mutex::new(None);

/// The data partition, once it is mounted, and which image is started.
static RECORD: OnceLock<Record> = OnceLock::new();

/// How long the reason stands on the screen before the machine starts again.
pub(super) const SHOWN_FOR: Duration = Duration::from_secs(3);

/// The largest record, in bytes.
const RECORD_MAX_BYTES: usize = 4096;

/// Where a refusal is recorded, and of what.
#[derive(Debug)]
struct Record {
    data: Directory,
    subject: String,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) step: Step,
    pub(super) failure: Failure,
}

/// One line: the step, what failed, what to do.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { why, advice } = &self.failure;
        let why = why.trim_end().replace(":\n", ": ").replace('\n', "; ");
        f.write_str(&line(self.step.name(), &why, advice.unwrap_or(self.step.advice())))
    }
}

/// What is said of a boot that is refused.
pub(super) fn line(step: &str, why: &str, advice: &str) -> String {
    format!("boot refused, {step}: {why}. To do: {advice}")
}

/// From now on a refusal in this process names `step`.
pub(super) fn at(step: Step) {
    *NOW.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(step);
}

/// From now on a refusal is recorded on the data partition, with `subject`: what was to be started.
pub(super) fn record_at(data: Directory, subject: String) {
    // It is set once; a second data partition there is not.
    _ = RECORD.set(Record { data, subject });
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
    if let Some(Record { data, subject }) = RECORD.get() {
        record(data, &refusal.to_string(), subject);
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
pub(super) fn record(data: &Directory, line: &str, subject: &str) {
    if let Err(error) = write_record(data, &format!("{line}\n{subject}\n")) {
        let text = format!("the reason cannot be kept on the data partition: {error}");
        kernel_log::write(Matters::Warning, &text);
    }
}

/// Writes the record over that of an earlier boot, whole or not at all.
fn write_record(data: &Directory, text: &str) -> io::Result<()> {
    let (directory, name) = data::REFUSED.split_once('/').ok_or(io::ErrorKind::InvalidInput)?;
    let directory = data.make_sub(directory, 0o755)?;
    let temporary = format!("{name}.new");
    directory.remove_all(&temporary)?;
    let mut file = directory.create(&temporary, 0o644)?;
    file.write_all(&text.as_bytes()[..text.floor_char_boundary(RECORD_MAX_BYTES)])?;
    file.sync_all()?;
    directory.rename(&temporary, &directory, name)?;
    directory.sync()?;
    data.sync()
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

    #[test]
    fn a_record_replaces_the_one_before_and_is_bounded() {
        let place = tempfile::tempdir().unwrap();
        let data = Directory::open(place.path()).unwrap();
        // What a power cut left.
        std::fs::create_dir(place.path().join("boot")).unwrap();
        std::fs::write(place.path().join("boot/refused.new"), "half").unwrap();
        write_record(&data, "first\n").unwrap();
        let read = || std::fs::read_to_string(place.path().join("boot/refused")).unwrap();
        assert_eq!(read(), "first\n");
        write_record(&data, &"é".repeat(4000)).unwrap();
        assert_eq!(read(), "é".repeat(2048));
        assert_eq!(std::fs::read_dir(place.path().join("boot")).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_place_of_the_record_is_replaced_and_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("target");
        std::fs::write(&target, "theirs").unwrap();
        let boot = place.path().join("boot");
        std::fs::create_dir(&boot).unwrap();
        for name in ["refused", "refused.new"] {
            std::os::unix::fs::symlink(&target, boot.join(name)).unwrap();
        }
        write_record(&Directory::open(place.path()).unwrap(), "ours\n").unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "theirs");
        assert!(std::fs::symlink_metadata(boot.join("refused")).unwrap().is_file());
    }
}
