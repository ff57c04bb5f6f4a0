//! The kernel modules that the guest loads, found with what they depend on.

use anyhow::{Context, Result};
use sealpack_tests::command::run;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the checks need and stock kernels have as modules.
const WANTED: &[&str] = &["virtio_blk", "loop", "erofs", "overlay", "dm_verity"];

/// Modules of which one is kept besides, to be loaded by checks: each is in stock kernels, needs no other one and
/// no hardware, and nothing else here needs it.
const SPARE: &[&str] = &["dummy", "nlmon", "ifb"];

/// A name for what [`unpack`] makes: it changes when that does.
pub(crate) const CONTENT: &str = "2: virtio_blk loop erofs overlay dm_verity, a spare one";

/// Decompresses the modules into `target`, with a file `order` that has their names in loading order, and one that is
/// not among them as the file `spare`.
pub(crate) fn unpack(modules: &Path, target: &Path, spare: &Path) -> Result<()> {
    let mut available = BTreeMap::new();
    list(modules, &mut available)?;
    let mut order = Vec::new();
    fs::create_dir(target)?;
    for name in WANTED {
        add(name, &available, target, &mut order)?;
    }
    fs::write(target.join("order"), order.join("\n") + "\n")?;
    let path =
        SPARE.iter().find_map(|name| available.get(*name)).context("the kernel has no spare module")?;
    fs::write(spare, decompressed(path)?)?;
    Ok(())
}

/// Decompresses a module, what it depends on first. One that does not exist is built in.
fn add(
    name: &str,
    available: &BTreeMap<String, PathBuf>,
    target: &Path,
    order: &mut Vec<String>,
) -> Result<()> {
    let (Some(path), false) = (available.get(name), order.iter().any(|other| other == name)) else {
        return Ok(());
    };
    let content = decompressed(path)?;
    for dependency in dependencies(&content).with_context(|| format!("{} has no modinfo", path.display()))? {
        add(&dependency, available, target, order)?;
    }
    fs::write(target.join(format!("{name}.ko")), content)?;
    order.push(name.to_owned());
    Ok(())
}

fn decompressed(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        Ok(run(Command::new("xz").args(["--decompress", "--stdout"]).arg(path))?.stdout)
    } else {
        fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// A module without the signature behind it (scripts/sign-file.c): the kernel's key has not signed this.
pub(crate) fn without_signature(module: &[u8]) -> Result<&[u8]> {
    /// What a signed module ends with.
    const MARK: &[u8] = b"~Module signature appended~\n";
    /// `struct module_signature`, whose last four bytes are the signature's length, big-endian.
    const DESCRIPTION_BYTES: usize = 12;
    let rest = module.strip_suffix(MARK).context("the module has no signature")?;
    let (rest, description) = rest.split_last_chunk::<DESCRIPTION_BYTES>().context("it is cut short")?;
    let [.., a, b, c, d] = *description;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d]))?;
    rest.get(..rest.len().saturating_sub(length)).context("the signature is longer than the module")
}

/// What follows `depends=` among the texts, with zero bytes between them, of the section .modinfo.
fn dependencies(module: &[u8]) -> Option<Vec<String>> {
    const KEY: &[u8] = b"\0depends=";
    let start = module.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let text = module[start..].split(|&byte| byte == 0).next()?;
    let names = std::str::from_utf8(text).ok()?.split(',').filter(|name| !name.is_empty());
    Some(names.map(canonical).collect())
}

/// All modules below `dir` by name.
fn list(dir: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, found)?;
        } else if let Some(name) = module_name(&path) {
            found.insert(name, path);
        }
    }
    Ok(())
}

fn module_name(path: &Path) -> Option<String> {
    let (name, _) = path.file_name()?.to_str()?.split_once(".ko")?;
    Some(canonical(name))
}

/// File names have hyphens where the kernel has underscores, sometimes.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_depend_on_and_once() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a/b"))?;
        let module = |depends: &str| format!("ELF…\0license=GPL\0depends={depends}\0retpoline=Y\0");
        fs::write(from.join("a/dm-verity.ko"), module("dm-mod,dm-bufio"))?;
        fs::write(from.join("a/b/dm-mod.ko"), module(""))?;
        fs::write(from.join("a/dm-bufio.ko"), module("dm-mod"))?;
        fs::write(from.join("a/unwanted.ko"), module(""))?;
        fs::write(from.join("a/dummy.ko"), module(""))?;
        unpack(&from, &to, &dir.path().join("spare"))?;
        assert_eq!(fs::read(dir.path().join("spare"))?, module("").as_bytes());
        assert_eq!(fs::read_to_string(to.join("order"))?, "dm_mod\ndm_bufio\ndm_verity\n");
        assert!(to.join("dm_verity.ko").exists() && !to.join("unwanted.ko").exists());
        Ok(())
    }

    #[test]
    fn a_signature_is_taken_off_a_module_to_the_byte() -> Result<()> {
        let mut signed = b"ELF and so on".to_vec();
        signed.extend([7; 300]);
        signed.extend([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 44]);
        signed.extend(b"~Module signature appended~\n");
        assert_eq!(without_signature(&signed)?, b"ELF and so on");
        assert!(without_signature(b"ELF and so on").is_err());
        Ok(())
    }
}
