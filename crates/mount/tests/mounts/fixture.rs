//! A small image with its objects, and a mount namespace to mount it in.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use sealpack_format::digest::{Algorithm, ObjectId};
use sealpack_format::verity::fsverity_digest;
use sealpack_kernel::mountinfo::{self, Mount};
use sealpack_kernel::{Call, Errno, Kernel};
use sealpack_mount::{Level, Mounted, Objects, Plan, Request, Writable};
use tempfile::TempDir;

use crate::image::metadata_image;

/// The content of `/big`, an object.
pub(crate) const BIG: &[u8] = &[0x42; 5000];
/// The content of `/small`, inside the metadata image.
pub(crate) const SMALL: &[u8] = b"small\n";

pub(crate) struct Fixture {
    directory: TempDir,
    pub(crate) image_id: ObjectId,
}

impl Fixture {
    /// A store with one image, on a filesystem that is not in memory.
    pub(crate) fn new() -> Self {
        Self::in_directory(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// As [`new`](Self::new), with an image that nobody else on the machine has.
    pub(crate) fn with_an_image_of_its_own() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let content = format!("{} {}", std::process::id(), since_1970.as_nanos());
        Self::with_small(Path::new(env!("CARGO_TARGET_TMPDIR")), content.as_bytes())
    }

    pub(crate) fn in_directory(parent: &Path) -> Self {
        Self::with_small(parent, SMALL)
    }

    fn with_small(parent: &Path, small: &[u8]) -> Self {
        let directory = TempDir::with_prefix_in("a store, \\with: specials ", parent).unwrap();
        let object = fsverity_digest(Algorithm::Sha256, BIG);
        let path = directory.path().join("objects").join(object.object_path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, BIG).unwrap();
        for name in ["target", "upper", "work"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let image = metadata_image(&object, BIG.len(), small);
        fs::write(directory.path().join("image.erofs"), &image).unwrap();
        Self { directory, image_id: fsverity_digest(Algorithm::Sha256, &image) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn request(&self) -> Request {
        Request {
            image: self.path("image.erofs"),
            image_id: self.image_id,
            objects: Objects::Files { directories: vec![self.path("objects")], have_verity: false },
            writable: None,
            target: self.path("target"),
            read_only: false,
            noexec: false,
            nosuid: false,
            required: Level::Plain,
            at_most: Level::Enforced,
        }
    }

    pub(crate) fn request_with_verity(&self) -> Request {
        let objects = Objects::Files { directories: vec![self.path("objects")], have_verity: true };
        Request { objects, ..self.request() }
    }

    pub(crate) fn writable_request(&self) -> Request {
        let writable = Some(Writable { upper: self.path("upper"), work: self.path("work") });
        Request { writable, ..self.request() }
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan::new(self.request()).unwrap()
    }

    /// The images that are mounted inside this fixture, of all those that are on the machine.
    pub(crate) fn mounted(&self) -> Vec<Mounted> {
        let mut list = sealpack_mount::mounted().unwrap();
        list.retain(|mounted| mounted.target.starts_with(self.directory.path()));
        list
    }

    /// The loop devices that have a file of this fixture.
    fn loop_devices(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.directory.path()).unwrap();
        let inodes: Vec<u64> = files.map(|file| file.unwrap().metadata().unwrap().ino()).collect();
        let kernel = Kernel::new();
        let devices = fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().path());
        devices
            .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"loop")))
            .filter(|path| {
                let status = fs::File::open(path).map(|device| kernel.loop_status(&device));
                matches!(status, Ok(Ok(status)) if inodes.contains(&status.backing_inode))
            })
            .collect()
    }

    /// Fails unless all loop devices of this fixture go away soon: detaching is asynchronous.
    pub(crate) fn assert_no_loop_device(&self) {
        let patience = Instant::now() + Duration::from_secs(10);
        while !self.loop_devices().is_empty() {
            assert!(Instant::now() < patience, "still attached: {:?}", self.loop_devices());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Runs `test` in a mount namespace of its own, or says why it cannot. Checks that the
/// namespace has the same mounts afterwards.
pub(crate) fn in_own_namespace(test: impl FnOnce() + Send) {
    let result = Kernel::new().with_private_mounts(|| {
        let before = mounts();
        test();
        assert_eq!(mounts(), before);
    });
    match result {
        Ok(()) => {}
        Err(error) if error.errno() == Errno::PERM => eprintln!("skipped: mounting needs root: {error}"),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn mounts() -> Vec<Mount> {
    mountinfo::read_own().unwrap()
}

/// A kernel on which the calls fail that `refuse` has an error for.
pub(crate) fn kernel_refusing(refuse: impl Fn(&str) -> Option<Errno> + Send + Sync + 'static) -> Kernel {
    Kernel::with_hook(move |call: &Call| refuse(&call.to_string()))
}

/// `refuse`, and besides the call with the given number, from 0, fails with `EIO`. Also returns
/// the number of calls seen.
pub(crate) fn kernel_failing_at(
    number: usize,
    refuse: impl Fn(&str) -> Option<Errno> + Send + Sync + 'static,
) -> (Kernel, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let kernel = kernel_refusing(move |call| {
        let failing = counter.fetch_add(1, Ordering::Relaxed) == number;
        if failing { Some(Errno::IO) } else { refuse(call) }
    });
    (kernel, seen)
}

/// Refuses the first EROFS filesystem made from a file, as kernels before 6.12 do.
pub(crate) fn no_file_backed_erofs() -> impl Fn(&str) -> Option<Errno> + Send + Sync {
    let creations = AtomicUsize::new(0);
    move |call| {
        let first = call.contains("CMD_CREATE") && creations.fetch_add(1, Ordering::Relaxed) == 0;
        first.then_some(Errno::NOTBLK)
    }
}

/// Refuses layers as descriptors, as kernels before 6.13 do.
pub(crate) fn no_layers_by_descriptor(call: &str) -> Option<Errno> {
    call.contains("SET_FD").then_some(Errno::INVAL)
}
