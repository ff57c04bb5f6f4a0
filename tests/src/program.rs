//! The `sealpack` program under test.

use crate::command::{self, attempt, run};
use crate::files;
use crate::paths;
use crate::schema;
use anyhow::{Context, Result};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Which build of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The one for tests.
    Dev,
    /// The one that users run.
    Release,
}

/// Builds the program and returns its path.
///
/// # Errors
/// If it does not compile; the compiler's messages are in the error.
pub fn build(profile: Profile) -> Result<PathBuf> {
    build_program("sealpack", "sealpack", profile)
}

fn build_program(package: &str, name: &str, profile: Profile) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", package, "--bin", name]).current_dir(paths::workspace());
    let dir = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    run(&mut cargo)?;
    Ok(paths::target().join(dir).join(name))
}

/// Builds the program that serves containerd and returns its path.
///
/// # Errors
/// As [`build`].
pub fn build_snapshotter(profile: Profile) -> Result<PathBuf> {
    build_program("sealpack-snapshotter", "sealpack-snapshotter", profile)
}

static SNAPSHOTTER: OnceLock<PathBuf> = OnceLock::new();

/// The program that serves containerd: the one that [`use_snapshotter`] was told, `$SEALPACK_SNAPSHOTTER_BIN`, or the one of
/// this workspace, brought up to date.
///
/// # Errors
/// As [`build`].
pub fn snapshotter_under_test() -> Result<PathBuf> {
    if let Some(program) = SNAPSHOTTER.get() {
        return Ok(program.clone());
    }
    if let Some(given) = std::env::var_os("SEALPACK_SNAPSHOTTER_BIN") {
        return Ok(given.into());
    }
    let program = build_snapshotter(Profile::Dev)?;
    Ok(SNAPSHOTTER.get_or_init(|| program).clone())
}

/// Has all of this process take `program` for [`snapshotter_under_test`], unless that was asked for before.
pub fn use_snapshotter(program: PathBuf) {
    SNAPSHOTTER.get_or_init(|| program);
}

/// Builds a sealed host's first process as users have it, a static program, and returns its path.
///
/// # Errors
/// As [`build`].
pub fn build_init() -> Result<PathBuf> {
    // Naming the target keeps the flags from what is run while it is built.
    let target = host_target()?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", "sealpack-init", "--profile", "init", "--target", &target]);
    without_paths(&mut cargo, &target, &["-Ctarget-feature=+crt-static"])?;
    run(cargo.current_dir(paths::workspace()))?;
    Ok(paths::target().join(target).join("init/sealpack-init"))
}

/// Has `cargo` build, for `target`, programs that do not tell where they were built, with `flags` for the compiler besides.
///
/// # Errors
/// If the compiler, or cargo's own directory, is not found.
pub fn without_paths(cargo: &mut Command, target: &str, flags: &[&str]) -> Result<()> {
    let library = Path::new(&command::stdout(Command::new("rustc").args(["--print", "sysroot"]))?)
        .join("lib/rustlib/src/rust");
    let home = cargo_home()?;
    // Of several that fit, the last counts.
    let named = [
        (paths::workspace(), "/usr/src/sealpack"),
        (paths::target(), "/usr/src/sealpack/target"),
        (home.join("registry/src"), "/usr/src/cargo"),
        (library, "/usr/src/rust"),
    ];
    let mapped = |option: &str| -> Vec<String> {
        named.iter().map(|(path, name)| format!("{option}={}={name}", path.display())).collect()
    };
    let mut all: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    all.extend(mapped("--remap-path-prefix"));
    // It would be of the line tables, too, which are taken out and are not the same elsewhere.
    all.push("-Clink-arg=-Wl,--build-id=none".to_owned());
    let all: Value = all.into();
    let of_c = mapped("-ffile-prefix-map").join(" ");
    cargo
        .args(["--config", &format!("target.{target}.rustflags = {all}")])
        .env_remove("RUSTFLAGS")
        .env(format!("CFLAGS_{}", target.replace('-', "_")), &of_c)
        // It does without the former, then.
        .env("AWS_LC_SYS_CFLAGS", format!("{} {of_c}", configured("AWS_LC_SYS_CFLAGS")?));
    Ok(())
}

/// Where cargo keeps what it has fetched.
///
/// # Errors
/// If nothing says where that is.
pub fn cargo_home() -> Result<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let usual = || Some(Path::new(&std::env::var_os("HOME")?).join(".cargo"));
    named.or_else(usual).context("neither $CARGO_HOME nor $HOME is set")
}

/// The variable as cargo's configuration of this workspace sets it.
fn configured(variable: &str) -> Result<String> {
    let path = paths::workspace().join(".cargo/config.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(variable)?.trim().strip_prefix('='));
    Ok(value
        .with_context(|| format!("{} has no {variable}", path.display()))?
        .trim()
        .trim_matches('"')
        .to_owned())
}

/// What the compiler calls this machine.
///
/// # Errors
/// If it does not say.
pub fn host_target() -> Result<String> {
    let said = command::stdout(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what it compiles for")?.to_owned())
}

/// Builds what takes the place of crictl in tests, and returns its path.
///
/// # Errors
/// As [`build`].
pub fn build_crictl() -> Result<PathBuf> {
    build_program("sealpack-test-cri", "crictl", Profile::Dev)
}

/// Builds one of the programs of this package and returns its path.
///
/// # Errors
/// As [`build`].
pub fn build_tool(name: &str, profile: Profile) -> Result<PathBuf> {
    build_program("sealpack-tests", name, profile)
}

/// The program that tests drive: `$SEALPACK_BIN`, or the one of this workspace, brought up to date.
///
/// # Errors
/// As [`build`].
pub fn under_test() -> Result<PathBuf> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(given) = std::env::var_os("SEALPACK_BIN") {
        return Ok(given.into());
    }
    if let Some(program) = PROGRAM.get() {
        return Ok(program.clone());
    }
    let program = build(Profile::Dev)?;
    Ok(PROGRAM.get_or_init(|| program).clone())
}

/// What the program reads of its surroundings, besides all that begins with `SEALPACK_`.
const VARIABLES: [&str; 14] = [
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "SOURCE_DATE_EPOCH",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// A command that starts the program at `program` where neither the machine nor the user has configured anything,
/// except below `$HOME`: without variables that it reads, and with an empty trust store instead of the machine's.
pub fn start(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    isolate(&mut command);
    command
}

/// Takes from a command what [`start`] takes.
pub fn isolate(command: &mut Command) {
    let (trust_store, settings) =
        (paths::target().join("tmp/empty-trust.d"), paths::target().join("tmp/empty-sealpack.toml"));
    // Where they cannot be made, the program says that they are not there.
    let _ = std::fs::create_dir_all(&trust_store);
    if !settings.exists() {
        let _ = std::fs::write(&settings, "");
    }
    for (variable, _) in std::env::vars_os() {
        if variable.as_encoded_bytes().starts_with(b"SEALPACK_")
            || VARIABLES.iter().any(|name| variable == *name)
        {
            command.env_remove(variable);
        }
    }
    command.env("SEALPACK_TRUST", trust_store).env("SEALPACK_CONFIG", settings);
    // What tests refuse and mount is no news for the machine's journal.
    command.env("SEALPACK_JOURNAL", "");
}

/// A store of its own for a test, and the program that works on it.
#[derive(Debug)]
pub struct Sealpack {
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Sealpack {
    /// With a store that does not exist yet.
    ///
    /// # Errors
    /// If the program cannot be built, or there is no place for a store.
    pub fn new() -> Result<Self> {
        let place = paths::fixtures();
        std::fs::create_dir_all(&place)?;
        let dir = tempfile::Builder::new().prefix("store-").tempdir_in(&place)?;
        Ok(Self { program: under_test()?, dir })
    }

    /// The store's directory.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// The command with these arguments; nobody's own configuration plays a part in it.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = start(&self.program);
        command.arg("--store").arg(self.store()).args(arguments).env("HOME", self.dir.path());
        command
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// If its exit status is not 0.
    pub fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
        run(&mut self.command(arguments))
    }

    /// Runs it to its end, whatever its exit status.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn attempt(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
        attempt(&mut self.command(arguments))
    }

    /// Runs it with `--json` and returns what it prints.
    ///
    /// # Errors
    /// If its exit status is not 0, or it does not print one document that is as docs/json.schema.json has it.
    pub fn json(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Value> {
        let mut command = self.command(["--json"]);
        command.args(arguments);
        let output = run(&mut command)?;
        schema::document(&output.stdout)
            .with_context(|| format!("what {} printed", command::display(&command)))
    }

    /// The fs-verity digest of the metadata image of the stored image `name`, in hex.
    ///
    /// # Errors
    /// If there is no such image.
    pub fn image_digest(&self, name: &str) -> Result<String> {
        let shown = self.json(["inspect", name])?;
        let digest = shown["metadata_image"]["fsverity_digest"].as_str();
        Ok(digest.with_context(|| format!("no digest of the metadata image in {shown}"))?.to_owned())
    }

    /// All regular files of the store, relative to it, in order.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let store = self.store();
        Ok(files::below(&store)?.iter().map(|path| relative(path, &store)).collect())
    }
}

fn relative(path: &Path, dir: &Path) -> PathBuf {
    path.strip_prefix(dir).unwrap_or(path).to_path_buf()
}
