//! A Debian system that packages are installed in: the root directory of one, and commands in it.

use anyhow::{Context, Result};
use sealpack_tests::command::{attempt, run};
use sealpack_tests::files;
use sealpack_tests::{bootstrap, images, paths};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What is there besides a minimal system: to read pages, to complete, to judge units, and to find hosts as systemd does.
const PACKAGES: &[&str] = &["bash-completion", "libnss-resolve", "man-db", "systemd"];

/// Started with the root directory and a command: in namespaces of its own, which end with it.
const ENTER: &str = r#"
    mount --rbind /proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs tmpfs "$1/run"
    root=$1
    shift
    exec chroot "$root" "$@"
"#;

pub(crate) struct Machine {
    place: tempfile::TempDir,
}

impl Machine {
    /// One of this release, that nobody has installed anything in.
    pub(crate) fn new(release: &str) -> Result<Self> {
        let stamp = format!("1 {PACKAGES:?}");
        let kept = images::cached(&format!("packages-{release}"), &stamp, |dir| {
            let work = tempfile::Builder::new().prefix("work-").tempdir_in(paths::fixtures())?;
            let root = work.path().join("root");
            // Nothing else of the network is reached from it.
            bootstrap::release(release, PACKAGES, "rm -rf /var/cache/apt/* /var/lib/apt/lists/*", &root)?;
            run(Command::new("tar")
                .arg("--create")
                .arg("--directory")
                .arg(&root)
                .arg("--file")
                .arg(dir.join("root.tar"))
                .arg("."))
            .map(drop)
        })?;
        let place = tempfile::Builder::new().prefix("machine-").tempdir_in(paths::fixtures())?;
        let machine = Self { place };
        std::fs::create_dir(machine.root())?;
        let mut tar = Command::new("tar");
        tar.arg("--extract")
            .arg("--file")
            .arg(kept.dir().join("root.tar"))
            .arg("--directory")
            .arg(machine.root());
        run(&mut tar)?;
        // Debian's installer writes it; what bootstraps a system does not.
        std::fs::write(machine.path("/etc/hosts"), "127.0.0.1 localhost\n")?;
        Ok(machine)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.place.path().join("root")
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// What root types there.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc", ENTER, "sh"])
            .arg(self.root())
            .args(words);
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command.env_clear().envs([
            ("PATH", path),
            ("HOME", "/root"),
            ("LC_ALL", "C.UTF-8"),
            ("DEBIAN_FRONTEND", "noninteractive"),
        ]);
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Result<String> {
        let said = run(&mut self.command(words))?.stdout;
        String::from_utf8(said).with_context(|| format!("{words:?} printed something that is no text"))
    }

    pub(crate) fn attempt(&self, words: &[&str]) -> Result<Output> {
        attempt(&mut self.command(words))
    }

    /// Puts a file there.
    pub(crate) fn put(&self, from: &Path, to: &str) -> Result<()> {
        std::fs::copy(from, self.path(to)).with_context(|| format!("cannot put {to} there")).map(drop)
    }

    /// All that is there, but for what dpkg writes about packages and what is said about the store.
    pub(crate) fn everything(&self) -> Result<BTreeSet<PathBuf>> {
        let root = self.root();
        let others = ["var/lib/dpkg", "var/log", "var/cache", "var/lib/sealpack", "tmp", "root"];
        let mut found = BTreeSet::new();
        for path in files::below(&root)? {
            let path = path.strip_prefix(&root)?;
            if !others.iter().any(|other| path.starts_with(other)) {
                found.extend(path.ancestors().map(Path::to_path_buf));
            }
        }
        Ok(found)
    }
}
