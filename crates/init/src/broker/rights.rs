//! What the broker makes of its process: its life, its place, and what it gives up.

use std::fs::File;
use std::path::Path;

use rustix::process::{Resource, Rlimit};
use sealpack_kernel::capabilities::CapabilitySet;
use sealpack_kernel::{Errno, Kernel, interrupt};

use super::BrokerError;
use super::filter;

/// How long the broker is to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// As long as the machine: whatever the first process becomes, and whatever signals it sends.
    OfTheMachine,
    /// As long as whoever started it lets it.
    OfAService,
}

/// How lists of processes call it.
const NAME: &str = "sealpack-broker";

/// systemd leaves processes alone whose command line begins so, when it ends all others.
const LEFT_ALONE: u8 = b'@';

/// The last that the kernel ends when memory runs out (proc_pid_oom_score_adj(5)).
const NEVER_ENDED: &str = "-1000";

/// What it keeps. `CAP_SYS_ADMIN` is for devices and mounts, `CAP_MKNOD` for their nodes. The files of an overlay are read with
/// the rights of whoever made it (fs/overlayfs/super.c, `creator_cred`): without `CAP_DAC_OVERRIDE`, those that only their owner
/// may read would be closed to their owner too, and to root, where he is another one than the broker's user.
pub(super) const KEPT: CapabilitySet =
    CapabilitySet::SYS_ADMIN.union(CapabilitySet::MKNOD).union(CapabilitySet::DAC_OVERRIDE);

/// Takes up its life, looks whether the kernel has what it needs, and goes to its own place. Answers with the way to the
/// kernel from there.
pub(super) fn enter(kernel: &Kernel, life: Life) -> Result<Kernel, BrokerError> {
    if life == Life::OfTheMachine {
        // It fails only for the first process of a group, which a child is not.
        let _ = rustix::process::setsid();
        kernel.rename_process(NAME, LEFT_ALONE).map_err(BrokerError::call("naming the broker"))?;
        let path = Path::new("/proc/self/oom_score_adj");
        std::fs::write(path, NEVER_ENDED).map_err(|error| BrokerError::Io {
            what: "the broker's",
            path: path.to_owned(),
            error,
        })?;
    }
    let failed = |doing| BrokerError::call(doing);
    let mapper = kernel.device_mapper().map_err(failed("opening device-mapper"))?;
    if !mapper.has_target("verity").map_err(failed("looking for dm-verity"))? {
        return Err(BrokerError::Lacks("the kernel has no dm-verity".to_owned()));
    }
    drop(mapper);
    for filesystem in ["erofs", "overlay"] {
        // Loads the module while that can be.
        kernel.fsopen(filesystem).map_err(failed("looking for the filesystems"))?;
    }
    kernel.enter_own_place().map_err(failed("leaving the machine's filesystems"))
}

/// Gives up what is not needed any more, for good.
pub(super) fn give_up(kernel: &Kernel, life: Life) -> Result<(), BrokerError> {
    let failed = BrokerError::call("giving up rights");
    occupy_standard_streams()?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // It fails only for more than there is.
    let _ = rustix::process::setrlimit(Resource::Core, none);
    kernel.refuse_dumps().map_err(&failed)?;
    match kernel.refuse_written_code() {
        // Before Linux 6.3, and on processors that cannot tell code from data.
        Err(error) if error.errno() == Errno::INVAL => {}
        result => result.map_err(&failed)?,
    }
    kernel.refuse_new_rights().map_err(&failed)?;
    kernel.keep_capabilities(KEPT).map_err(&failed)?;
    kernel.filter_system_calls(&filter::program()?).map_err(&failed)?;
    if life == Life::OfTheMachine {
        interrupt::ignore_all();
    }
    Ok(())
}

/// Opens something harmless under the numbers of the standard streams, so that nothing that is opened later gets them: what
/// the standard library prints when it panics must not go to a client.
fn occupy_standard_streams() -> Result<(), BrokerError> {
    const LAST: i32 = 2;
    let path = Path::new("/");
    loop {
        let opened = File::open(path).map_err(|error| BrokerError::Io {
            what: "the broker's root",
            path: path.to_owned(),
            error,
        })?;
        if std::os::fd::AsRawFd::as_raw_fd(&opened) > LAST {
            return Ok(());
        }
        // It stays open as long as the process lives.
        std::mem::forget(opened);
    }
}
