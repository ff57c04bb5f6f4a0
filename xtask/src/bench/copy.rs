//! Copying an image, contents as they are, beside skopeo.

use super::contender::{Contender, measure_all};
use super::setting::Setting;
use super::table::Table;
use anyhow::Result;
use sealpack_tests::command::find;
use sealpack_tests::images::{self, Image};
use sealpack_tests::registry::Registry;
use std::path::Path;
use std::process::Command;

const NAME: &str = "bench/copied:1";

pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    let image = setting.choose(images::bench as fn() -> Result<Image>, images::small)()?;
    let (place, runs) = (setting.directory("copy")?, setting.runs(5));
    let mut notes = Vec::new();
    let mut contenders = vec![ours(setting, "sealpack copy, from a layout", image.source())];
    contenders.extend(theirs("skopeo copy, from a layout", image.source()));
    // It ends with this.
    let registry = match find("docker-registry").and(find("skopeo")) {
        Some(_) => Some(Registry::start(place.path())?),
        None => {
            notes.push(
                "docker-registry or skopeo is not installed: nothing was copied from a registry.".into(),
            );
            None
        }
    };
    if let Some(registry) = &registry {
        registry.push(&image, NAME)?;
        let source = format!("{}/{NAME}", registry.host());
        contenders.extend(theirs("skopeo copy, from a registry", format!("docker://{source}")));
        contenders.push(ours(setting, "sealpack copy, from a registry", source));
    }
    let rows = measure_all(setting, &contenders, runs, place.path())?;
    let about = format!(
        "The image of the first table into a new layout, with docker-registry on loopback; medians of {runs} rounds."
    );
    let title = "A copy of an image".into();
    Ok(vec![Table { name: "copy".into(), title, about, rows, notes, ..Table::default() }])
}

fn ours(setting: &Setting, name: &str, source: String) -> Contender {
    let sealpack = setting.sealpack.clone();
    Contender::simple(name, move |dir| {
        let mut command = sealpack_tests::program::start(&sealpack);
        command.args(["--quiet", "copy", &source, &layout(dir)]);
        command
    })
}

fn theirs(name: &str, source: String) -> Option<Contender> {
    let skopeo = find("skopeo")?;
    Some(Contender::simple(name, move |dir| {
        let mut command = Command::new(&skopeo);
        // It wants to be told where others see it by themselves; signatures are judged by neither.
        command.args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]);
        command.args([&source, &layout(dir)]);
        command
    }))
}

/// A layout in this directory.
fn layout(dir: &Path) -> String {
    format!("oci:{}:copied", dir.join("layout").display())
}
