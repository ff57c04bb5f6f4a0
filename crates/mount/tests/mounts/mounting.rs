use std::fs;
use std::path::Path;

use sealpack_kernel::Errno;
use sealpack_kernel::Kernel;
use sealpack_mount::{Backing, Error, Level, Plan, Request, apply, unmount};

use crate::fixture::{
    BIG, Fixture, SMALL, in_own_namespace, kernel_refusing, mounts, no_file_backed_erofs,
    no_layers_by_descriptor,
};

/// Mounts the fixture, checks what it shows and unmounts it.
fn assert_shows_the_image(kernel: &Kernel, fixture: &Fixture) -> Backing {
    let achieved = apply(kernel, &fixture.plan()).unwrap();
    let target = fixture.path("target");
    assert_eq!(fs::read(target.join("big")).unwrap(), BIG);
    assert_eq!(fs::read(target.join("small")).unwrap(), SMALL);
    let error = fs::write(target.join("new"), "").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    unmount(kernel, &target, false).unwrap();
    fixture.assert_no_loop_device();
    achieved.backing
}

#[test]
fn an_image_is_mounted_read_only_and_recognised() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let (kernel, before) = (Kernel::new(), mounts());
        let achieved = apply(&kernel, &fixture.plan()).unwrap();
        assert_eq!((achieved.image, achieved.read_write), (fixture.image_id, false));
        assert_eq!(achieved.target, fixture.path("target"));
        assert_eq!(
            achieved.assurance.to_string(),
            "plain (neither the metadata image nor the objects have fs-verity)"
        );

        let mount = mounts().into_iter().find(|mount| mount.id == achieved.mount_id).unwrap();
        assert_eq!(mount.source.to_str(), Some(format!("sealpack:{}", fixture.image_id).as_str()));
        for attribute in ["ro", "nosuid", "nodev"] {
            assert!(mount.has_attribute(attribute), "{mount:?}");
        }
        assert_eq!(mount.option("metacopy").as_deref().and_then(|v| v.to_str()), Some("on"));
        // Of the metadata image's own mount nothing is to be seen.
        let new = mounts().into_iter().filter(|mount| !before.contains(mount));
        assert_eq!(new.map(|mount| mount.fs_type).collect::<Vec<_>>(), ["overlay"]);

        let list = fixture.mounted();
        assert_eq!(list.len(), 1);
        assert_eq!((list[0].image, &list[0].target), (fixture.image_id, &fixture.path("target")));
        assert!(!list[0].read_write && !list[0].objects_checked);
        unmount(&kernel, &fixture.path("target"), false).unwrap();
        assert!(fixture.mounted().is_empty());
    });
}

#[test]
fn files_and_inline_files_are_read_whatever_way_the_kernel_allows() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        assert_shows_the_image(&Kernel::new(), &fixture);
    });
}

#[test]
fn where_erofs_takes_no_files_a_loop_device_is_used_and_goes_away_with_the_mount() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let backing = assert_shows_the_image(&kernel_refusing(no_file_backed_erofs()), &fixture);
        assert!(matches!(backing, Backing::Loop(path) if path.starts_with("/dev")));
    });
}

#[test]
fn an_image_in_memory_is_mounted_through_a_loop_device() {
    in_own_namespace(|| {
        let kernel = Kernel::new();
        let place = tempfile::tempdir().unwrap();
        let tmpfs = kernel.fsopen("tmpfs").unwrap();
        tmpfs.create().unwrap();
        let tmpfs = tmpfs.mount(Default::default()).unwrap();
        kernel.attach(&tmpfs, fs::File::open(place.path()).unwrap()).unwrap();
        let fixture = Fixture::in_directory(place.path());
        assert!(matches!(assert_shows_the_image(&kernel, &fixture), Backing::Loop(_)));
        drop(fixture);
        kernel.detach(&tmpfs).unwrap();
    });
}

#[test]
fn where_overlayfs_takes_no_descriptors_a_throwaway_namespace_is_used() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        assert_shows_the_image(&kernel_refusing(no_layers_by_descriptor), &fixture);
        let no_path_descriptors = |call: &str| call.contains("SET_FD").then_some(Errno::BADF);
        assert_shows_the_image(&kernel_refusing(no_path_descriptors), &fixture);
    });
}

#[test]
fn a_kernel_with_neither_still_mounts() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let no_files = no_file_backed_erofs();
        let kernel = kernel_refusing(move |call| no_files(call).or_else(|| no_layers_by_descriptor(call)));
        assert!(matches!(assert_shows_the_image(&kernel, &fixture), Backing::Loop(_)));
    });
}

#[test]
fn changes_go_to_the_upper_directory_and_are_there_again_at_the_next_mount() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let target = fixture.path("target");
        for kernel in [Kernel::new(), kernel_refusing(no_layers_by_descriptor)] {
            let achieved = apply(&kernel, &Plan::new(fixture.writable_request()).unwrap()).unwrap();
            assert!(achieved.read_write && fixture.mounted()[0].read_write);
            fs::write(target.join("new"), "changed").unwrap();
            fs::remove_file(target.join("small")).ok();
            unmount(&kernel, &target, false).unwrap();
            assert_eq!(fs::read(fixture.path("upper/new")).unwrap(), b"changed");
        }
        let request = Request { read_only: true, ..fixture.writable_request() };
        let achieved = apply(&Kernel::new(), &Plan::new(request).unwrap()).unwrap();
        assert!(!achieved.read_write && !fixture.mounted()[0].read_write);
        assert_eq!(fs::read(target.join("new")).unwrap(), b"changed");
        assert!(!target.join("small").exists());
        assert!(fs::write(target.join("new"), "").is_err());
        unmount(&Kernel::new(), &target, false).unwrap();
    });
}

#[test]
fn objects_without_fs_verity_cannot_be_read_where_it_is_said_to_be_on_all() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        for kernel in [Kernel::new(), kernel_refusing(no_layers_by_descriptor)] {
            let plan = Plan::new(fixture.request_with_verity()).unwrap();
            let achieved = apply(&kernel, &plan).unwrap();
            assert_eq!(achieved.assurance.level, Level::Plain);
            assert!(fixture.mounted()[0].objects_checked);
            let error = fs::read(fixture.path("target/big")).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
            assert_eq!(fs::read(fixture.path("target/small")).unwrap(), SMALL);
            unmount(&kernel, &fixture.path("target"), false).unwrap();
        }
    });
}

#[test]
fn what_is_mounted_is_the_file_that_was_checked_even_if_its_name_leads_elsewhere_by_then() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let (image, aside) = (fixture.path("image.erofs"), fixture.path("aside"));
        fs::write(&aside, "not an image at all").unwrap();
        let kernel = kernel_refusing(move |call| {
            if call.starts_with("fsopen(\"erofs\"") {
                fs::rename(&aside, &image).unwrap();
            }
            None
        });
        apply(&kernel, &fixture.plan()).unwrap();
        assert_eq!(fs::read(fixture.path("target/big")).unwrap(), BIG);
        assert_eq!(fs::read(fixture.path("image.erofs")).unwrap(), b"not an image at all");
        unmount(&kernel, &fixture.path("target"), false).unwrap();
    });
}

#[test]
fn an_image_is_mounted_over_another_filesystem_but_not_over_an_image() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let (kernel, target) = (Kernel::new(), fixture.path("target"));
        let tmpfs = kernel.fsopen("tmpfs").unwrap();
        tmpfs.create().unwrap();
        let tmpfs = tmpfs.mount(Default::default()).unwrap();
        kernel.attach(&tmpfs, fs::File::open(&target).unwrap()).unwrap();
        apply(&kernel, &fixture.plan()).unwrap();

        let before = mounts();
        let link = fixture.path("link to target");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        for path in [&target, &link] {
            let plan = Plan::new(Request { target: path.clone(), ..fixture.request() }).unwrap();
            let error = apply(&kernel, &plan).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{} already has an image mounted: {}", target.display(), fixture.image_id)
            );
        }
        assert_eq!(mounts(), before);
        unmount(&kernel, &target, false).unwrap();
        kernel.detach(&tmpfs).unwrap();
    });
}

#[test]
fn of_two_who_mount_on_the_same_target_at_once_only_one_succeeds() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let plan = fixture.plan();
        let kernel = kernel_refusing(move |call| {
            if call.starts_with("move_mount") {
                apply(&Kernel::new(), &plan).unwrap();
            }
            None
        });
        let error = apply(&kernel, &fixture.plan()).unwrap_err();
        assert!(matches!(error, Error::AlreadyMounted { .. }), "{error}");
        assert_eq!(fixture.mounted().len(), 1);
        assert_eq!(fs::read(fixture.path("target/big")).unwrap(), BIG);
        unmount(&Kernel::new(), &fixture.path("target"), false).unwrap();
    });
}

#[test]
fn the_same_image_can_be_mounted_twice() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let kernel = Kernel::new();
        let other = fixture.path("other");
        fs::create_dir(&other).unwrap();
        apply(&kernel, &fixture.plan()).unwrap();
        let plan = Plan::new(Request { target: other.clone(), ..fixture.request() }).unwrap();
        apply(&kernel, &plan).unwrap();
        assert_eq!(fs::read(other.join("big")).unwrap(), BIG);
        assert_eq!(fixture.mounted().len(), 2);
        unmount(&kernel, &other, false).unwrap();
        unmount(&kernel, &fixture.path("target"), false).unwrap();
    });
}

#[test]
fn writable_directories_that_overlayfs_could_not_use_are_refused_with_the_reason() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let kernel = Kernel::new();
        let attempt = |upper: &Path, work: &Path| {
            let mut request = fixture.writable_request();
            let writable = request.writable.as_mut().unwrap();
            (writable.upper, writable.work) = (upper.to_owned(), work.to_owned());
            apply(&kernel, &Plan::new(request).unwrap()).unwrap_err()
        };
        let (upper, work) = (fixture.path("upper"), fixture.path("work"));
        let inside = work.join("inside");
        fs::create_dir(&inside).unwrap();
        assert!(matches!(attempt(&upper, Path::new("/proc")), Error::WritableApart { .. }));
        assert!(matches!(attempt(&upper, &upper), Error::WritableNested { .. }));
        assert!(matches!(attempt(&inside, &work), Error::WritableNested { .. }));
        let error = attempt(&fixture.path("none"), &work);
        assert!(error.to_string().starts_with("upper directory /"), "{error}");
        let error = attempt(&upper, &fixture.path("image.erofs"));
        assert!(error.to_string().starts_with("work directory /"), "{error}");

        let tmpfs = kernel.fsopen("tmpfs").unwrap();
        tmpfs.create().unwrap();
        let tmpfs = tmpfs.mount(Default::default()).unwrap();
        for name in ["u", "w"] {
            rustix::fs::mkdirat(&tmpfs, name, 0o755.into()).unwrap();
        }
        let read_only = sealpack_kernel::mount::MountAttributes { read_only: true, ..Default::default() };
        kernel.set_attributes(&tmpfs, read_only).unwrap();
        let place = fixture.path("other");
        fs::create_dir(&place).unwrap();
        kernel.attach(&tmpfs, fs::File::open(&place).unwrap()).unwrap();
        let error = attempt(&place.join("u"), &place.join("w"));
        assert!(matches!(error, Error::WritableReadOnly(_)), "{error}");
        kernel.detach(&tmpfs).unwrap();
    });
}

#[test]
fn an_upper_directory_is_not_shared_by_two_mounts() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let kernel = Kernel::new();
        apply(&kernel, &Plan::new(fixture.writable_request()).unwrap()).unwrap();
        if fixture.mounted()[0].upper.as_deref() != Some(&*fixture.path("upper")) {
            eprintln!("skipped: this kernel does not tell the upper directory's path");
        } else {
            let other = fixture.path("other");
            fs::create_dir(&other).unwrap();
            let request = Request { target: other, ..fixture.writable_request() };
            let error = apply(&kernel, &Plan::new(request).unwrap()).unwrap_err();
            assert!(matches!(error, Error::UpperInUse { .. }), "{error}");
        }
        unmount(&kernel, &fixture.path("target"), false).unwrap();
    });
}
