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

/// How often each start is measured, at most.
const RUNS: usize = 5;

/// When no further start is begun.
const PATIENCE: Duration = Duration::from_secs(60);

/// What python3 needs to start, as a shell's patterns, in two directories.
const PARTS: [(&str, &str); 2] = [
    (
        "",
        "lib lib64 usr/lib64 usr/bin/python3* usr/lib/x86_64-linux-gnu/ld-linux* usr/lib/x86_64-linux-gnu/libc.* \
         usr/lib/x86_64-linux-gnu/libm.* usr/lib/x86_64-linux-gnu/libz.* usr/lib/x86_64-linux-gnu/libexpat.*",
    ),
    (
        "usr/lib",
        "python3.*/*.py python3.*/__pycache__ python3.*/encodings python3.*/collections python3.*/importlib",
    ),
];

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
    run(Command::new(BUSYBOX).arg("chroot").arg(root).args(["/usr/bin/python3", "-c", "pass"]))?;
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
    for (dir, parts) in PARTS {
        let target = plain.join(dir);
        fs::create_dir_all(&target)?;
        let copy = format!("tar -c -f - {parts} 2> /dev/null | tar -x -f - -C {}", target.display());
        let mut shell = Command::new(BUSYBOX);
        run(shell.args(["sh", "-c", &copy]).current_dir(image.path(dir))).context("copying python3")?;
    }
    let (mut enforced, mut directory) = (Starts::default(), Starts::default());
    let kernel = Kernel::new();
    let started = Instant::now();
    for _ in (0..RUNS).take_while(|_| started.elapsed() < PATIENCE) {
        enforced.measure(image.root())?;
        let lenient = Lenient::new(&kernel)?;
        directory.measure(plain)?;
        drop(lenient);
    }
    for (which, of_mount, of_directory) in [
        ("first", &mut enforced.first, &mut directory.first),
        ("second", &mut enforced.second, &mut directory.second),
    ] {
        let runs = of_mount.len();
        let (of_mount, of_directory) = (median(of_mount), median(of_directory));
        println!(
            "FIGURE {which} start of python3: {:.2} times that from a plain directory ({} ms, {} ms; medians of {runs})",
            of_mount.as_secs_f64() / of_directory.as_secs_f64(),
            of_mount.as_millis(),
            of_directory.as_millis()
        );
    }
    fs::remove_dir_all(plain)?;
    Ok(Verdict::Shown)
}
