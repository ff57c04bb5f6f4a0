//! Does what a plan says.

use std::path::PathBuf;

use sealpack_format::digest::ObjectId;
use sealpack_kernel::Kernel;
use sealpack_kernel::mountinfo::{self, Mount};

use crate::error::Error;
use crate::level::Assurance;
use crate::metadata::{Backing, CheckedImage, explained};
use crate::plan::{Plan, Setting};
use crate::table::image_of;
use crate::{overlay, target};

/// What was mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Achieved {
    /// The metadata image's fs-verity digest.
    pub image: ObjectId,
    /// Where it is mounted, without symbolic links.
    pub target: PathBuf,
    /// The mount's number in mountinfo.
    pub mount_id: u64,
    /// Whether something can be written to it.
    pub read_write: bool,
    /// What the kernel reads the metadata image from.
    pub backing: Backing,
    /// What the mount is good for.
    pub assurance: Assurance,
}

/// Mounts what `plan` says.
///
/// The metadata image is checked before anything is mounted, and what is mounted is the very
/// file that was checked. Nobody sees the mount before it is complete: everything is made
/// detached and attached to the target last. Without fs-verity, somebody who can write to the
/// metadata image can still change it afterwards; the result is [`Level::Plain`](crate::Level::Plain) then.
///
/// # Errors
/// See [`Error`]. Whatever fails, nothing stays mounted and no loop device stays attached.
pub fn apply(kernel: &Kernel, plan: &Plan) -> Result<Achieved, Error> {
    let target = target::open_target(kernel, &plan.target)?;
    let layers = target::open_layers(kernel, plan)?;
    let image = CheckedImage::open(kernel, plan)?;
    let assurance = Assurance::of_files(image.has_verity, plan.objects_have_verity);
    if assurance.level < plan.required {
        return Err(Error::Level { required: plan.required, actual: assurance });
    }

    let metadata = image.mount(kernel, &plan.metadata)?;
    let overlay = overlay::mount(kernel, &plan.overlay, &metadata.mount, &layers)?;
    let doing = "finding the mount's number";
    let location = kernel.location(&overlay).map_err(|error| Error::Call { doing, error })?;
    kernel
        .attach(&overlay, &target.file)
        .map_err(|error| explained("attaching the mount to the target", plan.overlay.fs_type, error))?;
    let achieved = Achieved {
        image: plan.image_id,
        target: target.path,
        mount_id: location.mount_id,
        read_write: !plan.overlay.attributes.read_only,
        backing: metadata.backing,
        assurance,
    };
    if let Err(error) = confirm(plan, &achieved) {
        let doing = "undoing a mount that is not as planned";
        kernel.detach(&overlay).map_err(|error| Error::Call { doing, error })?;
        return Err(error);
    }
    Ok(achieved)
}

/// Checks that the mount is what it was planned to be, as the kernel shows it, and that nobody
/// else mounted an image on the target since that was looked at.
fn confirm(plan: &Plan, achieved: &Achieved) -> Result<(), Error> {
    let mounts = mountinfo::read_own().map_err(Error::Mountinfo)?;
    let target = || achieved.target.clone();
    let Some(mount) = mounts.iter().find(|mount| mount.id == achieved.mount_id) else {
        return Err(Error::NotAsPlanned { target: target(), difference: "it is not in the list of mounts" });
    };
    if let Some(difference) = difference(plan, mount) {
        return Err(Error::NotAsPlanned { target: target(), difference });
    }
    let is_covered = |other: &&Mount| other.id == mount.parent_id && other.mount_point == mount.mount_point;
    match mounts.iter().find(is_covered).and_then(image_of) {
        Some(image) => Err(Error::AlreadyMounted { target: target(), image }),
        None => Ok(()),
    }
}

/// What is different from the plan, `None` when nothing is.
fn difference(plan: &Plan, mount: &Mount) -> Option<&'static str> {
    let planned = &plan.overlay.attributes;
    let has_setting = |wanted: &Setting| plan.overlay.settings.contains(wanted);
    let verity = has_setting(&Setting::Text("verity", "require".into()));
    [
        (image_of(mount) == Some(plan.image_id), "its source names another image"),
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
    use crate::level::Level;
    use crate::plan::Request;

    #[test]
    fn every_promise_of_the_plan_is_looked_for_in_what_the_kernel_shows() {
        let hex = "ab".repeat(32);
        let plan = Plan::new(Request {
            image: "/x".into(),
            image_id: hex.parse().unwrap(),
            objects: vec!["/objects".into()],
            objects_have_verity: true,
            writable: None,
            target: "/mnt".into(),
            read_only: true,
            noexec: true,
            required: Level::Plain,
        })
        .unwrap();
        let good =
            format!("7 1 0:9 / /mnt ro,nosuid,nodev,noexec - overlay sealpack:{hex} ro,verity=require");
        let difference_after = |from: &str, to: &str| {
            let line = good.replacen(from, to, 1);
            difference(&plan, &mountinfo::parse(line.as_bytes()).unwrap()[0])
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
