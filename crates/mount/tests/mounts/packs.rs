//! Images whose objects are in packs. Without dm-verity, which the machine that runs these tests
//! may lack, they are mounted as the plain filesystems that they are.

use std::fs;
use std::io::Cursor;

use sealpack_format::pack::{PackOptions, PackWriter};
use sealpack_format::verity::dmverity::HashAreaWriter;
use sealpack_kernel::{Errno, Kernel};
use sealpack_mount::{
    Backing, Error, Level, MetadataHashArea, Objects, Pack, Plan, Request, Signature, apply, unmount,
};

use crate::failures::fail_each_call;
use crate::fixture::{
    BIG, Fixture, SMALL, in_own_namespace, kernel_refusing, mounts, no_layers_by_descriptor,
};

fn pack(fixture: &Fixture, name: &str, contents: &[&[u8]]) -> Pack {
    let scratch = || Ok(Cursor::new(Vec::new()));
    let mut out = Cursor::new(Vec::new());
    let mut writer = PackWriter::new(&mut out, scratch, PackOptions::default());
    for content in contents {
        let mut object = writer.object();
        object.write(content).unwrap();
        object.finish().unwrap();
    }
    let written = writer.finish().unwrap();
    let path = fixture.path(name);
    fs::write(&path, out.into_inner()).unwrap();
    Pack {
        path,
        filesystem_blocks: written.filesystem_blocks,
        root_hash: written.root_hash,
        signatures: Vec::new(),
    }
}

/// The fixture's image with `count` packs, the last of which has its object.
fn request(fixture: &Fixture, count: usize) -> Request {
    let image = fs::read(fixture.path("image.erofs")).unwrap();
    let size_bytes = u64::try_from(image.len()).unwrap();
    let hash = sealpack_format::verity::hash_blocks_portably;
    let mut area = HashAreaWriter::new(Cursor::new(Vec::new()), size_bytes, hash).unwrap();
    area.update(&image).unwrap();
    let (root_hash, area) = area.finish().unwrap();
    fs::write(fixture.path("image.verity"), area.into_inner()).unwrap();
    let metadata = MetadataHashArea {
        path: fixture.path("image.verity"),
        data_blocks: size_bytes / 4096,
        root_hash,
        signatures: Vec::new(),
    };
    let packs = (0..count).map(|index| {
        let name = format!("{index}.pack");
        let content = format!("{index} {}", "x".repeat(100));
        let contents: &[&[u8]] = if index + 1 == count { &[BIG] } else { &[content.as_bytes()] };
        pack(fixture, &name, contents)
    });
    Request {
        objects: Objects::Packs { metadata, packs: packs.collect(), are_complete: false },
        ..fixture.request()
    }
}

/// The request with its hash area or its packs changed.
fn changed(mut request: Request, change: impl FnOnce(&mut MetadataHashArea, &mut Vec<Pack>)) -> Request {
    match &mut request.objects {
        Objects::Packs { metadata, packs, .. } => change(metadata, packs),
        Objects::Files { .. } => panic!("a request of packs"),
    }
    request
}

fn no_device_mapper(call: &str) -> Option<Errno> {
    call.contains("/dev/mapper/control").then_some(Errno::NOENT)
}

/// Refuses EROFS from files, every time.
fn no_file_backed_erofs() -> impl Fn(&str) -> Option<Errno> + Send + Sync {
    // Whether an EROFS is being made, and whether a loop device was attached for it.
    let state = std::sync::Mutex::new((false, false));
    move |call| {
        let (is_erofs, has_loop) = &mut *state.lock().unwrap();
        if call.starts_with("fsopen") {
            *is_erofs = call.contains("\"erofs\"");
        } else if call.contains("LOOP_CONFIGURE") {
            *has_loop = true;
        } else if call.contains("CMD_CREATE") && *is_erofs {
            return (!std::mem::take(has_loop)).then_some(Errno::NOTBLK);
        }
        None
    }
}

/// The numbers of the EROFS filesystems that are mounted in this namespace.
fn erofs_mounts() -> Vec<u64> {
    mounts().iter().filter(|mount| mount.fs_type == "erofs").map(|mount| mount.id).collect()
}

fn assert_shows_the_image(kernel: &Kernel, fixture: &Fixture, count: usize) -> Vec<Backing> {
    // Others on the machine may have some.
    let before = erofs_mounts();
    let achieved = apply(kernel, &Plan::new(request(fixture, count)).unwrap()).unwrap();
    let target = fixture.path("target");
    assert_eq!(fs::read(target.join("big")).unwrap(), BIG);
    assert_eq!(fs::read(target.join("small")).unwrap(), SMALL);
    assert_eq!(achieved.packs.len(), count);
    assert_eq!(achieved.assurance.to_string(), "plain (the kernel has no device-mapper)");
    assert!(!achieved.suid);
    // Of the packs' own mounts nothing is to be seen.
    assert_eq!(erofs_mounts(), before);
    unmount(kernel, &target, false).unwrap();
    fixture.assert_no_loop_device();
    achieved.packs
}

#[test]
fn packs_are_mounted_plain_where_there_is_no_device_mapper() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let kernel = kernel_refusing(no_device_mapper);
        for count in [1, 2, 20] {
            assert_shows_the_image(&kernel, &fixture, count);
        }
    });
}

#[test]
fn many_packs_are_attached_over_each_other_where_the_kernel_takes_no_detached_layers() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let kernel = kernel_refusing(|call| no_device_mapper(call).or_else(|| no_layers_by_descriptor(call)));
        for count in [1, 30] {
            assert_shows_the_image(&kernel, &fixture, count);
        }
    });
}

#[test]
fn packs_are_mounted_through_loop_devices_where_erofs_takes_no_files() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let no_files = no_file_backed_erofs();
        let kernel = kernel_refusing(move |call| no_device_mapper(call).or_else(|| no_files(call)));
        let backings = assert_shows_the_image(&kernel, &fixture, 3);
        assert!(backings.iter().all(|backing| matches!(backing, Backing::Loop(_))), "{backings:?}");
    });
}

#[test]
fn a_failure_of_any_call_with_packs_leaves_nothing_behind() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let plan = Plan::new(request(&fixture, 3)).unwrap();
        let refuse = || |call: &str| no_device_mapper(call).or_else(|| no_layers_by_descriptor(call));
        fail_each_call(&fixture, &plan, 30, refuse);
    });
}

/// The refusal of `request`, before anything is mounted.
fn refusal(request: Request) -> Error {
    let kernel = kernel_refusing(|call| {
        assert!(!call.starts_with("fsopen") && !call.contains("LOOP_C"), "mounting began: {call}");
        None
    });
    let error = apply(&kernel, &Plan::new(request).unwrap()).unwrap_err();
    assert!(error.is_verification(), "{error}");
    error
}

#[test]
fn an_object_that_is_in_no_pack_is_missed_before_anything_is_mounted() {
    let fixture = Fixture::new();
    let request = changed(request(&fixture, 3), |_, packs| drop(packs.pop()));
    let Error::MissingObject { file, others, object } = refusal(request) else { panic!("another error") };
    assert_eq!((file.as_slice(), others), (b"big".as_slice(), 0));
    let path = fixture.path("objects").join(object);
    assert!(path.exists(), "{}", path.display());
}

#[test]
fn a_pack_that_is_another_one_or_none_is_refused() {
    let fixture = Fixture::new();
    let text = |change: fn(&Fixture, &mut Vec<Pack>)| {
        let request = changed(request(&fixture, 2), |_, packs| change(&fixture, packs));
        refusal(request).to_string()
    };
    let swapped = text(|fixture, _| {
        fs::copy(fixture.path("0.pack"), fixture.path("1.pack")).unwrap();
    });
    assert!(swapped.contains("1.pack is not what it should be: its root hash is "), "{swapped}");
    let blocks = text(|_, packs| packs[0].filesystem_blocks += 1);
    assert!(blocks.contains("its hash tree is for"), "{blocks}");
    let cut = text(|fixture, _| {
        let bytes = fs::read(fixture.path("1.pack")).unwrap();
        fs::write(fixture.path("1.pack"), &bytes[..bytes.len() - 4096]).unwrap();
    });
    assert!(cut.contains("1.pack cannot be mounted: "), "{cut}");
    let slots = text(|fixture, _| {
        let mut bytes = fs::read(fixture.path("1.pack")).unwrap();
        bytes[1024 + 86] = 1;
        fs::write(fixture.path("1.pack"), &bytes).unwrap();
    });
    assert!(slots.contains("extra device slots; data on other devices is refused"), "{slots}");
}

#[test]
fn a_hash_tree_that_is_not_the_metadata_images_is_refused() {
    let fixture = Fixture::new();
    let text = |change: fn(&Fixture, &mut MetadataHashArea)| {
        let request = changed(request(&fixture, 1), |area, _| change(&fixture, area));
        refusal(request).to_string()
    };
    assert!(
        text(|_, area| area.data_blocks = 3).contains("it is for 3 blocks, but the image has 8192 bytes")
    );
    let other = text(|fixture, _| {
        let mut bytes = fs::read(fixture.path("image.verity")).unwrap();
        bytes[4096] ^= 1;
        fs::write(fixture.path("image.verity"), bytes).unwrap();
    });
    assert!(other.contains("image.verity is not what it should be: its root hash is "), "{other}");
    let cut = text(|fixture, _| fs::write(fixture.path("image.verity"), [0; 4096]).unwrap());
    assert!(cut.contains("it has 4096 bytes, not 8192"), "{cut}");
    let zeros = text(|fixture, _| fs::write(fixture.path("image.verity"), [0; 8192]).unwrap());
    assert!(zeros.contains("there is no dm-verity superblock"), "{zeros}");
    // A hash area and a root hash, which somebody may have signed, that belong together, but to another image.
    let another = text(|fixture, area| {
        let hash = sealpack_format::verity::hash_blocks_portably;
        let mut writer = HashAreaWriter::new(Cursor::new(Vec::new()), 8192, hash).unwrap();
        writer.update(&[7; 8192]).unwrap();
        let (root_hash, bytes) = writer.finish().unwrap();
        fs::write(fixture.path("image.verity"), bytes.into_inner()).unwrap();
        area.root_hash = root_hash;
    });
    assert!(another.contains("it is that of another image than "), "{another}");
}

#[test]
fn what_only_devices_give_is_refused_where_there_are_none() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let before = mounts();
        let kernel = kernel_refusing(|call| {
            assert!(!call.starts_with("fsopen"), "mounting began: {call}");
            no_device_mapper(call)
        });
        let signature = || vec![Signature { der: vec![0x30], signer: "CN=test".into() }];
        let signed = changed(request(&fixture, 1), |area, packs| {
            area.signatures = signature();
            packs[0].signatures = signature();
        });
        for required in [Level::Verified, Level::Signed] {
            let plan = Plan::new(Request { required, ..signed.clone() }).unwrap();
            let error = apply(&kernel, &plan).unwrap_err();
            assert!(error.is_verification());
            assert_eq!(
                error.to_string(),
                format!("{required} is required, but this mount is plain (the kernel has no device-mapper)")
            );
        }
        assert_eq!(mounts(), before);
    });
}

#[test]
fn plain_can_be_asked_for_and_asks_nothing_of_device_mapper() {
    let fixture = Fixture::new();
    in_own_namespace(|| {
        let kernel = kernel_refusing(|call| {
            assert!(!call.contains("/dev/mapper"), "{call}");
            None
        });
        let request = Request { at_most: Level::Plain, ..request(&fixture, 2) };
        let achieved = apply(&kernel, &Plan::new(request).unwrap()).unwrap();
        assert_eq!(achieved.assurance.to_string(), "plain (no more was asked for)");
        unmount(&Kernel::new(), &fixture.path("target"), false).unwrap();
    });
}

#[test]
fn without_the_privilege_for_device_mapper_the_error_says_what_is_needed() {
    let fixture = Fixture::new();
    let kernel = kernel_refusing(|call| call.contains("/dev/mapper/control").then_some(Errno::PERM));
    let error = apply(&kernel, &Plan::new(request(&fixture, 1)).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Privilege(_)), "{error}");
}
