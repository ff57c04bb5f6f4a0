//! The emulated machine: started, watched, ended.

use crate::checks::Boot;
use crate::kernels::Kernel;
use crate::report::Line;
use crate::{disk, initramfs, keys, programs};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Firmware without variables, of the package ovmf.
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";

/// How long a machine may run in all.
const TIME_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long a machine may report nothing. A check that takes longer than its own limit is ended by the guest, if the
/// guest still can.
const SILENCE_LIMIT: Duration = Duration::from_secs(4 * 60);

/// How often a running machine is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

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

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// What was reported, in order.
    pub lines: Vec<Line>,
    /// What the kernel and the checks printed.
    pub log: String,
    /// Why it was ended from outside, if it was.
    pub ended_by_us: Option<String>,
}

impl Machine {
    /// Makes everything that the machine needs, with a copy of the store `pulled` on its disk if there is one. Waits
    /// while another machine of this workspace runs.
    ///
    /// # Errors
    /// If something cannot be made; nothing was started then.
    pub fn new(kernel: &Kernel, pulled: Option<&Path>) -> Result<Self> {
        let place = crate::place();
        fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        let turn = File::create(place.join("machine.lock"))?;
        turn.lock().context("cannot lock machine.lock")?;
        let programs = programs::build()?;
        let dir = tempfile::Builder::new().prefix("machine-").tempdir_in(&place)?;
        initramfs::write(kernel, &programs, &dir.path().join("initramfs"))?;
        disk::write(kernel, &programs, pulled, &dir.path().join("disk"))?;
        for boot in Boot::ALL {
            keys::write_variables(&programs, boot, &dir.path().join(variables(boot)))?;
        }
        Ok(Self { dir, kernel: kernel.clone(), _turn: turn })
    }

    /// Boots, and runs the checks, or whatever else it is to do; `watch` sees each line when it is reported. What
    /// earlier boots left on the disk is there.
    ///
    /// # Errors
    /// If QEMU cannot be started. A machine that hangs or dies is no error here.
    pub fn run(&self, boot: Boot, task: &Task<'_>, mut watch: impl FnMut(&Line)) -> Result<Ended> {
        let (console, report) = (self.file("console"), self.file("report"));
        fs::write(&report, "")?;
        let mut qemu = self.qemu(boot, &task.parameter());
        qemu.arg("-serial").arg(output_to(&console)).arg("-serial").arg(output_to(&report));
        qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(self.file("qemu"))?);
        let mut running = Running(qemu.spawn().context("cannot start qemu-system-x86_64")?);
        let mut reader = Reader { file: File::open(&report)?, partial: String::new(), lines: Vec::new() };
        let started = Instant::now();
        let mut reported = started;
        let ended_by_us = loop {
            if reader.read(&mut watch)? > 0 {
                reported = Instant::now();
            }
            if running.0.try_wait()?.is_some() {
                break None;
            }
            if reported.elapsed() > SILENCE_LIMIT {
                break Some(format!("it reported nothing for {} s", SILENCE_LIMIT.as_secs()));
            }
            if started.elapsed() > TIME_LIMIT {
                break Some(format!("it still ran after {} s", TIME_LIMIT.as_secs()));
            }
            std::thread::sleep(INTERVAL);
        };
        drop(running);
        reader.read(&mut watch)?;
        let text =
            |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', ""));
        let log = text(&self.file("qemu"))? + &text(&console).unwrap_or_default();
        Ok(Ended { lines: reader.lines, log, ended_by_us })
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

fn output_to(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// QEMU, which ends with this process.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads whole lines from a file that grows.
struct Reader {
    file: File,
    partial: String,
    lines: Vec<Line>,
}

impl Reader {
    /// Reads what is new, and returns how many bytes that were.
    fn read(&mut self, watch: &mut impl FnMut(&Line)) -> Result<usize> {
        let mut bytes = Vec::new();
        let length = self.file.read_to_end(&mut bytes)?;
        self.partial.push_str(&String::from_utf8_lossy(&bytes));
        while let Some((line, rest)) = self.partial.split_once('\n') {
            if let Some(line) = Line::parse(line) {
                watch(&line);
                self.lines.push(line);
            }
            self.partial = rest.to_owned();
        }
        Ok(length)
    }
}
