//! A containerd whose snapshots are sealpack's.

use super::{Containerd, Enclosure, Engine, Inside, Proxy, Setting};
use crate::program;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the snapshotter may take to answer, on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// Where the snapshotter mounts images, in the enclosure.
const MOUNTS: &str = "/run/sealpack/m";

/// A containerd and the `sealpack-snapshotter` that serves it, in one enclosure, with a store and a trust store of their own.
#[derive(Debug)]
pub struct Served {
    // Ends before the enclosure does.
    process: Option<Inside>,
    containerd: Containerd,
}

impl Served {
    /// Starts both, with an empty store and no rules.
    ///
    /// # Errors
    /// If one of the two does not answer within a minute; what it printed is in the error.
    pub fn start(engine: Engine) -> Result<Self> {
        Self::start_in(Enclosure::new()?, engine, super::images::PAUSE)
    }

    /// Starts both in an enclosure in which something may be prepared, with an image that pods are kept by. What is in
    /// the enclosure's file `registry.toml` is added to the snapshotter's settings.
    ///
    /// # Errors
    /// As [`Served::start`].
    pub fn start_in(enclosure: Enclosure, engine: Engine, pause: &str) -> Result<Self> {
        let setting = Setting::proxy(proxy(&enclosure)).pause(pause);
        Self::start_with(enclosure, engine, setting, start_alone)
    }

    /// Starts both, containerd with what `sealpack containerd configure` makes of a configuration without sealpack.
    ///
    /// # Errors
    /// As [`Served::start`].
    pub fn start_configured(engine: Engine) -> Result<Self> {
        let enclosure = Enclosure::new()?;
        let setting = Setting::edited_by(settings(&enclosure));
        Self::start_with(enclosure, engine, setting, start_alone)
    }

    /// Starts both, the snapshotter as systemd does it with a socket unit: when somebody connects.
    ///
    /// # Errors
    /// As [`Served::start`].
    pub fn start_by_socket(engine: Engine) -> Result<Self> {
        let enclosure = Enclosure::new()?;
        let setting = Setting::proxy(proxy(&enclosure));
        Self::start_with(enclosure, engine, setting, start_by_socket)
    }

    fn start_with(
        enclosure: Enclosure,
        engine: Engine,
        setting: Setting,
        start: impl FnOnce(&Enclosure) -> Result<Inside>,
    ) -> Result<Self> {
        let process = start(&enclosure)?;
        let containerd = Containerd::start_in(enclosure, engine, setting)?;
        Ok(Self { process: Some(process), containerd })
    }

    /// containerd.
    pub fn containerd(&self) -> &Containerd {
        &self.containerd
    }

    /// containerd, to be ended and started.
    pub fn containerd_mut(&mut self) -> &mut Containerd {
        &mut self.containerd
    }

    /// The snapshotter's socket.
    pub fn socket(&self) -> PathBuf {
        socket(self.containerd.enclosure())
    }

    /// The store that images are in.
    pub fn store(&self) -> PathBuf {
        store(self.containerd.enclosure())
    }

    /// The command that works on the store beside the snapshotter, with the same rules.
    ///
    /// # Errors
    /// If the program cannot be built.
    pub fn sealpack(&self, arguments: &[&str]) -> Result<Command> {
        let enclosure = self.containerd.enclosure();
        let mut command = enclosure.command(program::under_test()?);
        program::isolate(&mut command);
        command.arg("--store").arg(self.store()).args(arguments);
        command.env("SEALPACK_TRUST", enclosure.data("trust.d")).env("HOME", enclosure.data("home"));
        Ok(command)
    }

    /// Listens, from here on, in the place of the machine's journal.
    ///
    /// # Errors
    /// If somebody does already.
    pub fn journal(&self) -> Result<UnixDatagram> {
        let socket = UnixDatagram::bind(journal(self.containerd.enclosure()))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// Writes the rules by which images are judged.
    ///
    /// # Errors
    /// If the disk cannot be written.
    pub fn set_rules(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.containerd.enclosure().data("trust.d/rules.toml"), text)?)
    }

    /// The packs that the store has, by name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn packs(&self) -> Result<Vec<String>> {
        match fs::read_dir(self.store().join("packs/sha256")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        }
    }

    /// The images that the snapshotter has mounted, as those in the enclosure see them.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn mounted(&self) -> Result<Vec<PathBuf>> {
        self.containerd.enclosure().mount_points_below(Path::new(MOUNTS))
    }

    /// Unmounts what the snapshotter has mounted, as a reboot does.
    ///
    /// # Errors
    /// If something is not unmounted.
    pub fn forget_mounts(&self) -> Result<()> {
        for place in self.mounted()? {
            let mut unmount = self.containerd.enclosure().command("umount");
            crate::command::run(unmount.arg("--lazy").arg(place))?;
        }
        Ok(())
    }

    /// Starts the snapshotter again, after it was ended.
    ///
    /// # Errors
    /// As [`Served::start`].
    pub fn begin(&mut self) -> Result<()> {
        self.process = Some(start_alone(self.containerd.enclosure())?);
        Ok(())
    }

    /// Starts the snapshotter again, as systemd does it with a socket unit.
    ///
    /// # Errors
    /// As [`Served::start`].
    pub fn begin_by_socket(&mut self) -> Result<()> {
        self.process = Some(start_by_socket(self.containerd.enclosure())?);
        Ok(())
    }

    /// How much memory of its own the snapshotter has, in bytes (RssAnon).
    ///
    /// # Errors
    /// If it has ended.
    pub fn memory_bytes(&mut self) -> Result<u64> {
        let process = self.process.as_mut().context("the snapshotter does not run")?;
        let status = fs::read_to_string(format!("/proc/{}/status", process.number()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib =
            line.and_then(|line| line.trim().strip_suffix(" kB")).context("the kernel says no RssAnon")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Ends the snapshotter by SIGKILL.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the snapshotter does not run")?.kill()
    }

    /// Ends the snapshotter as an update does.
    ///
    /// # Errors
    /// If it had ended by itself, or does not within twenty seconds.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().context("the snapshotter does not run")?.stop()
    }

    /// What the snapshotter has counted, by the lines of its metrics.
    ///
    /// # Errors
    /// If it does not answer as an HTTP server does.
    pub fn metrics(&self) -> Result<String> {
        let mut socket = UnixStream::connect(socket(self.containerd.enclosure()))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: sealpack\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        Ok(answer)
    }

    /// All that the snapshotter has printed.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.containerd.enclosure().data("snapshotter.log")).unwrap_or_default()
    }
}

/// Where the snapshotter of an enclosure answers.
pub fn socket(enclosure: &Enclosure) -> PathBuf {
    enclosure.socket("sealpack.sock")
}

/// Where the store of an enclosure is.
pub fn store(enclosure: &Enclosure) -> PathBuf {
    enclosure.data("store")
}

fn journal(enclosure: &Enclosure) -> PathBuf {
    enclosure.socket("journal.sock")
}

fn settings(enclosure: &Enclosure) -> PathBuf {
    enclosure.data("sealpack.toml")
}

fn write_settings(enclosure: &Enclosure) -> Result<()> {
    let mut text = format!(
        "store = {:?}\ntrust = {:?}\n[snapshotter]\nsocket = {:?}\ncontainerd = {:?}\n",
        store(enclosure),
        enclosure.data("trust.d"),
        socket(enclosure),
        enclosure.socket("containerd.sock"),
    );
    // What a test wants to have in them besides.
    text.push_str(&fs::read_to_string(enclosure.data("registry.toml")).unwrap_or_default());
    Ok(fs::write(settings(enclosure), text)?)
}

/// What containerd is told of the snapshotter of an enclosure.
fn proxy(enclosure: &Enclosure) -> Proxy {
    let (socket, root) = (socket(enclosure), store(enclosure));
    Proxy { name: "sealpack".to_owned(), socket, root, has_differ: true }
}

/// Starts the snapshotter of an enclosure without a containerd, and waits until it answers.
///
/// # Errors
/// If it does not within a minute; what it printed is in the error.
pub fn start_alone(enclosure: &Enclosure) -> Result<Inside> {
    let mut command = enclosure.command(program::snapshotter_under_test()?);
    program::isolate(&mut command);
    // What a variable says counts more than the settings.
    command.env_remove("SEALPACK_TRUST").env("SEALPACK_CONFIG", settings(enclosure));
    command.env("HOME", enclosure.data("home")).env("SEALPACK_JOURNAL", journal(enclosure));
    start_by(enclosure, command)
}

/// The same with a socket that is there first and is passed to the program when somebody connects, as systemd does it.
fn start_by_socket(enclosure: &Enclosure) -> Result<Inside> {
    let mut command = enclosure.command("systemd-socket-activate");
    // It passes no variables on but those that it is told of.
    command.arg("--setenv=SEALPACK_JOURNAL=");
    command.arg("--listen").arg(socket(enclosure)).arg(program::snapshotter_under_test()?);
    command.arg("--config").arg(settings(enclosure));
    start_by(enclosure, command)
}

fn start_by(enclosure: &Enclosure, mut command: Command) -> Result<Inside> {
    fs::create_dir_all(enclosure.data("trust.d"))?;
    write_settings(enclosure)?;
    let mut process = enclosure.start(&mut command, "snapshotter")?;
    let deadline = Instant::now() + START_MAX;
    while UnixStream::connect(socket(enclosure)).is_err() {
        process.check()?;
        if Instant::now() > deadline {
            bail!("the snapshotter does not answer\n{}", process.printed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(process)
}
