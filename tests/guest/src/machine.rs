//! The emulated machine of the checks under a stock kernel.

use crate::checks::Boot;
use crate::emulator::{self, Ended, Limits};
use crate::kernels::Kernel;
use crate::programs::{self, Programs};
use crate::report::Line;
use crate::{disk, initramfs, keys};
use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Firmware without variables, of the package ovmf.
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";

/// How long a machine may run, and report nothing. A check that takes longer than its own limit is ended by the guest, if the
/// guest still can.
const LIMITS: Limits =
    Limits { time: Duration::from_secs(15 * 60), silence: Duration::from_secs(4 * 60), stall: None };

/// A machine that is ready to be started, its files in a directory of its own.
#[derive(Debug)]
pub struct Machine {
    dir: tempfile::TempDir,
    kernel: Kernel,
    /// Until this is dropped, no other machine is started.
    _turn: File,
}

/// What a machine is to do.
#[derive(Clone, Copy, Debug)]
pub enum Task<'a> {
    /// Run the checks of these names.
    Checks(&'a [&'a str]),
    /// Show what runs and what does not, under a policy.
    Demo,
}

impl Task<'_> {
    /// What the guest's first process finds on the kernel's command line.
    fn parameter(&self) -> String {
        match self {
            Self::Checks(names) => format!("sealpack.checks={}", names.join(",")),
            Self::Demo => "sealpack.demo".to_owned(),
        }
    }
}

impl Machine {
    /// Makes everything that the machine needs, with a copy of the store `pulled` on its disk if there is one. Waits
    /// while another machine of this workspace runs.
    ///
    /// # Errors
    /// If something cannot be made; nothing was started then.
    pub fn new(kernel: &Kernel, pulled: Option<&Path>) -> Result<Self> {
        let turn = emulator::turn()?;
        Self::of_programs(kernel, pulled, &programs::build()?, turn)
    }

    /// One with programs as users have them, for figures.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_figures(kernel: &Kernel) -> Result<Self> {
        let programs = programs::build_release()?;
        Self::of_programs(kernel, None, &programs, emulator::turn()?)
    }

    fn of_programs(kernel: &Kernel, pulled: Option<&Path>, programs: &Programs, turn: File) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("machine-").tempdir_in(crate::place())?;
        initramfs::write(kernel, programs, &dir.path().join("initramfs"))?;
        disk::write(kernel, programs, pulled, &dir.path().join("disk"))?;
        for boot in Boot::ALL {
            keys::write_variables(programs, boot, &dir.path().join(variables(boot)))?;
        }
        Ok(Self { dir, kernel: kernel.clone(), _turn: turn })
    }

    /// Boots, and runs the checks, or whatever else it is to do; `watch` sees each line when it is reported. What
    /// earlier boots left on the disk is there.
    ///
    /// # Errors
    /// If QEMU cannot be started. A machine that hangs or dies is no error here.
    pub fn run(&self, boot: Boot, task: &Task<'_>, watch: impl FnMut(&Line)) -> Result<Ended> {
        let qemu = self.qemu(boot, &task.parameter());
        emulator::run(qemu, self.dir.path(), LIMITS, |_| None, watch)
    }

    /// Gives this terminal a shell in the guest, until that ends.
    ///
    /// # Errors
    /// If QEMU cannot be started or fails.
    pub fn shell(&self) -> Result<()> {
        let mut qemu = self.qemu(Boot::First, "sealpack.shell");
        // Control-C belongs to the guest; Control-A and X end it.
        qemu.args(["-serial", "mon:stdio", "-serial", "null"]);
        let status = qemu.status().context("cannot start qemu-system-x86_64")?;
        anyhow::ensure!(status.success(), "qemu-system-x86_64 ended with {status}");
        Ok(())
    }

    fn qemu(&self, boot: Boot, parameters: &str) -> Command {
        let drive = |options: &str, path: &Path| format!("{options},format=raw,file={}", path.display());
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "1024"])
            .args(["-display", "none", "-nodefaults", "-no-user-config", "-no-reboot", "-nic", "none"])
            .args(["-drive", &drive("if=pflash,readonly=on", Path::new(FIRMWARE))])
            .args(["-drive", &drive("if=pflash", &self.file(variables(boot)))])
            .args(["-drive", &drive("if=virtio,cache=unsafe", &self.file("disk"))])
            .arg("-kernel")
            .arg(self.kernel.image())
            .arg("-initrd")
            .arg(self.file("initramfs"))
            .args(["-append", &format!("{BOOT_PARAMETERS} {parameters}")]);
        qemu
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// The file with the firmware's variables.
const fn variables(boot: Boot) -> &'static str {
    match boot {
        Boot::First => "variables",
        Boot::Rotated => "variables-rotated",
    }
}

/// A panic ends the machine.
const BOOT_PARAMETERS: &str = "console=ttyS0 audit=1 loglevel=7 panic=-1";
