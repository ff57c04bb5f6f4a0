//! Containers through containerd: its own overlayfs snapshotter, its EROFS snapshotter and ours, each with a containerd of its own.

pub(super) mod enforced;
mod pages;
mod prepared;
mod side;
mod sizes;
mod times;

use super::setting::{Scale, Setting};
use super::table::Table;
use anyhow::{Result, bail};
use sealpack_tests::containerd::{images, why_not};
use sealpack_tests::images::Image;
use sealpack_tests::paths;
use sealpack_tests::program::{self, Profile};
use sealpack_tests::registry::Registry;
use side::Side;
use std::rc::Rc;

const NAME: &str = "bench/containers:1";

pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    if let Some(why) = why_not() {
        if setting.scale == Scale::Smoke {
            return Ok(Vec::new());
        }
        bail!(why);
    }
    if setting.scale == Scale::Full {
        program::use_snapshotter(program::build_snapshotter(Profile::Release)?);
    }
    let image = setting.choose(sealpack_tests::images::python as fn() -> Result<Image>, images::shell)()?;
    let registry = Registry::start(&paths::fixtures())?;
    registry.push(&image, NAME)?;
    let name = format!("{}/{NAME}", registry.host());
    let sides = [Side::overlayfs(setting)?, Side::ours(setting)?, Side::erofs(setting)?].map(Rc::new);
    let mut tables = times::measure(setting, &sides, &name)?;
    tables.push(prepared::measure(setting, &sides)?);
    let (pages, note) = pages::measure(setting, &sides, &name)?;
    // Their room is wanted.
    drop(sides);
    let mut goals = sizes::measure(setting, &registry)?;
    goals.extend([pages, prepared::memory(setting, &registry)?]);
    let (name, title) = ("containers-take".into(), "What images and containers take".into());
    tables.push(Table { name, title, goals, notes: vec![note], ..Table::default() });
    Ok(tables)
}
