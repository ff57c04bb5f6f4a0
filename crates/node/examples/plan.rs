//! What a mount of an image would be made of: `plan STORE IMAGE DIRECTORY`, with nothing but this library.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use sealpack_mount::{Level, Plan};
use sealpack_node::find::{Digests, find};
use sealpack_node::mounting::{self, Options};
use sealpack_node::place::StorePlace;

/// The plan of a read-only mount of `image` on `target`, which its `Display` shows as system calls.
fn plan(store: PathBuf, image: &str, target: PathBuf) -> Result<Plan, Box<dyn Error>> {
    let (_lock, store) = StorePlace::new(store, Duration::from_secs(10)).open_for_reading()?;
    let record = find(&store, image, Digests::Beginnings)?;
    Ok(mounting::plan(&store, &record, Options::read_only(target, Level::Plain))?)
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let [_, store, image, target] =
        std::env::args().collect::<Vec<_>>().try_into().map_err(|_| "usage: plan STORE IMAGE DIRECTORY")?;
    println!("{}", plan(store.into(), &image, target.into())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use sealpack_format::dump::{Mode, parse};
    use sealpack_format::erofs::{FormatVersion, write_metadata_image};
    use sealpack_format::{Algorithm, BlobDigest};
    use sealpack_store::{ImageRecord, Store};

    #[test]
    fn an_image_is_planned_by_its_name_and_one_that_is_not_there_is_named() -> Result<(), Box<dyn Error>> {
        let place = tempfile::tempdir()?;
        let store = Store::create(place.path(), Algorithm::Sha256)?;
        let tree = parse(b"/ 4096 40755 2 0 0 0 0.0 - - -\n", Mode::Strict)?;
        let staging = store.stage()?;
        let mut writer = staging.metadata_image_writer()?;
        let mut bytes = Vec::new();
        write_metadata_image(&tree, FormatVersion::lowest_for(&tree), &mut bytes)?;
        writer.write_all(&bytes)?;
        let id = writer.finish()?;
        staging.commit()?;
        let blob: BlobDigest = format!("sha256:{}", "ab".repeat(32)).parse()?;
        store.set_image(&ImageRecord::new("example.org/app:1", blob, blob, id))?;

        let of = |image: &str| plan(place.path().into(), image, "/mnt".into());
        assert!(of("example.org/app:1")?.to_string().contains(&id.to_string()));
        let missing = of("example.org/app:2").expect_err("it is not there").to_string();
        assert!(missing.contains("example.org/app:2"), "{missing}");
        Ok(())
    }
}
