//! Into a place of one's own, and out of everything else.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};

use super::{LOOP_CONTROL, LOWERS, LOWERS_MAX, MAPPER_CONTROL, NODES, OwnPlace};
use crate::mount::{DetachedMount, MountAttributes};
use crate::{Error, Kernel, mountinfo};

/// Enough for the directories, and for a node of each device that there is at the same time as others.
const SIZE: &str = "1m";
const INODES: &str = "20000";

/// Where the kernel says how many partitions loop devices can have.
const LOOP_PARTITIONS: &str = "/sys/module/loop/parameters/max_part";

impl Kernel {
    /// Gives this process a mount namespace and a root of its own, in which there is nothing of the machine's but the
    /// control devices of device-mapper and of loop devices. What was opened before stays open. Answers with the way to
    /// the kernel from there; the other one no longer finds devices.
    ///
    /// For a process with one thread, and for good.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`; where the kernel has no device-mapper or no loop devices, those of opening
    /// them. Part of it may have happened then.
    pub fn enter_own_place(&self) -> Result<Self, Error> {
        self.enter_with([(self.mapper_control(), MAPPER_CONTROL), (self.loop_control(), LOOP_CONTROL)])
    }

    /// As [`enter_own_place`](Self::enter_own_place), with these devices under these names.
    pub(super) fn enter_with(&self, controls: [(&Path, &str); 2]) -> Result<Self, Error> {
        for (path, _) in controls {
            // Loads the module.
            self.open_device(path)?;
        }
        let place = OwnPlace { loop_partition_bits: partition_bits(&loop_partitions()) };
        self.call("unshare", || "CLONE_NEWNS".into(), crate::raw::unshare_mounts)?;
        self.make_mounts_private()?;
        let mut clones = Vec::new();
        for (path, name) in controls {
            let node = self.open_path(path)?;
            clones.push((self.clone_mount(&node)?, name));
        }
        let memory = self.memory()?;
        self.furnish(&memory)?;
        self.become_root(&memory)?;
        let mut kernel = self.clone();
        kernel.place = Some(place);
        for (clone, name) in clones {
            let target = kernel.open_path(Path::new(name))?;
            kernel.move_mount(&clone, &target)?;
        }
        Ok(kernel)
    }

    fn make_mounts_private(&self) -> Result<(), Error> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        self.call(
            "mount",
            || "NULL, \"/\", NULL, MS_REC|MS_PRIVATE, NULL".into(),
            || rustix::mount::mount_change("/", private),
        )
    }

    /// A filesystem in memory, mounted nowhere. Devices can be opened on it.
    fn memory(&self) -> Result<DetachedMount, Error> {
        let context = self.fsopen("tmpfs")?;
        for (key, value) in
            [("source", "sealpack-broker"), ("mode", "0700"), ("size", SIZE), ("nr_inodes", INODES)]
        {
            context.set_string(key, value)?;
        }
        context.create()?;
        context.mount(MountAttributes { nosuid: true, noexec: true, ..MountAttributes::default() })
    }

    /// Makes the directories in it, and the files on which the control devices are mounted.
    fn furnish(&self, memory: &DetachedMount) -> Result<(), Error> {
        let relative = |path: &str| path.trim_start_matches('/').to_owned();
        let mut directories =
            vec![relative(NODES), "control".to_owned(), "proc".to_owned(), relative(LOWERS)];
        directories.extend((0..LOWERS_MAX).map(|number| format!("{}/{number}", relative(LOWERS))));
        for path in directories {
            self.call(
                "mkdirat",
                || format!("{path:?}, 0700"),
                || rustix::fs::mkdirat(memory.as_fd(), &path, Mode::RWXU),
            )?;
        }
        for path in [MAPPER_CONTROL, LOOP_CONTROL].map(relative) {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            self.call(
                "openat",
                || format!("{path:?}, O_CREAT|O_EXCL|O_WRONLY, 0600"),
                || rustix::fs::openat(memory.as_fd(), &path, flags, Mode::RUSR | Mode::WUSR),
            )?;
        }
        Ok(())
    }

    /// Puts `memory` in the place of the root, and takes all else out of the namespace, as far as it can be.
    fn become_root(&self, memory: &DetachedMount) -> Result<(), Error> {
        let mounts = mountinfo::read_own();
        let root = self.open_path(Path::new("/"))?;
        self.attach(memory, &root)?;
        drop(root);
        let inside = || rustix::process::fchdir(memory);
        self.call("fchdir", || "the filesystem in memory".into(), inside)?;
        let pivoted =
            self.call("pivot_root", || "\".\", \".\"".into(), || rustix::process::pivot_root(".", "."));
        match pivoted {
            // The old root is mounted over the new one now.
            Ok(()) => self.call(
                "umount2",
                || "\".\", MNT_DETACH".into(),
                || rustix::mount::unmount(".", UnmountFlags::DETACH),
            )?,
            // The kernel's first root cannot be exchanged (fs/namespace.c, path_pivot_root).
            Err(error) if error.errno() == Errno::INVAL => {
                let mounts = mounts.map_err(|error| {
                    let arguments = format!("mountinfo: {error}");
                    Error::new(crate::Call { name: "read", arguments }, error.errno().unwrap_or(Errno::IO))
                })?;
                self.cover_root(memory, &mounts)?;
            }
            Err(error) => return Err(error),
        }
        self.call("chdir", || "\"/\"".into(), || rustix::process::chdir("/"))
    }

    /// Unmounts all but the first root, which cannot be, and enters what is mounted over that.
    fn cover_root(&self, memory: &DetachedMount, mounts: &[mountinfo::Mount]) -> Result<(), Error> {
        // `memory` is above the root: paths still begin below it.
        for mount in mounts.iter().rev().filter(|mount| mount.mount_point != Path::new("/")) {
            match self.unmount(&mount.mount_point, true) {
                // It went with one that it was mounted on.
                Err(error) if matches!(error.errno(), Errno::INVAL | Errno::NOENT) => {}
                result => result?,
            }
        }
        self.call(
            "chroot",
            || "\".\"".into(),
            || {
                rustix::process::fchdir(memory)?;
                rustix::process::chroot(".")
            },
        )
    }

    fn open_path(&self, path: &Path) -> Result<OwnedFd, Error> {
        self.call(
            "open",
            || format!("{path:?}, O_PATH"),
            || rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()),
        )
    }

    /// Gives the process another name in lists, and its command line another first byte: that of a process which the
    /// first process leaves alone when it ends all others (systemd's "Storage Daemons for the Root File System").
    ///
    /// # Errors
    /// `EINVAL` for a name with a zero byte, or in a process without a command line.
    pub fn rename_process(&self, name: &str, first_byte: u8) -> Result<(), Error> {
        self.call(
            "prctl",
            || format!("PR_SET_NAME, {name:?}"),
            || {
                let name = CString::new(name).map_err(|_| Errno::INVAL)?;
                rustix::thread::set_name(&name)?;
                crate::raw::set_first_byte_of_command_line(first_byte)
            },
        )
    }
}

/// As `max_part` of the module says; none where it is not shown.
fn loop_partitions() -> String {
    let read = File::open(LOOP_PARTITIONS).and_then(std::io::read_to_string);
    read.unwrap_or_default()
}

/// How many bits of a minor number are for the partitions of a loop device (drivers/block/loop.c, loop_init).
fn partition_bits(partitions_max: &str) -> u32 {
    let partitions: u32 = partitions_max.trim().parse().unwrap_or(0);
    u32::BITS - partitions.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::partition_bits;

    #[test]
    fn minor_numbers_have_room_for_as_many_partitions_as_there_can_be() {
        for (max, bits) in [("0\n", 0), ("1", 1), ("7\n", 3), ("8", 4), ("15", 4), ("", 0), ("?", 0)] {
            assert_eq!(partition_bits(max), bits, "{max:?}");
        }
    }
}
