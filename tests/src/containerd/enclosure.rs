//! Namespaces of processes and mounts, with the first process in which all that runs in them ends.

use super::cgroups;
use crate::paths;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What the first process does: /run and the directory of other tests' mounts become its own, and then it reaps.
///
/// Mounts of other tests that were copied with the namespace would keep their devices busy; the one with the data stays. crun does not
/// start containers where cgroups of both versions are.
const FIRST: &str = r#"
    set -e
    while read -r _ _ _ _ place _; do
        case $3/ in "$place"/*) continue ;; esac
        case $place in "$1"/*|"$2"/*) umount --lazy "$place" 2>/dev/null || : ;; esac
    done < /proc/self/mountinfo
    mount -t tmpfs -o mode=755 tmpfs /run
    if mountpoint --quiet /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
    echo ready
    exec </dev/null >/dev/null
    while :; do sleep 3600 & wait; done
"#;

/// Namespaces that end, with every process and every mount in them, when this is dropped or the test is killed.
#[derive(Debug)]
pub struct Enclosure {
    first: Child,
    /// The number of the first process in them, to others.
    number: u32,
    /// What cgroups and containerd's namespace are called: nobody else's are.
    name: String,
    /// Short, since the paths of sockets have to be.
    sockets: tempfile::TempDir,
    /// On a disk.
    data: tempfile::TempDir,
}

impl Enclosure {
    /// New ones. /run in them is empty, and the machine's network is theirs.
    ///
    /// # Errors
    /// If they cannot be made: it needs the superuser.
    pub fn new() -> Result<Self> {
        fs::create_dir_all(paths::fixtures())?;
        Self::new_in(&paths::fixtures())
    }

    /// The same with the data in a directory that is there.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn new_in(place: &Path) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        cgroups::sweep();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}-{number}", cgroups::PREFIX, std::process::id());
        let data = tempfile::Builder::new().prefix("containerd-").tempdir_in(place)?;
        let sockets = tempfile::Builder::new().prefix("sealpack-").tempdir()?;
        let mut first = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--fork", "--kill-child", "--pid", "--mount"])
            .args(["--propagation", "slave", "--mount-proc", "sh", "-c", FIRST, "sh"])
            .args([paths::target(), std::env::temp_dir(), data.path().to_owned()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start setpriv")?;
        let mut line = String::new();
        BufReader::new(first.stdout.take().context("nothing to read")?).read_line(&mut line)?;
        if line != "ready\n" {
            let _ = first.kill();
            bail!("no namespaces for containers could be made: {}", first.wait()?);
        }
        let number = child_of(first.id()).context("the first process of the namespaces is gone")?;
        Ok(Self { first, number, name, sockets, data })
    }

    /// What no other test calls anything: for cgroups and containerd's namespaces.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path for a socket.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.sockets.path().join(name)
    }

    /// A path on a disk.
    pub fn data(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// A path that those in the enclosure see, such as one of a mount, as others may open it.
    pub fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.number));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The command that runs a program in it. With the command's process gone the program is too.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.number.to_string(), "--mount", "--pid"])
            .args(["setpriv", "--pdeathsig", "KILL"])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Starts a program in it that is to go on, with all that it prints in the file `NAME.log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&self, command: &mut Command, name: &str) -> Result<Inside> {
        let log = self.data(&format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let child = command.stdout(file.try_clone()?).stderr(file).spawn();
        let child = child.with_context(|| format!("cannot start {}", crate::command::display(command)))?;
        Ok(Inside { child, name: name.to_owned(), log })
    }

    /// The processors' time that all have used that run in it, and those that they waited for.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn processor_time(&self) -> Result<Duration> {
        let ours = fs::read_link(format!("/proc/{}/ns/pid", self.number))?;
        let mut ticks = 0;
        for entry in fs::read_dir("/proc")? {
            let process = entry?.path();
            // What goes meanwhile is waited for by somebody else.
            if fs::read_link(process.join("ns/pid")).is_ok_and(|namespace| namespace == ours) {
                ticks += ticks_of(&fs::read_to_string(process.join("stat")).unwrap_or_default());
            }
        }
        Ok(Duration::from_secs(ticks) / TICKS_PER_SECOND)
    }

    /// How many filesystems are mounted in it below `path`.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn mounts_below(&self, path: &Path) -> Result<usize> {
        Ok(self.mount_points_below(path)?.len())
    }

    /// Where filesystems are mounted in it below `path`.
    ///
    /// # Errors
    /// As [`mounts_below`](Self::mounts_below).
    pub fn mount_points_below(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let mounted = fs::read_to_string(format!("/proc/{}/mountinfo", self.number))?;
        let place = |line: &str| line.split(' ').nth(4).map(PathBuf::from);
        Ok(mounted.lines().filter_map(place).filter(|place| place.starts_with(path)).collect())
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        // The kernel ends the other processes before the first one is gone, and mounts go with the last.
        let _ = self.first.kill();
        let _ = self.first.wait();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Path::new(&format!("/proc/{}", self.number)).exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        cgroups::remove(&self.name);
    }
}

/// A program that goes on in an [`Enclosure`], until this is dropped.
#[derive(Debug)]
pub struct Inside {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Inside {
    /// Its process's number outside.
    ///
    /// # Errors
    /// If it has ended.
    pub fn number(&mut self) -> Result<u32> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(number) = child_of(self.child.id()) {
                return Ok(number);
            }
            self.check()?;
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("{} did not start", self.name)
    }

    /// Says so if it has ended, with what it printed.
    ///
    /// # Errors
    /// If it has.
    pub fn check(&mut self) -> Result<()> {
        let status = self.child.try_wait()?;
        ensure!(status.is_none(), "{} ended: {status:?}\n{}", self.name, self.printed());
        Ok(())
    }

    /// All that it has printed, and those before it in the same file.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it by SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub fn kill(mut self) -> Result<()> {
        let number = self.number()?;
        self.check()?;
        self.child.kill()?;
        self.child.wait()?;
        wait_until_gone(number)
    }

    /// Asks it by SIGTERM to end, and waits until it has.
    ///
    /// # Errors
    /// If it had ended by itself, or does not within twenty seconds, or not with status 0.
    pub fn stop(mut self) -> Result<()> {
        let number = self.number()?;
        crate::command::run(Command::new("kill").args(["-TERM", &number.to_string()]))?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{} ended with {status}\n{}", self.name, self.printed());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} does not end\n{}", self.name, self.printed())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Fails only if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The unit of times in /proc/PID/stat (USER_HZ, 100 on all of Linux's architectures that Debian has).
const TICKS_PER_SECOND: u32 = 100;

/// The time of a process and of the children that it waited for, of user and kernel, by its /proc/PID/stat (proc(5)).
fn ticks_of(stat: &str) -> u64 {
    // The name before may have anything in it; the state is the third field.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().skip(11).take(4).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// The only child of a process, if it has one.
fn child_of(number: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{number}/task/{number}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn wait_until_gone(number: u32) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_gone(number) {
        ensure!(Instant::now() < deadline, "process {number} is still there after it was killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether a process has ended with all its threads: while one of them has not, its sockets still take connections. One that
/// is only not reaped is as good as gone.
fn is_gone(number: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    let is_dead =
        |stat: &str| stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']));
    // Looked at after the first one's state, which then starts no more.
    is_dead(&stat) && fs::read_dir(format!("/proc/{number}/task")).map_or(0, Iterator::count) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_its_own_and_that_of_its_children() {
        let stat = "7 (a) (b) S 1 7 7 0 -1 4194560 10 20 30 40 1 20 300 4000 20 0 5 0 99 1000 10";
        assert_eq!(ticks_of(stat), 4321);
        assert_eq!(ticks_of(""), 0);
    }
}
