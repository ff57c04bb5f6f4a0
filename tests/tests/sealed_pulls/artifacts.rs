//! Artifacts that rules want besides a seal: attestations, as Debian 13's cosign makes them, and as nobody should.

use crate::market::{Market, Publisher, said};
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealpack_test_registry::{Fault, digest_of};
use sealpack_tests::cosign::{Attached, Cosign};
use sealpack_tests::refusal::{Exit, judge_output};
use serde_json::{Value, json};
use std::fs;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const ENVELOPE_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const SLSA: &str = "https://slsa.dev/provenance/v1";
const SPDX: &str = "https://spdx.dev/Document";

/// A market with a sealed image, whose rule wants these types by the key `ci`.
fn market(types: &[&str]) -> Result<Market> {
    let market = Market::new()?;
    market.publish(&market.seal(1)?);
    want(&market, types)?;
    fs::create_dir(market.trust_dir().join("artifacts"))?;
    Ok(market)
}

fn want(market: &Market, types: &[&str]) -> Result<()> {
    market.demand_seals(&format!("require_artifacts = {types:?}\nartifacts_by = [\"ci\"]"))
}

/// Has that key count for artifacts, under that name.
fn trust(market: &Market, name: &str, pem: &str) -> Result<()> {
    Ok(fs::write(market.trust_dir().join(format!("artifacts/{name}.pub")), pem)?)
}

/// Somebody with a key, and envelopes as they are or as they should not be.
struct Ci(Publisher);

impl Ci {
    /// Whose key counts.
    fn trusted(market: &Market) -> Result<Self> {
        let ci = Self(Publisher::new("ci")?);
        trust(market, "ci", &ci.pem())?;
        Ok(ci)
    }

    fn pem(&self) -> String {
        let der = STANDARD.encode(self.0.certificate.public_key().info_der());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }

    fn envelope(&self, payload: &[u8], payload_type: &str) -> Result<Value> {
        let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
        let signature = self.0.pair().signer.sign(&[head.as_bytes(), payload].concat())?;
        Ok(json!({
            "payloadType": payload_type,
            "payload": STANDARD.encode(payload),
            "signatures": [{ "sig": STANDARD.encode(signature) }],
        }))
    }

    /// What it should be, of a type about a manifest.
    fn good(&self, of: &str, manifest: &str) -> Result<Value> {
        self.envelope(&statement(of, manifest), IN_TOTO)
    }
}

fn statement(of: &str, manifest: &str) -> Vec<u8> {
    let subject = json!([{ "digest": { "sha256": manifest.trim_start_matches("sha256:") } }]);
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": of, "subject": subject, "predicate": {},
    });
    statement.to_string().into_bytes()
}

/// A referrer of the image with an envelope; answers with its digest.
fn attach(market: &Market, envelope: &Value) -> String {
    let bytes = envelope.to_string();
    let layer = json!({
        "mediaType": ENVELOPE_TYPE, "digest": market.registry.put_blob(bytes.clone()), "size": bytes.len(),
    });
    attach_layer(market, ENVELOPE_TYPE, &layer)
}

fn attach_layer(market: &Market, artifact_type: &str, layer: &Value) -> String {
    let empty = "application/vnd.oci.empty.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": artifact_type,
        "config": { "mediaType": empty, "digest": market.registry.put_blob("{}"), "size": 2 },
        "layers": [layer],
        "subject": {
            "mediaType": market.image.manifest_type,
            "digest": market.manifest(),
            "size": market.image.manifest.len(),
        },
    });
    let bytes = manifest.to_string();
    let tag = format!("said-{}", &digest_of(bytes.as_bytes())[7..15]);
    market.registry.put_manifest("some/app", &tag, MANIFEST_TYPE, bytes)
}

/// What the store remembers of the image's artifacts.
fn remembered(market: &Market) -> Result<Vec<String>> {
    let records = fs::read_dir(market.node.store().join("refs"))?;
    for record in records {
        let record: Value = serde_json::from_slice(&fs::read(record?.path())?)?;
        if record["name"] == market.name() {
            let seen = record["attestations"].as_array().cloned().unwrap_or_default();
            return Ok(seen
                .iter()
                .filter_map(|one| one["predicate_type"].as_str().map(str::to_owned))
                .collect());
        }
    }
    anyhow::bail!("the store has no image {}", market.name())
}

fn forget(market: &Market) -> Result<()> {
    market.run(&["rm", &market.name()])?;
    market.run(&["gc", "--keep-previous", "0"])?;
    Ok(())
}

/// What makes a directory for a runtime asks the rules about what the store has.
fn bundle(market: &Market) -> Result<std::process::Output> {
    let target = market.path("bundle");
    market.attempt(&["bundle", &market.name(), target.to_str().context("a path in UTF-8")?, "--no-mount"])
}

/// The rules let it be used: what is lacking then is a program, which the image has not.
fn is_usable(market: &Market) -> Result<()> {
    judge_output(&bundle(market)?, Exit::Failed, &["the image has no program"])
}

#[test]
fn what_debian_13s_cosign_attests_counts_in_every_way_that_it_is_attached() -> Result<()> {
    let cosign = Cosign::new()?;
    for (attached, has_api) in
        [(Attached::AsReferrer, true), (Attached::AsReferrer, false), (Attached::UnderTag, true)]
    {
        let market = market(&[SLSA, SPDX])?;
        market.registry.set_referrers_api(has_api);
        market.registry.set_oci_subject(has_api);
        if !has_api {
            // It has no list of what was put there before.
            let seal = market.seal(1)?;
            list_by_tag(&market, &market.publish(&seal))?;
        }
        trust(&market, "ci", &fs::read_to_string(cosign.public_key())?)?;
        let image = format!("{}/some/app@{}", market.registry.host(), market.manifest());
        let provenance = r#"{"buildDefinition":{"buildType":"https://example.org/b"},"runDetails":{}}"#;
        cosign.attest(&image, "slsaprovenance1", provenance, attached)?;
        market.refuses(&[], &["lacks artifacts", SPDX, "signed by ci"])?;
        cosign.attest(&image, "spdxjson", r#"{"spdxVersion":"SPDX-2.3"}"#, attached)?;
        market.run(&["pull", &market.name()]).with_context(|| format!("{attached:?}, {has_api}"))?;
        assert_eq!(remembered(&market)?, [SLSA, SPDX]);
        market.run(&["verify", &market.name()])?;
    }
    Ok(())
}

/// Puts a referrer on the list that a registry without the API has under a tag.
fn list_by_tag(market: &Market, referrer: &str) -> Result<()> {
    let bytes = market.registry.manifest("some/app", referrer).context("the referrer")?;
    let manifest: Value = serde_json::from_slice(&bytes)?;
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": MANIFEST_TYPE, "digest": referrer, "size": bytes.len(),
            "artifactType": manifest["artifactType"],
        }],
    });
    let tag = market.manifest().replace(':', "-");
    market.registry.put_manifest(
        "some/app",
        &tag,
        "application/vnd.oci.image.index.v1+json",
        index.to_string(),
    );
    Ok(())
}

#[test]
fn an_image_without_what_the_rule_wants_says_what_and_by_whom() -> Result<()> {
    let market = market(&[SLSA])?;
    Ci::trusted(&market)?;
    let rule = format!("the rule for {} wants {SLSA} signed by ci", market.registry.host());
    market.refuses(&[], &["lacks artifacts", &rule, "none that counts", "cosign attest"])?;
    ensure!(market.registry.count("/blobs/sha256") < 25, "layers were fetched in vain");
    // Nor is it by digest, or taken on purpose as an older one.
    let by_digest = format!("{}/some/app@{}", market.registry.host(), market.manifest());
    market.refuses_source(&by_digest, &[], &["lacks artifacts"])?;
    market.refuses(&["--allow-rollback"], &["lacks artifacts"])?;
    Ok(())
}

/// Each of these has all that the rule wants but for one thing.
#[test]
fn what_is_wrong_with_an_attestation_is_said_and_it_does_not_count() -> Result<()> {
    let market = market(&[SLSA])?;
    let ci = Ci::trusted(&market)?;
    let stranger = Ci(Publisher::new("stranger")?);
    let (manifest, other) = (market.manifest(), digest_of(b"another image"));
    let payload = statement(SLSA, &manifest);
    let mut relabelled = ci.envelope(&payload, "text/plain")?;
    relabelled["payloadType"] = IN_TOTO.into();
    let mut bare = ci.good(SLSA, &manifest)?;
    bare["signatures"][0]["sig"] = STANDARD.encode(ci.0.pair().signer.sign(&payload)?).into();
    let mut exchanged = ci.good(SLSA, &manifest)?;
    exchanged["payload"] = STANDARD.encode(statement(SLSA, &other)).into();
    let cases: [(Value, &[&str]); 7] = [
        (ci.good(SLSA, &other)?, &["it is about", &other, &manifest]),
        (ci.good(SPDX, &manifest)?, &["lacks artifacts", SLSA]),
        (stranger.good(SLSA, &manifest)?, &["by a key that the trust store has for artifacts"]),
        (ci.envelope(&payload, "text/plain")?, &["its payload is of the type \"text/plain\""]),
        (relabelled, &["none of its 1 signatures is good"]),
        (bare, &["none of its 1 signatures is good"]),
        (exchanged, &["none of its 1 signatures is good"]),
    ];
    for (envelope, words) in cases {
        let market = self::market(&[SLSA])?;
        trust(&market, "ci", &ci.pem())?;
        attach(&market, &envelope);
        // The image is the same in all of them.
        assert_eq!(market.manifest(), manifest);
        market.refuses(&[], words)?;
    }
    Ok(())
}

#[test]
fn one_that_is_good_counts_among_any_number_that_are_not() -> Result<()> {
    let market = market(&[SLSA])?;
    let ci = Ci::trusted(&market)?;
    attach(&market, &Ci(Publisher::new("stranger")?).good(SLSA, &market.manifest())?);
    attach(&market, &json!("no envelope"));
    let good = attach(&market, &ci.good(SLSA, &market.manifest())?);
    let size = market.registry.manifest("some/app", &good).context("it is there")?.len();
    for _ in 0..9 {
        market.registry.pretend_referrer(
            &market.manifest(),
            json!({ "mediaType": MANIFEST_TYPE, "digest": good, "size": size, "artifactType": ENVELOPE_TYPE }),
        );
    }
    market.run(&["pull", &market.name()])?;
    assert_eq!(remembered(&market)?, [SLSA], "the same twice is one");
    // A key that counts no more takes it away from what the store has, too.
    is_usable(&market)?;
    let key = ci.0.certificate.public_key().fingerprint();
    fs::write(market.trust_dir().join("revoked.toml"), format!("[[public_key]]\nsha256 = \"{key}\"\n"))?;
    judge_output(&bundle(&market)?, Exit::Refused, &["lacks artifacts", "no key called ci"])
}

#[test]
fn an_envelope_of_a_gigabyte_is_not_fetched() -> Result<()> {
    let market = market(&[SLSA])?;
    let ci = Ci::trusted(&market)?;
    let envelope = market.registry.put_blob(ci.good(SLSA, &market.manifest())?.to_string());
    for layer_type in [ENVELOPE_TYPE, BUNDLE_TYPE] {
        attach_layer(
            &market,
            layer_type,
            &json!({ "mediaType": layer_type, "digest": envelope, "size": 1 << 30 }),
        );
    }
    let layer = json!({ "mediaType": ENVELOPE_TYPE, "digest": envelope, "size": 1 << 30 });
    under_tag(&market, &[layer]);
    market.refuses(&[], &[&envelope, "16777216", "lacks artifacts"])?;
    assert_eq!(market.registry.count(&envelope), 0, "it was asked for");
    // One that is larger than it says is cut off there.
    let large = market.registry.put_blob(vec![b' '; 1 << 20]);
    let layer = json!({ "mediaType": ENVELOPE_TYPE, "digest": large, "size": 10 });
    attach_layer(&market, ENVELOPE_TYPE, &layer);
    market.refuses(&[], &[&large, "lacks artifacts"])
}

/// What cosign 2 makes: a manifest without a subject, under a tag.
fn under_tag(market: &Market, layers: &[Value]) {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": market.registry.put_blob("{}"), "size": 2,
        },
        "layers": layers,
    });
    let tag = format!("{}.att", market.manifest().replace(':', "-"));
    market.registry.put_manifest("some/app", &tag, MANIFEST_TYPE, manifest.to_string());
}

#[test]
fn only_so_many_layers_under_the_tag_are_looked_at() -> Result<()> {
    let market = market(&[SLSA])?;
    let ci = Ci::trusted(&market)?;
    let layer = |envelope: &Value| {
        let bytes = envelope.to_string();
        let size = bytes.len();
        json!({ "mediaType": ENVELOPE_TYPE, "digest": market.registry.put_blob(bytes), "size": size })
    };
    let good = layer(&ci.good(SLSA, &market.manifest())?);
    let bad = layer(&ci.good(SLSA, &digest_of(b"another image"))?);
    let mut layers = vec![bad; 32];
    layers.push(good.clone());
    under_tag(&market, &layers);
    market.refuses(&[], &["it is about", "more reasons"])?;
    layers.swap(0, 32);
    under_tag(&market, &layers);
    market.run(&["pull", &market.name()])?;
    Ok(())
}

/// A registry that says that there is nothing, or says nothing, keeps an image away, and no more.
#[test]
fn a_registry_that_hides_them_gets_no_image_in_and_none_out() -> Result<()> {
    let market = market(&[SLSA])?;
    let ci = Ci::trusted(&market)?;
    attach(&market, &ci.good(SLSA, &market.manifest())?);
    market.run(&["pull", &market.name()])?;
    let filter = format!("referrers/{}?artifactType=application%2Fvnd.d", market.manifest());
    for fault in [Fault::status(&filter, 404), Fault::status(&filter, 403)] {
        market.registry.fault(fault);
        let output = market.attempt(&["pull", &market.name()])?;
        ensure!(!output.status.success(), "{}", said(&output));
        // What was shown once is remembered with the image.
        market.run(&["verify", &market.name()])?;
        is_usable(&market)?;
        market.registry.clear_faults();
    }
    market.registry.fault(Fault::status(&filter, 404));
    forget(&market)?;
    market.refuses(&[], &["lacks artifacts"])
}

/// A machine may have had the image before the rules wanted anything.
#[test]
fn rules_that_want_more_since_hold_for_what_is_in_the_store() -> Result<()> {
    let market = market(&[SLSA])?;
    let ci = Ci::trusted(&market)?;
    market.demand_seals("")?;
    market.run(&["pull", &market.name()])?;
    assert_eq!(remembered(&market)?, [""; 0], "nobody wanted any");
    want(&market, &[SLSA])?;
    judge_output(&bundle(&market)?, Exit::Refused, &["lacks artifacts", SLSA, "cosign attest"])?;
    let report = market.attempt(&["verify", &market.name()])?;
    assert_eq!(report.status.code(), Some(3));
    let text = String::from_utf8_lossy(&report.stdout);
    assert!(text.contains("lacks artifacts"), "{text}");
    attach(&market, &ci.good(SLSA, &market.manifest())?);
    market.run(&["pull", &market.name()])?;
    is_usable(&market)?;
    market.run(&["verify", &market.name()])?;
    // Pulled while nobody wants any, what it had stays.
    market.demand_seals("")?;
    market.run(&["pull", &market.name()])?;
    assert_eq!(remembered(&market)?, [SLSA]);
    Ok(())
}

/// From a layout the same is demanded; what `copy` brings along are the referrers.
/// The page that `report` makes of the image.
fn report(market: &Market) -> Result<String> {
    let file = market.path("report.html");
    let path = file.to_str().context("a path in UTF-8")?;
    market.run(&["report", &market.name(), "-o", path, "--force"])?;
    Ok(fs::read_to_string(file)?)
}

#[test]
fn a_report_says_what_was_attested_by_whom_and_what_is_lacking() -> Result<()> {
    let market = market(&[SLSA])?;
    let ci = Ci::trusted(&market)?;
    market.demand_seals("")?;
    market.run(&["pull", &market.name()])?;
    want(&market, &[SLSA])?;
    let page = report(&market)?;
    assert!(page.contains("refuses it") && page.contains("lacks artifacts"), "{page}");
    attach(&market, &ci.good(SLSA, &market.manifest())?);
    market.run(&["pull", &market.name()])?;
    let page = report(&market)?;
    assert!(page.contains("accepts its seal") && !page.contains("refuses it"), "{page}");
    assert!(page.contains(SLSA) && page.contains(", by ci<"), "{page}");
    // Nobody knows whose it was when the key is gone.
    fs::remove_file(market.trust_dir().join("artifacts/ci.pub"))?;
    assert!(report(&market)?.contains("a key that the trust store has no more"));
    Ok(())
}

#[test]
fn referrers_travel_in_layouts_and_what_is_under_cosigns_tag_does_not() -> Result<()> {
    let market = market(&[SLSA])?;
    let ci = Ci::trusted(&market)?;
    let layout = market.path("layout");
    let target = format!("oci:{}:{}", layout.display(), market.name());
    let bytes = ci.good(SLSA, &market.manifest())?.to_string();
    let layer = json!({
        "mediaType": ENVELOPE_TYPE, "digest": market.registry.put_blob(bytes.clone()), "size": bytes.len(),
    });
    under_tag(&market, std::slice::from_ref(&layer));
    market.run(&["copy", &market.name(), &target])?;
    market.refuses_source(&target, &[], &["lacks artifacts"])?;
    attach_layer(&market, ENVELOPE_TYPE, &layer);
    market.run(&["copy", &market.name(), &target])?;
    market.run(&["pull", &target])?;
    assert_eq!(remembered(&market)?, [SLSA]);
    Ok(())
}

#[test]
fn a_key_file_that_is_none_is_named() -> Result<()> {
    let market = market(&[SLSA])?;
    trust(&market, "ci", "no key")?;
    let output = market.attempt(&["pull", &market.name()])?;
    judge_output(&output, Exit::Failed, &["artifacts/ci.pub"])?;
    let certificate = Publisher::new("ci")?.certificate.pem();
    trust(&market, "ci", &certificate)?;
    let output = market.attempt(&["pull", &market.name()])?;
    judge_output(&output, Exit::Failed, &["artifacts/ci.pub", "certificate"])?;
    Ok(())
}
