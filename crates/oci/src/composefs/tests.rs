use std::collections::BTreeMap;

use sealpack_format::verity::{fsverity_digest, signed_bytes};
use sealpack_format::{Algorithm, ObjectId};

use super::*;
use crate::manifest::{Descriptor, Document, Manifest};
use crate::media_type::{OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};

const MERGED: &str = "composefs.merged.erofs.v1.fsverity-sha256-12";
const CONFIG: &[u8] = br#"{"config":{"Labels":{"a":"b","containers.composefs.fsverity":"x","number":1}}}"#;

fn id(text: &str) -> ObjectId {
    fsverity_digest(Algorithm::Sha256, text.as_bytes())
}

fn manifest(annotations: &[(&str, &str)]) -> Manifest {
    Manifest {
        config: Descriptor::of(OCI_CONFIG, CONFIG),
        layers: vec![Descriptor::of(OCI_LAYER, b"layer")],
        subject: None,
        artifact_type: None,
        annotations: map(annotations),
    }
}

fn map(annotations: &[(&str, &str)]) -> BTreeMap<String, String> {
    annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn claims(annotations: &[(&str, &str)]) -> Vec<Claim> {
    Claim::in_image(&BTreeMap::new(), &manifest(annotations), b"{}")
}

/// What comes of the only claim among `annotations` about an image with the digest of "image", or of "with user".
fn outcome(annotations: &[(&str, &str)]) -> Outcome {
    let claims = claims(annotations);
    assert_eq!(claims.len(), 1, "{claims:?}");
    let (image, image_with_user) = (Some(id("image")), Some(id("with user")));
    check(&claims, &Computed { manifest: b"m", config: b"c", image, image_with_user }).remove(0).outcome
}

#[test]
fn keys_are_read_as_they_are_written() {
    for text in [
        MERGED,
        "composefs.merged.bootable.erofs.v2.fsverity-sha512-16",
        "composefs.layer.erofs.v1.fsverity-sha512-12",
        "composefs.config.fsverity-sha256-12",
        "composefs.manifest.fsverity-sha512-12",
    ] {
        let (key, is_signature) = Key::parse(text).unwrap();
        assert_eq!((key.to_string().as_str(), is_signature), (text, false));
        assert_eq!(Key::parse(&format!("{text}.sig")), Some((key, true)));
    }
    assert_eq!(Key::of(Part::Merged, Algorithm::Sha256).to_string(), MERGED);
}

#[test]
fn other_annotations_are_no_keys() {
    for text in [
        "composefs.merged.fsverity-sha256-12",
        "composefs.config.erofs.v1.fsverity-sha256-12",
        "composefs.merged.erofs.v01.fsverity-sha256-12",
        "composefs.merged.erofs.v1.fsverity-md5-12",
        "composefs.merged.erofs.v1.fsverity-sha256",
        "composefs.merged.erofs.v1.fsverity-sha256-+12",
        "composefs.merged.erofs.v1.fsverity-sha256-300",
        "composefs.tail.erofs.v1.fsverity-sha256-12",
        "org.composefs.config.fsverity-sha256-12",
        ".sig",
        "",
    ] {
        assert_eq!(Key::parse(text), None, "{text}");
    }
}

#[test]
fn claims_are_found_wherever_they_stand() {
    let digest = id("x").to_string();
    let mut manifest = manifest(&[(MERGED, &digest), ("org.opencontainers.image.title", "t")]);
    let config = "composefs.config.fsverity-sha256-12";
    manifest.config.annotations = map(&[(config, &digest)]);
    manifest.layers[0].annotations = map(&[("composefs.layer.erofs.v1.fsverity-sha256-12", &digest)]);
    let entry = map(&[("composefs.manifest.fsverity-sha256-12", &digest)]);
    let claims = Claim::in_image(&entry, &manifest, CONFIG);
    let found: Vec<_> = claims.iter().map(|claim| (claim.place.clone(), claim.key.part)).collect();
    assert_eq!(
        found,
        [
            (ClaimedIn::IndexEntry, Part::Manifest),
            (ClaimedIn::Manifest, Part::Merged),
            (ClaimedIn::ConfigDescriptor, Part::Config),
            (ClaimedIn::Layer(1), Part::Layer),
            (ClaimedIn::Labels, Part::Merged),
        ]
    );
    assert_eq!(claims[1].stated, Stated::Digest(id("x")));
    assert!(matches!(&claims[4].stated, Stated::Invalid(problem) if problem.contains("\"x\"")), "{claims:?}");
}

#[test]
fn labels_of_any_form_are_no_reason_to_fail() {
    for config in [&b""[..], b"[]", b"{}", br#"{"config":null}"#, br#"{"config":{"Labels":[]}}"#] {
        assert_eq!(Claim::in_image(&BTreeMap::new(), &manifest(&[]), config), []);
    }
}

#[test]
fn the_image_is_compared_in_both_modes() {
    assert_eq!(outcome(&[(MERGED, &id("image").to_string())]), Outcome::Holds);
    assert_eq!(outcome(&[(MERGED, &id("with user").to_string())]), Outcome::HoldsWithUser);
    assert_eq!(outcome(&[(MERGED, &id("another").to_string())]), Outcome::Wrong(id("image")));
    assert_eq!(outcome(&[(LABEL, &id("image").to_string())]), Outcome::Holds);
    assert_eq!(outcome(&[(LABEL, &id("another").to_string())]), Outcome::Wrong(id("image")));
    let wants = |stated: &str| wants_user_xattrs(&claims(&[(MERGED, &id(stated).to_string())]), id("image"));
    assert_eq!(["image", "with user", "another"].map(wants), [false, true, true]);
}

#[test]
fn documents_are_compared_by_either_algorithm() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for (part, bytes) in [(Part::Manifest, b"m"), (Part::Config, b"c")] {
            let (name, right) = (Key::of(part, algorithm).to_string(), fsverity_digest(algorithm, bytes));
            assert_eq!(outcome(&[(&name, &right.to_string())]), Outcome::Holds, "{name}");
            let wrong = fsverity_digest(algorithm, b"wrong").to_string();
            assert_eq!(outcome(&[(&name, &wrong)]), Outcome::Wrong(right), "{name}");
        }
    }
}

#[test]
fn what_is_not_computed_here_is_not_checked() {
    let (short, long) = (id("x").to_string(), fsverity_digest(Algorithm::Sha512, b"x").to_string());
    for (name, value, why) in [
        ("composefs.merged.erofs.v1.fsverity-sha512-12", &long, Unchecked::Algorithm(Algorithm::Sha256)),
        (LABEL, &long, Unchecked::Algorithm(Algorithm::Sha256)),
        ("composefs.merged.erofs.v2.fsverity-sha256-12", &short, Unchecked::Format),
        ("composefs.merged.erofs.v1.fsverity-sha256-16", &short, Unchecked::BlockSize),
        ("composefs.config.fsverity-sha256-16", &short, Unchecked::BlockSize),
        ("composefs.layer.erofs.v1.fsverity-sha256-12", &short, Unchecked::Layer),
        ("composefs.merged.bootable.erofs.v1.fsverity-sha256-12", &short, Unchecked::Bootable),
    ] {
        assert_eq!(outcome(&[(name, value)]), Outcome::Unchecked(why), "{name}");
    }
}

#[test]
fn values_that_are_no_digests_are_refused_whatever_they_are_about() {
    let (short, upper) = (id("x").to_string(), id("x").to_string().to_uppercase());
    let long = fsverity_digest(Algorithm::Sha512, b"x").to_string();
    for (name, value) in [
        (MERGED, long.as_str()),
        (MERGED, upper.as_str()),
        (MERGED, ""),
        (MERGED, "sha256:00"),
        ("composefs.merged.erofs.v1.fsverity-sha512-12", short.as_str()),
        ("composefs.merged.erofs.v7.fsverity-sha256-16", "later"),
        (LABEL, "none"),
    ] {
        let outcome = outcome(&[(name, value)]);
        assert!(
            matches!(&outcome, Outcome::Invalid(_)) && outcome.is_refusal(),
            "{name} {value}: {outcome:?}"
        );
    }
}

#[test]
fn signatures_beside_a_digest_are_read() {
    let digest = id("x").to_string();
    let (name, signature) = (format!("{MERGED}.sig"), "MAA=");
    let found = claims(&[(MERGED, &digest), (&name, signature)]);
    assert_eq!(found[0].signature.as_deref(), Some(&[0x30, 0][..]));
    assert_eq!(found[0].signed_bytes(), Some(signed_bytes(&id("x"))));
    // One without its digest says nothing.
    assert_eq!(claims(&[(&name, signature)]), []);
    let large = "A".repeat(40_000);
    for (text, problem) in [("?", "not base64"), (large.as_str(), "longer than 16128 bytes")] {
        let found = claims(&[(MERGED, &digest), (&name, text)]);
        assert!(matches!(&found[0].stated, Stated::Invalid(told) if told.contains(problem)), "{found:?}");
    }
}

fn draft() -> (Descriptor, Draft) {
    let subject = Descriptor::of(OCI_MANIFEST, b"the manifest");
    let draft = Draft::new(&subject, b"the manifest", b"the config", id("image"));
    (subject, draft)
}

/// The claims of what was built, its blobs found where it says.
fn read_back(subject: &Descriptor, built: &Built) -> Vec<Claim> {
    let artifact =
        ComposefsArtifact::parse(built.descriptor.digest, &built.manifest, &subject.digest).unwrap();
    let blob = |wanted: &Descriptor| {
        let found = built.blobs.iter().find(|(blob, _)| blob.digest == wanted.digest);
        Ok(found.unwrap().1.clone())
    };
    artifact.claims(blob).unwrap()
}

#[test]
fn an_artifact_without_signatures_is_read_back() {
    let (subject, draft) = draft();
    let built = draft.build().unwrap();
    let claims = read_back(&subject, &built);
    let parts: Vec<_> = claims.iter().map(|claim| claim.key.part).collect();
    assert_eq!(parts, [Part::Manifest, Part::Config, Part::Merged]);
    assert!(claims.iter().all(|claim| claim.signature.is_none()));
    assert!(claims.iter().all(|claim| claim.place == ClaimedIn::Artifact(built.descriptor.digest)));
    let facts = Computed {
        manifest: b"the manifest",
        config: b"the config",
        image: Some(id("image")),
        image_with_user: None,
    };
    assert!(check(&claims, &facts).iter().all(|checked| checked.outcome == Outcome::Holds));
    // The empty object is the only blob.
    assert_eq!((built.blobs.len(), built.blobs[0].1.as_slice()), (1, &b"{}"[..]));
}

#[test]
fn an_artifact_has_a_signature_of_each_part() {
    let (subject, mut draft) = draft();
    let work: Vec<_> = draft.to_be_signed().collect();
    assert_eq!(work.len(), 3);
    for (part, bytes) in &work {
        draft.sign(*part, [b"signature of ", bytes.as_slice()].concat()).unwrap();
    }
    let built = draft.build().unwrap();
    for (claim, (part, bytes)) in read_back(&subject, &built).into_iter().zip(work) {
        assert_eq!((claim.key.part, claim.signed_bytes()), (part, Some(bytes.clone())));
        assert_eq!(claim.signature, Some([b"signature of ", bytes.as_slice()].concat()));
    }
}

/// These bytes are published: whoever builds the artifact again has to get the same.
#[test]
fn the_bytes_of_an_artifact_do_not_change() {
    let (_, mut draft) = draft();
    for part in [Part::Manifest, Part::Config, Part::Merged] {
        draft.sign(part, part.name().into()).unwrap();
    }
    let built = draft.build().unwrap();
    let Document::Manifest(manifest) = Document::parse("it", Some(OCI_MANIFEST), &built.manifest).unwrap()
    else {
        panic!("not a manifest");
    };
    assert!(manifest.layers.iter().all(|layer| layer.media_type == SIGNATURE_TYPE));
    assert_eq!(built.descriptor.digest.to_string(), GOLDEN, "{}", String::from_utf8_lossy(&built.manifest));
}

const GOLDEN: &str = "sha256:d23500feb6e16d0ef02af50914bd11b8cf75399d06438fbbef3c6f9c385328fd";

#[test]
fn an_artifact_is_signed_whole_or_not_at_all() {
    let (_, mut draft) = draft();
    draft.sign(Part::Merged, b"s".to_vec()).unwrap();
    assert_eq!(draft.clone().build().unwrap_err(), DraftError::Unsigned { unsigned: Part::Manifest });
    for size_bytes in [0, 16129] {
        let error = draft.sign(Part::Merged, vec![0; size_bytes]).unwrap_err();
        assert_eq!(error, DraftError::SignatureSize { part: Part::Merged, size_bytes });
    }
    draft.sign(Part::Merged, vec![0; 16128]).unwrap();
}

/// The artifact that [`draft`] makes, changed.
fn changed(from: &str, to: &str) -> Result<ComposefsArtifact, ArtifactError> {
    let (subject, draft) = draft();
    let built = draft.build().unwrap();
    let text = String::from_utf8(built.manifest).unwrap();
    assert!(text.contains(from), "{text}");
    ComposefsArtifact::parse(built.descriptor.digest, text.replacen(from, to, 1).as_bytes(), &subject.digest)
}

#[test]
fn what_is_no_artifact_about_the_image_is_refused_by_name() {
    let (subject, _) = draft();
    let other = Descriptor::of("", b"other").digest;
    let error = changed(&subject.digest.to_string(), &other.to_string()).unwrap_err();
    assert!(error.is_verification());
    assert!(
        error.to_string().contains(&format!("is about {other}, not about {}", subject.digest)),
        "{error}"
    );
    for (from, to, words) in [
        ("\"subject\"", "\"other\"", "is about nothing"),
        (ARTIFACT_TYPE, "application/else", "\"application/else\""),
        ("\"artifactType\"", "\"other\"", "but \"application/vnd.oci.empty.v1+json\""),
        ("\"layers\"", "\"other\"", "lacks its config or its layers"),
        ("\"schemaVersion\":2", "\"schemaVersion\":1", "schemaVersion"),
        ("{", "[", "is not valid"),
    ] {
        let error = changed(from, to).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn an_artifact_has_limits() {
    let layer = |media_type: &str, size: u64, annotation: &str| {
        format!(
            r#"{{"mediaType":"{media_type}","digest":"sha256:{}","size":{size},"annotations":{{"{annotation}":"{}"}}}}"#,
            "0".repeat(64),
            id("x")
        )
    };
    let with = |layers: &[String]| changed("\"layers\":[", &format!("\"layers\":[{},", layers.join(",")));
    let error = with(&vec![layer("a/b", 2, MERGED); 62]).unwrap_err();
    assert!(error.to_string().ends_with("has 65 layers, more than the limit of 64"), "{error}");
    let error = with(&[layer(SIGNATURE_TYPE, 16129, MERGED)]).unwrap_err();
    assert!(error.to_string().contains("16129 bytes, more than the limit of 16128"), "{error}");
    // What later versions may add is passed over.
    let found = with(&[layer("a/b", 1 << 40, "later"), layer(SIGNATURE_TYPE, 1 << 40, "later")]).unwrap();
    assert_eq!(found.entries().len(), 3);
}

#[test]
fn a_signature_is_the_one_that_its_descriptor_names() {
    let (subject, mut draft) = draft();
    for part in [Part::Manifest, Part::Config, Part::Merged] {
        draft.sign(part, part.name().into()).unwrap();
    }
    let built = draft.build().unwrap();
    let artifact =
        ComposefsArtifact::parse(built.descriptor.digest, &built.manifest, &subject.digest).unwrap();
    let error = artifact.claims(|_| Ok(b"manifesT".to_vec())).unwrap_err();
    assert!(error.is_verification(), "{error}");
}
