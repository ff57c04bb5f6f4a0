//! Does what a plan says.

use std::path::{Path, PathBuf};

use sealpack_format::digest::ObjectId;
use sealpack_kernel::Kernel;
use sealpack_kernel::capabilities::CapabilitySet;
use sealpack_kernel::mount::DetachedMount;
use sealpack_kernel::mountinfo::{self, Mount};

use crate::devices::{Broker, Client, makes_overlays};
use crate::enforcement::{self, ExecutedDevice};
use crate::error::Error;
use crate::level::{Assurance, Level};
use crate::lowers::{Backing, OpenLowers, Way, explained};
use crate::plan::{Filesystem, Layer, Plan, Setting, asked_for};
use crate::source::image_of;
use crate::target::Directory;
use crate::{overlay, target};

/// What was mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Achieved {
    /// The metadata image's fs-verity digest.
    pub image: ObjectId,
    /// Where it is mounted, without symbolic links.
    pub target: PathBuf,
    /// The mount's number in mountinfo.
    pub mount_id: u64,
    /// Major and minor number of the overlay's device, as [`Mounted`](crate::Mounted) has it.
    pub device: (u32, u32),
    /// Whether something can be written to it.
    pub read_write: bool,
    /// Whether set-user-ID bits work.
    pub suid: bool,
    /// What the kernel reads the metadata image from.
    pub backing: Backing,
    /// What it reads the packs from, in their order.
    pub packs: Vec<Backing>,
    /// What the mount is good for.
    pub assurance: Assurance,
}

/// Mounts what `plan` says, with no more than the rights of this process.
///
/// Metadata image and packs are checked before anything is mounted, and what is mounted are the
/// very files that were checked. Nobody sees the mount before it is complete: everything is made
/// detached and attached to the target last. Without fs-verity or dm-verity, somebody who can
/// write to the files can still change them afterwards; the result is [`Level::Plain`] then.
///
/// # Errors
/// See [`Error`]. Whatever fails, nothing stays mounted and no device stays.
pub fn apply(kernel: &Kernel, plan: &Plan) -> Result<Achieved, Error> {
    apply_with(kernel, plan, None)
}

/// As [`apply`]; where this process may not make devices, `broker` makes them, if there is one.
///
/// A process that may do the rest gets a mount of each device from it, and makes the same of them as otherwise. For others
/// the broker makes the whole mount, read-only and nosuid, which they attach in a mount namespace of their own.
///
/// # Errors
/// As [`apply`]; and what the broker refuses.
pub fn apply_with(kernel: &Kernel, plan: &Plan, broker: Option<&Broker>) -> Result<Achieved, Error> {
    let target = target::open_target(kernel, &plan.target)?;
    let directories = target::open_layers(kernel, plan)?;
    if plan.required == Level::Enforced
        && let Err(why) = enforcement::in_force_for(kernel, devices_of(plan))
    {
        return Err(Error::NotEnforced { why });
    }
    let lowers = OpenLowers::open(kernel, plan)?;
    let made = match Way::find(kernel, plan, broker)? {
        Way::Broker(client) if !makes_overlays(kernel)? => made_by_broker(kernel, plan, &lowers, &client)?,
        way => make(kernel, plan, lowers, &way, &directories)?,
    };
    let Made { overlay, filesystem, backings, assurance } = made;
    let doing = "finding the mount's number";
    let location = kernel.location(&overlay).map_err(|error| Error::Call { doing, error })?;
    kernel
        .attach(&overlay, &target.file)
        .map_err(|error| explained("attaching the mount to the target", filesystem.fs_type, error))?;
    let device = match confirm(plan, &filesystem, &target.path, location.mount_id) {
        Ok(device) => device,
        Err(error) => {
            let doing = "undoing a mount that is not as planned";
            kernel.detach(&overlay).map_err(|error| Error::Call { doing, error })?;
            return Err(error);
        }
    };
    let mut backings = backings.into_iter();
    Ok(Achieved {
        image: plan.image_id,
        target: target.path,
        mount_id: location.mount_id,
        device,
        read_write: !filesystem.attributes.read_only,
        suid: !filesystem.attributes.nosuid,
        backing: backings.next().expect("every plan has a metadata image"),
        packs: backings.collect(),
        assurance,
    })
}

/// A mount that is attached nowhere yet.
struct Made {
    overlay: DetachedMount,
    /// How it was made.
    filesystem: Filesystem,
    /// What the kernel reads the metadata image from, then the packs.
    backings: Vec<Backing>,
    assurance: Assurance,
}

/// Makes it, of devices of whosever.
fn make(
    kernel: &Kernel,
    plan: &Plan,
    lowers: OpenLowers<'_>,
    way: &Way<'_>,
    directories: &[Directory],
) -> Result<Made, Error> {
    let lowers = lowers.mount(kernel, plan, way)?;
    let assurance = assurance_of(kernel, plan, lowers.assurance.clone());
    enough(plan, &assurance)?;
    let filesystem = overlay_of(plan, &assurance);
    let overlay = overlay::mount(kernel, &filesystem, &lowers.mounts(), directories)?;
    let backings = lowers.mounted.into_iter().map(|lower| lower.backing).collect();
    Ok(Made { overlay, filesystem, backings, assurance })
}

/// Has the broker make it.
fn made_by_broker(
    kernel: &Kernel,
    plan: &Plan,
    lowers: &OpenLowers<'_>,
    client: &Client<'_>,
) -> Result<Made, Error> {
    let is_upper = |setting: &Setting| match setting {
        Setting::Layer("upperdir", Layer::Directory(path)) => Some(path.clone()),
        _ => None,
    };
    if let Some(upper) = plan.overlay.settings.iter().find_map(is_upper) {
        return Err(Error::WritableByBroker(upper));
    }
    let doing = "looking at what this process may";
    let capabilities = kernel.effective_capabilities().map_err(|error| Error::Call { doing, error })?;
    if !capabilities.contains(CapabilitySet::SYS_ADMIN) {
        return Err(Error::NoNamespace);
    }
    let devices = lowers.for_broker().ok_or_else(|| Error::OnlySigned { why: asked_for() })?;
    let assurance = assurance_of(kernel, plan, Assurance::new(Level::Signed, ""));
    enough(plan, &assurance)?;
    let overlay = client.overlay(&plan.image_id, &devices)?.map_err(|why| Error::OnlySigned { why })?;
    let mut filesystem = plan.overlay.clone();
    filesystem.attributes.nosuid = true;
    if filesystem.attributes.noexec {
        let set = kernel.set_attributes(&overlay, filesystem.attributes);
        set.map_err(|error| Error::Call { doing: "letting nothing be executed", error })?;
    }
    let backings = vec![Backing::Broker; devices.len()];
    Ok(Made { overlay, filesystem, backings, assurance })
}

fn enough(plan: &Plan, assurance: &Assurance) -> Result<(), Error> {
    if assurance.level < plan.required {
        return Err(Error::Level { required: plan.required, actual: assurance.clone() });
    }
    Ok(())
}

/// What the mount will be good for, the policy in force considered.
fn assurance_of(kernel: &Kernel, plan: &Plan, assurance: Assurance) -> Assurance {
    if assurance.level < Level::Signed || plan.at_most < Level::Enforced {
        return assurance;
    }
    match enforcement::in_force_for(kernel, devices_of(plan)) {
        Ok(()) => Assurance::new(Level::Enforced, ""),
        Err(why) => Assurance::new(Level::Signed, why),
    }
}

/// The devices that the mount will be on if it reaches [`Level::Signed`].
fn devices_of(plan: &Plan) -> impl Iterator<Item = ExecutedDevice> + '_ {
    let devices = plan.lowers.iter().filter_map(|lower| Some((lower.layer.what(), lower.device.as_ref()?)));
    devices.map(|(what, device)| ExecutedDevice { what, root_hash: device.root_hash, signed: true })
}

/// The overlay as planned, with set-user-ID bits if all that is in it was signed.
fn overlay_of(plan: &Plan, assurance: &Assurance) -> Filesystem {
    let mut filesystem = plan.overlay.clone();
    filesystem.attributes.nosuid = !(plan.suid_if_signed && assurance.level >= Level::Signed);
    filesystem
}

/// Checks that the mount is what it was planned to be, as the kernel shows it, and that nobody
/// else mounted an image on the target since that was looked at. Returns the number of its device.
fn confirm(plan: &Plan, filesystem: &Filesystem, target: &Path, mount_id: u64) -> Result<(u32, u32), Error> {
    let mounts = mountinfo::read_own().map_err(Error::Mountinfo)?;
    let target = || target.to_owned();
    let Some(mount) = mounts.iter().find(|mount| mount.id == mount_id) else {
        return Err(Error::NotAsPlanned { target: target(), difference: "it is not in the list of mounts" });
    };
    if let Some(difference) = difference(&plan.image_id, filesystem, mount) {
        return Err(Error::NotAsPlanned { target: target(), difference });
    }
    let is_covered = |other: &&Mount| other.id == mount.parent_id && other.mount_point == mount.mount_point;
    match mounts.iter().find(is_covered).and_then(image_of) {
        Some(image) => Err(Error::AlreadyMounted { target: target(), image }),
        None => Ok(mount.device),
    }
}

/// What is different from the plan, `None` when nothing is.
fn difference(image: &ObjectId, filesystem: &Filesystem, mount: &Mount) -> Option<&'static str> {
    let planned = &filesystem.attributes;
    let has_setting = |wanted: &Setting| filesystem.settings.contains(wanted);
    let verity = has_setting(&Setting::Text("verity", "require".into()));
    [
        (image_of(mount).as_ref() == Some(image), "its source names another image"),
        (!planned.read_only || mount.has_attribute("ro"), "it is writable"),
        (!planned.nosuid || mount.has_attribute("nosuid"), "it allows set-user-ID programs"),
        (!planned.nodev || mount.has_attribute("nodev"), "it allows device nodes"),
        (!planned.noexec || mount.has_attribute("noexec"), "it allows execution"),
        (
            !verity || mount.option("verity").is_some_and(|value| value == "require"),
            "it does not check the objects",
        ),
    ]
    .into_iter()
    .find_map(|(is_as_planned, difference)| (!is_as_planned).then_some(difference))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Objects, Request};

    #[test]
    fn every_promise_of_the_plan_is_looked_for_in_what_the_kernel_shows() {
        let hex = "ab".repeat(32);
        let plan = Plan::new(Request {
            image: "/x".into(),
            image_id: hex.parse().unwrap(),
            objects: Objects::Files { directories: vec!["/objects".into()], have_verity: true },
            writable: None,
            target: "/mnt".into(),
            read_only: true,
            noexec: true,
            nosuid: false,
            required: Level::Plain,
            at_most: Level::Enforced,
        })
        .unwrap();
        let good =
            format!("7 1 0:9 / /mnt ro,nosuid,nodev,noexec - overlay sealpack:{hex} ro,verity=require");
        let difference_after = |from: &str, to: &str| {
            let line = good.replacen(from, to, 1);
            difference(&plan.image_id, &plan.overlay, &mountinfo::parse(line.as_bytes()).unwrap()[0])
        };
        assert_eq!(difference_after("", ""), None);
        assert_eq!(difference_after("sealpack:ab", "sealpack:ba"), Some("its source names another image"));
        assert_eq!(difference_after("ro,nosuid", "rw,nosuid"), Some("it is writable"));
        assert_eq!(difference_after("nosuid,", ""), Some("it allows set-user-ID programs"));
        assert_eq!(difference_after("nodev,", ""), Some("it allows device nodes"));
        assert_eq!(difference_after(",noexec", ""), Some("it allows execution"));
        assert_eq!(difference_after("verity=require", "verity=on"), Some("it does not check the objects"));
    }
}
