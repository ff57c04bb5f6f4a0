//! JSON is a contract: what every verb prints with `--json` is as docs/json.schema.json has it, on both streams.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{is_root, stdout};
use sealpack_tests::host_image::{HostImage, boot_loader};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use sealpack_tests::program::{Sealpack, start, under_test};
use sealpack_tests::{images, paths, schema, skip};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

/// Verbs whose result is no document: a file's bytes, pages and scripts, the tools of another project, what a container
/// prints.
const WITHOUT: [&str; 4] = ["cat", "compat", "generate", "run"];

/// Verbs for which the kernel must have IPE or the host be a sealed one, and some that need root, which are tried all the
/// same.
const BY_THE_KERNEL: [&str; 6] =
    ["mount", "umount", "policy load", "policy activate", "host keep", "host refuse"];
/// The verbs whose documents are looked at where there is a host for them: `host/upgrade`.
const OF_HOSTS: [&str; 3] = ["host upgrade", "host switch", "host rollback"];

/// A store, a trust store and a place for files.
struct Desk {
    sealpack: Sealpack,
    dir: tempfile::TempDir,
    seen: RefCell<BTreeSet<String>>,
}

impl Desk {
    /// With two images of two layers in layouts, and nothing in the store.
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("json-").tempdir_in(paths::fixtures())?;
        let file = |path: &str, seed: u8| Entry::new(path, Member::File(vec![seed; 5000]));
        let tool = Entry::new("tool", Member::File(b"#!/bin/sh\n".to_vec())).mode(0o755);
        let base = archive(&[
            Entry::new("usr/", Member::Directory),
            file("usr/common", 1),
            tool,
            Entry::new("link", Member::Symlink("usr".to_owned())),
            Entry::new("null", Member::Character(1, 3)),
        ]);
        for (name, seed) in [("one", 2), ("other", 3)] {
            let layers = [(base.clone(), Packing::Gzip), (archive(&[file("changed", seed)]), Packing::Gzip)];
            images::at(&dir.path().join(name), &layers)?;
        }
        std::fs::create_dir(dir.path().join("trust.d"))?;
        Ok(Self { sealpack: Sealpack::new()?, dir, seen: RefCell::default() })
    }

    fn attempt(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.sealpack.command(["--json", "--trust", "trust.d"]);
        Ok(command.args(arguments).current_dir(self.dir.path()).output()?)
    }

    /// What the command prints, which must succeed: one document of its verb, and lines that the schema has.
    fn prints(&self, verb: &str, arguments: &[&str]) -> Result<Value> {
        let output = self.attempt(&[&verb.split(' ').collect::<Vec<_>>(), arguments].concat())?;
        let lines = schema::lines(&output.stderr).with_context(|| verb.to_owned())?;
        ensure!(output.status.success(), "{verb} {arguments:?}: {lines:?}");
        let document = schema::document(&output.stdout).with_context(|| verb.to_owned())?;
        ensure!(document["verb"] == verb, "{verb}: {document:#}");
        self.seen.borrow_mut().insert(verb.to_owned());
        Ok(document)
    }

    /// The error of a command that ends with `status`, the last line on standard error.
    fn fails(&self, status: i32, arguments: &[&str]) -> Result<Value> {
        let output = self.attempt(arguments)?;
        let lines = schema::lines(&output.stderr).with_context(|| format!("{arguments:?}"))?;
        ensure!(output.status.code() == Some(status), "{arguments:?}: {output:?}");
        let error = lines.last().map(|line| line["error"].clone()).unwrap_or_default();
        let kind = ["failed", "usage", "refused"][usize::try_from(status - 1)?];
        ensure!(error["kind"] == kind, "{arguments:?}: {lines:?}");
        Ok(error)
    }
}

#[test]
fn every_verb_prints_what_the_schema_says() -> Result<()> {
    let desk = Desk::new()?;
    let pulled = desk.prints("pull", &["oci:one:latest", "--name", "one"])?;
    ensure!(pulled["layers"][1]["number"] == 2 && pulled["manifest"].is_string(), "{pulled:#}");
    desk.prints("pull", &["oci:other:latest", "--name", "other"])?;
    desk.prints("pull", &["oci:other:latest", "--name", "other", "--objects", "packs"])?;
    let shown = desk.prints("inspect", &["one"])?;
    for field in ["name", "manifest", "config", "metadata_image", "kept_in", "pulled"] {
        ensure!(shown[field] == pulled[field], "{field}: {shown:#} {pulled:#}");
    }
    desk.prints("images", &[])?;
    desk.prints("ls", &["-R", "one"])?;
    desk.prints("diff", &["one", "other"])?;
    desk.prints("tag", &["one", "stable"])?;
    desk.prints("tag", &["other", "stable"])?;
    desk.prints("history", &["stable"])?;
    desk.prints("rollback", &["stable", "--to", shown["manifest"].as_str().context("a digest")?])?;
    desk.prints("convert", &["one", "--to", "packs"])?;
    let registry = sealpack_test_registry::Registry::start();
    let nothing = sealpack_test_registry::Image::new("linux/amd64", Vec::new());
    registry.put_image("app", "1", &nothing);
    desk.prints("tags", &[&format!("{}/app", registry.host())])?;
    desk.prints("copy", &["oci:one:latest", "oci:copied:latest"])?;
    let saved = desk.prints("save", &["one", "--from", "oci:one:latest", "-o", "one.tar"])?;
    ensure!(saved["archived"][0]["manifest"] == pulled["manifest"], "{saved:#}");
    desk.prints("load", &["one.tar"])?;
    desk.prints("doctor", &[])?;
    desk.prints("metrics", &[])?;
    let space = desk.prints("df", &[])?;
    ensure!(space["image_sizes"][0]["names"].is_array() && space["unneeded"].is_object(), "{space:#}");
    status_of_host(&desk)?;
    keys_and_trust(&desk)?;
    seals(&desk)?;
    policies(&desk)?;
    ukis(&desk)?;
    mounts(&desk)?;
    configures_containerd(&desk)?;
    desk.prints("rm", &["stable"])?;
    desk.prints("gc", &["--dry-run"])?;
    let checked = desk.prints("fsck", &[])?;
    ensure!(checked["checked"]["names"]["count"] == 2, "{checked:#}");

    let with_documents: BTreeSet<String> = verbs()?.into_iter().collect();
    let mut seen = desk.seen.into_inner();
    seen.extend(BY_THE_KERNEL.into_iter().chain(OF_HOSTS).map(str::to_owned));
    ensure!(seen == with_documents, "not tried: {:?}", with_documents.difference(&seen));
    Ok(())
}

fn keys_and_trust(desk: &Desk) -> Result<()> {
    let pair = ["--key", "a.key", "--cert", "a.crt"];
    desk.prints("key new", &[&pair[..], &["--type", "p256"]].concat())?;
    desk.prints("key certificate", &["--key", "a.key", "--cert", "b.crt", "--subject", "again"])?;
    let certificate = &desk.prints("key show", &["a.crt"])?["certificates"][0];
    desk.prints("key show", &["a.key"])?;
    ensure!(desk.prints("key check", &pair)?["certificate"] == *certificate);
    desk.prints("trust add", &["signer", "--cert", "a.crt", "--for", "packs,statements,policies"])?;
    desk.prints("trust add", &["again", "--cert", "b.crt"])?;
    desk.prints("trust remove", &["again"])?;
    desk.prints("trust revoke", &["--root-hash", &"ab".repeat(32), "--reason", "broken"])?;
    let key = ["--key", "c.key", "--cert", "c.crt", "--type", "p256"];
    desk.prints("key new", &key)?;
    desk.prints("trust revoke", &["--cert", "c.crt"])?;
    desk.prints("trust list", &[]).map(drop)
}

fn seals(desk: &Desk) -> Result<()> {
    let name = ["--name", "one", "--name", "registry.example.org/one:1"];
    desk.prints("seal prepare", &[&["one", "--out", "to-be-signed"], &name[..]].concat())?;
    for entry in std::fs::read_dir(desk.dir.path().join("to-be-signed"))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != "README") {
            let mut openssl = std::process::Command::new("openssl");
            openssl.args(["smime", "-sign", "-binary", "-noattr", "-nocerts", "-outform", "der"]);
            openssl.args(["-signer", "a.crt", "-inkey", "a.key", "-in"]).arg(&path);
            let signature = format!("{}.p7s", path.display());
            stdout(openssl.arg("-out").arg(signature).current_dir(desk.dir.path()))?;
        }
    }
    desk.prints("seal attach", &["one", "to-be-signed", "--cert", "a.crt"])?;
    let key = ["--key", "a.key", "--cert", "a.crt"];
    desk.prints("seal", &[&["one", "--replace"], &name[..], &key[..]].concat())?;
    desk.prints("seal push", &["one", "--to", "oci:one:latest"])?;
    let judged = desk.prints("verify", &["one"])?;
    ensure!(judged["judgements"].as_array().is_some_and(|all| !all.is_empty()), "{judged:#}");
    // What the seal of a layout is taken for, and not.
    desk.prints("pull", &["oci:one:latest", "--name", "registry.example.org/one:1"])?;
    desk.prints("rm", &["registry.example.org/one:1"]).map(drop)
}

/// What firmware starts, of an image that is made for it.
fn ukis(desk: &Desk) -> Result<()> {
    let mut image = HostImage::new();
    image.set("usr/lib/systemd/boot/efi/systemd-bootx64.efi", boot_loader("257.13-1~deb13u1"));
    let source = image.layout(&desk.dir.path().join("host"))?.source();
    let key = ["--key", "a.key", "--cert", "a.crt"];
    desk.prints("pull", &[&source, "--name", "host"])?;
    desk.prints("seal", &[&["host"][..], &key].concat())?;
    let build = ["host", "--policy", "a.p7b", "--certificate", "a.crt"];
    desk.prints("host build", &[&build[..], &["-o", "unsigned.efi", "--unsigned"]].concat())?;
    let signed = desk.prints("host build", &[&build[..], &key, &["-o", "signed.efi"]].concat())?;
    ensure!(signed["signers"].as_array().is_some_and(|signers| signers.len() == 1), "{signed:#}");
    let unsigned = std::fs::read(desk.dir.path().join("unsigned.efi"))?;
    let signature = std::fs::read(desk.dir.path().join("signed.efi"))?.split_off(unsigned.len());
    std::fs::write(desk.dir.path().join("signature"), signature)?;
    desk.prints("host attach", &["unsigned.efi", "signature"])?;
    // Nothing in that small image is fit for a host but its UKI.
    let output = desk.attempt(&["host", "check", "host"])?;
    ensure!(output.status.code() == Some(3), "{output:?}");
    schema::document(&output.stdout).context("host check")?;
    desk.seen.borrow_mut().insert("host check".to_owned());
    let disk = ["host", "--uki", "signed.efi", "--size", "1GiB", "-o", "disk.img"];
    desk.prints("host disk", &[&disk[..], &key].concat())?;
    desk.prints("host push", &["host", "signed.efi", "--to", "oci:host:latest"])?;
    desk.prints("rm", &["host"]).map(drop)
}

/// Wherever the tests run: what is no sealed host says so, and prints its document all the same.
fn status_of_host(desk: &Desk) -> Result<()> {
    let output = desk.attempt(&["host", "status"])?;
    let document = schema::document(&output.stdout)?;
    let lines = schema::lines(&output.stderr)?;
    desk.seen.borrow_mut().insert("host status".to_owned());
    if document["sealed"] == true {
        skip("this machine is a sealed host: what others say is not seen here");
        return Ok(());
    }
    ensure!(output.status.code() == Some(3) && document["host"].is_null(), "{output:?}");
    let said = lines.last().map(|line| line["error"]["message"].clone()).unwrap_or_default();
    ensure!(said.as_str().is_some_and(|text| text.starts_with("this host is not sealed: ")), "{lines:?}");
    ensure!(document["why_not"].is_string(), "{document:#}");
    let error = desk.fails(1, &["host", "keep"])?;
    ensure!(
        error["message"].as_str().is_some_and(|text| text.contains("this host is not sealed")),
        "{error}"
    );
    // People get that line, and no other.
    let mut command = desk.sealpack.command(["host", "status"]);
    let output = command.output()?;
    let text = String::from_utf8(output.stderr)?;
    ensure!(output.stdout.is_empty() && text.lines().count() == 1, "{text}");
    ensure!(text.starts_with("error: this host is not sealed: "), "{text}");
    Ok(())
}

fn policies(desk: &Desk) -> Result<()> {
    desk.prints("policy new", &["final"])?;
    desk.prints("policy new", &["host"])?;
    desk.prints("policy new", &["final", "-o", "a.policy"])?;
    desk.prints("policy show", &["a.policy"])?;
    let key = ["--key", "a.key", "--cert", "a.crt"];
    desk.prints("policy sign", &[&["a.policy", "-o", "a.p7b"], &key[..]].concat())?;
    desk.prints("policy show", &["a.p7b"])?;
    desk.prints("policy check", &["a.policy", "one", "--assume", "sealed", "--all"])?;
    desk.prints("report", &["one", "--policy", "a.policy", "--host", "-o", "report.html"])?;
    let denied = desk.attempt(&["policy", "check", "a.policy", "one", "--assume", "files"])?;
    ensure!(denied.status.code() == Some(3), "{denied:?}");
    schema::document(&denied.stdout)?;
    schema::lines(&denied.stderr)?;
    let log = "audit: type=1420 audit(1653364370.067:61): ipe_op=EXECUTE ipe_hook=MMAP enforcing=1 pid=2241 \
               comm=\"ld-linux.so\" path=\"/deny/lib/libc.so.6\" dev=\"sda2\" ino=14549020 \
               rule=\"DEFAULT action=DENY\"\n";
    std::fs::write(desk.dir.path().join("log"), log)?;
    let explained = desk.prints("policy explain", &["log"])?;
    ensure!(explained["records"][0]["type"] == "access", "{explained:#}");
    for verb in ["load", "activate"] {
        if desk.attempt(&["policy", verb, "nosuch"])?.status.success() {
            anyhow::bail!("the kernel has a policy that nobody has made");
        }
        desk.fails(1, &["policy", verb, "nosuch"])?;
    }
    Ok(())
}

fn configures_containerd(desk: &Desk) -> Result<()> {
    let program = desk.dir.path().join("containerd");
    std::fs::write(&program, "#!/bin/sh\necho containerd github.com/containerd/containerd 1.7.24 x\n")?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let program = program.to_string_lossy();
    let shown = desk.prints("containerd configure", &["--program", &program])?;
    ensure!(shown["containerd"] == "1.7" && shown["file"].is_null(), "{shown:#}");
    let written = ["--program", &program, "--write", "--file", "config.toml"];
    ensure!(desk.prints("containerd configure", &written)?["changed"] == true);
    ensure!(desk.prints("containerd configure", &written)?["changed"] == false);
    let file = std::fs::read_to_string(desk.dir.path().join("config.toml"))?;
    ensure!(shown["configuration"] == file, "{file}");
    std::fs::write(desk.dir.path().join("config.toml"), "version = 1\n")?;
    let old = desk.fails(1, &[&["containerd", "configure"], &written[..]].concat())?;
    ensure!(
        old["message"].as_str().is_some_and(|text| text.contains("containerd config migrate")),
        "{old:#}"
    );
    Ok(())
}

fn mounts(desk: &Desk) -> Result<()> {
    desk.prints("mount", &["one", "mnt", "--plan", "--at-most", "verified"])?;
    // What the image does not have is no program to start, and what is not there is no profile.
    let written =
        desk.prints("bundle", &["one", "unmounted", "--no-mount", "--seccomp", "unconfined", "--", "/tool"])?;
    ensure!(written["mount"].is_null() && written["config_json"] == "unmounted/config.json", "{written:#}");
    if !is_root() {
        // Whatever others have mounted.
        desk.prints("mounts", &[])?;
        skip("mounting needs the superuser");
        return Ok(());
    }
    std::fs::create_dir(desk.dir.path().join("mnt"))?;
    let mounted = desk.prints("mount", &["one", "mnt", "--at-most", "verified"])?;
    let seen = desk.prints("verify", &["one"]);
    let listed = desk.prints("mounts", &[])?;
    let is_it = |mount: &&Value| mount["mount_id"] == mounted["mount_id"];
    let listed =
        listed["image_mounts"].as_array().and_then(|all| all.iter().find(is_it)).context("it is listed")?;
    for field in ["target", "metadata_image", "level", "read_write"] {
        let same = match field {
            "metadata_image" => listed[field]["fsverity_digest"] == mounted[field]["fsverity_digest"],
            _ => listed[field] == mounted[field],
        };
        ensure!(same, "{field}: {listed:#} {mounted:#}");
    }
    let seal = &desk.prints("inspect", &["one"])?["seal"];
    ensure!(seal["epoch"].is_u64() && listed["seal"] == *seal, "{listed:#} {seal:#}");
    ["upper", "work"].iter().try_for_each(|name| std::fs::create_dir(desk.dir.path().join(name)))?;
    let upper = ["--upper", "upper", "--work", "work", "--seccomp", "unconfined", "--", "/tool"];
    let written = desk.prints("bundle", &[&["one", "bundle"], &upper[..]].concat())?;
    ensure!(written["mount"]["read_write"] == true, "{written:#}");
    desk.prints("umount", &["bundle/rootfs"])?;
    let unmounted = desk.prints("umount", &["mnt"])?;
    ensure!(mounted["metadata_image"] == unmounted["metadata_image"], "{mounted:#} {unmounted:#}");
    seen.map(drop)
}

#[test]
fn every_error_is_a_line_of_json_also_where_the_command_line_is_wrong() -> Result<()> {
    let desk = Desk::new()?;
    for wrong in [
        &["frobnicate"][..],
        &[],
        &["pull"],
        &["pull", "oci:one:latest", "--platform", "nonsense"],
        &["ls", "--nosuch", "one"],
        &["policy"],
        &["mount", "one", "mnt", "--upper", "up"],
        &["fsck", "--threads", "0"],
        &["tag", "one", "A B"],
    ] {
        let error = desk.fails(2, wrong)?;
        let message = error["message"].as_str().unwrap_or_default();
        ensure!(!message.is_empty() && !message.starts_with("error:"), "{wrong:?}: {error}");
    }
    let error = desk.fails(2, &["pull", "--platfrom", "linux/amd64", "x"])?;
    ensure!(error["hint"].as_str().is_some_and(|hint| hint.contains("--platform")), "{error}");
    desk.fails(1, &["inspect", "nosuch"])?;
    desk.prints("pull", &["oci:one:latest", "--name", "one"])?;
    let error = desk.fails(1, &["inspect", "nosuch"])?;
    ensure!(error["hint"].is_string(), "{error}");
    desk.fails(3, &["pull", "--require", "sealed", "oci:one:latest", "--name", "two"])?;
    Ok(())
}

#[test]
fn what_is_wrong_with_a_store_has_a_word_for_its_kind() -> Result<()> {
    let desk = Desk::new()?;
    desk.prints("pull", &["oci:one:latest", "--name", "one"])?;
    std::fs::write(desk.sealpack.store().join("refs/broken.json"), "{}")?;
    let listed = desk.attempt(&["images"])?;
    let listed = schema::document(&listed.stdout)?;
    ensure!(listed["problems"][0]["kind"] == "damaged_name", "{listed:#}");
    let output = desk.attempt(&["fsck", "--repair"])?;
    ensure!(output.status.code() == Some(3), "{output:?}");
    let report = schema::document(&output.stdout)?;
    let problem = &report["problems"][0];
    ensure!(problem["kind"] == "damaged_name" && problem["quarantined"].is_string(), "{report:#}");
    schema::lines(&output.stderr).map(drop)
}

#[test]
fn every_verb_of_the_command_line_is_in_the_schema_and_none_besides() -> Result<()> {
    let documents = schema::definitions().keys().filter(|name| name.ends_with("_document"));
    let in_schema: BTreeSet<&str> = documents.map(String::as_str).collect();
    let verbs = verbs()?;
    let names: Vec<String> = verbs.iter().map(|verb| schema::name_of(verb)).collect();
    ensure!(in_schema == names.iter().map(String::as_str).collect(), "{in_schema:?} {verbs:?}");
    Ok(())
}

#[test]
fn a_field_has_one_type_wherever_it_is() {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, kind) in schema::fields() {
        types.entry(name).or_default().push(kind);
    }
    types.retain(|_, kinds| kinds.len() > 1);
    assert!(types.is_empty(), "{types:#?}");
    let bytes = schema::fields().into_iter().filter(|(name, _)| name.ends_with("bytes"));
    bytes.for_each(|(name, kind)| assert_eq!(kind, "size", "{name}"));
}

/// All verbs with a document, as the help lists them.
fn verbs() -> Result<Vec<String>> {
    let mut verbs = Vec::new();
    for verb in below(&[])? {
        let more = if WITHOUT.contains(&verb.as_str()) { continue } else { below(&[&verb])? };
        // `seal` is one itself.
        if more.is_empty() || verb == "seal" {
            verbs.push(verb.clone());
        }
        verbs.extend(more.iter().map(|word| format!("{verb} {word}")));
    }
    Ok(verbs)
}

/// The verbs below these, as the help lists them.
fn below(verbs: &[&str]) -> Result<Vec<String>> {
    let help = stdout(start(under_test()?).args(verbs).arg("--help"))?;
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Ok(Vec::new()) };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let words = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let words = words.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help");
    Ok(words.map(str::to_owned).collect())
}
