//! Mounts of packs that go wrong at any point, and devices that are not ours: through the library, which can be made
//! to fail or to die before each of its system calls.

use super::Verdict;
use crate::system::SEALPACK;
use anyhow::{Context, Result, bail, ensure};
use sealpack_format::digest::RootHash;
use sealpack_format::pack::PackReader;
use sealpack_kernel::dm::{DeviceName, DeviceNumber, VerityTable};
use sealpack_kernel::{Call, Errno, Kernel};
use sealpack_mount::{
    Backing, Level, MetadataHashArea, Objects, Pack, Plan, Request, Signature, apply, remove_leftovers,
    unmount,
};
use sealpack_tests::command::{run, stdout};
use sealpack_trust::seal::Seal;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Tells a process that runs a check for which call of a mount it is to die.
const DIE_AT: &str = "SEALPACK_CHECK_DIE_AT";

/// Tells a process that runs a check where it is to mount.
const MOUNT_ON: &str = "SEALPACK_CHECK_MOUNT_ON";

/// How many processes mount at once.
const RACERS: usize = 10;

/// How long the kernel may take to remove what nobody uses any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store with one image, sealed by a key that the kernel knows.
struct Place {
    dir: PathBuf,
    seal: Seal,
}

impl Place {
    fn new(name: &str) -> Result<Self> {
        let dir = Path::new("/disk").join(name);
        fs::create_dir_all(dir.join("mnt"))?;
        let sealpack = |arguments: &[&str]| {
            let mut command = Command::new(SEALPACK);
            command.arg("--store").arg(dir.join("store")).args(arguments);
            command
        };
        if !dir.join("store").exists() {
            run(&mut sealpack(&["pull", "oci:/disk/layouts/busybox:latest", "--name", "busybox"]))?;
            let key = ["--key", "/disk/keys/p256.key", "--cert", "/disk/keys/p256.pem"];
            run(sealpack(&["seal", "busybox"]).args(key))?;
        }
        let seal = only(&dir.join("store/seals"), "json")?;
        Ok(Self { seal: Seal::parse(&fs::read(seal)?)?, dir })
    }

    fn signatures(&self, root_hash: &RootHash) -> Vec<Signature> {
        let signatures = self.seal.signatures(root_hash).iter();
        signatures.map(|der| Signature { der: der.clone(), signer: "the test's key".into() }).collect()
    }

    fn request(&self, target: PathBuf) -> Result<Request> {
        let statement = self.seal.statement();
        let [sealed_metadata] = statement.metadata() else { bail!("not one metadata image: {statement:?}") };
        let image = self.only("images", "erofs")?;
        let metadata = MetadataHashArea {
            path: self.only("images", "verity")?,
            data_blocks: fs::metadata(&image)?.len() / 4096,
            root_hash: sealed_metadata.root_hash,
            signatures: self.signatures(&sealed_metadata.root_hash),
        };
        let [sealed] = statement.packs() else { bail!("the image has not one pack: {statement:?}") };
        let path = self.only("packs/sha256", "pack")?;
        let pack = Pack {
            root_hash: sealed.root_hash,
            filesystem_blocks: PackReader::open(File::open(&path)?)?.filesystem_blocks(),
            signatures: self.signatures(&sealed.root_hash),
            path,
        };
        Ok(Request {
            image_id: sealed_metadata.id,
            image,
            objects: Objects::Packs { metadata, packs: vec![pack], are_complete: false },
            writable: None,
            target,
            read_only: false,
            noexec: false,
            nosuid: false,
            required: Level::Signed,
            at_most: Level::Enforced,
        })
    }

    fn plan(&self) -> Result<Plan> {
        Ok(Plan::new(self.request(self.target())?)?)
    }

    fn target(&self) -> PathBuf {
        self.dir.join("mnt")
    }

    fn only(&self, dir: &str, extension: &str) -> Result<PathBuf> {
        only(&self.dir.join("store").join(dir), extension)
    }

    fn ensure_shows_the_image(&self, target: &Path) -> Result<()> {
        let program = fs::read(target.join("bin/busybox")).context("reading the program")?;
        ensure!(program.starts_with(b"\x7fELF"), "another program is shown");
        Ok(())
    }
}

/// The one file in a directory that ends so.
fn only(dir: &Path, extension: &str) -> Result<PathBuf> {
    let paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut paths = paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == extension));
    paths.next().with_context(|| format!("{} has no file .{extension}", dir.display()))
}

/// The names of our devices, and the files behind loop devices.
fn left() -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let kernel = Kernel::new();
    let devices = kernel.device_mapper()?.devices()?.into_iter().map(|(name, _)| name);
    let mut files = BTreeSet::new();
    for entry in fs::read_dir("/sys/block")? {
        files.extend(fs::read_to_string(entry?.path().join("loop/backing_file")).ok());
    }
    Ok((devices.filter(|name| name.starts_with("sealpack-")).collect(), files))
}

fn ensure_nothing_left(of: &Path) -> Result<()> {
    let started = Instant::now();
    loop {
        let (devices, files) = left()?;
        let is_of = |file: &&String| Path::new(file.trim_end()).starts_with(of);
        if devices.is_empty() && files.iter().find(is_of).is_none() {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "still there: {devices:?}, {files:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a call changes something, so that what went before it matters.
fn matters(call: &Call) -> bool {
    let is_device = call.name == "open" && call.arguments.contains("/dev/");
    is_device
        || matches!(
            call.name,
            "ioctl" | "flock" | "add_key" | "keyctl" | "fsopen" | "fsmount" | "move_mount" | "unshare"
        )
}

/// A kernel that calls `at` before the call with that number, of those that matter, and how many there were.
fn kernel_at(
    number: usize,
    at: impl Fn() -> Option<Errno> + Send + Sync + 'static,
) -> (Kernel, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let kernel = Kernel::with_hook(move |call| {
        (matters(call) && counter.fetch_add(1, Ordering::Relaxed) == number).then(&at).flatten()
    });
    (kernel, seen)
}

/// This check, in a process of its own.
fn another_process(check: &str, variable: &str, value: impl AsRef<std::ffi::OsStr>) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["check", check]).env(variable, value).spawn().context("starting another process")
}

pub(crate) fn killed() -> Result<Verdict> {
    let place = Place::new("killed")?;
    if let Some(number) = std::env::var_os(DIE_AT) {
        let number = number.to_str().and_then(|number| number.parse().ok()).context("no number")?;
        let die =
            || rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).err();
        apply(&kernel_at(number, die).0, &place.plan()?)?;
        return Ok(Verdict::Shown);
    }
    let (kernel, seen) = kernel_at(usize::MAX, || None);
    apply(&kernel, &place.plan()?)?;
    place.ensure_shows_the_image(&place.target())?;
    unmount(&Kernel::new(), &place.target(), false)?;
    ensure_nothing_left(&place.dir)?;
    let (calls, mut removed) = (seen.load(Ordering::Relaxed), 0);
    for number in 0..calls {
        let status = another_process("mount_killed", DIE_AT, number.to_string())?.wait()?;
        ensure!(!status.success(), "call {number} of {calls} did not kill it");
        removed += remove_leftovers(&Kernel::new())?.len();
        ensure_nothing_left(&place.dir).with_context(|| format!("killed at call {number}"))?;
        ensure!(fs::read_dir(place.target())?.next().is_none(), "something is mounted");
    }
    println!("killed at each of {calls} calls; {removed} times a device that nobody had opened was removed");
    ensure!(removed > 0, "there was no leftover, so nothing shows that they are removed");
    Ok(Verdict::Shown)
}

pub(crate) fn failed() -> Result<Verdict> {
    let place = Place::new("failed")?;
    let plan = place.plan()?;
    let (kernel, seen) = kernel_at(usize::MAX, || None);
    apply(&kernel, &plan)?;
    unmount(&Kernel::new(), &place.target(), false)?;
    ensure_nothing_left(&place.dir)?;
    let calls = seen.load(Ordering::Relaxed);
    for number in 0..calls {
        let (kernel, _) = kernel_at(number, || Some(Errno::IO));
        match apply(&kernel, &plan) {
            Ok(_) => {
                // Releasing a lock, or taking a key back, fails only if that was done before.
                unmount(&Kernel::new(), &place.target(), false)?;
            }
            Err(error) => ensure!(error.to_string().contains("EIO"), "call {number}: {error}"),
        }
        ensure_nothing_left(&place.dir).with_context(|| format!("call {number} failed"))?;
    }
    println!("{calls} calls failed, and nothing was left of any");
    apply(&Kernel::new(), &plan)?;
    unmount(&Kernel::new(), &place.target(), false)?;
    ensure_nothing_left(&place.dir)?;
    Ok(Verdict::Shown)
}

pub(crate) fn raced() -> Result<Verdict> {
    let place = Place::new("raced")?;
    if let Some(target) = std::env::var_os(MOUNT_ON) {
        let target = PathBuf::from(target);
        // Mounting and unmounting by turns, others' last unmount meets this one's mount.
        for _ in 0..3 {
            apply(&Kernel::new(), &Plan::new(place.request(target.clone())?)?)?;
            place.ensure_shows_the_image(&target)?;
            unmount(&Kernel::new(), &target, false)?;
        }
        apply(&Kernel::new(), &Plan::new(place.request(target.clone())?)?)?;
        return Ok(Verdict::Shown);
    }
    let targets: Vec<_> = (0..RACERS).map(|number| place.dir.join(format!("mnt-{number}"))).collect();
    let mut processes = Vec::new();
    for target in &targets {
        fs::create_dir_all(target)?;
        processes.push(another_process("mount_raced", MOUNT_ON, target)?);
    }
    for mut process in processes {
        let status = process.wait()?;
        ensure!(status.success(), "one of {RACERS} mounts at once failed: {status}");
    }
    let (devices, _) = left()?;
    ensure!(devices.len() == 2, "{RACERS} mounts of a metadata image and a pack have {devices:?}");
    for target in &targets {
        place.ensure_shows_the_image(target)?;
        unmount(&Kernel::new(), target, false)?;
    }
    ensure_nothing_left(&place.dir)?;
    Ok(Verdict::Shown)
}

pub(crate) fn foreign_device() -> Result<Verdict> {
    let (place, other) = (Place::new("foreign")?, Place::new("foreign-other")?);
    let kernel = Kernel::new();
    let mapper = kernel.device_mapper()?;
    let pack = place.only("packs/sha256", "pack")?;
    let hash = pack.file_stem().and_then(|name| name.to_str()).context("the pack has no name")?;
    let name: DeviceName = format!("sealpack-s-{hash}").parse()?;

    // One that was left by a mount that died.
    mapper.create(&name)?;
    apply(&kernel, &place.plan()?)?;
    // Those of another store have the same content, but are other files.
    let achieved = apply(&kernel, &Plan::new(other.request(other.target())?)?)?;
    let second = format!("{name}-2");
    let [Backing::Device(device)] = &achieved.packs[..] else { bail!("{:?}", achieved.packs) };
    ensure!(device.as_str() == second, "the other store's pack is on {device}, not on {second}");
    other.ensure_shows_the_image(&other.target())?;
    unmount(&kernel, &place.target(), false)?;
    unmount(&kernel, &other.target(), false)?;
    ensure_nothing_left(&place.dir)?;
    ensure_nothing_left(&other.dir)?;

    // One that claims more blocks than there are, as somebody could have made it who wants other bytes shown.
    let file = File::open(&pack)?;
    let loop_device = kernel.attach_loop(file.as_fd())?;
    let number = DeviceNumber::of_open(&loop_device)?;
    let data_blocks = PackReader::open(&file)?.filesystem_blocks();
    let table = VerityTable {
        data: number,
        hashes: number,
        data_blocks: data_blocks - 1,
        hash_start_block: data_blocks + 1,
        root_hash: hash.parse()?,
        signature_key: None,
    };
    mapper.create(&name)?;
    mapper.load(&name, &table)?;
    let device = mapper.open(&name)?;
    mapper.remove_when_unused(&name)?;
    mapper.resume(&name)?;
    drop((loop_device, file));
    let error = apply(&kernel, &place.plan()?).err().context("another device was used")?;
    println!("{error}");
    ensure!(error.is_verification() && error.to_string().contains("its table is"), "{error}");
    drop(device);
    ensure_nothing_left(&place.dir)?;
    Ok(Verdict::Shown)
}

pub(crate) fn doctor() -> Result<Verdict> {
    let said = stdout(Command::new(SEALPACK).args(["--store", "/disk/sealed/store", "doctor"]))?;
    println!("{said}");
    let mut command = Command::new(SEALPACK);
    let report = stdout(command.args(["--store", "/disk/sealed/store", "--json", "doctor"]))?;
    let report: serde_json::Value = serde_json::from_str(&report)?;
    for (level, reachable) in [("plain", true), ("verified", true), ("signed", true), ("enforced", false)] {
        let level = &report["levels"][level];
        ensure!(level["reachable"] == reachable, "without a policy: {level}");
    }
    let keyrings = report["keyrings"].as_array().context("no keyrings")?;
    let platform = keyrings.iter().find(|keyring| keyring["name"] == ".platform").context("no .platform")?;
    ensure!(platform["descriptions"].to_string().contains("sealpack test trusted"), "{platform}");
    ensure!(
        report["ipe"]["enforcing"] == true && report["ipe"]["active_policy"].is_null(),
        "{}",
        report["ipe"]
    );
    ensure!(report["dm_verity"]["require_signatures"] == false, "{}", report["dm_verity"]);
    Ok(Verdict::Shown)
}
