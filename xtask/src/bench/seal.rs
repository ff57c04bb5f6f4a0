//! What a seal costs: its bytes, judging it, a pull that uses it, and sealing again after a change.

use super::contender::{Contender, measure_all};
use super::table::markdown;
use crate::packages::{self, Missing};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{run as run_command, stdout};
use sealpack_tests::images;
use sealpack_tests::program::{self, Profile};
use sealpack_tests::registry::Registry;
use sealpack_tests::{debian, paths};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SEALED: &str = "bench/sealed:1";
const UNSEALED: &str = "bench/unsealed:1";

/// Publishes an image of 12,000 files in five layers with a seal and without one, and measures; writes
/// target/bench/seal.md too.
pub(crate) fn run(runs: usize) -> Result<()> {
    packages::provide(&[debian::FOR_TESTS, debian::FOR_BENCH], Missing::InstallOrFail)?;
    let place = paths::target().join("bench");
    fs::create_dir_all(&place)?;
    let dir = tempfile::Builder::new().prefix("seal-").tempdir_in(&place)?;
    let publisher = Publisher::new(dir.path())?;
    let image = images::five_layers()?;
    for name in [SEALED, UNSEALED] {
        publisher.registry.push(&image, name)?;
    }
    let sealed = publisher.seal(SEALED)?;
    let judged = publisher.judge(&sealed)?;
    let size_bytes = publisher.published_bytes(SEALED, &sealed.manifest)?;

    let contenders = [
        Contender::simple("pull into packs, sealed", publisher.pull(SEALED, &["--require", "sealed"])),
        Contender::simple("pull into packs, unsealed", publisher.pull(UNSEALED, &[])),
    ];
    let rows = measure_all(&contenders, runs, dir.path())?;
    let [with, without] = rows.as_slice() else { unreachable!("there are two contenders") };
    let ratio = with.median_wall().as_secs_f64() / without.median_wall().as_secs_f64();

    publisher.registry.push(&images::five_layers_later()?, SEALED)?;
    let packs = publisher.seal(SEALED)?.packs_added;
    let report = format!(
        "12,000 files in five layers, a key of type rsa3072, docker-registry on loopback. {} cores; medians of \
         {runs} runs.\n\n{}\nThe sealed pull takes {ratio:.2} times the unsealed one.\n\
         The seal has {size_bytes} bytes: its manifest, {} of statement, {} of signatures.\n\
         Reading and judging it takes {:.2} ms.\n\
         Sealing again after a change of the topmost layer made {packs} of 5 packs.\n",
        std::thread::available_parallelism()?,
        markdown(&rows),
        judged.statement_bytes,
        judged.bundle_bytes,
        judged.micros as f64 / 1000.0,
    );
    let file = place.join("seal.md");
    fs::write(&file, &report)?;
    println!("{report}");
    eprintln!("# also in {}", file.display());
    Ok(())
}

/// Who seals, and where that is published.
struct Publisher {
    sealpack: PathBuf,
    registry: Registry,
    dir: PathBuf,
}

/// An image that is sealed.
struct Sealed {
    manifest: String,
    /// The seal in the store.
    file: PathBuf,
    /// How many packs the pull before it made.
    packs_added: u64,
}

/// What `sealpack-judge` says.
struct Judged {
    micros: u64,
    statement_bytes: u64,
    bundle_bytes: u64,
}

impl Publisher {
    fn new(dir: &Path) -> Result<Self> {
        let publisher = Self {
            sealpack: program::build(Profile::Release)?,
            registry: Registry::start(dir)?,
            dir: dir.to_owned(),
        };
        let [key, certificate, trust] = publisher.files();
        let mut new = Command::new(&publisher.sealpack);
        run_command(new.args(["key", "new", "--key"]).arg(&key).arg("--cert").arg(&certificate))?;
        let mut add = Command::new(&publisher.sealpack);
        add.arg("--trust").arg(trust).args(["trust", "add", "bench", "--cert"]).arg(certificate);
        run_command(&mut add)?;
        Ok(publisher)
    }

    fn files(&self) -> [PathBuf; 3] {
        ["key", "certificate", "trust"].map(|name| self.dir.join(name))
    }

    /// Pulls an image into the publisher's own store, seals it, and publishes the seal.
    fn seal(&self, name: &str) -> Result<Sealed> {
        let store = self.dir.join("store");
        let sealpack = || {
            let mut command = Command::new(&self.sealpack);
            command.arg("--store").arg(&store).args(["--json", "--quiet"]);
            command
        };
        let name = format!("{}/{name}", self.registry.host());
        let pulled = json(sealpack().args(["pull", "--objects", "packs", &name]))?;
        let [key, certificate, _] = self.files();
        let mut seal = sealpack();
        seal.args(["seal", &name, "--push", "--key"]).arg(key).arg("--cert").arg(certificate);
        let sealed = json(&mut seal)?;
        let manifest = sealed["manifest"].as_str().context("seal names no manifest")?.to_owned();
        let file = sealed["seal_path"].as_str().context("seal names no file")?.into();
        let packs_added = pulled["added"]["packs"].as_u64().context("pull counts no packs")?;
        Ok(Sealed { manifest, file, packs_added })
    }

    fn judge(&self, sealed: &Sealed) -> Result<Judged> {
        let judge = program::build_tool("sealpack-judge")?;
        let [_, certificate, _] = self.files();
        let said = stdout(Command::new(judge).arg(&sealed.file).arg(certificate))?;
        let numbers: Vec<u64> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [micros, statement_bytes, bundle_bytes] = numbers[..] else {
            anyhow::bail!("sealpack-judge said {said:?}")
        };
        Ok(Judged { micros, statement_bytes, bundle_bytes })
    }

    /// The bytes of an image's only referrer in the registry: of its manifest, and of all that this lists.
    fn published_bytes(&self, name: &str, manifest: &str) -> Result<u64> {
        let repository = name.split(':').next().unwrap_or_default();
        let inspect = |reference: String| {
            let mut skopeo = Command::new("skopeo");
            skopeo.args(["inspect", "--raw", "--tls-verify=false"]);
            json(skopeo.arg(format!("docker://{}/{repository}{reference}", self.registry.host())))
        };
        let referrers = inspect(format!(":{}", manifest.replace(':', "-")))?;
        let referrer = &referrers["manifests"][0];
        ensure!(referrers["manifests"][1].is_null(), "there is another referrer: {referrers}");
        let digest = referrer["digest"].as_str().context("the referrer has no digest")?;
        let document = inspect(format!("@{digest}"))?;
        let sizes = [&referrer["size"], &document["config"]["size"], &document["layers"][0]["size"]];
        sizes.iter().map(|size| size.as_u64().context("a size is missing")).sum()
    }

    /// A pull into an empty store.
    fn pull(&self, name: &str, options: &'static [&'static str]) -> impl Fn(&Path) -> Command + 'static {
        let (sealpack, name) = (self.sealpack.clone(), format!("{}/{name}", self.registry.host()));
        let [_, _, trust] = self.files();
        move |dir| {
            let mut command = Command::new(&sealpack);
            command.arg("--store").arg(dir.join("store")).arg("--trust").arg(&trust);
            command.args(["--quiet", "pull", "--objects", "packs"]).args(options).arg(&name);
            command
        }
    }
}

fn json(command: &mut Command) -> Result<Value> {
    let said = stdout(command)?;
    serde_json::from_str(&said).with_context(|| format!("this is no JSON: {said}"))
}
