use std::time::{Duration, SystemTime};

use super::*;
use crate::key::{self, Certificate, DigestAlgorithm, FileKey, KeyKind};
use crate::pkcs7::{SigningError, sign_detached};

fn pair(kind: KeyKind) -> (FileKey, Certificate) {
    let validity = key::Validity::starting(SystemTime::now(), Duration::from_secs(86_400)).unwrap();
    let made = key::generate(kind, &"Boot".parse().unwrap(), &validity).unwrap();
    (
        FileKey::parse(made.key_pem.as_bytes()).unwrap(),
        Certificate::parse(made.certificate_pem.as_bytes()).unwrap(),
    )
}

#[test]
fn what_is_signed_is_found_to_be_signed_by_its_signer() {
    for (kind, digest) in [
        (KeyKind::Rsa2048, DigestAlgorithm::Sha256),
        (KeyKind::P256, DigestAlgorithm::Sha256),
        (KeyKind::P384, DigestAlgorithm::Sha384),
    ] {
        let (key, certificate) = pair(kind);
        let der = sign_image(&key, &certificate, &[b"ima", b"ge"]).unwrap();
        let signature = ImageSignature::parse(&der).unwrap();
        assert_eq!(signature.digest(), digest);
        assert_eq!(signature.image_hash(), digest.hash(&[b"image"]));
        assert_eq!(signature.certificates(), std::slice::from_ref(&certificate));
        let trusted = [pair(kind).1, certificate];
        assert_eq!(signature.verify(&[b"image"], &trusted), Ok(&trusted[1]));
    }
}

#[test]
fn the_same_image_and_rsa_key_give_the_same_signature() {
    let (key, certificate) = pair(KeyKind::Rsa2048);
    let sign = || sign_image(&key, &certificate, &[b"image"]).unwrap();
    assert_eq!(sign(), sign());
}

/// EDK2 takes the hash function from the 32nd byte, and leaves signatures alone where it is not there
/// (`HashPeImageByType` in SecurityPkg/Library/DxeImageVerificationLib).
#[test]
fn the_hash_function_stands_where_firmware_looks_for_it() {
    let (key, certificate) = pair(KeyKind::P256);
    let der = sign_image(&key, &certificate, &[b"image"]).unwrap();
    assert_eq!(der[1], 0x82);
    assert_eq!(&der[30..41], b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01");
}

#[test]
fn another_image_or_signer_is_refused() {
    let (key, certificate) = pair(KeyKind::P256);
    let der = sign_image(&key, &certificate, &[b"image"]).unwrap();
    let signature = ImageSignature::parse(&der).unwrap();
    let said = signature.verify(&[b"imagE"], &[certificate]).unwrap_err().to_string();
    assert!(said.starts_with("the signature is of an image with the SHA-256 6105d6cc"), "{said}");
    let said = signature.verify(&[b"image"], &[pair(KeyKind::P256).1]).unwrap_err().to_string();
    assert!(said.ends_with("which is none of the 1 certificate given"), "{said}");
}

#[test]
fn no_changed_byte_leaves_another_meaning() {
    let (key, certificate) = pair(KeyKind::P256);
    let der = sign_image(&key, &certificate, &[b"image"]).unwrap();
    let signature = ImageSignature::parse(&der).unwrap();
    let trusted = [certificate];
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        // What is not signed may change: the certificate that it carries, and the set of hash functions' NULL.
        if let Ok(other) = ImageSignature::parse(&changed)
            && other.verify(&[b"image"], &trusted).is_ok()
        {
            assert_eq!(other.image_hash(), signature.image_hash());
            assert_ne!(other.certificates(), signature.certificates(), "byte {at}");
        }
    }
}

#[test]
fn signatures_of_other_things_are_refused() {
    let (key, certificate) = pair(KeyKind::P256);
    let root_hash = sign_detached(&key, &certificate, b"root hash").unwrap();
    let said = ImageSignature::parse(&root_hash).unwrap_err().to_string();
    assert!(
        said.starts_with("the PKCS#7 signs a content of type 1.2.840.113549.1.7.1, not the hash"),
        "{said}"
    );
    let der = sign_image(&key, &certificate, &[b"image"]).unwrap();
    assert!(ImageSignature::parse(&der[..der.len() - 1]).is_err());
    assert!(ImageSignature::parse(&[&der[..], b"\0"].concat()).is_err());
    assert!(crate::pkcs7::verify_embedded(&der, &[certificate]).is_err());
    let stranger = sign_image(&key, &pair(KeyKind::P256).1, &[b"image"]).unwrap_err();
    assert!(matches!(stranger, SigningError::Key(_)), "{stranger}");
}
