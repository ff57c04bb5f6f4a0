use std::fs;
use std::process::{Command, Stdio};

use sealpack_kernel::Kernel;
use sealpack_mount::{Error, apply, images_in_use, unmount};

use crate::fixture::{Fixture, SMALL, in_own_namespace, mounts};

#[test]
fn only_mounts_of_images_are_unmounted() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let (kernel, target) = (Kernel::new(), fixture.path("target"));
        let error = unmount(&kernel, &target, true).unwrap_err();
        assert_eq!(error.to_string(), format!("{} is not a mount point", target.display()));

        let tmpfs = kernel.fsopen("tmpfs").unwrap();
        tmpfs.set_string("source", "something").unwrap();
        tmpfs.create().unwrap();
        let tmpfs = tmpfs.mount(Default::default()).unwrap();
        kernel.attach(&tmpfs, fs::File::open(&target).unwrap()).unwrap();
        let before = mounts();
        let error = unmount(&kernel, &target, true).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} has no image mounted, but tmpfs from something: left alone", target.display())
        );
        assert_eq!(mounts(), before);
        kernel.detach(&tmpfs).unwrap();

        let error = unmount(&kernel, &fixture.path("none"), false).unwrap_err();
        assert!(error.to_string().ends_with("none: No such file or directory (os error 2)"), "{error}");
    });
}

#[test]
fn a_directory_inside_a_mounted_image_is_not_taken_for_the_mount() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let (kernel, target) = (Kernel::new(), fixture.path("target"));
        apply(&kernel, &sealpack_mount::Plan::new(fixture.writable_request()).unwrap()).unwrap();
        fs::create_dir(target.join("inside")).unwrap();
        assert!(matches!(unmount(&kernel, &target.join("inside"), false), Err(Error::NotMounted(_))));
        unmount(&kernel, &target, false).unwrap();
    });
}

#[test]
fn a_mount_in_use_stays_unless_unmounted_lazily() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let (kernel, target) = (Kernel::new(), fixture.path("target"));
        apply(&kernel, &fixture.plan()).unwrap();
        let mut user = fs::File::open(target.join("small")).unwrap();
        let error = unmount(&kernel, &target, false).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{} is in use: stop what", target.display())));
        assert_eq!(fixture.mounted().len(), 1);

        let gone = unmount(&kernel, &target, true).unwrap();
        assert_eq!(gone.image, fixture.image_id);
        assert!(fixture.mounted().is_empty());
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut user, &mut content).unwrap();
        assert_eq!(content, SMALL);
    });
}

#[test]
fn mounts_below_are_named_when_they_keep_a_mount() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let (kernel, target) = (Kernel::new(), fixture.path("target"));
        apply(&kernel, &sealpack_mount::Plan::new(fixture.writable_request()).unwrap()).unwrap();
        let inside = target.join("proc");
        fs::create_dir(&inside).unwrap();
        let tmpfs = kernel.fsopen("tmpfs").unwrap();
        tmpfs.create().unwrap();
        let tmpfs = tmpfs.mount(Default::default()).unwrap();
        kernel.attach(&tmpfs, fs::File::open(&inside).unwrap()).unwrap();
        let error = unmount(&kernel, &target, false).unwrap_err().to_string();
        let wanted = format!("is in use and has mounts below it ({}): stop", inside.display());
        assert!(error.contains(&wanted), "{error}");
        kernel.detach(&tmpfs).unwrap();
        drop(tmpfs);
        unmount(&kernel, &target, false).unwrap();
    });
}

#[test]
fn an_image_mounted_in_the_namespace_of_another_process_is_in_use() {
    let fixture = Fixture::with_an_image_of_its_own();
    let mut child = None;
    in_own_namespace(|| {
        let (kernel, target) = (Kernel::new(), fixture.path("target"));
        apply(&kernel, &fixture.plan()).unwrap();
        assert!(images_in_use().unwrap().images.contains(&fixture.image_id));
        // The child is in this thread's namespace, and stays there when the thread ends. It gets
        // a copy of its own so that unmounting here does not unmount there.
        let kernel_of_child = Kernel::new();
        child = kernel_of_child
            .with_private_mounts(|| Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().ok())
            .unwrap();
        unmount(&kernel, &target, false).unwrap();
        assert!(fixture.mounted().is_empty());
    });
    let Some(mut child) = child else {
        eprintln!("skipped: mounting needs root, and `sleep`");
        return;
    };
    assert!(images_in_use().unwrap().images.contains(&fixture.image_id));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!images_in_use().unwrap().images.contains(&fixture.image_id));
}
