//! ioctl requests: their numbers and the structures they take, as the kernel lays them out.

use std::ffi::c_int;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::ioctl::{Opcode, opcode};

/// An ioctl request that takes a `T`.
pub(crate) struct Request<T> {
    opcode: Opcode,
    argument: PhantomData<fn(&mut T)>,
}

/// An ioctl request that takes nothing and returns a number.
pub(crate) struct PlainRequest {
    opcode: Opcode,
}

// SAFETY: reads one `FsverityEnable` (include/uapi/linux/fsverity.h: _IOW('f', 133, …)); its
// `salt_ptr` and `sig_ptr` are private and always null with length 0.
pub(crate) const FS_IOC_ENABLE_VERITY: Request<FsverityEnable> =
    unsafe { Request::new(opcode::write::<FsverityEnable>(b'f', 133)) };

// SAFETY: reads the four bytes before the digest and writes at most `digest_size` bytes of it,
// which `FsverityDigest::empty` sets to the buffer's length. The number has the size of the
// structure without its flexible array: _IOWR('f', 134, struct fsverity_digest).
pub(crate) const FS_IOC_MEASURE_VERITY: Request<FsverityDigest> =
    unsafe { Request::new(opcode::read_write::<[u16; 2]>(b'f', 134)) };

// SAFETY: reads one `LoopConfig` (include/uapi/linux/loop.h).
pub(crate) const LOOP_CONFIGURE: Request<LoopConfig> = unsafe { Request::new(0x4C0A) };

// SAFETY: writes one `LoopInfo` (include/uapi/linux/loop.h).
pub(crate) const LOOP_GET_STATUS64: Request<LoopInfo> = unsafe { Request::new(0x4C05) };

// SAFETY: takes no argument (drivers/block/loop.c, loop_control_get_free).
pub(crate) const LOOP_CTL_GET_FREE: PlainRequest = unsafe { PlainRequest::new(0x4C82) };

// SAFETY: takes no argument (fs/nsfs.c, ns_ioctl).
pub(crate) const NS_GET_NSTYPE: PlainRequest = unsafe { PlainRequest::new(0xB703) };

// SAFETY: writes one `uid_t` (fs/nsfs.c, ns_ioctl).
pub(crate) const NS_GET_OWNER_UID: Request<u32> = unsafe { Request::new(0xB704) };

/// `struct dm_ioctl` (include/uapi/linux/dm-ioctl.h), which every request begins with.
#[repr(C)]
pub(crate) struct DmHeader {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    pub(crate) target_count: u32,
    pub(crate) open_count: i32,
    pub(crate) flags: u32,
    event_nr: u32,
    padding: u32,
    pub(crate) device: u64,
    pub(crate) name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// A device-mapper request: `struct dm_ioctl` and room for `BYTES` bytes of what it takes or
/// returns.
#[repr(C)]
pub(crate) struct DmRequest<const BYTES: usize> {
    pub(crate) header: DmHeader,
    pub(crate) payload: [u8; BYTES],
}

impl<const BYTES: usize> DmRequest<BYTES> {
    /// A request without name, flags and payload, on the heap since it may be large.
    pub(crate) fn boxed() -> Box<Self> {
        const { assert!(BYTES.is_multiple_of(8) && BYTES < 1 << 30) };
        Box::new(Self {
            header: DmHeader {
                version: [4, 0, 0],
                data_size: size_of::<Self>() as u32,
                data_start: size_of::<DmHeader>() as u32,
                target_count: 0,
                open_count: 0,
                flags: 0,
                event_nr: 0,
                padding: 0,
                device: 0,
                name: [0; 128],
                uuid: [0; 129],
                data: [0; 7],
            },
            payload: [0; BYTES],
        })
    }

    /// The device-mapper request `command`, a number of `DM_*_CMD`.
    pub(crate) const fn request(command: u8) -> Request<Self> {
        // SAFETY: the kernel reads and writes at most `data_size` bytes from the argument on
        // (drivers/md/dm-ioctl.c, ctl_ioctl), which is private and always the structure's size.
        // The number has the size of the header alone: _IOWR(0xfd, …, struct dm_ioctl).
        unsafe { Request::new(opcode::read_write::<DmHeader>(0xfd, command)) }
    }
}

/// `struct fsverity_enable_arg`, without salt and signature.
#[repr(C)]
pub(crate) struct FsverityEnable {
    version: u32,
    pub(crate) hash_algorithm: u32,
    pub(crate) block_size: u32,
    salt_size: u32,
    salt_ptr: u64,
    sig_size: u32,
    reserved1: u32,
    sig_ptr: u64,
    reserved2: [u64; 11],
}

impl FsverityEnable {
    /// The kernel's number of the algorithm, and the block size in bytes.
    pub(crate) const fn new(hash_algorithm: u32, block_size: u32) -> Self {
        Self {
            version: 1,
            hash_algorithm,
            block_size,
            salt_size: 0,
            salt_ptr: 0,
            sig_size: 0,
            reserved1: 0,
            sig_ptr: 0,
            reserved2: [0; 11],
        }
    }
}

/// `struct fsverity_digest` with room for the longest digest the kernel knows.
#[repr(C)]
pub(crate) struct FsverityDigest {
    pub(crate) digest_algorithm: u16,
    digest_size: u16,
    digest: [u8; 64],
}

impl FsverityDigest {
    pub(crate) const fn empty() -> Self {
        Self { digest_algorithm: 0, digest_size: 64, digest: [0; 64] }
    }

    /// The digest that the kernel wrote.
    pub(crate) fn digest(&self) -> &[u8] {
        let digest_bytes = usize::from(self.digest_size).min(self.digest.len());
        &self.digest[..digest_bytes]
    }
}

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone)]
pub(crate) struct LoopInfo {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    rdevice: u64,
    pub(crate) offset: u64,
    pub(crate) sizelimit: u64,
    pub(crate) number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    pub(crate) flags: u32,
    pub(crate) file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl LoopInfo {
    pub(crate) const fn zeroed() -> Self {
        Self {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            sizelimit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: 0,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        }
    }
}

/// `struct loop_config`.
#[repr(C)]
pub(crate) struct LoopConfig {
    pub(crate) fd: u32,
    pub(crate) block_size: u32,
    pub(crate) info: LoopInfo,
    reserved: [u64; 8],
}

impl LoopConfig {
    pub(crate) const fn new(fd: u32, block_size: u32, info: LoopInfo) -> Self {
        Self { fd, block_size, info, reserved: [0; 8] }
    }
}

const _: () = {
    assert!(size_of::<DmHeader>() == 312);
    assert!(size_of::<FsverityEnable>() == 128);
    assert!(size_of::<FsverityDigest>() == 68);
    assert!(size_of::<LoopInfo>() == 232);
    assert!(size_of::<LoopConfig>() == 304);
};

impl<T> Request<T> {
    /// The request `opcode`.
    ///
    /// # Safety
    /// At this request's argument the kernel reads and writes at most a `T`, for which any
    /// bytes are valid, and it touches nothing of the caller's memory besides.
    const unsafe fn new(opcode: Opcode) -> Self {
        Self { opcode, argument: PhantomData }
    }

    /// Makes the request on `fd`. Returns what ioctl returned when that is no error.
    pub(crate) fn call(&self, fd: BorrowedFd<'_>, argument: &mut T) -> Result<c_int, Errno> {
        // SAFETY: `argument` is valid for reads and writes of a `T` while the call lasts, which
        // is all that the kernel touches, as promised to `new`.
        checked(unsafe {
            libc::ioctl(fd.as_raw_fd(), self.opcode as libc::Ioctl, std::ptr::from_mut(argument))
        })
    }
}

impl PlainRequest {
    /// The request `opcode`.
    ///
    /// # Safety
    /// The kernel ignores this request's argument.
    const unsafe fn new(opcode: Opcode) -> Self {
        Self { opcode }
    }

    /// Makes the request on `fd`. Returns what ioctl returned when that is no error.
    pub(crate) fn call(&self, fd: BorrowedFd<'_>) -> Result<c_int, Errno> {
        // SAFETY: the kernel ignores the argument, as promised to `new`.
        checked(unsafe { libc::ioctl(fd.as_raw_fd(), self.opcode as libc::Ioctl, 0) })
    }
}

fn checked(result: c_int) -> Result<c_int, Errno> {
    if result < 0 {
        let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        return Err(Errno::from_raw_os_error(code));
    }
    Ok(result)
}
