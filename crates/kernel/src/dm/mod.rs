//! Device-mapper: devices made of other devices (drivers/md/dm-ioctl.c), here those that check
//! what is read against a signed root hash.
//!
//! The order that leaves nothing behind when a process dies in the middle: [`create`], the
//! signature into the thread's keyring, [`load`], [`open`], [`remove_when_unused`], [`resume`].
//! What was created and never opened stays; whoever cleans up finds it with [`devices`].
//!
//! [`create`]: DeviceMapper::create
//! [`load`]: DeviceMapper::load
//! [`open`]: DeviceMapper::open
//! [`remove_when_unused`]: DeviceMapper::remove_when_unused
//! [`resume`]: DeviceMapper::resume
//! [`devices`]: DeviceMapper::devices

mod table;

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

pub use table::{DeviceNumber, Target, VerityTable};

use crate::ioctl::DmRequest;
use crate::{Error, Kernel};

/// The unit of device-mapper's numbers.
const SECTOR_BYTES: u64 = 512;

/// Enough for a table of one target, or its status.
type Request = DmRequest<{ 16 * 1024 }>;
/// Enough for the names of 6000 devices, if all are as long as can be.
type ListRequest = DmRequest<{ 1024 * 1024 }>;

// DM_*_CMD
const LIST_DEVICES: u8 = 2;
const CREATE: u8 = 3;
const REMOVE: u8 = 4;
const SUSPEND: u8 = 6;
const STATUS: u8 = 7;
const TABLE_LOAD: u8 = 9;
const TABLE_STATUS: u8 = 12;
const GET_TARGET_VERSION: u8 = 17;

/// How long to wait between two attempts to have device-mapper to oneself.
const LOCK_STEP: Duration = Duration::from_millis(2);

// DM_*_FLAG
const READ_ONLY: u32 = 1 << 0;
const SUSPENDED: u32 = 1 << 1;
const STATUS_TABLE: u32 = 1 << 4;
const ACTIVE_PRESENT: u32 = 1 << 5;
const INACTIVE_PRESENT: u32 = 1 << 6;
const BUFFER_FULL: u32 = 1 << 8;
const DEFERRED_REMOVE: u32 = 1 << 17;

/// A device's name: 1 to 127 printable ASCII characters without `/`, `\` and space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(String);

/// A text that is no device's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot name a device: 1 to 127 printable ASCII characters without /, \\ and space can")]
pub struct DeviceNameError(String);

impl FromStr for DeviceName {
    type Err = DeviceNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_good = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b'\\';
        if (1..=127).contains(&name.len()) && name.bytes().all(is_good) {
            Ok(Self(name.to_owned()))
        } else {
            Err(DeviceNameError(name.to_owned()))
        }
    }
}

impl DeviceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a device is like at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Its number; its node is `/dev/dm-MINOR`.
    pub number: DeviceNumber,
    /// How many times it is open or mounted.
    pub open_count: u32,
    /// Nobody can write to it.
    pub read_only: bool,
    /// Reads wait until it is resumed.
    pub suspended: bool,
    /// It has a table that is in force.
    pub has_table: bool,
    /// It has a table that the next resume puts in force.
    pub has_loaded_table: bool,
    /// It goes away with its last user.
    pub removed_when_unused: bool,
}

/// A device that is open.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
    number: DeviceNumber,
}

impl Device {
    /// The device's number.
    #[must_use]
    pub const fn number(&self) -> DeviceNumber {
        self.number
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The way to device-mapper: `/dev/mapper/control`, open.
#[derive(Debug)]
pub struct DeviceMapper<'k> {
    kernel: &'k Kernel,
    control: OwnedFd,
}

/// Device-mapper to oneself, among those who ask for that; see [`DeviceMapper::lock`].
#[derive(Debug)]
pub struct DeviceMapperLock<'m> {
    mapper: &'m DeviceMapper<'m>,
}

impl Drop for DeviceMapperLock<'_> {
    fn drop(&mut self) {
        let control = &self.mapper.control;
        // It cannot fail for a lock that is held; closing the descriptor ends it too.
        let _ = self.mapper.kernel.call(
            "flock",
            || format!("[{}], LOCK_UN", control.as_raw_fd()),
            || rustix::fs::flock(control, FlockOperation::Unlock),
        );
    }
}

impl Kernel {
    /// Whether device-mapper is in the kernel already, so that there can be devices. Loads no
    /// module.
    #[must_use]
    pub fn has_device_mapper(&self) -> bool {
        let devices = std::fs::read("/proc/devices").unwrap_or_default();
        String::from_utf8_lossy(&devices).lines().any(|line| line.trim_end().ends_with(" device-mapper"))
    }

    /// Opens device-mapper, which loads the module `dm-mod`.
    ///
    /// # Errors
    /// `ENOENT` or `ENODEV` where the kernel has none, `EACCES` without the privilege.
    pub fn device_mapper(&self) -> Result<DeviceMapper<'_>, Error> {
        let control = self.open_device(self.mapper_control())?;
        Ok(DeviceMapper { kernel: self, control })
    }
}

impl DeviceMapper<'_> {
    /// Waits until nobody else on the machine holds this lock, at most for `patience`, and holds
    /// it until the result is dropped or the process ends. It is an flock(2) of
    /// `/dev/mapper/control`, and means something only to those who ask for it.
    ///
    /// # Errors
    /// `EAGAIN` when somebody else held it all the time.
    pub fn lock(&self, patience: Duration) -> Result<DeviceMapperLock<'_>, Error> {
        let started = Instant::now();
        loop {
            let locked = self.kernel.call(
                "flock",
                || format!("[{}], LOCK_EX|LOCK_NB", self.control.as_raw_fd()),
                || rustix::fs::flock(&self.control, FlockOperation::NonBlockingLockExclusive),
            );
            match locked {
                Ok(()) => return Ok(DeviceMapperLock { mapper: self }),
                Err(error) if error.errno() == Errno::AGAIN && started.elapsed() < patience => {
                    std::thread::sleep(LOCK_STEP);
                }
                Err(error) => {
                    let meaning = |errno| {
                        (errno == Errno::AGAIN).then_some("another process is busy with device-mapper")
                    };
                    return Err(error.meaning_of(meaning));
                }
            }
        }
    }

    /// Whether the kernel has targets of this type, for example `verity`. Loads their module.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`.
    pub fn has_target(&self, target: &str) -> Result<bool, Error> {
        let asked = self.request(
            || format!("DM_GET_TARGET_VERSION, {target}"),
            GET_TARGET_VERSION,
            || {
                let mut request = Request::boxed();
                let name = request.header.name.get_mut(..target.len()).ok_or(Errno::NAMETOOLONG)?;
                name.copy_from_slice(target.as_bytes());
                Ok(request)
            },
        );
        match asked {
            Ok(_) => Ok(true),
            Err(error) if error.errno() == Errno::INVAL => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a device without a table, which nobody can open yet.
    ///
    /// # Errors
    /// `EBUSY` when there is a device of that name, `EPERM` without `CAP_SYS_ADMIN`.
    pub fn create(&self, name: &DeviceName) -> Result<DeviceStatus, Error> {
        let meaning = |errno| (errno == Errno::BUSY).then_some("there is a device of this name");
        let request = self.on_device("DM_DEV_CREATE, read-only", CREATE, name, READ_ONLY);
        request.map(|request| status_of(&request)).map_err(|error| error.meaning_of(meaning))
    }

    /// Gives a device the table that the next [`resume`](Self::resume) puts in force. The kernel
    /// checks the signature here: its key has to be in a keyring of the calling thread, and is
    /// not needed any more afterwards.
    ///
    /// # Errors
    /// `ENOKEY`, `EKEYREJECTED` and `EBADMSG` for the signature (where the keyring `.dm-verity` is in
    /// use, `ENOKEY` in place of `EKEYREJECTED`, since it is asked last), with
    /// [what that means](Error::meaning); `EINVAL` for a table that does not fit the devices;
    /// `EBUSY` when one of them is in use otherwise. Other messages are in the kernel's log.
    pub fn load(&self, name: &DeviceName, table: &VerityTable) -> Result<(), Error> {
        let target = table.target();
        self.request(
            || format!("DM_TABLE_LOAD, {name}, read-only, {:?}", target.to_string()),
            TABLE_LOAD,
            || {
                let mut request = Request::boxed();
                set_name(&mut request.header.name, name);
                request.header.flags = READ_ONLY;
                request.header.target_count = 1;
                target.write(&mut request.payload)?;
                Ok(request)
            },
        )
        .map(drop)
        .map_err(|error| if error.errno() == Errno::INVAL { error.logged() } else { error })
        .map_err(|error| error.meaning_of(meaning_of_load))
    }

    /// Opens the device of that name.
    ///
    /// # Errors
    /// `ENXIO` when there is none, or before it ever had a table; `ESTALE` when another took
    /// its place meanwhile.
    pub fn open(&self, name: &DeviceName) -> Result<Device, Error> {
        let number = self.status_or_error(name)?.number;
        let path = PathBuf::from(format!("/dev/dm-{}", number.minor));
        let fd = self.kernel.open_node(number, &path)?;
        // The number means this device for as long as it is open. Whether it still is that of
        // the name, only the name can tell.
        let opened = DeviceNumber::of_open(&fd)?;
        if self.status_or_error(name)?.number != opened {
            let call = crate::Call { name: "open", arguments: format!("{path:?}, O_RDONLY") };
            let meaning = |_| Some("the name was given to another device meanwhile");
            return Err(Error::new(call, Errno::STALE).meaning_of(meaning));
        }
        Ok(Device { fd, number })
    }

    /// Puts the table in force that was loaded last.
    ///
    /// # Errors
    /// `ENXIO` when there is no such device, `EINVAL` when it has no table.
    pub fn resume(&self, name: &DeviceName) -> Result<(), Error> {
        // Without DM_SUSPEND_FLAG, suspending is resuming.
        self.on_device("DM_DEV_SUSPEND, resume", SUSPEND, name, 0).map(drop)
    }

    /// Removes a device that nobody has open.
    ///
    /// # Errors
    /// `EBUSY` when somebody has, `ENXIO` when there is no such device.
    pub fn remove(&self, name: &DeviceName) -> Result<(), Error> {
        let meaning = |errno| (errno == Errno::BUSY).then_some("it is open or mounted");
        let removed = self.on_device("DM_DEV_REMOVE", REMOVE, name, 0);
        removed.map(drop).map_err(|error| error.meaning_of(meaning))
    }

    /// Whether this process may change devices, not only look at them: asks for the removal of a device that there is not.
    ///
    /// # Errors
    /// Other ones than refusals.
    pub fn may_change(&self) -> Result<bool, Error> {
        let name = DeviceName("sealpack-no-such-device".to_owned());
        match self.remove(&name) {
            Ok(()) => Ok(true),
            Err(error) if error.errno() == Errno::NXIO => Ok(true),
            Err(error) if matches!(error.errno(), Errno::PERM | Errno::ACCESS) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets a device go with its last user, which may be the caller; at once when it has none.
    /// Until then it can be opened and mounted again.
    ///
    /// # Errors
    /// `ENXIO` when there is no such device.
    pub fn remove_when_unused(&self, name: &DeviceName) -> Result<(), Error> {
        self.on_device("DM_DEV_REMOVE, deferred", REMOVE, name, DEFERRED_REMOVE).map(drop)
    }

    /// What the device of that name is like, `None` when there is none.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`.
    pub fn status(&self, name: &DeviceName) -> Result<Option<DeviceStatus>, Error> {
        found(self.status_or_error(name))
    }

    /// The table that is in force, `None` when there is no such device. Empty before the first
    /// [`resume`](Self::resume).
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`.
    pub fn table(&self, name: &DeviceName) -> Result<Option<Vec<Target>>, Error> {
        found(self.targets("DM_TABLE_STATUS, table", name, STATUS_TABLE))
    }

    /// What the targets have to say, `None` when there is no such device.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`.
    pub fn target_status(&self, name: &DeviceName) -> Result<Option<Vec<Target>>, Error> {
        found(self.targets("DM_TABLE_STATUS", name, 0))
    }

    /// All devices: names, which may be others' that are no [`DeviceName`], and numbers.
    ///
    /// # Errors
    /// `EOVERFLOW` when there are too many to list, `EPERM` without `CAP_SYS_ADMIN`.
    pub fn devices(&self) -> Result<Vec<(String, DeviceNumber)>, Error> {
        let arguments = || "DM_LIST_DEVICES".into();
        // There are few as a rule, and the larger one takes longer to make than the kernel needs to answer.
        match self.request(arguments, LIST_DEVICES, || Ok(Request::boxed())) {
            Ok(request) => Ok(listed(&request.payload)),
            Err(error) if error.errno() == Errno::OVERFLOW => {
                let request = self.request(arguments, LIST_DEVICES, || Ok(ListRequest::boxed()))?;
                Ok(listed(&request.payload))
            }
            Err(error) => Err(error),
        }
    }

    fn status_or_error(&self, name: &DeviceName) -> Result<DeviceStatus, Error> {
        self.on_device("DM_DEV_STATUS", STATUS, name, 0).map(|request| status_of(&request))
    }

    fn targets(&self, what: &str, name: &DeviceName, flags: u32) -> Result<Vec<Target>, Error> {
        let request = self.on_device(what, TABLE_STATUS, name, flags)?;
        let targets = Target::read_all(&request.payload, request.header.target_count);
        targets.ok_or_else(|| Error::new(self.call_text(&format!("{what}, {name}")), Errno::BADMSG))
    }

    fn on_device(
        &self,
        what: &str,
        command: u8,
        name: &DeviceName,
        flags: u32,
    ) -> Result<Box<Request>, Error> {
        self.request(
            || format!("{what}, {name}"),
            command,
            || {
                let mut request = Request::boxed();
                set_name(&mut request.header.name, name);
                request.header.flags = flags;
                Ok(request)
            },
        )
    }

    /// Makes a request, anew for each attempt since the kernel writes into it.
    fn request<const BYTES: usize>(
        &self,
        arguments: impl Fn() -> String,
        command: u8,
        prepare: impl Fn() -> Result<Box<DmRequest<BYTES>>, Errno>,
    ) -> Result<Box<DmRequest<BYTES>>, Error> {
        self.kernel.call(
            "ioctl",
            || self.call_text(&arguments()).arguments,
            || {
                let mut request = prepare()?;
                DmRequest::request(command).call(self.control.as_fd(), &mut *request)?;
                match request.header.flags & BUFFER_FULL {
                    0 => Ok(request),
                    _ => Err(Errno::OVERFLOW),
                }
            },
        )
    }

    fn call_text(&self, arguments: &str) -> crate::Call {
        let arguments = format!("[{}], {arguments}", self.control.as_raw_fd());
        crate::Call { name: "ioctl", arguments }
    }
}

/// `ENXIO` is device-mapper's way to say that it knows no such name.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.errno() == Errno::NXIO => Ok(None),
        Err(error) => Err(error),
    }
}

/// drivers/md/dm-verity-verify-sig.c, and the PKCS#7 code that it calls.
pub(crate) fn meaning_of_load(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::NOKEY => Some(
            "the kernel has no certificate of the signer in the keyrings .secondary_trusted_keys, .platform or \
             .dm-verity, or the signature is not in a keyring of this thread, or there is none and the kernel \
             requires one (dm_verity.require_signatures); where .dm-verity is in use, a known signer's \
             signature of another root hash is refused in this way too",
        ),
        Errno::KEYREJECTED => Some("the signature is not one of this root hash, or its key was revoked"),
        Errno::BADMSG => Some("the signature is not a detached PKCS#7 signature in DER"),
        Errno::BUSY => Some("the underlying device is in use by something else"),
        _ => None,
    }
}

fn set_name(field: &mut [u8; 128], name: &DeviceName) {
    field[..name.0.len()].copy_from_slice(name.0.as_bytes());
}

fn status_of(request: &Request) -> DeviceStatus {
    let header = &request.header;
    let has = |flag| header.flags & flag != 0;
    DeviceStatus {
        number: DeviceNumber::of(header.device),
        open_count: u32::try_from(header.open_count).unwrap_or(0),
        read_only: has(READ_ONLY),
        suspended: has(SUSPENDED),
        has_table: has(ACTIVE_PRESENT),
        has_loaded_table: has(INACTIVE_PRESENT),
        removed_when_unused: has(DEFERRED_REMOVE),
    }
}

/// The devices of a `struct dm_name_list`: number (64 bits), distance to the next (32 bits, 0 for the last),
/// name. Without any device, the first number is 0.
fn listed(mut payload: &[u8]) -> Vec<(String, DeviceNumber)> {
    let mut devices = Vec::new();
    while let Some(head) = payload.first_chunk::<12>() {
        let device = u64::from_ne_bytes(*head.first_chunk().expect("8 of 12 bytes"));
        let next = u32::from_ne_bytes(*head.last_chunk().expect("4 of 12 bytes"));
        let name = table::text(&payload[12..]);
        devices.extend(name.filter(|_| device != 0).map(|name| (name, DeviceNumber::of(device))));
        match payload.get(next as usize..) {
            Some(rest) if next != 0 => payload = rest,
            _ => break,
        }
    }
    devices
}

#[cfg(test)]
mod tests;
