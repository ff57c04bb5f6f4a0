use std::time::{Duration, SystemTime};

use sealpack_format::digest::{BlobDigest, DiffId, ObjectId};

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

fn devices() -> Devices {
    let packs = vec![pack(&['1', '3'], 1), pack(&['2'], 2)];
    Devices { manifest: manifest('a'), metadata: metadata(), packs }
}

fn contents() -> StatementContents {
    StatementContents {
        created: "2026-11-27T18:34:55Z".parse().expect("a time"),
        epoch: 7,
        manifest: manifest('a'),
        platform: "linux/amd64".into(),
        metadata: vec![metadata()],
        names: vec!["docker.io/library/debian:12".parse().expect("a name")],
        packs: devices().packs,
    }
}

fn statement() -> Statement {
    Statement::new(contents()).expect("a statement")
}

struct TestSigner {
    key: FileKey,
    certificate: Certificate,
}

impl TestSigner {
    fn pair(&self) -> SigningPair<'_> {
        SigningPair { signer: &self.key, certificate: &self.certificate }
    }

    fn keys(&self) -> SealingKeys<'_> {
        SealingKeys { packs: self.pair(), statement: self.pair() }
    }
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
    Seal::sign(statement(), &signer.keys()).expect("a seal")
}

/// What is said of the statement after a change of its text.
fn refused(from: &str, to: &str) -> String {
    let statement = statement();
    let text = statement.text();
    assert!(text.contains(from), "{from} is not in {text}");
    Statement::parse(text.replacen(from, to, 1).as_bytes()).expect_err("it was changed").to_string()
}

/// What is said of the bundle after a change of its values.
fn bundle_refused(seal: &Seal, change: impl Fn(&mut serde_json::Value)) -> String {
    let mut json: serde_json::Value = serde_json::from_slice(&seal.bundle()).expect("JSON");
    change(&mut json);
    let parts = Seal::from_parts(seal.statement().bytes(), json.to_string().as_bytes());
    parts.expect_err("it was changed").to_string()
}

#[test]
fn a_seal_survives_both_its_forms_and_signs_the_statement_and_every_root_hash() {
    let signer = signer("one");
    let seal = sealed_by(&signer);
    let stored = Seal::parse(&seal.to_json()).expect("a seal");
    let travelled = Seal::from_parts(seal.statement().bytes(), &seal.bundle()).expect("a seal");
    assert_eq!((&stored, &travelled), (&seal, &seal));
    assert_eq!((stored.to_json(), travelled.bundle()), (seal.to_json(), seal.bundle()));
    let mut all = 0;
    for (signed, content) in statement().to_be_signed() {
        let [signature] = stored.signatures_of(signed) else { panic!("one signature of {signed}") };
        let trusted = [signer.certificate.clone()];
        pkcs7::verify_detached(signature, &content, &trusted).expect("a good signature");
        assert!(pkcs7::verify_detached(signature, b"another", &trusted).is_err());
        all += 1;
    }
    assert_eq!(all, 4);
    assert!(stored.signatures(&root(7)).is_empty());
    assert!(stored.signers()[0].contains("one"), "{:?}", stored.signers());
}

#[test]
fn the_statement_may_be_signed_by_another_key_than_the_root_hashes() {
    let (packs, statements) = (signer("packs"), signer("statements"));
    let keys = SealingKeys { packs: packs.pair(), statement: statements.pair() };
    let seal = Seal::sign(statement(), &keys).expect("a seal");
    assert!(seal.signers()[0].contains("statements"));
    assert!(signer_of(&seal.signatures(&root(0))[0]).contains("packs"));
}

#[test]
fn another_key_adds_signatures_and_the_same_key_replaces_its_own() {
    let (one, two) = (signer("one"), signer("two"));
    let mut seal = sealed_by(&one);
    seal.add_signatures(&two.keys()).expect("another signer");
    assert_eq!(seal.signatures(&root(2)).len(), 2);
    seal.add_signatures(&one.keys()).expect("the same signer");
    assert_eq!(seal.signatures(&root(2)).len(), 2);
    let signers = seal.signers();
    assert!(signers.len() == 2 && signers[0].contains("two") && signers[1].contains("one"), "{signers:?}");
    assert_eq!(Seal::parse(&seal.to_json()).expect("a seal"), seal);
}

#[test]
fn there_is_a_limit_to_signers_and_who_comes_after_it_changes_nothing() {
    let mut seal = sealed_by(&signer("0"));
    for number in 1..SIGNATURES_MAX {
        seal.add_signatures(&signer(&number.to_string()).keys()).expect("one more");
    }
    let before = seal.clone();
    let error = seal.add_signatures(&signer("last").keys()).expect_err("one too many").to_string();
    assert_eq!(error, "the seal has 17 signatures of the statement; 16 are the most");
    assert_eq!(seal, before);
}

#[test]
fn a_key_that_is_not_the_certificates_signs_nothing() {
    let (one, two) = (signer("one"), signer("two"));
    let pair = SigningPair { signer: &one.key, certificate: &two.certificate };
    let keys = SealingKeys { packs: pair, statement: one.pair() };
    assert!(matches!(Seal::sign(statement(), &keys), Err(SealSigningError::Signing(_))));
}

#[test]
fn signatures_from_elsewhere_make_a_seal_only_if_they_are_complete() {
    let signer = signer("one");
    let seal = sealed_by(&signer);
    let sealed = seal.statement();
    let all = || sealed.to_be_signed().map(|(signed, _)| (signed, seal.signatures_of(signed)[0].clone()));
    assert_eq!(Seal::assemble(statement(), all()).expect("complete"), seal);
    let error = |signatures: Vec<(Signed, Vec<u8>)>| {
        Seal::assemble(statement(), signatures).expect_err("not a seal").to_string()
    };
    assert_eq!(error(all().skip(1).collect()), "the seal has no signature of the statement");
    let two = root(2);
    let without = all().filter(|(signed, _)| *signed != Signed::RootHash(two)).collect();
    assert_eq!(error(without), format!("the seal has no signature of root hash {two}"));
    let foreign = all().chain([(Signed::RootHash(root(7)), vec![1])]).collect();
    assert!(error(foreign).contains(&format!("signatures of {}", root(7))));
    let long = all().chain([(Signed::Statement, vec![0; SIGNATURE_MAX_BYTES + 1])]).collect();
    assert_eq!(error(long), "signature 2 of the statement is longer than 16384 bytes");
    let mut more = seal.clone();
    assert!(more.attach([(Signed::Statement, Vec::new())]).is_err());
    assert_eq!(more, seal);
}

#[test]
fn every_device_of_the_image_must_be_in_the_seal() {
    let statement = statement();
    assert_eq!(statement.check(&devices()), Ok(()));
    let differs = |image: Devices| statement.check(&image).expect_err("it differs").to_string();
    let other = Devices { manifest: manifest('b'), ..devices() };
    assert!(differs(other).starts_with("it is the seal of the image sha256:aaa"));
    let with_metadata = |metadata| Devices { metadata, ..devices() };
    let other = SealedMetadata { id: ObjectId::sha256([8; 32]), ..metadata() };
    assert!(differs(with_metadata(other)).starts_with("it is for the metadata image 0909"));
    let other = SealedMetadata { id: ObjectId::sha512([8; 64]), ..metadata() };
    assert!(
        differs(with_metadata(other)).starts_with("it has no metadata image whose digest is of the kind")
    );
    let other = SealedMetadata { root_hash: root(5), ..metadata() };
    assert!(differs(with_metadata(other)).starts_with("it has root hash 0000"));
    let with_packs = |packs| Devices { packs, ..devices() };
    let message = differs(with_packs(vec![pack(&['1', '3'], 1), pack(&['2'], 6)]));
    assert!(message.contains(&layer('2').to_string()) && message.contains(&root(6).to_string()), "{message}");
    let exchanged = vec![pack(&['1', '3'], 2), pack(&['2'], 1)];
    assert!(differs(with_packs(exchanged)).contains("for the pack of layer"));
    let more = vec![pack(&['1', '3'], 1), pack(&['2'], 2), pack(&['4'], 4)];
    assert!(differs(with_packs(more)).contains("it has no pack of layer sha256:4444"));
    let sized = vec![pack(&['1', '3'], 1), SealedPack { size_bytes: 1, ..pack(&['2'], 2) }];
    assert!(differs(with_packs(sized)).contains("or another size"));
}

#[test]
fn a_statement_that_contradicts_itself_is_none() {
    let of = |change: fn(&mut StatementContents)| {
        let mut contents = contents();
        change(&mut contents);
        Statement::new(contents).expect_err("a contradiction")
    };
    let name = || "docker.io/library/debian:12".parse().expect("a name");
    assert_eq!(of(|it| it.packs[1].root_hash = root(1)), StatementError::DuplicateRootHash(root(1)));
    assert_eq!(of(|it| it.packs[1].root_hash = root(0)), StatementError::DuplicateRootHash(root(0)));
    assert_eq!(of(|it| it.packs[1].layers = vec![layer('1')]), StatementError::DuplicateLayer(layer('1')));
    assert_eq!(of(|it| it.packs[1].layers.clear()), StatementError::NoLayers(root(2)));
    assert_eq!(of(|it| it.packs = vec![it.packs[0].clone(); 401]), StatementError::TooManyPacks(401));
    assert_eq!(of(|it| it.metadata.clear()), StatementError::NoMetadata);
    assert!(matches!(
        of(|it| it.metadata.push(SealedMetadata { root_hash: root(3), ..metadata() })),
        StatementError::DuplicateMetadata(_)
    ));
    assert_eq!(of(|it| it.names.clear()), StatementError::NumberOfNames(0));
    assert_eq!(of(|it| it.names.push(it.names[0].clone())), StatementError::DuplicateName(name()));
    assert!(matches!(of(|it| it.platform = "linux amd64".into()), StatementError::Platform(_)));
    assert_eq!(of(|it| it.epoch = 1 << 53), StatementError::Integer(1 << 53));
}

#[test]
fn a_statement_for_two_algorithms_has_a_metadata_image_for_each() {
    let mut contents = contents();
    let long = SealedMetadata { id: ObjectId::sha512([8; 64]), size_bytes: 4096, root_hash: root(4) };
    contents.metadata.push(long);
    let statement = Statement::new(contents).expect("a statement");
    let read = Statement::parse(statement.bytes()).expect("a statement");
    assert_eq!(read.metadata_of(long.id.algorithm()), Some(&long));
    assert_eq!(read.root_hashes().count(), 4);
}

#[test]
fn a_statement_of_another_version_is_refused_before_anything_else() {
    let later = refused("\"version\":1", "\"version\":2, \"anything\":null");
    assert_eq!(later, "it has version 2, which this program does not know; it knows 1: use a newer one");
    assert!(refused("\"version\":1", "\"verse\":1").contains("missing field `version`"));
}

#[test]
fn a_field_that_must_be_known_and_is_not_is_refused_by_name_and_others_stay() {
    let critical = refused("\"critical\":[]", "\"critical\":[\"epoch\",\"expiry\"]");
    assert_eq!(
        critical,
        "it says that a reader must know its field \"expiry\", which this program does not: use a newer one"
    );
    let text = statement().text().replace("\"version\":1", "\"verdict\":{\"x\":[1]},\"version\":1");
    let later = Statement::parse(text.as_bytes()).expect("a field that is not critical");
    assert_eq!(later.text(), text);
    assert_eq!(later.contents(), statement().contents());
    let without = statement().text().replace("\"critical\":[],", "");
    assert_eq!(Statement::parse(without.as_bytes()).expect("nothing critical").contents(), &contents());
    let known = statement().text().replace("\"critical\":[]", "\"critical\":[\"names\"]");
    assert!(Statement::parse(known.as_bytes()).is_ok());
}

#[test]
fn an_unknown_format_is_refused_by_name() {
    let message = refused("sealpack-pack-1", "sealpack-pack-2");
    assert_eq!(
        message,
        "its pack format is \"sealpack-pack-2\", which this program does not know; it knows \"sealpack-pack-1\""
    );
    assert_eq!(
        refused("\"formats\":{", "\"formats\":{\"index\":\"i\","),
        "the field formats.index is not known"
    );
}

#[test]
fn the_same_statement_in_other_bytes_is_refused() {
    let prefix = "it is not in the canonical form (RFC 8785) from byte ";
    assert!(refused("{\"created\"", "{ \"created\"").starts_with(&format!("{prefix}1 on: ")));
    assert!(refused("\"epoch\":7", "\"\\u0065poch\":7").starts_with(prefix));
    for (from, to) in [
        ("\"epoch\":7", "\"epoch\":7.0"),
        ("\"epoch\":7", "\"epoch\":-7"),
        ("\"epoch\":7", "\"epoch\":9007199254740992"),
        ("\"epoch\":7", "\"epoch\":7,\"epoch\":7"),
        ("\"epoch\":7,\"formats\"", "\"formats\""),
        ("\"epoch\":7", "\"epoch\":\"7\""),
        ("\"created\":\"2026-11-27T18:34:55Z\"", "\"created\":\"2026-11-27\""),
        ("\"names\":[\"docker.io/library/debian:12\"]", "\"names\":[\"debian:12\"]"),
        ("\"names\":[\"docker.io/library/debian:12\"]", "\"names\":[]"),
        ("\"algorithm\":\"sha256\"", "\"algorithm\":\"sha512\""),
        ("\"platform\":\"linux/amd64\"", "\"os\":\"linux\",\"platform\":\"linux/amd64\""),
        ("\"packs\":[", "\"packs\":[1,"),
        ("\"layers\":[", "\"layers\":{},\"x\":["),
    ] {
        assert!(!refused(from, to).is_empty());
    }
    let statement = statement();
    for length in [0, 1, 10, statement.bytes().len() / 2, statement.bytes().len() - 1] {
        assert!(matches!(Statement::parse(&statement.bytes()[..length]), Err(StatementError::Json(_))));
    }
    let large = vec![b' '; STATEMENT_MAX_BYTES + 1];
    assert_eq!(Statement::parse(&large), Err(StatementError::TooLarge(STATEMENT_MAX_BYTES + 1)));
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
        Seal::parse(&vec![b' '; sealpack_format::limits::SEAL_MAX_BYTES + 1])
            .unwrap_err()
            .to_string()
            .contains("are the most")
    );
    assert!(Seal::parse(&[b'['; 100_000]).is_err());
    let text = String::from_utf8(json).expect("text");
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        Seal::parse(text.replacen(from, to, 1).as_bytes()).expect_err("it was changed").to_string()
    };
    let later = changed("\"version\": 1", "\"version\": 2, \"new\": true");
    assert!(later.contains("has version 2, which this program does not know"), "{later}");
    assert!(changed("\"version\": 1", "\"version\": 1, \"extra\": 1").contains("unknown field `extra`"));
    assert!(changed("\"version\": 1", "\"version\": 1, \"version\": 1").contains("duplicate field"));
    let statement = changed("\\\"epoch\\\":7", "\\\"epoch\\\":07");
    assert!(
        statement.starts_with("the seal's statement: it is not JSON in the canonical form"),
        "{statement}"
    );
    let later = bundle_refused(&seal, |json| json["version"] = 3.into());
    assert!(later.contains("has version 3"), "{later}");
    assert!(bundle_refused(&seal, |json| json["more"] = 3.into()).contains("unknown field `more`"));
    let large = vec![b' '; BUNDLE_MAX_BYTES + 1];
    let error = Seal::from_parts(seal.statement().bytes(), &large).expect_err("large").to_string();
    assert_eq!(error, "the seal's signatures take 16777217 bytes; 16777216 are the most");
}

#[test]
fn signatures_that_are_missing_foreign_or_there_twice_are_named() {
    let seal = sealed_by(&signer("one"));
    let (two, seven) = (root(2).to_string(), root(7).to_string());
    let unsigned = bundle_refused(&seal, |json| json["statement"] = serde_json::json!([]));
    assert_eq!(unsigned, "the seal has no signature of the statement");
    let removed = bundle_refused(&seal, |json| {
        json["root_hashes"].as_object_mut().expect("an object").remove(&two);
    });
    assert_eq!(removed, format!("the seal has no signature of root hash {two}"));
    let emptied = bundle_refused(&seal, |json| json["root_hashes"][&two] = serde_json::json!([]));
    assert_eq!(emptied, format!("the seal has no signature of root hash {two}"));
    let added = bundle_refused(&seal, |json| json["root_hashes"][&seven] = serde_json::json!(["AA=="]));
    assert!(added.contains(&seven) && added.contains("none of the image's devices"), "{added}");
    let many = bundle_refused(&seal, |json| {
        json["root_hashes"][&two] = serde_json::json!(vec!["AA=="; 17]);
    });
    assert_eq!(many, format!("the seal has 17 signatures of root hash {two}; 16 are the most"));
    let again = bundle_refused(&seal, |json| {
        let signature = json["root_hashes"][&two][0].clone();
        json["root_hashes"][&two] = serde_json::json!([signature, "AA==", signature]);
    });
    assert!(again.starts_with(&format!("the seal has two signatures of root hash {two} by ")), "{again}");
    let thousands = bundle_refused(&seal, |json| {
        for number in 0..5000 {
            json["root_hashes"][format!("{number:064x}")] = serde_json::json!(["AA=="]);
        }
    });
    assert!(thousands.contains("none of the image's devices"), "{thousands}");
    let text = String::from_utf8(seal.bundle()).expect("text");
    let twice = text.replacen("\"root_hashes\":{", &format!("\"root_hashes\":{{\"{two}\":[\"AA==\"],"), 1);
    let error = Seal::from_parts(seal.statement().bytes(), twice.as_bytes()).expect_err("twice").to_string();
    assert_eq!(error, format!("the seal has the signatures of root hash {two} twice"));
}

#[test]
fn a_signature_that_is_no_text_of_bytes_is_named() {
    let seal = sealed_by(&signer("one"));
    let problem = |text: String| {
        let said = bundle_refused(&seal, |json| {
            json["root_hashes"][root(1).to_string()] = serde_json::json!(["AA==", text]);
        });
        let start = format!("signature 2 of root hash {} is ", root(1));
        said.strip_prefix(&start).unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    assert_eq!(problem(String::new()), SignatureProblem::Empty.to_string());
    assert_eq!(problem("AA=".into()), SignatureProblem::Base64.to_string());
    assert_eq!(problem("A\nA==".into()), SignatureProblem::Base64.to_string());
    assert_eq!(problem("AAAA".repeat(SIGNATURE_MAX_BYTES)), SignatureProblem::TooLong.to_string());
}

#[test]
fn a_signature_in_a_form_that_only_the_kernel_may_know_is_kept() {
    let seal = sealed_by(&signer("one"));
    let mut json: serde_json::Value = serde_json::from_slice(&seal.bundle()).expect("JSON");
    json["statement"] = serde_json::json!(["AAAA"]);
    let seal = Seal::from_parts(seal.statement().bytes(), json.to_string().as_bytes()).expect("a seal");
    assert_eq!(seal.signers(), ["somebody it does not name"]);
}

/// A message that quotes the seal neither fills the screen nor commands the terminal.
#[test]
fn what_is_said_of_a_hostile_seal_is_short_and_harmless() {
    let long = "\u{1b}[2J".repeat(100_000);
    let escaped = long.replace('\u{1b}', r"\u001b");
    let check = |message: String| {
        assert!(message.len() < 1500 && !message.contains('\u{1b}'), "{} bytes", message.len());
    };
    check(Seal::parse(format!(r#"{{ "version": 1, "{escaped}": 1 }}"#).as_bytes()).unwrap_err().to_string());
    check(refused("\"critical\":[]", &format!("\"critical\":[\"{escaped}\"]")));
    check(refused("\"platform\":\"linux/amd64\"", &format!("\"platform\":\"{escaped}\"")));
    check(refused("docker.io/library/debian:12", &escaped));
    check(refused("\"formats\":{", &format!("\"formats\":{{\"{escaped}\":\"i\",")));
    check(refused("composefs-1", &escaped));
}
