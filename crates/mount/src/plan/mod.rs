//! What would be mounted, and how.

use std::fmt;
use std::path::{Path, PathBuf};

use sealpack_format::digest::ObjectId;
use sealpack_kernel::mount::MountAttributes;

use crate::level::{Assurance, Level};
use crate::table::source_of;

/// An image to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The metadata image.
    pub image: PathBuf,
    /// The fs-verity digest that it must have.
    pub image_id: ObjectId,
    /// The directories with the objects, in the order in which they are searched.
    pub objects: Vec<PathBuf>,
    /// Whether fs-verity is enabled on all objects. If so, overlayfs is told to refuse any
    /// object that is not the one the metadata image means.
    pub objects_have_verity: bool,
    /// Where changes go; without it the mount is read-only.
    pub writable: Option<Writable>,
    /// The directory to mount on.
    pub target: PathBuf,
    /// Mount read-only even with [`writable`](Self::writable), showing the changes so far.
    pub read_only: bool,
    /// Let nothing be executed from the mount.
    pub noexec: bool,
    /// The least that the mount must be good for.
    pub required: Level,
}

/// The two directories of a writable overlay. They must be on the same filesystem, neither
/// inside the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writable {
    /// Has the changes.
    pub upper: PathBuf,
    /// overlayfs' own working space.
    pub work: PathBuf,
}

impl Writable {
    /// The two directories, or `None` when neither is given.
    ///
    /// # Errors
    /// When only one is given.
    pub fn new(upper: Option<PathBuf>, work: Option<PathBuf>) -> Result<Option<Self>, PlanError> {
        match (upper, work) {
            (Some(upper), Some(work)) => Ok(Some(Self { upper, work })),
            (None, None) => Ok(None),
            (Some(upper), None) => Err(PlanError::NoWork { upper }),
            (None, Some(work)) => Err(PlanError::NoUpper { work }),
        }
    }
}

/// A request that cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// No directory of objects.
    #[error("no directory with objects is given")]
    NoObjects,
    /// More lower layers than overlayfs takes.
    #[error("{count} directories with objects are more than overlayfs takes: {OBJECTS_MAX}")]
    TooManyObjects {
        /// How many.
        count: usize,
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
    pub(crate) image: PathBuf,
    pub(crate) image_id: ObjectId,
    pub(crate) objects_have_verity: bool,
    pub(crate) target: PathBuf,
    pub(crate) required: Level,
    pub(crate) metadata: Filesystem,
    pub(crate) overlay: Filesystem,
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
    /// An option that takes a path, given as the path of a descriptor.
    File(&'static str, Layer),
    /// An option that takes a descriptor.
    Layer(&'static str, Layer),
}

/// Something that was opened or made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// The metadata image, a file.
    Image,
    /// The metadata image, mounted.
    Metadata,
    /// A directory.
    Directory(PathBuf),
}

impl Plan {
    /// Plans `request`.
    ///
    /// The mount is nosuid and nodev, always: nobody the kernel trusts has signed the image, so
    /// it must not give privileges to whoever executes or opens something in it. There is no
    /// way to ask for less.
    ///
    /// # Errors
    /// When the request contradicts itself, or requires a [`Level`] that it cannot reach.
    pub fn new(request: Request) -> Result<Self, PlanError> {
        let best = Assurance::of_files(true, request.objects_have_verity);
        if best.level < request.required {
            return Err(PlanError::Level { required: request.required, best });
        }
        match request.objects.len() {
            0 => return Err(PlanError::NoObjects),
            1..=OBJECTS_MAX => {}
            count => return Err(PlanError::TooManyObjects { count }),
        }
        Ok(Self {
            metadata: metadata(),
            overlay: overlay(&request),
            image: request.image,
            image_id: request.image_id,
            objects_have_verity: request.objects_have_verity,
            target: request.target,
            required: request.required,
        })
    }

    /// The directory that will be mounted on.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The filesystems that will be made: the metadata image's, then the overlay.
    #[must_use]
    pub const fn filesystems(&self) -> [&Filesystem; 2] {
        [&self.metadata, &self.overlay]
    }
}

/// The metadata image, as a file. Nothing needs to be done with it but to be a layer.
fn metadata() -> Filesystem {
    Filesystem {
        fs_type: "erofs",
        settings: vec![Setting::Flag("ro"), Setting::File("source", Layer::Image)],
        attributes: MountAttributes { read_only: true, nosuid: true, nodev: true, noexec: true },
    }
}

fn overlay(request: &Request) -> Filesystem {
    let mut settings = vec![
        Setting::Text("source", source_of(&request.image_id)),
        Setting::Text("metacopy", "on".into()),
        Setting::Text("redirect_dir", "on".into()),
    ];
    if request.objects_have_verity {
        settings.push(Setting::Text("verity", "require".into()));
    }
    settings.push(Setting::Layer("lowerdir+", Layer::Metadata));
    let directory = |key, path: &PathBuf| Setting::Layer(key, Layer::Directory(path.clone()));
    settings.extend(request.objects.iter().map(|path| directory("datadir+", path)));
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

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "open({:?}, O_RDONLY): the image", self.image)?;
        writeln!(f, "ioctl([image], FS_IOC_MEASURE_VERITY), or all of it read: must be {}", self.image_id)?;
        writeln!(f, "open({:?}, O_PATH|O_DIRECTORY): the target", self.target)?;
        write!(f, "{}", self.metadata)?;
        writeln!(f, "    where the kernel takes no file: the same with a loop device of [image]")?;
        write!(f, "{}", self.overlay)?;
        writeln!(
            f,
            "    where the kernel takes no descriptors: the same by path in a mount namespace of its own"
        )?;
        writeln!(f, "move_mount([overlay], \"\", [target], \"\")")?;
        let best = Assurance::of_files(true, self.objects_have_verity);
        match best.level {
            Level::Plain => write!(f, "result: {best}"),
            _ => write!(f, "result: {best}, if the image has fs-verity; required: {}", self.required),
        }
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "fsopen({:?})", self.fs_type)?;
        for setting in &self.settings {
            writeln!(f, "    fsconfig({setting})")?;
        }
        writeln!(f, "    fsconfig(CMD_CREATE)")?;
        writeln!(f, "    fsmount({}): [{}]", self.attributes, self.fs_type)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "SET_FLAG, {key:?}"),
            Self::Text(key, value) => write!(f, "SET_STRING, {key:?}, {value:?}"),
            Self::File(key, layer) => write!(f, "SET_STRING, {key:?}, the path of {layer}"),
            Self::Layer(key, layer) => write!(f, "SET_FD, {key:?}, {layer}"),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image => f.write_str("[image]"),
            Self::Metadata => f.write_str("[erofs]"),
            Self::Directory(path) => write!(f, "[{}]", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
