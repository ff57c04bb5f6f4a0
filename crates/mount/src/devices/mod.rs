//! dm-verity devices: made, or shared with other mounts, in an order in which a process that
//! dies at any point leaves at most a device that nobody can have open, which
//! [`remove_leftovers`] removes.
//!
//! Device-mapper is locked from the look at a device to its resumption, so that nobody takes a
//! device in the making for a leftover.

mod broker;
mod compare;
mod leftovers;
mod live;
mod signatures;

use std::fs::File;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use sealpack_kernel::dm::{self, DeviceMapper, DeviceName, DeviceNumber};
use sealpack_kernel::{Errno, Kernel};

pub use broker::Broker;
pub(crate) use broker::{Client, Handed, Lowered, makes_overlays};
pub use leftovers::{remove_leftovers, root_hashes_in_use};
pub use live::{LiveDevice, live_devices};

use self::compare::Compared;
use self::leftovers::is_leftover;
use crate::error::Error;
use crate::plan::{Device, Signature};

/// How long to wait for others that are busy with device-mapper, each with a device or two.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait for a device to go that is on its way.
const GONE_PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait between two looks at it.
const GONE_STEP: Duration = Duration::from_millis(5);

/// How many devices there can be with one root hash, each of other files. Whoever changes it no longer finds the devices
/// of users that an older version made.
const NAMES_MAX: u64 = 16;

/// Whose devices have the plain names.
const SUPERUSER: u32 = 0;

const DOING: &str = "activating a dm-verity device";

/// dm-verity, where the kernel has it.
pub(crate) struct Verity<'k> {
    kernel: &'k Kernel,
    mapper: DeviceMapper<'k>,
    /// For whom devices are made, which have names of their own for each: one user's cannot take the names that another's
    /// would have.
    user: u32,
}

/// The open files that a device is made of.
#[derive(Clone, Copy)]
pub(crate) struct Files<'f> {
    pub(crate) data: &'f File,
    /// The hash area's file, if it is another.
    pub(crate) tree: Option<&'f File>,
}

/// A device that is active and open.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) device: dm::Device,
    pub(crate) name: DeviceName,
    /// Why it is not signed; `None` when it is.
    pub(crate) why_unsigned: Option<String>,
}

/// What came of one attempt to have a device of a name.
enum Attempt {
    Done(dm::Device),
    /// The name is taken by a device of other files with the same content.
    Taken,
    /// A device of that name is going or was removed: try again.
    Again,
}

impl<'k> Verity<'k> {
    /// dm-verity, rid of what dead mounts left behind; or in words why there is none.
    pub(crate) fn open(kernel: &'k Kernel) -> Result<Result<Self, String>, Error> {
        let call = |error| Error::call(DOING, error);
        let mapper = match kernel.device_mapper() {
            Ok(mapper) => mapper,
            Err(error) => {
                return match error.errno() {
                    Errno::NOENT | Errno::NODEV | Errno::NXIO => {
                        Ok(Err("the kernel has no device-mapper".to_owned()))
                    }
                    _ => Err(call(error)),
                };
            }
        };
        if !mapper.has_target("verity").map_err(call)? {
            return Ok(Err("the kernel has no dm-verity".to_owned()));
        }
        let verity = Self { kernel, mapper, user: SUPERUSER };
        verity.sweep()?;
        Ok(Ok(verity))
    }

    /// The same, for a process that knows that there is dm-verity.
    pub(crate) fn known(kernel: &'k Kernel, user: u32) -> Result<Self, Error> {
        let mapper = kernel.device_mapper().map_err(|error| Error::call(DOING, error))?;
        Ok(Self { kernel, mapper, user })
    }

    /// Removes what dead mounts left behind.
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        leftovers::sweep(&self.mapper).map(drop)
    }

    /// The device, signed if the kernel accepts one of the signatures, unsigned if it knows the
    /// signer of none. In words why it has none, where it takes no unsigned devices.
    ///
    /// # Errors
    /// A signature that is not of this root hash, by a revoked key, or is none.
    pub(crate) fn activate(
        &self,
        what: &str,
        planned: &Device,
        files: &Files<'_>,
    ) -> Result<Result<Active, String>, Error> {
        let why_unsigned = match self.activate_signed(what, planned, files)? {
            Ok(active) => return Ok(Ok(active)),
            Err(why) => why,
        };
        match self.device(planned, files, None) {
            Ok((device, name)) => Ok(Ok(Active { device, name, why_unsigned: Some(why_unsigned) })),
            Err(Error::Call { error, .. })
                if signatures::is_of_load(&error) && error.errno() == Errno::NOKEY =>
            {
                let why = "the kernel takes no unsigned devices (dm_verity.require_signatures)";
                Ok(Err(format!("{why}, and {why_unsigned}")))
            }
            Err(error) => Err(error),
        }
    }

    /// As [`activate`](Self::activate), but only a signed device; in words why there is none.
    fn activate_signed(
        &self,
        what: &str,
        planned: &Device,
        files: &Files<'_>,
    ) -> Result<Result<Active, String>, Error> {
        signatures::first_accepted(self.kernel, what, planned, |signature| {
            let (device, name) = self.device(planned, files, Some(signature))?;
            Ok(Active { device, name, why_unsigned: None })
        })
    }

    /// Whether this process may make devices.
    pub(crate) fn may_make(&self) -> Result<bool, Error> {
        self.mapper.may_change().map_err(|error| Error::call(DOING, error))
    }

    /// How many devices there are of this user's.
    pub(crate) fn count(&self) -> Result<usize, Error> {
        let numbers = numbers_of(self.user);
        self.count_where(|number| numbers.contains(&number))
    }

    /// How many there are of all users together but the superuser.
    pub(crate) fn count_of_users(&self) -> Result<usize, Error> {
        self.count_where(is_of_users)
    }

    fn count_where(&self, is_counted: impl Fn(u64) -> bool) -> Result<usize, Error> {
        let devices =
            self.mapper.devices().map_err(|error| Error::call("listing the devices in use", error))?;
        let numbers = devices.iter().filter_map(|(name, _)| leftovers::parts_of(name));
        Ok(numbers.filter(|(_, number)| is_counted(*number)).count())
    }

    /// Has the device made, or shares the one there is.
    pub(crate) fn device(
        &self,
        planned: &Device,
        files: &Files<'_>,
        signature: Option<&Signature>,
    ) -> Result<(dm::Device, DeviceName), Error> {
        let numbers = numbers_of(self.user);
        let mut number = *numbers.start();
        let started = Instant::now();
        loop {
            let name = planned.name(signature.is_some(), number);
            match self.attempt(&name, planned, files, signature)? {
                Attempt::Done(device) => return Ok((device, name)),
                Attempt::Taken if number < *numbers.end() => number += 1,
                Attempt::Taken => return Err(Error::DevicesTaken { name }),
                Attempt::Again if started.elapsed() < GONE_PATIENCE => std::thread::sleep(GONE_STEP),
                Attempt::Again => return Err(Error::DeviceStuck { name }),
            }
        }
    }

    fn attempt(
        &self,
        name: &DeviceName,
        planned: &Device,
        files: &Files<'_>,
        signature: Option<&Signature>,
    ) -> Result<Attempt, Error> {
        let call = |error| Error::call(DOING, error);
        let _lock = self.mapper.lock(LOCK_PATIENCE).map_err(call)?;
        match self.mapper.status(name).map_err(call)? {
            None => self.create(name, planned, files, signature).map_err(call),
            Some(status) if is_leftover(&status) => match self.mapper.remove(name) {
                Ok(()) => Ok(Attempt::Again),
                Err(error) if is_race(&error) => Ok(Attempt::Again),
                Err(error) => Err(call(error)),
            },
            Some(_) => self.share(name, planned, files, signature.is_some()),
        }
    }

    /// Opens the device that there is, and compares it.
    fn share(
        &self,
        name: &DeviceName,
        planned: &Device,
        files: &Files<'_>,
        is_signed: bool,
    ) -> Result<Attempt, Error> {
        let device = match self.mapper.open(name) {
            Ok(device) => device,
            Err(error) if is_race(&error) => return Ok(Attempt::Again),
            Err(error) => return Err(Error::call(DOING, error)),
        };
        match compare::compare(self.kernel, &self.mapper, name, planned, files, is_signed)? {
            Compared::Same => Ok(Attempt::Done(device)),
            Compared::OtherFiles => Ok(Attempt::Taken),
            Compared::Unfinished => Ok(Attempt::Again),
            Compared::Different(difference) => Err(Error::DeviceDiffers { name: name.clone(), difference }),
        }
    }

    /// Makes the device. Whatever fails, none stays.
    fn create(
        &self,
        name: &DeviceName,
        planned: &Device,
        files: &Files<'_>,
        signature: Option<&Signature>,
    ) -> Result<Attempt, sealpack_kernel::Error> {
        let data = self.kernel.attach_loop(files.data.as_fd())?;
        let tree = files.tree.map(|tree| self.kernel.attach_loop(tree.as_fd())).transpose()?;
        let data_number = DeviceNumber::of_open(&data)?;
        let tree_number = tree.as_ref().map_or(Ok(data_number), DeviceNumber::of_open)?;
        let table = planned.table(signature.map(|_| name), data_number, tree_number);
        match self.mapper.create(name) {
            Ok(_) => {}
            // Somebody made one without asking for the lock.
            Err(error) if error.errno() == Errno::BUSY => return Ok(Attempt::Again),
            Err(error) => return Err(error),
        }
        let finish = || {
            let key = signature.map(|signature| self.kernel.add_thread_key(name.as_str(), &signature.der));
            let key = key.transpose()?;
            self.mapper.load(name, &table)?;
            drop(key);
            let device = self.mapper.open(name)?;
            self.mapper.remove_when_unused(name)?;
            self.mapper.resume(name)?;
            Ok(device)
        };
        finish().map(Attempt::Done).inspect_err(|_| {
            // At once, or with whoever looks at it at the moment. The first error is the one to tell.
            let _ = self.mapper.remove_when_unused(name);
        })
    }

    /// Whether the device has seen blocks that do not belong to its root hash.
    pub(crate) fn is_corrupted(&self, name: &DeviceName) -> bool {
        let status = self.mapper.target_status(name).ok().flatten().unwrap_or_default();
        status.iter().any(|target| target.parameters.starts_with('C'))
    }
}

/// The numbers in the names of a user's devices: the first ones are the superuser's.
fn numbers_of(user: u32) -> RangeInclusive<u64> {
    let first = u64::from(user) * NAMES_MAX + 1;
    first..=first + NAMES_MAX - 1
}

/// Whether a device with this number in its name is one of a user's, and not the superuser's.
fn is_of_users(number: u64) -> bool {
    number > *numbers_of(SUPERUSER).end()
}

/// Whether a device may have gone between two calls.
fn is_race(error: &sealpack_kernel::Error) -> bool {
    matches!(error.errno(), Errno::NXIO | Errno::NOENT | Errno::NODEV | Errno::STALE | Errno::BUSY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_of_their_own_for_their_devices() {
        let root_hash = "ab".repeat(32).parse().unwrap();
        let device = Device { root_hash, data_blocks: 5, tree: None, signatures: Vec::new() };
        assert_eq!(numbers_of(0), 1..=16);
        assert_eq!(numbers_of(1), 17..=32);
        assert!([1, 16].iter().all(|number| !is_of_users(*number)) && is_of_users(17));
        let last = numbers_of(u32::MAX);
        let name = device.name(true, *last.end());
        assert_eq!(leftovers::parts_of(name.as_str()), Some((root_hash, *last.end())));
        assert_eq!(leftovers::parts_of(device.name(true, 1).as_str()), Some((root_hash, 1)));
    }
}
