//! Containers on the sealed host, by containerd with Sealpack's snapshotter.

use super::{read, stdout};
use anyhow::{Context, Result, ensure};
use sealpack_guest::host::containers::{LIBRARY, PAUSE, POD, PROGRAM, REGISTRY, SEALED, UNSEALED};
use sealpack_guest::host::task::Task;
use sealpack_guest::report::Row;
use sealpack_test_cri::Client;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What a shell ends with when a program that is there cannot be executed.
const NOT_EXECUTABLE: i32 = 126;

/// Where containerd listens.
const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// The size of a page.
const PAGE_BYTES: u64 = 4096;

/// Pulled by containerd; with the seal, run, exec'ed into, and all of it from signed devices under the policy.
pub(super) fn run(_: &Task) -> Result<()> {
    let image = sealed()?;
    let said = stdout("ctr", &arguments(&["--rm"], &image, "one", &["/bin/sh", "-c", "cat /name"]))?;
    ensure!(said == SEALED, "it says {said}");
    // The seal came for the first container, by the name that containerd has for the layers.
    let shown = stdout("sealpack", &["inspect", &image, "--json"])?;
    ensure!(shown.contains("\"seal\""), "the image has no seal: {shown}");
    let container = Container::start("two", &image, &[])?;
    let said = container.exec(&["/bin/sh", "-c", "cat /name; echo; id -u"])?;
    ensure!(succeeded(&said) == Some(format!("{SEALED}\n0")), "{said:?}");
    // The shared library is of a signed device, too.
    let said = container.exec(&[PROGRAM, "0"])?;
    ensure!(said.status.success(), "{said:?}");
    mounted_enforced(&image)
}

/// As a kubelet does it: the seals are found by the names that CRI says.
pub(super) fn pod(_: &Task) -> Result<()> {
    let mut client = Client::connect(Path::new(CONTAINERD), "/checks", Path::new("/run/sealpack-checks"))?;
    let image = format!("{REGISTRY}/{POD}");
    client.pull(&image)?;
    let pod = client.run_pod("pod")?;
    let container = client.create(&pod, "one", &image, &[PROGRAM, "3600"])?;
    client.start(&container)?;
    for image in [&image, &format!("{REGISTRY}/{PAUSE}")] {
        mounted_enforced(image)?;
    }
    let said = client.execute(&container, &["/bin/cat", "/name"])?;
    ensure!(said.exit_code == 0 && said.stdout == POD.as_bytes(), "{said:?}");
    let said =
        client.execute(&container, &["/bin/sh", "-c", "cp /bin/busybox /tmp/in-pod && /tmp/in-pod true"])?;
    let why = String::from_utf8_lossy(&said.stderr).into_owned();
    ensure!(said.exit_code == NOT_EXECUTABLE && why.contains("Permission denied"), "{said:?}");
    denied_by_kernel("/tmp/in-pod")?;
    let refused = client.pull(&format!("{REGISTRY}/{UNSEALED}"));
    let why = format!("{:#}", refused.err().context("an unsealed image is pulled")?);
    ensure!(why.contains("FailedPrecondition") && why.contains("must be sealed"), "it says {why}");
    client.remove(&container)?;
    client.remove_pod(&pod)
}

/// By `sealpack run`, which is a container engine of its own.
pub(super) fn alone(_: &Task) -> Result<()> {
    let image = format!("{REGISTRY}/{POD}");
    let run = |options: &[&str], script: &str| -> Result<Output> {
        let start = ["run", "--quiet", "--require", "enforced"];
        // The shell is the image's entrypoint.
        let words = [&start, options, &[&image, "--", "-c", script]].concat();
        Command::new("sealpack").args(words).output().context("cannot start sealpack")
    };
    let limits = ["--pull", "--memory", "64m", "--pids", "20", "--cpus", "0.5"];
    let of = "/sys/fs/cgroup";
    let said = run(&limits, &format!("cat /name; echo; cat {of}/memory.max {of}/pids.max {of}/cpu.max"))?;
    let (memory, processes, processors) = (64 << 20, 20, "50000 100000");
    let wanted = format!("{POD}\n{memory}\n{processes}\n{processors}");
    ensure!(succeeded(&said).as_deref() == Some(&wanted), "{said:?}");
    ensure!(run(&[], "exit 7")?.status.code() == Some(7), "the status is not passed on");
    // From a filesystem that says nothing against it.
    denied(&run(&["--tmpfs", "/x:exec"], "cp /bin/busybox /x/alone && /x/alone true")?, "/x/alone")
}

/// That the snapshotter has said so of an image.
pub(crate) fn mounted_enforced(image: &str) -> Result<()> {
    let log = stdout("journalctl", &["--unit=sealpack-snapshotter", "--output=cat"])?;
    let line = log.lines().find(|line| line.contains(&format!(" image={image} mounted=")));
    ensure!(
        line.is_some_and(|line| line.ends_with("assurance=enforced")),
        "{image} is not mounted enforced: {log}"
    );
    Ok(())
}

/// containerd brings it, and no container is made of it.
pub(super) fn unsealed(_: &Task) -> Result<()> {
    let image = pulled(UNSEALED)?;
    let output = ctr(&arguments(&["--rm"], &image, "unsealed", &["/bin/sh", "-c", "cat /name"]))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "it runs: {output:?}");
    ensure!(said.contains("failed precondition") && said.contains("must be sealed"), "it says {said}");
    let output = Command::new("sealpack").args(["pull", &image]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("no seal"), "sealpack says {said}");
    Ok(())
}

/// What is copied is nobody's; what is renamed is the image's still.
pub(super) fn copy(_: &Task) -> Result<()> {
    let container = Container::start("copies", &sealed()?, &[])?;
    let copied = container.shell("cp /bin/busybox /tmp/copied && /tmp/copied true")?;
    denied(&copied, "/tmp/copied")?;
    let renamed = container.shell(
        "mv /bin/busybox /bin/busybox.renamed && /bin/busybox.renamed chmod 700 /bin/busybox.renamed",
    )?;
    // The shell was found by the name that is gone now.
    ensure!(renamed.status.success(), "{renamed:?}");
    let still = container.exec(&["/bin/busybox.renamed", "cat", "/name"])?;
    ensure!(succeeded(&still).as_deref() == Some(SEALED), "{still:?}");
    Ok(())
}

/// From a filesystem that says nothing against executing.
pub(super) fn bind(_: &Task) -> Result<()> {
    denied(&brought(&sealed()?)?, "/brought/program")
}

/// What comes of a program that a bind mount brings, which can be read in the container.
fn brought(image: &str) -> Result<Output> {
    let place = Path::new("/run/sealpack-brought");
    fs::create_dir_all(place)?;
    stdout("mount", &["-t", "tmpfs", "-o", "exec,suid,dev", "brought", "/run/sealpack-brought"])?;
    let _mounted = Unmounted("/run/sealpack-brought");
    fs::copy("/usr/bin/true", place.join("program"))?;
    let mount = "type=bind,src=/run/sealpack-brought,dst=/brought,options=rbind:ro";
    let container = Container::start("brings", image, &["--mount", mount])?;
    container.shell("cat /brought/program >/dev/null && /brought/program")
}

/// For the demo: a container of a sealed image, and what is tried with it.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let row = |tried: &str, said: String, explained: &str| Row {
        tried: tried.to_owned(),
        said,
        explained: explained.to_owned(),
    };
    let image = sealed()?;
    let container = Container::start("shown", &image, &[])?;
    mounted_enforced(&image)?;
    let run = container.shell("cat /name")?;
    let copied = container.shell("cp /bin/busybox /tmp/copied && /tmp/copied true")?;
    let unsealed = pulled(UNSEALED)?;
    let refused = ctr(&arguments(&["--rm"], &unsealed, "unsealed", &["/bin/sh", "-c", "cat /name"]))?;
    Ok(vec![
        row(
            "ctr pulls a sealed image, and runs a shell in a container of it",
            if run.status.success() { "runs".to_owned() } else { ending(&run) },
            "sealpack-snapshotter: the image is mounted enforced, its layers are in the host's own store",
        ),
        row(
            "a copy of that shell, in the container",
            ending(&copied),
            "the policy: no signed device has the copy",
        ),
        row(
            "a program that a bind mount brings into a container",
            ending(&brought(&image)?),
            "the policy: no signed device has it",
        ),
        row(
            "a container of an image without a seal",
            refusal(&refused),
            "the rules of the host's trust store, which containerd hears from the snapshotter",
        ),
    ])
}

/// What `ctr` says of the snapshotter's refusal.
fn refusal(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match said.split_once("must be sealed") {
        _ if output.status.success() => "runs".to_owned(),
        Some(_) => "refused: it must be sealed".to_owned(),
        None => said,
    }
}

/// How a shell says that a program did not run: behind the last colon.
fn ending(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match said.trim().rsplit(": ").next() {
        _ if output.status.success() => "runs".to_owned(),
        Some("Permission denied") => "EACCES: Permission denied".to_owned(),
        _ => said,
    }
}

/// What the page cache has of a pack is there once, whoever maps it.
pub(super) fn share(_: &Task) -> Result<()> {
    let image = sealed()?;
    let (first, second) = (Container::start("first", &image, &[])?, Container::start("second", &image, &[])?);
    let (first, second) = (first.process()?, second.process()?);
    for process in [first, second] {
        let name = read(&format!("/proc/{process}/comm"))?;
        ensure!(PROGRAM.ends_with(&name), "process {process} is {name}");
    }
    let code = common_frames(first, second, "r-xp")?;
    ensure!(code.iter().all(|(a, b)| a == b), "code is in memory twice: {code:?}");
    let data = common_frames(first, second, "rw-p")?;
    ensure!(data.iter().all(|(a, b)| a != b), "data is shared: {data:?}");
    Ok(())
}

/// The frames that both processes have of the same pages of the library's mapping with these permissions.
fn common_frames(first: u32, second: u32, permissions: &str) -> Result<Vec<(u64, u64)>> {
    let frames = [frames(first, permissions)?, frames(second, permissions)?];
    let both = frames[0].iter().zip(&frames[1]).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
    let both: Vec<_> = both.collect();
    ensure!(!both.is_empty(), "they have no page {permissions} of {LIBRARY} in common: {frames:?}");
    Ok(both)
}

/// The number of the frame that each page of a mapping is in; none for one that is not in memory
/// (Documentation/admin-guide/mm/pagemap.rst).
fn frames(process: u32, permissions: &str) -> Result<Vec<Option<u64>>> {
    let maps = read(&format!("/proc/{process}/maps"))?;
    let is_it = |line: &&str| line.ends_with(LIBRARY) && line.contains(&format!(" {permissions} "));
    let line = maps.lines().find(is_it).with_context(|| format!("no such mapping in\n{maps}"))?;
    let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).context("no range")?;
    let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
    let path = format!("/proc/{process}/pagemap");
    let pagemap = File::open(&path).with_context(|| format!("cannot open {path}"))?;
    (start / PAGE_BYTES..end / PAGE_BYTES)
        .map(|page| {
            let mut entry = [0; 8];
            pagemap.read_exact_at(&mut entry, page * 8).with_context(|| format!("cannot read {path}"))?;
            let entry = u64::from_le_bytes(entry);
            let (is_present, frame) = (entry >> 63 == 1, entry & ((1 << 55) - 1));
            ensure!(!is_present || frame != 0, "root does not see the numbers of frames");
            Ok(is_present.then_some(frame))
        })
        .collect()
}

/// That a shell was not allowed to execute `program`, and the kernel said so.
fn denied(output: &Output, program: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(said.contains(&format!("{program}: Permission denied")), "{output:?}");
    ensure!(output.status.code() == Some(NOT_EXECUTABLE), "{output:?}");
    denied_by_kernel(program)
}

fn denied_by_kernel(program: &str) -> Result<()> {
    let wanted = format!("path=\"{program}\"");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let log = stdout("journalctl", &["--boot", "--output=cat", "_TRANSPORT=audit"])?;
        if log.lines().any(|line| line.contains("ipe_op=EXECUTE") && line.contains(&wanted)) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the kernel said nothing of {program}:\n{log}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The sealed image's name, once containerd has it.
pub(crate) fn sealed() -> Result<String> {
    pulled(SEALED)
}

/// An image's name, once containerd has it.
pub(crate) fn pulled(name: &str) -> Result<String> {
    let image = format!("{REGISTRY}/{name}");
    stdout("ctr", &["images", "pull", "--plain-http", "--snapshotter", "sealpack", &image])?;
    Ok(image)
}

/// A container that waits until this is dropped.
struct Container(&'static str);

impl Container {
    fn start(name: &'static str, image: &str, options: &[&str]) -> Result<Self> {
        let options = [&["--detach", "--null-io"], options].concat();
        // Whatever has become of it is removed.
        let container = Self(name);
        stdout("ctr", &arguments(&options, image, name, &[PROGRAM, "3600"]))?;
        Ok(container)
    }

    /// Runs a program in it.
    fn exec(&self, command: &[&str]) -> Result<Output> {
        ctr(&[&["tasks", "exec", "--exec-id", "check", self.0], command].concat())
    }

    fn shell(&self, script: &str) -> Result<Output> {
        self.exec(&["/bin/sh", "-c", script])
    }

    /// Its process.
    fn process(&self) -> Result<u32> {
        let listed = stdout("ctr", &["tasks", "list"])?;
        let line = listed.lines().find(|line| line.split_whitespace().next() == Some(self.0));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(number.with_context(|| format!("no {} in\n{listed}", self.0))?.parse()?)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // If it did not come so far there is nothing to remove.
        let _ = ctr(&["tasks", "delete", "--force", self.0]);
        let _ = ctr(&["containers", "delete", self.0]);
    }
}

/// A directory that is a mount until this is dropped.
struct Unmounted(&'static str);

impl Drop for Unmounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", self.0]).status();
    }
}

/// The arguments with which `ctr` runs a container.
pub(crate) fn arguments<'a>(
    options: &[&'a str],
    image: &'a str,
    name: &'a str,
    command: &[&'a str],
) -> Vec<&'a str> {
    let start = ["run", "--snapshotter", "sealpack", "--runc-binary", "/usr/bin/crun"];
    [&start, options, &[image, name], command].concat()
}

fn ctr(arguments: &[&str]) -> Result<Output> {
    Command::new("ctr").args(arguments).output().context("cannot start ctr")
}

/// What a program printed that succeeded.
fn succeeded(output: &Output) -> Option<String> {
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
