//! An image to run, and what is left of its containers.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, find, is_root};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::{Layout, Packing};
use sealpack_tests::program::Sealpack;
use sealpack_tests::{paths, skip};
use serde_json::{Value, json};

/// Where containers are while they run.
pub(crate) const CONTAINERS: &str = "/run/sealpack/containers";

/// A store with an image `box`, and a directory for what a test needs besides.
pub(crate) struct Desk {
    pub(crate) sealpack: Sealpack,
    pub(crate) dir: tempfile::TempDir,
}

/// Whether containers can be run here; says so if not.
pub(crate) fn can_run() -> bool {
    let why = match (is_root(), find("/usr/sbin/runc"), find("busybox")) {
        (false, ..) => "running containers needs the superuser",
        (_, None, _) => "runc is not installed",
        (.., None) => "busybox is not installed",
        _ => return true,
    };
    skip(why);
    false
}

/// The runtimes that tests are run with.
pub(crate) const RUNTIMES: [&str; 2] = ["runc", "crun"];

/// What an image says of how it is to be run, when nothing else is said.
pub(crate) fn settings() -> Value {
    json!({ "Env": ["PATH=/bin:/sbin", "FROM_IMAGE=yes"], "Cmd": ["sh", "-c", "echo the command of the image"] })
}

impl Desk {
    pub(crate) fn new() -> Result<Self> {
        Self::with(&settings())
    }

    /// With an image that is to be run so.
    pub(crate) fn with(settings: &Value) -> Result<Self> {
        let desk = Self::empty()?;
        desk.add(
            "box",
            settings,
            &entries(&["proc", "sys", "dev", "tmp", "run", "var", "var/tmp", "var/lib"])?,
        )?;
        Ok(desk)
    }

    pub(crate) fn empty() -> Result<Self> {
        fs::create_dir_all(paths::fixtures())?;
        let dir = tempfile::Builder::new().prefix("containers-").tempdir_in(paths::fixtures())?;
        Ok(Self { sealpack: Sealpack::new()?, dir })
    }

    /// Pulls an image of these entries under that name.
    pub(crate) fn add(&self, name: &str, settings: &Value, entries: &[Entry]) -> Result<()> {
        let layout = Layout::create(&self.dir.path().join(name))?;
        let layer = layout.add_layer(archive(entries).as_slice(), Packing::Gzip)?;
        layout.add_image_with("latest", &[layer], settings)?;
        self.sealpack.run(["pull", &self.source(name), "--name", name]).map(drop)
    }

    pub(crate) fn source(&self, name: &str) -> String {
        format!("oci:{}:latest", self.dir.path().join(name).display())
    }

    /// `sealpack run` with these words.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.sealpack.command([&["run"], words].concat())
    }

    /// Runs a container to its end.
    pub(crate) fn attempt(&self, words: &[&str]) -> Result<Output> {
        attempt(&mut self.command(words))
    }

    /// What a container says that ends well, and of which nothing stays.
    pub(crate) fn says(&self, words: &[&str]) -> Result<String> {
        let output = self.attempt(words)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{words:?}: {}: {errors}", output.status);
        self.has_nothing_left().with_context(|| format!("{words:?}"))?;
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// That no container of this store has left anything on its disk.
    pub(crate) fn has_nothing_left(&self) -> Result<()> {
        let containers = self.sealpack.store().join("containers");
        let left = if containers.exists() { fs::read_dir(&containers)?.count() } else { 0 };
        ensure!(left == 0, "{left} directories are left in {}", containers.display());
        Ok(())
    }

    /// That a container is refused with this status, with these words in what is said, and that nothing is left of it.
    pub(crate) fn refuses(&self, status: i32, words: &[&str], said: &[&str]) -> Result<()> {
        let output = self.attempt(words)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(status), "{words:?}: {}: {errors}", output.status);
        for word in said {
            ensure!(errors.contains(word), "{words:?}: {word:?} is not in {errors}");
        }
        ensure!(errors.matches("error:").count() == 1, "{words:?}: {errors}");
        self.has_nothing_left()
    }
}

/// busybox with some of its names, users and groups, and these directories.
pub(crate) fn entries(directories: &[&str]) -> Result<Vec<Entry>> {
    static BUSYBOX: OnceLock<Vec<u8>> = OnceLock::new();
    let program = match BUSYBOX.get() {
        Some(program) => program.clone(),
        None => {
            let path = find("busybox").context("busybox is not installed")?;
            BUSYBOX.get_or_init(|| fs::read(path).unwrap_or_default()).clone()
        }
    };
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/var/lib:/bin/false\n";
    let group = b"root:x:0:\nweb:x:102:\nlogs:x:103:web\nmore:x:104:root,web\n";
    let mut entries = vec![
        Entry::new("./", Member::Directory),
        Entry::new("./bin/", Member::Directory),
        Entry::new("./bin/busybox", Member::File(program)).mode(0o755),
        Entry::new("./etc/", Member::Directory),
        // As distributions have it whose /etc is elsewhere: the link leads to the top of the image, not of the machine.
        Entry::new("./etc/passwd", Member::Symlink("/../lib/passwd".to_owned())),
        Entry::new("./lib/", Member::Directory),
        Entry::new("./lib/passwd", Member::File(passwd.to_vec())),
        Entry::new("./etc/group", Member::File(group.to_vec())),
        Entry::new("./etc/note", Member::File(b"not a program".to_vec())),
    ];
    for name in [
        "sh", "ls", "cat", "id", "env", "pwd", "stat", "grep", "sleep", "kill", "tty", "stty", "touch", "rm",
        "chmod", "ip", "mkdir", "hostname", "wc", "mount", "test", "dd", "seq", "trap", "chroot", "unshare",
        "nproc",
    ] {
        entries.push(Entry::new(format!("./bin/{name}"), Member::Symlink("busybox".to_owned())));
    }
    entries.extend(directories.iter().map(|path| {
        let mode = if path.ends_with("tmp") { 0o1777 } else { 0o755 };
        Entry::new(format!("./{path}/"), Member::Directory).mode(mode)
    }));
    Ok(entries)
}

/// The containers that there are, each a directory.
pub(crate) fn containers() -> Result<Vec<String>> {
    if !Path::new(CONTAINERS).exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(CONTAINERS)?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name != "lock").collect())
}
