//! What gc leaves, since a host may start from it.

use super::Fleet;
use anyhow::{Result, ensure};
use sealpack_tests::command::find;
use sealpack_tests::{paths, program, skip};
use std::fs;
use std::process::Command;

#[test]
fn gc_keeps_what_ukis_start_though_its_name_means_another_image_now() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    // Somebody pulls as ever: the name goes to the new image, and nothing keeps the one that runs but its history.
    fleet.expect(&["pull", &fleet.name()])?;
    let esp = fleet.path("efi");
    let esp = crate::text(&esp)?;
    let dry = fleet.expect(&["gc", "--dry-run", "--keep-previous", "0", "--esp", esp])?;
    ensure!(dry["removed"]["packs"]["count"] == 0, "{dry:#}");
    let gone = fleet.expect(&["gc", "--keep-previous", "0", "--esp", esp])?;
    ensure!(gone["removed"]["packs"]["count"] == 0, "{gone:#}");
    let images = fleet.expect(&["images"])?;
    ensure!(images["images"].as_array().is_some_and(|images| images.len() == 2), "{images:#}");
    fleet.expect(&["fsck"])?;
    // Without, its pack goes.
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    fleet.expect(&["pull", &fleet.name()])?;
    let gone = fleet.expect(&["gc", "--keep-previous", "0"])?;
    ensure!(gone["removed"]["packs"]["count"] == 1, "{gone:#}");
    Ok(())
}

#[test]
fn an_image_that_somebody_has_removed_is_brought_again_though_its_uki_is_there() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.publish(2)?;
    let first = fleet.expect(&["host", "upgrade"])?;
    let manifest = first["manifest"].as_str().unwrap_or_default();
    let name = fleet.name().trim_end_matches(":latest").to_owned();
    fleet.expect(&["rm", &fleet.name(), &format!("{name}@{manifest}")])?;
    fleet.expect(&["gc", "--keep-previous", "0"])?;
    let again = fleet.expect(&["host", "upgrade", &fleet.name()])?;
    ensure!(again["state"] == "next" && again["added"]["packs"] == 1, "{again:#}");
    fleet.expect(&["fsck"]).map(drop)
}

/// What the project has timers for.
const TIMERS: [&str; 5] =
    ["sealpack-upgrade", "sealpack-gc", "sealpack-fsck", "sealpack-verify", "sealpack-metrics"];

#[test]
fn systemd_understands_the_timers_and_a_first_boot_enables_none() -> Result<()> {
    let Some(analyze) = find("systemd-analyze") else {
        skip("systemd-analyze is not installed");
        return Ok(());
    };
    let from = paths::workspace().join("contrib/systemd");
    let place = tempfile::tempdir()?;
    let mut units = Vec::new();
    for name in TIMERS {
        for kind in ["service", "timer"] {
            let file = format!("{name}.{kind}");
            // The program need not be installed here.
            let program = program::under_test()?;
            let text = fs::read_to_string(from.join(&file))?;
            fs::write(place.path().join(&file), text.replace("/usr/bin/sealpack", crate::text(&program)?))?;
            units.push(place.path().join(file));
        }
    }
    let output = Command::new(analyze).args(["verify", "--man=no"]).args(&units).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // What it says of other units is not about these.
    ensure!(!said.contains("sealpack"), "{said}");
    let preset = fs::read_to_string(from.join("80-sealpack.preset"))?;
    for name in TIMERS {
        ensure!(preset.lines().any(|line| line == format!("disable {name}.timer")), "{preset}");
    }
    Ok(())
}
