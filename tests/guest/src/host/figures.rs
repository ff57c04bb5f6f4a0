//! How long a sealed host takes to come up, beside the same system from a plain root; and what its parts take.

use super::build::{self, Uki, Workshop};
use super::machine::{Machine, Start};
use super::task::Task;
use super::{image, plain};
use crate::kernels::Generation;
use crate::programs;
use crate::report::Line;
use anyhow::{Context, Result, ensure};
use sealpack_format::boot::Hardening;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the first line of the report says: that multi-user is reached.
pub const REACHED: &str = "multi-user";

/// What a boot gave.
#[derive(Clone, Debug)]
pub struct Booted {
    /// From the start of the machine until multi-user was reached.
    pub multi_user: Duration,
    /// What the host told of itself, by name.
    pub told: BTreeMap<String, f64>,
}

/// The figures of a kernel.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Boots of the sealed host.
    pub sealed: Vec<Booted>,
    /// Boots of the plain one, in turns with those.
    pub plain: Vec<Booted>,
    /// The size of the sealed host's initramfs, as it is in the UKI.
    pub initramfs_bytes: u64,
}

/// Boots both `runs` times in turns, each time the first time of its disk.
///
/// # Errors
/// If something is missing, or a host does not come up.
pub fn measure(generation: Generation, runs: usize) -> Result<Figures> {
    let programs = programs::build_release()?;
    let kernel = generation.kernel()?.context("Debian has no such stock kernel to fetch")?;
    let work = build::work()?;
    let workshop = Workshop::new(generation, &programs, work.path())?.context("there is no such kernel")?;
    let uki = workshop.uki(&Uki::default())?;
    let sealed_disk = workshop.disk("disk", &[&uki])?;
    let image = image::write(generation, &programs, &workshop.file("plain-image"))?;
    let image = image.context("there is no such kernel")?;
    let plain_disk = plain::disk(&workshop, &image, &kernel, &sealed_disk)?;
    let variables = workshop.variables()?;
    let (mut sealed, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        sealed.push(boot(&workshop, &sealed_disk, &variables)?);
        plain.push(boot(&workshop, &plain_disk, &variables)?);
    }
    let bytes = fs::read(&uki)?;
    let initramfs = sealpack_format::pe::Image::parse(&bytes)?.section(".initrd").map(<[u8]>::len);
    Ok(Figures { sealed, plain, initramfs_bytes: initramfs.context("the UKI has no initramfs")? as u64 })
}

/// The kinds of starts of containers that are timed, in turns.
pub const STARTS: [&str; 3] = ["enforced", "the same image, IPE off", "an image without a seal, IPE off"];

/// So long a machine may take for all of them.
const STARTS_MAX: Duration = Duration::from_secs(30 * 60);

/// Boots a host whose root may switch IPE off and on, and has it start `count` containers of each kind; answers with the times by
/// kind, as [`STARTS`] has them.
///
/// # Errors
/// If something is missing, or the host does not come to the end.
pub fn container_starts(generation: Generation, count: u32) -> Result<[Vec<Duration>; 3]> {
    let programs = programs::build_release()?;
    let work = build::work()?;
    let workshop = Workshop::new(generation, &programs, work.path())?.context("there is no such kernel")?;
    let disk = workshop.disk_for_containers_without(&Hardening::ALL.map(Hardening::name))?;
    let registry = workshop.publish_for_containers()?;
    let dir = workshop.file("measured");
    fs::create_dir(&dir)?;
    let machine = Machine::new(&dir, &disk, &workshop.open_variables()?)?;
    let task = Task { starts: count, is_bare: true, ..Task::checks(&[]) };
    let (registry, time) = (Some(registry.host()), Some(STARTS_MAX));
    let start = Start { task: Some(task), registry, time, ..Start::default() };
    let ended = machine.run(&start, |_| {})?;
    ensure!(ended.lines.last() == Some(&Line::Done), "the host did not come to the end:\n{}", ended.log);
    let of_kind = |kind: &str| -> Result<Vec<Duration>> {
        let rows = ended.lines.iter().filter_map(|line| match line {
            Line::Row(row) if row.tried == kind => Some(&row.said),
            _ => None,
        });
        let times: Vec<Duration> =
            rows.map(|said| Ok(Duration::from_secs_f64(said.parse()?))).collect::<Result<_>>()?;
        ensure!(times.len() == count as usize, "{} of {count} starts {kind} were timed", times.len());
        Ok(times)
    };
    let [enforced, off, unsealed] = STARTS;
    Ok([of_kind(enforced)?, of_kind(off)?, of_kind(unsealed)?])
}

fn boot(workshop: &Workshop, disk: &Path, variables: &Path) -> Result<Booted> {
    let dir = workshop.file("measured");
    fs::create_dir(&dir)?;
    let machine = Machine::new(&dir, disk, variables)?;
    let task = Task { figures: true, ..Task::checks(&[]) };
    let mut multi_user = None;
    let ended = machine.run(&Start { task: Some(task), ..Start::default() }, |line| {
        if matches!(line, Line::Row(row) if row.tried == REACHED) {
            multi_user.get_or_insert_with(Instant::now);
        }
    })?;
    fs::remove_dir_all(&dir)?;
    ensure!(ended.lines.last() == Some(&Line::Done), "the host did not come up:\n{}", ended.log);
    let told = ended.lines.iter().filter_map(|line| match line {
        Line::Row(row) => Some((row.tried.clone(), row.said.parse().ok()?)),
        _ => None,
    });
    // It may have waited for its turn before it was started.
    let multi_user = multi_user.context("multi-user was not reached")?.duration_since(ended.started);
    Ok(Booted { multi_user, told: told.collect() })
}
