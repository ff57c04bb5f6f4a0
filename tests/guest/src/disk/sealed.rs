//! Stores with images in packs, made on this machine by the `sealpack` that the guest runs.

use super::published::Publisher;
use crate::keys::Key;
use crate::programs::Programs;
use anyhow::{Context, Result};
use sealpack_tests::command::run;
use sealpack_tests::images::{self, Image};
use sealpack_tests::program::start;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Makes these stores below `target`: `sealed`, with all images, pulled from a registry where the trusted key sealed
/// them; `unknown`, where the unknown key sealed them; `unsealed`, where nobody did; `rotation`, where the retiring key sealed them, and the
/// succeeding one the second of them too. All but the first have the small images only.
///
/// Where the Debian image cannot be had, `sealed/no-python` says why.
pub(super) fn write(programs: &Programs, small: &[(&str, Image)], target: &Path) -> Result<()> {
    for (store, key) in [("unknown", Some(Key::unknown()?)), ("unsealed", None)] {
        let dir = target.join(store);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let store = dir.join("store");
        for (name, image) in small {
            add(programs, &store, name, image, key.as_ref())?;
        }
    }
    let rotation = target.join("rotation/store");
    fs::create_dir_all(&rotation).with_context(|| format!("cannot make {}", rotation.display()))?;
    for (name, image) in small {
        add(programs, &rotation, name, image, Some(&Key::retiring()?))?;
    }
    if let Some((last, _)) = small.last() {
        seal(programs, &rotation, last, &Key::succeeding()?)?;
    }
    let sealed = target.join("sealed");
    fs::create_dir_all(&sealed).with_context(|| format!("cannot make {}", sealed.display()))?;
    let key = Key::trusted()?;
    let publisher = Publisher::new(programs, &key)?;
    let store = sealed.join("store");
    for (name, image) in small {
        publisher.publish(name, image)?;
        publisher.bring(name, &store)?;
    }
    publisher.copy_trust(&target.join("trust"))?;
    match images::why_no_debian_images() {
        None => {
            publisher.publish("python", &images::python()?)?;
            publisher.bring("python", &store)
        }
        Some(why) => Ok(fs::write(sealed.join("no-python"), why)?),
    }
}

fn add(programs: &Programs, store: &Path, name: &str, image: &Image, key: Option<&Key>) -> Result<()> {
    run(sealpack(programs, store).args(["pull", "--objects", "packs", &image.source(), "--name", name]))?;
    key.map_or(Ok(()), |key| seal(programs, store, name, key))
}

fn seal(programs: &Programs, store: &Path, name: &str, key: &Key) -> Result<()> {
    let mut command = sealpack(programs, store);
    command.args(["seal", name, "--key"]).arg(key.key()).arg("--cert").arg(key.certificate());
    run(&mut command).map(drop)
}

pub(super) fn sealpack(programs: &Programs, store: &Path) -> Command {
    let mut command = start(&programs.sealpack);
    command.arg("--store").arg(store);
    command
}
