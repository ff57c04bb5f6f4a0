//! Layers that are there in one form are used in that form, unless somebody asks for the other.

use crate::support::*;
use anyhow::{Result, ensure};
use sealpack_test_registry::Image;
use sealpack_tests::layout::architecture;

/// An image with a large layer below, which others have too, and a small one of its own.
fn on_base(seed: u8) -> Image {
    Image::new(&format!("linux/{}", architecture()), vec![layer(100, 400_000), layer(seed, 5000)])
}

#[test]
fn an_image_whose_base_is_in_a_pack_goes_into_packs_and_converts_nothing() -> Result<()> {
    let desk = Desk::new()?;
    let (first, second) = (desk.serve("first", &on_base(1)), desk.serve("second", &on_base(2)));
    desk.succeeds(&["pull", "--objects", "packs", &first])?;
    let pulled = desk.sealpack.json(["pull", &second])?;
    ensure!(pulled["kept_in"] == "packs" && pulled["layers_converted"] == 0, "{pulled}");
    ensure!(pulled["layers_known"] == 1 && pulled["added"]["object_bytes"] == 0, "{pulled}");
    // Whoever asks gets what they ask for.
    let pulled = desk.sealpack.json(["pull", "--objects", "files", &second])?;
    ensure!(pulled["kept_in"] == "files" && pulled["layers_converted"] == 2, "{pulled}");
    Ok(())
}

#[test]
fn a_name_whose_image_was_in_files_gets_the_next_one_in_packs_where_those_are_there() -> Result<()> {
    let desk = Desk::new()?;
    let (name, other) = (desk.serve("app", &image(1)), desk.serve("other", &on_base(2)));
    desk.succeeds(&["pull", &name])?;
    desk.succeeds(&["pull", "--objects", "packs", &other])?;
    desk.serve("app", &on_base(3));
    let pulled = desk.sealpack.json(["pull", &name])?;
    ensure!(pulled["kept_in"] == "packs" && pulled["layers_converted"] == 0, "{pulled}");
    // What is new altogether stays in the form that the name has.
    desk.serve("app", &image(4));
    let pulled = desk.sealpack.json(["pull", &name])?;
    ensure!(pulled["kept_in"] == "packs", "{pulled}");
    Ok(())
}

#[test]
fn an_image_whose_base_is_in_files_stays_in_files() -> Result<()> {
    let desk = Desk::new()?;
    let (first, second) = (desk.serve("first", &on_base(1)), desk.serve("second", &on_base(2)));
    desk.succeeds(&["pull", &first])?;
    let pulled = desk.sealpack.json(["pull", &second])?;
    ensure!(pulled["kept_in"] == "files" && pulled["layers_converted"] == 0, "{pulled}");
    // What is there in both forms is as good in either.
    desk.succeeds(&["pull", "--objects", "packs", &first, "--name", "packed:1"])?;
    let pulled = desk.sealpack.json(["pull", &second])?;
    ensure!(pulled["kept_in"] == "files" && pulled["layers_converted"] == 0, "{pulled}");
    Ok(())
}
