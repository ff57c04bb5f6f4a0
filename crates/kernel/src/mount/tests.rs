use std::fs::File;

use super::*;
use crate::mountinfo;

/// Runs `test` in a mount namespace of its own, or says why it cannot.
fn in_own_namespace(test: impl FnOnce(&Kernel) + Send) {
    let kernel = Kernel::new();
    match kernel.with_private_mounts(|| test(&kernel)) {
        Ok(()) => {}
        Err(error) if error.errno() == Errno::PERM => eprintln!("skipped: mounting needs root: {error}"),
        Err(error) => panic!("{error}"),
    }
}

fn tmpfs(kernel: &Kernel, attributes: MountAttributes) -> DetachedMount {
    let context = kernel.fsopen("tmpfs").unwrap();
    context.set_string("source", "a test").unwrap();
    context.create().unwrap();
    context.mount(attributes).unwrap()
}

#[test]
fn an_unknown_option_is_explained_in_the_kernels_words() {
    in_own_namespace(|kernel| {
        let context = kernel.fsopen("tmpfs").unwrap();
        let error = context.set_string("no-such-option", "1").unwrap_err();
        assert_eq!(error.errno(), Errno::INVAL);
        let text = error.to_string();
        assert!(
            text.contains("SET_STRING, \"no-such-option\", \"1\"): EINVAL (Invalid argument): kernel says: ")
        );
        assert!(text.ends_with("Unknown parameter 'no-such-option'"), "{text}");
        // The message was taken: the next error has its own only.
        assert_eq!(context.set_flag("another").unwrap_err().messages().len(), 1);
    });
}

#[test]
fn an_unknown_filesystem_is_enodev() {
    in_own_namespace(|kernel| {
        let error = kernel.fsopen("no-such-filesystem").unwrap_err();
        assert_eq!(
            error.to_string(),
            "fsopen(\"no-such-filesystem\", FSOPEN_CLOEXEC): ENODEV (No such device)"
        );
    });
}

#[test]
fn a_detached_mount_is_in_no_namespace_until_it_is_attached_and_ends_by_unmounting() {
    let directory = tempfile::tempdir().unwrap();
    in_own_namespace(|kernel| {
        let before = mountinfo::read_own().unwrap();
        let attributes = MountAttributes { nosuid: true, nodev: true, ..Default::default() };
        let mount = tmpfs(kernel, attributes);
        assert_eq!(mountinfo::read_own().unwrap(), before);

        let target = File::open(directory.path()).unwrap();
        kernel.attach(&mount, &target).unwrap();
        let location = kernel.location(&mount).unwrap();
        assert!(location.is_mount_root);
        assert!(!kernel.location(&target).unwrap().is_mount_root);
        let mounts = mountinfo::read_own().unwrap();
        let found = mounts.iter().find(|mount| mount.id == location.mount_id).unwrap();
        assert_eq!((found.source.to_str(), found.fs_type.to_str()), (Some("a test"), Some("tmpfs")));
        assert!(found.has_attribute("nosuid") && found.has_attribute("nodev") && !found.has_attribute("ro"));

        assert_eq!(kernel.unmount(directory.path(), false).unwrap_err().errno(), Errno::BUSY);
        drop(mount);
        kernel.unmount(directory.path(), false).unwrap();
        assert_eq!(mountinfo::read_own().unwrap(), before);
        let error = kernel.unmount(directory.path(), true).unwrap_err();
        assert!(error.to_string().contains("UMOUNT_NOFOLLOW|MNT_DETACH): EINVAL"), "{error}");
    });
}

#[test]
fn a_mount_that_is_dropped_before_it_is_attached_leaves_nothing() {
    in_own_namespace(|kernel| {
        let before = mountinfo::read_own().unwrap();
        drop(tmpfs(kernel, MountAttributes::default()));
        assert_eq!(mountinfo::read_own().unwrap(), before);
    });
}

#[test]
fn a_mount_in_use_is_detached_by_its_descriptor() {
    let directory = tempfile::tempdir().unwrap();
    in_own_namespace(|kernel| {
        let before = mountinfo::read_own().unwrap();
        let mount = tmpfs(kernel, MountAttributes::default());
        kernel.attach(&mount, File::open(directory.path()).unwrap()).unwrap();
        let user = File::open(directory.path()).unwrap();
        kernel.detach(&mount).unwrap();
        assert_eq!(mountinfo::read_own().unwrap(), before);
        assert_eq!(kernel.detach(&mount).unwrap_err().errno(), Errno::INVAL);
        drop(user);
    });
}

#[test]
fn attributes_of_a_cloned_mount_can_be_changed() {
    let directory = tempfile::tempdir().unwrap();
    in_own_namespace(|kernel| {
        let target = File::open(directory.path()).unwrap();
        let clone = kernel.clone_mount(&target).unwrap();
        let attributes = MountAttributes { read_only: true, noexec: true, ..Default::default() };
        kernel.set_attributes(&clone, attributes).unwrap();
        let error = rustix::fs::mkdirat(&clone, "x", 0o700.into()).unwrap_err();
        assert_eq!(error, Errno::ROFS);
        kernel.set_attributes(&clone, MountAttributes::default()).unwrap();
        rustix::fs::mkdirat(&clone, "x", 0o700.into()).unwrap();
        // The clone is of the same filesystem.
        assert!(directory.path().join("x").is_dir());
    });
}

#[test]
fn what_a_private_namespace_attaches_stays_in_it() {
    let directory = tempfile::tempdir().unwrap();
    in_own_namespace(|kernel| {
        let before = mountinfo::read_own().unwrap();
        let mount = kernel
            .with_private_mounts(|| {
                let mount = tmpfs(kernel, MountAttributes::default());
                kernel.attach(&mount, File::open(directory.path()).unwrap()).unwrap();
                assert!(mountinfo::read_own().unwrap().len() > before.len());
                tmpfs(kernel, MountAttributes::default())
            })
            .unwrap();
        assert_eq!(mountinfo::read_own().unwrap(), before);
        // The detached mount outlives the namespace that it was made in.
        kernel.attach(&mount, File::open(directory.path()).unwrap()).unwrap();
    });
}

#[test]
fn attributes_are_spelled_as_mount_spells_them() {
    let spelled =
        |read_only, nosuid, nodev, noexec| MountAttributes { read_only, nosuid, nodev, noexec }.to_string();
    assert_eq!(spelled(false, false, false, false), "rw");
    assert_eq!(spelled(false, true, false, true), "rw,nosuid,noexec");
    assert_eq!(spelled(true, false, false, false), "ro");
    assert_eq!(spelled(true, true, true, false), "ro,nosuid,nodev");
}

#[test]
fn only_errors_and_warnings_are_messages() {
    assert_eq!(problem(b"e erofs: bad superblock\n"), Some("erofs: bad superblock".into()));
    assert_eq!(problem(b"w careful"), Some("careful".into()));
    assert_eq!(problem(b"i hello"), None);
    assert_eq!(problem(b""), None);
}
