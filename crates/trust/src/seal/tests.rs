use std::time::{Duration, SystemTime};

use super::error::SignatureProblem;
use super::*;
use crate::key::{FileKey, Generated, KeyKind, Validity, generate};

fn manifest(byte: char) -> BlobDigest {
    format!("sha256:{}", byte.to_string().repeat(64)).parse().expect("a digest")
}

fn layer(byte: char) -> DiffId {
    format!("sha256:{}", byte.to_string().repeat(64)).parse().expect("a digest")
}

const fn root(byte: u8) -> RootHash {
    RootHash::new([byte; 32])
}

fn metadata() -> SealedMetadata {
    SealedMetadata { id: ObjectId::sha256([9; 32]), size_bytes: 8192, root_hash: root(0) }
}

fn pack(layers: &[char], hash: u8) -> SealedPack {
    SealedPack {
        layers: layers.iter().copied().map(layer).collect(),
        size_bytes: 40960,
        root_hash: root(hash),
    }
}

fn statement() -> Statement {
    let packs = vec![pack(&['1', '3'], 1), pack(&['2'], 2)];
    Statement::new(manifest('a'), metadata(), packs).expect("a statement")
}

struct TestSigner {
    key: FileKey,
    certificate: Certificate,
}

fn signer(name: &str) -> TestSigner {
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(3600)).expect("a validity");
    let subject = name.parse().expect("a name");
    let Generated { key_pem, certificate_pem, .. } =
        generate(KeyKind::P256, &subject, &validity).expect("a key");
    TestSigner {
        key: FileKey::parse(key_pem.as_bytes()).expect("the key"),
        certificate: Certificate::parse(certificate_pem.as_bytes()).expect("the certificate"),
    }
}

fn sealed_by(signer: &TestSigner) -> Seal {
    Seal::sign(statement(), &signer.key, &signer.certificate).expect("a seal")
}

/// The seal's JSON after a change of its text.
fn after(seal: &Seal, from: &str, to: &str) -> Result<Seal, SealError> {
    let json = String::from_utf8(seal.to_json()).expect("text");
    assert!(json.contains(from), "{from} is not in {json}");
    Seal::parse(json.replacen(from, to, 1).as_bytes())
}

fn message_after(seal: &Seal, from: &str, to: &str) -> String {
    after(seal, from, to).expect_err("it was changed").to_string()
}

#[test]
fn a_seal_survives_its_json_and_signs_every_root_hash() {
    let signer = signer("one");
    let seal = sealed_by(&signer);
    let json = seal.to_json();
    let read = Seal::parse(&json).expect("a seal");
    assert_eq!(read, seal);
    assert_eq!(read.to_json(), json);
    for root_hash in statement().root_hashes() {
        let [signature] = read.signatures(root_hash) else { panic!("one signature of {root_hash}") };
        let content = root_hash.to_string();
        let trusted = [signer.certificate.clone()];
        crate::pkcs7::verify_detached(signature, content.as_bytes(), &trusted).expect("a good signature");
        assert!(crate::pkcs7::verify_detached(signature, b"another", &trusted).is_err());
    }
    assert!(read.signatures(&root(7)).is_empty());
    assert!(read.signers()[0].contains("one"), "{:?}", read.signers());
}

#[test]
fn another_key_adds_signatures_and_the_same_key_replaces_its_own() {
    let (one, two) = (signer("one"), signer("two"));
    let mut seal = sealed_by(&one);
    seal.add_signatures(&two.key, &two.certificate).expect("another signer");
    assert_eq!(seal.signatures(&root(2)).len(), 2);
    seal.add_signatures(&one.key, &one.certificate).expect("the same signer");
    assert_eq!(seal.signatures(&root(2)).len(), 2);
    let signers = seal.signers();
    assert!(signers.len() == 2 && signers[0].contains("two") && signers[1].contains("one"), "{signers:?}");
    assert_eq!(Seal::parse(&seal.to_json()).expect("a seal"), seal);
}

#[test]
fn there_is_a_limit_to_signers_and_who_comes_after_it_changes_nothing() {
    let mut seal = sealed_by(&signer("0"));
    for number in 1..SIGNATURES_MAX {
        let another = signer(&number.to_string());
        seal.add_signatures(&another.key, &another.certificate).expect("one more");
    }
    let (before, last) = (seal.clone(), signer("last"));
    let error = seal.add_signatures(&last.key, &last.certificate).expect_err("one too many");
    assert!(matches!(error, SealSigningError::TooManySigners));
    assert_eq!(seal, before);
}

#[test]
fn a_key_that_is_not_the_certificates_signs_nothing() {
    let (one, two) = (signer("one"), signer("two"));
    assert!(matches!(Seal::sign(statement(), &one.key, &two.certificate), Err(SealSigningError::Signing(_))));
}

#[test]
fn every_device_of_the_image_must_be_in_the_seal() {
    let seal = sealed_by(&signer("one"));
    assert_eq!(seal.check(&statement()), Ok(()));
    let differs = |manifest, metadata, packs| {
        let image = Statement::new(manifest, metadata, packs).expect("a statement");
        seal.check(&image).expect_err("it differs").to_string()
    };
    let packs = || vec![pack(&['1', '3'], 1), pack(&['2'], 2)];
    assert!(
        differs(manifest('b'), metadata(), packs()).starts_with("it is the seal of the image sha256:aaa")
    );
    let other = SealedMetadata { id: ObjectId::sha256([8; 32]), ..metadata() };
    assert!(differs(manifest('a'), other, packs()).starts_with("it is for the metadata image 0909"));
    let other = SealedMetadata { root_hash: root(5), ..metadata() };
    assert!(differs(manifest('a'), other, packs()).starts_with("it has root hash 0000"));
    let swapped = vec![pack(&['1', '3'], 1), pack(&['2'], 6)];
    let message = differs(manifest('a'), metadata(), swapped);
    assert!(message.contains(&layer('2').to_string()) && message.contains(&root(6).to_string()), "{message}");
    let exchanged = vec![pack(&['1', '3'], 2), pack(&['2'], 1)];
    assert!(differs(manifest('a'), metadata(), exchanged).contains("for the pack of layer"));
    let more = vec![pack(&['1', '3'], 1), pack(&['2'], 2), pack(&['4'], 4)];
    assert!(differs(manifest('a'), metadata(), more).contains("it has no pack of layer sha256:4444"));
    let sized = vec![pack(&['1', '3'], 1), SealedPack { size_bytes: 1, ..pack(&['2'], 2) }];
    assert!(differs(manifest('a'), metadata(), sized).contains("or another size"));
}

#[test]
fn a_statement_that_contradicts_itself_is_none() {
    let of = |packs| Statement::new(manifest('a'), metadata(), packs).expect_err("a contradiction");
    assert_eq!(of(vec![pack(&['1'], 1), pack(&['2'], 1)]), StatementError::DuplicateRootHash(root(1)));
    assert_eq!(of(vec![pack(&['1'], 0)]), StatementError::DuplicateRootHash(root(0)));
    assert_eq!(of(vec![pack(&['1'], 1), pack(&['1'], 2)]), StatementError::DuplicateLayer(layer('1')));
    assert_eq!(of(vec![pack(&[], 1)]), StatementError::NoLayers(root(1)));
    let many = (0..=PACKS_MAX).map(|_| pack(&['1'], 1)).collect();
    assert_eq!(of(many), StatementError::TooManyPacks(401));
}

#[test]
fn what_is_no_seal_or_a_later_one_is_refused() {
    let seal = sealed_by(&signer("one"));
    let json = seal.to_json();
    for length in [0, 1, 10, json.len() / 2, json.len() - 3] {
        let error = Seal::parse(&json[..length]).expect_err("it is cut off");
        assert!(matches!(error, SealError::Json(_)), "{error}");
    }
    assert!(Seal::parse(&[json.as_slice(), b"x"].concat()).is_err());
    assert!(
        Seal::parse(&vec![b' '; SEAL_MAX_BYTES + 1]).expect_err("large").to_string().contains("are the most")
    );
    assert!(Seal::parse(&[b'['; 100_000]).is_err());
    let later = message_after(&seal, "\"version\": 1", "\"version\": 2, \"new\": true");
    assert!(later.contains("has version 2, which this program does not know"), "{later}");
    assert!(
        message_after(&seal, "\"version\": 1", "\"version\": 1, \"extra\": 1")
            .contains("unknown field `extra`")
    );
    assert!(
        message_after(&seal, "\"version\": 1", "\"version\": 1, \"version\": 1").contains("duplicate field")
    );
    assert!(message_after(&seal, "\"manifest\"", "\"mani\"").contains("mani"));
    assert!(
        message_after(&seal, "\"algorithm\": \"sha256\"", "\"algorithm\": \"sha512\"")
            .contains("is sha512, but")
    );
    assert!(message_after(&seal, "\"size_bytes\": 8192", "\"size_bytes\": -1").contains("invalid value"));
}

#[test]
fn root_hashes_that_are_missing_foreign_or_there_twice_are_named() {
    let seal = sealed_by(&signer("one"));
    let json: serde_json::Value = serde_json::from_slice(&seal.to_json()).expect("JSON");
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        Seal::parse(json.to_string().as_bytes()).expect_err("it was changed").to_string()
    };
    let (two, seven) = (root(2).to_string(), root(7).to_string());
    let removed = changed(&|json| drop(json["signatures"].as_object_mut().expect("an object").remove(&two)));
    assert_eq!(removed, format!("the seal has no signature of root hash {two}"));
    let emptied = changed(&|json| json["signatures"][&two] = serde_json::json!([]));
    assert_eq!(emptied, format!("the seal has no signature of root hash {two}"));
    let added = changed(&|json| json["signatures"][&seven] = serde_json::json!(["AA=="]));
    assert!(added.contains(&seven) && added.contains("none of the image's devices"), "{added}");
    let twice = format!("\"signatures\": {{ \"{two}\": [\"AA==\"],");
    let twice = message_after(&seal, "\"signatures\": {", &twice);
    assert_eq!(twice, format!("the seal has the signatures of root hash {two} twice"));
    let same = message_after(&seal, &two, &root(1).to_string());
    assert!(same.contains(&root(1).to_string()) && same.contains("that of two devices"), "{same}");
    let many = changed(&|json| json["signatures"][&two] = serde_json::json!(vec!["AA=="; 17]));
    assert_eq!(many, format!("the seal has 17 signatures of root hash {two}; 16 are the most"));
}

#[test]
fn a_signature_that_is_no_text_of_bytes_is_named() {
    let seal = sealed_by(&signer("one"));
    let problem = |text: String| {
        let mut json: serde_json::Value = serde_json::from_slice(&seal.to_json()).expect("JSON");
        json["signatures"][root(1).to_string()] = serde_json::json!(["AA==", text]);
        match Seal::parse(json.to_string().as_bytes()).expect_err("a bad signature") {
            SealError::Signature { root_hash, number, problem } => {
                assert_eq!((root_hash, number), (root(1), 2));
                problem
            }
            other => panic!("{other}"),
        }
    };
    assert_eq!(problem(String::new()), SignatureProblem::Empty);
    assert_eq!(problem("AA=".into()), SignatureProblem::Base64);
    assert_eq!(problem("A\nA==".into()), SignatureProblem::Base64);
    assert_eq!(problem("AAAA".repeat(SIGNATURE_MAX_BYTES)), SignatureProblem::TooLong);
}

#[test]
fn a_signature_in_a_form_that_only_the_kernel_may_know_is_kept() {
    let seal = sealed_by(&signer("one"));
    let mut json: serde_json::Value = serde_json::from_slice(&seal.to_json()).expect("JSON");
    json["signatures"][root(0).to_string()] = serde_json::json!(["AAAA"]);
    let seal = Seal::parse(json.to_string().as_bytes()).expect("a seal");
    assert_eq!(seal.signers(), ["somebody it does not name"]);
}

/// A message that quotes the seal neither fills the screen nor commands the terminal.
#[test]
fn what_is_said_of_a_hostile_seal_is_short_and_harmless() {
    let long = "\u{1b}[2J".repeat(100_000);
    let field = format!(r#"{{ "version": 1, "{}": 1 }}"#, long.replace('\u{1b}', r"\u001b"));
    let message = Seal::parse(field.as_bytes()).unwrap_err().to_string();
    assert!(message.len() < 1500 && !message.contains('\u{1b}'), "{} bytes", message.len());
}
