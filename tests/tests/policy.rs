//! `sealpack policy`: policies written, shown, signed, tried on images, and the kernel's records explained.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, run};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use sealpack_tests::program::Sealpack;
use sealpack_tests::{images, paths, skip};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A directory for a test's files, and a program with a store of its own.
struct Place {
    dir: tempfile::TempDir,
    sealpack: Sealpack,
}

impl Place {
    fn new() -> Result<Self> {
        let sealpack = Sealpack::new()?;
        Ok(Self { dir: tempfile::tempdir_in(paths::fixtures())?, sealpack })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<String> {
        fs::write(self.path(name), text)?;
        self.text(name)
    }

    fn text(&self, name: &str) -> Result<String> {
        Ok(self.path(name).to_str().context("an odd path")?.to_owned())
    }

    /// The text of a new policy.
    fn new_policy(&self, arguments: &[&str]) -> Result<String> {
        let output = self.sealpack.run([&["policy", "new"], arguments].concat())?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What `check --json` says, and its exit status.
    fn check(&self, arguments: &[&str]) -> Result<(Value, Option<i32>)> {
        let output = self.sealpack.attempt([&["--json", "policy", "check"], arguments].concat())?;
        let value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok((value, output.status.code()))
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What was predicted for the file at `path`.
fn decision<'v>(checked: &'v Value, path: &str) -> Result<&'v Value> {
    let files = checked["decisions"].as_array().context("no files")?;
    files.iter().find(|file| file["path"] == path).with_context(|| format!("{path} is not in {checked:#}"))
}

/// A program, a library without executable bit, scripts above and below the inline limit, and text.
fn pull_image(place: &Place) -> Result<()> {
    let program = fs::read("/bin/true").context("this machine has no /bin/true")?;
    let library: Vec<u8> = [&program[..], b"another file"].concat();
    let file = |path: &str, mode, content: &[u8]| Entry::new(path, Member::File(content.to_vec())).mode(mode);
    let long_script = [b"#!/bin/tool\n", &[b'#'; 100][..]].concat();
    let layer = archive(&[
        Entry::new("bin/", Member::Directory),
        file("bin/tool", 0o755, &program),
        file("bin/twin", 0o755, &program),
        file("bin/script", 0o755, &long_script),
        file("bin/short", 0o755, b"#!/bin/tool\n"),
        file("bin/orphan", 0o755, &[b"#!/bin/nothing\n", &[b'#'; 99][..]].concat()),
        Entry::new("lib/", Member::Directory),
        file("lib/libx.so.1", 0o644, &library),
        file("lib/notes", 0o644, &[b'n'; 200]),
    ]);
    let image = images::at(&place.path("image"), &[(layer, Packing::Gzip)])?;
    place.sealpack.run(["pull", &image.source(), "--name", "one"])?;
    Ok(())
}

#[test]
fn a_policy_and_a_log_that_are_too_large_are_refused_and_not_cut() -> Result<()> {
    let place = Place::new()?;
    let policy = place.write("policy.pol", place.new_policy(&["strict"])?)?;
    fs::OpenOptions::new().append(true).open(&policy)?.set_len(16 * 1024 * 1024 + 1)?;
    let shown = place.sealpack.attempt(["policy", "show", &policy])?;
    ensure!(!shown.status.success() && said(&shown).contains("more than 16777216 bytes"), "{}", said(&shown));
    let log = place.write("audit.log", "")?;
    fs::OpenOptions::new().write(true).open(&log)?.set_len(256 * 1024 * 1024 + 1)?;
    let explained = place.sealpack.attempt(["policy", "explain", &log])?;
    let text = said(&explained);
    ensure!(
        !explained.status.success() && text.contains(&log) && text.contains("more than 256 MiB"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_new_policy_is_the_documented_text_and_shown_as_what_it_means() -> Result<()> {
    let place = Place::new()?;
    let root = "ab".repeat(32);
    let text = place.new_policy(&["strict", "--name", "site", "--version", "1.2.3", "--revoke", &root])?;
    assert!(text.starts_with("policy_name=site policy_version=1.2.3\n"), "{text}");
    let file = place.write("site.policy", &text)?;
    let shown = String::from_utf8(place.sealpack.run(["policy", "show", &file])?.stdout)?;
    let denial = shown.find(&format!("op=EXECUTE dmverity_roothash=sha256:{root} action=DENY"));
    let allowance = shown.find("op=EXECUTE dmverity_signature=TRUE action=ALLOW");
    ensure!(denial.is_some() && denial < allowance, "{shown}");
    let value = place.sealpack.json(["policy", "show", &file])?;
    assert_eq!(value["denies_execute_by_default"], true);
    assert_eq!(value["defaults"]["KMODULE"], "DENY");
    assert_eq!(value["rules"].as_array().map(Vec::len), Some(10));
    Ok(())
}

#[test]
fn a_file_is_not_replaced_unasked() -> Result<()> {
    let place = Place::new()?;
    let file = place.write("there", "mine")?;
    let output = place.sealpack.attempt(["policy", "new", "final", "-o", &file])?;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(fs::read_to_string(&file)?, "mine");
    place.sealpack.run(["policy", "new", "final", "-o", &file, "--force"])?;
    ensure!(fs::read_to_string(&file)?.contains("dmverity_signature=TRUE"));
    Ok(())
}

#[test]
fn what_the_kernel_would_refuse_is_refused_with_line_and_column() -> Result<()> {
    let place = Place::new()?;
    let text = "# of the hall\npolicy_name=a policy_version=0.0.1\nDEFAULT action=ALLOW\nop=EXECUTE dmverity=TRUE action=DENY\n";
    let file = place.write("bad.policy", text)?;
    for verb in ["show", "load"] {
        let output = place.sealpack.attempt(["policy", verb, &file])?;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        ensure!(said.contains("line 4, column 12: `dmverity=TRUE` is no property"), "{said}");
        ensure!(said.contains("refuse this policy with EBADMSG"), "{said}");
    }
    Ok(())
}

#[test]
fn a_signed_policy_is_what_the_kernel_takes_and_shows_its_text() -> Result<()> {
    let place = Place::new()?;
    let file = place.write("a.policy", place.new_policy(&["final"])?)?;
    let [key, cert, signed] = ["key", "cert", "a.p7b"].map(|name| place.text(name));
    let (key, cert, signed) = (key?, cert?, signed?);
    place.sealpack.run(["key", "new", "--key", &key, "--cert", &cert, "--type", "p256"])?;
    let sign = ["policy", "sign", &file, "--key", &key, "--cert", &cert, "-o", &signed];
    place.sealpack.run(sign)?;
    let shown = String::from_utf8(place.sealpack.run(["policy", "show", &signed])?.stdout)?;
    ensure!(shown.starts_with("# signed by ") && shown.contains("dmverity_signature=TRUE"), "{shown}");
    match find("openssl") {
        None => skip("openssl is not installed"),
        Some(openssl) => {
            let mut verify = Command::new(openssl);
            verify.args(["cms", "-verify", "-binary", "-inform", "der", "-in", &signed, "-certfile", &cert]);
            let content = run(verify.args(["-nointern", "-noverify"]))?.stdout;
            assert_eq!(content, fs::read(&file)?);
        }
    }
    let again =
        place.sealpack.attempt(["policy", "sign", &signed, "--key", &key, "--cert", &cert, "-o", "x"])?;
    ensure!(again.status.code() == Some(2) && said(&again).contains("signed already"), "{}", said(&again));
    let unsigned = place.sealpack.attempt(["policy", "load", &file])?;
    ensure!(
        unsigned.status.code() == Some(2) && said(&unsigned).contains("policy sign"),
        "{}",
        said(&unsigned)
    );
    Ok(())
}

#[test]
fn a_policy_beyond_the_kernels_limit_is_not_signed_unless_its_comments_make_it_so() -> Result<()> {
    let place = Place::new()?;
    let text = place.new_policy(&["final"])?;
    let [key, cert, signed] = ["key", "cert", "long.p7b"].map(|name| place.text(name));
    let (key, cert, signed) = (key?, cert?, signed?);
    place.sealpack.run(["key", "new", "--key", &key, "--cert", &cert, "--type", "p256"])?;
    let comments = format!("{text}{}", "# a comment of some length\n".repeat(2500));
    let rule = format!("op=EXECUTE dmverity_roothash=sha256:{} action=DENY\n", "cd".repeat(32));
    for (name, text, hint) in
        [("comments", comments, "--without-comments"), ("rules", text + &rule.repeat(600), "fewer rules")]
    {
        let file = place.write(name, text)?;
        let sign = ["policy", "sign", &file, "--key", &key, "--cert", &cert, "-o", &signed];
        let output = place.sealpack.attempt(sign)?;
        ensure!(output.status.code() == Some(1) && said(&output).contains(hint), "{}", said(&output));
        ensure!(!place.path("long.p7b").exists(), "{name}: something was written");
        let without = place.sealpack.attempt([&sign[..], &["--without-comments", "--force"]].concat())?;
        assert_eq!(without.status.success(), name == "comments", "{}", said(&without));
        ensure!(place.path("long.p7b").exists() == (name == "comments"));
        _ = fs::remove_file(&signed);
    }
    Ok(())
}

#[test]
fn check_predicts_each_file_with_rule_and_reason() -> Result<()> {
    let place = Place::new()?;
    pull_image(&place)?;
    let policy = place.write("final", place.new_policy(&["final"])?)?;
    let (checked, status) = place.check(&[&policy, "one", "--assume", "packs"])?;
    assert_eq!(status, Some(3));
    let paths: Vec<&str> = checked["decisions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|file| file["path"].as_str())
        .collect();
    let all = ["/bin/orphan", "/bin/script", "/bin/short", "/bin/tool", "/bin/twin", "/lib/libx.so.1"];
    assert_eq!(paths, all);
    assert_eq!(checked["denied"], 6);
    let tool = decision(&checked, "/bin/tool")?;
    assert_eq!(
        (&tool["op"], &tool["decision"], &tool["place"]),
        (&"EXECUTE".into(), &"deny".into(), &"pack".into())
    );
    assert_eq!(tool["rule"], "DEFAULT op=EXECUTE action=DENY");
    assert_eq!(tool["reason"], "no rule matches: it is on a dm-verity device without an accepted signature");

    let (checked, status) = place.check(&[&policy, "one", "--assume", "sealed"])?;
    assert_eq!((status, &checked["denied"]), (Some(0), &0.into()));
    let short = decision(&checked, "/bin/short")?;
    assert_eq!((&short["place"], &short["decision"]), (&"metadata-image".into(), &"allow".into()));
    assert_eq!(short["rule"], "op=EXECUTE dmverity_signature=TRUE action=ALLOW");
    assert_eq!(short["interpreter"]["path"], "/bin/tool");
    assert_eq!(short["interpreter"]["decision"], "allow");
    assert_eq!(decision(&checked, "/bin/orphan")?["interpreter"]["decision"], "missing");
    assert_eq!(decision(&checked, "/lib/libx.so.1")?["executable_bit"], false);
    let notes: Vec<&str> =
        checked["notes"].as_array().into_iter().flatten().filter_map(|note| note["kind"].as_str()).collect();
    ensure!(notes.contains(&"missing-interpreter"), "{notes:?}");
    Ok(())
}

#[test]
fn digest_rules_allow_the_objects_of_an_image_and_nothing_inside_its_metadata_image() -> Result<()> {
    let place = Place::new()?;
    pull_image(&place)?;
    let text =
        place.new_policy(&["final", "--no-signed-devices", "--digests", "one", "--except", "/bin/script"])?;
    // Twins are one digest.
    assert_eq!(text.matches("fsverity_digest=sha256:").count(), 3, "{text}");
    ensure!(text.contains("# /bin/tool") && !text.contains("dmverity"), "{text}");
    let policy = place.write("digests", text)?;
    let (checked, status) = place.check(&[&policy, "one", "--assume", "files"])?;
    assert_eq!(status, Some(3));
    let allowed = ["/bin/orphan", "/bin/tool", "/bin/twin", "/lib/libx.so.1"];
    for file in checked["decisions"].as_array().into_iter().flatten() {
        let path = file["path"].as_str().context("no path")?;
        let expected = if allowed.contains(&path) { "allow" } else { "deny" };
        assert_eq!(file["decision"], expected, "{file:#}");
    }
    assert_eq!(decision(&checked, "/bin/short")?["reason"], "no rule matches: it has no fs-verity");
    let (checked, _) = place.check(&[&policy, "one", "--assume", "sealed"])?;
    assert_eq!(checked["denied"], 6, "a digest rule matched a file in a pack");
    let only = place.new_policy(&["final", "--digests", "one", "--only", "/lib"])?;
    assert_eq!(only.matches("fsverity_digest").count(), 1, "{only}");
    Ok(())
}

#[test]
fn an_image_in_packs_is_judged_by_its_seal_and_a_revoked_pack_by_its_root_hash() -> Result<()> {
    let place = Place::new()?;
    pull_image(&place)?;
    place.sealpack.run(["convert", "one", "--to", "packs"])?;
    let policy = place.write("final", place.new_policy(&["final"])?)?;
    let (checked, status) = place.check(&[&policy, "one"])?;
    assert_eq!((status, &checked["denied"]), (Some(3), &6.into()));
    assert_eq!(checked["judged_as"], "objects in packs, nothing signed");
    let [key, cert] = ["key", "cert"].map(|name| place.text(name));
    let (key, cert) = (key?, cert?);
    place.sealpack.run(["key", "new", "--key", &key, "--cert", &cert, "--type", "p256"])?;
    place.sealpack.run(["seal", "one", "--key", &key, "--cert", &cert])?;
    let (checked, status) = place.check(&[&policy, "one"])?;
    assert_eq!((status, &checked["denied"]), (Some(0), &0.into()));
    let packs = fs::read_dir(place.sealpack.store().join("packs/sha256"))?.collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> =
        packs.iter().map(|pack| pack.file_name().to_string_lossy().into_owned()).collect();
    let [name] = &names[..] else { anyhow::bail!("not one pack: {names:?}") };
    let root = name.strip_suffix(".pack").context("an odd name")?;
    let revoking = place.write("revoking", place.new_policy(&["final", "--revoke", root])?)?;
    let (checked, status) = place.check(&[&revoking, "one"])?;
    // The short script is on the metadata image's device.
    assert_eq!((status, &checked["denied"]), (Some(3), &5.into()));
    assert_eq!(decision(&checked, "/bin/short")?["decision"], "allow");
    let rule = format!("op=EXECUTE dmverity_roothash=sha256:{root} action=DENY");
    assert_eq!(decision(&checked, "/bin/tool")?["rule"], rule);
    Ok(())
}

/// Two images that share a layer: a policy for one of them allows what the other has of it, and nothing else.
#[test]
fn a_policy_for_the_devices_of_an_image_denies_others_that_are_signed_as_well() -> Result<()> {
    let place = Place::new()?;
    pull_image(&place)?;
    let naming = ["policy", "new", "host", "--image", "one"];
    let files = place.sealpack.attempt(naming)?;
    ensure!(files.status.code() == Some(1) && files.stdout.is_empty(), "{}", said(&files));
    ensure!(
        said(&files).contains("one is not kept in packs") && said(&files).contains("--to packs"),
        "{}",
        said(&files)
    );
    place.sealpack.run(["convert", "one", "--to", "packs"])?;
    let unsealed = place.sealpack.run(naming)?;
    ensure!(said(&unsealed).contains("one is not sealed"), "{}", said(&unsealed));

    let script = Entry::new("other", Member::File(vec![b'#'; 100])).mode(0o755);
    let other = images::at(&place.path("other"), &[(archive(&[script]), Packing::Gzip)])?;
    place.sealpack.run(["pull", "--objects", "packs", &other.source(), "--name", "other"])?;
    let [key, cert] = ["key", "cert"].map(|name| place.text(name));
    let (key, cert) = (key?, cert?);
    place.sealpack.run(["key", "new", "--key", &key, "--cert", &cert, "--type", "p256"])?;
    for image in ["one", "other"] {
        place.sealpack.run(["seal", image, "--key", &key, "--cert", &cert])?;
    }
    let named = place.sealpack.run(naming)?;
    ensure!(named.stderr.is_empty(), "{}", said(&named));
    let text = String::from_utf8(named.stdout)?;
    // The metadata image and the pack, for each operation that is allowed at all.
    assert_eq!(text.matches("dmverity_roothash=sha256:").count(), 2 * 5, "{text}");
    assert_eq!(text.matches(" dmverity_signature=TRUE action=ALLOW").count(), 2 * 5, "{text}");
    let bound = place.write("bound", text)?;
    assert_eq!(place.check(&[&bound, "one"])?.1, Some(0));
    let (checked, status) = place.check(&[&bound, "other"])?;
    assert_eq!((status, &checked["denied"]), (Some(3), &1.into()));
    let reason = "no rule matches: the root hash of its dm-verity device is not any of 2 rules";
    assert_eq!(decision(&checked, "/other")?["reason"], reason);
    // As it would be without its seal.
    assert_eq!(place.check(&[&bound, "one", "--assume", "packs"])?.1, Some(3));

    let both = place.write("both", place.new_policy(&["host", "--image", "one", "other"])?)?;
    let any = place.write("any", place.new_policy(&["host"])?)?;
    for policy in [&both, &any] {
        for image in ["one", "other"] {
            assert_eq!(place.check(&[policy, image])?.1, Some(0), "{policy} {image}");
        }
    }
    Ok(())
}

#[test]
fn an_image_without_objects_is_on_no_device_though_it_is_sealed() -> Result<()> {
    let place = Place::new()?;
    let short = Entry::new("short", Member::File(b"#!/bin/sh\n".to_vec())).mode(0o755);
    let image = images::at(&place.path("image"), &[(archive(&[short]), Packing::Gzip)])?;
    place.sealpack.run(["pull", "--objects", "packs", &image.source(), "--name", "one"])?;
    let bound = place.sealpack.attempt(["policy", "new", "host", "--image", "one"])?;
    ensure!(bound.status.code() == Some(1) && said(&bound).contains("no devices"), "{}", said(&bound));
    let policy = place.write("final", place.new_policy(&["final"])?)?;
    let (checked, status) = place.check(&[&policy, "one", "--assume", "sealed"])?;
    assert_eq!((status, &checked["denied"]), (Some(3), &1.into()));
    assert_eq!(decision(&checked, "/short")?["reason"], "no rule matches: it is on no dm-verity device");
    Ok(())
}

#[test]
fn a_policy_that_allows_nothing_is_not_written() -> Result<()> {
    let place = Place::new()?;
    let output = place.sealpack.attempt(["policy", "new", "final", "--no-signed-devices"])?;
    ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{}", said(&output));
    ensure!(said(&output).contains("allow nothing"), "{}", said(&output));
    Ok(())
}

#[test]
fn check_says_what_is_wrong_with_its_arguments() -> Result<()> {
    let place = Place::new()?;
    pull_image(&place)?;
    let policy = place.write("final", place.new_policy(&["final"])?)?;
    for (arguments, word) in
        [(["nothing-there", "one"], "no file nothing-there"), ([&policy, "two"], "no image")]
    {
        let output = place.sealpack.attempt([&["policy", "check"], &arguments[..]].concat())?;
        ensure!(output.status.code() == Some(1) && said(&output).contains(word), "{}", said(&output));
    }
    Ok(())
}

const LOG: &str = "something else\n\
    [   12.3] audit: type=1420 audit(1653364370.067:61): ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=1 pid=41 comm=\"sh\" path=\"/x/tool\" dev=\"sda1\" ino=7 rule=\"DEFAULT op=EXECUTE action=DENY\"\n\
    type=IPE_ACCESS msg=audit(1653364370.067:61): ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=1 pid=41 comm=\"sh\" path=\"/x/tool\" dev=\"sda1\" ino=7 rule=\"DEFAULT op=EXECUTE action=DENY\"\n\
    type=IPE_ACCESS msg=audit(1653364371.000:62): ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=1 pid=42 comm=\"sh\" path=\"/x/tool\" dev=\"sda1\" ino=7 rule=\"DEFAULT op=EXECUTE action=DENY\"\n\
    type=1404 audit(1653364372.000:63): enforcing=0 old_enforcing=1 auid=4294967295 ses=4294967295 enabled=1 old-enabled=1 lsm=ipe res=1\n";

#[test]
fn explain_tells_each_decision_once_with_its_count() -> Result<()> {
    let place = Place::new()?;
    let log = place.write("log", LOG)?;
    let told = String::from_utf8(place.sealpack.run(["policy", "explain", &log])?.stdout)?;
    ensure!(told.contains("sh (process 41) was kept from executing /x/tool on sda1 (2 times)"), "{told}");
    ensure!(told.contains("IPE was set to permissive"), "{told}");
    let value = place.sealpack.json(["policy", "explain", &log])?;
    assert_eq!(value["records"].as_array().map(Vec::len), Some(2), "{value:#}");
    assert_eq!(value["records"][0]["count"], 2);
    assert_eq!(value["records"][0]["access"]["rule"], "DEFAULT op=EXECUTE action=DENY");
    Ok(())
}

#[test]
fn explain_reads_standard_input_and_says_when_there_is_nothing() -> Result<()> {
    let place = Place::new()?;
    for (log, word) in [(LOG, "was kept from"), ("nothing of interest", "no records of IPE")] {
        let mut command = place.sealpack.command(["policy", "explain", "-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        child.stdin.take().context("no standard input")?.write_all(log.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success());
        ensure!(String::from_utf8_lossy(&output.stdout).contains(word));
    }
    Ok(())
}
