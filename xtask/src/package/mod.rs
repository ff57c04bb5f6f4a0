//! `cargo xtask package`: Debian packages, a static tarball, an SBOM and checksums, all of one commit, with the same bytes
//! wherever they are made.

mod arm64;
mod contents;
mod deb;
mod licences;
mod manual;
mod needs;
mod programs;
mod sbom;
mod scripts;
mod tarball;
mod tree;
mod version;

use anyhow::{Context, Result};
pub(crate) use manual::Manual;
use programs::Profile;
use sealpack_tests::command::run as run_command;
use sealpack_tests::paths;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use version::Version;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the files go; what is there already stays, unless it has the same name [default: packages/ in the target directory]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The version of what is made [default: the workspace's, with the commit's date and name]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Which programs: those of a release, or the tests' own, which are made faster
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
    /// Also the tarball for 64-bit ARM, whose programs a chroot of Debian testing makes: half a gigabyte, the first time
    #[arg(long)]
    arm64: bool,
    /// A directory with `sealpack` and `sealpack-snapshotter`, which are not built then: for tests
    #[arg(long, value_name = "DIR", hide = true, env = PROGRAMS)]
    programs: Option<PathBuf>,
}

/// The variable that tells tests of packages where the programs are that [`build`] has built.
pub(crate) const PROGRAMS: &str = "SEALPACK_PACKAGED_PROGRAMS";

/// What all packages of one run have in common.
struct Release {
    version: Version,
    /// What the programs are made of, for the notices of whoever wrote it.
    notices: Vec<u8>,
    /// How hard dpkg-deb tries.
    compression: &'static str,
}

/// Builds everything and prints the paths of what is there then.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let output = arguments.output.clone().unwrap_or_else(|| paths::target().join("packages"));
    for path in make(&output, arguments)? {
        println!("{}", path.display());
    }
    Ok(())
}

/// Builds what the tests of packages pack: not within the time of the first of them. With `all`, what users have; otherwise
/// the tests' own, into the directory that is returned.
pub(crate) fn build(all: bool) -> Result<Option<PathBuf>> {
    if all {
        let place = tempfile::tempdir()?;
        programs::dynamic(Profile::Release, None, &place.path().join("dynamic"))?;
        programs::fixed(Profile::Release, &place.path().join("static"))?;
        return Ok(None);
    }
    let place = paths::target().join("tmp/packages/programs");
    programs::of_tests(&place)?;
    Ok(Some(place))
}

/// Makes the files, under other names until all of them are whole.
fn make(output: &Path, arguments: &Arguments) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
    let work = tempfile::Builder::new().prefix(".package-").tempdir_in(output)?;
    let made = work.path().join("made");
    fs::create_dir(&made)?;
    let place = |name: &str| work.path().join(name);
    let programs = programs::dynamic(arguments.profile, arguments.programs.as_deref(), &place("dynamic"))?;
    let fixed = programs::fixed(arguments.profile, &place("static"))?;
    let parts = sbom::parts()?;
    let version = Version::new(arguments.version.as_deref())?;
    let compression = if arguments.profile == Profile::Release { "-z6" } else { "-z1" };
    let release = Release { version, notices: licences::notices(&parts)?, compression };
    let manual = Manual::of(&programs.sealpack, &place("manual"))?;
    for (index, deb) in contents::debs(&release, &programs, &manual)?.iter().enumerate() {
        deb.write(&release, &place(&format!("deb-{index}")), &made)?;
    }
    tarball::write(&release, std::env::consts::ARCH, &fixed, &manual, &place("tarball"), &made)?;
    if arguments.arm64 {
        tarball::write(&release, "aarch64", &arm64::fixed()?, &manual, &place("arm64"), &made)?;
    }
    let sbom = sbom::document(&release.version, &parts)?;
    fs::write(made.join(format!("sealpack_{}.cdx.json", release.version.upstream())), sbom)?;
    add_checksums(&made)?;
    publish(&made, output)
}

/// Writes the file that `sha256sum --check` reads.
fn add_checksums(made: &Path) -> Result<()> {
    let names = names(made)?;
    let sums = run_command(Command::new("sha256sum").arg("--").args(&names).current_dir(made))?;
    fs::write(made.join("SHA256SUMS"), sums.stdout).context("cannot write SHA256SUMS")
}

/// Moves what was made to where it was asked for; the checksums last, so that they are of what is there.
fn publish(made: &Path, output: &Path) -> Result<Vec<PathBuf>> {
    let mut names = names(made)?;
    names.sort_by_key(|name| name == "SHA256SUMS");
    let paths = names.iter().map(|name| {
        let (from, to) = (made.join(name), output.join(name));
        fs::File::open(&from)?.sync_all()?;
        fs::rename(&from, &to).with_context(|| format!("cannot put {} there", to.display()))?;
        Ok(to)
    });
    paths.collect()
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
