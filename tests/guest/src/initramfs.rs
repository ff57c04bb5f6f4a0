//! The guest's first root directory, as an archive of cpio's "newc" format
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use crate::kernels::Kernel;
use crate::programs::Programs;
use anyhow::{Context, Result};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Where the kernel's modules are in the guest.
pub const MODULES: &str = "/modules";

/// Writes the archive.
///
/// # Errors
/// If something that belongs into it is missing.
pub fn write(kernel: &Kernel, programs: &Programs, target: &Path) -> Result<()> {
    let file = fs::File::create(target).with_context(|| format!("cannot make {}", target.display()))?;
    let mut archive = Cpio { out: io::BufWriter::new(file), count: 0 };
    for dir in ["bin", "dev", "proc", "sys", "tmp", "disk", "tools", "modules", "run"] {
        archive.directory(dir)?;
    }
    // What the kernel opens as standard input and output of the first process.
    archive.character_device("dev/console", 5, 1)?;
    archive.file("init", &programs.init)?;
    let busybox = sealpack_tests::command::find("busybox").context("busybox is not installed")?;
    archive.file("bin/busybox", &busybox)?;
    let mut modules: Vec<_> = fs::read_dir(kernel.modules())?.collect::<io::Result<_>>()?;
    modules.sort_by_key(fs::DirEntry::file_name);
    for module in modules {
        archive.file(&format!("modules/{}", module.file_name().to_string_lossy()), &module.path())?;
    }
    archive.end()
}

/// Writes an archive with busybox, these of the kernel's modules, and `init` as the first process, nothing else.
///
/// # Errors
/// As [`write`].
pub fn write_minimal(kernel: &Kernel, modules: &[&str], init: &Path, target: &Path) -> Result<()> {
    let file = fs::File::create(target).with_context(|| format!("cannot make {}", target.display()))?;
    let mut archive = Cpio { out: io::BufWriter::new(file), count: 0 };
    for dir in ["bin", "dev", "modules", "root"] {
        archive.directory(dir)?;
    }
    archive.character_device("dev/console", 5, 1)?;
    archive.file("init", init)?;
    let busybox = sealpack_tests::command::find("busybox").context("busybox is not installed")?;
    archive.file("bin/busybox", &busybox)?;
    for module in modules {
        let name = format!("{module}.ko");
        archive.file(&format!("modules/{name}"), &kernel.modules().join(&name))?;
    }
    archive.end()
}

struct Cpio<W> {
    out: W,
    count: u32,
}

impl<W: Write> Cpio<W> {
    fn directory(&mut self, name: &str) -> Result<()> {
        self.entry(name, 0o040_755, (0, 0), &[])
    }

    fn character_device(&mut self, name: &str, major: u32, minor: u32) -> Result<()> {
        self.entry(name, 0o020_600, (major, minor), &[])
    }

    fn file(&mut self, name: &str, path: &Path) -> Result<()> {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.entry(name, 0o100_755, (0, 0), &content)
    }

    fn end(mut self) -> Result<()> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()?;
        Ok(())
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        self.count += 1;
        let (inode, links, name_size) = (self.count, 1, u32::try_from(name.len() + 1)?);
        let size = u32::try_from(content.len()).with_context(|| format!("{name} is too large"))?;
        let header = [inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0]
            .map(|number| format!("{number:08x}"));
        let head = format!("070701{}{name}\0", header.concat());
        for part in [head.as_bytes(), content] {
            self.out.write_all(part)?;
            self.out.write_all(&[0; 3][..part.len().next_multiple_of(4) - part.len()])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpack_tests::command::{find, run_with_input};
    use std::process::Command;

    #[test]
    fn another_cpio_reads_the_archive() -> Result<()> {
        let Some(busybox) = find("busybox") else {
            sealpack_tests::skip("busybox is not installed");
            return Ok(());
        };
        let dir = tempfile::tempdir()?;
        let source = dir.path().join("source");
        fs::write(&source, "five\n")?;
        let mut archive = Cpio { out: Vec::new(), count: 0 };
        archive.directory("a")?;
        archive.file("a/b", &source)?;
        archive.entry("TRAILER!!!", 0, (0, 0), &[])?;
        fs::write(dir.path().join("archive"), archive.out)?;
        let input = fs::File::open(dir.path().join("archive"))?;
        let mut cpio = Command::new(busybox);
        run_with_input(cpio.args(["cpio", "-i"]).current_dir(&dir), input)?;
        assert_eq!(fs::read_to_string(dir.path().join("a/b"))?, "five\n");
        Ok(())
    }
}
