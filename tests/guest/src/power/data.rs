//! Whether a data partition is good, as it was at a cut: its filesystem, and the store on it.

use anyhow::{Context, Result, anyhow, ensure};
use sealpack_tests::command::{attempt, find, run, run_with_input};
use sealpack_tests::program::start;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};

/// Judges data partitions. Most cuts leave a store that another one has left, which is judged once.
#[derive(Debug)]
pub struct Judge {
    sealpack: PathBuf,
    good: Mutex<HashMap<Listing, Vec<String>>>,
}

/// What is in a store: a digest of all names, kinds, modes and contents.
type Listing = String;

impl Judge {
    /// One that has seen nothing; `sealpack` is the program that judges stores.
    #[must_use]
    pub fn new(sealpack: PathBuf) -> Self {
        Self { sealpack, good: Mutex::default() }
    }

    /// The metadata images of the store on a partition, sorted, by their fs-verity digests: those of names, and of what names
    /// meant before. The file of the partition is changed, as a machine that starts changes it.
    ///
    /// # Errors
    /// If something is wrong with the filesystem once its journal was replayed, or with the store.
    pub fn judge(&self, partition: &Path) -> Result<Vec<String>> {
        // What a kernel does when it mounts it: 0, nothing was to be done; 1, it was done.
        let replayed = attempt(tool("e2fsck")?.args(["-p"]).arg(partition))?;
        ensure!(matches!(replayed.status.code(), Some(0 | 1)), "the journal is not replayed: {replayed:?}");
        run(tool("e2fsck")?.args(["-f", "-n"]).arg(partition)).context("after the journal was replayed")?;
        let out = tempfile::Builder::new()
            .prefix("store-")
            .tempdir_in(partition.parent().unwrap_or(Path::new(".")))?;
        let dump = format!("rdump /store {}", out.path().display());
        run(tool("debugfs")?.args(["-R", &dump]).arg(partition))?;
        let store = out.path().join("store");
        ensure!(fs::exists(&store)?, "there is no store on the partition");
        let listing = listing(&store)?;
        if let Some(images) = self.good()?.get(&listing) {
            return Ok(images.clone());
        }
        let images = self.images(&store)?;
        self.good()?.insert(listing, images.clone());
        Ok(images)
    }

    fn good(&self) -> Result<MutexGuard<'_, HashMap<Listing, Vec<String>>>> {
        self.good.lock().map_err(|_| anyhow!("another one has failed"))
    }

    /// Those of a store, if it is good.
    fn images(&self, store: &Path) -> Result<Vec<String>> {
        let mut fsck = start(&self.sealpack);
        run(fsck.arg("--store").arg(store).arg("fsck")).context("the store is not good")?;
        let mut digests = Vec::new();
        for entry in fs::read_dir(store.join("images"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            digests.extend(name.strip_suffix(".erofs").map(str::to_owned));
        }
        digests.sort();
        Ok(digests)
    }
}

/// Of a store, which nobody changes meanwhile.
fn listing(store: &Path) -> Result<Listing> {
    // In order, and without times; who owns files is whoever dumped them.
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--sort=name",
        "--format=posix",
        "--mtime=@0",
        "--pax-option=delete=atime,delete=ctime",
    ]);
    let mut tar = tar.arg("--directory").arg(store).arg(".").stdout(Stdio::piped()).spawn()?;
    let digest = run_with_input(&mut Command::new("sha256sum"), tar.stdout.take().context("no output")?)?;
    ensure!(tar.wait()?.success(), "{} cannot be read whole", store.display());
    Ok(String::from_utf8(digest.stdout)?)
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
        let images = Judge::new(sealpack).judge(&partition)?;
        assert!(images.len() == 1 && images[0].len() == 64, "{images:?}");
        Ok(())
    }

    #[test]
    fn a_store_without_a_pack_and_a_filesystem_that_counts_wrong_are_errors() -> Result<()> {
        let place = tempfile::tempdir()?;
        let (partition, sealpack) = partition(place.path())?;
        // It has seen the good one, which makes nothing good of what is another one.
        let judge = Judge::new(sealpack);
        judge.judge(&partition)?;
        let said = || format!("{:#}", judge.judge(&partition).expect_err("it is not good"));
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
