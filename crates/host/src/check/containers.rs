//! Container runtimes, where there are some.

use super::files::Files;
use super::{Finding, Requirement};
use crate::version::is_at_least;

/// What Debian's packages are, and in which versions.
const PACKAGES: &str = "/var/lib/dpkg/status";

/// A runtime: where it is, which is Debian's package, and from which version on one was seen to run containers on a sealed
/// host.
struct Runtime {
    path: &'static str,
    package: &'static str,
    runs: &'static [u32],
    /// The versions from the first to before the second of these fail: they start from a copy of themselves in memory.
    fails: Option<[&'static [u32]; 2]>,
    mend: &'static str,
}

impl Runtime {
    fn fails(&self, version: &str) -> bool {
        self.fails.is_some_and(|[first, end]| is_at_least(version, first) && !is_at_least(version, end))
    }
}

const RUNTIMES: [Runtime; 2] = [
    Runtime {
        path: "/usr/bin/crun",
        package: "crun",
        runs: &[1, 21],
        fails: None,
        mend: "install crun 1.21 or later (Debian 13 has it)",
    },
    Runtime {
        path: "/usr/sbin/runc",
        package: "runc",
        runs: &[1, 3, 6],
        fails: Some([&[1, 1, 15], &[1, 2]]),
        mend: "install runc 1.3.6 or later, or crun",
    },
];

pub(super) fn check<F: Files>(files: &F, findings: &mut Vec<Finding>) -> Result<(), F::Error> {
    let packages = files.text(PACKAGES)?.unwrap_or_default();
    for runtime in RUNTIMES {
        let requirement = Requirement::ContainerRuntime;
        if !files.has(runtime.path) {
            continue;
        }
        let version = version_of(&packages, runtime.package);
        findings.push(match version {
            Some(version) if is_at_least(&version, runtime.runs) => Finding::good(requirement, runtime.path),
            Some(version) if runtime.fails(&version) => {
                let problem = format!(
                    "is of version {version}, which starts from a copy of itself in memory: that is denied"
                );
                Finding::broken(requirement, runtime.path, problem, runtime.mend)
            }
            Some(version) => {
                let problem = format!("is of version {version}, which nobody has seen run on a sealed host");
                Finding::lacking(requirement, runtime.path, problem, runtime.mend)
            }
            None => {
                let problem = format!("is of a version that {PACKAGES} does not tell");
                Finding::lacking(requirement, runtime.path, problem, runtime.mend)
            }
        });
    }
    Ok(())
}

/// The version of an installed package, by dpkg's list.
fn version_of(packages: &str, name: &str) -> Option<String> {
    let field = |paragraph: &str, key: &str| {
        paragraph.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(": ")?.to_owned()))
    };
    let paragraph =
        packages.split("\n\n").find(|paragraph| field(paragraph, "Package").as_deref() == Some(name))?;
    let version = field(paragraph, "Version")?;
    // Without the epoch.
    Some(version.split_once(':').map_or(version.clone(), |(_, version)| version.to_owned()))
}
