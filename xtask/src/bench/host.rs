//! A sealed host's start, beside that of the same system from a plain ext4 root.

use super::figures::{Figure, Row, Sample};
use super::goal::Goal;
use super::setting::{Scale, Setting};
use super::table::Table;
use crate::packages::{self, Missing};
use anyhow::{Result, bail};
use sealpack_guest::host::figures::{self, Booted};
use sealpack_guest::host::run;
use sealpack_guest::kernels::Generation;

const SEALED: &str = "sealed host";
const PLAIN: &str = "plain ext4 root";

pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    if setting.scale == Scale::Smoke {
        // The tests boot such hosts anyway.
        return Ok(Vec::new());
    }
    packages::provide_for_guest(Missing::InstallOrFail)?;
    if let Some(why) = run::why_not() {
        bail!(why);
    }
    let runs = setting.runs(5);
    Generation::ALL.into_iter().map(|generation| measure(generation, runs)).collect()
}

fn measure(generation: Generation, runs: usize) -> Result<Table> {
    let figures = figures::measure(generation, runs)?;
    let row = |name: &str, boots: &[Booted]| {
        let sample = |boot: &Booted| Sample { wall: boot.multi_user, ..Sample::default() };
        Row { name: name.to_owned(), samples: boots.iter().map(sample).collect() }
    };
    let rows = vec![row(PLAIN, &figures.plain), row(SEALED, &figures.sealed)];
    let told = |name: &str| -> Vec<f64> {
        figures.sealed.iter().filter_map(|boot| boot.told.get(name)).copied().collect()
    };
    let initramfs_mb = figures.initramfs_bytes as f64 / 1e6;
    let goals = vec![
        Goal::ratio(&rows, (SEALED, PLAIN), Figure::Wall, 1.15)?,
        Goal::bound("the initramfs", vec![initramfs_mb], 12.0, "MB"),
        Goal::bound("/init, from its start to systemd's", told("init_seconds"), 1.5, "s"),
        Goal::bound("the broker's own memory (RssAnon)", told("broker_anon_mib"), 2.0, "MiB"),
    ];
    let name = generation.name();
    Ok(Table {
        name: format!("host-{name}"),
        title: format!("A sealed host's start, Linux {name}"),
        about: format!(
            "From power-on to multi-user.target, the first start of a disk: medians of {runs} boots in turns. Emulated (TCG), two \
             processors, firmware with Secure Boot; boot loader, stub, kernel and system are the same for both."
        ),
        rows,
        goals,
        ..Table::default()
    })
}
