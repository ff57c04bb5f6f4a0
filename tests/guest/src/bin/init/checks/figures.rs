//! What enforcement costs. These checks print figures and judge none: the machine is emulated.

use super::enforcement::Lenient;
use super::{Verdict, images};
use crate::system::{BUSYBOX, drop_caches};
use anyhow::{Context, Result};
use sealpack_kernel::Kernel;
use sealpack_tests::command::run;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How often each start is measured.
const RUNS: usize = 5;

/// What python3 needs to start, as a shell's patterns.
const PARTS: &str = "lib lib64 usr/lib64 usr/bin/python3* usr/lib/python3* \
    usr/lib/x86_64-linux-gnu/ld-linux* usr/lib/x86_64-linux-gnu/libc.* usr/lib/x86_64-linux-gnu/libm.* \
    usr/lib/x86_64-linux-gnu/libz.* usr/lib/x86_64-linux-gnu/libexpat.*";

/// The first and the second start of python3, the caches empty before the first.
#[derive(Default)]
struct Starts {
    first: Vec<Duration>,
    second: Vec<Duration>,
}

impl Starts {
    fn measure(&mut self, root: &Path) -> Result<()> {
        drop_caches()?;
        self.first.push(start(root)?);
        self.second.push(start(root)?);
        Ok(())
    }
}

fn start(root: &Path) -> Result<Duration> {
    let started = Instant::now();
    run(Command::new(BUSYBOX).arg("chroot").arg(root).args(["/usr/bin/python3", "-c", "import json"]))?;
    Ok(started.elapsed())
}

fn median(durations: &mut [Duration]) -> Duration {
    durations.sort();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn python_start() -> Result<Verdict> {
    if let Some(why) = images::why_no_python() {
        return Ok(Verdict::Inapplicable(why));
    }
    let image = images::signed("python")?;
    let plain = Path::new("/disk/plain");
    fs::create_dir_all(plain)?;
    let copy = format!("tar -c -f - {PARTS} 2> /dev/null | tar -x -f - -C {}", plain.display());
    run(Command::new(BUSYBOX).args(["sh", "-c", &copy]).current_dir(image.root()))
        .context("copying python3")?;
    let (mut enforced, mut directory) = (Starts::default(), Starts::default());
    let kernel = Kernel::new();
    for _ in 0..RUNS {
        enforced.measure(image.root())?;
        let lenient = Lenient::new(&kernel)?;
        directory.measure(plain)?;
        drop(lenient);
    }
    for (which, of_mount, of_directory) in [
        ("first", &mut enforced.first, &mut directory.first),
        ("second", &mut enforced.second, &mut directory.second),
    ] {
        let (of_mount, of_directory) = (median(of_mount), median(of_directory));
        println!(
            "FIGURE {which} start of python3: {:.2} times that from a plain directory ({} ms, {} ms; medians of {RUNS})",
            of_mount.as_secs_f64() / of_directory.as_secs_f64(),
            of_mount.as_millis(),
            of_directory.as_millis()
        );
    }
    fs::remove_dir_all(plain)?;
    Ok(Verdict::Shown)
}
