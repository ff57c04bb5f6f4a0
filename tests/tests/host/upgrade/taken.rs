//! Upgrades that are taken.

use super::{Fleet, changed};
use anyhow::{Context, Result, ensure};
use sealpack_tests::refusal::Exit;
use std::fs;

#[test]
fn an_upgrade_writes_the_pack_that_is_new_the_metadata_image_and_the_uki_and_nothing_else() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    let before = fleet.files()?;
    let done = fleet.expect(&["host", "upgrade"])?;
    ensure!(done["state"] == "next" && done["epoch"] == 2 && done["file"] == "sealed_2+3.efi", "{done:#}");
    ensure!(done["next"] == "sealed_2+3.efi" && done["fallback"] == "sealed_1.efi", "{done:#}");
    ensure!(done["falls_back"] == true && done["added"]["packs"] == 1, "{done:#}");
    let uki = fleet.workshop.read("sealed_2.efi")?;
    ensure!(fs::read(fleet.uki("sealed_2+3.efi"))? == uki, "the UKI is another");
    // By the bytes: what is not one of the three is small, and says what they are.
    let written = changed(&before, &fleet.files()?);
    let of = |ending: &str| -> u64 {
        let is_it = |path: &std::path::Path| path.to_string_lossy().contains(ending);
        written.iter().filter(|(path, _)| is_it(path)).map(|(_, size)| size).sum()
    };
    let packs = written.iter().filter(|(path, _)| path.starts_with(fleet.path("data/store/packs"))).count();
    ensure!(packs == 1, "{written:?}");
    ensure!(of("/efi/") == uki.len() as u64, "{written:?}");
    let records: u64 = written
        .iter()
        .filter(|(path, _)| {
            let place = path.strip_prefix(fleet.path("data/store")).unwrap_or(path);
            let first = place.iter().next().unwrap_or_default();
            !["packs", "images", "trees"].iter().any(|name| first == *name)
                && !path.starts_with(fleet.path("efi"))
        })
        .map(|(_, size)| size)
        .sum();
    ensure!(records < 40_000, "{records} bytes beside packs, metadata image and UKI: {written:?}");
    // What runs has a name that stays, and the same again changes nothing.
    let before = fleet.files()?;
    let again = fleet.expect(&["host", "upgrade"])?;
    ensure!(again["state"] == "next" && again["added"].is_null(), "{again:#}");
    ensure!(changed(&before, &fleet.files()?).is_empty(), "the same upgrade wrote something");
    fleet.restart_well("sealed_2+3.efi")?;
    let runs = fleet.expect(&["host", "upgrade"])?;
    ensure!(runs["state"] == "running", "{runs:#}");
    Ok(())
}

#[test]
fn what_runs_and_what_came_up_before_stay_and_the_rest_goes() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    fleet.expect(&["host", "upgrade"])?;
    // Not blessed yet: the one before is what is fallen back to still.
    let uki = fs::read(fleet.uki("sealed_2+3.efi"))?;
    fs::rename(fleet.uki("sealed_2+3.efi"), fleet.uki("sealed_2+2-1.efi"))?;
    fleet.runs(&uki)?;
    fleet.publish(3)?;
    let done = fleet.expect(&["host", "upgrade"])?;
    ensure!(fleet.ukis()? == ["sealed_1.efi", "sealed_2+2-1.efi", "sealed_3+3.efi"], "{:?}", fleet.ukis()?);
    ensure!(done["removed_files"] == serde_json::json!([]), "{done:#}");
    fs::rename(fleet.uki("sealed_2+2-1.efi"), fleet.uki("sealed_2.efi"))?;
    fleet.restart_well("sealed_3+3.efi")?;
    fleet.publish(4)?;
    let done = fleet.expect(&["host", "upgrade"])?;
    ensure!(fleet.ukis()? == ["sealed_3.efi", "sealed_4+3.efi"], "{:?}", fleet.ukis()?);
    ensure!(done["removed_files"] == serde_json::json!(["sealed_2.efi", "sealed_1.efi"]), "{done:#}");
    // The images of those that stay have names, and the others' go.
    let names = fleet.expect(&["images"])?;
    let images = names["images"].as_array().context("images")?;
    ensure!(images.len() == 3, "the name, the one that runs, and the new one by its digest: {names:#}");
    Ok(())
}

#[test]
fn an_upgrade_is_brought_first_and_written_later_without_asking_anybody() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    let staged = fleet.expect(&["host", "upgrade", "--download-only"])?;
    ensure!(staged["state"] == "staged" && staged["next"] == "sealed_1.efi", "{staged:#}");
    ensure!(fleet.ukis()? == ["sealed_1.efi"]);
    // What is published since does not count: what was brought is what is written.
    fleet.publish(3)?;
    let asked = fleet.registry.requests().len();
    let done = fleet.expect(&["host", "upgrade", "--apply"])?;
    ensure!(done["state"] == "next" && done["epoch"] == 2, "{done:#}");
    ensure!(fleet.registry.requests().len() == asked, "the registry was asked");
    ensure!(fs::read(fleet.uki("sealed_2+3.efi"))? == fleet.workshop.read("sealed_2.efi")?);
    ensure!(!fleet.path("data/boot/staged.efi").exists());
    fleet.refuses(
        Exit::Failed,
        &["host", "upgrade", "--apply"],
        &["no upgrade was brought before", "--download-only"],
    )
}

#[test]
fn of_two_signers_ukis_the_one_is_taken_whose_signer_signed_what_runs() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    let first = fleet.workshop.read("sealed_2.efi")?;
    fleet.workshop.key("other", "rsa2048")?;
    fs::copy(fleet.workshop.path("other.key"), fleet.workshop.path("boot.key"))?;
    fs::copy(fleet.workshop.path("other.crt"), fleet.workshop.path("boot.crt"))?;
    fleet.build(&fleet.name(), 2, &["--push"])?;
    fleet.expect(&["host", "upgrade"])?;
    ensure!(fs::read(fleet.uki("sealed_2+3.efi"))? == first, "the other one was taken");
    // The other alone is taken on demand only, with a word: only the firmware knows whom it believes.
    fleet.seal(&fleet.name(), 3)?;
    fleet.build(&fleet.name(), 3, &["--push"])?;
    fleet.refuses(
        Exit::Refused,
        &["host", "upgrade"],
        &["nobody signed it who signed what runs", "CN=other", "--allow-signer"],
    )?;
    let output = fleet.command(&["host", "upgrade", "--allow-signer"])?.output()?;
    let said = crate::said(&output);
    ensure!(output.status.success(), "{said}");
    ensure!(said.contains("signed by CN=other") && said.contains("whether the firmware starts it"), "{said}");
    // Where the firmware tells, it is refused before it is written.
    let fleet = Fleet::new()?;
    fleet.firmware_knows("boot.crt")?;
    fleet.publish(2)?;
    fleet.expect(&["host", "upgrade"])?;
    fleet.restart_well("sealed_2+3.efi")?;
    fleet.workshop.key("other", "rsa2048")?;
    fs::copy(fleet.workshop.path("other.key"), fleet.workshop.path("boot.key"))?;
    fs::copy(fleet.workshop.path("other.crt"), fleet.workshop.path("boot.crt"))?;
    fleet.publish(3)?;
    fleet.refuses(
        Exit::Refused,
        &["host", "upgrade"],
        &["the firmware knows nobody who signed it: CN=other", "--allow-signer"],
    )?;
    fleet.firmware_knows("other.crt")?;
    let output = fleet.command(&["host", "upgrade"])?.output()?;
    let said = crate::said(&output);
    ensure!(output.status.success() && !said.contains("warning"), "{said}");
    Ok(())
}

#[test]
fn a_switch_to_an_image_that_the_boot_loader_puts_behind_has_the_firmware_prefer_it() -> Result<()> {
    let fleet = Fleet::new()?;
    // By its name in os-release it comes behind, and its epoch is lower than the one that runs.
    let other = fleet.name_of("zz-other");
    fleet.publish(5)?;
    fleet.expect(&["host", "upgrade"])?;
    fleet.restart_well("sealed_5+3.efi")?;
    fleet.seal(&other, 2)?;
    fleet.build(&other, 2, &["--push"])?;
    let done = fleet.expect(&["host", "switch", &other])?;
    ensure!(done["next"] == "sealed_2+3.efi" && done["fallback"] == "sealed_5.efi", "{done:#}");
    ensure!(fleet.variable("LoaderEntryDefault").exists());
    // Without tries left it is no longer preferred.
    fs::rename(fleet.uki("sealed_2+3.efi"), fleet.uki("sealed_2+0-3.efi"))?;
    let refused = fleet.command(&["host", "switch", &other])?.output()?;
    ensure!(crate::said(&refused).contains("did not come up in all its tries"), "{}", crate::said(&refused));
    let done = fleet.expect(&["host", "switch", &other, "--retry"])?;
    ensure!(done["next"] == "sealed_2+3.efi", "{done:#}");
    Ok(())
}
