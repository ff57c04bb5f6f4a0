use proptest::prelude::*;

use super::*;
use crate::digest::{ObjectId, RootHash};

const SIGNATURE: [u8; 20] = [7; 20];

fn layer(number: u8, tree: Tree) -> Layer<'static> {
    Layer { root_hash: RootHash::new([number; 32]), data_blocks: 100, tree, signature: &SIGNATURE }
}

fn overlay(count: usize) -> Request<'static> {
    let layers = (0..count).map(|index| {
        let tree = if index == 0 { Tree::Apart } else { Tree::Behind };
        layer(u8::try_from(index).expect("few"), tree)
    });
    Request::Overlay { image: ObjectId::sha256([9; 32]), layers: layers.collect(), idmapped: true }
}

#[test]
fn the_bytes_are_those_of_the_table_in_the_documentation() {
    let bytes = Request::Mount { layer: layer(0xab, Tree::Behind), idmapped: false }.to_bytes().unwrap();
    let expected = [
        &b"SPB1M\0\x01\0"[..],
        &[0xab; 32],
        &100_u64.to_le_bytes(),
        &20_u32.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &SIGNATURE,
    ];
    assert_eq!(bytes, expected.concat());
    let bytes = overlay(2).to_bytes().unwrap();
    assert!(
        bytes.starts_with(&[&b"SPB1O\x01\x02\0"[..], &32_u32.to_le_bytes(), &[9; 32], &[0; 32]].concat())
    );
    assert_eq!(bytes.len(), 8 + 68 + 2 * (48 + 20));
    assert_eq!(Request::Version.to_bytes().unwrap(), b"SPB1V\0\0\0");
    assert_eq!(Request::Update { signed: b"abc" }.to_bytes().unwrap(), b"SPB1P\0\0\0abc");
}

#[test]
fn each_layer_has_one_descriptor_or_two_and_a_map_has_one() {
    assert_eq!(overlay(3).descriptors(), 2 + 1 + 1 + 1);
    assert_eq!(Request::Mount { layer: layer(1, Tree::Behind), idmapped: false }.descriptors(), 1);
    assert_eq!(Request::Version.descriptors(), 0);
}

#[test]
fn nothing_but_exactly_one_request_is_read() {
    for request in [overlay(2), Request::Mount { layer: layer(1, Tree::Apart), idmapped: true }] {
        let good = request.to_bytes().unwrap();
        assert_eq!(Request::parse(&good), Ok(request));
        for end in 0..good.len() {
            assert!(matches!(Request::parse(&good[..end]), Err(MessageError::Short { .. })), "{end}");
        }
        let longer = [good.as_slice(), &[0]].concat();
        assert_eq!(Request::parse(&longer), Err(MessageError::Behind { bytes: 1 }));
    }
    assert_eq!(Request::parse(b"SPB1V\0\0\0x"), Err(MessageError::Behind { bytes: 1 }));
    assert_eq!(Request::parse(b"SPB1P\0\0\0"), Err(MessageError::Short { field: "the policy" }));
}

#[test]
fn every_field_is_looked_at() {
    let good = overlay(2).to_bytes().unwrap();
    let after = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        Request::parse(&bytes).unwrap_err()
    };
    let field = |field, value| MessageError::Field { field, value };
    assert!(matches!(after(3, b"2"), MessageError::Field { field: "the magic", .. }));
    assert_eq!(after(4, b"X"), field("the operation", b'X'.into()));
    assert_eq!(after(5, &[2]), field("the flags", 2));
    assert_eq!(after(6, &[1]), MessageError::Layers { count: 1 });
    assert_eq!(after(6, &[62]), MessageError::Layers { count: 62 });
    assert_eq!(after(8, &[33]), field("the length of the image's digest", 33));
    assert_eq!(after(8 + 4 + 32, &[1]), field("a byte behind the image's digest", 1));
    let layer = 8 + 68;
    assert_eq!(after(layer + 32, &[0; 8]), MessageError::DataBlocks { blocks: 0 });
    assert!(matches!(after(layer + 32, &[0xff; 8]), MessageError::DataBlocks { .. }));
    assert_eq!(after(layer + 40, &[15]), MessageError::Signature { bytes: 15 });
    assert!(matches!(after(layer + 40, &[0xff; 4]), MessageError::Signature { .. }));
    assert_eq!(after(layer + 44, &[0]), field("a number of descriptors", 0));
    assert_eq!(after(layer + 44, &[3]), field("a number of descriptors", 3));
    assert_eq!(after(layer + 40, &[21]), MessageError::Short { field: "a signature" });
    assert_eq!(after(layer + 40, &[19]), MessageError::Behind { bytes: 1 });
}

#[test]
fn what_the_protocol_does_not_carry_is_not_written() {
    let with = |data_blocks, signature| {
        let layer = Layer { data_blocks, signature, ..layer(1, Tree::Behind) };
        Request::Mount { layer, idmapped: false }.to_bytes().unwrap_err()
    };
    assert_eq!(with(0, &SIGNATURE), MessageError::DataBlocks { blocks: 0 });
    assert_eq!(with(1, b"short"), MessageError::Signature { bytes: 5 });
    assert_eq!(overlay(62).to_bytes(), Err(MessageError::Layers { count: 62 }));
    let signature = vec![1; *SIGNATURE_BYTES.end()];
    let layers = vec![Layer { signature: &signature, ..layer(1, Tree::Behind) }; 61];
    let large = Request::Overlay { image: ObjectId::sha256([9; 32]), layers, idmapped: false };
    assert!(matches!(large.to_bytes(), Err(MessageError::TooLong { .. })));
    assert!(matches!(Request::parse(&vec![0; REQUEST_MAX_BYTES + 1]), Err(MessageError::TooLong { .. })));
}

#[test]
fn answers_survive_their_bytes() {
    for step in Step::ALL {
        let text = "erofs: cannot find valid erofs superblock".to_owned();
        let answer = Answer::Refused(Refusal { errno: 22, step, layer: Some(3), text });
        assert_eq!(Answer::parse(&answer.to_bytes()), Ok(answer));
    }
    let done = Answer::Done("0.1.0".to_owned());
    assert_eq!(Answer::parse(&done.to_bytes()), Ok(done));
}

#[test]
fn text_that_is_too_long_or_unprintable_is_cut_and_mended() {
    let refused = |errno, text: &str| {
        let refusal = Refusal { errno, step: Step::Mount, layer: None, text: text.to_owned() };
        let Ok(Answer::Refused(read)) = Answer::parse(&Answer::Refused(refusal).to_bytes()) else {
            panic!("it is refused")
        };
        read
    };
    assert_eq!(refused(1, &"long ".repeat(20)).text.len(), TEXT_MAX_BYTES);
    assert_eq!(refused(1, "a\nb\0cé").text, "a?b?c?");
    assert_eq!(refused(0, "").errno, 5);
    assert_eq!(refused(-1, "").errno, 5);
}

#[test]
fn an_answer_of_another_shape_is_none() {
    let good = Answer::Done(String::new()).to_bytes();
    assert!(Answer::parse(&good[..63]).is_err());
    assert!(Answer::parse(&[good.as_slice(), &[0]].concat()).is_err());
    for (at, value) in [(0, 1), (3, 0x80), (4, 1), (6, 0), (8, 0x80), (8, 10), (20, b'x')] {
        let mut bytes = good;
        bytes[at] = value;
        assert!(Answer::parse(&bytes).is_err(), "byte {at}");
    }
}

fn any_tree() -> impl Strategy<Value = Tree> {
    prop_oneof![Just(Tree::Behind), Just(Tree::Apart)]
}

proptest! {
    #[test]
    fn requests_survive_their_bytes(
        hash in any::<[u8; 32]>(),
        digest in any::<[u8; 32]>(),
        digests in any::<([u8; 32], bool)>(),
        layers in prop::collection::vec((1..=DATA_BLOCKS_MAX, any_tree(), 16..200_usize), 2..=61),
        idmapped in any::<bool>(),
    ) {
        let long = [digest, digests.0].concat().try_into().expect("64 bytes");
        let image = if digests.1 { ObjectId::sha512(long) } else { ObjectId::sha256(digest) };
        let signature = [0x30; 200];
        let layers = layers.into_iter().map(|(data_blocks, tree, length)| {
            Layer { root_hash: RootHash::new(hash), data_blocks, tree, signature: &signature[..length] }
        });
        let request = Request::Overlay { image, layers: layers.collect(), idmapped };
        let bytes = request.to_bytes().expect("it fits");
        prop_assert_eq!(Request::parse(&bytes), Ok(request));
    }

    #[test]
    fn what_is_read_is_written_again_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = Request::parse(&bytes) {
            prop_assert_eq!(request.to_bytes().expect("it was read"), bytes.clone());
        }
        if let Ok(answer) = Answer::parse(&bytes) {
            prop_assert_eq!(answer.to_bytes().to_vec(), bytes);
        }
    }
}
