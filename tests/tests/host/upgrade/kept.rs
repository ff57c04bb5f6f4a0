//! What gc leaves, since a host may start from it.

use super::Fleet;
use anyhow::{Result, ensure};

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
