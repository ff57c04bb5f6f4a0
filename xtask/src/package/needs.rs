//! Which packages a program needs, by the libraries that it is linked to.

use anyhow::{Context, Result, bail, ensure};
use sealpack_tests::command::stdout;
use std::path::Path;
use std::process::Command;

/// The C library of the oldest release that packages are for, Debian 12.
const GLIBC_MAX: (u32, u32) = (2, 36);

/// What stands in `Depends` for a program.
pub(super) fn of_program(program: &Path) -> Result<Vec<String>> {
    let said = stdout(Command::new("objdump").arg("--private-headers").arg(program))
        .context("the libraries of a program are listed by objdump, of the package binutils")?;
    of_headers(&said).with_context(|| format!("{} is for no package", program.display()))
}

fn of_headers(said: &str) -> Result<Vec<String>> {
    let mut needs = Vec::new();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for library in said.lines().map(words).filter(|words| words.first().is_some_and(|word| word == "NEEDED"))
    {
        let library = library.get(1).context("objdump names no library")?;
        needs.push(match library.as_str() {
            "libc.so.6" | "libm.so.6" | "libdl.so.2" | "libpthread.so.0" | "ld-linux-x86-64.so.2" => {
                let (major, minor) = highest(said, "GLIBC_")?;
                ensure!(
                    (major, minor) <= GLIBC_MAX,
                    "it needs glibc {major}.{minor}, and Debian 12 has {}.{}: packages are made on Debian 12, or in a chroot of it",
                    GLIBC_MAX.0,
                    GLIBC_MAX.1
                );
                format!("libc6 (>= {major}.{minor})")
            }
            "libgcc_s.so.1" => {
                let (major, minor) = highest(said, "GCC_")?;
                format!("libgcc-s1 (>= {major}.{minor})")
            }
            other => bail!("it needs {other}, and which package has that is not known here"),
        });
    }
    needs.sort();
    needs.dedup();
    Ok(needs)
}

/// The highest version with this prefix among those that a program refers to.
fn highest(said: &str, prefix: &str) -> Result<(u32, u32)> {
    let version = |word: &str| -> Option<(u32, u32)> {
        let mut numbers = word.strip_prefix(prefix)?.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    };
    let highest = said.split_whitespace().filter_map(version).max();
    highest.with_context(|| format!("it refers to no version {prefix}…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &str = "Dynamic Section:
  NEEDED               libgcc_s.so.1
  NEEDED               libm.so.6
  NEEDED               libc.so.6
Version References:
  required from libm.so.6:
    0x06969189 0x00 06 GLIBC_2.29
  required from libgcc_s.so.1:
    0x0b792650 0x00 12 GCC_3.0
    0x09265f61 0x00 03 GCC_3.3
    0x0b792652 0x00 04 GCC_4.2.0
  required from libc.so.6:
    0x0d696918 0x00 11 GLIBC_2.9
    0x069691b4 0x00 05 GLIBC_2.34
";

    #[test]
    fn a_program_needs_the_highest_version_that_it_refers_to() -> Result<()> {
        assert_eq!(of_headers(HEADERS)?, ["libc6 (>= 2.34)", "libgcc-s1 (>= 4.2)"]);
        assert_eq!(of_headers("Program Header:\n")?, [""; 0]);
        Ok(())
    }

    #[test]
    fn what_debian_12_has_not_is_refused() {
        let newer = of_headers(&HEADERS.replace("2.34", "2.38")).unwrap_err().to_string();
        assert!(newer.contains("glibc 2.38"), "{newer}");
        let other = of_headers(&HEADERS.replace("libm.so.6", "libfoo.so.1")).unwrap_err().to_string();
        assert!(other.contains("libfoo.so.1"), "{other}");
    }
}
