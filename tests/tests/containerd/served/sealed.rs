//! Sealed images where the rules want them, from a registry that asks who wants them.

use crate::can_run;
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Auth, Fault, Registry};
use sealpack_tests::command::{attempt, run};
use sealpack_tests::containerd::{Enclosure, Engine, Served, images};
use sealpack_tests::cosign::{Attached, Cosign};
use sealpack_tests::program::Sealpack;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

const USER: &str = "reader";
const PASSWORD: &str = "secret-of-the-test";

/// A registry with a sealed image, and whose certificate its seals are by.
struct Publisher {
    registry: Registry,
    certificate: String,
    image: String,
    // Its store, and the key and certificate beside that.
    sealpack: Sealpack,
}

impl Publisher {
    fn new() -> Result<Self> {
        let (registry, sealpack) = (Registry::start(), Sealpack::new()?);
        let image = format!("{}/shell:1", registry.host());
        let at = |name: &str| sealpack.store().with_file_name(name).display().to_string();
        let (key, certificate) = (at("seals.key"), at("seals.crt"));
        sealpack.run(["copy", &images::shell()?.source(), &image])?;
        sealpack.run(["key", "new", "--key", &key, "--cert", &certificate, "--type", "p256"])?;
        sealpack.run(["seal", &image, "--pull", "--push", "--key", &key, "--cert", &certificate])?;
        registry.set_auth(Auth::Basic { user: USER.to_owned(), password: PASSWORD.to_owned() });
        Ok(Self { registry, certificate, image, sealpack })
    }

    /// A snapshotter with these settings of registries that takes no image without a seal of the publisher's.
    fn serve(&self, enclosure: Enclosure, settings: &str) -> Result<Served> {
        fs::write(enclosure.data("registry.toml"), settings)?;
        let served = Served::start_in(enclosure, Engine::V2, images::PAUSE)?;
        run(&mut served.sealpack(&["trust", "add", "--cert", &self.certificate, "publisher"])?)?;
        let host = self.registry.host();
        served.set_rules(&format!("[[namespace]]\nprefix = \"{host}\"\nrequire = \"sealed\"\n"))?;
        Ok(served)
    }

    /// The arguments with which `ctr` pulls the image as who may.
    fn pull(&self, served: &Served) -> Result<std::process::Output> {
        let mut arguments = served.containerd().pull_arguments(&self.image);
        let login = format!("{USER}:{PASSWORD}");
        arguments.splice(2..2, ["--user", &login]);
        attempt(&mut served.containerd().ctr(arguments))
    }
}

/// A program of the kind that docker and podman ask, which notes for whom it was asked.
fn helper(enclosure: &Enclosure) -> Result<String> {
    let (program, asked) = (enclosure.data("opt/the-vault"), enclosure.data("asked"));
    fs::create_dir_all(enclosure.data("opt"))?;
    let script = format!(
        "#!/bin/sh\nread -r server\necho \"$1 $server\" >> {}\n\
         echo '{{\"ServerURL\":\"\",\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'\n",
        asked.display()
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program.display().to_string())
}

#[test]
fn a_seal_is_fetched_by_a_credential_helper_that_the_settings_name() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let publisher = Publisher::new()?;
    let host = publisher.registry.host();
    let enclosure = Enclosure::new()?;
    let (podman, docker) = (enclosure.data("auth.json"), enclosure.data("config.json"));
    // The first knows another registry, the second names a helper that is not in PATH.
    fs::write(&podman, r#"{"auths":{"other.example":{"auth":"YTpi"}}}"#)?;
    fs::write(&docker, format!(r#"{{"credHelpers":{{"{host}":"vault"}}}}"#))?;
    let settings = format!(
        "[registry]\nauth_files = [{podman:?}, {docker:?}]\n[registry.helpers]\nvault = {:?}\n",
        helper(&enclosure)?
    );
    let asked = enclosure.data("asked");
    let served = publisher.serve(enclosure, &settings)?;
    let pulled = publisher.pull(&served)?;
    ensure!(pulled.status.success(), "{}\n{}", String::from_utf8_lossy(&pulled.stderr), served.printed());
    assert_eq!(
        served.containerd().run(&publisher.image, "one", &["/bin/cat", "greeting"])?,
        "hello from a layer"
    );
    let asked = fs::read_to_string(asked).context("the helper was not asked")?;
    ensure!(asked.lines().all(|line| line == format!("get {host}")), "{asked}");
    // The image has its name by now, with the seal.
    let listed = run(&mut served.sealpack(&["--json", "images"])?)?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(listed.contains(&publisher.image) && listed.contains("\"sealed\": true"), "{listed}");
    ensure!(!served.printed().contains(PASSWORD), "a secret is in the log");
    Ok(())
}

#[test]
fn that_a_seal_cannot_be_fetched_for_want_of_credentials_is_said_with_their_files() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let publisher = Publisher::new()?;
    let enclosure = Enclosure::new()?;
    let missing = enclosure.data("nowhere.json");
    let served = publisher.serve(enclosure, &format!("[registry]\nauth_files = [{missing:?}]\n"))?;
    ensure!(served.printed().contains("nowhere.json"), "nothing is said at the start: {}", served.printed());
    let pulled = publisher.pull(&served)?;
    let said = String::from_utf8_lossy(&pulled.stderr).into_owned();
    ensure!(!pulled.status.success(), "it was pulled without its seal");
    ensure!(said.contains("shell:1") && said.contains("nowhere.json"), "{said}");
    Ok(())
}

/// Runs a container of the image, which must be refused with these words.
fn refuses(served: &Served, image: &str, name: &str, words: &[&str]) -> Result<()> {
    let run = served.containerd().run_arguments(&["--rm"], image, name, &["/bin/true"]);
    let ran = attempt(&mut served.containerd().ctr(run))?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(!ran.status.success(), "{name} ran");
    let missing = words.iter().find(|word| !said.contains(**word));
    ensure!(missing.is_none(), "{missing:?} is missing in {said}");
    Ok(())
}

/// The store remembers what was shown, and the registry is asked again where the rules want something since.
#[test]
fn no_container_is_made_of_an_image_that_lacks_artifacts_which_the_rules_want() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let (publisher, cosign) = (Publisher::new()?, Cosign::new()?);
    publisher.registry.set_auth(Auth::Open);
    let served = publisher.serve(Enclosure::new()?, "")?;
    let keys = served.containerd().enclosure().data("trust.d/artifacts");
    fs::create_dir(&keys)?;
    fs::copy(cosign.public_key(), keys.join("ci.pub"))?;
    let host = publisher.registry.host();
    let want = |types: &[&str]| {
        served.set_rules(&format!(
            "[[namespace]]\nprefix = \"{host}\"\nrequire = \"sealed\"\nrequire_artifacts = {types:?}\n"
        ))
    };
    let (slsa, spdx) = ("https://slsa.dev/provenance/v1", "https://spdx.dev/Document");
    served.containerd().pull(&publisher.image)?;
    want(&[slsa])?;
    refuses(&served, &publisher.image, "one", &["lacks artifacts", slsa])?;
    let shown = publisher.sealpack.json(["inspect", &publisher.image])?;
    let manifest = shown["manifest"].as_str().context("the manifest's digest")?;
    let by_digest = format!("{host}/shell@{manifest}");
    let provenance = r#"{"buildDefinition":{"buildType":"https://example.org/b"},"runDetails":{}}"#;
    cosign.attest(&by_digest, "slsaprovenance1", provenance, Attached::AsReferrer)?;
    let greeting = |name: &str| served.containerd().run(&publisher.image, name, &["/bin/cat", "greeting"]);
    assert_eq!(greeting("two")?, "hello from a layer");
    want(&[slsa, spdx])?;
    refuses(&served, &publisher.image, "three", &["lacks artifacts", spdx])?;
    cosign.attest(&by_digest, "spdxjson", r#"{"spdxVersion":"SPDX-2.3"}"#, Attached::UnderTag)?;
    assert_eq!(greeting("four")?, "hello from a layer");
    // From here on nobody is asked.
    publisher.registry.fault(Fault::status("/v2/", 500));
    assert_eq!(greeting("five")?, "hello from a layer");
    Ok(())
}
