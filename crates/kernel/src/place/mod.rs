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

/// Where nodes are made.
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

/// A path that leads to a device while this is there.
#[derive(Debug)]
pub struct SourcePath {
    path: PathBuf,
    is_made: bool,
}

impl AsRef<Path> for SourcePath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<std::ffi::OsStr> for SourcePath {
    fn as_ref(&self) -> &std::ffi::OsStr {
        self.path.as_os_str()
    }
}

impl Drop for SourcePath {
    fn drop(&mut self) {
        if self.is_made {
            // Whoever starts this process's next child removes what is left.
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

impl Kernel {
    /// Whether devices are found in a place of this process's own.
    #[must_use]
    pub const fn is_in_own_place(&self) -> bool {
        self.place.is_some()
    }

    /// A path by which filesystems find the device that `fd` has open.
    ///
    /// # Errors
    /// `ENOTBLK` when that is no block device; in a place of one's own also when no node can be made.
    pub fn source_path(&self, fd: impl AsFd) -> Result<SourcePath, Error> {
        match self.place {
            None => Ok(SourcePath { path: fd_path(fd), is_made: false }),
            Some(_) => self.make_node(DeviceNumber::of_open(fd)?),
        }
    }

    /// Where, in a place of one's own, the lower layer with that number can be attached. `None` elsewhere, and past the
    /// last.
    #[must_use]
    pub fn lower_place(&self, number: usize) -> Option<PathBuf> {
        let has = self.place.is_some() && number < LOWERS_MAX;
        has.then(|| Path::new(LOWERS).join(number.to_string()))
    }

    /// Removes the nodes that a process made that was ended before it could.
    ///
    /// # Errors
    /// When the place cannot be listed.
    pub fn remove_nodes_of(&self, pid: i32) -> Result<(), Error> {
        if self.place.is_none() {
            return Ok(());
        }
        let suffix = format!(".{pid}");
        self.call(
            "readdir",
            || format!("{NODES:?}"),
            || {
                let of = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
                for entry in std::fs::read_dir(NODES).map_err(of)? {
                    let entry = entry.map_err(of)?;
                    if entry.file_name().to_string_lossy().ends_with(&suffix) {
                        rustix::fs::unlink(entry.path())?;
                    }
                }
                Ok(())
            },
        )
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
            Some(place) => self.open_made_node(place.loop_device(index)),
        }
    }

    /// Opens the block device with that number, whose usual path is `path`.
    pub(crate) fn open_node(&self, number: DeviceNumber, path: &Path) -> Result<OwnedFd, Error> {
        match self.place {
            None => self.open_device(path),
            Some(_) => self.open_made_node(number),
        }
    }

    /// Opens a device of which a node is made for that, and looks whether it is that.
    fn open_made_node(&self, number: DeviceNumber) -> Result<OwnedFd, Error> {
        let node = self.make_node(number)?;
        let fd = self.open_device(node.as_ref())?;
        if DeviceNumber::of_open(&fd)? != number {
            let arguments = format!("{:?}, O_RDONLY", node.path);
            return Err(Error::new(crate::Call { name: "open", arguments }, Errno::NXIO));
        }
        Ok(fd)
    }

    fn make_node(&self, number: DeviceNumber) -> Result<SourcePath, Error> {
        let DeviceNumber { major, minor } = number;
        let pid = rustix::process::getpid().as_raw_nonzero();
        let path = PathBuf::from(format!("{NODES}/{major}-{minor}.{pid}"));
        self.call(
            "mknod",
            || format!("{path:?}, S_IFBLK|0600, {number}"),
            || {
                let device = rustix::fs::makedev(major, minor);
                match rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, device)
                {
                    // Left by a process of the same number; it is dead.
                    Err(Errno::EXIST) => rustix::fs::unlink(&path).and(Err(Errno::INTR)),
                    result => result,
                }
            },
        )?;
        Ok(SourcePath { path, is_made: true })
    }
}

#[cfg(test)]
mod tests;
