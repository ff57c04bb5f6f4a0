//! Root that writes into directories of another user: links there lead it nowhere, and what it makes is the user's
//! (docs/threat-model.md).

use anyhow::{Context, Result, ensure};
use sealpack_tests::composefs::Tools;
use sealpack_tests::program::Sealpack;
use sealpack_tests::{images, skip};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A user whom no machine has in its files.
const USER: u32 = 54321;

/// What only root may read and write, beside a directory of a user.
struct Place {
    directory: tempfile::TempDir,
    sealpack: Sealpack,
}

/// A command that writes into a directory.
#[derive(Debug, Clone, Copy)]
enum Writer {
    Key,
    Policy,
    Prepared,
    ManPages,
    TrustStore,
    Revocation,
    Layout,
    Objects,
    Image,
}

impl Writer {
    const ALL: [Self; 9] = [
        Self::Key,
        Self::Policy,
        Self::Prepared,
        Self::ManPages,
        Self::TrustStore,
        Self::Revocation,
        Self::Layout,
        Self::Objects,
        Self::Image,
    ];

    /// What it writes, as far as a link of that name can be in its way: files and directories.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Key => &["k.key", "k.crt"],
            Self::Policy => &["policy"],
            Self::Prepared => &["out"],
            Self::ManPages => &["sealpack.1", "sealpack-pull.1", "sealpack-rules.toml.5"],
            Self::TrustStore => &["trust", "trust/packs", "trust/.lock", "trust/packs/new.crt"],
            Self::Revocation => &["trust", "trust/revoked.toml", "trust/.lock"],
            Self::Layout => {
                &["layout", "layout/blobs", "layout/blobs/sha256", "layout/index.json", "layout/oci-layout"]
            }
            Self::Objects => &["objects", "objects/OBJECT", "objects/OBJECT/"],
            Self::Image => &["image"],
        }
    }
}

impl Place {
    /// `None`, said, without root.
    fn new() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            skip("only root can write to other users' directories");
            return Ok(None);
        }
        let place = Self { directory: tempfile::tempdir()?, sealpack: Sealpack::new()? };
        mode(place.directory.path(), 0o755)?;
        for name in ["secret", "source", "home"] {
            fs::create_dir(place.at(name))?;
        }
        mode(&place.at("secret"), 0o700)?;
        fs::write(place.at("secret/file"), "only root's")?;
        mode(&place.at("secret/file"), 0o600)?;
        fs::write(place.at("source/file"), "x".repeat(1000))?;
        give(&place.at("home"))?;
        let [key, certificate] = [place.text("own.key")?, place.text("own.crt")?];
        place.sealpack.run(["key", "new", "--type", "p256", "--key", &key, "--cert", &certificate])?;
        place.sealpack.run(["pull", &images::busybox()?.source(), "--name", "busybox"])?;
        Ok(Some(place))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> Result<String> {
        self.at(name).to_str().map(str::to_owned).context("an odd path")
    }

    /// Has root write to `directory`, below this place.
    fn write(&self, writer: Writer, directory: &str) -> Result<Output> {
        let path = |name: &str| self.text(&format!("{directory}/{name}"));
        let own = self.text("own.crt")?;
        let sealpack = &self.sealpack;
        match writer {
            Writer::Key => {
                let [key, cert] = [path("k.key")?, path("k.crt")?];
                let new = ["key", "new", "--type", "p256", "--force", "--key", &key, "--cert", &cert];
                sealpack.attempt(new)
            }
            Writer::Policy => sealpack.attempt(["policy", "new", "final", "--force", "-o", &path("policy")?]),
            Writer::Prepared => {
                sealpack.attempt(["seal", "prepare", "busybox", "--replace", "--out", &path("out")?])
            }
            Writer::ManPages => sealpack.attempt(["generate", "man", &self.text(directory)?]),
            Writer::TrustStore => {
                let add = ["--trust", &path("trust")?, "trust", "add", "new", "--cert", &own];
                sealpack.attempt(add)
            }
            Writer::Revocation => {
                let root_hash = "0".repeat(64);
                let revoke = ["--trust", &path("trust")?, "trust", "revoke", "--root-hash", &root_hash];
                sealpack.attempt(revoke)
            }
            Writer::Layout => {
                let layout = format!("oci:{}:app", path("layout")?);
                sealpack.attempt(["copy", &images::busybox()?.source(), &layout])
            }
            Writer::Objects => {
                let store = format!("--digest-store={}", path("objects")?);
                Tools::ours()?.attempt("mkcomposefs", [&store, "--print-digest-only", &self.text("source")?])
            }
            Writer::Image => Tools::ours()?.attempt("mkcomposefs", [&self.text("source")?, &path("image")?]),
        }
    }

    /// What is in `secret/`: names, owners and contents.
    fn secret(&self) -> Result<Vec<(PathBuf, u32, Vec<u8>)>> {
        let mut found = Vec::new();
        for path in below(&self.at("secret"))? {
            let content = if path.is_file() { fs::read(&path)? } else { Vec::new() };
            found.push((path.clone(), path.symlink_metadata()?.uid(), content));
        }
        Ok(found)
    }
}

fn mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

fn give(path: &Path) -> Result<()> {
    for path in below(path)? {
        lchown(path, Some(USER), Some(USER))?;
    }
    Ok(())
}

/// A path and all that is below it, in order.
fn below(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            found.extend(below(&entry?.path())?);
        }
    }
    found.sort();
    Ok(found)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_root_writes_into_a_users_directory_is_the_users() -> Result<()> {
    let Some(place) = Place::new()? else { return Ok(()) };
    for writer in Writer::ALL {
        let before = below(&place.at("home"))?.len();
        let output = place.write(writer, "home")?;
        ensure!(output.status.success(), "{writer:?}: {}", said(&output));
        let found = below(&place.at("home"))?;
        ensure!(found.len() > before, "{writer:?} wrote nothing");
        for path in found {
            let owner = path.symlink_metadata()?.uid();
            ensure!(owner == USER, "{writer:?}: {} is of user {owner}", path.display());
        }
        ensure!(
            below(&place.at("home"))?.iter().all(|path| !path.to_string_lossy().contains(".new")),
            "{writer:?} left something"
        );
    }
    Ok(())
}

/// Every name that a command writes to, as a link to what only root may use, and as another name of it.
#[test]
fn links_in_a_users_directory_lead_root_nowhere() -> Result<()> {
    let Some(place) = Place::new()? else { return Ok(()) };
    for writer in Writer::ALL {
        for name in writer.names() {
            for hard in [false, true] {
                fs::remove_dir_all(place.at("home"))?;
                fs::create_dir(place.at("home"))?;
                place.write(writer, "home")?;
                let path = named(&place.at("home"), name)?;
                let is_directory = path.is_dir();
                if is_directory && hard {
                    continue;
                }
                if is_directory {
                    fs::remove_dir_all(&path)?
                } else {
                    _ = fs::remove_file(&path)
                }
                match (hard, is_directory) {
                    (true, _) => fs::hard_link(place.at("secret/file"), &path)?,
                    (false, true) => symlink(place.at("secret"), &path)?,
                    (false, false) => symlink(place.at("secret/file"), &path)?,
                }
                for path in below(&place.at("home"))? {
                    // Not the inode that is root's.
                    if !hard || path.symlink_metadata()?.nlink() == 1 || path.is_dir() {
                        lchown(path, Some(USER), Some(USER))?;
                    }
                }
                let before = place.secret()?;
                let output = place.write(writer, "home")?;
                ensure!(
                    place.secret()? == before,
                    "{writer:?} {name} (hard: {hard}) changed something: {}",
                    said(&output)
                );
                ensure!(output.status.code().is_some(), "{writer:?} {name} was killed");
            }
        }
    }
    Ok(())
}

/// The file or directory of that name; for an object, that of the only one that there is.
fn named(home: &Path, name: &str) -> Result<PathBuf> {
    if let Some(rest) = name.strip_prefix("objects/OBJECT") {
        let mut fans = fs::read_dir(home.join("objects"))?;
        let fan = fans.next().context("no object")??.path();
        let object = fs::read_dir(&fan)?.next().context("no object")??.path();
        return Ok(if rest.is_empty() { fan } else { object });
    }
    Ok(home.join(name))
}

/// The directory is exchanged for a link to what only root may use, and back, all the time.
#[test]
fn a_directory_that_is_exchanged_for_a_link_meanwhile_leads_root_nowhere() -> Result<()> {
    let Some(place) = Place::new()? else { return Ok(()) };
    for name in ["work", "work/layout", "work/objects", "work/trust", "work/trust/packs"] {
        fs::create_dir_all(place.at("home").join(name))?;
        symlink(place.at("secret"), place.at("home/link"))?;
        give(&place.at("home"))?;
        let before = place.secret()?;
        let (done, exchanged) = (AtomicBool::new(false), place.at("home").join(name));
        let end = Instant::now() + Duration::from_secs(4);
        std::thread::scope(|scope| -> Result<()> {
            scope.spawn(|| {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                let (at, link) = (rustix::fs::CWD, place.at("home/link"));
                while !done.load(Ordering::Relaxed) {
                    _ = rustix::fs::renameat_with(at, &exchanged, at, &link, exchange);
                }
            });
            let round = || -> Result<()> {
                while Instant::now() < end {
                    for writer in Writer::ALL {
                        place.write(writer, "home/work")?;
                    }
                }
                Ok(())
            };
            let result = round();
            done.store(true, Ordering::Relaxed);
            result
        })?;
        ensure!(place.secret()? == before, "{name}: something was changed");
        fs::remove_dir_all(place.at("home"))?;
        fs::create_dir(place.at("home"))?;
    }
    Ok(())
}

#[test]
fn a_sticky_directory_of_root_is_written_as_before() -> Result<()> {
    let Some(place) = Place::new()? else { return Ok(()) };
    mode(&place.at("home"), 0o1777)?;
    lchown(place.at("home"), Some(0), Some(0))?;
    for writer in Writer::ALL {
        let output = place.write(writer, "home")?;
        ensure!(output.status.success(), "{writer:?}: {}", said(&output));
    }
    for path in below(&place.at("home"))? {
        ensure!(path.symlink_metadata()?.uid() == 0, "{}", path.display());
    }
    Ok(())
}

/// A directory that was there with mode 0755 stayed so: whoever got in could read what only root may read in an image,
/// and keep the locks.
#[test]
fn a_store_that_others_can_get_into_is_closed_to_them_and_their_locks_do_not_count() -> Result<()> {
    let Some(place) = Place::new()? else { return Ok(()) };
    let store = place.sealpack.store();
    mode(&store, 0o755)?;
    mode(&store.join("refs"), 0o755)?;
    mode(store.parent().context("a store lies somewhere")?, 0o755)?;
    let doctor = place.sealpack.json(["doctor"])?;
    ensure!(doctor["store_loose_mode"] == "0755", "{doctor:#}");
    let told = String::from_utf8(place.sealpack.run(["doctor"])?.stdout)?;
    ensure!(told.contains("the store's mode is 0755"), "{told}");

    let mut other = locked_by_another_user(&store.join("refs"))?;
    let mut said_so = [0; 6];
    std::io::Read::read_exact(other.stdout.as_mut().context("its output")?, &mut said_so)?;
    let start = Instant::now();
    let tagged = place.sealpack.attempt(["tag", "busybox", "other"])?;
    let took = start.elapsed();
    other.kill()?;
    other.wait()?;
    ensure!(tagged.status.success(), "{}", said(&tagged));
    ensure!(took < Duration::from_secs(10), "it waited for {took:?}");
    ensure!(store.metadata()?.permissions().mode() & 0o777 == 0o700);

    mode(&store, 0o755)?;
    let output = place.sealpack.attempt(["--json", "fsck"])?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(output.status.code() == Some(3) && report["problems"][0]["kind"] == "loose_mode", "{report:#}");
    place.sealpack.run(["fsck"])?;
    ensure!(place.sealpack.json(["doctor"])?["store_loose_mode"].is_null());
    Ok(())
}

/// A process of the other user that takes a lock on `path` and says so. This one does not keep the descriptor.
fn locked_by_another_user(path: &Path) -> Result<std::process::Child> {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "flock -x 0 && echo locked && exec sleep 100"]).stdin(fs::File::open(path)?);
    std::os::unix::process::CommandExt::uid(&mut command, USER);
    Ok(command.stdout(std::process::Stdio::piped()).spawn()?)
}
