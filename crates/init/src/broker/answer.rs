//! Why something is refused, as the client is told.

use sealpack_format::broker::{MessageError, Refusal, Step};
use sealpack_kernel::{Call, Errno};
use sealpack_mount::Error;

/// What the broker itself refuses.
pub(super) fn refused(errno: Errno, step: Step, text: impl Into<String>) -> Refusal {
    Refusal { errno: errno.raw_os_error(), step, layer: None, text: text.into() }
}

/// A message that is no request.
pub(super) fn no_request(error: &MessageError) -> Refusal {
    refused(Errno::PROTO, Step::Request, error.to_string())
}

/// The same, about the layer with that number.
pub(super) fn about(layer: usize) -> impl Fn(Refusal) -> Refusal {
    move |refusal| Refusal { layer: u16::try_from(layer).ok(), ..refusal }
}

/// What the kernel refused, at `step` unless the call tells another one.
pub(super) fn of_call(step: Step, error: &sealpack_kernel::Error) -> Refusal {
    let text = error.messages().first().cloned().unwrap_or_else(|| error.call().name.to_owned());
    Refusal {
        errno: error.errno().raw_os_error(),
        step: step_of(error.call()).unwrap_or(step),
        layer: None,
        text,
    }
}

/// What came of a device or an overlay, at `step` unless the call tells another one.
pub(super) fn of_mount(step: Step, error: &Error) -> Refusal {
    match error {
        Error::Call { error, .. } | Error::Privilege(error) | Error::NoFilesystem { error, .. } => {
            of_call(step, error)
        }
        Error::BothWays { second, .. } => of_mount(step, second),
        Error::DeviceDiffers { difference, .. } => refused(Errno::EXIST, Step::Device, difference.clone()),
        Error::DevicesTaken { .. } => {
            refused(Errno::USERS, Step::Device, "too many devices of other files with this root hash")
        }
        Error::DeviceStuck { .. } => {
            refused(Errno::BUSY, Step::Device, "the device is suspended, or on its way out")
        }
        other => refused(Errno::IO, step, other.to_string()),
    }
}

/// What was done by a call that means one thing only.
fn step_of(call: &Call) -> Option<Step> {
    let is_about = |word| call.arguments.contains(word);
    match call.name {
        "ioctl" if is_about("LOOP_") => Some(Step::Loop),
        "ioctl" if is_about("DM_TABLE_LOAD") => Some(Step::Table),
        "add_key" => Some(Step::Table),
        "ioctl" | "flock" if is_about("DM_") || is_about("LOCK_") => Some(Step::Device),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_hears_what_was_done_the_number_and_the_kernels_words() {
        let told = |name, arguments: &str, errno, said| {
            let error = sealpack_kernel::Error::told(name, arguments.to_owned(), errno, said);
            of_mount(Step::Mount, &Error::Call { doing: "mounting", error })
        };
        let refusal =
            told("ioctl", "[3], DM_TABLE_LOAD, sealpack-s-ab, read-only, \"0 8 verity\"", Errno::NOKEY, "");
        assert_eq!((refusal.errno, refusal.step), (Errno::NOKEY.raw_os_error(), Step::Table));
        let refusal = told("fsconfig", "[5], CMD_CREATE", Errno::INVAL, "erofs: no superblock");
        assert_eq!((refusal.step, refusal.text.as_str()), (Step::Mount, "erofs: no superblock"));
        assert_eq!(told("ioctl", "[3], LOOP_CONFIGURE, {}", Errno::INVAL, "").step, Step::Loop);
        assert_eq!(told("ioctl", "[3], DM_DEV_CREATE, x", Errno::BUSY, "").step, Step::Device);
    }
}
