//! What is mounted: by us, and where.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sealpack_format::digest::ObjectId;
use sealpack_kernel::mountinfo::{self, Mount};
use sealpack_kernel::{Errno, Kernel};

use crate::error::Error;
use crate::source::{has_our_layers, image_of, is_told};
use crate::target::Directory;

/// A mounted image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// The metadata image's fs-verity digest.
    pub image: ObjectId,
    /// Where it is mounted.
    pub target: PathBuf,
    /// The mount's number in mountinfo.
    pub mount_id: u64,
    /// Major and minor number of the overlay's device: what all mounts of the same overlay have in common.
    pub device: (u32, u32),
    /// Whether something can be written to it.
    pub read_write: bool,
    /// Where changes go.
    pub upper: Option<PathBuf>,
    /// The first directory with objects, where the kernel tells it: which store it is mounted from.
    pub objects: Option<PathBuf>,
    /// Whether overlayfs refuses objects whose fs-verity digest is not the right one.
    pub objects_checked: bool,
}

/// The images that are mounted anywhere on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InUse {
    /// Their metadata images' fs-verity digests.
    pub images: BTreeSet<ObjectId>,
    /// The number of processes whose mounts could not be read: those of other users, without
    /// `CAP_SYS_PTRACE`. What they alone see is not among the images.
    pub unreadable_processes: usize,
}

/// The images mounted in the calling thread's mount namespace, in the order of mountinfo: what says by its source that it
/// is one, and has the layers of one, as far as the kernel tells.
///
/// # Errors
/// [`Error::Mountinfo`].
pub fn mounted() -> Result<Vec<Mounted>, Error> {
    let mounts = mountinfo::read_own().map_err(Error::Mountinfo)?;
    Ok(mounts.iter().filter_map(Mounted::from_mount).collect())
}

/// The images mounted in any mount namespace that a process is in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Everywhere {
    /// Those in the calling thread's namespace, in the order of mountinfo.
    pub here: Vec<Mounted>,
    /// Those that other namespaces alone have, each once, with a process that sees it there.
    pub elsewhere: Vec<(u32, Mounted)>,
    /// As in [`InUse`].
    pub unreadable_processes: usize,
}

/// As [`mounted`], in all mount namespaces that a process is in. An overlay that is mounted in several of them is told of
/// where it is in the calling thread's, or else where it is seen first.
///
/// # Errors
/// [`Error::Mountinfo`] when `/proc` cannot be read.
pub fn mounted_everywhere() -> Result<Everywhere, Error> {
    let mut found = Everywhere::default();
    let mut devices = HashSet::new();
    found.unreadable_processes = each_view(|process, mounts| {
        let ours = mounts.iter().filter_map(Mounted::from_mount);
        match process {
            None => {
                found.here.extend(ours);
                devices.extend(found.here.iter().map(|mounted| mounted.device));
            }
            Some(process) => {
                let new = ours.filter(|mounted| devices.insert(mounted.device));
                found.elsewhere.extend(new.map(|mounted| (process, mounted)));
            }
        }
    })?;
    Ok(found)
}

/// What says by its source in the calling thread's mount namespace that it is `image`, and has not the layers of it:
/// where it is mounted.
///
/// # Errors
/// [`Error::Mountinfo`].
pub fn only_claimed(image: &ObjectId) -> Result<Vec<PathBuf>, Error> {
    let mounts = mountinfo::read_own().map_err(Error::Mountinfo)?;
    let claims = |mount: &&Mount| image_of(mount).as_ref() == Some(image) && !has_our_layers(mount);
    Ok(mounts.iter().filter(claims).map(|mount| mount.mount_point.clone()).collect())
}

/// The images mounted in any mount namespace that a process is in.
///
/// A mount that is in no such namespace is not found: one that was unmounted lazily and is
/// still in use, or one in a namespace that only a descriptor or a bind mount keeps. What only claims to be an image
/// counts here: it is for whoever would remove what may be in use.
///
/// # Errors
/// [`Error::Mountinfo`] when `/proc` cannot be read.
pub fn images_in_use() -> Result<InUse, Error> {
    let mut in_use = InUse::default();
    in_use.unreadable_processes =
        each_view(|_, mounts| in_use.images.extend(mounts.iter().filter_map(image_of)))?;
    Ok(in_use)
}

/// Shows `look` the mounts of the calling thread, and then each other list of mounts that a process sees, with its number.
/// Answers with the number of processes whose mounts could not be read.
fn each_view(mut look: impl FnMut(Option<u32>, &[Mount])) -> Result<usize, Error> {
    let mut unreadable = 0;
    // A thread can be in another namespace than its process.
    look(None, &mountinfo::read_own().map_err(Error::Mountinfo)?);
    let mut seen = HashSet::new();
    let failed = |error| Error::Io { what: "the processes", path: "/proc".into(), error };
    for entry in std::fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // Processes with the same namespace and the same root directory see the same.
        let view = ["ns/mnt", "root"].map(|link| std::fs::read_link(format!("/proc/{pid}/{link}")).ok());
        if view.iter().all(Option::is_some) && !seen.insert(view) {
            continue;
        }
        match mountinfo::read_process(pid) {
            Ok(mounts) => look(Some(pid), &mounts),
            Err(error) => match error.errno() {
                // It has ended, or is about to and has no mounts any more.
                Some(Errno::NOENT | Errno::SRCH | Errno::INVAL) => {}
                Some(Errno::ACCESS | Errno::PERM) => unreadable += 1,
                _ => return Err(Error::Mountinfo(error)),
            },
        }
    }
    Ok(unreadable)
}

/// Unmounts the image that is mounted on `target`, and returns what it was. With `lazy`, it
/// disappears at once and is let go when nothing uses it any more.
///
/// # Errors
/// [`Error::NotMounted`], [`Error::NotAnImage`] for a mount that is none of ours,
/// [`Error::Busy`].
pub fn unmount(kernel: &Kernel, target: &Path, lazy: bool) -> Result<Mounted, Error> {
    let directory = Directory::open("the target", target)?;
    let doing = "looking at the target";
    let location = kernel.location(&directory.file).map_err(|error| Error::Call { doing, error })?;
    let target = directory.path;
    // An open descriptor would keep it busy.
    drop(directory.file);
    let mounts = mountinfo::read_own().map_err(Error::Mountinfo)?;
    let mount = mounts.iter().find(|mount| location.is_mount_root && mount.id == location.mount_id);
    let Some(mount) = mount else { return Err(Error::NotMounted(target)) };
    let Some(mounted) = Mounted::from_mount(mount) else {
        let (fs_type, source_name) = (mount.fs_type.clone(), mount.source.clone());
        return Err(Error::NotAnImage { target, fs_type, source_name });
    };
    kernel.unmount(&target, lazy).map_err(|error| match error.errno() {
        Errno::BUSY => Error::Busy { below: below(&mounts, &target), target },
        Errno::PERM => Error::Privilege(error),
        _ => Error::Call { doing: "unmounting", error },
    })?;
    Ok(mounted)
}

impl Mounted {
    fn from_mount(mount: &Mount) -> Option<Self> {
        Some(Self {
            image: image_of(mount).filter(|_| has_our_layers(mount))?,
            target: mount.mount_point.clone(),
            mount_id: mount.id,
            device: mount.device,
            read_write: !mount.has_attribute("ro") && mount.option("ro").is_none(),
            upper: mount.option("upperdir").map(PathBuf::from),
            objects: mount.option("datadir+").map(PathBuf::from).filter(|path| is_told(path)),
            objects_checked: mount.option("verity").as_deref() == Some(OsStr::new("require")),
        })
    }
}

/// The mount points below `target`.
fn below(mounts: &[Mount], target: &Path) -> Vec<PathBuf> {
    mounts
        .iter()
        .map(|mount| &mount.mount_point)
        .filter(|path| path.starts_with(target) && path.as_path() != target)
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(text: &str) -> Vec<Mount> {
        mountinfo::parse(text.as_bytes()).unwrap()
    }

    fn hex() -> String {
        "0123456789abcdef".repeat(4)
    }

    #[test]
    fn our_mounts_are_recognised_by_type_source_and_layers() {
        let hex = hex();
        let line = |fs_type: &str, source: &str| {
            mounts(&format!("7 1 0:9 / /mnt rw - {fs_type} {source} ro,lowerdir+=/,datadir+=/o"))
                .first()
                .and_then(Mounted::from_mount)
                .map(|mounted| mounted.image.to_string())
        };
        assert_eq!(line("overlay", &format!("sealpack:{hex}")), Some(hex.clone()));
        assert_eq!(line("tmpfs", &format!("sealpack:{hex}")), None);
        assert_eq!(line("overlay", &hex), None);
        assert_eq!(line("overlay", "sealpack:0123"), None);
        assert_eq!(line("overlay", "overlay"), None);
    }

    /// Any overlay with that source was listed as a mount of the image.
    #[test]
    fn what_only_claims_to_be_ours_by_its_source_is_not() {
        let is_ours = |options: &str| {
            let line = format!("7 1 0:9 / /mnt rw - overlay sealpack:{} {options}", hex());
            let mount = mounts(&line).remove(0);
            assert!(image_of(&mount).is_some(), "gc keeps what may be in use");
            Mounted::from_mount(&mount).is_some()
        };
        assert!(is_ours("ro,lowerdir+=/,datadir+=/o,datadir+=/,redirect_dir=on,metacopy=on"));
        assert!(is_ours("rw,lowerdir+=/proc/thread-self/fd/7,datadir+=/proc/thread-self/fd/8"));
        for foreign in [
            "ro",
            "ro,lowerdir=/a:/b",
            "rw,lowerdir=/a::/b,upperdir=/u,workdir=/w",
            "ro,lowerdir=/a,lowerdir+=/,datadir+=/o",
            "ro,lowerdir+=/a,datadir+=/o",
            "ro,lowerdir+=/a,lowerdir+=/,datadir+=/o",
            "ro,lowerdir+=/,lowerdir+=/a,datadir+=/o",
            "ro,lowerdir+=/,lowerdir+=/",
            "ro,lowerdir+=/",
            "ro,datadir+=/o",
        ] {
            assert!(!is_ours(foreign), "{foreign}");
        }
    }

    #[test]
    fn what_is_mounted_tells_how() {
        let text = format!(
            "7 1 0:9 / /a\\040b ro,nosuid - overlay sealpack:{0} ro,lowerdir+=/,datadir+=/,verity=require\n\
             8 1 0:9 / /c rw - overlay sealpack:{0} rw,lowerdir+=/proc/self/fd/7,datadir+=/o,datadir+=/p,upperdir=/u\\054v,workdir=/w",
            hex()
        );
        let mounts = mounts(&text);
        let found: Vec<_> = mounts.iter().filter_map(Mounted::from_mount).collect();
        assert_eq!(found[0].target, Path::new("/a b"));
        assert!(!found[0].read_write && found[0].objects_checked && found[0].upper.is_none());
        assert!(found[1].read_write && !found[1].objects_checked);
        assert_eq!(found[1].upper.as_deref(), Some(Path::new("/u,v")));
        assert_eq!(found[1].objects.as_deref(), Some(Path::new("/o")));
        assert!(found[0].objects.is_none());
        for nobody_knows in ["/", "/proc/self/fd/7", "/proc/thread-self/fd/7"] {
            assert!(!is_told(Path::new(nobody_knows)));
        }
        assert_eq!(found[1].mount_id, 8);
    }

    #[test]
    fn mounts_below_are_those_inside_not_those_with_a_similar_name() {
        let line = |id: u32, path: &str| format!("{id} 1 0:1 / {path} rw - tmpfs t rw\n");
        let text = [line(1, "/mnt"), line(2, "/mnt/proc"), line(3, "/mnt2"), line(4, "/")].concat();
        assert_eq!(below(&mounts(&text), Path::new("/mnt")), [PathBuf::from("/mnt/proc")]);
    }
}
