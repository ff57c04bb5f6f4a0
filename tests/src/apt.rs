//! apt with lists of its own: packages of suites that the machine's apt is not set up for, fetched or
//! installed without touching the machine's configuration.

use crate::command::{self, run, stdout};
use crate::{debian, paths};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How old lists may be before they are fetched anew.
const LISTS_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys of Debian's archives, which Debian installs by itself.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A set of suites, with lists below the target directory.
#[derive(Clone, Debug)]
pub struct Archive {
    config: PathBuf,
}

impl Archive {
    /// The suites by name ("trixie", "trixie-backports") at the archive that the machine uses. The lists are
    /// fetched unless they are there and of today.
    ///
    /// # Errors
    /// If the machine uses no Debian archive, or the lists cannot be fetched.
    pub fn of_suites(name: &str, suites: &[&str]) -> Result<Self> {
        let uri = debian::archive_uri()?;
        let line = |suite: &&str| format!("deb [signed-by={KEYS}] {uri} {suite} main\n");
        Self::of_sources(name, &suites.iter().map(line).collect::<String>())
    }

    /// The host's release with its backports.
    ///
    /// # Errors
    /// As [`Archive::of_suites`].
    pub fn of_host_with_backports() -> Result<Self> {
        let (uri, backports) = (debian::archive_uri()?, backports()?);
        let sources = debian::sources()?;
        Self::of_sources("host", &format!("{sources}deb [signed-by={KEYS}] {uri} {backports} main\n"))
    }

    fn of_sources(name: &str, sources: &str) -> Result<Self> {
        let dir = paths::target().join("apt").join(name);
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part)).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let (list, config, stamp) = (dir.join("sources.list"), dir.join("apt.conf"), dir.join("updated"));
        let archive = Self { config };
        let configuration = configuration(&dir, &list);
        let is_new = |stamp: &Path| -> Option<bool> {
            let age = fs::metadata(stamp).ok()?.modified().ok()?.elapsed().ok()?;
            // It names the directory, which may have been moved.
            let is_the_same = fs::read_to_string(&archive.config).ok()? == configuration;
            Some(age < LISTS_MAX_AGE && is_the_same && fs::read_to_string(&list).ok()? == sources)
        };
        let lock = fs::File::create(dir.join("lock"))?;
        lock.lock().with_context(|| format!("cannot lock {}/lock", dir.display()))?;
        if is_new(&stamp) == Some(true) {
            return Ok(archive);
        }
        fs::write(&list, sources)?;
        fs::write(&archive.config, &configuration)?;
        run(archive.command("apt-get").args(["update", "--quiet"]))?;
        fs::write(stamp, "")?;
        Ok(archive)
    }

    /// Installs packages on this machine, those of the host's release where that is possible without removing
    /// others, else of its backports.
    ///
    /// # Errors
    /// If neither is possible; what apt says is on standard error.
    pub fn install(&self, packages: &[&str]) -> Result<()> {
        let install = |release: &[&str]| -> Result<()> {
            let mut command = self.command("apt-get");
            command
                .args(["install", "--yes", "--quiet", "--no-install-recommends", "--no-remove"])
                .args(release)
                .args(packages)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .stdin(Stdio::null())
                .stdout(std::io::stderr());
            let status = command.status().context("cannot start apt-get")?;
            ensure!(status.success(), "{} ended with {status}", command::display(&command));
            Ok(())
        };
        install(&[]).or_else(|_| install(&["--target-release", &backports()?]))
    }

    /// What the lists say about a package, a paragraph for each version.
    ///
    /// # Errors
    /// If no list has the package.
    pub fn show(&self, package: &str) -> Result<String> {
        stdout(self.command("apt-cache").args(["show", package]))
    }

    /// Fetches packages into a directory, without installing them.
    ///
    /// # Errors
    /// If one cannot be fetched.
    pub fn download(&self, packages: &[String], dir: &Path) -> Result<()> {
        let mut command = self.command("apt-get");
        command.args(["download", "--quiet"]).args(packages).current_dir(dir);
        run(&mut command).map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config);
        command
    }
}

fn backports() -> Result<String> {
    Ok(format!("{}-backports", debian::codename()?))
}

/// How apt reaches the archives stays as the machine has it: this is read besides.
fn configuration(dir: &Path, list: &Path) -> String {
    let path = |part: &str| dir.join(part).display().to_string();
    [
        ("Dir::Etc::sourcelist", list.display().to_string()),
        ("Dir::Etc::sourceparts", "/dev/null".into()),
        ("Dir::Etc::preferences", "/dev/null".into()),
        ("Dir::Etc::preferencesparts", "/dev/null".into()),
        ("Dir::State::Lists", path("lists")),
        ("Dir::Cache", path("cache")),
        ("Acquire::Languages", "none".into()),
        // Nobody else can read below the target directory, perhaps.
        ("APT::Sandbox::User", "root".into()),
    ]
    .map(|(key, value)| format!("{key} \"{value}\";\n"))
    .concat()
}
