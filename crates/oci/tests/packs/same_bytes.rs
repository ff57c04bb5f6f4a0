//! A pack follows from its layer's tar alone: however it comes, and whatever it is made from.

use std::io::Cursor;

use proptest::prelude::*;
use sealpack_format::pack::{PackOptions, PackWriter};
use sealpack_format::{Algorithm, RootHash};
use sealpack_oci::media_type::Compression;
use sealpack_store::{ObjectForm, Store};

use crate::memory::{Memory, diff_id_of};
use crate::tar::{Member, archive};
use crate::{files, fixture, gc, pull_as, text};

fn root_hash(store: &Store, tar: &[u8]) -> Option<RootHash> {
    store.layer_pack(&diff_id_of(tar)).unwrap().map(|pack| pack.root_hash)
}

/// Contents twice, inline ones, none, links, holes, one larger than what is gathered, and one that goes nowhere.
fn every_kind() -> Vec<u8> {
    let sparse =
        Member::Sparse(vec![(0, text(4096)), (200_000, text(100)), (1 << 20, vec![7; 512])], 3 << 20);
    archive(&[
        ("usr/", Member::Directory),
        ("usr/z", Member::File(text(10_000))),
        ("usr/empty", Member::File(Vec::new())),
        ("usr/64", Member::File(text(64))),
        ("usr/65", Member::File(text(65))),
        ("usr/hard", Member::HardLink("usr/z".to_owned())),
        ("usr/same-as-z", Member::File(text(10_000))),
        ("usr/.wh.gone", Member::File(text(3000))),
        (".wh..wh.plnk/1", Member::File(text(3001))),
        ("usr/sparse", sparse),
        ("usr/zeros", Member::File(vec![0; 300_000])),
        ("usr/large", Member::File(text(1_500_000))),
        ("usr/link", Member::Symlink("z".to_owned())),
        ("usr/a", Member::File(text(4096))),
    ])
}

#[test]
fn the_pack_of_a_layer_with_every_kind_of_member_keeps_its_root_hash() {
    let tar = every_kind();
    let store = fixture(Algorithm::Sha256);
    pull_as(&store, &Memory::new(std::slice::from_ref(&tar), Compression::Zstd), ObjectForm::Packs);
    let pack = store.layer_pack(&diff_id_of(&tar)).unwrap().unwrap();
    assert_eq!(
        (pack.root_hash.to_string().as_str(), pack.size_bytes, pack.objects, pack.object_bytes),
        ("3b026a0f2e42110907dfb28c0fdf5e2908c49a81c73744fb377cbcb61a8bf04d", 1_744_896, 6, 4_959_889)
    );
}

/// The contents that belong into the pack, in their order.
fn contents(members: &[(&str, Member)]) -> Vec<Vec<u8>> {
    let content = |(path, member): &(&str, Member)| match member {
        Member::File(data) if data.len() > 64 && !path.contains(".wh.") => Some(data.clone()),
        Member::Sparse(pieces, size) => {
            let mut content = vec![0; usize::try_from(*size).unwrap()];
            for (offset, data) in pieces {
                let offset = usize::try_from(*offset).unwrap();
                content[offset..offset + data.len()].copy_from_slice(data);
            }
            Some(content)
        }
        _ => None,
    };
    members.iter().filter_map(content).collect()
}

/// The pack as the format's own writer makes it of the contents, with the portable hash.
fn reference(members: &[(&str, Member)]) -> Option<(RootHash, Vec<u8>)> {
    let mut out = Cursor::new(Vec::new());
    let mut writer = PackWriter::new(&mut out, || Ok(Cursor::new(Vec::new())), PackOptions::default());
    for content in contents(members) {
        let mut object = writer.object();
        content.chunks(777).for_each(|piece| object.write(piece).unwrap());
        object.finish().unwrap();
    }
    let pack = writer.finish().unwrap();
    (pack.objects > 0).then(|| (pack.root_hash, out.into_inner()))
}

fn any_member() -> impl Strategy<Value = Member> {
    // Few different contents, so that some come twice; sizes around what makes a difference.
    let size = prop_oneof![
        Just(0_usize),
        Just(64),
        Just(65),
        Just(4095),
        Just(4096),
        Just(4097),
        Just(65_536),
        1..20_000_usize,
    ];
    prop_oneof![
        6 => (size, 0..3_u8).prop_map(|(size, salt)| Member::File(text(size + usize::from(salt)))),
        1 => (0..3_usize).prop_map(|n| Member::File(vec![0; 60 + n * 50_000])),
        1 => Just(Member::File(text(1_200_000))),
        1 => (1..40_u64, 1..500_usize).prop_map(|(block, length)| {
            Member::Sparse(vec![(block * 16_384, text(length))], block * 16_384 + 70_000)
        }),
        1 => Just(Member::HardLink("0".to_owned())),
        1 => Just(Member::Symlink("0".to_owned())),
        1 => Just(Member::Directory),
    ]
}

fn any_layer() -> impl Strategy<Value = Vec<Member>> {
    prop::collection::vec(any_member(), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_pack_has_the_same_bytes_from_any_stream_and_from_objects(
        layers in prop::collection::vec(any_layer(), 1..5),
        flip in any::<bool>(),
    ) {
        let names: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        let whiteouts: Vec<String> = (0..12).map(|n| format!(".wh.gone-{n}")).collect();
        let named: Vec<Vec<(&str, Member)>> = layers
            .iter()
            .map(|members| {
                let name = |(n, member): (usize, &Member)| match (n, member) {
                    // What the links are to.
                    (0, _) => ("0", Member::File(text(66))),
                    (5, Member::File(_)) => (whiteouts[n].as_str(), member.clone()),
                    _ => (names[n].as_str(), member.clone()),
                };
                members.iter().enumerate().map(name).collect()
            })
            .collect();
        let tars: Vec<Vec<u8>> = named.iter().map(|members| archive(members)).collect();

        let plain = fixture(Algorithm::Sha256);
        pull_as(&plain, &Memory::new(&tars, Compression::Plain), ObjectForm::Packs);
        for (tar, members) in tars.iter().zip(&named) {
            let expected = reference(members);
            prop_assert_eq!(root_hash(&plain, tar), expected.as_ref().map(|(root_hash, _)| *root_hash));
            if let Some((root_hash, bytes)) = expected {
                prop_assert!(std::fs::read(plain.pack_path(&root_hash)).unwrap() == bytes);
            }
        }
        let packs = files(&plain, "packs/sha256");

        // Other blobs, and the layers in another order.
        let mut turned = tars.clone();
        if flip {
            turned.reverse();
        }
        let zipped = fixture(Algorithm::Sha256);
        pull_as(&zipped, &Memory::new(&turned, Compression::Gzip), ObjectForm::Packs);
        prop_assert!(files(&zipped, "packs/sha256") == packs);

        // From objects, and after a turn through files from the packs.
        let converted = fixture(Algorithm::Sha256);
        let mut record = pull_as(&converted, &Memory::new(&tars, Compression::Plain), ObjectForm::Files).record;
        for form in [ObjectForm::Packs, ObjectForm::Files, ObjectForm::Packs] {
            record = converted.convert(&record, form, &()).unwrap().record;
            gc(&converted);
        }
        prop_assert!(files(&converted, "packs/sha256") == packs);
        prop_assert!(files(&converted, "layers/sha256") == files(&plain, "layers/sha256"));
    }
}
