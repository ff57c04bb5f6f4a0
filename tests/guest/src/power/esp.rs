//! Whether an EFI system partition is good, as it was at a cut: what its filesystem says, and what the boot loader would start.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, find, run, stdout};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The directory in which the boot loader looks.
const UKIS: &str = "::/EFI/Linux";

/// What ends the name of what the boot loader starts.
const SUFFIX: &str = ".efi";

/// How every program begins that firmware starts (PE/COFF, the DOS header).
const BEGINNING: &[u8] = b"MZ";

/// A UKI that may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it is called here.
    pub name: String,
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// The fs-verity digest of the metadata image that it starts.
    pub image: String,
}

/// The names of what the boot loader would start of the partition in a file, which is left as it is.
///
/// A cut leaves a filesystem that was not unmounted, with space that nobody has: what fsck.fat mends by itself, without anything
/// being lost of what can be started, before or after.
///
/// # Errors
/// If something would be started that is none of `known`, with the same bytes; if fsck.fat does not mend the filesystem, or
/// loses one of these.
pub fn judge(partition: &Path, known: &[Known]) -> Result<Vec<String>> {
    let bootable = bootable(partition, known)?;
    let found = attempt(fsck(partition).arg("-n"))?;
    if found.status.success() {
        return Ok(bootable);
    }
    let mended = partition.with_extension("mended");
    fs::copy(partition, &mended)?;
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    // 1: something was wrong, and is not any more.
    let mend = attempt(fsck(&mended).args(["-a", "-w"]))?;
    ensure!(mend.status.code() == Some(1), "fsck.fat does not mend what it found: {mend:?}\nit found {said}");
    run(fsck(&mended).arg("-n")).context("what fsck.fat has mended is not good")?;
    let after = self::bootable(&mended, known)
        .with_context(|| format!("when fsck.fat had mended the filesystem, where it found\n{said}"))?;
    ensure!(after == bootable, "fsck.fat lost one of {bootable:?}, and left {after:?}. It found\n{said}");
    Ok(bootable)
}

/// The names of what could be started, sorted; each is whole, and one of those known.
fn bootable(partition: &Path, known: &[Known]) -> Result<Vec<String>> {
    let listed = stdout(mtools("mdir", partition).args(["-b", UKIS]))?;
    let mut names = Vec::new();
    for path in listed.lines().filter(|line| line.to_lowercase().ends_with(SUFFIX)) {
        // What has no end in the tables is no error here: as much as there is of it is looked at.
        let bytes = attempt(mtools("mtype", partition).arg(path))?.stdout;
        // What the boot loader passes over: one that is written has its first sector last.
        if !bytes.starts_with(BEGINNING) {
            continue;
        }
        let length = bytes.len();
        let uki = known.iter().find(|uki| uki.bytes == bytes);
        let uki = uki.with_context(|| format!("{path} would be started, {length} bytes that nobody made"))?;
        names.push(uki.name.clone());
    }
    names.sort();
    Ok(names)
}

fn fsck(partition: &Path) -> Command {
    let mut command = Command::new(find("fsck.fat").unwrap_or_else(|| "fsck.fat".into()));
    command.arg(partition);
    command
}

fn mtools(program: &str, partition: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-i").arg(partition);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    const FAT: [&str; 2] = ["mkfs.fat", "mcopy"];

    /// A partition with two UKIs, and one that is half copied.
    fn partition(dir: &Path) -> Result<(std::path::PathBuf, Vec<Known>)> {
        let partition = dir.join("esp");
        File::create(&partition)?.set_len(64 << 20)?;
        run(Command::new(find(FAT[0]).context("no mkfs.fat")?)
            .args(["-F", "32", "-s", "1"])
            .arg(&partition))?;
        run(mtools("mmd", &partition).args(["::/EFI", UKIS]))?;
        let known = [("sealed_1", 1), ("sealed_2", 2)];
        let known = known.map(|(name, byte)| Known {
            name: name.to_owned(),
            bytes: [BEGINNING, &[byte; 99_998]].concat(),
            image: String::new(),
        });
        for (uki, name) in known.iter().zip(["sealed_1.efi", "sealed_2+2-1.efi"]) {
            put(&partition, dir, name, &uki.bytes)?;
        }
        put(&partition, dir, "sealed_3+3.efi", &[0; 50_000])?;
        Ok((partition, known.into()))
    }

    fn put(partition: &Path, dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
        let file = dir.join("file");
        fs::write(&file, bytes)?;
        run(mtools("mcopy", partition).arg("-o").arg(file).arg(format!("{UKIS}/{name}"))).map(drop)
    }

    fn is_missing() -> bool {
        let missing: Vec<_> = FAT.into_iter().filter(|program| find(program).is_none()).collect();
        if !missing.is_empty() {
            sealpack_tests::skip(format_args!("not installed: {}", missing.join(", ")));
        }
        !missing.is_empty()
    }

    #[test]
    fn what_would_be_started_is_found_and_half_a_copy_without_its_beginning_is_none_of_it() -> Result<()> {
        if is_missing() {
            return Ok(());
        }
        let place = tempfile::tempdir()?;
        let (partition, known) = partition(place.path())?;
        assert_eq!(judge(&partition, &known)?, ["sealed_1", "sealed_2"]);
        // As a machine leaves it that was not turned off: a flag (FAT32, offset 65), which is mended.
        File::options().write(true).open(&partition)?.write_all_at(&[1], 65)?;
        let before = fs::read(&partition)?;
        assert_eq!(judge(&partition, &known)?, ["sealed_1", "sealed_2"]);
        assert!(fs::read(&partition)? == before, "what was judged is not as it was");
        Ok(())
    }

    #[test]
    fn half_a_uki_an_unknown_one_and_one_that_a_mend_takes_are_errors() -> Result<()> {
        if is_missing() {
            return Ok(());
        }
        let place = tempfile::tempdir()?;
        let (partition, known) = partition(place.path())?;
        let good = fs::read(&partition)?;
        let said = |known: &[Known]| format!("{:#}", judge(&partition, known).expect_err("it is not good"));
        assert!(
            said(&known[..1]).contains("sealed_2+2-1.efi would be started, 100000 bytes that nobody made")
        );
        put(&partition, place.path(), "sealed_1.efi", &known[0].bytes[..99_999])?;
        assert!(said(&known).contains("sealed_1.efi would be started, 99999 bytes that nobody made"));
        // Its chain ends after the first cluster in both tables, though the size in the directory says more.
        fs::write(&partition, &good)?;
        let file = File::options().read(true).write(true).open(&partition)?;
        let number = |at: u64, bytes: usize| -> Result<u64> {
            let mut number = [0; 8];
            file.read_exact_at(&mut number[..bytes], at)?;
            Ok(u64::from_le_bytes(number))
        };
        let (reserved, table) = (number(14, 2)? * 512, number(36, 4)? * 512);
        // The directories have clusters 3 and 4; the first file begins behind them.
        for copy in [0, table] {
            file.write_all_at(&0x0FFF_FFFF_u32.to_le_bytes(), reserved + copy + 5 * 4)?;
        }
        assert!(said(&known).contains("sealed_1.efi"), "{}", said(&known));
        Ok(())
    }
}
