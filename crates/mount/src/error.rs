//! Why something was not mounted or unmounted.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use sealpack_format::broker::MessageError;
use sealpack_format::digest::{ObjectId, RootHash};
use sealpack_format::erofs::ImageError;
use sealpack_format::pack::PackError;
use sealpack_kernel::Errno;
use sealpack_kernel::dm::DeviceName;

use crate::level::{Assurance, Level};

/// Why something was not mounted or unmounted. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory cannot be opened or read.
    #[error("{what} {}: {error}", path.display())]
    Io {
        /// What it is for, for example `the metadata image`.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What happened.
        #[source]
        error: io::Error,
    },
    /// The metadata image, its hash area or a pack is not a regular file.
    #[error("{what} {} is not a regular file", path.display())]
    NotAFile {
        /// What it is for, for example `the metadata image`.
        what: &'static str,
        /// Its path.
        path: PathBuf,
    },
    /// The metadata image is none, or asks for what no metadata image has, such as another
    /// device.
    #[error("the metadata image {} cannot be mounted: {error}", path.display())]
    BadImage {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: ImageError,
    },
    /// A pack is none, or asks for what no pack has, such as another device.
    #[error("the pack {} cannot be mounted: {error}", path.display())]
    BadPack {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: PackError,
    },
    /// The hash area of a metadata image is none, or that of another.
    #[error("the hash tree {} of the metadata image cannot be used: {problem}", path.display())]
    BadTree {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The hash area has another root hash than it should.
    #[error("{what} {} is not what it should be: its root hash is {actual}, not {expected}", path.display())]
    WrongRootHash {
        /// What it is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// The root hash it should have.
        expected: Box<RootHash>,
        /// The root hash it has.
        actual: Box<RootHash>,
    },
    /// The packs do not have everything that the metadata image refers to.
    #[error(
        "the packs of this image are not all that it needs: object {object} of /{} is in none of them{}",
        .file.escape_ascii(), missing_text(*.others)
    )]
    MissingObject {
        /// Its path in a pack.
        object: String,
        /// A file that has it as its content, its path in the image.
        file: Vec<u8>,
        /// How many more objects are missing.
        others: usize,
    },
    /// The kernel refuses a signature, and not for want of a certificate.
    #[error("the kernel refuses the signature of {what} by {signer}: {error}")]
    Signature {
        /// What was signed.
        what: String,
        /// Who signed it.
        signer: String,
        /// The call that said so.
        #[source]
        error: sealpack_kernel::Error,
    },
    /// There is a device of the name that would be used, and it is another one.
    #[error(
        "there is a device {name} that must not be used: {difference}; unmount what uses it, or remove it \
         (`dmsetup remove {name}`)"
    )]
    DeviceDiffers {
        /// Its name.
        name: DeviceName,
        /// What is different.
        difference: String,
    },
    /// All names for a device are taken by devices of other files with the same content.
    #[error("there are too many devices with the same content, of other files: {name} is the last of them")]
    DevicesTaken {
        /// The last name tried.
        name: DeviceName,
    },
    /// A device neither becomes usable nor goes.
    #[error("the device {name} is suspended or on its way out, and stays so; `dmsetup info {name}` shows it")]
    DeviceStuck {
        /// Its name.
        name: DeviceName,
    },
    /// What is on the disk is not what the root hash says.
    #[error("{what} {} is not what its root hash says: dm-verity found changed bytes: {error}", path.display())]
    Corrupted {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The call that met them.
        #[source]
        error: sealpack_kernel::Error,
    },
    /// The metadata image has other bytes than it should.
    #[error(
        "the metadata image {} is not what it should be: its fs-verity digest is {actual}, not {expected}",
        path.display()
    )]
    WrongImage {
        /// Its path.
        path: PathBuf,
        /// The digest it should have.
        expected: Box<ObjectId>,
        /// The digest it has.
        actual: Box<ObjectId>,
    },
    /// The mount would be, or turned out to be, good for less than was required.
    #[error("{required} is required, but this mount is {actual}")]
    Level {
        /// The level required.
        required: Level,
        /// What it is.
        actual: Assurance,
    },
    /// Enforcement was required, and nothing enforces. Found out before anything else was tried.
    #[error("{} is required, but {why}", Level::Enforced)]
    NotEnforced {
        /// What is in the way of it, whatever else the mount would reach.
        why: String,
    },
    /// There is an image mounted on the target.
    #[error("{} already has an image mounted: {image}", target.display())]
    AlreadyMounted {
        /// The target.
        target: PathBuf,
        /// The image.
        image: ObjectId,
    },
    /// The two writable directories are not under one mount.
    #[error(
        "upper directory {} and work directory {} must be on the same filesystem, under the same mount",
        upper.display(), work.display()
    )]
    WritableApart {
        /// The upper directory.
        upper: PathBuf,
        /// The work directory.
        work: PathBuf,
    },
    /// One of the two writable directories contains the other.
    #[error(
        "upper directory {} and work directory {} must not be the same or one inside the other",
        upper.display(), work.display()
    )]
    WritableNested {
        /// The upper directory.
        upper: PathBuf,
        /// The work directory.
        work: PathBuf,
    },
    /// The writable directories are where nothing can be written.
    #[error("upper directory {} is on a read-only filesystem", .0.display())]
    WritableReadOnly(PathBuf),
    /// Another overlay writes to the same directory.
    #[error(
        "upper directory {} is in use by the mount on {}: two mounts must not share it",
        upper.display(), target.display()
    )]
    UpperInUse {
        /// The upper directory.
        upper: PathBuf,
        /// Where the other overlay is mounted.
        target: PathBuf,
    },
    /// A directory was replaced while the mount was being made.
    #[error("{} was replaced by another directory meanwhile", .0.display())]
    Replaced(PathBuf),
    /// The process may not mount.
    #[error(
        "mounting an image needs root: CAP_SYS_ADMIN outside of any user namespace, because the kernel \
         mounts EROFS for nobody else: {0}"
    )]
    Privilege(#[source] sealpack_kernel::Error),
    /// The broker refuses what it was asked for, before it asked the kernel.
    #[error("the broker refuses it: {error}")]
    Broker {
        /// What it was asked for, and what it said.
        #[source]
        error: sealpack_kernel::Error,
    },
    /// The broker cannot be asked for it.
    #[error("the broker cannot be asked for this mount: {error}")]
    NotForBroker {
        /// What its messages do not carry.
        #[source]
        error: MessageError,
    },
    /// The kernel accepts no signature of some part of the image, and the broker makes no unsigned devices.
    #[error("the broker mounts only what the kernel accepts a signature of, but {why}")]
    OnlySigned {
        /// Why it is not signed.
        why: String,
    },
    /// Writable, for somebody who gets mounts of the broker's only.
    #[error(
        "upper directory {} cannot be used: the broker makes read-only mounts, and only root makes others of an image",
        .0.display()
    )]
    WritableByBroker(PathBuf),
    /// The process may attach nothing, anywhere.
    #[error(
        "the broker makes the mount, but whoever attaches it to a directory needs CAP_SYS_ADMIN there: as in a user \
         namespace with a mount namespace of one's own"
    )]
    NoNamespace,
    /// The kernel does not have a filesystem.
    #[error("this kernel has no {filesystem} (module missing, or not built in): {error}")]
    NoFilesystem {
        /// The filesystem.
        filesystem: &'static str,
        /// The call that said so.
        #[source]
        error: sealpack_kernel::Error,
    },
    /// A system call failed.
    #[error("{doing}: {error}")]
    Call {
        /// What it was for, for example `mounting the overlay`.
        doing: &'static str,
        /// The call.
        #[source]
        error: sealpack_kernel::Error,
    },
    /// A system call failed, and so did the other way to do the same.
    #[error("{doing}: {first}; tried {other_way} then: {second}")]
    BothWays {
        /// What it was for.
        doing: &'static str,
        /// The call that failed first.
        first: sealpack_kernel::Error,
        /// The other way, for example `a loop device`.
        other_way: &'static str,
        /// How that failed.
        #[source]
        second: Box<Error>,
    },
    /// The kernel's list of mounts cannot be read.
    #[error("reading what is mounted: {0}")]
    Mountinfo(#[source] sealpack_kernel::mountinfo::ReadError),
    /// The mount is not what it should be, and was taken away again.
    #[error("the mount on {} is not as planned, and was undone: {difference}", target.display())]
    NotAsPlanned {
        /// The target.
        target: PathBuf,
        /// What is different.
        difference: &'static str,
    },
    /// Nothing is mounted there.
    #[error("{} is not a mount point", .0.display())]
    NotMounted(PathBuf),
    /// Something else is mounted there.
    #[error(
        "{} has no image mounted, but {} from {}: left alone",
        target.display(), fs_type.display(), source_name.display()
    )]
    NotAnImage {
        /// The directory.
        target: PathBuf,
        /// The type of the filesystem mounted.
        fs_type: OsString,
        /// Its source.
        source_name: OsString,
    },
    /// What is mounted is in use.
    #[error(
        "{} is in use{}: stop what uses it (`fuser -vm` lists it), or unmount it lazily",
        target.display(), below_text(below)
    )]
    Busy {
        /// The directory.
        target: PathBuf,
        /// Mount points below it.
        below: Vec<PathBuf>,
    },
}

impl Error {
    /// Whether bytes or guarantees were not as they had to be, in contrast to something that
    /// did not work.
    #[must_use]
    pub const fn is_verification(&self) -> bool {
        match self {
            Self::BadPack { error, .. } => !matches!(error, PackError::Source(_) | PackError::Output(_)),
            Self::WrongImage { .. }
            | Self::Level { .. }
            | Self::NotEnforced { .. }
            | Self::NotAsPlanned { .. }
            | Self::BadImage { .. }
            | Self::BadTree { .. }
            | Self::WrongRootHash { .. }
            | Self::MissingObject { .. }
            | Self::Signature { .. }
            | Self::OnlySigned { .. }
            | Self::DeviceDiffers { .. }
            | Self::Corrupted { .. } => true,
            _ => false,
        }
    }

    /// A call that failed; without the privilege, what that takes.
    pub(crate) fn call(doing: &'static str, error: sealpack_kernel::Error) -> Self {
        match error.errno() {
            Errno::PERM => Self::Privilege(error),
            _ => Self::Call { doing, error },
        }
    }
}

impl Error {
    /// The same, of a process that may not make devices.
    pub(crate) fn for_want_of_privilege(self) -> Self {
        match self {
            Self::Call { error, .. } if error.errno() == Errno::ACCESS => Self::Privilege(error),
            other => other,
        }
    }
}

fn missing_text(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (nor are {others} others)") }
}

fn below_text(below: &[PathBuf]) -> String {
    const SHOWN_MAX: usize = 5;
    let Some(first) = below.first() else { return String::new() };
    let mut text = format!(" and has mounts below it ({}", first.display());
    for path in below.iter().take(SHOWN_MAX).skip(1) {
        text.push_str(&format!(", {}", path.display()));
    }
    if below.len() > SHOWN_MAX {
        text.push_str(", …");
    }
    text + ")"
}
