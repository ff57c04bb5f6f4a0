//! Mounts of devices from descriptors that somebody else opened, with a signature always: what the broker does for others.

use std::fs::File;

use sealpack_format::digest::{ObjectId, RootHash};
use sealpack_kernel::Kernel;
use sealpack_kernel::mount::DetachedMount;

use crate::devices::{Files, Verity};
use crate::error::Error;
use crate::lowers::{explained, mount_from_device};
use crate::overlay;
use crate::plan::{Device, Signature, lower_for_others, overlay_for_others};

/// A device that somebody wants to be mounted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What everything on it hashes to.
    pub root_hash: RootHash,
    /// How many blocks of 4096 bytes it has.
    pub data_blocks: u64,
    /// The file that it is of.
    pub data: &'a File,
    /// The file with its hash area; without one, that is behind the data.
    pub tree: Option<&'a File>,
    /// A signature of the root hash, detached PKCS#7 in DER.
    pub signature: &'a [u8],
}

/// Device-mapper, for the devices of one user.
pub struct Devices<'k> {
    kernel: &'k Kernel,
    verity: Verity<'k>,
}

impl<'k> Devices<'k> {
    /// Device-mapper, which has to have dm-verity.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(kernel: &'k Kernel, user: u32) -> Result<Self, Error> {
        Ok(Self { kernel, verity: Verity::known(kernel, user)? })
    }

    /// Removes what was left behind by somebody who died while making a device, whosever.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn sweep(&self) -> Result<(), Error> {
        self.verity.sweep()
    }

    /// How many devices there are of this user's.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn count(&self) -> Result<usize, Error> {
        self.verity.count()
    }

    /// How many devices there are of all users together but the superuser.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn count_of_users(&self) -> Result<usize, Error> {
        self.verity.count_of_users()
    }

    /// Mounts what is on the device, attached nowhere: activates it, or shares the one there is of the same files. It goes
    /// with its last mount.
    ///
    /// # Errors
    /// [`Error::Call`] with the call that the kernel refused, the signature's among them.
    pub fn mount(&self, wanted: &Wanted<'_>) -> Result<DetachedMount, Error> {
        let Wanted { root_hash, data_blocks, data, tree, signature } = *wanted;
        let device = Device::handed(root_hash, data_blocks, tree.is_some());
        let signature = Signature { der: signature.to_vec(), signer: String::new() };
        let (device, _) = self.verity.device(&device, &Files { data, tree }, Some(&signature))?;
        let filesystem = lower_for_others();
        mount_from_device(self.kernel, &filesystem, &device)
            .map_err(|error| explained("mounting a device", filesystem.fs_type, error))
    }
}

/// Makes the overlay of a metadata image and packs, mounted and attached nowhere, whose source says that it is of `image`.
///
/// # Errors
/// See [`Error`].
pub fn overlay(kernel: &Kernel, image: &ObjectId, lowers: &[DetachedMount]) -> Result<DetachedMount, Error> {
    let filesystem = overlay_for_others(image, lowers.len().saturating_sub(1));
    let lowers: Vec<_> = lowers.iter().collect();
    overlay::mount(kernel, &filesystem, &lowers, &[])
}
