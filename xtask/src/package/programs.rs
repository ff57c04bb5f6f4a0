//! The programs as packages have them: without what tells where they were built.

use anyhow::{Context, Result};
use sealpack_tests::command::run;
use sealpack_tests::paths;
use sealpack_tests::program::{build_init, host_target, without_paths};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Those that Debian's packages have.
pub(super) struct Programs {
    /// With keys in PKCS#11 tokens.
    pub(super) sealpack: PathBuf,
    pub(super) snapshotter: PathBuf,
    /// A sealed host's first process, and the broker: static.
    pub(super) init: PathBuf,
}

/// Those of the tarball: static.
pub(super) struct Static {
    /// Without PKCS#11, whose modules a static program cannot load.
    pub(super) sealpack: PathBuf,
    pub(super) init: PathBuf,
}

/// Which programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Those that users have.
    Release,
    /// Those that tests have: faster made, slower, larger.
    Dev,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    fn directory(self) -> Result<PathBuf> {
        let name = if self == Self::Dev { "debug" } else { self.name() };
        Ok(paths::target().join(host_target()?).join(name))
    }
}

/// What Debian's packages have besides the static ones, as cargo is told.
const DYNAMIC: [&str; 7] =
    ["--package", "sealpack", "--package", "sealpack-snapshotter", "--bins", "--features", "sealpack/pkcs11"];

/// Puts the tests' own of those for Debian into `place`, which tell where they were built, and need nothing that the tests do
/// not need too.
pub(super) fn of_tests(place: &Path) -> Result<()> {
    run(Command::new("cargo").args(["build", "--quiet"]).args(DYNAMIC).current_dir(paths::workspace()))?;
    fs::create_dir_all(place)?;
    for name in ["sealpack", "sealpack-snapshotter"] {
        // Not a link: cargo writes another program of that name.
        fs::copy(paths::target().join("debug").join(name), place.join(name))
            .with_context(|| format!("cannot keep {name}"))?;
    }
    Ok(())
}

/// Builds those for Debian, unless they are in `built`, and puts them into `place`.
pub(super) fn dynamic(profile: Profile, built: Option<&Path>, place: &Path) -> Result<Programs> {
    let built = match built {
        Some(built) => built.to_owned(),
        None => {
            run(cargo("build", profile)?.args(DYNAMIC))?;
            profile.directory()?
        }
    };
    fs::create_dir_all(place)?;
    let stripped = |name: &str| strip(&built.join(name), place, name);
    Ok(Programs {
        sealpack: stripped("sealpack")?,
        snapshotter: stripped("sealpack-snapshotter")?,
        init: strip(&build_init()?, place, "init")?,
    })
}

/// Builds those that need no library, and puts them into `place`. For tests they are those that booted guests have.
pub(super) fn fixed(profile: Profile, place: &Path) -> Result<Static> {
    fs::create_dir_all(place)?;
    let sealpack = if profile == Profile::Dev {
        sealpack_guest::programs::build()?.sealpack
    } else {
        let mut cargo = cargo("rustc", profile)?;
        // How it is linked is decided where it is: all else is what the dynamic ones are made of.
        let what = ["--package", "sealpack", "--bin", "sealpack", "--", "-Ctarget-feature=+crt-static"];
        run(cargo.args(what))?;
        profile.directory()?.join("sealpack")
    };
    Ok(Static { sealpack: strip(&sealpack, place, "sealpack")?, init: strip(&build_init()?, place, "init")? })
}

/// A program `from` without its symbols and line tables, as `name` in `place`.
pub(crate) fn strip(from: &Path, place: &Path, name: &str) -> Result<PathBuf> {
    let to = place.join(name);
    let mut objcopy = Command::new("objcopy");
    run(objcopy.arg("--strip-all").arg(from).arg(&to))
        .context("symbols are taken out with objcopy, of the package binutils")?;
    fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
    Ok(to)
}

fn cargo(verb: &str, profile: Profile) -> Result<Command> {
    let target = host_target()?;
    let mut cargo = Command::new("cargo");
    cargo.args([verb, "--quiet", "--locked", "--profile", profile.name(), "--target", &target]);
    without_paths(&mut cargo, &target, &[])?;
    cargo.current_dir(paths::workspace());
    Ok(cargo)
}
