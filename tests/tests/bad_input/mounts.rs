//! Mounts and unmounts that are refused. What is mounted stays as it was.

use crate::support::*;
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::ImageLayer;
use sealpack_tests::command::{attempt, run};
use sealpack_tests::layer_tar::archive;
use sealpack_tests::refusal::Exit;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// All mounts that this test sees, but for their numbers.
fn mounts() -> Result<Vec<String>> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo")?;
    Ok(table.lines().filter_map(|line| line.split_once(' ')).map(|(_, rest)| rest.to_owned()).collect())
}

/// A command that must fail, with the mounts and the store as they were.
fn refuses(case: &Case, exit: Exit, arguments: &[&str], words: &[&str]) -> Result<()> {
    let before = mounts()?;
    case.sealpack.refuses(exit, arguments, words)?;
    let now = mounts()?;
    ensure!(now == before, "{arguments:?} has changed what is mounted: {before:#?}, then {now:#?}");
    Ok(())
}

fn directory_in(case: &Case, name: &str) -> Result<String> {
    Ok(case.directory(name)?.to_string_lossy().into_owned())
}

/// A directory with `good` mounted on it until this is dropped.
struct Mounted<'a> {
    case: &'a Case,
    target: String,
}

impl<'a> Mounted<'a> {
    fn new(case: &'a Case, name: &str) -> Result<Self> {
        Self::of(case, "good", name)
    }

    /// With another image, that has the same `/etc/motd`.
    fn of(case: &'a Case, image: &str, name: &str) -> Result<Self> {
        let target = directory_in(case, name)?;
        case.sealpack.run(["mount", image, &target])?;
        Ok(Self { case, target })
    }

    fn is_intact(&self) -> Result<()> {
        let read = fs::read_to_string(Path::new(&self.target).join("etc/motd"))?;
        ensure!(read == text(1, 5000), "the mounted file has changed");
        Ok(())
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // So that the directory can be removed; a test may have unmounted it already.
        let _ = attempt(&mut self.case.sealpack.command(["umount", "--lazy", &self.target]));
    }
}

#[test]
fn a_directory_that_has_an_image_mounted_is_refused_another() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let mounted = Mounted::new(&case, "mnt")?;
        let image = case.sealpack.image_digest("good")?;
        let words = [mounted.target.as_str(), "already", &image];
        refuses(&case, Exit::Failed, &["mount", "good", &mounted.target], &words)?;
        mounted.is_intact()
    })
}

#[test]
fn the_last_name_of_a_mounted_image_is_not_removed() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let mounted = Mounted::new(&case, "mnt")?;
        let words = ["library/good", "mounted on", &mounted.target, "hint: ", "umount"];
        refuses(&case, Exit::Failed, &["rm", "good"], &words)?;
        // All names at once are the last one too.
        case.sealpack.run(["tag", "good", "better"])?;
        refuses(&case, Exit::Failed, &["rm", "better", "good"], &["mounted on", &mounted.target])?;
        case.sealpack.run(["rm", "better"])?;
        mounted.is_intact()
    })
}

#[test]
fn a_mounted_image_survives_the_loss_of_its_name() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::without_store()?;
        // An image that no other test mounts: gc keeps whatever is mounted anywhere on the machine.
        let own = archive(&[file("etc/motd", &text(1, 5000)), file("own", &text(101, 1000))]);
        case.sealpack.run(["pull", &case.layout(&image(vec![ImageLayer::gzip(&own)]))?, "--name", "own"])?;
        let mounted = Mounted::of(&case, "own", "mnt")?;
        case.sealpack.run(["rm", "--force", "own"])?;
        case.sealpack.run(["gc"])?;
        mounted.is_intact()?;
        case.sealpack.run(["umount", &mounted.target])?;
        case.sealpack.run(["gc"])?;
        let files = case.sealpack.files()?.into_iter();
        let left: Vec<PathBuf> = files.filter(|path| path.starts_with("objects")).collect();
        ensure!(left.is_empty(), "gc has left {left:?}");
        Ok(())
    })
}

#[test]
fn a_name_that_moves_away_from_a_mounted_image_leaves_the_mount() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let mounted = Mounted::new(&case, "mnt")?;
        let other = image(vec![ImageLayer::gzip(&archive(&[file("other", &text(100, 1000))]))]);
        case.sealpack.run(["pull", &case.layout(&other)?, "--name", "good"])?;
        case.sealpack.run(["gc"])?;
        mounted.is_intact()?;
        case.sealpack.state().map(drop)
    })
}

#[test]
fn an_image_mounted_from_one_store_does_not_keep_its_name_in_another() -> Result<()> {
    with_own_mounts(|| {
        let (case, other) = (Case::new()?, Case::new()?);
        let mounted = Mounted::new(&case, "mnt")?;
        other.sealpack.run(["rm", "good"])?;
        other.sealpack.run(["gc"])?;
        mounted.is_intact()
    })
}

#[test]
fn targets_that_are_no_directory_are_refused() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let (missing, file) = (case.path("missing"), case.path("file"));
        fs::write(&file, "x")?;
        let (missing, file) = (missing.to_string_lossy(), file.to_string_lossy());
        refuses(&case, Exit::Failed, &["mount", "good", &missing], &["target", &missing, "No such file"])?;
        refuses(&case, Exit::Failed, &["mount", "good", &file], &["target", &file, "Not a directory"])?;
        refuses(&case, Exit::Failed, &["umount", &missing], &["target", &missing, "No such file"])
    })
}

#[test]
fn directories_for_changes_that_are_unfit_are_refused() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let (target, upper) = (directory_in(&case, "mnt")?, directory_in(&case, "upper")?);
        let (work, inside) = (directory_in(&case, "work")?, directory_in(&case, "upper/inside")?);
        let missing = case.path("missing").to_string_lossy().into_owned();
        let mount = |upper: &str, work: &str, words: &[&str]| {
            refuses(&case, Exit::Failed, &["mount", "good", &target, "--upper", upper, "--work", work], words)
        };
        mount(&missing, &work, &["upper", &missing, "No such file"])?;
        mount(&upper, &missing, &["work", &missing, "No such file"])?;
        mount(&upper, &upper, &[&upper, "must not be the same"])?;
        mount(&upper, &inside, &[&inside, "must not be"])?;
        mount(&upper, "/proc", &["/proc", "same filesystem"])?;
        Ok(())
    })
}

#[test]
fn a_directory_for_changes_is_not_shared_by_two_mounts() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let (first, second) = (directory_in(&case, "first")?, directory_in(&case, "second")?);
        let (upper, work) = (directory_in(&case, "upper")?, directory_in(&case, "work")?);
        let other_work = directory_in(&case, "other-work")?;
        case.sealpack.run(["mount", "good", &first, "--upper", &upper, "--work", &work])?;
        let arguments = ["mount", "good", &second, "--upper", &upper, "--work", &other_work];
        let refused = refuses(&case, Exit::Failed, &arguments, &[&upper, "in use", &first]);
        case.sealpack.run(["umount", &first])?;
        refused
    })
}

#[test]
fn a_level_that_cannot_be_had_is_refused() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let target = directory_in(&case, "mnt")?;
        for level in ["signed", "enforced"] {
            let arguments = ["mount", "good", &target, "--require", level];
            refuses(&case, Exit::Refused, &arguments, &[level, "is required"])?;
        }
        let arguments = ["mount", "good", &target, "--require", "verified"];
        let verified = case.sealpack.attempt(arguments)?;
        match verified.status.code() {
            Some(0) => case.sealpack.run(["umount", &target]).map(drop),
            Some(3) => refuses(&case, Exit::Refused, &arguments, &["verified is required", "plain"]),
            other => anyhow::bail!("exit status {other:?}: {}", String::from_utf8_lossy(&verified.stderr)),
        }
    })
}

#[test]
fn what_is_not_ours_is_not_unmounted() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let target = directory_in(&case, "mnt")?;
        refuses(&case, Exit::Failed, &["umount", &target], &[&target, "not a mount point"])?;
        run(Command::new("mount").args(["-t", "tmpfs", "somebody", &target]))?;
        let refused = refuses(&case, Exit::Failed, &["umount", &target], &[&target, "tmpfs", "left alone"]);
        run(Command::new("umount").arg(&target))?;
        refused
    })
}

#[test]
fn a_mount_in_use_is_not_unmounted() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let mounted = Mounted::new(&case, "mnt")?;
        let open = File::open(Path::new(&mounted.target).join("etc/motd"))?;
        refuses(
            &case,
            Exit::Failed,
            &["umount", &mounted.target],
            &[&mounted.target, "in use", "lazily", "umount --lazy"],
        )?;
        drop(open);
        case.sealpack.run(["umount", &mounted.target])?;
        refuses(&case, Exit::Failed, &["umount", &mounted.target], &["not a mount point"])
    })
}

#[test]
fn a_directory_inside_a_mounted_image_is_not_a_mount_point() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let mounted = Mounted::new(&case, "mnt")?;
        let inside = format!("{}/etc", mounted.target);
        refuses(&case, Exit::Failed, &["umount", &inside], &[&inside, "not a mount point"])?;
        mounted.is_intact()
    })
}

#[test]
fn an_image_whose_metadata_is_gone_is_not_mounted() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let target = directory_in(&case, "mnt")?;
        let digest = case.sealpack.image_digest("good")?;
        let image = case.sealpack.files()?.into_iter().find(|path| path.starts_with("images"));
        fs::remove_file(case.sealpack.store().join(image.context("no metadata image")?))?;
        let before = mounts()?;
        let words = ["metadata image", digest.as_str(), "pull the image again"];
        case.sealpack.fails(Exit::Failed, ["mount", "good", &target], &words)?;
        ensure!(mounts()? == before, "something is mounted");
        Ok(())
    })
}

/// Mounts and unmounts, once what was just written is old enough to be remembered: what the mount finds out is then not looked
/// for again.
fn mount_once(case: &Case, target: &str) -> Result<()> {
    std::thread::sleep(std::time::Duration::from_millis(2100));
    for _ in 0..2 {
        case.sealpack.run(["mount", "good", target])?;
        case.sealpack.run(["umount", target])?;
    }
    ensure!(case.sealpack.store().join("facts").exists(), "nothing is remembered");
    Ok(())
}

#[test]
fn an_object_that_goes_after_a_mount_is_missed_by_the_next() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let target = directory_in(&case, "mnt")?;
        mount_once(&case, &target)?;
        let objects: Vec<_> =
            case.sealpack.files()?.into_iter().filter(|path| path.starts_with("objects")).collect();
        for object in &objects {
            let (path, aside) = (case.sealpack.store().join(object), case.path("aside"));
            fs::rename(&path, &aside)?;
            let before = mounts()?;
            case.sealpack.fails(
                Exit::Failed,
                ["mount", "good", &target],
                &["good:latest is incomplete: object "],
            )?;
            ensure!(mounts()? == before, "something is mounted");
            fs::rename(&aside, &path)?;
            mount_once(&case, &target)?;
        }
        ensure!(!objects.is_empty(), "the image has no objects");
        Ok(())
    })
}

#[test]
fn a_pack_that_changes_after_a_mount_is_looked_into_by_the_next() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let target = directory_in(&case, "mnt")?;
        case.sealpack.run(["convert", "good", "--to", "packs"])?;
        mount_once(&case, &target)?;
        let pack = case.sealpack.files()?.into_iter().find(|path| path.starts_with("packs"));
        let pack = case.sealpack.store().join(pack.context("there is no pack")?);
        let good = fs::read(&pack)?;
        // The name of an object becomes another, in place; superblocks and root hash are as they were.
        let object = case
            .sealpack
            .files()?
            .into_iter()
            .find(|path| path.starts_with("objects"))
            .context("no object")?;
        let name = object.file_name().context("no name")?.to_string_lossy().into_owned().into_bytes();
        let at =
            good.windows(name.len()).position(|window| window == name).context("it is not in the pack")?;
        let mut bad = good.clone();
        bad[at + 5] = if bad[at + 5] == b'0' { b'1' } else { b'0' };
        fs::write(&pack, &bad)?;
        let before = mounts()?;
        case.sealpack.fails(
            Exit::Refused,
            ["mount", "good", &target],
            &["the packs of this image are not all that it needs: object "],
        )?;
        // As it was, but for the time.
        fs::write(&pack, &good)?;
        mount_once(&case, &target)?;
        // Another pack, whole, in its place.
        let other = image(vec![ImageLayer::gzip(&archive(&[file("other", &text(100, 1000))]))]);
        case.sealpack.run(["pull", "--objects", "packs", &case.layout(&other)?, "--name", "other"])?;
        let directory = pack.parent().context("no directory")?;
        let is_other = |path: &PathBuf| *path != pack;
        let other = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        fs::copy(other.into_iter().find(is_other).context("there is one pack only")?, &pack)?;
        case.sealpack.fails(Exit::Refused, ["mount", "good", &target], &[])?;
        fs::remove_file(&pack)?;
        case.sealpack.fails(
            Exit::Failed,
            ["mount", "good", &target],
            &[&pack.to_string_lossy(), "is missing"],
        )?;
        ensure!(mounts()? == before, "something is mounted");
        Ok(())
    })
}

#[test]
fn a_plan_mounts_nothing() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::new()?;
        let target = directory_in(&case, "mnt")?;
        let before = mounts()?;
        let said = String::from_utf8(case.sealpack.run(["mount", "good", &target, "--plan"])?.stdout)?;
        ensure!(said.contains("overlay") && said.contains("erofs"), "{said}");
        ensure!(mounts()? == before, "the plan was carried out");
        Ok(())
    })
}
