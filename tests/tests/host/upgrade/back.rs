//! Going back.

use super::Fleet;
use anyhow::{Result, ensure};
use sealpack_tests::refusal::Exit;
use std::fs;

/// A host that runs version 2, and could fall back to 1.
fn upgraded() -> Result<Fleet> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    fleet.expect(&["host", "upgrade"])?;
    fleet.restart_well("sealed_2+3.efi")?;
    Ok(fleet)
}

#[test]
fn a_rollback_has_the_one_before_come_next_and_another_one_returns() -> Result<()> {
    let fleet = upgraded()?;
    let back = fleet.expect(&["host", "rollback"])?;
    ensure!(back["next"] == "sealed_1.efi" && back["instead_of"] == "sealed_2.efi", "{back:#}");
    ensure!(fleet.ukis()? == ["sealed_1.efi", "sealed_2.efi"], "nothing on the ESP changes");
    let uki = fs::read(fleet.uki("sealed_1.efi"))?;
    fleet.runs(&uki)?;
    // A timer does not undo it; somebody can.
    fleet.refuses(
        Exit::Failed,
        &["host", "upgrade"],
        &["sealed_2.efi", "somebody went back from it", "--retry"],
    )?;
    let forward = fleet.expect(&["host", "rollback"])?;
    ensure!(forward["next"] == "sealed_2.efi", "{forward:#}");
    ensure!(!fleet.variable("LoaderEntryDefault").exists(), "the order does it");
    fleet.expect(&["host", "rollback"])?;
    let again = fleet.expect(&["host", "upgrade", "--retry"])?;
    ensure!(again["next"] == "sealed_2.efi" && again["file"].is_null(), "{again:#}");
    // A newer one is taken, and what was gone back from goes.
    fleet.expect(&["host", "rollback"])?;
    fleet.publish(3)?;
    let newer = fleet.expect(&["host", "upgrade"])?;
    ensure!(newer["next"] == "sealed_3+3.efi" && newer["fallback"] == "sealed_1.efi", "{newer:#}");
    ensure!(fleet.ukis()? == ["sealed_1.efi", "sealed_3+3.efi"], "{:?}", fleet.ukis()?);
    Ok(())
}

#[test]
fn an_upgrade_that_has_not_been_started_is_gone_back_from() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    fleet.expect(&["host", "upgrade"])?;
    let back = fleet.expect(&["host", "rollback"])?;
    ensure!(back["next"] == "sealed_1.efi" && back["instead_of"] == "sealed_2+3.efi", "{back:#}");
    Ok(())
}

#[test]
fn what_is_not_there_to_go_back_to_is_named_and_the_host_stays() -> Result<()> {
    let fleet = upgraded()?;
    fs::remove_file(fleet.uki("sealed_1.efi"))?;
    fleet.refuses(
        Exit::Failed,
        &["host", "rollback"],
        &["no UKI to go back to besides sealed_2.efi", "host switch"],
    )?;
    // Its image is gone from the store, whoever did that.
    let fleet = upgraded()?;
    for image in fleet.expect(&["images"])?["images"].as_array().into_iter().flatten() {
        let name = image["name"].as_str().unwrap_or_default();
        if name.contains('@') {
            fleet.expect(&["rm", name])?;
        }
    }
    fleet.expect(&["gc", "--keep-previous", "0"])?;
    fleet.refuses(
        Exit::Failed,
        &["host", "rollback"],
        &["sealed_1.efi would be gone back to", "is not in the store", "sealpack pull"],
    )
}
