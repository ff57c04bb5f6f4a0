//! Random trees, given to the C tools and to ours.

use anyhow::{Context, Result, bail, ensure};
use sealpack_tests::composefs::Tools;
use sealpack_tests::random_dump::dump;
use sealpack_tests::skip;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// So many trees are tried, beginning with the seed `$DIFFERENTIAL_SEED` or 0.
const TREES: u64 = 150;

fn number(variable: &str, otherwise: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable} is no number")),
        Err(_) => Ok(otherwise),
    }
}

struct Comparison {
    ours: Tools,
    c: Tools,
    place: tempfile::TempDir,
}

impl Comparison {
    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Both tools' output with the same arguments, which must agree in success and standard output.
    fn both(&self, name: &str, arguments: &[&Path]) -> Result<Output> {
        let (ours, c) = (self.ours.attempt(name, arguments)?, self.c.attempt(name, arguments)?);
        let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            ours.status.code() == c.status.code(),
            "{name} {arguments:?}: ours ends with {} ({}), C with {} ({})",
            ours.status,
            told(&ours),
            c.status,
            told(&c)
        );
        if ours.stdout != c.stdout {
            fs::write(self.path("stdout.ours"), &ours.stdout)?;
            fs::write(self.path("stdout.c"), &c.stdout)?;
            bail!("{name} {arguments:?} prints something else (stdout.ours, stdout.c)");
        }
        Ok(ours)
    }

    /// The image that both make of the dump; none if both refuse it.
    fn image(&self, options: &[&str]) -> Result<Option<PathBuf>> {
        let (ours, c, dump) = (self.path("image.ours"), self.path("image.c"), self.path("dump"));
        let arguments = |image: &Path| {
            let options = options.iter().map(|option| Path::new(option).to_owned());
            options.chain(["--from-file".into(), dump.clone(), image.to_owned()]).collect::<Vec<PathBuf>>()
        };
        let by_us = self.ours.attempt("mkcomposefs", arguments(&ours))?;
        let by_c = self.c.attempt("mkcomposefs", arguments(&c))?;
        let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        // C miscounts the room for attributes when a whiteout, or a directory with one, has its marks already.
        if by_us.status.success() && told(&by_c).contains("Numerical result out of range") {
            return Ok(None);
        }
        ensure!(
            by_us.status.code() == by_c.status.code(),
            "mkcomposefs {options:?}: ours ends with {} ({}), C with {} ({})",
            by_us.status,
            told(&by_us),
            by_c.status,
            told(&by_c)
        );
        if !by_us.status.success() {
            return Ok(None);
        }
        ensure!(fs::read(&ours)? == fs::read(&c)?, "mkcomposefs {options:?} makes another image");
        ensure!(by_us.stdout == by_c.stdout, "mkcomposefs {options:?} prints another digest");
        Ok(Some(c))
    }

    fn check(&self, tree: &str) -> Result<bool> {
        fs::write(self.path("dump"), tree)?;
        let Some(_) = self.image(&["--min-version=1", "--max-version=1"])? else { return Ok(false) };
        let Some(image) = self.image(&["--print-digest"])? else { return Ok(false) };
        for command in ["dump", "ls", "objects", "missing-objects"] {
            self.both("composefs-info", &[Path::new(command), &image])?;
        }
        let again = self.path("image.again");
        self.ours.run("composefs-dump", [&image, &again])?;
        ensure!(fs::read(&image)? == fs::read(&again)?, "composefs-dump does not reproduce the image");
        // What C leaves out of a dump, and we with it, makes another image: the same one for both.
        let dumped = self.ours.run("composefs-info", [Path::new("dump"), &image])?;
        fs::write(self.path("dump"), dumped.stdout)?;
        self.image(&["--print-digest"])?;
        Ok(true)
    }
}

#[test]
fn the_c_tools_and_ours_agree_about_random_trees() -> Result<()> {
    let Some(c) = Tools::c()? else {
        skip(
            "there are no C composefs tools here (`cargo xtask test` fetches Debian's, $COMPOSEFS_C_TOOLS names others)",
        );
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let comparison = Comparison { ours: Tools::ours()?, c, place };
    let (first, trees) = (number("DIFFERENTIAL_SEED", 0)?, number("DIFFERENTIAL_TREES", TREES)?);
    let mut accepted = 0;
    for seed in first..first + trees {
        match comparison.check(&dump(seed)) {
            Ok(is_accepted) => accepted += u64::from(is_accepted),
            Err(error) => {
                let kept = comparison.place.keep();
                return Err(error.context(format!("tree {seed}, kept in {}", kept.display())));
            }
        }
    }
    ensure!(accepted * 10 >= trees * 9, "only {accepted} of {trees} trees are accepted by both");
    Ok(())
}
