//! A containerd that runs for one test.

use super::engine::Programs;
use super::{Enclosure, Engine, Inside, Setting, cgroups};
use crate::command::{attempt, run};
use crate::program;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// How long one may take to answer, on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// How long `ctr` may take for one command.
const CTR_MAX: &str = "120";

/// A containerd in an enclosure of its own, which ends with all its containers when this is dropped.
#[derive(Debug)]
pub struct Containerd {
    // Ends before the enclosure does.
    process: Option<Inside>,
    engine: Engine,
    programs: Programs,
    setting: Setting,
    enclosure: Enclosure,
}

impl Containerd {
    /// Starts one.
    ///
    /// # Errors
    /// If its programs cannot be had, or it does not answer within a minute; what it printed is in the error.
    pub fn start(engine: Engine, setting: Setting) -> Result<Self> {
        Self::start_in(Enclosure::new()?, engine, setting)
    }

    /// Starts one in an enclosure in which something else may run already.
    ///
    /// # Errors
    /// As [`Containerd::start`].
    pub fn start_in(enclosure: Enclosure, engine: Engine, setting: Setting) -> Result<Self> {
        let programs = engine.programs()?;
        let mut containerd = Self { process: None, engine, programs, setting, enclosure };
        let text = containerd.setting.text(engine, &containerd.enclosure)?;
        std::fs::write(containerd.enclosure.data("config.toml"), text)?;
        containerd.edit()?;
        containerd.begin()?;
        Ok(containerd)
    }

    /// Has `sealpack containerd configure` edit the configuration, if it is to.
    fn edit(&self) -> Result<()> {
        let Some(settings) = &self.setting.edited_by else { return Ok(()) };
        let mut command = program::start(program::under_test()?);
        command
            .args(["containerd", "configure", "--write", "--program"])
            .arg(self.programs.path("containerd"));
        command.arg("--file").arg(self.enclosure.data("config.toml")).env("SEALPACK_CONFIG", settings);
        run(&mut command).map(drop)
    }

    /// Starts it again, after it was ended.
    ///
    /// # Errors
    /// As [`Containerd::start`].
    pub fn begin(&mut self) -> Result<()> {
        let mut command = self.enclosure.command(self.programs.path("containerd"));
        command.arg("--config").arg(self.enclosure.data("config.toml"));
        command.env("PATH", self.search_path());
        let mut process = self.enclosure.start(&mut command, "containerd")?;
        let deadline = Instant::now() + START_MAX;
        while UnixStream::connect(self.socket()).is_err() {
            process.check()?;
            if Instant::now() > deadline {
                bail!("containerd does not answer\n{}", process.printed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = Some(process);
        Ok(())
    }

    fn search_path(&self) -> String {
        let programs = self.programs.search_path();
        let tools = self.setting.tools.as_ref();
        tools.map_or_else(|| programs.clone(), |tools| format!("{}:{programs}", tools.display()))
    }

    /// Ends the daemon, and not its containers, by SIGKILL.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("containerd does not run")?.kill()
    }

    /// Ends the daemon, and not its containers, as an update does.
    ///
    /// # Errors
    /// If it had ended by itself, or does not within twenty seconds.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().context("containerd does not run")?.stop()
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.enclosure.socket("containerd.sock")
    }

    /// What it runs in.
    pub fn enclosure(&self) -> &Enclosure {
        &self.enclosure
    }

    /// Its version.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// All that it has printed.
    pub fn printed(&self) -> String {
        let log = self.enclosure.data("containerd.log");
        std::fs::read_to_string(log).unwrap_or_default()
    }

    /// Its own client, in a namespace that no other test uses.
    pub fn ctr(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.enclosure.command("timeout");
        command.args(["--kill-after=5", CTR_MAX]).arg(self.programs.path("ctr"));
        command
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", self.enclosure.name()])
            .args(arguments);
        command.env("PATH", self.programs.search_path());
        command
    }

    /// What `ctr` prints, whatever its exit status.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn attempt(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
        attempt(&mut self.ctr(arguments))
    }

    /// What `ctr` prints on standard output.
    ///
    /// # Errors
    /// If its exit status is not 0.
    pub fn said(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
        let output = run(&mut self.ctr(arguments)).with_context(|| format!("{:?}", self.engine))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Has it pull an image from a registry on the loopback interface, and unpack it by the snapshotter.
    ///
    /// # Errors
    /// If `ctr` fails.
    pub fn pull(&self, image: &str) -> Result<String> {
        self.said(self.pull_arguments(image))
    }

    /// The arguments with which `ctr` pulls an image.
    pub fn pull_arguments<'a>(&'a self, image: &'a str) -> Vec<&'a str> {
        vec!["images", "pull", "--plain-http", "--snapshotter", &self.setting.snapshotter, image]
    }

    /// Runs a container of an image that was pulled and removes it when its command has ended.
    ///
    /// # Errors
    /// If the command fails, or does not get so far.
    pub fn run(&self, image: &str, container: &str, command: &[&str]) -> Result<String> {
        self.said(self.run_arguments(&["--rm"], image, container, command))
    }

    /// The arguments with which `ctr` runs a container.
    pub fn run_arguments(
        &self,
        options: &[&str],
        image: &str,
        container: &str,
        command: &[&str],
    ) -> Vec<String> {
        let runtime = self.programs.runtime(self.setting.runtime).display().to_string();
        let start = ["run", "--snapshotter", &self.setting.snapshotter, "--runc-binary", &runtime];
        let whom = [image, container];
        let words = start.iter().chain(options).chain(&whom).chain(command);
        words.map(|word| (*word).to_owned()).collect()
    }

    /// The bytes of the page cache that a container has touched before any other has.
    ///
    /// # Errors
    /// If the kernel does not count memory by cgroups, or there is no such container.
    pub fn page_cache_bytes(&self, container: &str) -> Result<u64> {
        let group = format!("{}/{container}", self.enclosure.name());
        cgroups::page_cache_bytes(&group).with_context(|| format!("no cgroup {group} counts memory"))
    }

    /// The snapshots that containerd's snapshotter has, by key.
    ///
    /// # Errors
    /// If `ctr` fails.
    pub fn snapshots(&self) -> Result<Vec<String>> {
        let listed = self.said(["snapshots", "--snapshotter", &self.setting.snapshotter, "list"])?;
        Ok(listed
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }
}
