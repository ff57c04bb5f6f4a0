//! A place of a process's own: a filesystem in memory as its root, with nothing of the machine's in it but the two control
//! devices. Nodes of devices are made there, as they are needed: nobody else can put another one in their place, and
//! neither `/dev` nor `/proc` is needed.
//!
//! A [`Kernel`] that has [entered](Kernel::enter_own_place) one finds devices there, and all that is built on them works
//! as it does elsewhere.

mod enter;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;

use crate::dm::DeviceNumber;
use crate::mount::fd_path;
use crate::{Error, Kernel};

/// Where nodes are made, each with its number as its name.
const NODES: &str = "/nodes";

/// Device-mapper's control device.
const MAPPER_CONTROL: &str = "/control/mapper";

/// The control device of loop devices.
const LOOP_CONTROL: &str = "/control/loop";

/// Where the lower layers of an overlay are attached while it is made, each at its number. The kernel shows these paths as
/// the layers of the mount; below `/proc` nobody can have a directory, so that they are told from layers that are.
const LOWERS: &str = "/proc/lower";

/// How many there can be.
const LOWERS_MAX: usize = sealpack_format::broker::LAYERS_MAX;

/// Block devices of loop devices (include/uapi/linux/major.h, `LOOP_MAJOR`).
const LOOP_MAJOR: u32 = 7;

/// A place that a process has entered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnPlace {
    /// How many bits of a loop device's minor number are for its partitions (drivers/block/loop.c, `part_shift`).
    loop_partition_bits: u32,
}

impl OwnPlace {
    /// The number of the loop device with that index.
    fn loop_device(self, index: u32) -> DeviceNumber {
        let minor = index.checked_shl(self.loop_partition_bits).unwrap_or(u32::MAX);
        DeviceNumber { major: LOOP_MAJOR, minor }
    }

    /// The path that the loop device with that number has elsewhere; `None` when the number is another device's.
    pub(crate) fn loop_path(self, number: DeviceNumber) -> Option<PathBuf> {
        let index = number.minor.checked_shr(self.loop_partition_bits)?;
        (self.loop_device(index) == number).then(|| PathBuf::from(format!("/dev/loop{index}")))
    }
}

impl Kernel {
    /// Whether devices are found in a place of this process's own.
    #[must_use]
    pub const fn is_in_own_place(&self) -> bool {
        self.place.is_some()
    }

    /// A path by which filesystems find the device that `fd` has open, as long as it is open.
    ///
    /// # Errors
    /// `ENOTBLK` when that is no block device; in a place of one's own also when no node can be made.
    pub fn source_path(&self, fd: impl AsFd) -> Result<PathBuf, Error> {
        match self.place {
            None => Ok(fd_path(fd)),
            Some(_) => self.node(DeviceNumber::of_open(fd)?),
        }
    }

    /// Where, in a place of one's own, the lower layer with that number can be attached. `None` elsewhere, and past the
    /// last.
    #[must_use]
    pub fn lower_place(&self, number: usize) -> Option<PathBuf> {
        let has = self.place.is_some() && number < LOWERS_MAX;
        has.then(|| Path::new(LOWERS).join(number.to_string()))
    }

    /// The path of device-mapper's control device.
    pub(crate) fn mapper_control(&self) -> &'static Path {
        Path::new(if self.place.is_some() { MAPPER_CONTROL } else { "/dev/mapper/control" })
    }

    /// The path of the control device of loop devices.
    pub(crate) fn loop_control(&self) -> &'static Path {
        Path::new(if self.place.is_some() { LOOP_CONTROL } else { "/dev/loop-control" })
    }

    /// Opens the loop device with that index, whose usual path is `path`.
    pub(crate) fn open_loop_node(&self, index: u32, path: &Path) -> Result<OwnedFd, Error> {
        match self.place {
            None => self.open_device(path),
            Some(place) => self.open_own_node(place.loop_device(index)),
        }
    }

    /// Opens the block device with that number, whose usual path is `path`.
    pub(crate) fn open_node(&self, number: DeviceNumber, path: &Path) -> Result<OwnedFd, Error> {
        match self.place {
            None => self.open_device(path),
            Some(_) => self.open_own_node(number),
        }
    }

    /// Opens the block device with that number by its node, and looks whether it is that.
    fn open_own_node(&self, number: DeviceNumber) -> Result<OwnedFd, Error> {
        let node = self.node(number)?;
        let fd = self.open_device(&node)?;
        if DeviceNumber::of_open(&fd)? != number {
            let arguments = format!("{node:?}, O_RDONLY");
            return Err(Error::new(crate::Call { name: "open", arguments }, Errno::NXIO));
        }
        Ok(fd)
    }

    /// The node of the block device with that number, which is made if there is none yet. It stays: numbers are used again,
    /// and nobody else can make one here.
    fn node(&self, number: DeviceNumber) -> Result<PathBuf, Error> {
        let DeviceNumber { major, minor } = number;
        let path = PathBuf::from(format!("{NODES}/{major}-{minor}"));
        self.call(
            "mknod",
            || format!("{path:?}, S_IFBLK|0600, {number}"),
            || {
                let device = rustix::fs::makedev(major, minor);
                match rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, device)
                {
                    Err(Errno::EXIST) => Ok(()),
                    result => result,
                }
            },
        )?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests;
