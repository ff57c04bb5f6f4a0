//! What the broker does once a request is found to be one.

use std::os::fd::{AsFd, OwnedFd};

use sealpack_format::ObjectId;
use sealpack_format::broker::{Layer, Refusal, Step};
use sealpack_kernel::ipe::OpenPolicy;
use sealpack_kernel::mount::DetachedMount;
use sealpack_kernel::{Errno, Kernel};
use sealpack_mount::handed::{self, Devices, Wanted};

use super::answer::{of_call, of_mount, refused};
use super::files::Files;
use super::limits::may_make;

const SUPERUSER: u32 = 0;

/// What is done for clients. Tests do something else.
pub(super) trait Work {
    /// Requires that the user may have so many more devices.
    fn count(&mut self, more: usize) -> Result<(), Refusal>;

    /// Mounts what is on a device, owners mapped by a user namespace if there is one.
    fn mount(
        &mut self,
        layer: &Layer<'_>,
        files: &Files,
        map: Option<&OwnedFd>,
    ) -> Result<DetachedMount, Refusal>;

    /// Makes the overlay.
    fn overlay(&mut self, image: &ObjectId, lowers: &[DetachedMount]) -> Result<DetachedMount, Refusal>;

    /// Who made a user namespace.
    fn owner(&self, namespace: &OwnedFd) -> Result<u32, Refusal>;

    /// Replaces the policy.
    fn update(&mut self, signed: &[u8]) -> Result<(), Refusal>;
}

/// What is done by the kernel, for one user.
pub(super) struct OfKernel<'k> {
    kernel: &'k Kernel,
    policy: Option<&'k OpenPolicy>,
    user: u32,
    /// Whether somebody died who may have left a device.
    sweeps: bool,
    devices: Option<Devices<'k>>,
}

impl<'k> OfKernel<'k> {
    pub(super) const fn new(
        kernel: &'k Kernel,
        policy: Option<&'k OpenPolicy>,
        user: u32,
        sweeps: bool,
    ) -> Self {
        Self { kernel, policy, user, sweeps, devices: None }
    }

    /// Whether it was to look for what somebody left, and has not.
    pub(super) const fn is_to_sweep(&self) -> bool {
        self.sweeps
    }

    fn devices(&mut self) -> Result<&Devices<'k>, Refusal> {
        let failed = |error: sealpack_mount::Error| of_mount(Step::Device, &error);
        let devices = match self.devices.take() {
            Some(devices) => devices,
            None => Devices::open(self.kernel, self.user).map_err(failed)?,
        };
        if std::mem::take(&mut self.sweeps) {
            devices.sweep().map_err(failed)?;
        }
        Ok(self.devices.insert(devices))
    }
}

impl Work for OfKernel<'_> {
    fn count(&mut self, more: usize) -> Result<(), Refusal> {
        if self.user == SUPERUSER {
            return Ok(());
        }
        let failed = |error| of_mount(Step::Limit, &error);
        let devices = self.devices()?;
        let (of_user, of_users) =
            (devices.count().map_err(failed)?, devices.count_of_users().map_err(failed)?);
        may_make(more, of_user, of_users).map_err(|text| refused(Errno::USERS, Step::Limit, text))
    }

    fn mount(
        &mut self,
        layer: &Layer<'_>,
        files: &Files,
        map: Option<&OwnedFd>,
    ) -> Result<DetachedMount, Refusal> {
        let wanted = Wanted {
            root_hash: layer.root_hash,
            data_blocks: layer.data_blocks,
            data: &files.data,
            tree: files.tree.as_ref(),
            signature: layer.signature,
        };
        let mount = self.devices()?.mount(&wanted).map_err(|error| of_mount(Step::Mount, &error))?;
        if let Some(map) = map {
            let mapped = self.kernel.set_idmap(&mount, map);
            mapped.map_err(|error| of_call(Step::Namespace, &error))?;
        }
        Ok(mount)
    }

    fn overlay(&mut self, image: &ObjectId, lowers: &[DetachedMount]) -> Result<DetachedMount, Refusal> {
        handed::overlay(self.kernel, image, lowers).map_err(|error| of_mount(Step::Overlay, &error))
    }

    fn owner(&self, namespace: &OwnedFd) -> Result<u32, Refusal> {
        let owner = self.kernel.owner_of_user_namespace(namespace.as_fd());
        owner.map_err(|error| of_call(Step::Namespace, &error))
    }

    fn update(&mut self, signed: &[u8]) -> Result<(), Refusal> {
        let Some(policy) = self.policy else {
            return Err(refused(
                Errno::OPNOTSUPP,
                Step::Policy,
                "no policy was active when the broker began",
            ));
        };
        self.kernel.update_policy(policy, signed).map_err(|error| of_call(Step::Policy, &error))
    }
}
