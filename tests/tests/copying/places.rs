//! Seals and images between places: which tool brings what along (docs/registries.md).

use super::{Workshop, registries, skopeo_copy};
use anyhow::{Context, Result, ensure};
use sealpack_tests::images;
use sealpack_tests::registry::Registry;
use serde_json::Value;
use std::fs;

/// A workshop, and two registries; the first has an image, sealed for both, at `prod/app:1`.
fn sealed() -> Result<Option<(Workshop, [Registry; 2])>> {
    let Some(registries) = registries()? else { return Ok(None) };
    let workshop = Workshop::new()?;
    let [first, second] = registries.each_ref().map(|registry| format!("{}/prod/app:1", registry.host()));
    workshop.copy(&[&images::busybox()?.source(), &first])?;
    let made = workshop.seal(&[&first, "--pull", "--name", &first, "--name", &second, "--push"])?;
    ensure!(made["published"]["fallback_tag"].is_string(), "the registry has a list of its own? {made:#}");
    Ok(Some((workshop, registries)))
}

fn name(registry: &Registry) -> String {
    format!("{}/prod/app:1", registry.host())
}

/// The tag that lists the referrers of the image that is in `name`.
fn fallback_tag(workshop: &Workshop, name: &str) -> Result<String> {
    let record = workshop.sealpack.json(["inspect", name])?;
    let digest = record["manifest"].as_str().context("no manifest")?;
    Ok(digest.replace(':', "-"))
}

#[test]
fn a_seal_is_found_in_a_real_registry_without_a_list_of_referrers() -> Result<()> {
    let Some((workshop, [first, _])) = sealed()? else { return Ok(()) };
    workshop.is_sealed(&[&name(&first)])?;
    // A second seal does not push the first one out, and the newest is used.
    let again = workshop.seal(&[&name(&first), "--replace", "--name", &name(&first), "--push"])?;
    let list =
        skopeo_inspect(&format!("{}/prod/app:{}", first.host(), fallback_tag(&workshop, &name(&first))?))?;
    let entries = list["manifests"].as_array().context("no list")?;
    ensure!(entries.len() == 2, "{list:#}");
    for entry in entries {
        ensure!(entry["artifactType"] == "application/vnd.sealpack.seal.v1", "{entry:#}");
        ensure!(entry["annotations"]["org.opencontainers.image.created"].is_string(), "{entry:#}");
    }
    ensure!(entries.iter().any(|entry| entry["digest"] == again["published"]["referrer"]), "{again:#}");
    workshop.is_sealed(&[&name(&first)])
}

fn skopeo_inspect(name: &str) -> Result<Value> {
    let mut skopeo = std::process::Command::new("skopeo");
    skopeo.args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")]);
    Ok(serde_json::from_str(&sealpack_tests::command::stdout(&mut skopeo)?)?)
}

#[test]
fn copies_between_registries_keep_seals_and_digests() -> Result<()> {
    let Some((workshop, [first, second])) = sealed()? else { return Ok(()) };
    let copied = workshop.copy(&[&name(&first), &name(&second)])?;
    ensure!(
        copied["referrers"] == 1 && copied["fallback_tags"].as_array().is_some_and(|t| t.len() == 1),
        "{copied:#}"
    );
    workshop.is_sealed(&[&name(&second)])?;
    ensure!(skopeo_inspect(&name(&first))? == skopeo_inspect(&name(&second))?, "the manifest has changed");
    // Nothing is sent twice.
    let again = workshop.copy(&[&name(&first), &name(&second)])?;
    ensure!(again["blobs_copied"] == 0 && again["blobs_known"] == copied["blobs_copied"], "{again:#}");
    // In another repository of the registry, blobs are taken over.
    let third = format!("{}/other/app:1", second.host());
    let taken = workshop.copy(&[&name(&second), &third])?;
    ensure!(taken["blobs_mounted"] == copied["blobs_copied"] && taken["copied_bytes"] == 0, "{taken:#}");
    Ok(())
}

#[test]
fn a_copy_without_referrers_leaves_the_seal_behind() -> Result<()> {
    let Some((workshop, [first, second])) = sealed()? else { return Ok(()) };
    let copied = workshop.copy(&["--no-referrers", &name(&first), &name(&second)])?;
    ensure!(copied["referrers"] == 0, "{copied:#}");
    workshop.is_not_sealed(&[&name(&second)])?;
    // The seal can follow.
    let place = ["seal", "push", &name(&first), "--to", &name(&second)];
    let published = workshop.sealpack.json(place)?;
    ensure!(published["fallback_tag"].is_string(), "{published:#}");
    workshop.is_sealed(&[&name(&second)])
}

#[test]
fn a_layout_carries_seals_over_a_gap() -> Result<()> {
    let Some((workshop, [first, second])) = sealed()? else { return Ok(()) };
    let layout = format!("oci:{}:app", workshop.path("carried").display());
    workshop.copy(&[&name(&first), &layout])?;
    // From the layout itself, under the name that the seal is for.
    workshop.is_sealed(&[&layout, "--name", &name(&first)])?;
    workshop.copy(&[&layout, &name(&second)])?;
    workshop.is_sealed(&[&name(&second)])?;
    // As a tar file, as well.
    let tar = workshop.path("carried.tar");
    let mut command = std::process::Command::new("tar");
    command.arg("-C").arg(workshop.path("carried")).arg("-cf").arg(&tar).arg(".");
    sealpack_tests::command::run(&mut command)?;
    workshop.is_sealed(&[&format!("oci-archive:{}:app", tar.display()), "--name", &name(&first)])
}

#[test]
fn a_seal_is_put_into_a_layout_too() -> Result<()> {
    let workshop = Workshop::new()?;
    let layout = format!("oci:{}:app", workshop.path("layout").display());
    workshop.copy(&[&images::busybox()?.source(), &layout])?;
    let made = workshop.seal(&[&layout, "--pull", "--name", "example.org/app:1"])?;
    let stored = made["name"].as_str().context("no name")?;
    let published = workshop.sealpack.json(["seal", "push", stored, "--to", &layout])?;
    ensure!(published["fallback_tag"].is_null(), "{published:#}");
    workshop.is_sealed(&[&layout, "--name", "example.org/app:1"])
}

#[test]
fn skopeo_copies_an_image_without_its_seal_and_the_list_by_its_tag() -> Result<()> {
    let Some((workshop, [first, second])) = sealed()? else { return Ok(()) };
    let [from, to] = [&first, &second].map(|registry| format!("docker://{}/prod/app", registry.host()));
    skopeo_copy(&[], &format!("{from}:1"), &format!("{to}:1"))?;
    workshop.is_not_sealed(&[&name(&second)])?;
    let tag = fallback_tag(&workshop, &name(&first))?;
    skopeo_copy(&["--all"], &format!("{from}:{tag}"), &format!("{to}:{tag}"))?;
    workshop.is_sealed(&[&name(&second)])
}

#[test]
fn skopeo_reads_and_fills_the_layouts_that_copy_writes() -> Result<()> {
    let Some((workshop, [first, second])) = sealed()? else { return Ok(()) };
    let layout = format!("oci:{}:app", workshop.path("layout").display());
    workshop.copy(&[&name(&first), &layout])?;
    skopeo_copy(&[], &layout, &format!("docker://{}", name(&second)))?;
    ensure!(skopeo_inspect(&name(&first))? == skopeo_inspect(&name(&second))?, "the manifest has changed");
    workshop.is_not_sealed(&[&name(&second)])?;
    // What skopeo adds to the layout leaves the seals in it.
    let other = images::oddities()?;
    skopeo_copy(&[], &other.source(), &format!("oci:{}:other", workshop.path("layout").display()))?;
    workshop.is_sealed(&[&layout, "--name", &name(&first)])?;
    let left =
        fs::read_dir(workshop.path("layout"))?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    ensure!(left.into_iter().all(|name| !name.starts_with('.')), "temporary files are left");
    Ok(())
}
