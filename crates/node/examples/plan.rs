//! What a mount of an image would be made of: `plan STORE IMAGE DIRECTORY`, with nothing but this library.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::path::PathBuf;
use std::time::Duration;

use sealpack_mount::{Level, Plan};
use sealpack_node::find::{Digests, find};
use sealpack_node::mounting::{self, Options};
use sealpack_node::place::StorePlace;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, image, target] = arguments.as_slice() else {
        return Err("plan STORE IMAGE DIRECTORY".into());
    };
    let place = StorePlace::new(PathBuf::from(store), Duration::from_secs(10));
    let (_lock, store) = place.open_for_reading()?;
    let record = find(&store, image, Digests::Beginnings)?;
    let options = Options::read_only(PathBuf::from(target), Level::Plain);
    let plan = Plan::new(mounting::request(&store, &record, options)?)?;
    println!("{plan}");
    Ok(())
}
