//! A registry with an image, somebody who seals it, and somebody who pulls it.

use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Image, ImageLayer, Registry, digest_of};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::architecture;
use sealpack_tests::paths;
use sealpack_tests::program::Sealpack;
use sealpack_tests::refusal::{Exit, judge_output};
use sealpack_trust::key::{Certificate, FileKey, KeyKind, Validity, generate};
use sealpack_trust::seal::{
    ARTIFACT_TYPE, SIGNATURES_MEDIA_TYPE, STATEMENT_MEDIA_TYPE, Seal, SealingKeys, SigningPair, Statement,
    StatementContents,
};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, SystemTime};

/// The repository and tag of the image.
pub(crate) const REPOSITORY: &str = "some/app";
pub(crate) const TAG: &str = "v1";

const DAY: Duration = Duration::from_hours(24);
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A key with its certificate.
pub(crate) struct Publisher {
    key: FileKey,
    key_pem: String,
    pub(crate) certificate: Certificate,
}

impl Publisher {
    pub(crate) fn new(name: &str) -> Result<Self> {
        Self::valid_from(name, SystemTime::now() - DAY)
    }

    /// One whose certificate is good for two days from then on.
    pub(crate) fn valid_from(name: &str, start: SystemTime) -> Result<Self> {
        let validity = Validity::starting(start, 2 * DAY)?;
        let made = generate(KeyKind::P256, &name.parse()?, &validity)?;
        Ok(Self {
            key: FileKey::parse(made.key_pem.as_bytes())?,
            key_pem: made.key_pem.to_string(),
            certificate: Certificate::parse(made.certificate_pem.as_bytes())?,
        })
    }

    pub(crate) fn expired(name: &str) -> Result<Self> {
        Self::valid_from(name, SystemTime::now() - 9 * DAY)
    }

    pub(crate) fn pair(&self) -> SigningPair<'_> {
        SigningPair { signer: &self.key, certificate: &self.certificate }
    }

    /// Signs everything.
    pub(crate) fn seal(&self, contents: StatementContents) -> Result<Seal> {
        let keys = SealingKeys { packs: self.pair(), statement: self.pair() };
        Ok(Seal::sign(Statement::new(contents)?, &keys)?)
    }
}

/// All of them. The store of who pulls has another image, in packs, so that nothing new has to be enabled in it.
pub(crate) struct Market {
    pub(crate) node: Sealpack,
    pub(crate) registry: Registry,
    pub(crate) image: Image,
    pub(crate) publisher: Publisher,
    /// What a good seal of the image says.
    contents: StatementContents,
    dir: tempfile::TempDir,
}

impl Market {
    /// Where the publisher's seals count.
    pub(crate) fn new() -> Result<Self> {
        let market = Self::with_image(image(1), Registry::start())?;
        market.trust("publisher", &market.publisher)?;
        Ok(market)
    }

    pub(crate) fn with_image(image: Image, registry: Registry) -> Result<Self> {
        registry.put_image(REPOSITORY, TAG, &image);
        let publisher = Publisher::new("publisher")?;
        let dir = tempfile::Builder::new().prefix("market-").tempdir_in(paths::fixtures())?;
        let name = format!("{}/{REPOSITORY}:{TAG}", registry.host());
        let platform = format!("linux/{}", architecture());
        let contents = sealed_contents(&publisher, &name, dir.path().join("keys"), &platform)?;
        let node = Sealpack::new()?;
        fs::create_dir(dir.path().join("trust"))?;
        let other = super::market::image(9);
        registry.put_image("other/app", TAG, &other);
        let market = Self { node, registry, image, publisher, contents, dir };
        let source = format!("{}/other/app:{TAG}", market.registry.host());
        market.node.run(["pull", "--objects", "packs", &source, "--name", "other"])?;
        Ok(market)
    }

    /// The image's name.
    pub(crate) fn name(&self) -> String {
        format!("{}/{REPOSITORY}:{TAG}", self.registry.host())
    }

    /// A statement about the image, of that epoch.
    pub(crate) fn contents(&self, epoch: u64) -> StatementContents {
        StatementContents { epoch, ..self.contents.clone() }
    }

    /// A good seal of that epoch.
    pub(crate) fn seal(&self, epoch: u64) -> Result<Seal> {
        self.publisher.seal(self.contents(epoch))
    }

    pub(crate) fn trust_dir(&self) -> PathBuf {
        self.dir.path().join("trust")
    }

    /// A path that nobody else uses.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Has the signatures of `publisher` count, under that name.
    pub(crate) fn trust(&self, name: &str, publisher: &Publisher) -> Result<()> {
        for of in ["packs", "statements"] {
            self.trust_for(of, name, publisher)?;
        }
        Ok(())
    }

    pub(crate) fn trust_for(&self, of: &str, name: &str, publisher: &Publisher) -> Result<()> {
        fs::create_dir_all(self.trust_dir().join(of))?;
        fs::write(self.trust_dir().join(of).join(format!("{name}.crt")), publisher.certificate.pem())?;
        Ok(())
    }

    /// Writes `rules.toml`.
    pub(crate) fn rules(&self, rules: &str) -> Result<()> {
        Ok(fs::write(self.trust_dir().join("rules.toml"), rules)?)
    }

    /// Demands seals in the whole registry.
    pub(crate) fn demand_seals(&self, more: &str) -> Result<()> {
        let host = self.registry.host();
        self.rules(&format!("[[namespace]]\nprefix = \"{host}\"\nrequire = \"sealed\"\n{more}\n"))
    }

    /// Puts a seal of the image into the registry, and answers with its digest.
    pub(crate) fn publish(&self, seal: &Seal) -> String {
        self.publish_parts(seal.statement().bytes(), &seal.bundle())
    }

    /// Puts a referrer with these blobs into the registry, whatever they are.
    pub(crate) fn publish_parts(&self, statement: &[u8], bundle: &[u8]) -> String {
        put_seal(&self.registry, REPOSITORY, &self.image, statement, bundle)
    }

    /// Runs a verb with the trust store.
    pub(crate) fn attempt(&self, arguments: &[&str]) -> Result<Output> {
        let trust = self.trust_dir();
        let trust = trust.to_str().context("an odd path")?;
        self.node.attempt([&["--trust", trust], arguments].concat())
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.attempt(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
        Ok(output)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.run(&[&["--json"], arguments].concat())?;
        sealpack_tests::schema::document(&output.stdout)
    }

    /// A pull of the image must be refused with these words, and leave the store as it was.
    pub(crate) fn refuses(&self, more: &[&str], words: &[&str]) -> Result<()> {
        self.refuses_source(&self.name(), more, words)
    }

    pub(crate) fn refuses_source(&self, source: &str, more: &[&str], words: &[&str]) -> Result<()> {
        let before = self.node.state()?;
        let output = self.attempt(&[&["pull", source], more].concat())?;
        judge_output(&output, Exit::Refused, words)?;
        self.node.is_as(&before)
    }

    /// The only seal in the store.
    pub(crate) fn stored_seal(&self) -> Result<Seal> {
        let seals: Vec<_> = fs::read_dir(self.node.store().join("seals"))?.collect::<Result<_, _>>()?;
        ensure!(seals.len() == 1, "there is not one seal: {seals:?}");
        Ok(Seal::parse(&fs::read(seals[0].path())?)?)
    }

    /// The digest of the image's manifest.
    pub(crate) fn manifest(&self) -> String {
        digest_of(&self.image.manifest)
    }

    /// Another image under the same tag, with a market of its own statement.
    pub(crate) fn contents_of(&self, image: &Image) -> Result<StatementContents> {
        self.contents_of_platform(image, &format!("linux/{}", architecture()))
    }

    /// The same for an image of a platform that may not be this machine's.
    pub(crate) fn contents_of_platform(&self, image: &Image, platform: &str) -> Result<StatementContents> {
        let keys = self.dir.path().join(format!("keys-{}", &digest_of(&image.manifest)[7..15]));
        let registry = Registry::start();
        registry.put_image(REPOSITORY, TAG, image);
        let name = format!("{}/{REPOSITORY}:{TAG}", registry.host());
        let contents = sealed_contents(&self.publisher, &name, keys, platform)?;
        Ok(StatementContents { names: self.contents.names.clone(), ..contents })
    }
}

/// What a good seal of an image says, as a store that has the image finds it.
fn sealed_contents(
    publisher: &Publisher,
    name: &str,
    keys: PathBuf,
    platform: &str,
) -> Result<StatementContents> {
    fs::create_dir(&keys)?;
    let [key, certificate] = ["key", "crt"].map(|name| keys.join(name).display().to_string());
    fs::write(&key, &publisher.key_pem)?;
    fs::write(&certificate, publisher.certificate.pem())?;
    let workshop = Sealpack::new()?;
    workshop.run(["pull", "--objects", "packs", "--platform", platform, name])?;
    let made = workshop.json(["seal", name, "--key", &key, "--cert", &certificate])?;
    let path = made["seal_path"].as_str().context("no path of the seal")?;
    Ok(Seal::parse(&fs::read(path)?)?.statement().contents().clone())
}

/// Puts a referrer of `image` with these blobs into a repository.
pub(crate) fn put_seal(
    registry: &Registry,
    repository: &str,
    image: &Image,
    statement: &[u8],
    bundle: &[u8],
) -> String {
    let blob = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": registry.put_blob(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": ARTIFACT_TYPE,
        "config": blob(STATEMENT_MEDIA_TYPE, statement),
        "layers": [blob(SIGNATURES_MEDIA_TYPE, bundle)],
        "subject": {
            "mediaType": image.manifest_type,
            "digest": digest_of(&image.manifest),
            "size": image.manifest.len(),
        },
    });
    let bytes = manifest.to_string();
    let tag = format!("seal-{}", &digest_of(bytes.as_bytes())[7..15]);
    registry.put_manifest(repository, &tag, MANIFEST_TYPE, bytes)
}

/// An image with two layers that no other `number` has.
pub(crate) fn image(number: u8) -> Image {
    image_for(&format!("linux/{}", architecture()), number)
}

pub(crate) fn image_for(platform: &str, number: u8) -> Image {
    let file = |path: &str, seed: u8| Entry::new(path, Member::File([[seed; 3000], [number; 3000]].concat()));
    let layer = |entries: &[Entry]| ImageLayer::gzip(&archive(entries));
    let base = layer(&[Entry::new("usr/", Member::Directory), file("usr/base", 1)]);
    Image::new(platform, vec![base, layer(&[file("top", 2)])])
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A JSON text with a change.
pub(crate) fn changed(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Result<Vec<u8>> {
    let mut value = serde_json::from_slice(bytes)?;
    change(&mut value);
    Ok(value.to_string().into_bytes())
}
