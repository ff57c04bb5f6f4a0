//! `cargo xtask demo`: the whole way of two real images, from a registry to a running program and back to
//! an empty store, with the commands as a user would type them; then sealed, published, pulled again, and enforced by a
//! stock kernel.

mod publish;

use crate::guest;
use crate::packages::{self, Missing};
use anyhow::{Context, Result, ensure};
use sealpack_guest::disk::PYTHON;
use sealpack_guest::kernels::Generation;
use sealpack_tests::program::{self, Profile};
use sealpack_tests::registry::Registry;
use sealpack_tests::{command, debian, images, paths};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// In a mount namespace of its own already
    #[arg(long, hide = true)]
    isolated: bool,
}

/// Runs it; as root in a mount namespace of its own, so that however it ends, nothing stays mounted.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if command::is_root() && !arguments.isolated {
        let itself = std::env::current_exe().context("where is this program?")?;
        let mut isolated = Command::new("unshare");
        isolated.arg("--mount").arg(itself).args(["demo", "--isolated"]);
        let status = isolated.status().context("cannot start unshare, of the package util-linux")?;
        ensure!(status.success(), "the demo failed");
        return Ok(());
    }
    say(
        "Two Debian images go from a registry on this machine into a store; one is run, sealed, published, pulled again and \
         enforced by a booted kernel; and then a whole machine starts from a sealed image. It takes about 12 minutes the first time, most of them to build, and less later.",
    );
    step("the Debian packages that it needs");
    packages::provide(&[debian::FOR_TESTS], Missing::InstallOrFail)?;
    step("an image of Debian with python3, built or taken from target/fixtures");
    let python = images::python()?;
    step("an image of Debian with jq, likewise");
    let tools = images::tools()?;
    step("sealpack itself, as a release");
    let sealpack = program::build(Profile::Release)?;
    let place = paths::target().join("demo");
    remove(&place)?;
    let registry = Registry::start(&place)?;
    for (image, name) in [(&python, PYTHON), (&tools, TOOLS)] {
        registry.push(image, name)?;
    }
    say(&format!("A registry on {} has them now.", registry.host()));
    let demo = Demo { sealpack, place };
    demo.pull_and_compare(&registry)?;
    demo.run_python()?;
    demo.clean_up()?;
    say("Nothing is mounted, and the store is empty.");
    demo.publish_and_pull(&registry)?;
    drop(registry);
    let pulled = demo.store();
    guest::demo::show(Generation::V6_12, Some(&pulled))?;
    guest::demo::show_host(Generation::V6_12)?;
    remove(&demo.place)
}

const TOOLS: &str = "demo/tools:1";

struct Demo {
    sealpack: PathBuf,
    place: PathBuf,
}

impl Demo {
    fn pull_and_compare(&self, registry: &Registry) -> Result<()> {
        for name in [PYTHON, TOOLS] {
            self.sealpack(["pull", &format!("{}/{name}", registry.host()), "--name", name])?;
        }
        self.sealpack(["images"])?;
        say("What the two share, and what is in one of them only:");
        self.sealpack(["diff", "--summary", PYTHON, TOOLS])?;
        self.sealpack(["inspect", PYTHON])
    }

    fn run_python(&self) -> Result<()> {
        if !command::is_root() {
            say("skipped: mounting needs root. As root the demo mounts the image and runs its python3.");
            return self.sealpack(["cat", PYTHON, "/etc/debian_version"]);
        }
        let target = self.place.join("mnt");
        fs::create_dir_all(&target)?;
        self.sealpack([OsStr::new("mount"), OsStr::new(PYTHON), target.as_os_str()])?;
        let mounted = Mounted { target: &target };
        let script = "import platform, sys, zlib; print('Python', platform.python_version(), 'of', \
                      platform.freedesktop_os_release()['PRETTY_NAME'], 'says: sealed', hex(zlib.crc32(b'sealpack')))";
        let mut python = Command::new("chroot");
        python.arg(&target).args(["/usr/bin/python3", "-c", script]);
        self.show(&mut python)?;
        let mut write = Command::new("chroot");
        write.arg(&target).args(["/bin/sh", "-c", "echo > /etc/hostname"]);
        self.show_failure(&mut write, "the image is read-only")?;
        self.sealpack([OsStr::new("umount"), target.as_os_str()])?;
        ensure!(!mounted.is_mounted(), "{} is still mounted after umount", target.display());
        Ok(())
    }

    fn clean_up(&self) -> Result<()> {
        self.sealpack(["rm", PYTHON])?;
        say("What only python had goes; the common base stays for tools.");
        self.sealpack(["gc"])?;
        self.sealpack(["fsck"])?;
        self.sealpack(["rm", TOOLS])?;
        self.sealpack(["gc"])?;
        self.sealpack(["fsck"])?;
        let mut find = Command::new("find");
        let left = command::stdout(find.arg(self.store().join("objects")).args(["-type", "f"]))?;
        ensure!(left.is_empty(), "objects are left that no image refers to:\n{left}");
        Ok(())
    }

    /// Runs `sealpack` with the demo's store and shows all of it.
    fn sealpack(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<()> {
        self.show(&mut self.command(arguments))
    }

    fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = program::start(&self.sealpack);
        command.arg("--store").arg(self.store()).args(arguments);
        command
    }

    fn store(&self) -> PathBuf {
        self.place.join("store")
    }

    /// Runs a command, its output going where ours goes.
    fn show(&self, command: &mut Command) -> Result<()> {
        self.announce(command);
        let status = command.stdin(Stdio::null()).status();
        let status = status.with_context(|| format!("cannot start {}", command::display(command)))?;
        ensure!(status.success(), "{} ended with {status}", command::display(command));
        Ok(())
    }

    /// Runs a command that must not succeed.
    fn show_failure(&self, command: &mut Command, why: &str) -> Result<()> {
        self.announce(command);
        let status = command.stdin(Stdio::null()).status()?;
        ensure!(!status.success(), "{} succeeded, though {why}", command::display(command));
        Ok(())
    }

    fn announce(&self, command: &Command) {
        let line = command::display(command);
        println!("$ {}", line.replacen(&*self.sealpack.to_string_lossy(), "sealpack", 1));
    }
}

/// A mount of the demo, taken away when this is dropped if it still is there.
struct Mounted<'a> {
    target: &'a Path,
}

impl Mounted<'_> {
    fn is_mounted(&self) -> bool {
        let mut mountpoint = Command::new("mountpoint");
        command::attempt(mountpoint.arg("--quiet").arg(self.target))
            .is_ok_and(|output| output.status.success())
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if self.is_mounted() {
            // Best effort: the namespace ends with this process, and the mount with it.
            let _ = command::attempt(Command::new("umount").arg(self.target));
        }
    }
}

/// Says what is made next, which may take a while.
pub(crate) fn step(what: &str) {
    println!("# making ready: {what}");
}

fn say(line: &str) {
    println!("# {line}");
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}
