//! `cargo xtask install`: the program with its man pages and completions, the names of the composefs tools that it answers to,
//! and the first process of sealed hosts.

use crate::package::Manual;
use anyhow::{Context, Result, bail};
use sealpack_tests::command::run as run_command;
use sealpack_tests::composefs::NAMES;
use sealpack_tests::paths;
use sealpack_tests::program::{self, Profile};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the line tables are, beside the program: gdb and the program's own backtraces look for them there.
const LINE_TABLES: &str = ".debug/sealpack.debug";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where bin/, sbin/, lib/ and share/ are
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// Replace composefs tools that are there
    #[arg(long)]
    force: bool,
}

/// Builds the release and installs it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let built = program::build(Profile::Release)?;
    let place = tempfile::tempdir()?;
    let manual = Manual::of(&built, &place.path().join("manual"))?;
    let parts = Parts::of(&built, &program::build_init()?, manual, place.path())?;
    for line in install(&parts, &arguments.prefix, arguments.force)? {
        println!("{line}");
    }
    Ok(())
}

/// A sealed host's first process, where images have it too.
const INIT: &str = "lib/sealpack/init";

/// What journalctl explains entries of the journal by.
const CATALOG: &str = "lib/systemd/catalog/sealpack.catalog";

/// What mount(8) looks for where fstab has the type `sealpack`.
const MOUNT_HELPER: &str = "mount.sealpack";

/// A program, apart from it what tells the lines of its source, what it says about itself, and the static one for sealed hosts.
struct Parts {
    program: PathBuf,
    line_tables: PathBuf,
    init: PathBuf,
    manual: Manual,
}

impl Parts {
    /// Takes the program `built` apart, into files in `place`.
    fn of(built: &Path, init: &Path, manual: Manual, place: &Path) -> Result<Self> {
        let (program, line_tables) = (place.join("sealpack"), place.join("sealpack.debug"));
        let parts = Self { program, line_tables, init: init.to_owned(), manual };
        let objcopy = |arguments: &[&str], from: &Path, to: &Path| {
            let mut command = Command::new("objcopy");
            run_command(command.args(arguments).arg(from).arg(to).current_dir(place))
                .context("the line tables are taken out with objcopy, of the package binutils")
        };
        objcopy(&["--only-keep-debug", "--compress-debug-sections=zlib"], built, &parts.line_tables)?;
        // The link is the file's name and checksum; it is looked for in known directories.
        let link = "--add-gnu-debuglink=sealpack.debug";
        objcopy(&["--strip-all", link], built, &parts.program)?;
        fs::set_permissions(&parts.line_tables, fs::Permissions::from_mode(0o644))?;
        Ok(parts)
    }
}

/// The directory and the target of the link called `name`.
fn link(name: &str) -> (&'static str, &'static str) {
    // mount(8) has its helpers among the superuser's programs.
    if name.starts_with("mount.") { ("sbin", "../bin/sealpack") } else { ("bin", "sealpack") }
}

/// Copies the program and its line tables below `prefix` and makes the links to it. Returns what there is then.
fn install(built: &Parts, prefix: &Path, force: bool) -> Result<Vec<String>> {
    let links: Vec<(PathBuf, &str)> = NAMES
        .iter()
        .chain(&[MOUNT_HELPER])
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
    let line_tables = prefix.join("bin").join(LINE_TABLES);
    let init = prefix.join(INIT);
    let mut lines = Vec::new();
    for (from, to) in [(&built.line_tables, &line_tables), (&built.program, &program), (&built.init, &init)] {
        replace(to, |temporary| fs::copy(from, temporary).map(drop))?;
        let size_mb = fs::metadata(to)?.len() as f64 / 1e6;
        lines.push(format!("{} ({size_mb:.1} MB)", to.display()));
    }
    for (path, content) in built.manual.files() {
        replace(&prefix.join(path), |temporary| fs::write(temporary, content))?;
    }
    lines.push(format!("{} (man pages and completions)", prefix.join("share").display()));
    let catalog = prefix.join(CATALOG);
    let explained = paths::workspace().join("contrib/catalog/sealpack.catalog");
    replace(&catalog, |temporary| fs::copy(&explained, temporary).map(drop))?;
    lines.push(format!("{} (`journalctl --update-catalog` reads it)", catalog.display()));
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
        let prefix = place.path().join("prefix");
        let file = |name: &str| place.path().join(name);
        let manual = Manual::with(&[("man/man1/sealpack.1", "page")]);
        let (program, line_tables) = (file("built"), file("built.debug"));
        let built = Parts { program, line_tables, init: file("built-init"), manual };
        fs::write(&built.program, "1")?;
        fs::write(&built.init, "init")?;
        fs::write(&built.line_tables, "lines")?;
        install(&built, &prefix, false)?;
        fs::write(&built.program, "2")?;
        assert_eq!(install(&built, &prefix, false)?.len(), 10);
        for path in [
            "bin/mkcomposefs",
            "bin/composefs-info",
            "bin/composefs-dump",
            "sbin/mount.composefs",
            "sbin/mount.sealpack",
        ] {
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
        assert_eq!(fs::read_dir(prefix.join("bin"))?.count(), 5);
        assert_eq!(fs::read(prefix.join("bin").join(LINE_TABLES))?, b"lines");
        assert_eq!(fs::read(prefix.join("lib/sealpack/init"))?, b"init");
        assert_eq!(fs::read(prefix.join("share/man/man1/sealpack.1"))?, b"page");
        assert!(fs::read_to_string(prefix.join(CATALOG))?.contains("Defined-By: Sealpack"));
        Ok(())
    }

    #[test]
    fn the_backtrace_of_a_stripped_program_has_the_lines_that_are_beside_it() -> Result<()> {
        let place = tempfile::tempdir()?;
        let source = place.path().join("main.rs");
        fs::write(
            &source,
            "#[inline(never)]\nfn deep() {\n    panic!(\"here\");\n}\nfn main() {\n    deep();\n}\n",
        )?;
        let unstripped = place.path().join("unstripped");
        let mut rustc = Command::new("rustc");
        rustc
            .args(["--edition=2024", "-Copt-level=0", "-Cdebuginfo=line-tables-only", "-o"])
            .arg(&unstripped);
        run_command(rustc.arg(&source))?;
        let prefix = place.path().join("prefix");
        let parts = Parts::of(&unstripped, &unstripped, Manual::with(&[]), place.path())?;
        install(&parts, &prefix, false)?;
        let program = prefix.join("bin/sealpack");
        assert!(fs::metadata(&program)?.len() * 2 < fs::metadata(&unstripped)?.len());
        let backtrace = || -> Result<String> {
            let output = Command::new(&program).env("RUST_BACKTRACE", "1").output()?;
            Ok(String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let with = backtrace()?;
        assert!(with.contains("main.rs:6"), "{with}");
        fs::remove_file(prefix.join("bin").join(LINE_TABLES))?;
        let without = backtrace()?;
        assert!(without.contains("main.rs:3") && !without.contains("main.rs:6"), "{without}");
        Ok(())
    }
}
