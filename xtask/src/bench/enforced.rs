//! An enforced mount in a booted kernel, beside the same filesystems mounted by hand.

use super::figures::{Figure, Row, Sample};
use super::goal::Goal;
use super::setting::{Scale, Setting};
use super::table::Table;
use crate::packages::{self, Missing};
use anyhow::{Result, bail, ensure};
use sealpack_guest::figures::{KINDS, samples};
use sealpack_guest::kernels::Generation;
use sealpack_guest::report::Outcome;
use sealpack_guest::run;

const CHECK: &str = "figure_enforced_mount";

/// On the newer kernel only: overlayfs of the older one takes no mounts that are attached nowhere.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    if setting.scale == Scale::Smoke {
        // The tests run this check in such a kernel anyway.
        return Ok(Vec::new());
    }
    packages::provide_for_guest(Missing::InstallOrFail)?;
    if let Some(why) = run::why_not() {
        bail!(why);
    }
    let results = run::run_for_figures(Generation::V7, &[CHECK])?;
    match results.outcomes.get(CHECK) {
        Some(Outcome::Ok) => {}
        other => bail!("{other:?}; the guest's log:\n{}", results.log),
    }
    let row = |kind: &&str| -> Result<Row> {
        let walls = samples(&results.log, kind)?;
        let samples = walls.into_iter().map(|wall| Sample { wall, ..Sample::default() });
        Ok(Row { name: (*kind).to_owned(), samples: samples.collect() })
    };
    let rows: Vec<Row> = KINDS.iter().map(row).collect::<Result<_>>()?;
    let runs = rows[0].samples.len();
    ensure!(rows.iter().all(|row| row.samples.len() == runs), "not all were measured as often: {rows:?}");
    let [ours, erofs, verity] = KINDS;
    Ok(vec![Table {
        name: "mount-enforced".into(),
        title: format!("An enforced mount, Linux {}", results.version),
        about: format!(
            "Mounting alone, of a small image in packs, no device of it there before; the policy allows what is on signed \
             devices only. Emulated (TCG), one processor; medians of {runs} rounds."
        ),
        goals: vec![
            Goal::ratio(&rows, (ours, erofs), Figure::Wall, 1.5)?,
            Goal::ratio(&rows, (ours, verity), Figure::Wall, 1.5)?,
        ],
        rows,
        ..Table::default()
    }])
}
