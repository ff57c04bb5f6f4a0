use sealpack_format::digest::RootHash;

use super::*;

fn request() -> Request {
    Request {
        image: "/store/images/x.erofs".into(),
        image_id: ObjectId::sha256([0xAB; 32]),
        objects: files(true),
        writable: None,
        target: "/mnt".into(),
        read_only: false,
        noexec: false,
        nosuid: false,
        required: Level::Plain,
        at_most: Level::Enforced,
    }
}

fn files(have_verity: bool) -> Objects {
    Objects::Files { directories: vec!["/store/objects".into()], have_verity }
}

fn signature() -> Signature {
    Signature { der: vec![1], signer: "CN=test".into() }
}

/// A request for packs, with a signature for each that is `signed`, the metadata image first.
fn packs(signed: &[bool]) -> Request {
    let signatures = |signed: bool| if signed { vec![signature()] } else { Vec::new() };
    let packs = signed[1..].iter().enumerate().map(|(index, signed)| Pack {
        path: format!("/store/packs/{index}.pack").into(),
        filesystem_blocks: 100,
        root_hash: RootHash::new([u8::try_from(index).unwrap(); 32]),
        signatures: signatures(*signed),
    });
    let metadata = MetadataHashArea {
        path: "/store/images/x.verity".into(),
        data_blocks: 50,
        root_hash: RootHash::new([0xCD; 32]),
        signatures: signatures(signed[0]),
    };
    Request { objects: Objects::Packs { metadata, packs: packs.collect(), are_complete: false }, ..request() }
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
        r#"open("/store/images/x.erofs", O_RDONLY): [image]
ioctl([image], FS_IOC_MEASURE_VERITY), or all of it read: must be {hex}
open("/mnt", O_PATH|O_DIRECTORY): the target
fsopen("erofs")
    fsconfig(SET_FLAG, "ro")
    fsconfig(SET_STRING, "source", the path of [image])
    fsconfig(CMD_CREATE)
    fsmount(ro,nosuid,nodev,noexec): [image] mounted
    where the kernel takes no file: the same with a loop device of the file
fsopen("overlay")
    fsconfig(SET_STRING, "source", "sealpack:{hex}")
    fsconfig(SET_STRING, "metacopy", "on")
    fsconfig(SET_STRING, "redirect_dir", "on")
    fsconfig(SET_STRING, "verity", "require")
    fsconfig(SET_FD, "lowerdir+", [image])
    fsconfig(SET_FD, "datadir+", [/store/objects])
    fsconfig(CMD_CREATE)
    fsmount(ro,nosuid,nodev): [overlay]
    where the kernel takes no descriptors: the same by path in a mount namespace of its own
move_mount([overlay], "", [target], "")
result: at best verified (the objects are files, and the kernel takes signatures of packs); required: verified"#
    );
    assert_eq!(plan.to_string(), expected);
}

#[test]
fn without_fs_verity_on_the_objects_overlayfs_is_not_told_to_check_them() {
    let plan = Plan::new(Request { objects: files(false), ..request() }).unwrap();
    assert!(!plan.overlay.settings.iter().any(|setting| matches!(setting, Setting::Text("verity", _))));
    assert!(plan.to_string().contains("result: at best plain (the objects have no fs-verity)"));
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
        for filesystem in [&plan.lower, &plan.overlay] {
            assert!(filesystem.attributes.nosuid && filesystem.attributes.nodev);
        }
        assert!(!plan.overlay.attributes.noexec);
    }
    assert!(overlay_of(Request { noexec: true, ..request() }).attributes.noexec);
}

#[test]
fn layers_are_given_top_to_bottom_and_then_the_writable_ones() {
    let objects = Objects::Files { directories: vec!["/a".into(), "/b".into()], have_verity: true };
    let request = Request { objects, writable: Some(writable()), ..request() };
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
        message(Request { objects: files(false), required: Level::Verified, ..request() }),
        "verified is required, but this mount would be plain (the objects have no fs-verity)"
    );
    assert_eq!(
        message(Request { required: Level::Enforced, ..request() }),
        "enforced is required, but this mount would be verified (the objects are files, and the kernel takes signatures of packs)"
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
    let with = |count| {
        let objects = Objects::Files { directories: vec!["/o".into(); count], have_verity: true };
        Plan::new(Request { objects, ..request() })
    };
    assert_eq!(with(0).unwrap_err(), PlanError::NoObjects);
    assert!(with(499).is_ok());
    assert_eq!(with(500).unwrap_err(), PlanError::TooManyObjects { count: 500 });
}

#[test]
fn a_plan_with_packs_prints_what_becomes_of_each() {
    let text = Plan::new(packs(&[true, false])).unwrap().to_string();
    let (metadata, pack) = ("cd".repeat(32), "00".repeat(32));
    for line in [
        "read the names in the packs: must have all objects of [image]".to_owned(),
        format!("device sealpack-s-{metadata}, shared if there is one of the same files"),
        "    open(\"/store/images/x.verity\", O_RDONLY): [tree]".to_owned(),
        format!(
            "    add_key(\"user\", \"sealpack-s-{metadata}\", a signature, @t), until the kernel accepts one"
        ),
        format!(
            "    DM_TABLE_LOAD 0 400 verity 1 [loop] [loop of the tree] 4096 4096 50 1 sha256 {metadata} - \
             2 root_hash_sig_key_desc sealpack-s-{metadata}"
        ),
        format!("device sealpack-u-{pack}, shared if there is one of the same files"),
        format!("    DM_TABLE_LOAD 0 800 verity 1 [loop] [loop] 4096 4096 100 101 sha256 {pack} -"),
        "    fsconfig(SET_FD, \"lowerdir+\", [image])".to_owned(),
        "    fsconfig(SET_FD, \"datadir+\", [pack 0])".to_owned(),
        format!(
            "result: at best verified (there is no signature of a pack, root hash {pack}); required: plain"
        ),
    ] {
        assert!(text.lines().any(|has| has == line), "{line}\n is not in\n{text}");
    }
    assert!(!text.contains("without nosuid") && !text.contains("verity\", \"require"), "{text}");
    let text = Plan::new(packs(&[true, true])).unwrap().to_string();
    assert!(text.contains("without nosuid if the kernel accepted signatures of all devices"), "{text}");
    assert!(text.ends_with("result: at best enforced; required: plain"), "{text}");
}

#[test]
fn packs_are_as_good_as_the_signatures_of_all_of_them() {
    let best = |signed: &[bool]| Plan::new(packs(signed)).unwrap().best().level;
    assert_eq!(best(&[true, true, true]), Level::Enforced);
    for signed in [[false, true, true], [true, false, true], [true, true, false], [false; 3]] {
        assert_eq!(best(&signed), Level::Verified, "{signed:?}");
        let error = Plan::new(Request { required: Level::Signed, ..packs(&signed) }).unwrap_err();
        assert!(error.to_string().contains("there is no signature of "), "{error}");
    }
}

#[test]
fn what_is_not_to_be_tried_for_is_not_in_the_plan() {
    let plan = |at_most| Plan::new(Request { at_most, ..packs(&[true, true]) }).unwrap();
    assert!(plan(Level::Plain).lowers().iter().all(|lower| lower.device.is_none()));
    let devices = |at_most| -> Vec<Device> {
        plan(at_most).lowers().iter().map(|lower| lower.device.clone().unwrap()).collect()
    };
    assert!(devices(Level::Verified).iter().all(|device| device.signatures.is_empty()));
    assert!(devices(Level::Signed).iter().all(|device| device.signatures.len() == 1));
    for level in [Level::Plain, Level::Verified, Level::Signed] {
        assert_eq!(plan(level).best().to_string(), format!("{level} (no more was asked for)"));
    }
    let error = Plan::new(Request { required: Level::Signed, at_most: Level::Verified, ..packs(&[true; 2]) });
    assert_eq!(error.unwrap_err().to_string(), "signed is required, but at most verified is to be tried for");
}

#[test]
fn set_user_id_bits_work_only_where_all_can_be_signed_and_nothing_is_written() {
    let suid = |request| Plan::new(request).unwrap().suid_if_signed;
    assert!(suid(packs(&[true, true])));
    assert!(!suid(Request { nosuid: true, ..packs(&[true, true]) }));
    assert!(!suid(Request { writable: Some(writable()), ..packs(&[true, true]) }));
    assert!(!suid(Request { writable: Some(writable()), read_only: true, ..packs(&[true, true]) }));
    // Until they are accepted, nothing is allowed.
    let plan = Plan::new(packs(&[true, true])).unwrap();
    assert!(plan.overlay().attributes.nosuid && plan.overlay().attributes.nodev);
}
