//! Mounts of ordinary users, in namespaces of their own.

use super::{Broker, ask, connect, version};
use crate::checks::Verdict;
use crate::checks::images::{Store, target};
use crate::checks::leftovers::{ensure_none, settled};
use crate::system::{BUSYBOX, SEALPACK};
use anyhow::{Context, Result, bail, ensure};
use sealpack_format::RootHash;
use sealpack_format::broker::{Answer, Layer, Request, Step, Tree};
use sealpack_guest::images::{SCRIPT_SAYS, SECRET};
use sealpack_kernel::{Errno, Kernel};
use sealpack_tests::command::{attempt, run, stdout};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const USER: u32 = 1000;

/// How many devices of one root hash, each of another file, one user can have.
const NAMES_MAX: usize = 16;

/// What the names of the user's devices end with, which are his own whoever else has such: 16 for each user.
const FIRST_OF_USER: &str = "-16001";

/// What is the user's.
const HOME: &str = "/disk/user";

/// Tells a process that runs this check what it is to do as a user.
const AS_USER: &str = "SEALPACK_CHECK_AS_USER";

pub(crate) fn all() -> Result<Verdict> {
    if let Some(part) = std::env::var_os(AS_USER) {
        match part.to_str() {
            Some("namespace") => foreign_namespace()?,
            Some("idle") => too_many_connections()?,
            Some("devices") => too_many_devices()?,
            other => bail!("there is no part {other:?}"),
        }
        return Ok(Verdict::Shown);
    }
    let before = settled()?;
    prepare()?;
    let without = in_namespaces(&["mount", "one", &format!("{HOME}/mnt")], "true")?;
    ensure!(without.contains("needs root"), "without a broker: {without}");
    let broker = Broker::service()?;
    mounted_and_run()?;
    outside_of_a_namespace()?;
    ensure_none(&before)?;
    part("namespace")?;
    part("devices")?;
    ensure_none(&before)?;
    part("idle")?;
    // Whatever the user holds, others are served.
    let started = Instant::now();
    version()?;
    ensure!(started.elapsed() < Duration::from_secs(2), "a user delays others by {:?}", started.elapsed());
    ensure!(!broker.is_gone(), "the broker has ended");
    Ok(Verdict::Shown)
}

/// A store of the user's, with an image that is sealed.
fn prepare() -> Result<()> {
    if Path::new(HOME).exists() {
        return Ok(());
    }
    for directory in ["mnt", "store"] {
        fs::create_dir_all(format!("{HOME}/{directory}"))?;
    }
    let sealpack =
        |words: &[&str]| run(Command::new(SEALPACK).args(["--store", &format!("{HOME}/store")]).args(words));
    sealpack(&["pull", "--objects", "packs", "oci:/disk/layouts/one:latest", "--name", "one"])?;
    sealpack(&["seal", "one", "--key", "/disk/keys/p256.key", "--cert", "/disk/keys/p256.pem"])?;
    for number in 0..=NAMES_MAX {
        fs::copy("/disk/signed/device", format!("{HOME}/copy-{number}"))?;
    }
    run(Command::new(BUSYBOX).args(["chown", "-R", &format!("{USER}:{USER}"), HOME])).map(drop)
}

fn as_user(program: &str) -> Command {
    let mut command = Command::new(program);
    command.uid(USER).gid(USER).env("HOME", HOME).current_dir("/");
    command
}

fn part(name: &str) -> Result<()> {
    let itself = std::env::current_exe()?;
    let mut command = as_user(&itself.to_string_lossy());
    let output = attempt(command.args(["check", "broker_users"]).env(AS_USER, name))?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    ensure!(output.status.success(), "as a user, {name}: {}", output.status);
    Ok(())
}

/// Runs `sealpack` with these words, and then a script, as the user in a user namespace and a mount namespace; what
/// both print.
fn in_namespaces(words: &[&str], script: &str) -> Result<String> {
    let words = words.join(" ");
    let script = format!("{SEALPACK} --store {HOME}/store {words} 2>&1 && {script}");
    let mut command = as_user(BUSYBOX);
    let output = attempt(command.args(["unshare", "-U", "-r", "-m", BUSYBOX, "sh", "-c", &script]))?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn mounted_and_run() -> Result<()> {
    // Root has the same image mounted, from other files: the same root hashes, and other devices.
    let _of_root = Store::Sealed.mount("one", &target("of-root")?, "enforced")?;
    let at = format!("{HOME}/mnt");
    let script = format!(
        "{BUSYBOX} chroot {at} /bin/script; {BUSYBOX} stat -c '%u:%g %a' {at}/private/file; \
         {BUSYBOX} head -c 14 {at}/private/file; echo; {BUSYBOX} grep {at} /proc/self/mountinfo; \
         {BUSYBOX} touch {at}/new; {BUSYBOX} cat /sys/block/dm-*/dm/name; {SEALPACK} umount {at}"
    );
    let said = in_namespaces(&["mount", "one", &at, "--require", "signed"], &script)?;
    println!("{said}");
    for wanted in [
        "read-only, signed",
        SCRIPT_SAYS,
        // Root's in the image, and so the user's in his namespace, who is root there.
        "0:0 600",
        SECRET.trim_end(),
        "sealpack:",
        "Read-only file system",
        ": unmounted",
    ] {
        ensure!(said.contains(wanted), "it does not say {wanted:?}");
    }
    let devices: Vec<_> = said.lines().filter(|line| line.starts_with("sealpack-s-")).collect();
    let (of_user, of_root): (Vec<_>, Vec<_>) = devices.iter().partition(|name| name.ends_with(FIRST_OF_USER));
    ensure!(of_user.len() == 3 && of_root.len() == 3, "three devices each: {devices:?}");
    let is_of_root =
        |name: &str| name.strip_suffix(FIRST_OF_USER).is_some_and(|name| of_root.contains(&name));
    ensure!(of_user.iter().filter(|name| is_of_root(name)).count() >= 2, "the packs are others: {devices:?}");
    let mount = said.lines().find(|line| line.contains(" - overlay ")).context("no overlay is listed")?;
    ensure!(["ro", "nosuid", "nodev"].iter().all(|word| mount.contains(word)), "{mount}");
    Ok(())
}

/// Without a namespace there is nothing to attach a mount to, and the message says what to do.
fn outside_of_a_namespace() -> Result<()> {
    let mut command = as_user(SEALPACK);
    let output =
        attempt(command.args(["--store", &format!("{HOME}/store"), "mount", "one", &format!("{HOME}/mnt")]))?;
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    ensure!(!output.status.success() && said.contains("unshare --map-root-user --mount"), "{said}");
    let mut command = as_user(SEALPACK);
    run(command.args(["--store", &format!("{HOME}/store"), "gc", "--dry-run"])).context("gc of a user's")?;
    let listed = stdout(Command::new(BUSYBOX).args(["cat", "/proc/self/mountinfo"]))?;
    ensure!(!listed.contains(HOME), "something is mounted: {listed}");
    Ok(())
}

/// As the user: a map by a namespace of somebody else's.
fn foreign_namespace() -> Result<()> {
    let signature = [0; 16];
    let layer = Layer {
        root_hash: RootHash::new([1; 32]),
        data_blocks: 1,
        tree: Tree::Behind,
        signature: &signature,
    };
    let message = Request::Mount { layer, idmapped: true }.to_bytes()?;
    // The first one is root's; and a mount namespace is no user namespace.
    let (file, user, mount) = (
        File::open("/proc/self/cmdline")?,
        File::open("/proc/self/ns/user")?,
        File::open("/proc/self/ns/mnt")?,
    );
    for (namespace, errno) in [(&user, Errno::PERM), (&mount, Errno::INVAL)] {
        match ask(&message, &[file.as_fd(), namespace.as_fd()])?.0 {
            Answer::Refused(refusal)
                if refusal.step == Step::Namespace && refusal.errno == errno.raw_os_error() => {}
            other => bail!("not {errno:?}, but {other:?}"),
        }
    }
    Ok(())
}

/// As the user: more devices with one root hash than a user may have. Others still get one.
fn too_many_devices() -> Result<()> {
    let text = |name: &str| fs::read_to_string(format!("/disk/signed/{name}"));
    let signature = fs::read("/disk/signed/trusted.p7s")?;
    let (root_hash, data_blocks) = (text("root-hash")?.parse()?, text("data-blocks")?.parse()?);
    let layer = Layer { root_hash, data_blocks, tree: Tree::Behind, signature: &signature };
    let message = Request::Mount { layer, idmapped: false }.to_bytes()?;
    let mut held = Vec::new();
    for number in 0..=NAMES_MAX {
        let file = File::open(format!("{HOME}/copy-{number}"))?;
        let (answer, packet) = ask(&message, &[file.as_fd()])?;
        match answer {
            Answer::Done(_) if number < NAMES_MAX => held.push(packet),
            Answer::Refused(refusal) if number == NAMES_MAX && refusal.step == Step::Device => {
                ensure!(refusal.errno == Errno::USERS.raw_os_error(), "{refusal:?}");
                println!("{} devices, then {}", held.len(), refusal.text);
            }
            other => bail!("device {number}: {other:?}"),
        }
    }
    // One that is there is shared all the same.
    let file = File::open(format!("{HOME}/copy-3"))?;
    let (answer, _) = ask(&message, &[file.as_fd()])?;
    ensure!(matches!(answer, Answer::Done(_)), "a device that is there: {answer:?}");
    Ok(())
}

/// As the user: more connections than a user may have.
fn too_many_connections() -> Result<()> {
    let kernel = Kernel::new();
    let mut held = Vec::new();
    let refused = loop {
        ensure!(held.len() < 50, "a user has as many connections as he likes");
        let connection = connect(&kernel)?;
        kernel.limit_waiting(&connection, Duration::from_millis(300))?;
        let mut buffer = [0; 100];
        match kernel.receive(&connection, &mut buffer) {
            Ok(packet) => break Answer::parse(buffer.get(..packet.length).unwrap_or_default())?,
            Err(error) if error.errno() == Errno::AGAIN => held.push(connection),
            Err(error) => return Err(error.into()),
        }
    };
    println!("{} connections, then {refused:?}", held.len());
    match refused {
        Answer::Refused(refusal) if refusal.step == Step::Limit => Ok(()),
        other => bail!("{other:?}"),
    }
}
