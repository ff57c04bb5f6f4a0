use super::*;

fn request() -> Request {
    Request {
        image: "/store/images/x.erofs".into(),
        image_id: ObjectId::sha256([0xAB; 32]),
        objects: vec!["/store/objects".into()],
        objects_have_verity: true,
        writable: None,
        target: "/mnt".into(),
        read_only: false,
        noexec: false,
        required: Level::Plain,
    }
}

fn writable() -> Writable {
    Writable { upper: "/rw/upper".into(), work: "/rw/work".into() }
}

fn overlay_of(request: Request) -> Filesystem {
    Plan::new(request).unwrap().overlay
}

#[test]
fn a_plan_prints_the_system_calls() {
    let plan = Plan::new(Request { required: Level::Verified, ..request() }).unwrap();
    let hex = "ab".repeat(32);
    let expected = format!(
        r#"open("/store/images/x.erofs", O_RDONLY): the image
ioctl([image], FS_IOC_MEASURE_VERITY), or all of it read: must be {hex}
open("/mnt", O_PATH|O_DIRECTORY): the target
fsopen("erofs")
    fsconfig(SET_FLAG, "ro")
    fsconfig(SET_STRING, "source", the path of [image])
    fsconfig(CMD_CREATE)
    fsmount(ro,nosuid,nodev,noexec): [erofs]
    where the kernel takes no file: the same with a loop device of [image]
fsopen("overlay")
    fsconfig(SET_STRING, "source", "sealpack:{hex}")
    fsconfig(SET_STRING, "metacopy", "on")
    fsconfig(SET_STRING, "redirect_dir", "on")
    fsconfig(SET_STRING, "verity", "require")
    fsconfig(SET_FD, "lowerdir+", [erofs])
    fsconfig(SET_FD, "datadir+", [/store/objects])
    fsconfig(CMD_CREATE)
    fsmount(ro,nosuid,nodev): [overlay]
    where the kernel takes no descriptors: the same by path in a mount namespace of its own
move_mount([overlay], "", [target], "")
result: verified (no signature was given to the kernel), if the image has fs-verity; required: verified"#
    );
    assert_eq!(plan.to_string(), expected);
}

#[test]
fn without_fs_verity_on_the_objects_overlayfs_is_not_told_to_check_them() {
    let plan = Plan::new(Request { objects_have_verity: false, ..request() }).unwrap();
    assert!(!plan.overlay.settings.iter().any(|setting| matches!(setting, Setting::Text("verity", _))));
    assert!(plan.to_string().ends_with("result: plain (the objects have no fs-verity)"));
}

#[test]
fn without_an_upper_directory_the_mount_is_read_only() {
    assert!(overlay_of(request()).attributes.read_only);
    let request = Request { writable: Some(writable()), ..request() };
    assert!(!overlay_of(request.clone()).attributes.read_only);
    assert!(overlay_of(Request { read_only: true, ..request }).attributes.read_only);
}

#[test]
fn what_nobody_signed_is_never_mounted_with_suid_or_devices() {
    for writable in [None, Some(writable())] {
        let plan = Plan::new(Request { writable, ..request() }).unwrap();
        for filesystem in plan.filesystems() {
            assert!(filesystem.attributes.nosuid && filesystem.attributes.nodev);
        }
        assert!(!plan.overlay.attributes.noexec);
    }
    assert!(overlay_of(Request { noexec: true, ..request() }).attributes.noexec);
}

#[test]
fn layers_are_given_top_to_bottom_and_then_the_writable_ones() {
    let request =
        Request { objects: vec!["/a".into(), "/b".into()], writable: Some(writable()), ..request() };
    let layers: Vec<_> = overlay_of(request)
        .settings
        .into_iter()
        .filter_map(|setting| match setting {
            Setting::Layer(key, layer) => Some((key, layer)),
            _ => None,
        })
        .collect();
    let directory = |path: &str| Layer::Directory(path.into());
    let expected = [
        ("lowerdir+", Layer::Metadata),
        ("datadir+", directory("/a")),
        ("datadir+", directory("/b")),
        ("upperdir", directory("/rw/upper")),
        ("workdir", directory("/rw/work")),
    ];
    assert_eq!(layers, expected);
}

#[test]
fn a_level_out_of_reach_is_refused_with_the_reason() {
    let message = |request| Plan::new(request).unwrap_err().to_string();
    assert_eq!(
        message(Request { objects_have_verity: false, required: Level::Verified, ..request() }),
        "verified is required, but this mount would be plain (the objects have no fs-verity)"
    );
    assert_eq!(
        message(Request { required: Level::Enforced, ..request() }),
        "enforced is required, but this mount would be verified (no signature was given to the kernel)"
    );
}

#[test]
fn upper_and_work_come_together() {
    let path = || Some(PathBuf::from("/x"));
    assert_eq!(Writable::new(None, None), Ok(None));
    assert!(Writable::new(path(), path()).unwrap().is_some());
    assert!(Writable::new(path(), None).unwrap_err().to_string().contains("/x needs a work directory"));
    assert!(Writable::new(None, path()).unwrap_err().to_string().contains("/x is of no use"));
}

#[test]
fn the_number_of_object_directories_is_bounded() {
    let with = |count| Plan::new(Request { objects: vec!["/o".into(); count], ..request() });
    assert_eq!(with(0).unwrap_err(), PlanError::NoObjects);
    assert!(with(499).is_ok());
    assert_eq!(with(500).unwrap_err(), PlanError::TooManyObjects { count: 500 });
}
