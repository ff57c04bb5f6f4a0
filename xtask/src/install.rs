//! `cargo xtask install`: the program, and the names of the composefs tools that it answers to.

use anyhow::{Context, Result, bail};
use sealpack_tests::composefs::NAMES;
use sealpack_tests::program::{self, Profile};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where bin/ and sbin/ are
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// Replace composefs tools that are there
    #[arg(long)]
    force: bool,
}

/// Builds the release and installs it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let built = program::build(Profile::Release)?;
    for line in install(&built, &arguments.prefix, arguments.force)? {
        println!("{line}");
    }
    Ok(())
}

/// The directory and the target of the link called `name`.
fn link(name: &str) -> (&'static str, &'static str) {
    // mount(8) has its helpers among the superuser's programs.
    if name.starts_with("mount.") { ("sbin", "../bin/sealpack") } else { ("bin", "sealpack") }
}

/// Copies the program `built` below `prefix` and makes the links to it. Returns what there is then.
fn install(built: &Path, prefix: &Path, force: bool) -> Result<Vec<String>> {
    let links: Vec<(PathBuf, &str)> = NAMES
        .iter()
        .map(|name| {
            let (directory, target) = link(name);
            (prefix.join(directory).join(name), target)
        })
        .collect();
    for (path, target) in &links {
        let is_ours = fs::read_link(path).is_ok_and(|found| found == Path::new(target));
        if path.symlink_metadata().is_ok() && !is_ours && !force {
            bail!("{} is there and is not this program's; --force replaces it", path.display());
        }
    }
    let program = prefix.join("bin/sealpack");
    let mut lines = vec![program.display().to_string()];
    replace(&program, |temporary| fs::copy(built, temporary).map(drop))?;
    for (path, target) in links {
        replace(&path, |temporary| symlink(target, temporary))?;
        lines.push(format!("{} -> {target}", path.display()));
    }
    Ok(lines)
}

/// Makes what is at `path` in one step: whoever runs what was there goes on doing so.
fn replace(path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let directory = path.parent().context("no directory")?;
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let temporary = directory.join(format!(".sealpack-install-{}", std::process::id()));
    let made = make(&temporary).and_then(|()| fs::rename(&temporary, path));
    if made.is_err() {
        // There may be none.
        let _ = fs::remove_file(&temporary);
    }
    made.with_context(|| format!("cannot install {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_program_and_nobody_elses_file_is_replaced_unasked() -> Result<()> {
        let place = tempfile::tempdir()?;
        let (built, prefix) = (place.path().join("built"), place.path().join("prefix"));
        fs::write(&built, "1")?;
        install(&built, &prefix, false)?;
        fs::write(&built, "2")?;
        assert_eq!(install(&built, &prefix, false)?.len(), 5);
        for path in ["bin/mkcomposefs", "bin/composefs-info", "bin/composefs-dump", "sbin/mount.composefs"] {
            assert_eq!(fs::read(prefix.join(path))?, b"2", "{path}");
        }
        let theirs = prefix.join("bin/mkcomposefs");
        fs::remove_file(&theirs)?;
        fs::write(&theirs, "C")?;
        let error = install(&built, &prefix, false).unwrap_err().to_string();
        assert!(error.contains("bin/mkcomposefs is there and is not this program's; --force"), "{error}");
        assert_eq!(fs::read(&theirs)?, b"C");
        install(&built, &prefix, true)?;
        assert_eq!(fs::read(&theirs)?, b"2");
        assert_eq!(fs::read_dir(prefix.join("bin"))?.count(), 4);
        Ok(())
    }
}
