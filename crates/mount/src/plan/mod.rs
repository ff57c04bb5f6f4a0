//! What would be mounted, and how.

mod device;
mod request;
mod text;

use std::path::{Path, PathBuf};

use sealpack_format::digest::{ObjectId, RootHash};
use sealpack_kernel::mount::MountAttributes;

use crate::level::{Assurance, Level};
use crate::source::source_of;

pub use device::Device;
pub(crate) use device::NAME_PREFIX;
pub use request::{MetadataHashArea, Objects, Pack, Request, Signature, Writable};

/// A request that cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// An upper directory without a work directory.
    #[error(
        "upper directory {} needs a work directory with it: an empty directory on the same filesystem",
        upper.display()
    )]
    NoWork {
        /// The upper directory.
        upper: PathBuf,
    },
    /// A work directory without an upper directory.
    #[error("work directory {} is of no use without an upper directory", work.display())]
    NoUpper {
        /// The work directory.
        work: PathBuf,
    },
    /// No directory of objects, or no pack.
    #[error("no directory with objects and no pack is given")]
    NoObjects,
    /// More lower layers than overlayfs takes.
    #[error("{count} directories with objects, or packs, are more than overlayfs takes: {OBJECTS_MAX}")]
    TooManyObjects {
        /// How many.
        count: usize,
    },
    /// More is required than is to be tried for.
    #[error("{required} is required, but at most {at_most} is to be tried for")]
    Contradiction {
        /// The level required.
        required: Level,
        /// The most that is to be tried for.
        at_most: Level,
    },
    /// The level required cannot be reached, whatever the machine.
    #[error("{required} is required, but this mount would be {best}")]
    Level {
        /// The level required.
        required: Level,
        /// The best that this mount can be.
        best: Assurance,
    },
}

/// overlayfs takes 500 lower layers (fs/overlayfs/params.c, `OVL_MAX_STACK`); one is the
/// metadata image.
const OBJECTS_MAX: usize = 499;

/// What will be mounted, and how. Made without looking at the machine: what depends on it is in
/// the plan as a condition.
///
/// `Display` shows the system calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(crate) image_id: ObjectId,
    pub(crate) target: PathBuf,
    pub(crate) required: Level,
    pub(crate) at_most: Level,
    /// With objects in files, whether all have fs-verity; `None` with packs.
    pub(crate) files_have_verity: Option<bool>,
    /// Whether the packs need not be looked into, as it is known what they have.
    pub(crate) packs_are_complete: bool,
    /// The metadata image, then the packs.
    pub(crate) lowers: Vec<Lower>,
    /// How each of them is mounted.
    pub(crate) lower: Filesystem,
    /// As it is mounted unless signatures are accepted.
    pub(crate) overlay: Filesystem,
    /// Whether set-user-ID bits work once the kernel accepted signatures of all lowers.
    pub(crate) suid_if_signed: bool,
    best: Assurance,
}

/// A filesystem image to be mounted as a lower layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lower {
    /// What it is.
    pub layer: Layer,
    /// The file.
    pub path: PathBuf,
    /// The device that it is mounted from; without, or where the kernel has no dm-verity, the
    /// file is mounted itself.
    pub device: Option<Device>,
}

/// A filesystem to be made with the mount API and mounted, attached nowhere yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    /// The type, as fsopen takes it.
    pub fs_type: &'static str,
    /// What it is configured with, in order.
    pub settings: Vec<Setting>,
    /// The attributes of the mount.
    pub attributes: MountAttributes,
}

/// One call of fsconfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// An option without a value.
    Flag(&'static str),
    /// An option and its value.
    Text(&'static str, String),
    /// The option that takes the path of what is mounted, given as the path of a descriptor.
    Source,
    /// An option that takes a descriptor.
    Layer(&'static str, Layer),
}

/// Something that was opened or made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// The metadata image.
    Metadata,
    /// A pack, by its place among the packs, from 0.
    Pack(usize),
    /// A directory.
    Directory(PathBuf),
}

impl Layer {
    /// What messages call what is on it.
    pub(crate) const fn what(&self) -> &'static str {
        match self {
            Self::Pack(_) => "the pack",
            Self::Metadata | Self::Directory(_) => "the metadata image",
        }
    }
}

impl Plan {
    /// Plans `request`.
    ///
    /// The mount is nodev, always. It is nosuid unless the kernel accepts signatures of all that
    /// is in it: what nobody signed must not give privileges to whoever executes it. For that
    /// reason it is nosuid with an upper directory too.
    ///
    /// # Errors
    /// When the request contradicts itself, or requires a [`Level`] that it cannot reach.
    pub fn new(request: Request) -> Result<Self, PlanError> {
        let (required, at_most) = (request.required, request.at_most);
        if at_most < required {
            return Err(PlanError::Contradiction { required, at_most });
        }
        let best = best(&request);
        if best.level < required {
            return Err(PlanError::Level { required, best });
        }
        let count = match &request.objects {
            Objects::Files { directories, .. } => directories.len(),
            Objects::Packs { packs, .. } => packs.len(),
        };
        match count {
            0 => return Err(PlanError::NoObjects),
            1..=OBJECTS_MAX => {}
            count => return Err(PlanError::TooManyObjects { count }),
        }
        Ok(Self {
            lower: lower(),
            overlay: overlay(&request),
            files_have_verity: match &request.objects {
                Objects::Files { have_verity, .. } => Some(*have_verity),
                Objects::Packs { .. } => None,
            },
            packs_are_complete: matches!(request.objects, Objects::Packs { are_complete: true, .. }),
            suid_if_signed: request.writable.is_none() && !request.nosuid,
            image_id: request.image_id,
            target: request.target,
            required,
            at_most,
            lowers: lowers(request.image, request.objects, at_most),
            best,
        })
    }

    /// The directory that will be mounted on.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The filesystem images that will be mounted: the metadata image, then the packs.
    #[must_use]
    pub fn lowers(&self) -> &[Lower] {
        &self.lowers
    }

    /// The overlay of all, as it will be mounted unless the kernel accepts signatures.
    #[must_use]
    pub const fn overlay(&self) -> &Filesystem {
        &self.overlay
    }

    /// The best that the mount can be, if the machine has everything for it.
    #[must_use]
    pub const fn best(&self) -> &Assurance {
        &self.best
    }
}

/// What the mount is good for on the best of machines.
fn best(request: &Request) -> Assurance {
    let (metadata, packs) = match &request.objects {
        Objects::Files { have_verity, .. } => {
            return Assurance::of_files(true, *have_verity).at_most(request.at_most, asked_for);
        }
        Objects::Packs { metadata, packs, .. } => (metadata, packs),
    };
    let of = |what: &str, hash: &RootHash, signatures: &[Signature]| {
        if signatures.is_empty() {
            Assurance::new(Level::Verified, format!("there is no signature of {what}, root hash {hash}"))
        } else {
            Assurance::new(Level::Enforced, "")
        }
    };
    let mut parts = vec![of("the metadata image", &metadata.root_hash, &metadata.signatures)];
    parts.extend(packs.iter().map(|pack| of("a pack", &pack.root_hash, &pack.signatures)));
    Assurance::of_parts(&parts).at_most(request.at_most, asked_for)
}

/// Why a mount is less than it could be.
pub(crate) fn asked_for() -> String {
    "no more was asked for".to_owned()
}

fn lowers(image: PathBuf, objects: Objects, at_most: Level) -> Vec<Lower> {
    // What is not to be tried for is not in the plan.
    let limited = |mut device: Device| {
        if at_most < Level::Signed {
            device.signatures.clear();
        }
        (at_most > Level::Plain).then_some(device)
    };
    match objects {
        Objects::Files { .. } => vec![Lower { layer: Layer::Metadata, path: image, device: None }],
        Objects::Packs { metadata, packs, .. } => {
            let device = limited(Device::of_metadata(metadata));
            let metadata = Lower { layer: Layer::Metadata, path: image, device };
            let packs = packs.into_iter().enumerate().map(|(index, pack)| {
                let device = limited(Device::of_pack(&pack));
                Lower { layer: Layer::Pack(index), path: pack.path, device }
            });
            [metadata].into_iter().chain(packs).collect()
        }
    }
}

/// A metadata image or a pack. Nothing needs to be done with it but to be a layer.
fn lower() -> Filesystem {
    Filesystem {
        fs_type: "erofs",
        settings: vec![Setting::Flag("ro"), Setting::Source],
        attributes: MountAttributes { read_only: true, nosuid: true, nodev: true, noexec: true },
    }
}

/// The overlay of a metadata image and of so many packs, as the broker makes it for others.
pub(crate) fn overlay_for_others(image: &ObjectId, packs: usize) -> Filesystem {
    let mut settings = settings(image);
    settings.push(Setting::Layer("lowerdir+", Layer::Metadata));
    settings.extend((0..packs).map(|index| Setting::Layer("datadir+", Layer::Pack(index))));
    let attributes = MountAttributes { read_only: true, nosuid: true, nodev: true, noexec: false };
    Filesystem { fs_type: "overlay", settings, attributes }
}

/// A metadata image or a pack, as the broker mounts it for others: they may execute what is on it.
pub(crate) fn lower_for_others() -> Filesystem {
    let lower = lower();
    let attributes = MountAttributes { noexec: false, ..lower.attributes };
    Filesystem { attributes, ..lower }
}

/// What every overlay has.
fn settings(image: &ObjectId) -> Vec<Setting> {
    vec![
        Setting::Text("source", source_of(image)),
        Setting::Text("metacopy", "on".into()),
        Setting::Text("redirect_dir", "on".into()),
    ]
}

fn overlay(request: &Request) -> Filesystem {
    let mut settings = settings(&request.image_id);
    let directory = |key, path: &PathBuf| Setting::Layer(key, Layer::Directory(path.clone()));
    let metadata = Setting::Layer("lowerdir+", Layer::Metadata);
    match &request.objects {
        Objects::Files { directories, have_verity } => {
            settings.extend(have_verity.then(|| Setting::Text("verity", "require".into())));
            settings.push(metadata);
            settings.extend(directories.iter().map(|path| directory("datadir+", path)));
        }
        // Files in packs have no fs-verity; their devices check what is read.
        Objects::Packs { packs, .. } => {
            settings.push(metadata);
            settings.extend((0..packs.len()).map(|index| Setting::Layer("datadir+", Layer::Pack(index))));
        }
    }
    if let Some(writable) = &request.writable {
        settings.push(directory("upperdir", &writable.upper));
        settings.push(directory("workdir", &writable.work));
    }
    let attributes = MountAttributes {
        read_only: request.read_only || request.writable.is_none(),
        nosuid: true,
        nodev: true,
        noexec: request.noexec,
    };
    Filesystem { fs_type: "overlay", settings, attributes }
}

#[cfg(test)]
mod tests;
