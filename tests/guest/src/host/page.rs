//! What docs/sealed-hosts.md has people type: a host made by these commands, with another image only.
//!
//! Blocks of the page are marked in the line before: what makes a host (`make`) is run here, in order, in one directory. What
//! makes the image (`programs`, `setup`, `image`) is compared with what the image of the tests is made with; in a run of all
//! tests it is run too.

use crate::programs::Programs;
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::run;
use sealpack_tests::images::host;
use sealpack_tests::paths;
use sealpack_tests::unpacked::Unpacked;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = include_str!("../../../../docs/sealed-hosts.md");

/// Where the page has shim, which the machine that does what it says need not have installed.
const SHIM: &str = "/usr/lib/shim";

/// shim, its helpers, and nothing that installs them.
const SHIM_PACKAGES: [&str; 2] = ["shim-signed", "shim-helpers-amd64-signed"];

/// Disks and firmware variables, as the page makes them.
#[derive(Debug)]
pub struct Made(PathBuf);

impl Made {
    /// The disk, and variables with the keys that are made on the page.
    ///
    /// # Errors
    /// If one of them was not made.
    pub fn own_keys(&self) -> Result<(PathBuf, PathBuf)> {
        Ok((file(&self.0, "disk.img")?, file(&self.0, "variables.fd")?))
    }

    /// The disk that has shim, and variables with Microsoft's keys.
    ///
    /// # Errors
    /// If one of them was not made.
    pub fn shim(&self) -> Result<(PathBuf, PathBuf)> {
        Ok((file(&self.0, "shim.img")?, file(&self.0, "shim-variables.fd")?))
    }
}

/// Where the page's image is from.
#[derive(Clone, Copy, Debug)]
pub enum Image<'i> {
    /// A layout that is there.
    Layout(&'i Path),
    /// mmdebstrap, as the page has it.
    Built,
}

/// Does what the page says in `dir`, unless it was done there.
///
/// # Errors
/// If one of the commands fails; if shim cannot be fetched.
pub fn follow(programs: &Programs, image: Image<'_>, dir: &Path) -> Result<Made> {
    let made = Made(dir.to_owned());
    if dir.exists() {
        return Ok(made);
    }
    let shim = shim()?;
    fs::create_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    match image {
        Image::Layout(image) => symlink(image, dir.join("image"))?,
        Image::Built => symlink(paths::workspace().join("contrib"), dir.join("contrib"))?,
    }
    let bin = install(programs, &dir.join("programs"))?;
    let trust = dir.join("trust.d");
    fs::create_dir(&trust)?;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    for block in blocks() {
        let Some(script) = block.script(image) else { continue };
        let script = script.replace(SHIM, &shim.to_string_lossy());
        let mut shell = Command::new("sh");
        shell.args(["-euc", &script]).current_dir(dir).env("PATH", &path);
        shell.env("SEALPACK_STORE", dir.join("store"));
        // Nobody's keys but those on the page are wanted, and no trust store of this machine's.
        shell.env_remove("SEALPACK_KEY").env_remove("SEALPACK_CERT").env("SEALPACK_TRUST", &trust);
        run(&mut shell)?;
    }
    Ok(made)
}

/// Does what `cargo xtask install` does, whose tests show that, and answers with the directory of commands.
fn install(programs: &Programs, prefix: &Path) -> Result<PathBuf> {
    let (bin, lib) = (prefix.join("bin"), prefix.join("lib/sealpack"));
    for (directory, program, name) in
        [(&bin, &programs.sealpack, "sealpack"), (&lib, &programs.host_init, "init")]
    {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        symlink(program, directory.join(name))?;
    }
    Ok(bin)
}

/// The directory of shim, unpacked: to install it changes how a machine starts.
fn shim() -> Result<PathBuf> {
    let unpacked = Unpacked {
        name: "shim",
        suite: host::RELEASE,
        packages: &SHIM_PACKAGES,
        follow: |_| false,
        relink: false,
    };
    Ok(unpacked.root()?.join(SHIM.trim_start_matches('/')))
}

fn file(dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    ensure!(path.is_file(), "the page makes no {name}");
    Ok(path)
}

/// The unit on the page by which a site says what a good start is.
///
/// # Panics
/// If the page has none.
pub fn site_check() -> &'static str {
    let block = blocks().into_iter().find(|block| block.mark == "site-check");
    block.expect("the page has an example of such a unit").text
}

/// The commands on the page that mend a damaged host, with /dev/ESP and /dev/DATA for its partitions.
///
/// # Panics
/// If the page has none.
pub fn rescue() -> String {
    let block = blocks().into_iter().find(|block| block.mark == "rescue");
    commands(block.expect("the page says how a host is mended").text)
}

/// What stands before a block whose commands are run, with a word.
const MARK: &str = "<!-- test: ";

/// A block of the page.
struct Block {
    mark: &'static str,
    text: &'static str,
}

impl Block {
    /// What is run of it where the image is from there.
    fn script(&self, image: Image<'_>) -> Option<String> {
        match (self.mark, image) {
            ("make", Image::Layout(_)) => Some(commands(self.text)),
            // As the page says below the block that makes it.
            ("make", Image::Built) => {
                Some(commands(self.text).replace("oci:image:latest", "docker-archive:image.tar"))
            }
            ("programs", Image::Built) => Some(commands(&without(self.text, "cargo xtask install"))),
            ("setup", Image::Built) => {
                Some(format!("cat > setup.sh <<'END OF SETUP'\n{}\nEND OF SETUP", self.text))
            }
            ("image", Image::Built) => Some(commands(self.text)),
            _ => None,
        }
    }
}

/// The blocks of the page that are marked, without the fences.
fn blocks() -> Vec<Block> {
    let block = |rest: &'static str| {
        let (mark, rest) = rest.split_once(" -->\n```")?;
        let (text, _) = rest.split_once('\n')?.1.split_once("\n```")?;
        Some(Block { mark, text })
    };
    PAGE.split(MARK).skip(1).filter_map(block).collect()
}

/// The commands of a block: what stands behind a prompt, and the lines that continue it.
fn commands(block: &str) -> String {
    let line = |line: &str| line.strip_prefix("$ ").or(line.strip_prefix("# ")).unwrap_or(line).to_owned();
    block.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The lines but those with a command that something else is done for.
fn without(block: &str, command: &str) -> String {
    block.lines().filter(|line| !line.contains(command)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(mark: &str) -> Vec<&'static str> {
        blocks().iter().filter(|block| block.mark == mark).map(|block| block.text).collect()
    }

    /// The packages in a list, sorted, but for those that the page has and the tests' image not, or the other way round.
    fn packages<'t>(list: impl IntoIterator<Item = &'t str>) -> Vec<&'t str> {
        // What attacks are made with; and the kernel, which is a layer of its own there.
        let apart = ["dmsetup", "python3", "linux-image-cloud-amd64"];
        let mut packages: Vec<&str> = list.into_iter().filter(|name| !apart.contains(name)).collect();
        packages.sort_unstable();
        packages
    }

    #[test]
    fn the_image_on_the_page_is_that_of_the_tests() {
        let [setup] = texts("setup")[..] else { panic!("not one block with the setup") };
        assert_eq!(setup.trim(), host::SETUP.trim());
        let wanted = packages(host::PACKAGES.iter().copied());
        let (_, list) = PAGE.split_once("--include=").expect("mmdebstrap has a list");
        let list = list.split_once([' ', '\n']).expect("it ends").0;
        assert_eq!(packages(list.split(',')), wanted);
        let (_, list) =
            PAGE.split_once("--no-install-recommends \\\n").expect("the Containerfile has a list");
        assert_eq!(packages(list.lines().next().unwrap_or_default().split_whitespace()), wanted);
        assert!(PAGE.contains(host::RELEASE), "another release");
    }

    #[test]
    fn what_the_page_copies_is_there() {
        let copied = texts("programs").join("\n");
        let files: Vec<&str> =
            copied.split_whitespace().filter(|word| word.starts_with("contrib/")).collect();
        assert!(files.len() >= 2, "{files:?}");
        for file in files {
            assert!(paths::workspace().join(file).is_file(), "there is no {file}");
        }
    }

    #[test]
    fn the_commands_that_make_a_host_are_on_the_page() {
        let made: Vec<String> = texts("make").into_iter().map(commands).collect();
        let made = made.join("\n");
        for command in [
            "key new",
            "pull --objects packs",
            "host check",
            "seal ",
            "policy sign",
            "host build",
            "host disk",
        ] {
            assert!(made.contains(&format!("sealpack {command}")), "{command}: {made}");
        }
        assert!(made.contains(SHIM));
        assert!(PAGE.contains("`docker-archive:image.tar` takes the place of `oci:image:latest`"));
        assert_eq!((texts("image").len(), texts("programs").len()), (1, 1));
        assert_eq!(blocks().len(), PAGE.matches(MARK).count());
        assert!(made.lines().any(|line| line.starts_with("virt-fw-vars ")));
    }
}
