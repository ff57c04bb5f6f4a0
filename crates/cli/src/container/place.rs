//! Where a container is while it runs, and what others do with it when its command is gone.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealpack_kernel::interrupt;
use sealpack_store::deep;
use serde_json::{Value, json};

use crate::error::CommandError;

/// Has a directory for each container. It is gone after a boot, as what is in it.
pub(crate) const ROOT: &str = "/run/sealpack/containers";

/// Locked by whoever makes or sweeps directories in it.
const LOCK: &str = "lock";

/// A container's own lock, held by the command that runs it for as long as that goes on.
const OWN_LOCK: &str = "lock";

/// What a sweeper has to know.
const STATE: &str = "state.json";

/// The place of a container. Dropping it leaves it to the next sweep.
#[derive(Debug)]
pub(crate) struct Place {
    id: String,
    path: PathBuf,
    /// What takes changes, if that is on a disk.
    changes: Option<PathBuf>,
    runtime: PathBuf,
    _lock: File,
}

impl Place {
    /// A new one, for a container that `runtime` makes, with changes in `changes` if on a disk.
    pub(crate) fn new(runtime: &Path, containers: Option<&Path>) -> Result<Self, CommandError> {
        let _global = lock_all()?.ok_or_else(|| failed(Path::new(ROOT), "there is no such directory"))?;
        let id = new_id()?;
        let path = Path::new(ROOT).join(&id);
        make(&path)?;
        let lock = File::create(path.join(OWN_LOCK)).map_err(|error| failed(&path.join(OWN_LOCK), error))?;
        lock.try_lock().map_err(|error| failed(&path.join(OWN_LOCK), error))?;
        let changes = containers.map(|containers| containers.join(&id));
        let place = Self { id, path, changes, runtime: runtime.to_owned(), _lock: lock };
        let state = json!({ "runtime": place.runtime, "changes": place.changes });
        let file = place.path.join(STATE);
        fs::write(&file, state.to_string()).map_err(|error| failed(&file, error))?;
        Ok(place)
    }

    /// The container's name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Something in its directory.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its directory: what runtimes call a bundle.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What takes changes, if that is on a disk.
    pub(crate) fn changes(&self) -> Option<&Path> {
        self.changes.as_deref()
    }

    /// The runtime, to be told something of this container.
    pub(crate) fn runtime(&self) -> Command {
        command(&self.runtime, &self.path)
    }

    /// Removes the container, whatever it does, and all that was for it.
    pub(crate) fn remove(self) -> Result<(), CommandError> {
        let _global = lock_all()?;
        remove(&self.path, &self.id, &self.runtime, self.changes.as_deref())
    }
}

/// A runtime that keeps what it knows below `path`.
fn command(runtime: &Path, path: &Path) -> Command {
    let mut command = Command::new(runtime);
    interrupt::hears_all(&mut command);
    command.arg("--root").arg(path.join("runtime"));
    command.arg("--log").arg(path.join("log")).args(["--log-format", "json"]);
    command
}

/// Removes what containers left whose command is gone: they are ended. Answers with their names, and what could not be
/// removed.
pub(crate) fn sweep() -> Result<(Vec<String>, Vec<CommandError>), CommandError> {
    let (mut swept, mut errors) = (Vec::new(), Vec::new());
    if !Path::new(ROOT).exists() {
        return Ok((swept, errors));
    }
    let Some(_global) = lock_all()? else { return Ok((swept, errors)) };
    for entry in fs::read_dir(ROOT).map_err(|error| failed(Path::new(ROOT), error))? {
        let entry = entry.map_err(|error| failed(Path::new(ROOT), error))?;
        let path = entry.path();
        if !path.is_dir() || is_held(&path) {
            continue;
        }
        let id = entry.file_name().to_string_lossy().into_owned();
        match sweep_one(&path, &id) {
            Ok(()) => swept.push(id),
            Err(error) => errors.push(error),
        }
    }
    Ok((swept, errors))
}

fn sweep_one(path: &Path, id: &str) -> Result<(), CommandError> {
    // Whoever was killed before this was written had not called the runtime yet.
    let state: Value = fs::read(path.join(STATE))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let of = |key: &str| state[key].as_str().map(PathBuf::from);
    remove(path, id, &of("runtime").unwrap_or_default(), of("changes").as_deref())
}

/// Whether the command that runs the container goes on.
fn is_held(path: &Path) -> bool {
    File::open(path.join(OWN_LOCK)).is_ok_and(|lock| lock.try_lock().is_err())
}

fn remove(path: &Path, id: &str, runtime: &Path, changes: Option<&Path>) -> Result<(), CommandError> {
    if path.join("runtime").exists() {
        let mut delete = command(runtime, path);
        let output = delete.args(["delete", "--force", id]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| failed(runtime, error))?;
        if !output.status.success() && path.join("runtime").join(id).exists() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(runtime, format_args!("container {id} was not removed: {}", said.trim())));
        }
    }
    remove_cgroups(id);
    for tree in changes.into_iter().chain([path]) {
        match deep::remove(tree) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(tree, error)),
            _ => {}
        }
    }
    Ok(())
}

/// The name under which a container's resources are counted.
pub(crate) fn cgroup_of(id: &str) -> String {
    format!("/sealpack-{id}")
}

/// Those that a runtime left which was killed before it knew of them. One that is in use stays, with whatever uses it.
fn remove_cgroups(id: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let name = cgroup_of(id);
    let controllers = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for directory in controllers.chain([root.to_owned()]) {
        // Nearly always there is none.
        _ = fs::remove_dir(directory.join(name.trim_start_matches('/')));
    }
}

/// Locks the making and sweeping of all; `None` where the directory cannot be made for want of rights.
fn lock_all() -> Result<Option<File>, CommandError> {
    let root = Path::new(ROOT);
    for directory in [root.parent().expect("it has one"), root] {
        let mode = if directory == root { 0o700 } else { 0o755 };
        match DirBuilder::new().mode(mode).create(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(failed(directory, error)),
        }
    }
    let path = root.join(LOCK);
    let lock = match File::options().create(true).truncate(false).write(true).open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        Err(error) => return Err(failed(&path, error)),
    };
    lock.lock().map_err(|error| failed(&path, error))?;
    Ok(Some(lock))
}

fn make(path: &Path) -> Result<(), CommandError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| failed(path, error))
}

/// Twelve digits that nobody else has.
fn new_id() -> Result<String, CommandError> {
    let random = Path::new("/dev/urandom");
    let mut bytes = [0; 6];
    let read = File::open(random).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| failed(random, error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn failed(path: &Path, why: impl std::fmt::Display) -> CommandError {
    CommandError::failed(format_args!("{}: {why}", path.display()))
}
