//! Runs of checks: one boot for many, and for each check how it ended.

use crate::checks::{self, Boot};
use crate::emulator::Ended;
use crate::kernels::Generation;
use crate::machine::{Machine, Task};
use crate::report::{Line, Outcome, Row};
use anyhow::{Context, Result, ensure};
use sealpack_tests::debian;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

/// The results of the boots of a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Results {
    /// The kernel's version; the generation's name when there is no kernel.
    pub version: String,
    /// How each check ended.
    pub outcomes: BTreeMap<String, Outcome>,
    /// What the kernel and the checks printed.
    pub log: String,
}

/// Boots a kernel, as often as the checks `names` need, and has it run them; `watch` sees the kernel's version and each result when it is there.
/// Where the boot is not possible all checks are skipped, and say why.
///
/// # Errors
/// If something that the boot needs cannot be made.
pub fn run(generation: Generation, names: &[&str], mut watch: impl FnMut(&str, &Line)) -> Result<Results> {
    let skipped = |why: &str| Results {
        version: generation.name().to_owned(),
        outcomes: names.iter().map(|&name| (name.to_owned(), Outcome::Skipped(why.to_owned()))).collect(),
        log: String::new(),
    };
    if let Some(why) = why_not() {
        return Ok(skipped(&why));
    }
    let Some(kernel) = generation.kernel()? else {
        return Ok(skipped(&format!("Debian has no stock kernel {} to fetch", generation.name())));
    };
    run_on(&Machine::new(&kernel, None)?, kernel.version(), names, &mut watch)
}

/// As [`run`], with programs as users have them.
///
/// # Errors
/// As [`run`].
pub fn run_for_figures(generation: Generation, names: &[&str]) -> Result<Results> {
    let kernel = generation.kernel()?.context("Debian has no such stock kernel to fetch")?;
    run_on(&Machine::for_figures(&kernel)?, kernel.version(), names, &mut |_, _| {})
}

fn run_on(
    machine: &Machine,
    version: &str,
    names: &[&str],
    watch: &mut dyn FnMut(&str, &Line),
) -> Result<Results> {
    let mut results = Results { version: version.to_owned(), ..Results::default() };
    for boot in Boot::ALL {
        let is_in = |name: &&str| checks::find(name).is_some_and(|check| check.boot == boot);
        let names: Vec<&str> = names.iter().copied().filter(is_in).collect();
        if names.is_empty() {
            continue;
        }
        let ended = machine.run(boot, &Task::Checks(&names), |line| watch(version, line))?;
        results.outcomes.append(&mut outcomes(&names, &ended));
        results.log += &ended.log;
    }
    Ok(results)
}

/// What the demo showed on a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demo {
    /// What was tried, in order, and the kernel's version.
    Shown(String, Vec<Row>),
    /// Why no kernel could be booted.
    Skipped(String),
}

/// Boots a kernel for the demo: under a policy, what runs from sealed images, that of the store `pulled` among them, and
/// what does not run otherwise.
///
/// # Errors
/// As [`run`], and if the guest does not get to the demo's end; the message has its log.
pub fn demo(generation: Generation, pulled: Option<&Path>) -> Result<Demo> {
    if let Some(why) = why_not() {
        return Ok(Demo::Skipped(why));
    }
    let Some(kernel) = generation.kernel()? else {
        return Ok(Demo::Skipped(format!("Debian has no stock kernel {} to fetch", generation.name())));
    };
    let ended = Machine::new(&kernel, pulled)?.run(Boot::First, &Task::Demo, |_| {})?;
    ensure!(ended.lines.last() == Some(&Line::Done), "the guest did not get to the end:\n{}", ended.log);
    let row = |line| if let Line::Row(row) = line { Some(row) } else { None };
    Ok(Demo::Shown(kernel.version().to_owned(), ended.lines.into_iter().filter_map(row).collect()))
}

/// Why no kernel can be booted here, if so.
pub fn why_not() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the stock kernels are those of x86_64".into());
    }
    let missing: Vec<_> = debian::missing(debian::FOR_GUEST).iter().map(|package| package.name).collect();
    (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
}

/// A check that did not end has failed, and so has one that did not begin.
fn outcomes(names: &[&str], ended: &Ended) -> BTreeMap<String, Outcome> {
    let mut begun = Vec::new();
    let mut outcomes = BTreeMap::new();
    for line in &ended.lines {
        match line {
            Line::Begin(name) => begun.push(name.as_str()),
            Line::End(name, outcome) => drop(outcomes.insert(name.clone(), outcome.clone())),
            Line::Row(_) | Line::Done => {}
        }
    }
    let how = ended.ended_by_us.as_deref().unwrap_or("it ended by itself");
    for &name in names {
        outcomes.entry(name.to_owned()).or_insert_with(|| {
            let when = if begun.contains(&name) { "during" } else { "before" };
            Outcome::Failed(format!("the guest was gone {when} this check: {how}"))
        });
    }
    outcomes
}

/// The results of all checks in this run of the tests: whoever asks first boots, all others wait and read.
///
/// # Errors
/// As [`run`]; and if the results cannot be kept.
pub fn shared(generation: Generation) -> Result<Results> {
    let names: Vec<_> = checks::ALL.iter().map(|check| check.name).collect();
    shared_as(generation.name(), generation, &names, || run(generation, &names, |_, _| {}))
}

/// The results of `run` in this run of the tests, kept under `key`.
pub(crate) fn shared_as(
    key: &str,
    generation: Generation,
    names: &[&str],
    run: impl FnOnce() -> Result<Results>,
) -> Result<Results> {
    let place = crate::place().join("results");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let lock = File::create(place.join(format!("{key}.lock")))?;
    lock.lock().context("cannot lock the results")?;
    // nextest starts a process for each test and tells them which run they are of.
    let run_id =
        std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| format!("process {}", std::process::id()));
    let file = place.join(format!("{key}.json"));
    let kept =
        fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<(String, Results)>(&bytes).ok());
    if let Some((id, results)) = kept
        && id == run_id
    {
        return Ok(results);
    }
    let results = run().unwrap_or_else(|error| Results {
        version: generation.name().to_owned(),
        outcomes: names
            .iter()
            .map(|&name| (name.to_owned(), Outcome::Failed(format!("{error:#}"))))
            .collect(),
        log: String::new(),
    });
    fs::write(&file, serde_json::to_vec(&(run_id, &results))?)?;
    Ok(results)
}

/// What a test says that is the check of that name.
///
/// # Errors
/// Why the check failed, with the log.
pub fn judged(results: &Results, name: &str) -> Result<(), String> {
    match results.outcomes.get(name) {
        Some(Outcome::Ok) => Ok(()),
        Some(Outcome::Skipped(why)) => {
            sealpack_tests::skip(why);
            Ok(())
        }
        Some(Outcome::Failed(why)) => {
            Err(format!("on Linux {}: {why}\n\nThe guest's log:\n{}", results.version, results.log))
        }
        None => Err("there is no result".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_the_guest_did_not_get_to_has_failed() {
        let name = |name: &str| name.to_owned();
        let ended = Ended {
            lines: vec![Line::Begin(name("a")), Line::End(name("a"), Outcome::Ok), Line::Begin(name("b"))],
            log: String::new(),
            ended_by_us: Some("too slow".into()),
            started: std::time::Instant::now(),
        };
        let outcomes = outcomes(&["a", "b", "c"], &ended);
        assert_eq!(outcomes["a"], Outcome::Ok);
        let failed = |when: &str| Outcome::Failed(format!("the guest was gone {when} this check: too slow"));
        assert_eq!((&outcomes["b"], &outcomes["c"]), (&failed("during"), &failed("before")));
    }
}
