//! Whether a data partition is good, as it was at a cut: its filesystem, and the store on it.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, find, run};
use sealpack_tests::program::start;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The metadata images of the store on a partition, sorted, by their fs-verity digests: those of names, and of what names meant
/// before. The file of the partition is changed, as a machine that starts changes it; `sealpack` is the program that judges the store.
///
/// # Errors
/// If something is wrong with the filesystem once its journal was replayed, or with the store.
pub fn judge(partition: &Path, sealpack: &Path) -> Result<Vec<String>> {
    // What a kernel does when it mounts it: 0, nothing was to be done; 1, it was done.
    let replayed = attempt(tool("e2fsck")?.args(["-p"]).arg(partition))?;
    ensure!(matches!(replayed.status.code(), Some(0 | 1)), "the journal is not replayed: {replayed:?}");
    run(tool("e2fsck")?.args(["-f", "-n"]).arg(partition)).context("after the journal was replayed")?;
    let out =
        tempfile::Builder::new().prefix("store-").tempdir_in(partition.parent().unwrap_or(Path::new(".")))?;
    let dump = format!("rdump /store {}", out.path().display());
    run(tool("debugfs")?.args(["-R", &dump]).arg(partition))?;
    let store = out.path().join("store");
    ensure!(fs::exists(&store)?, "there is no store on the partition");
    let mut fsck = start(sealpack);
    run(fsck.arg("--store").arg(&store).arg("fsck")).context("the store is not good")?;
    let mut digests = Vec::new();
    for entry in fs::read_dir(store.join("images"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        digests.extend(name.strip_suffix(".erofs").map(str::to_owned));
    }
    digests.sort();
    Ok(digests)
}

fn tool(name: &str) -> Result<Command> {
    Ok(Command::new(find(name).with_context(|| format!("{name} is not installed"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpack_tests::layer_tar::{Entry, Member, archive};
    use sealpack_tests::layout::Packing;
    use sealpack_tests::{images, program};
    use std::fs::File;
    use std::path::PathBuf;

    /// A partition with a store of one image, and the program that made that.
    fn partition(dir: &Path) -> Result<(PathBuf, PathBuf)> {
        let sealpack = program::under_test()?;
        let layer = archive(&[Entry::new("file", Member::File(vec![b'x'; 10_000]))]);
        let image = images::at(&dir.join("image"), &[(layer, Packing::Gzip)])?;
        let store = dir.join("root/store");
        fs::create_dir(dir.join("root"))?;
        let mut pull = start(&sealpack);
        pull.arg("--store").arg(store).args(["pull", "--objects", "packs", &image.source()]);
        run(pull.args(["--name", "example/one:1"]))?;
        let partition = dir.join("data");
        File::create(&partition)?.set_len(32 << 20)?;
        let mut make = tool("mke2fs")?;
        run(make
            .args(["-q", "-F", "-t", "ext4", "-O", "verity", "-d"])
            .arg(dir.join("root"))
            .arg(&partition))?;
        Ok((partition, sealpack))
    }

    #[test]
    fn the_images_of_a_good_store_are_told() -> Result<()> {
        let place = tempfile::tempdir()?;
        let (partition, sealpack) = partition(place.path())?;
        let images = judge(&partition, &sealpack)?;
        assert!(images.len() == 1 && images[0].len() == 64, "{images:?}");
        Ok(())
    }

    #[test]
    fn a_store_without_a_pack_and_a_filesystem_that_counts_wrong_are_errors() -> Result<()> {
        let place = tempfile::tempdir()?;
        let (partition, sealpack) = partition(place.path())?;
        let said = || format!("{:#}", judge(&partition, &sealpack).expect_err("it is not good"));
        let change = |request: &str| run(tool("debugfs")?.args(["-w", "-R", request]).arg(&partition));
        let good = fs::read(&partition)?;
        let packs = fs::read_dir(place.path().join("root/store/packs/sha256"))?;
        for pack in packs {
            let pack = pack?.file_name();
            change(&format!("rm /store/packs/sha256/{}", pack.to_string_lossy()))?;
        }
        assert!(said().contains("the store is not good"), "{}", said());
        fs::write(&partition, good)?;
        change("set_super_value free_blocks_count 1")?;
        change("freei /store")?;
        assert!(said().contains("e2fsck"), "{}", said());
        Ok(())
    }
}
