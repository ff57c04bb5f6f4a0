//! What no host goes to: each is named, and the host starts what it started before.

use super::Fleet;
use anyhow::{Context, Result, ensure};
use sealpack_tests::refusal::Exit;
use sealpack_tests::skip;
use std::fs;
use std::fs::File;
use std::process::Command;

const UPGRADE: [&str; 2] = ["host", "upgrade"];

#[test]
fn an_image_without_a_uki_or_with_one_that_is_not_its_own_is_refused() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.seal(&fleet.name(), 2)?;
    fleet.refuses(Exit::Failed, &UPGRADE, &["no UKI is published beside", "site/host:latest", "--push"])?;
    // The last version's UKI, put beside the new image by whoever may write to the registry.
    forge(&fleet, &fleet.workshop.read("sealed_1.efi")?, "1")?;
    fleet.refuses(
        Exit::Refused,
        &UPGRADE,
        &["can be taken: sha256:", "it starts the metadata image", "and the image's is", "--push"],
    )?;
    // One that was changed on the way, one that nobody signed, and what is none.
    fleet.build(&fleet.name(), 2, &[])?;
    let mut changed = fleet.workshop.read("sealed_2.efi")?;
    *changed.get_mut(5000).context("a byte")? ^= 1;
    forge(&fleet, &changed, "2")?;
    fleet.refuses(Exit::Refused, &UPGRADE, &["it was changed after it was signed"])?;
    forge(&fleet, b"no program", "3")?;
    fleet.refuses(Exit::Refused, &UPGRADE, &["it is no UKI of a sealed host", "begin with MZ"])
}

#[test]
fn a_uki_that_says_it_is_larger_than_any_is_not_fetched() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.seal(&fleet.name(), 2)?;
    forge_sized(&fleet, b"MZ", 257 << 20, "1")?;
    fleet.refuses(Exit::Failed, &UPGRADE, &["268435456", "is passed over", "no UKI is published beside"])?;
    let large = fleet.workshop.path("large.efi");
    File::create(&large)?.set_len(257 << 20)?;
    fleet.workshop.fails(
        Exit::Failed,
        &["host", "push", &fleet.name(), "large.efi"],
        &["large.efi: it has 269484032 bytes, and hosts take 268435456 at most"],
    )
}

#[test]
fn a_store_without_room_is_named_before_a_layer_is_fetched() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    let data = fleet.path("data");
    // The data partition becomes one on which 16 KiB are left, where only this command sees it.
    let script = "mkdir \"$1.small\" && mount -t tmpfs none \"$1.small\" && cp -a \"$1/.\" \"$1.small/\" \
        && used=$(du -sk \"$1.small\" | cut -f 1) && mount -o \"remount,size=$((used + 16))k\" \"$1.small\" \
        && mount --bind \"$1.small\" \"$1\" && shift && exec \"$@\"";
    let upgrade = fleet.command(&UPGRADE)?;
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-euc", script, "sh"]).arg(&data);
    command.arg(upgrade.get_program()).args(upgrade.get_args()).current_dir(fleet.workshop.path(""));
    for (name, value) in upgrade.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let asked = fleet.registry.requests().len();
    let output = command.output()?;
    let said = crate::said(&output);
    if said.contains("unshare:") || said.contains("mount:") {
        skip(format!("no small filesystem can be made here: {said}"));
        return Ok(());
    }
    ensure!(output.status.code() == Some(1), "{said}");
    for words in ["bytes", "data/store", "sealpack gc"] {
        ensure!(said.contains(words), "{words:?} is not said: {said}");
    }
    let layers = fleet.registry.requests().split_off(asked);
    let fetched = layers.iter().filter(|request| request.target.contains("/blobs/")).count();
    // The seal, its bundle, the image's config, and the UKI with its empty config.
    ensure!(fetched <= 5, "{fetched} blobs were fetched: {said}");
    ensure!(fleet.ukis()? == ["sealed_1.efi"], "the ESP was changed");
    Ok(())
}

/// Puts bytes beside the image as a UKI, as anybody can who may write there.
fn forge(fleet: &Fleet, bytes: &[u8], created: &str) -> Result<()> {
    forge_sized(fleet, bytes, bytes.len(), created)
}

/// The same with a size that need not be true.
fn forge_sized(fleet: &Fleet, bytes: &[u8], size: usize, created: &str) -> Result<()> {
    let registry = &fleet.registry;
    let manifest = registry.manifest("site/host", "latest").context("the image")?;
    let layer = registry.put_blob_in("site/host", bytes);
    let config = registry.put_blob_in("site/host", *b"{}");
    let artifact = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.sealpack.uki.v1",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": "application/vnd.sealpack.uki.v1.pe", "digest": layer, "size": size}],
        "subject": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": sealpack_test_registry::digest_of(&manifest),
            "size": manifest.len(),
        },
        "annotations": {"org.opencontainers.image.created": created},
    });
    let bytes = artifact.to_string().into_bytes();
    let tag = format!("forged-{created}");
    registry.put_manifest("site/host", &tag, "application/vnd.oci.image.manifest.v1+json", bytes);
    Ok(())
}

#[test]
fn words_that_the_hosts_command_line_has_not_are_taken_only_on_demand() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.seal(&fleet.name(), 2)?;
    fleet.build(
        &fleet.name(),
        2,
        &["--push", "--append", "debug", "--off", "kexec,ptrace", "--etc", "persistent"],
    )?;
    fleet.refuses(
        Exit::Refused,
        &UPGRADE,
        &[
            "has words that this host's has not",
            "debug",
            "sealpack.etc=persistent",
            "sealpack.off=kexec",
            "sealpack.off=ptrace",
            "--allow-words",
        ],
    )?;
    let done = fleet.expect(&["host", "upgrade", "--allow-words"])?;
    ensure!(done["next"] == "sealed_2+3.efi", "{done:#}");
    Ok(())
}

#[test]
fn two_ukis_of_one_image_are_both_named_and_one_can_be_picked() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.seal(&fleet.name(), 2)?;
    fleet.build(&fleet.name(), 2, &["--push"])?;
    fleet.build(&fleet.name(), 2, &["--push", "--deadline", "60"])?;
    fleet.refuses(
        Exit::Failed,
        &UPGRADE,
        &["2 UKIs are published beside", "nothing says which", "signed by CN=boot", "--uki DIGEST"],
    )?;
    let output = fleet.command(&UPGRADE)?.output()?;
    let said = crate::said(&output);
    let label = said.split_whitespace().find(|word| word.starts_with("sha256:")).context("a digest")?;
    let done = fleet.expect(&["host", "upgrade", "--uki", label])?;
    ensure!(done["uki"] == label, "{done:#}");
    let none = format!("sha256:{}", "0".repeat(64));
    fleet.publish(3)?;
    fleet.refuses(Exit::Failed, &["host", "upgrade", "--uki", &none], &["no UKI sha256:000"])
}

#[test]
fn an_older_version_than_the_one_that_runs_is_refused() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(5)?;
    fleet.expect(&UPGRADE)?;
    fleet.restart_well("sealed_5+3.efi")?;
    // By the seal, whose epoch is remembered of the name.
    fleet.publish(4)?;
    let words = ["epoch", "hint: --allow-older takes it"];
    fleet.refuses(Exit::Refused, &UPGRADE, &words)?;
    // By the UKI, where the name is another, of which nothing is remembered.
    let other = fleet.name_of("else");
    fleet.seal(&other, 4)?;
    fleet.build(&other, 4, &["--push"])?;
    fleet.refuses(
        Exit::Refused,
        &["host", "upgrade", &other],
        &["it is of version 4, and this host runs 5", "--allow-older"],
    )?;
    let done = fleet.expect(&["host", "upgrade", &other, "--allow-older"])?;
    ensure!(done["next"] == "sealed_4+3.efi" && done["fallback"] == "sealed_5.efi", "{done:#}");
    Ok(())
}

#[test]
fn an_older_image_under_the_name_that_is_switched_to_is_refused() -> Result<()> {
    let fleet = Fleet::new()?;
    let other = fleet.name_of("else");
    for version in [5, 4] {
        fleet.seal(&other, version)?;
        fleet.build(&other, version, &["--push"])?;
        if version == 5 {
            fleet.expect(&["host", "switch", &other])?;
        }
    }
    // The registry has the one before again, which was signed as well.
    fleet.refuses(Exit::Refused, &["host", "switch", &other], &["epoch", "--allow-rollback"])?;
    let done = fleet.expect(&["host", "switch", &other, "--allow-rollback"])?;
    ensure!(done["next"] == "sealed_4+3.efi", "{done:#}");
    Ok(())
}

#[test]
fn a_uki_that_anybody_signed_is_refused_where_the_firmware_does_not_tell_whom_it_knows() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.seal(&fleet.name(), 2)?;
    fleet.build(&fleet.name(), 2, &[])?;
    let whole = fleet.workshop.read("sealed_2.efi")?;
    // Changed, and with something behind its signature that looks like another one.
    let mut changed = whole;
    *changed.get_mut(5000).context("a byte")? ^= 1;
    let image = sealpack_format::pe::Image::parse(&changed)?;
    let forged = sealpack_format::pe::add_signature(&image, b"\x30\x02\x05\x00")?;
    forge(&fleet, &forged, "1")?;
    fleet.refuses(Exit::Refused, &UPGRADE, &["nobody signed it who signed what runs", "--allow-signer"])?;
    // What is on the data partition already is judged alike.
    fs::write(fleet.path("data/boot/staged.efi"), &forged)?;
    fleet.expect(&["pull", "--require", "sealed", &fleet.name()])?;
    fleet.refuses(Exit::Refused, &["host", "upgrade", "--apply"], &["nobody signed it who signed what runs"])
}

#[test]
fn no_seal_no_upgrade_whatever_the_rules_allow() -> Result<()> {
    let fleet = Fleet::new()?;
    let other = fleet.name_of("unsealed");
    let layout = fleet.workshop.path("layout");
    fleet.workshop.succeeds(&["copy", &format!("oci:{}", crate::text(&layout)?), &other])?;
    fleet.refuses(Exit::Refused, &["host", "switch", &other], &["seal"])
}

#[test]
fn an_esp_that_cannot_be_written_is_named_before_anything_is_fetched() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    let asked = fleet.registry.requests().len();
    fs::rename(fleet.path("efi"), fleet.path("elsewhere"))?;
    let output = fleet.command(&UPGRADE)?.output()?;
    let said = crate::said(&output);
    ensure!(
        output.status.code() == Some(1) && said.contains("no EFI system partition is mounted at"),
        "{said}"
    );
    ensure!(said.contains("mount it"), "{said}");
    ensure!(fleet.registry.requests().len() == asked, "the registry was asked");
    fs::rename(fleet.path("elsewhere"), fleet.path("efi"))?;
    fleet.expect(&UPGRADE).map(drop)
}

#[test]
fn an_administrators_file_keeps_the_host_as_it_is_and_says_why() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    let file = fleet.path("etc/sealpack/no-upgrade");
    fs::write(&file, "the fair is on until Sunday\n")?;
    let words = ["no-upgrade keeps this host as it is: the fair is on until Sunday"];
    fleet.refuses(Exit::Failed, &UPGRADE, &words)?;
    fleet.refuses(Exit::Failed, &["host", "upgrade", "--download-only"], &words)?;
    fleet.refuses(Exit::Failed, &["host", "switch", &fleet.name()], &words)?;
    fs::write(&file, "")?;
    fleet.refuses(Exit::Failed, &UPGRADE, &["no-upgrade keeps this host as it is\n"])?;
    fs::remove_file(&file)?;
    fleet.expect(&UPGRADE).map(drop)
}

#[test]
fn an_upgrade_during_an_upgrade_is_refused() -> Result<()> {
    let fleet = Fleet::new()?;
    let lock = File::create(fleet.path("data/boot/upgrade.lock"))?;
    lock.lock()?;
    for command in [&UPGRADE[..], &["host", "upgrade", "--apply"], &["host", "rollback"]] {
        fleet.refuses(
            Exit::Failed,
            command,
            &["another upgrade of this host is under way", "upgrade.lock"],
        )?;
    }
    drop(lock);
    fleet.expect(&UPGRADE).map(drop)
}

#[test]
fn a_clock_that_is_behind_what_runs_is_named() -> Result<()> {
    let fleet = Fleet::new()?;
    // As sealed in a time to come: to this host, the clock is behind.
    let name = fleet.name();
    let mut seal = fleet.workshop.sealpack.command(["seal", &name, "--push", "--replace", "--epoch", "2"]);
    seal.args(["--key", "packs.key", "--cert", "packs.crt"]).env("SOURCE_DATE_EPOCH", "4000000000");
    let output = seal.current_dir(fleet.workshop.path("")).output()?;
    ensure!(output.status.success(), "{}", crate::said(&output));
    fleet.expect(&["pull", "--require", "sealed", &name])?;
    fleet.refuses(
        Exit::Failed,
        &UPGRADE,
        &["the clock says 20", "what runs was sealed at 2096-10-02", "timedatectl"],
    )
}

#[test]
fn what_waits_is_judged_again_when_it_is_written() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    fleet.expect(&["host", "upgrade", "--download-only"])?;
    let staged = fleet.path("data/boot/staged.efi");
    let apply = ["host", "upgrade", "--apply"];
    let whole = fs::read(&staged)?;
    fs::write(&staged, &whole[..whole.len() / 2])?;
    fleet.refuses(Exit::Failed, &apply, &["staged.efi", "--download-only"])?;
    let mut changed = whole.clone();
    *changed.get_mut(5000).context("a byte")? ^= 1;
    fs::write(&staged, &changed)?;
    fleet.refuses(Exit::Refused, &apply, &["it was changed after it was signed"])?;
    fs::write(&staged, &whole)?;
    // The store has lost a part of the image.
    let packs = fleet.path("data/store/packs");
    let aside = fleet.path("packs-aside");
    fs::rename(&packs, &aside)?;
    fs::create_dir(&packs)?;
    fleet.refuses(Exit::Failed, &apply, &["staged.efi", "has not whole", "--download-only"])?;
    fs::remove_dir(&packs)?;
    fs::rename(&aside, &packs)?;
    // Nobody's seals count any more.
    let trust = fleet.path("trust");
    fleet.workshop.succeeds(&["--trust", crate::text(&trust)?, "trust", "remove", "site"])?;
    fleet.refuses(Exit::Refused, &apply, &["seal"])
}

/// Somebody who tries the command on an ordinary machine was told to mount an EFI system partition.
#[test]
fn a_machine_that_is_no_sealed_host_is_told_so_first() -> Result<()> {
    if fs::read_to_string("/proc/cmdline")?.contains("sealpack.image=") {
        skip("this machine is a sealed host");
        return Ok(());
    }
    let sealpack = sealpack_tests::program::Sealpack::new()?;
    for words in [&["upgrade"][..], &["upgrade", "--apply"], &["switch", "site/host"], &["rollback"]] {
        let output = sealpack.command(["host"]).args(words).output()?;
        let said = crate::said(&output);
        ensure!(output.status.code() == Some(1), "{words:?}: {said}");
        ensure!(said.contains("this host is not sealed: ") && said.contains("hint: "), "{words:?}: {said}");
    }
    Ok(())
}
