//! What a seal costs: its bytes, judging it, a pull that uses it, and sealing again after a change.

use super::contender::{Contender, measure_all};
use super::figures::Figure;
use super::goal::Goal;
use super::setting::Setting;
use super::table::Table;
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, run as run_command, stdout};
use sealpack_tests::images::{self, Image};
use sealpack_tests::registry::Registry;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const SEALED: &str = "bench/sealed:1";
const UNSEALED: &str = "bench/unsealed:1";

/// Publishes an image of 12,000 files in five layers with a seal and without one, and measures.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    let (name, title) = ("seal".into(), "What a seal costs".into());
    if find("docker-registry").is_none() || find("skopeo").is_none() {
        let notes = vec!["docker-registry or skopeo is not installed: nothing was measured.".to_owned()];
        return Ok(vec![Table { name, title, notes, ..Table::default() }]);
    }
    let dir = setting.directory("seal")?;
    let publisher = Publisher::new(setting, dir.path())?;
    let image = setting.choose(images::five_layers as fn() -> Result<Image>, images::small)()?;
    for name in [SEALED, UNSEALED] {
        publisher.registry.push(&image, name)?;
    }
    let sealed = publisher.seal(SEALED)?;
    let judged = publisher.judge(&sealed)?;
    let size_bytes = publisher.published_bytes(SEALED, &sealed.manifest)?;

    const WITH: &str = "sealpack pull into packs, sealed";
    const WITHOUT: &str = "sealpack pull into packs, unsealed";
    let contenders = [
        Contender::simple(WITH, publisher.pull(SEALED, &["--require", "sealed"])),
        Contender::simple(WITHOUT, publisher.pull(UNSEALED, &[])),
    ];
    let runs = setting.runs(9);
    let rows = measure_all(setting, &contenders, runs, dir.path())?;
    let goals = vec![Goal::ratio(&rows, (WITH, WITHOUT), Figure::Wall, 1.1)?];

    let changed = setting.choose(images::five_layers_later as fn() -> Result<Image>, images::small)()?;
    publisher.registry.push(&changed, SEALED)?;
    let packs = publisher.seal(SEALED)?.packs_added;
    let notes = vec![
        format!(
            "The seal has {size_bytes} bytes: its manifest, {} of statement, {} of signatures.",
            judged.statement_bytes, judged.bundle_bytes
        ),
        format!("Reading and judging it takes {:.2} ms.", judged.micros as f64 / 1000.0),
        format!("Sealing again after a change of the topmost layer made {packs} of 5 packs."),
    ];
    let about = format!(
        "12,000 files in five layers, a key of type rsa3072, docker-registry on loopback; medians of {runs} rounds."
    );
    Ok(vec![Table { name, title, about, rows, goals, notes, ..Table::default() }])
}

/// Who seals, and where that is published.
struct Publisher {
    sealpack: PathBuf,
    judge: PathBuf,
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
    fn new(setting: &Setting, dir: &Path) -> Result<Self> {
        let publisher = Self {
            sealpack: setting.sealpack.clone(),
            judge: setting.tool("sealpack-judge")?,
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
        let [_, certificate, _] = self.files();
        let said = stdout(Command::new(&self.judge).arg(&sealed.file).arg(certificate))?;
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
