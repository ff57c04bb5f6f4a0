use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::anchors::{Anchors, Revocations, Rules};
use crate::judge::{Refusal, Shown, artifacts_wanted, check_artifacts};
use crate::key::{FileKey, KeyKind, Signer, Validity, generate};

/// What Debian 13's cosign (2.5.0) made of an image of this manifest, with `--key` and without a log.
const MANIFEST: &str = "sha256:6740a0acdaa44b9313c4f6d2c8661886534f5c70f6b5c7ed883d2bcaebb79511";
const ENVELOPE: &[u8] = include_bytes!("../../tests/golden/cosign/envelope.json");
const BUNDLE: &[u8] = include_bytes!("../../tests/golden/cosign/bundle.json");
const COSIGN_KEY: &[u8] = include_bytes!("../../tests/golden/cosign/cosign.pub");

const SLSA: &str = "https://slsa.dev/provenance/v1";

fn manifest() -> BlobDigest {
    MANIFEST.parse().expect("a digest")
}

fn known(name: &str, key: PublicKey) -> ArtifactKey {
    ArtifactKey { name: name.parse().expect("a name"), key }
}

fn cosign_key() -> ArtifactKey {
    known("ci", PublicKey::parse(COSIGN_KEY).expect("a public key"))
}

fn key_of(kind: KeyKind) -> FileKey {
    let validity = Validity::starting(std::time::SystemTime::now(), std::time::Duration::from_secs(3600));
    let made = generate(kind, &"ci".parse().expect("a name"), &validity.expect("an hour")).expect("a key");
    FileKey::parse(made.key_pem.as_bytes()).expect("a key")
}

fn statement(of: &str, about: &str) -> Vec<u8> {
    let hex = about.strip_prefix("sha256:").expect("SHA-256");
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": of,
        "subject": [{ "name": "app", "digest": { "sha256": hex } }], "predicate": {},
    });
    statement.to_string().into_bytes()
}

/// An envelope whose signature is over `signed`, or over what it should be.
fn envelope(key: &FileKey, payload: &[u8], payload_type: &str, signed: Option<&[u8]>) -> Value {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    let right = [head.as_bytes(), payload].concat();
    let signature = key.sign(signed.unwrap_or(&right)).expect("a signature");
    json!({
        "payloadType": payload_type, "payload": STANDARD.encode(payload),
        "signatures": [{ "sig": STANDARD.encode(signature) }],
    })
}

/// What an envelope is worth to who knows `key`.
fn judged(envelope: &Value, key: &FileKey) -> Result<Vec<Attestation>, AttestationError> {
    let keys = [known("ci", key.public_key().clone())];
    Envelope::parse(envelope.to_string().as_bytes())?.attestations(&manifest(), keys.iter())
}

fn refused(envelope: &Value, key: &FileKey) -> String {
    judged(envelope, key).expect_err("it must not count").to_string()
}

#[test]
fn what_cosign_of_debian_13_makes_counts_by_its_public_key() {
    let key = [cosign_key()];
    let found = Envelope::parse(ENVELOPE).expect("an envelope").attestations(&manifest(), key.iter());
    let fingerprint = key[0].key.fingerprint();
    assert_eq!(found, Ok(vec![Attestation { predicate_type: SLSA.to_owned(), key: fingerprint }]));
    let found = Envelope::parse_bundle(BUNDLE).expect("a bundle").attestations(&manifest(), key.iter());
    let predicate_type = "https://cyclonedx.org/bom".to_owned();
    assert_eq!(found, Ok(vec![Attestation { predicate_type, key: fingerprint }]));
    assert_eq!(attestation_tag(&manifest()), format!("{}.att", MANIFEST.replace(':', "-")));
}

#[test]
fn all_kinds_of_keys_and_both_alphabets_count() {
    for kind in [KeyKind::Rsa2048, KeyKind::P256, KeyKind::P384] {
        let key = key_of(kind);
        let mut made = envelope(&key, &statement(SLSA, MANIFEST), PAYLOAD_TYPE, None);
        assert_eq!(judged(&made, &key).map(|found| found.len()), Ok(1), "{kind:?}");
        made["payload"] = URL_SAFE_NO_PAD.encode(statement(SLSA, MANIFEST)).into();
        assert_eq!(judged(&made, &key).map(|found| found.len()), Ok(1), "{kind:?}");
    }
}

#[test]
fn an_attestation_of_another_image_says_which() {
    let key = key_of(KeyKind::P256);
    let other = format!("sha256:{}", "7".repeat(64));
    let said = refused(&envelope(&key, &statement(SLSA, &other), PAYLOAD_TYPE, None), &key);
    assert!(said.contains(&other) && said.contains(MANIFEST), "{said}");
    // The image is named, but by no digest.
    let nameless =
        br#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"x:y","subject":[{"name":"app"}]}"#;
    let said = refused(&envelope(&key, nameless, PAYLOAD_TYPE, None), &key);
    assert!(said.contains("nothing with a SHA-256"), "{said}");
}

#[test]
fn a_signature_over_the_payload_alone_is_none() {
    let key = key_of(KeyKind::P256);
    let payload = statement(SLSA, MANIFEST);
    let said = refused(&envelope(&key, &payload, PAYLOAD_TYPE, Some(&payload)), &key);
    assert!(said.contains("none of its 1 signatures is good"), "{said}");
}

/// What was signed as something else is no statement, though the bytes would make one.
#[test]
fn a_payload_type_that_was_changed_is_told_before_and_after() {
    let key = key_of(KeyKind::P256);
    let mut made = envelope(&key, &statement(SLSA, MANIFEST), "text/plain", None);
    assert!(refused(&made, &key).contains("\"text/plain\""), "{}", refused(&made, &key));
    made["payloadType"] = PAYLOAD_TYPE.into();
    assert!(refused(&made, &key).contains("none of its 1 signatures"), "{}", refused(&made, &key));
    // Lengths are in what is signed, so that no byte can go from the one to the other.
    let mut made = envelope(&key, &statement(SLSA, MANIFEST), PAYLOAD_TYPE, None);
    made["payload"] = STANDARD.encode([&statement(SLSA, MANIFEST)[..], b" "].concat()).into();
    assert!(refused(&made, &key).contains("none of its 1 signatures"));
}

#[test]
fn nobody_elses_key_counts_and_one_of_several_will_do() {
    let (key, other) = (key_of(KeyKind::P256), key_of(KeyKind::P384));
    let mut made = envelope(&other, &statement(SLSA, MANIFEST), PAYLOAD_TYPE, None);
    assert!(refused(&made, &key).contains("by a key that the trust store has"), "{}", refused(&made, &key));
    let mine = envelope(&key, &statement(SLSA, MANIFEST), PAYLOAD_TYPE, None);
    let signatures = made["signatures"].as_array_mut().expect("a list");
    signatures.push(mine["signatures"][0].clone());
    assert_eq!(judged(&made, &key).map(|found| found.len()), Ok(1));
    made["signatures"] = json!([]);
    assert!(refused(&made, &key).contains("none of its 0 signatures"));
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    let key = key_of(KeyKind::P256);
    let made = envelope(&key, &statement(SLSA, MANIFEST), PAYLOAD_TYPE, None).to_string();
    let twice = made.replacen('{', r#"{"payload":"AAAA","#, 1);
    assert!(Envelope::parse(twice.as_bytes()).expect_err("twice").to_string().contains("duplicate field"));
    let payload = String::from_utf8(statement(SLSA, MANIFEST)).expect("text");
    let payload = payload.replacen('{', r#"{"predicateType":"other:type","#, 1);
    let said = refused(&envelope(&key, payload.as_bytes(), PAYLOAD_TYPE, None), &key);
    assert!(said.contains("duplicate field"), "{said}");
}

#[test]
fn what_is_no_attestation_says_how_that_shows() {
    let key = key_of(KeyKind::P256);
    let other_form = br#"{"_type":"https://in-toto.io/Statement/v2","predicateType":"x:y","subject":[]}"#;
    let said = refused(&envelope(&key, other_form, PAYLOAD_TYPE, None), &key);
    assert!(said.contains("Statement/v2"), "{said}");
    let said = refused(&envelope(&key, b"[]", PAYLOAD_TYPE, None), &key);
    assert!(said.contains("it is no in-toto statement"), "{said}");
    let parse = |json: &str| Envelope::parse(json.as_bytes()).expect_err(json).to_string();
    assert!(parse("").contains("it is no DSSE envelope"));
    let payload = r#"{"payloadType":"a","payload":"%","signatures":[]}"#;
    assert!(parse(payload).contains("the payload is no base64"), "{}", parse(payload));
    let many: Vec<_> = (0..=SIGNATURES_MAX).map(|_| json!({ "sig": "AAAA" })).collect();
    let many = json!({ "payloadType": "a", "payload": "", "signatures": many }).to_string();
    assert!(parse(&many).contains("it has 17 signatures; 16 are the most"), "{}", parse(&many));
    let long = STANDARD.encode([0; 1025]);
    let long = json!({ "payloadType": "a", "payload": "", "signatures": [{ "sig": long }] }).to_string();
    assert!(parse(&long).contains("a signature of 1025 bytes"), "{}", parse(&long));
    let huge = Envelope::parse(&vec![b' '; ENVELOPE_MAX_BYTES + 1]).expect_err("too large").to_string();
    assert!(huge.contains("16777217 bytes are too many"), "{huge}");
}

#[test]
fn a_bundle_is_of_the_known_version_and_has_an_envelope() {
    let text = String::from_utf8(BUNDLE.to_vec()).expect("text");
    let other = text.replace("bundle.v0.3", "bundle.v0.9");
    let said = Envelope::parse_bundle(other.as_bytes()).expect_err("another version").to_string();
    assert!(said.contains("bundle.v0.9"), "{said}");
    let bare = json!({ "mediaType": BUNDLE_MEDIA_TYPE, "messageSignature": {} }).to_string();
    assert_eq!(Envelope::parse_bundle(bare.as_bytes()), Err(AttestationError::NoEnvelope));
}

/// A trust store with the key of these names, and a rule that wants these types by `by`.
fn anchors(names: &[&str], by: &str, revoked: &str) -> Anchors {
    let rules = format!(
        "[[namespace]]\nprefix = \"docker.io/library\"\nrequire = \"sealed\"\n\
         require_artifacts = [\"{SLSA}\", \"https://spdx.dev/Document\"]\nartifacts_by = [{by}]\n\
         [mirrors]\n\"mirror.lan/hub\" = \"docker.io\"\n"
    );
    let rules = Rules::parse(rules.as_bytes()).expect("rules");
    let mut anchors = Anchors::new(Revocations::parse(revoked.as_bytes()).expect("revocations"), rules);
    for name in names {
        anchors.add_artifact_key(name.parse().expect("a name"), cosign_key().key).expect("new");
    }
    anchors
}

fn shown(types: &[&str]) -> Shown {
    let said =
        |of: &&str| Attestation { predicate_type: (*of).to_owned(), key: cosign_key().key.fingerprint() };
    Shown { attestations: types.iter().map(said).collect(), left_out: Vec::new() }
}

fn asked(anchors: &Anchors, name: &str, shown: &Shown) -> Result<(), Refusal> {
    check_artifacts(anchors, &name.parse().expect("a name"), shown)
}

const BOTH: [&str; 2] = [SLSA, "https://spdx.dev/Document"];

#[test]
fn every_type_that_a_rule_wants_has_to_be_there_by_a_key_that_the_rule_names() {
    let store = anchors(&["ci"], "\"ci\"", "");
    let name = "docker.io/library/debian:12";
    assert_eq!(asked(&store, name, &shown(&BOTH)), Ok(()));
    let said = asked(&store, name, &shown(&[SLSA, SLSA])).expect_err("one is lacking").to_string();
    let wanted = "docker.io/library/debian:12 lacks artifacts: the rule for docker.io/library wants \
                  https://spdx.dev/Document signed by ci; it has none that counts";
    assert_eq!(said, wanted);
    // The beginning of a type is another type.
    asked(&store, name, &shown(&[SLSA, "https://spdx.dev/Document/v2.3"])).expect_err("another type");
    assert_eq!(asked(&store, "docker.io/other/app:1", &Shown::default()), Ok(()), "no rule is for it");
    let wanted = |name: &str| artifacts_wanted(&store, &name.parse().expect("a name")).count();
    assert_eq!(wanted("docker.io/other/app:1"), 0);
    // By whichever name it is asked for.
    for name in ["mirror.lan/hub/library/debian:12", "docker.io/library/debian"] {
        assert_eq!(wanted(name), 2, "{name}");
        asked(&store, name, &Shown::default()).expect_err(name);
    }
}

#[test]
fn keys_that_the_rule_does_not_name_or_that_were_revoked_do_not_count() {
    let name = "docker.io/library/debian:12";
    let other = anchors(&["ci"], "\"release\"", "");
    let said = asked(&other, name, &shown(&BOTH)).expect_err("another key").to_string();
    assert!(said.contains("the trust store has no key called release for artifacts that counts"), "{said}");
    assert_eq!(asked(&anchors(&["ci"], "", ""), name, &shown(&BOTH)), Ok(()), "any will do");
    asked(&anchors(&[], "", ""), name, &shown(&BOTH)).expect_err("nobody is known");
    let fingerprint = cosign_key().key.fingerprint();
    let revocations = [
        format!("[[public_key]]\nsha256 = \"{fingerprint}\"\n"),
        format!("[[certificate]]\nsha256 = \"{}\"\npublic_key = \"{fingerprint}\"\n", "0".repeat(64)),
    ];
    for revoked in revocations {
        let store = anchors(&["ci"], "\"ci\"", &revoked);
        let said = asked(&store, name, &shown(&BOTH)).expect_err("revoked").to_string();
        assert!(said.contains("no key called ci"), "{said}");
    }
}

#[test]
fn a_rule_that_makes_no_sense_is_refused_with_what_to_do() {
    let rule = |more: &str| {
        let text = format!("[[namespace]]\nprefix = \"a.example\"\n{more}\n");
        Rules::parse(text.as_bytes()).expect_err(more).to_string()
    };
    let said = rule("require = \"allow\"\nrequire_artifacts = [\"x:y\"]");
    assert!(said.contains("needs require = \"sealed\""), "{said}");
    let said = rule("require = \"sealed\"\nartifacts_by = [\"ci\"]");
    assert!(said.contains("no require_artifacts"), "{said}");
    let said = rule("require = \"sealed\"\nrequire_artifacts = [\"slsaprovenance\"]");
    assert!(said.contains("line 4") && said.contains("it takes a URI such as"), "{said}");
    let many = vec!["\"x:y\""; 17].join(",");
    let said = rule(&format!("require = \"sealed\"\nrequire_artifacts = [{many}]"));
    assert!(said.contains("17 types in require_artifacts; 16 are the most"), "{said}");
}

#[test]
fn two_keys_of_one_name_are_refused() {
    let mut store = anchors(&["ci"], "", "");
    store.add_artifact_key("ci".parse().expect("a name"), cosign_key().key).expect("the same");
    let other = key_of(KeyKind::P256).public_key().clone();
    let error = store.add_artifact_key("ci".parse().expect("a name"), other).expect_err("another");
    assert_eq!(error.to_string(), "there are two different keys called ci for artifacts");
}
