use std::fs;
use std::sync::atomic::Ordering;

use sealpack_kernel::{Errno, Kernel};
use sealpack_mount::{Error, Level, Objects, Plan, Request, apply, unmount};

use crate::fixture::{
    Fixture, in_own_namespace, kernel_failing_at, kernel_refusing, mounts, no_file_backed_erofs,
    no_layers_by_descriptor,
};

/// Lets each system call of the mount that `plan` describes fail in turn, of which there must be more than
/// `calls_min`, and checks that nothing stays.
pub(crate) fn fail_each_call<R>(fixture: &Fixture, plan: &Plan, calls_min: usize, refuse: impl Fn() -> R)
where
    R: Fn(&str) -> Option<Errno> + Send + Sync + 'static,
{
    let before = mounts();
    let (kernel, seen) = kernel_failing_at(usize::MAX, refuse());
    apply(&kernel, plan).unwrap();
    unmount(&Kernel::new(), &fixture.path("target"), false).unwrap();
    let calls = seen.load(Ordering::Relaxed);
    assert!(calls > calls_min, "only {calls} calls");
    for number in 0..calls {
        let (kernel, _) = kernel_failing_at(number, refuse());
        let error = apply(&kernel, plan).unwrap_err();
        assert!(error.to_string().contains("): EIO (Input/output error)"), "call {number}: {error}");
        assert_eq!(mounts(), before, "after failing call {number}: {error}");
        fixture.assert_no_loop_device();
    }
}

/// Lets each system call of a mount fail in turn, and checks that nothing stays and that nothing is in the way of
/// trying again.
fn assert_nothing_stays<R>(refuse: impl Fn() -> R + Send)
where
    R: Fn(&str) -> Option<Errno> + Send + Sync + 'static,
{
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let plan = Plan::new(fixture.writable_request()).unwrap();
        fail_each_call(&fixture, &plan, 20, refuse);
        // And nothing is in the way of trying again.
        apply(&Kernel::new(), &plan).unwrap();
        unmount(&Kernel::new(), &fixture.path("target"), false).unwrap();
    });
}

#[test]
fn a_failure_of_any_call_leaves_nothing_behind() {
    assert_nothing_stays(|| |_: &str| None);
}

#[test]
fn a_failure_of_any_call_with_a_loop_device_leaves_nothing_behind() {
    assert_nothing_stays(no_file_backed_erofs);
}

#[test]
fn a_failure_of_any_call_with_a_throwaway_namespace_leaves_nothing_behind() {
    assert_nothing_stays(|| no_layers_by_descriptor);
}

#[test]
fn an_image_with_other_bytes_is_not_mounted() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let before = mounts();
        let image = fixture.path("image.erofs");
        let mut bytes = fs::read(&image).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&image, bytes).unwrap();
        let kernel = kernel_refusing(|call| {
            assert!(!call.starts_with("fsopen"), "mounting began: {call}");
            None
        });
        let error = apply(&kernel, &fixture.plan()).unwrap_err();
        assert!(error.is_verification());
        assert!(error.to_string().ends_with(&format!(", not {}", fixture.image_id)), "{error}");
        assert_eq!(mounts(), before);
    });
}

#[test]
fn less_than_required_is_refused_before_anything_is_mounted() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let request = Request { required: Level::Verified, ..fixture.request_with_verity() };
        let kernel = kernel_refusing(|call| {
            assert!(!call.starts_with("fsopen"), "mounting began: {call}");
            None
        });
        let error = apply(&kernel, &Plan::new(request).unwrap()).unwrap_err();
        assert!(error.is_verification());
        assert_eq!(
            error.to_string(),
            "verified is required, but this mount is plain (the metadata image has no fs-verity)"
        );
    });
}

#[test]
fn without_the_privilege_the_error_says_what_is_needed() {
    let fixture = Fixture::new();
    let kernel = kernel_refusing(|call| call.starts_with("fsopen").then_some(Errno::PERM));
    let error = apply(&kernel, &fixture.plan()).unwrap_err();
    assert!(matches!(error, Error::Privilege(_)));
    assert!(error.to_string().starts_with("mounting an image needs root: CAP_SYS_ADMIN"), "{error}");
    // In a user namespace the refusal comes later.
    in_own_namespace(|| {
        let kernel = kernel_refusing(|call| call.contains("CMD_CREATE").then_some(Errno::PERM));
        assert!(matches!(apply(&kernel, &fixture.plan()), Err(Error::Privilege(_))));
    });
}

#[test]
fn a_kernel_without_erofs_or_overlayfs_is_named_as_such() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        for filesystem in ["erofs", "overlay"] {
            let opening = format!("fsopen(\"{filesystem}\"");
            let kernel = kernel_refusing(move |call| call.starts_with(&opening).then_some(Errno::NODEV));
            let error = apply(&kernel, &fixture.plan()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("this kernel has no {filesystem} ")), "{error}");
        }
    });
}

#[test]
fn when_both_ways_fail_both_are_told() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let kernel = kernel_refusing(|call| {
            if call.contains("/dev/loop-control") {
                return Some(Errno::NOENT);
            }
            call.contains("CMD_CREATE").then_some(Errno::NOTBLK)
        });
        let error = apply(&kernel, &fixture.plan()).unwrap_err().to_string();
        assert!(error.contains("CMD_CREATE): ENOTBLK (Block device required): the kernel log (dmesg) may say why; tried a loop device then: "));
        assert!(error.ends_with("open(\"/dev/loop-control\", O_RDONLY): ENOENT (No such file or directory)"));
    });
}

#[test]
fn what_the_kernel_takes_for_no_image_fails_in_both_ways_and_leaves_nothing() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let kernel = kernel_refusing(|call| call.contains("CMD_CREATE").then_some(Errno::INVAL));
        let error = apply(&kernel, &fixture.plan()).unwrap_err().to_string();
        assert!(error.starts_with("mounting the metadata image: fsconfig(["), "{error}");
        assert!(error.contains("; tried a loop device then: "), "{error}");
        assert!(error.ends_with("EINVAL (Invalid argument): the kernel log (dmesg) may say why"), "{error}");
        fixture.assert_no_loop_device();
    });
}

#[test]
fn an_image_that_is_none_or_wants_another_device_is_refused_before_anything_is_mounted() {
    let fixture = Fixture::new();
    let good = fs::read(fixture.path("image.erofs")).unwrap();
    let kernel = kernel_refusing(|call| {
        assert!(!call.starts_with("fsopen"), "mounting began: {call}");
        None
    });
    let refusal = |bytes: &[u8]| {
        fs::write(fixture.path("image.erofs"), bytes).unwrap();
        let image_id = sealpack_format::verity::fsverity_digest(fixture.image_id.algorithm(), bytes);
        let plan = Plan::new(Request { image_id, ..fixture.request() }).unwrap();
        let error = apply(&kernel, &plan).unwrap_err();
        assert!(error.is_verification());
        error.to_string()
    };
    assert!(refusal(&[0; 4096]).contains("image.erofs cannot be mounted: "));
    let mut slots = good;
    // extra_devices and devt_slotoff of the superblock.
    slots[1024 + 86] = 1;
    slots[1024 + 88] = 9;
    let refused = refusal(&slots);
    assert!(refused.contains("extra device slots; data on other devices is refused"), "{refused}");
}

#[test]
fn what_cannot_be_a_target_or_an_image_is_named() {
    let fixture = Fixture::new();
    let kernel = Kernel::new();
    let attempt = |request: Request| apply(&kernel, &Plan::new(request).unwrap()).unwrap_err().to_string();
    let path = |name: &str| fixture.path(name).display().to_string();
    assert_eq!(
        attempt(Request { target: fixture.path("none"), ..fixture.request() }),
        format!("the target {}: No such file or directory (os error 2)", path("none"))
    );
    assert_eq!(
        attempt(Request { target: fixture.path("image.erofs"), ..fixture.request() }),
        format!("the target {}: Not a directory (os error 20)", path("image.erofs"))
    );
    assert_eq!(
        attempt(Request { image: fixture.path("none"), ..fixture.request() }),
        format!("the metadata image {}: No such file or directory (os error 2)", path("none"))
    );
    assert_eq!(
        attempt(Request { image: fixture.path("objects"), ..fixture.request() }),
        format!("the metadata image {} is not a regular file", path("objects"))
    );
    let fifo = fixture.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(
        attempt(Request { image: fifo, ..fixture.request() }),
        format!("the metadata image {} is not a regular file", path("fifo"))
    );
    let none = Objects::Files { directories: vec![fixture.path("none")], have_verity: false };
    assert_eq!(
        attempt(Request { objects: none, ..fixture.request() }),
        format!("the directory with objects {}: No such file or directory (os error 2)", path("none"))
    );
}
