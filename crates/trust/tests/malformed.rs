//! Damaged and hostile bytes: refused, without a panic.

use std::time::{Duration, SystemTime};

use der::asn1::{Any, AnyRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use proptest::prelude::*;
use sealpack_trust::key::{self, Certificate, FileKey, Generated, KeyKind, Validity};
use sealpack_trust::pkcs7::{self, Form, Message};

const CONTENT: &[u8] = b"5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

struct Signed {
    made: Generated,
    certificate: Certificate,
    detached: Vec<u8>,
    embedded: Vec<u8>,
}

impl Signed {
    fn new() -> Self {
        let validity = Validity::starting(SystemTime::now(), Duration::from_secs(3600)).expect("an hour");
        let made = key::generate(KeyKind::P256, &"test".parse().expect("a name"), &validity).expect("a key");
        let key = FileKey::parse(made.key_pem.as_bytes()).expect("its own key");
        let certificate = Certificate::parse(made.certificate_pem.as_bytes()).expect("its own certificate");
        let detached = pkcs7::sign_detached(&key, &certificate, CONTENT).expect("a signature");
        let embedded = pkcs7::sign_embedded(&key, &certificate, CONTENT).expect("a signature");
        Self { made, certificate, detached, embedded }
    }

    fn verifies_detached(&self, der: &[u8]) -> bool {
        pkcs7::verify_detached(der, CONTENT, std::slice::from_ref(&self.certificate)).is_ok()
    }

    fn verifies_embedded(&self, der: &[u8]) -> bool {
        pkcs7::verify_embedded(der, std::slice::from_ref(&self.certificate)).is_ok()
    }
}

/// An element of DER, taken apart.
#[derive(Clone)]
enum Node {
    Constructed(Tag, Vec<Node>),
    Primitive(Any),
}

impl Node {
    fn parse(der: &[u8]) -> Self {
        let element = AnyRef::from_der(der).expect("DER");
        if !element.tag().is_constructed() {
            return Self::Primitive(element.into());
        }
        let mut reader = SliceReader::new(element.value()).expect("a length that fits");
        let mut children = Vec::new();
        while !reader.is_finished() {
            children.push(Self::parse(reader.tlv_bytes().expect("DER")));
        }
        Self::Constructed(element.tag(), children)
    }

    fn to_der(&self) -> Vec<u8> {
        match self {
            Self::Constructed(tag, children) => {
                let value: Vec<u8> = children.iter().flat_map(Self::to_der).collect();
                Any::new(*tag, value).and_then(|element| element.to_der()).expect("a length that fits")
            }
            Self::Primitive(element) => element.to_der().expect("it was DER"),
        }
    }

    /// Every tree that `change` makes of this one by changing the children of one of its elements.
    fn variants(&self, change: &dyn Fn(&[Node]) -> Vec<Vec<Node>>) -> Vec<Node> {
        let Self::Constructed(tag, children) = self else { return Vec::new() };
        let mut variants: Vec<Node> =
            change(children).into_iter().map(|children| Self::Constructed(*tag, children)).collect();
        for (index, child) in children.iter().enumerate() {
            for variant in child.variants(change) {
                let mut children = children.clone();
                children[index] = variant;
                variants.push(Self::Constructed(*tag, children));
            }
        }
        variants
    }
}

fn null() -> Node {
    Node::Primitive(Any::null())
}

#[test]
fn a_signature_cut_off_anywhere_is_refused() {
    let signed = Signed::new();
    for length in 0..signed.detached.len() {
        assert!(!signed.verifies_detached(&signed.detached[..length]), "detached, {length} bytes");
    }
    for length in 0..signed.embedded.len() {
        assert!(!signed.verifies_embedded(&signed.embedded[..length]), "embedded, {length} bytes");
    }
}

#[test]
fn a_signature_with_any_bit_changed_is_refused() {
    let signed = Signed::new();
    for index in 0..signed.embedded.len() * 8 {
        let mut changed = signed.embedded.clone();
        changed[index / 8] ^= 1 << (index % 8);
        assert!(!signed.verifies_embedded(&changed), "bit {} of byte {}", index % 8, index / 8);
    }
}

#[test]
fn bytes_behind_a_signature_are_refused() {
    let signed = Signed::new();
    for behind in [&[0][..], &[0, 0], &signed.detached] {
        assert!(!signed.verifies_detached(&[&signed.detached, behind].concat()), "{behind:?}");
    }
}

#[test]
fn an_element_too_many_anywhere_is_refused() {
    let signed = Signed::new();
    let with_null = |children: &[Node]| {
        let at = |index: usize| {
            let mut children = children.to_vec();
            children.insert(index, null());
            children
        };
        (0..=children.len()).map(at).collect()
    };
    for der in [&signed.detached, &signed.embedded] {
        let tree = Node::parse(der);
        assert!(&tree.to_der() == der, "the tree is not the signature's");
        let variants = tree.variants(&with_null);
        assert!(variants.len() >= 40, "{} variants", variants.len());
        for variant in variants {
            let der = variant.to_der();
            assert!(!signed.verifies_detached(&der) && !signed.verifies_embedded(&der), "{der:02x?}");
        }
    }
}

#[test]
fn an_element_missing_anywhere_is_refused() {
    let signed = Signed::new();
    let is_null = |node: &Node| matches!(node, Node::Primitive(element) if element.tag() == Tag::Null);
    let without = |children: &[Node]| {
        // The parameters of a hash function may be NULL or nothing.
        let removable = children.iter().enumerate().filter(|(_, child)| !is_null(child));
        let at = |index: usize| {
            let mut children = children.to_vec();
            children.remove(index);
            children
        };
        removable.map(|(index, _)| at(index)).collect()
    };
    let variants = Node::parse(&signed.detached).variants(&without);
    assert!(variants.len() > 20, "{} variants", variants.len());
    for variant in variants {
        let der = variant.to_der();
        assert!(!signed.verifies_detached(&der), "{der:02x?}");
    }
}

#[test]
fn a_length_in_more_bytes_than_needed_is_refused() {
    let signed = Signed::new();
    let der = &signed.detached;
    assert_eq!(der[..2], [0x30, 0x81], "a sequence with one byte of length behind its own");
    let longer = [&[0x30, 0x82, 0x00], &der[2..]].concat();
    assert!(!signed.verifies_detached(&longer));
}

#[test]
fn a_content_in_pieces_is_refused() {
    let signed = Signed::new();
    let tree = Node::parse(&signed.embedded).to_der();
    let primitive = [&[0x04, CONTENT.len() as u8], CONTENT].concat();
    let at = tree.windows(primitive.len()).position(|bytes| bytes == primitive).expect("the content");
    let mut constructed = tree.clone();
    constructed[at] = 0x24;
    assert!(!signed.verifies_embedded(&constructed));
}

#[test]
fn keys_and_certificates_cut_off_anywhere_are_refused() {
    let signed = Signed::new();
    let certificate = signed.certificate.der();
    for length in 0..certificate.len() {
        assert!(Certificate::parse(&certificate[..length]).is_err(), "{length} bytes of the certificate");
    }
    let key = signed.made.key_pem.as_bytes();
    // The last byte is a line break, which may be missing.
    for length in 0..key.len() - 1 {
        assert!(FileKey::parse(&key[..length]).is_err(), "{length} bytes of the key");
    }
}

#[test]
fn a_private_key_does_not_show_in_debug_output() {
    let signed = Signed::new();
    let key = FileKey::parse(signed.made.key_pem.as_bytes()).expect("its own key");
    let text = format!("{key:?}");
    assert!(text.starts_with("FileKey { public: PublicKey"), "{text}");
    assert!(text.ends_with(", .. }"), "{text}");
}

/// Bytes with some of them changed, taken out or put in.
fn damaged(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), any::<u8>(), 0_u8..3);
    prop::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut bytes = bytes.clone();
        for (index, value, kind) in edits {
            let at = index.index(bytes.len().max(1));
            match kind {
                0 if at < bytes.len() => bytes[at] = value,
                1 if at < bytes.len() => _ = bytes.remove(at),
                _ => bytes.insert(at, value),
            }
        }
        bytes
    })
}

fn parse_all(bytes: &[u8]) {
    for form in [Form::Detached, Form::Embedded] {
        if let Ok(message) = Message::parse(bytes, form) {
            _ = message.signer().to_string();
        }
    }
    for certificate in Certificate::parse_all(bytes).unwrap_or_default() {
        _ = (certificate.is_self_signed(), certificate.subject().len(), certificate.extended_key_usages());
    }
    _ = FileKey::parse(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        parse_all(&bytes);
        parse_all(&[b"-----BEGIN CERTIFICATE-----\n", &bytes[..]].concat());
    }

    #[test]
    fn no_damaged_signature_panics(bytes in damaged(Signed::new().embedded)) {
        parse_all(&bytes);
    }

    #[test]
    fn no_damaged_certificate_panics(bytes in damaged(Signed::new().certificate.der().to_vec())) {
        parse_all(&bytes);
    }

    #[test]
    fn no_damaged_key_panics(bytes in damaged(Signed::new().made.key_pem.as_bytes().to_vec())) {
        parse_all(&bytes);
    }
}
