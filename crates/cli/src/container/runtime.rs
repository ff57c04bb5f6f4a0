//! The runtimes that this machine has.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealpack_kernel::{Kernel, interrupt, mountinfo};

use crate::error::CommandError;

/// The runtimes that are looked for, the smaller one first.
const NAMES: [&str; 2] = ["crun", "runc"];

/// Where they are looked for besides `$PATH`, which users' shells have without these.
const FURTHER: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/// A program that makes containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Runtime {
    pub(crate) path: PathBuf,
    /// What it calls itself.
    pub(crate) name: String,
    /// Its version, as it says it.
    pub(crate) version: String,
}

/// Whether a runtime works where the kernel executes only what its policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnderPolicy {
    /// It does: that was tried.
    Works,
    /// It does not: it copies itself into memory and executes the copy, which is on no device.
    CopiesItself,
    /// Nobody has tried.
    Unknown,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl Runtime {
    /// The runtime at `path`, asked for its version.
    fn at(path: PathBuf) -> Result<Self, CommandError> {
        let failed = |why: &dyn fmt::Display| CommandError::failed(format_args!("{}: {why}", path.display()));
        let mut command = Command::new(&path);
        interrupt::hears_all(&mut command);
        let output =
            command.arg("--version").stdin(Stdio::null()).output().map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => failed(&"there is no such program"),
                _ => failed(&error),
            })?;
        let text = String::from_utf8_lossy(&output.stdout);
        match told(&text).filter(|_| output.status.success()) {
            Some((name, version)) => Ok(Self { path, name, version }),
            None => Err(failed(&"it does not say its version, as container runtimes do")),
        }
    }

    /// Whether it works under a policy: runc 1.1.15 lost the read-only mount of itself that it executed before, and from
    /// 1.2.0 on it has an overlay of its own directory instead (runc's CHANGELOG).
    pub(crate) fn under_policy(&self) -> UnderPolicy {
        match (self.name.as_str(), numbers(&self.version)) {
            ("crun", _) => UnderPolicy::Works,
            ("runc", Some(version)) if version < (1, 1, 15) => UnderPolicy::Works,
            ("runc", Some(version)) if version < (1, 2, 0) || is_candidate(&self.version, version) => {
                UnderPolicy::CopiesItself
            }
            ("runc", Some(_)) => UnderPolicy::Works,
            _ => UnderPolicy::Unknown,
        }
    }
}

/// Takes the second version's cgroups out of sight where a machine has those of both versions, with which crun does not
/// work. In a mount namespace of the caller's own.
pub(crate) fn hide_second_cgroups(kernel: &Kernel, runtime: &Runtime) -> Result<(), CommandError> {
    const UNIFIED: &str = "/sys/fs/cgroup/unified";
    let mounts = mountinfo::read_own().map_err(CommandError::failed)?;
    let has = |path: &str, fs_type: &str| {
        mounts.iter().any(|mount| mount.mount_point == Path::new(path) && mount.fs_type == fs_type)
    };
    if runtime.name == "crun" && has("/sys/fs/cgroup", "tmpfs") && has(UNIFIED, "cgroup2") {
        kernel.unmount(Path::new(UNIFIED), true).map_err(CommandError::failed)?;
    }
    Ok(())
}

/// Whether it is a candidate of 1.2.0, which lacked the overlay.
fn is_candidate(version: &str, numbers: (u32, u32, u32)) -> bool {
    numbers == (1, 2, 0) && (version.contains("-rc") || version.contains("~rc"))
}

/// Name and version in what a runtime says: `runc version 1.1.5+ds1`.
fn told(text: &str) -> Option<(String, String)> {
    let mut words = text.lines().next()?.split_whitespace();
    let name = words.next()?;
    let version = words.find(|word| *word != "version")?;
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| (name.to_owned(), version.to_owned()))
}

/// The first three numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

/// The runtimes that are installed, in the order in which they are taken.
pub(crate) fn installed() -> Vec<Runtime> {
    NAMES.iter().filter_map(|name| find(name)).filter_map(|path| Runtime::at(path).ok()).collect()
}

/// The runtime to use: the one that is named, by path or name, or the first that works here.
pub(crate) fn choose(kernel: &Kernel, named: Option<&Path>) -> Result<Runtime, CommandError> {
    let is_enforced = sealpack_mount::enforcement_in_force(kernel).is_ok();
    if let Some(named) = named {
        let has_directory = named.components().count() > 1;
        let path = if has_directory { Some(named.to_owned()) } else { find(&named.to_string_lossy()) };
        let path = path.ok_or_else(|| {
            CommandError::failed(format_args!("there is no runtime {} in $PATH", named.display()))
        })?;
        return first_that_works(&[Runtime::at(path)?], is_enforced);
    }
    first_that_works(&installed(), is_enforced)
}

/// The first of those that are installed which can make containers here.
fn first_that_works(installed: &[Runtime], is_enforced: bool) -> Result<Runtime, CommandError> {
    let works = |runtime: &&Runtime| !is_enforced || runtime.under_policy() != UnderPolicy::CopiesItself;
    if let Some(runtime) = installed.iter().find(works) {
        return Ok(runtime.clone());
    }
    let Some(runtime) = installed.first() else {
        return Err(CommandError::failed(
            "there is no container runtime: neither crun nor runc is installed",
        )
        .hint("install the package crun or runc, or name another runtime with --runtime"));
    };
    Err(CommandError::refused(format_args!(
        "{runtime} ({}) cannot make containers here: it executes a copy of itself in memory, which the kernel's policy denies",
        runtime.path.display()
    ))
    .hint("crun, and runc before 1.1.15 and from 1.2.0 on, can; `sealpack doctor` lists what is installed"))
}

/// A program by name.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = std::env::split_paths(&path).chain(std::env::split_paths(FURTHER)).collect();
    places
        .into_iter()
        .filter(|place| place.is_absolute())
        .map(|place| place.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_known_by_its_first_line() {
        assert_eq!(told("runc version 1.1.5+ds1\ncommit: x\n"), Some(("runc".into(), "1.1.5+ds1".into())));
        assert_eq!(told("crun version 1.8.1\n"), Some(("crun".into(), "1.8.1".into())));
        assert_eq!(told("youki 0.5.3\n"), Some(("youki".into(), "0.5.3".into())));
        assert_eq!((told(""), told("bash, version"), told("runc version unknown")), (None, None, None));
    }

    #[test]
    fn a_runtime_that_cannot_work_is_refused_by_name_only_where_a_policy_is_enforced() {
        let of = |name: &str, version: &str| Runtime {
            path: format!("/usr/sbin/{name}").into(),
            name: name.into(),
            version: version.into(),
        };
        let (copies, works) = (of("runc", "1.1.15"), of("crun", "1.21"));
        assert_eq!(first_that_works(std::slice::from_ref(&copies), false).unwrap().name, "runc");
        assert_eq!(first_that_works(&[copies.clone(), works], true).unwrap().name, "crun");
        let refused = first_that_works(&[copies], true).unwrap_err();
        assert_eq!(refused.exit_status(), 3);
        assert!(refused.message().starts_with("runc 1.1.15 (/usr/sbin/runc) cannot make containers here"));
        assert!(refused.hint_text().is_some_and(|hint| hint.contains("crun")));
        assert_eq!(first_that_works(&[], true).unwrap_err().exit_status(), 1);
    }

    #[test]
    fn which_runtimes_work_under_a_policy_is_known_by_version() {
        let under = |name: &str, version: &str| {
            Runtime { path: "/x".into(), name: name.into(), version: version.into() }.under_policy()
        };
        for version in ["1.0.3", "1.1.5+ds1", "1.1.14", "1.2.0", "1.2.5", "1.3.6"] {
            assert_eq!(under("runc", version), UnderPolicy::Works, "{version}");
        }
        for version in ["1.1.15", "1.1.15+ds1-2", "1.1.16", "1.2.0-rc.1", "1.2.0~rc2"] {
            assert_eq!(under("runc", version), UnderPolicy::CopiesItself, "{version}");
        }
        assert_eq!(under("crun", "1.8.1"), UnderPolicy::Works);
        assert_eq!(
            (under("runc", "new"), under("youki", "0.5.3")),
            (UnderPolicy::Unknown, UnderPolicy::Unknown)
        );
    }
}
