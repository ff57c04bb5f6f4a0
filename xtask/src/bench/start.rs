//! The program itself: its size, and how long it takes to start.

use super::contender::{Contender, measure_all};
use super::figures::Figure;
use super::goal::Goal;
use super::setting::Setting;
use super::table::Table;
use anyhow::{Context, Result};
use sealpack_tests::command::{find, run as run_command};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

const OURS: &str = "sealpack --version";
const TRUE: &str = "true";

/// How large the program may be.
const MIB_AT_MOST: f64 = 12.0;

pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    let (place, runs) = (setting.directory("start")?, setting.runs(101));
    let mut contenders = Vec::new();
    let sealpack = setting.sealpack.clone();
    contenders.push(Contender::simple(OURS, move |_| {
        let mut command = sealpack_tests::program::start(&sealpack);
        command.arg("--version");
        command
    }));
    contenders.push(Contender::simple(TRUE, |_| Command::new("/bin/true")));
    if let Some(cfsctl) = setting.cfsctl.clone() {
        contenders
            .push(Contender::simple("composefs-rs (cfsctl --version)", move |_| cfsctl.version_command()));
    }
    let rows = measure_all(setting, &contenders, runs, place.path())?;
    let mut goals = vec![Goal::ratio(&rows, (OURS, TRUE), Figure::Wall, 2.5)?];
    let mut notes = Vec::new();
    if let Some(strip) = find("strip") {
        let mib = stripped_mib(strip.as_ref(), &setting.sealpack, place.path())?;
        goals.push(Goal::bound("the program, stripped", vec![mib], MIB_AT_MOST, "MiB"));
    } else {
        notes.push("strip is not installed: the size of the program was not measured.".to_owned());
    }
    let about = format!("Medians of {runs} rounds.");
    Ok(vec![Table {
        name: "start".into(),
        title: "The start of the program".into(),
        about,
        rows,
        goals,
        notes,
        ..Table::default()
    }])
}

/// How many MiB the program has without what only debuggers read, found with `strip` in `place`.
fn stripped_mib(strip: &OsStr, program: &Path, place: &Path) -> Result<f64> {
    let stripped = place.join("stripped");
    run_command(Command::new(strip).arg("-o").arg(&stripped).arg(program))?;
    let bytes = std::fs::metadata(&stripped).context("strip has written nothing")?.len();
    Ok(bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::ensure;
    use sealpack_tests::{paths, skip};
    use std::time::SystemTime;

    /// It has missed the goal by a little since it completes names of images and tells metrics; it may not grow on.
    const MIB_TODAY: f64 = 12.75;

    /// When the newest of the program's sources was changed, by what cargo notes beside it.
    fn newest_source(program: &Path) -> Result<SystemTime> {
        let noted = std::fs::read_to_string(program.with_extension("d"))?;
        let (_, sources) = noted.split_once(": ").context("no sources")?;
        let changed = |path: &str| std::fs::metadata(path).and_then(|file| file.modified());
        let profile = paths::workspace().join("Cargo.toml");
        let mut newest = changed(profile.to_str().context("the workspace's path is no text")?)?;
        for source in sources.split_whitespace() {
            newest = newest.max(changed(source)?);
        }
        Ok(newest)
    }

    #[test]
    fn a_release_that_is_there_is_no_larger_than_it_may_be() -> Result<()> {
        let program = paths::target().join("release/sealpack");
        let Ok(built) = std::fs::metadata(&program).and_then(|file| file.modified()) else {
            skip("no release was built whose size could be looked at");
            return Ok(());
        };
        if newest_source(&program).map_or(true, |newest| newest > built) {
            skip("the release that was built is of other sources");
            return Ok(());
        }
        let Some(strip) = find("strip") else {
            skip("strip is not installed");
            return Ok(());
        };
        let place = tempfile::tempdir()?;
        let mib = stripped_mib(strip.as_ref(), &program, place.path())?;
        ensure!(mib < MIB_TODAY, "the program has {mib:.2} MiB, and may have {MIB_TODAY}");
        Ok(())
    }
}
