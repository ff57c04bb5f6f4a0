//! The machine of a sealed host: firmware with Secure Boot on, which keeps its variables from the system that runs.

use super::rescue::DAMAGED;
use super::task::{SERIAL, Task};
use crate::emulator::{self, Ended, Limits, Stall};
use crate::report::Line;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Firmware that has Secure Boot, of the package ovmf.
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";

/// How long a machine may run, and report nothing. What it boots until it reports takes half a minute.
const LIMITS: Limits =
    Limits { time: Duration::from_secs(10 * 60), silence: Duration::from_secs(4 * 60), stall: None };

/// How often a machine is started whose kernel dies before it has done anything of ours: emulated, with two processors on a
/// machine that is busy, kernels do (an int3 that nobody expects while code is patched, a timer that seems not to work).
const TRIES: usize = 3;

/// A machine that is off. Its disk and its firmware's variables stay as a boot left them.
#[derive(Debug)]
pub struct Machine {
    dir: PathBuf,
}

/// How the machine is started, and what ends it.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// What the checks in the system are to do.
    pub task: Option<Task>,
    /// Strings in the tables that a hypervisor gives its guest (SMBIOS, type 11).
    pub strings: Vec<String>,
    /// Whether it starts again when the system reboots, and is not off then.
    pub reboots: bool,
    /// Ends it when its console has shown this.
    pub until_shown: Option<String>,
    /// A second disk, of which nothing is changed.
    pub second_disk: Option<PathBuf>,
    /// A disk that is to be mended, with the serial number [`DAMAGED`].
    pub damaged_disk: Option<PathBuf>,
    /// The registry that it reaches at [`containers::SERVER`](super::containers::SERVER), by its host's name and port here. The
    /// machine has no network without.
    pub registry: Option<String>,
    /// How long it may run, where that is not as long as usual.
    pub time: Option<Duration>,
    /// Whether all that it writes to its disk is logged, in [`Machine::writes`].
    pub logs_writes: bool,
    /// How long it may show nothing new on its console until a kernel runs its first program.
    pub stalls_after: Option<Duration>,
    /// The date that its clock has at the start, such as `1998-01-02`; today's otherwise.
    pub clock: Option<String>,
}

impl Machine {
    /// One with a copy of this disk and of these variables, in a directory that is there.
    ///
    /// # Errors
    /// If something cannot be copied.
    pub fn new(dir: &Path, disk: &Path, variables: &Path) -> Result<Self> {
        let machine = Self::at(dir);
        copy(disk, &machine.disk())?;
        fs::copy(variables, machine.variables())
            .with_context(|| format!("cannot copy {}", variables.display()))?;
        Ok(machine)
    }

    /// The one that was made in a directory.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Its disk.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk")
    }

    /// What its disk was when that was [kept](Self::keep).
    pub fn disk_before(&self) -> PathBuf {
        self.dir.join("disk-before")
    }

    /// The [log](crate::power::log) of the writes of that start.
    pub fn writes(&self) -> PathBuf {
        self.dir.join("writes")
    }

    /// Keeps its disk and its firmware's variables as they are now.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn keep(&self) -> Result<()> {
        copy(&self.disk(), &self.disk_before())?;
        fs::copy(self.variables(), self.dir.join("variables-before"))?;
        Ok(())
    }

    /// Has both again as they were when they were kept.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn restore(&self) -> Result<()> {
        copy(&self.disk_before(), &self.disk())?;
        fs::copy(self.dir.join("variables-before"), self.variables())?;
        Ok(())
    }

    /// Its firmware's variables.
    pub fn variables(&self) -> PathBuf {
        self.dir.join("variables")
    }

    /// Starts it, once no other machine of this workspace runs; `watch` sees each line when it is reported.
    ///
    /// # Errors
    /// If QEMU cannot be started. A machine that hangs or dies is no error here.
    pub fn run(&self, start: &Start, mut watch: impl FnMut(&Line)) -> Result<Ended> {
        let _turn = emulator::turn()?;
        if start.logs_writes {
            fs::write(self.writes(), "")?;
        }
        let stall = start.stalls_after.map(|after| Stall { after, counts: ran_nothing });
        let limits = Limits { stall, time: start.time.unwrap_or(LIMITS.time), ..LIMITS };
        let shown = |console: &str| {
            let text = start.until_shown.as_ref()?;
            console.contains(text.as_str()).then(|| format!("it has shown {text:?}"))
        };
        let mut before = String::new();
        for _ in 1..TRIES {
            let mut ended = emulator::run(self.started(start)?, &self.dir, limits, shown, &mut watch)?;
            if start.reboots || !died_before_its_first_process(&ended.log) {
                ended.log.insert_str(0, &before);
                return Ok(ended);
            }
            before += &ended.log;
        }
        emulator::run(self.started(start)?, &self.dir, limits, shown, &mut watch)
    }

    /// QEMU, with all that is asked for.
    fn started(&self, start: &Start) -> Result<Command> {
        let mut qemu = self.qemu(start.logs_writes);
        let task = self.dir.join("task");
        if let Some(wanted) = &start.task {
            wanted.write(&task)?;
            let drive = format!("if=none,id=task,format=raw,readonly=on,file={}", task.display());
            qemu.args(["-drive", &drive]);
            qemu.args(["-device", &format!("virtio-blk-pci,drive=task,serial={SERIAL}")]);
        }
        for string in &start.strings {
            // In an option of QEMU a comma is written twice.
            qemu.args(["-smbios", &format!("type=11,value={}", string.replace(',', ",,"))]);
        }
        if let Some(second) = &start.second_disk {
            let drive = format!("if=none,id=second,format=raw,snapshot=on,file={}", second.display());
            qemu.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=second"]);
        }
        if let Some(damaged) = &start.damaged_disk {
            let drive = format!("if=none,id=damaged,format=raw,cache=unsafe,file={}", damaged.display());
            qemu.args(["-drive", &drive]);
            qemu.args(["-device", &format!("virtio-blk-pci,drive=damaged,serial={DAMAGED}")]);
        }
        if let Some(registry) = &start.registry {
            // Each connection to that address, and to no other, is one of a program here.
            let to = registry.replace(':', " ");
            let forward = format!("guestfwd=tcp:{}-cmd:busybox nc {to}", super::containers::SERVER);
            qemu.args(["-netdev", &format!("user,id=net,restrict=on,ipv6=off,{forward}")]);
            qemu.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        }
        if let Some(clock) = &start.clock {
            qemu.args(["-rtc", &format!("base={clock}")]);
        }
        if !start.reboots {
            qemu.arg("-no-reboot");
        }
        Ok(qemu)
    }

    fn qemu(&self, logs_writes: bool) -> Command {
        let drive = |options: &str, path: &Path| format!("{options},format=raw,file={}", path.display());
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-machine", "q35,smm=on", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
            .args(["-m", "1024", "-display", "none", "-nodefaults", "-no-user-config", "-nic", "none"])
            // The variables are written by the firmware only, in system management mode.
            .args(["-global", "driver=cfi.pflash01,property=secure,value=on"])
            .args(["-global", "ICH9-LPC.disable_s3=1"])
            .args(["-drive", &drive("if=pflash,readonly=on", Path::new(FIRMWARE))])
            .args(["-drive", &drive("if=pflash", &self.variables())])
            .args(self.drive(logs_writes))
            .args(["-device", "virtio-blk-pci,drive=disk,bootindex=0"])
            .args(["-device", "virtio-rng-pci"]);
        qemu
    }

    /// The disk, called so. What is flushed need not get to the disk of the machine that emulates it, but into the log.
    fn drive(&self, logs_writes: bool) -> Vec<String> {
        if !logs_writes {
            let drive = format!("if=none,id=disk,cache=unsafe,format=raw,file={}", self.disk().display());
            return vec!["-drive".to_owned(), drive];
        }
        let file = |name: &str, path: &Path| {
            format!("driver=file,node-name={name},cache.no-flush=on,filename={}", path.display())
        };
        let nodes = [
            file("file", &self.disk()),
            "driver=raw,node-name=raw,cache.no-flush=on,file=file".to_owned(),
            file("writes", &self.writes()),
            "driver=blklogwrites,node-name=disk,file=raw,log=writes".to_owned(),
        ];
        nodes.into_iter().flat_map(|node| ["-blockdev".to_owned(), node]).collect()
    }
}

/// Copies a disk, holes as holes.
fn copy(disk: &Path, target: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    copy.args(["--sparse=always", "--reflink=auto"]).arg(disk).arg(target);
    sealpack_tests::command::run(&mut copy).map(drop)
}

/// Whether a kernel was started that has run nothing.
pub(super) fn ran_nothing(console: &str) -> bool {
    !console.contains("Run /init as init process")
}

/// Whether the kernel ended with a panic without having run anything.
fn died_before_its_first_process(console: &str) -> bool {
    console.contains("Kernel panic - not syncing") && ran_nothing(console)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_that_ran_nothing_is_started_again() {
        let panic = "[    1.3] Kernel panic - not syncing: Fatal exception in interrupt\n";
        assert!(died_before_its_first_process(panic));
        assert!(!died_before_its_first_process(&format!("[    1.1] Run /init as init process\n{panic}")));
        assert!(!died_before_its_first_process("[    1.1] Run /init as init process\n"));
    }
}
