use std::fs;
use std::path::PathBuf;

use sealpack_format::digest::Algorithm;
use sealpack_format::erofs::{FormatVersion, write_metadata_image};
use sealpack_format::tree::{Content, Inode, InodeId, Kind, Metadata, Tree};
use sealpack_format::verity::fsverity_digest;
use sealpack_kernel::fsverity::Enabled;
use sealpack_kernel::mountinfo;
use tempfile::TempDir;

use super::*;
use crate::objects::{Objects, Source};

const BIG: &[u8] = &[0x42; 5000];

/// An image with its objects, on a filesystem that is not in memory.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Self {
        let parent = std::env::var_os("CARGO_TARGET_TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
        let fixture = Self(TempDir::with_prefix_in("a, \\place: ", parent).unwrap());
        let kernel = Kernel::new();
        let id = fsverity_digest(Algorithm::Sha256, BIG);
        for name in ["empty", "target", "upper", "work"] {
            fs::create_dir(fixture.path(name)).unwrap();
        }
        let objects = Objects::open(&kernel, &fixture.path("objects")).unwrap();
        let mut batch = objects.batch();
        batch.add(&id, Source::Bytes(BIG)).unwrap();
        batch.finish().unwrap();
        let root = Metadata { permissions: 0o755, ..Metadata::default() };
        let file = Metadata { permissions: 0o644, uid: 3, ..Metadata::default() };
        let mut tree = Tree::new(root);
        let content = Content::Object { size: BIG.len() as u64, id };
        tree.insert(InodeId::ROOT, b"big", Inode::new(file, Kind::Regular(content))).unwrap();
        let mut image = Vec::new();
        write_metadata_image(&tree, FormatVersion::V1, &mut image).unwrap();
        fs::write(fixture.path("image"), image).unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self) -> MountOptions {
        MountOptions { objects: vec![self.path("empty"), self.path("objects")], ..MountOptions::default() }
    }

    fn mount(&self, options: &MountOptions) -> Result<(), MountError> {
        mount(&Kernel::new(), &self.path("image"), &self.path("target"), options)
    }

    /// What is mounted on the target.
    fn mounted(&self) -> Option<mountinfo::Mount> {
        let target = self.path("target");
        mountinfo::read_own().unwrap().into_iter().find(|mount| mount.mount_point == target)
    }
}

/// Runs `test` in a mount namespace of its own, or says why it cannot.
fn in_own_namespace(test: impl FnOnce(&Fixture) + Send) {
    let kernel = Kernel::new();
    if let Err(error) = kernel.fsopen("erofs").and_then(|_| kernel.fsopen("overlay")) {
        eprintln!("skipped: images cannot be mounted here: {error}");
        return;
    }
    let fixture = Fixture::new();
    kernel.with_private_mounts(|| test(&fixture)).unwrap();
}

#[test]
fn a_mounted_image_has_the_contents_of_its_objects_and_no_more_limits_than_asked() {
    in_own_namespace(|fixture| {
        fixture.mount(&fixture.options()).unwrap();
        assert_eq!(fs::read(fixture.path("target/big")).unwrap(), BIG);
        let mounted = fixture.mounted().unwrap();
        assert_eq!(mounted.source, "composefs");
        for attribute in ["nosuid", "nodev", "noexec", "ro"] {
            assert!(!mounted.has_attribute(attribute), "{attribute}");
        }
    });
}

#[test]
fn attributes_are_those_asked_for() {
    in_own_namespace(|fixture| {
        let attributes = MountAttributes { read_only: true, nosuid: true, nodev: true, noexec: true };
        fixture.mount(&MountOptions { attributes, ..fixture.options() }).unwrap();
        let mounted = fixture.mounted().unwrap();
        for attribute in ["nosuid", "nodev", "noexec", "ro"] {
            assert!(mounted.has_attribute(attribute), "{attribute}");
        }
    });
}

#[test]
fn changes_go_to_the_upper_directory() {
    in_own_namespace(|fixture| {
        let writable = Writable { upper: fixture.path("upper"), work: fixture.path("work") };
        fixture.mount(&MountOptions { writable: Some(writable), ..fixture.options() }).unwrap();
        fs::write(fixture.path("target/new"), "new").unwrap();
        fs::write(fixture.path("target/big"), "changed").unwrap();
        assert_eq!(fs::read(fixture.path("upper/new")).unwrap(), b"new");
        assert_eq!(fs::read(fixture.path("upper/big")).unwrap(), b"changed");
    });
}

#[test]
fn with_verity_required_a_file_without_it_cannot_be_opened() {
    in_own_namespace(|fixture| {
        let object = fs::File::open(
            fixture.path("objects").join(fsverity_digest(Algorithm::Sha256, BIG).object_path()),
        );
        let has_verity = Kernel::new().enable_verity(object.unwrap(), Algorithm::Sha256);
        for verity in [Verity::Require, Verity::Try] {
            fixture.mount(&MountOptions { verity, ..fixture.options() }).unwrap();
            let read = fs::read(fixture.path("target/big"));
            match has_verity.as_ref().unwrap() {
                Enabled::Unsupported => assert_eq!(read.unwrap_err().raw_os_error(), Some(5)),
                _ => assert_eq!(read.unwrap(), BIG),
            }
            Kernel::new().unmount(&fixture.path("target"), false).unwrap();
        }
    });
}

#[test]
fn owners_are_mapped_as_the_user_namespace_says() {
    in_own_namespace(|fixture| {
        let mut child = match std::process::Command::new("unshare")
            .args(["--user", "--map-users=0,100000,1000", "--map-groups=0,100000,1000", "sleep", "30"])
            .spawn()
        {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: unshare(1) does not run: {error}");
                return;
            }
        };
        let map = PathBuf::from(format!("/proc/{}/uid_map", child.id()));
        let is_mapped = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            fs::read_to_string(&map).is_ok_and(|map| map.contains("100000"))
        });
        let idmap = PathBuf::from(format!("/proc/{}/ns/user", child.id()));
        let result = fixture.mount(&MountOptions { idmap: Some(idmap), ..fixture.options() });
        child.kill().unwrap();
        child.wait().unwrap();
        if !is_mapped {
            eprintln!("skipped: this unshare(1) or kernel maps no ranges of users");
            return;
        }
        result.unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fixture.path("target/big").metadata().unwrap().uid(), 100_003);
    });
}

#[test]
fn without_layers_by_descriptor_the_mount_is_the_same() {
    in_own_namespace(|fixture| {
        let kernel = Kernel::with_hook(|call| call.arguments.contains("SET_FD").then_some(Errno::INVAL));
        mount(&kernel, &fixture.path("image"), &fixture.path("target"), &fixture.options()).unwrap();
        assert_eq!(fs::read(fixture.path("target/big")).unwrap(), BIG);
        let message = mount(
            &Kernel::with_hook(|call| {
                (call.name == "fsconfig" && call.arguments.contains("dir+")).then_some(Errno::INVAL)
            }),
            &fixture.path("image"),
            &fixture.path("target"),
            &fixture.options(),
        )
        .unwrap_err()
        .to_string();
        assert!(
            message.contains("(and before, without a mount namespace of its own: fsconfig("),
            "{message}"
        );
    });
}

#[test]
fn without_mounts_of_files_there_is_a_loop_device() {
    in_own_namespace(|fixture| {
        if !std::path::Path::new("/dev/loop-control").exists() {
            eprintln!("skipped: there are no loop devices");
            return;
        }
        // The first attempt to make the EROFS fails, as on Linux 6.11.
        let attempts = std::sync::atomic::AtomicUsize::new(0);
        let kernel = Kernel::with_hook(move |call| {
            let is_first = call.arguments.contains("CMD_CREATE")
                && attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            is_first.then_some(Errno::NOTBLK)
        });
        mount(&kernel, &fixture.path("image"), &fixture.path("target"), &fixture.options()).unwrap();
        assert_eq!(fs::read(fixture.path("target/big")).unwrap(), BIG);
    });
}

#[test]
fn an_image_without_the_digest_asked_for_is_refused() {
    let fixture = Fixture::new();
    let digest = Some("ab".repeat(32).parse().unwrap());
    let options = MountOptions { digest, ..fixture.options() };
    let image = fs::File::open(fixture.path("image")).unwrap();
    assert_eq!(fixture.mount(&options).unwrap_err().to_string(), "Image has no fs-verity");
    match Kernel::new().enable_verity(&image, Algorithm::Sha256).unwrap() {
        Enabled::Unsupported => eprintln!("skipped in part: there is no fs-verity here"),
        _ => assert_eq!(fixture.mount(&options).unwrap_err().to_string(), "Image has wrong fs-verity"),
    }
}

#[test]
fn what_is_no_image_is_refused_by_what_it_is() {
    let fixture = Fixture::new();
    let refusal = |bytes: &[u8]| {
        fs::write(fixture.path("image"), bytes).unwrap();
        fixture.mount(&fixture.options()).unwrap_err().to_string()
    };
    assert!(refusal(b"").contains("no composefs header"));
    assert!(refusal(&[7; 5000]).contains("no composefs header"));
    let mut format_2 = vec![0x9a, 0x62, 0x78, 0xd0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
    format_2.resize(4096, 0);
    assert!(refusal(&format_2).contains("composefs-rs's own format 2"));
    assert!(fixture.mounted().is_none());
}
