//! Programs that the kernel itself starts, and that have no ancestor which gave something up.

use super::{Tools, Tried, Went};
use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use sealpack_kernel::{Errno, Kernel};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Where the helper leaves its report (`attacks/root.c`).
const REPORT: &str = "/run/sealpack-helper";

/// How long the kernel may take to start it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the kernel starts by itself when a key is asked for (security/keys/request_key.c).
const REQUEST_KEY: &str = "/sbin/request-key";

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    let helper = tools.programs.join("helper");
    let mut tried = by_core_pattern(tools, &helper)?;
    tried.append(&mut by_module_loader(&helper)?);
    tried.append(&mut by_release_agent(tools, &helper)?);
    if Path::new(REQUEST_KEY).exists() {
        tools.root("", &["ask-for-key"])?;
        tried.append(&mut reported("request-key")?);
    }
    Ok(tried)
}

/// A process crashes.
fn by_core_pattern(tools: &Tools, helper: &Path) -> Result<Vec<Tried>> {
    let _back = Setting::change("/proc/sys/kernel/core_pattern", &format!("|{} core", helper.display()))?;
    Command::new(tools.programs.join("root")).arg("crash").status()?;
    reported("core_pattern")
}

/// A filesystem is asked for that the kernel does not have.
fn by_module_loader(helper: &Path) -> Result<Vec<Tried>> {
    let _back = Setting::change("/proc/sys/kernel/modprobe", &helper.to_string_lossy())?;
    if Kernel::new().fsopen("sealpack-attack").is_ok() {
        bail!("the kernel has a filesystem of this name");
    }
    reported("modprobe")
}

/// A group of processes becomes empty, in a hierarchy of the first version.
fn by_release_agent(tools: &Tools, helper: &Path) -> Result<Vec<Tried>> {
    let hierarchy = Hierarchy::new()?;
    let at = |name: &str| hierarchy.0.join(name);
    fs::create_dir(at("group"))?;
    fs::write(at("release_agent"), helper.to_string_lossy().as_bytes()).context("release_agent")?;
    fs::write(at("group/notify_on_release"), "1").context("notify_on_release")?;
    let mut process = Command::new(tools.programs.join("root")).arg("wait").spawn()?;
    fs::write(at("group/cgroup.procs"), process.id().to_string()).context("cgroup.procs")?;
    process.kill()?;
    process.wait()?;
    let tried = reported("release_agent");
    fs::remove_dir(at("group"))?;
    tried
}

/// A named hierarchy of groups, which goes when this does.
struct Hierarchy(PathBuf);

impl Hierarchy {
    fn new() -> Result<Self> {
        let place = PathBuf::from("/run/sealpack-groups");
        fs::create_dir_all(&place)?;
        mount("none", &place, "cgroup", MountFlags::empty(), Some(c"none,name=sealpack-attack"))
            .context("a hierarchy of groups cannot be mounted")?;
        Ok(Self(place))
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        // It is of no use to anybody else.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

/// One of the kernel's settings, which is what it was before when this goes.
struct Setting {
    path: &'static str,
    before: String,
}

impl Setting {
    fn change(path: &'static str, value: &str) -> Result<Self> {
        let before = fs::read_to_string(path).with_context(|| path.to_owned())?;
        fs::write(path, value).with_context(|| path.to_owned())?;
        Ok(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        // The next one who needs it will say so.
        let _ = fs::write(self.path, self.before.trim_end());
    }
}

/// What the helper's report says, once it is there.
fn reported(started_by: &str) -> Result<Vec<Tried>> {
    let begun = Instant::now();
    let report = loop {
        match fs::read_to_string(REPORT) {
            Ok(report) => break report,
            Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => bail!("{started_by} started nothing that left a report: {error}"),
        }
    };
    fs::remove_file(REPORT)?;
    let line = |line: &str| {
        let (about, errno) = line.rsplit_once(' ')?;
        let went = match errno.parse().ok()? {
            0 => Went::Through,
            errno => Went::Refused(Errno::from_raw_os_error(errno)),
        };
        let what = format!("{about}, by a program that the kernel starts through {started_by}");
        Some(Tried { what, went, may_be_missing: false })
    };
    report.lines().map(|text| line(text).with_context(|| format!("the report says {text:?}"))).collect()
}
