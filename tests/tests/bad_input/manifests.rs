//! Indexes, manifests and configs that lead to no image.

use crate::support::*;
use anyhow::Result;
use sealpack_test_registry::{Image, Registry, digest_of};
use sealpack_tests::refusal::Exit;
use serde_json::{Value, json};

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// An image that the store does not have.
fn other() -> Image {
    use sealpack_test_registry::ImageLayer;
    use sealpack_tests::layer_tar::archive;
    image(vec![ImageLayer::gzip(&archive(&[directory("opt/"), file("opt/other", &text(40, 4000))]))])
}

fn refuses_manifest(change: impl FnOnce(&mut Value), words: &[&str]) -> Result<()> {
    let image = with_manifest(other(), change)?;
    Case::new()?.refuses_image(Exit::Failed, &image, words)
}

fn refuses_config(change: impl FnOnce(&mut Value), words: &[&str]) -> Result<()> {
    let image = with_config(other(), change)?;
    Case::new()?.refuses_image(Exit::Failed, &image, words)
}

/// An entry of an index; `platform` as `os/architecture`.
fn entry(image: &Image, platform: &str) -> Value {
    let mut names = platform.split('/');
    json!({
        "mediaType": image.manifest_type,
        "digest": digest_of(&image.manifest),
        "size": image.manifest.len(),
        "platform": {"os": names.next(), "architecture": names.next()},
    })
}

/// An index with these entries must be refused from a layout and from a registry.
fn refuses_index(images: &[&Image], entries: Value, words: &[&str]) -> Result<()> {
    let case = Case::new()?;
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}).to_string().into_bytes();
    let dir = case.directory("layout")?;
    let annotations = json!({"org.opencontainers.image.ref.name": TAG});
    let top = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": INDEX_TYPE, "digest": digest_of(&index), "size": index.len(), "annotations": annotations,
        }],
    });
    write_index(&dir, images, &top)?;
    std::fs::write(blob_path(&dir, &digest_of(&index)), &index)?;
    case.sealpack.refuses(Exit::Failed, ["pull", &layout_source(&dir), "--name", "bad"], words)?;
    let registry = Registry::start();
    for image in images {
        registry.put_image(REPOSITORY, "platform", image);
    }
    registry.put_manifest(REPOSITORY, TAG, INDEX_TYPE, index);
    let source = format!("{}/{REPOSITORY}:{TAG}", registry.host());
    case.sealpack.refuses(Exit::Failed, ["pull", &source, "--name", "bad"], words)
}

#[test]
fn an_index_without_the_platform_is_answered_with_those_it_has() -> Result<()> {
    let (riscv, mips) = (Image::new("linux/riscv64", Vec::new()), Image::new("linux/mips64le", Vec::new()));
    let entries = json!([entry(&riscv, "linux/riscv64"), entry(&mips, "linux/mips64le")]);
    let words = [&platform(), "linux/riscv64", "linux/mips64le", "hint: ", "--platform linux/"];
    refuses_index(&[&riscv, &mips], entries, &words)
}

#[test]
fn an_index_without_anything_has_no_image() -> Result<()> {
    refuses_index(&[], json!([]), &[&platform(), "no image"])
}

#[test]
fn an_index_that_promises_the_platform_and_has_another_is_refused() -> Result<()> {
    let riscv = Image::new("linux/riscv64", Vec::new());
    let entries = json!([entry(&riscv, &platform())]);
    refuses_index(&[&riscv], entries, &["linux/riscv64", &platform()])
}

#[test]
fn an_entry_of_an_unknown_media_type_is_refused() -> Result<()> {
    let image = other();
    let mut entry = entry(&image, &platform());
    entry["mediaType"] = "application/vnd.example.unknown.v7+json".into();
    let words = [&digest_of(&image.manifest), "application/vnd.example.unknown.v7+json", "supported"];
    refuses_index(&[&image], json!([entry]), &words)
}

#[test]
fn an_image_for_another_platform_is_refused_with_what_to_do() -> Result<()> {
    let riscv = Image::new("linux/riscv64", Vec::new());
    let words = ["linux/riscv64", &platform(), "hint: ", "--platform linux/riscv64"];
    Case::new()?.refuses_image(Exit::Failed, &riscv, &words)
}

#[test]
fn a_layer_of_an_unknown_media_type_is_refused() -> Result<()> {
    let media_type = "application/vnd.example.layer.v1.squashfs";
    refuses_manifest(
        |it| it["layers"][0]["mediaType"] = media_type.into(),
        &["layer 1", media_type, "supported"],
    )
}

/// Where its blob is there, it is a layer like any other.
#[test]
fn a_layer_that_is_kept_elsewhere_is_refused_only_where_it_is_not_there() -> Result<()> {
    let case = Case::new()?;
    for media_type in [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        let mut foreign = with_manifest(other(), |it| it["layers"][0]["mediaType"] = media_type.into())?;
        let registry = Registry::start();
        case.sealpack.run(["pull", &case.layout(&foreign)?, "--name", "from-layout"])?;
        case.sealpack.run(["pull", &serve(&registry, &foreign), "--name", "from-registry"])?;
        foreign =
            with_manifest(image_of_nothing_else()?, |it| it["layers"][0]["mediaType"] = media_type.into())?;
        foreign.layers.clear();
        case.refuses_image(
            Exit::Failed,
            &foreign,
            &["layer 1", "foreign", media_type, "outside the registry"],
        )?;
    }
    Ok(())
}

/// An image with a layer that no store has.
fn image_of_nothing_else() -> Result<Image> {
    use sealpack_test_registry::ImageLayer;
    use sealpack_tests::layer_tar::archive;
    Ok(image(vec![ImageLayer::gzip(&archive(&[file("elsewhere", &text(41, 4000))]))]))
}

#[test]
fn an_artifact_that_is_no_image_is_refused() -> Result<()> {
    let media_type = "application/vnd.cncf.helm.config.v1+json";
    refuses_manifest(|it| it["config"]["mediaType"] = media_type.into(), &["config", media_type, "artifact"])
}

#[test]
fn a_manifest_that_calls_itself_something_unknown_is_refused() -> Result<()> {
    let media_type = "application/vnd.example.manifest.v9+json";
    refuses_manifest(|it| it["mediaType"] = media_type.into(), &[media_type, "supported"])
}

#[test]
fn a_manifest_that_calls_itself_an_index_is_refused() -> Result<()> {
    refuses_manifest(|it| it["mediaType"] = INDEX_TYPE.into(), &["index", "not valid"])
}

#[test]
fn a_manifest_of_dockers_first_schema_is_refused_as_such() -> Result<()> {
    let schema1 =
        |it: &mut Value| *it = json!({"schemaVersion": 1, "name": "x", "fsLayers": [], "history": []});
    refuses_manifest(schema1, &["schema 1", "not supported"])
}

#[test]
fn a_manifest_that_is_no_json_is_refused() -> Result<()> {
    let image = Image { manifest: b"<html>Please log in</html>".to_vec(), ..other() };
    Case::new()?.refuses_image(Exit::Failed, &image, &["not valid", &digest_of(&image.manifest)])
}

#[test]
fn manifests_that_lack_something_are_refused() -> Result<()> {
    let without = |key: &'static str| {
        move |it: &mut Value| {
            it.as_object_mut().map(|fields| fields.remove(key));
        }
    };
    refuses_manifest(without("config"), &["not valid", "config"])?;
    refuses_manifest(without("layers"), &["not valid", "layers"])?;
    refuses_manifest(without("schemaVersion"), &["not valid", "schemaVersion"])?;
    refuses_manifest(
        |it| it["layers"][0]["digest"] = "sha256:12".into(),
        &["not valid", "\"12\" is not a digest"],
    )?;
    refuses_manifest(|it| it["layers"][0]["digest"] = "../../etc/passwd".into(), &["not valid"])?;
    refuses_manifest(|it| it["layers"][0]["size"] = (-1).into(), &["not valid"])
}

#[test]
fn configs_that_lack_something_are_refused() -> Result<()> {
    refuses_config(|it| *it = json!({}), &["config", "not valid", "rootfs"])?;
    refuses_config(|it| it["rootfs"]["type"] = "zfs".into(), &["config", "zfs"])?;
    refuses_config(|it| it["rootfs"]["diff_ids"] = json!([]), &["0 diff_ids for 1 layers"])?;
    refuses_config(|it| it["rootfs"]["diff_ids"] = json!(["md5:0"]), &["config", "not valid", "md5"])
}

#[test]
fn manifests_and_configs_larger_than_any_real_one_are_refused_before_they_are_read() -> Result<()> {
    let padding = "x".repeat(5 * 1024 * 1024);
    refuses_manifest(|it| it["annotations"] = json!({"padding": padding}), &["larger than", "4194304"])?;
    let padding = "x".repeat(17 * 1024 * 1024);
    refuses_config(|it| it["padding"] = padding.into(), &["larger than", "16777216"])
}
