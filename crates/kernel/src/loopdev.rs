//! Loop devices: files as block devices (drivers/block/loop.c).

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::dm::DeviceNumber;
use crate::ioctl::{LOOP_CONFIGURE, LOOP_CTL_GET_FREE, LOOP_GET_STATUS64, LoopConfig, LoopInfo};
use crate::{Error, Kernel};

/// How many times another process may take the device that was found free.
const RACES_MAX: usize = 64;

const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
const DIRECT_IO: u32 = 16;

/// A loop device that goes away by itself when its last user closes or unmounts it.
#[derive(Debug)]
pub struct LoopDevice {
    device: OwnedFd,
    path: PathBuf,
}

impl LoopDevice {
    /// The device's path, `/dev/loopN`. It means this device only while `self` or a mount of
    /// it lives: to mount it, use [`AsFd`] and `/proc/thread-self/fd/N`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for LoopDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// What a loop device shows (`LOOP_GET_STATUS64`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopStatus {
    /// N of `/dev/loopN`.
    pub number: u32,
    /// The `st_dev` of the file behind the device.
    pub backing_device: u64,
    /// The inode number of the file behind the device.
    pub backing_inode: u64,
    /// Where in the file the device starts.
    pub offset_bytes: u64,
    /// Where the device ends, 0 for the end of the file.
    pub size_limit_bytes: u64,
    /// Nobody can write to the device.
    pub read_only: bool,
    /// The device goes away with its last user.
    pub autoclear: bool,
    /// The device reads past the page cache of the file, so that nothing is cached twice.
    pub direct_io: bool,
}

impl Kernel {
    /// Makes `file`, all of it, a read-only block device with 4096-byte blocks that goes away
    /// with its last user, and reads past the file's page cache where the filesystem can.
    ///
    /// The blocks are of 512 bytes when the size of `file` is no multiple of 4096, or the
    /// filesystem wants it so. Opening `/dev/loop-control` loads the `loop` module.
    ///
    /// # Errors
    /// `ENOENT` or `ENODEV` for `/dev/loop-control` where the kernel has no loop devices, `EACCES`
    /// or `EPERM` without the privilege, `EBUSY` when other processes took 64 devices in a row.
    pub fn attach_loop(&self, file: BorrowedFd<'_>) -> Result<LoopDevice, Error> {
        let control = self.open_device(self.loop_control())?;
        let mut races = 0;
        loop {
            let number = self.call(
                "ioctl",
                || format!("[{}], LOOP_CTL_GET_FREE", control.as_raw_fd()),
                || LOOP_CTL_GET_FREE.call(control.as_fd()),
            )?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let index = u32::try_from(number).unwrap_or(u32::MAX);
            let device = self.open_loop_node(index, &path)?;
            match self.configure_loop(device.as_fd(), file) {
                Ok(()) => return Ok(LoopDevice { device, path }),
                Err(error) if error.errno() == Errno::BUSY && races < RACES_MAX => races += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens the loop device with that number, which is not its N of `/dev/loopN` where loop
    /// devices have partitions.
    ///
    /// # Errors
    /// `ENOENT` when there is none, `ENXIO` when the number is another device's.
    pub fn open_loop(&self, number: DeviceNumber) -> Result<LoopDevice, Error> {
        let path = self.loop_path(number)?;
        let device = self.open_node(number, &path)?;
        if DeviceNumber::of_open(&device)? != number {
            let call = crate::Call { name: "open", arguments: format!("{path:?}, O_RDONLY") };
            return Err(Error::new(call, Errno::NXIO));
        }
        Ok(LoopDevice { device, path })
    }

    /// The usual path of the loop device with that number.
    fn loop_path(&self, number: DeviceNumber) -> Result<PathBuf, Error> {
        if let Some(place) = self.place {
            return place.loop_path(number).ok_or_else(|| {
                let arguments = format!("{number}, S_IFBLK|0600");
                Error::new(crate::Call { name: "mknod", arguments }, Errno::NXIO)
            });
        }
        let link = PathBuf::from(format!("/sys/dev/block/{number}"));
        let target = self.call(
            "readlink",
            || format!("{link:?}"),
            || std::fs::read_link(&link).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        )?;
        Ok(Path::new("/dev").join(target.file_name().unwrap_or_default()))
    }

    /// Reads what `device` is attached to.
    ///
    /// # Errors
    /// `ENXIO` when it is attached to nothing.
    pub fn loop_status(&self, device: impl AsFd) -> Result<LoopStatus, Error> {
        let device = device.as_fd();
        let mut info = LoopInfo::zeroed();
        self.call(
            "ioctl",
            || format!("[{}], LOOP_GET_STATUS64", device.as_raw_fd()),
            || LOOP_GET_STATUS64.call(device, &mut info),
        )?;
        Ok(LoopStatus {
            number: info.number,
            backing_device: info.device,
            backing_inode: info.inode,
            offset_bytes: info.offset,
            size_limit_bytes: info.sizelimit,
            read_only: info.flags & READ_ONLY != 0,
            autoclear: info.flags & AUTOCLEAR != 0,
            direct_io: info.flags & DIRECT_IO != 0,
        })
    }

    /// Attaches `file`, giving up direct I/O, large blocks and then both where the kernel says
    /// `EINVAL` to them.
    fn configure_loop(&self, device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<(), Error> {
        let large_blocks = rustix::fs::fstat(file).is_ok_and(|stat| stat.st_size % 4096 == 0);
        let attempts = [(4096, DIRECT_IO), (4096, 0), (0, DIRECT_IO), (0, 0)];
        let mut last = None;
        for (block_size, direct_io) in attempts.into_iter().skip(if large_blocks { 0 } else { 2 }) {
            match self.configure_loop_as(device, file, block_size, READ_ONLY | AUTOCLEAR | direct_io) {
                Err(error) if error.errno() == Errno::INVAL => last = Some(error),
                result => return result,
            }
        }
        last.map_or(Ok(()), Err)
    }

    fn configure_loop_as(
        &self,
        device: BorrowedFd<'_>,
        file: BorrowedFd<'_>,
        block_size: u32,
        flags: u32,
    ) -> Result<(), Error> {
        self.call(
            "ioctl",
            || {
                let (device, file) = (device.as_raw_fd(), file.as_raw_fd());
                let direct_io = if flags & DIRECT_IO == 0 { "" } else { "|DIRECT_IO" };
                format!(
                    "[{device}], LOOP_CONFIGURE, {{fd: [{file}], block_size: {block_size}, \
                     flags: READ_ONLY|AUTOCLEAR{direct_io}}}"
                )
            },
            || {
                let mut info = LoopInfo::zeroed();
                info.flags = flags;
                let fd = u32::try_from(file.as_raw_fd()).map_err(|_| Errno::BADF)?;
                LOOP_CONFIGURE.call(device, &mut LoopConfig::new(fd, block_size, info))
            },
        )
        .map(drop)
    }

    pub(crate) fn open_device(&self, path: &Path) -> Result<OwnedFd, Error> {
        self.call(
            "open",
            || format!("{path:?}, O_RDONLY"),
            || rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()),
        )
    }
}

impl From<LoopDevice> for File {
    fn from(device: LoopDevice) -> Self {
        device.device.into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Whether this test can attach loop devices; says why when it cannot.
    fn can_attach() -> bool {
        let possible = rustix::process::geteuid().is_root() && File::open("/dev/loop-control").is_ok();
        if !possible {
            eprintln!("skipped: attaching a loop device needs root and /dev/loop-control");
        }
        possible
    }

    fn backing(size_bytes: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![0x5A; size_bytes]).unwrap();
        file.sync_all().unwrap();
        file
    }

    #[test]
    fn a_file_becomes_a_read_only_device_that_goes_away_when_closed() {
        if !can_attach() {
            return;
        }
        let (kernel, file) = (Kernel::new(), backing(8192));
        let device = kernel.attach_loop(file.as_fd()).unwrap();
        let status = kernel.loop_status(&device).unwrap();
        assert!(status.read_only && status.autoclear);
        assert_eq!((status.offset_bytes, status.size_limit_bytes), (0, 0));
        let backing = file.metadata().unwrap();
        assert_eq!((status.backing_device, status.backing_inode), (backing.dev(), backing.ino()));
        assert_eq!(device.path(), Path::new(&format!("/dev/loop{}", status.number)));
        let mut bytes = Vec::new();
        File::open(device.path()).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [0x5A; 8192]);

        let number = DeviceNumber::of_open(&device).unwrap();
        let again = kernel.open_loop(number).unwrap();
        assert_eq!((again.path(), kernel.loop_status(&again).unwrap()), (device.path(), status));
        drop(again);

        let inode = backing.ino();
        let path = device.path().to_owned();
        drop(device);
        // Detaching happens after the close returns, and another test may take the device over.
        let gone = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            let status = File::open(&path).map(|device| kernel.loop_status(&device));
            !matches!(status, Ok(Ok(status)) if status.backing_inode == inode)
        });
        assert!(gone, "{} is still attached", path.display());
    }

    #[test]
    fn a_file_of_odd_size_gets_small_blocks() {
        if !can_attach() {
            return;
        }
        let device = Kernel::new().attach_loop(backing(4096 + 512).as_fd()).unwrap();
        let mut bytes = Vec::new();
        File::from(device).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 4096 + 512);
    }

    #[test]
    fn a_device_that_somebody_else_took_first_is_given_up_for_another() {
        if !can_attach() {
            return;
        }
        let busy = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&busy);
        let kernel = Kernel::with_hook(move |call| {
            let configure = call.arguments.contains("LOOP_CONFIGURE");
            (configure && seen.fetch_add(1, Ordering::Relaxed) < 3).then_some(Errno::BUSY)
        });
        kernel.attach_loop(backing(4096).as_fd()).unwrap();
        assert_eq!(busy.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn losing_every_race_ends_with_the_error() {
        if !can_attach() {
            return;
        }
        let kernel =
            Kernel::with_hook(|call| call.arguments.contains("LOOP_CONFIGURE").then_some(Errno::BUSY));
        let error = kernel.attach_loop(backing(4096).as_fd()).unwrap_err();
        assert_eq!(error.errno(), Errno::BUSY);
        assert!(error.to_string().contains("LOOP_CONFIGURE, {fd: ["), "{error}");
    }

    #[test]
    fn large_blocks_and_direct_io_are_given_up_where_the_kernel_refuses_them() {
        if !can_attach() {
            return;
        }
        let kernel = Kernel::with_hook(|call| call.arguments.contains("DIRECT_IO").then_some(Errno::INVAL));
        let device = kernel.attach_loop(backing(4096).as_fd()).unwrap();
        assert!(!kernel.loop_status(&device).unwrap().direct_io);
    }
}
