//! Images in files: what `save` and `copy` write, `load`, skopeo and Debian's registry take.

use super::{Workshop, registries, skopeo_copy};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::stdout;
use sealpack_tests::images;
use sealpack_tests::program::Sealpack;
use sealpack_tests::refusal::{Exit, judge_output};
use sealpack_tests::registry::Registry;
use serde_json::Value;
use std::fs;
use std::process::Command;

/// A workshop whose store has a sealed image `prod/app:1` of the registry, and another one.
fn sealed() -> Result<Option<(Workshop, Registry, [String; 2])>> {
    let Some([registry, _]) = registries()? else { return Ok(None) };
    let workshop = Workshop::new()?;
    let names = ["prod/app:1", "prod/other:2"].map(|name| format!("{}/{name}", registry.host()));
    for (image, name) in [images::busybox()?, images::small()?].iter().zip(&names) {
        workshop.copy(&[&image.source(), name])?;
        workshop.sealpack.run(["pull", name])?;
    }
    workshop.seal(&[&names[0], "--push"])?;
    Ok(Some((workshop, registry, names)))
}

fn text(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("an odd path")
}

#[test]
fn what_is_saved_is_loaded_elsewhere_with_its_names_digests_and_seals() -> Result<()> {
    let Some((workshop, registry, names)) = sealed()? else { return Ok(()) };
    let (file, again) = (workshop.path("both.tar"), workshop.path("again.tar"));
    let save =
        |file| -> Result<Value> { workshop.sealpack.json(["save", &names[0], &names[1], "-o", text(file)?]) };
    let saved = save(&file)?;
    ensure!(saved["referrers"] == 1 && saved["size_bytes"] == fs::metadata(&file)?.len(), "{saved:#}");
    save(&again)?;
    ensure!(fs::read(&file)? == fs::read(&again)?, "the same images make another file");
    // Where it is loaded nobody can be asked.
    drop(registry);
    let trust = workshop.path("trust").display().to_string();
    let other = Sealpack::new()?;
    let load = ["--trust", &trust, "load", "--require", "sealed", text(&file)?];
    // The other one has no seal; each image is judged for itself.
    let refused = other.attempt(load)?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && said.contains(&format!("{} must be sealed", names[1])), "{said}");
    ensure!(said.contains("1 of 2 images failed"), "{said}");
    other.run(["--trust", &trust, "load", text(&file)?])?;
    for name in &names {
        let [here, there] = [&workshop.sealpack, &other].map(|sealpack| sealpack.json(["inspect", name]));
        let (here, there) = (here?, there?);
        for field in ["manifest", "config", "metadata_image", "name"] {
            ensure!(here[field] == there[field], "{field}: {here:#} {there:#}");
        }
    }
    let verified = other.json(["--trust", &trust, "verify", &names[0]])?;
    ensure!(verified["failures"].as_array().is_some_and(Vec::is_empty), "{verified:#}");
    Ok(())
}

#[test]
fn skopeo_reads_what_is_written_and_what_it_writes_is_loaded() -> Result<()> {
    let Some((workshop, _registry, names)) = sealed()? else { return Ok(()) };
    let config = |reference: &str| -> Result<Value> {
        let mut skopeo = Command::new("skopeo");
        Ok(serde_json::from_str(&stdout(skopeo.args(["inspect", "--config", reference]))?)?)
    };
    let wanted = config(&images::busybox()?.source())?;
    let [oci, docker, copied] = ["oci.tar", "docker.tar", "copied.tar"].map(|name| workshop.path(name));
    workshop.sealpack.run(["save", &names[0], "-o", text(&oci)?])?;
    workshop.sealpack.run(["save", &names[0], "-o", text(&docker)?, "--format", "docker-archive"])?;
    workshop.copy(&[&names[0], &format!("docker-archive:{}", copied.display())])?;
    for reference in [
        // The seal is in the layout too, and has no name.
        format!("oci-archive:{}:{}", oci.display(), names[0]),
        format!("docker-archive:{}", docker.display()),
        format!("docker-archive:{}:{}", docker.display(), names[0]),
        format!("docker-archive:{}", copied.display()),
    ] {
        ensure!(config(&reference)? == wanted, "{reference}");
    }
    // And back: what skopeo makes of them, and of the image itself.
    let foreign = workshop.path("foreign.tar");
    let target = format!("docker-archive:{}:registry.example.org/of/skopeo:1", foreign.display());
    skopeo_copy(&[], &format!("docker://{}", names[0]), &target)?;
    let other = Sealpack::new()?;
    other.run(["load", text(&foreign)?, text(&oci)?])?;
    let skopeos = other.json(["inspect", "registry.example.org/of/skopeo:1"])?;
    let ours = other.json(["inspect", &names[0]])?;
    ensure!(skopeos["metadata_image"] == ours["metadata_image"], "{skopeos:#} {ours:#}");
    Ok(())
}

#[test]
fn an_archive_that_cannot_be_whole_leaves_the_file_as_it_was() -> Result<()> {
    let Some((workshop, registry, names)) = sealed()? else { return Ok(()) };
    let place = workshop.path("place");
    fs::create_dir(&place)?;
    let file = place.join("kept.tar");
    fs::write(&file, "somebody's")?;
    let is_as_it_was = || -> Result<()> {
        ensure!(fs::read(&file)? == b"somebody's", "the file has changed");
        ensure!(fs::read_dir(&place)?.count() == 1, "something was left beside it");
        Ok(())
    };
    let save = |words: &[&str]| -> Result<_> {
        workshop.sealpack.attempt(["save", "-o", text(&file)?].iter().chain(words))
    };
    judge_output(&save(&["prod/nosuch:1"])?, Exit::Failed, &["prod/nosuch:1"])?;
    is_as_it_was()?;
    judge_output(&save(&[&names[0], &names[0]])?, Exit::Failed, &["two of its images are called"])?;
    is_as_it_was()?;
    // Another image at the place that is named.
    let other = images::small()?.source();
    judge_output(&save(&[&names[0], "--from", &other])?, Exit::Failed, &["--from"])?;
    is_as_it_was()?;
    drop(registry);
    judge_output(&save(&[&names[0]])?, Exit::Failed, &["cannot be reached", "--from"])?;
    is_as_it_was()?;
    let nowhere = workshop.path("no/such/file.tar");
    let layers = images::busybox()?.source();
    let words = ["save", &names[0], "--from", &layers, "-o", text(&nowhere)?];
    judge_output(&workshop.sealpack.attempt(words)?, Exit::Failed, &["no/such"])?;
    save(&[&names[0], "--from", &layers])?;
    ensure!(fs::metadata(&file)?.len() > 100_000, "it was not replaced");
    judge_output(&Sealpack::new()?.attempt(["load", text(&place)?])?, Exit::Failed, &[text(&place)?])
}

#[test]
fn a_docker_archive_takes_one_platform_and_two_lines_no_archive() -> Result<()> {
    let workshop = Workshop::new()?;
    let source = images::busybox()?.source();
    let target = format!("docker-archive:{}", workshop.path("all.tar").display());
    let all = workshop.sealpack.attempt(["copy", "--all-platforms", &source, &target])?;
    judge_output(&all, Exit::Usage, &["one platform", "oci-archive"])?;
    let list = workshop.path("list");
    fs::write(&list, format!("{source} {target}\n{source} {target}\n"))?;
    let twice = workshop.sealpack.attempt(["copy", "--list", text(&list)?])?;
    judge_output(&twice, Exit::Usage, &["another line", "sealpack save"])?;
    ensure!(!workshop.path("all.tar").exists(), "it was written all the same");
    Ok(())
}
