//! What of a store is listed, picked, counted, brought and kept.

use crate::{program, with_images, with_images_of};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::attempt;
use sealpack_tests::layer_tar::archive;
use sealpack_tests::program::Sealpack;
use serde_json::Value;
use std::fs;

#[test]
fn images_are_picked_by_their_fields_and_printed_by_a_template() -> Result<()> {
    let (sealpack, _dir) = with_images()?;
    let said = |arguments: &[&str]| -> Result<String> {
        Ok(String::from_utf8(sealpack.run([&["images"], arguments].concat())?.stdout)?)
    };
    let both = "docker.io/library/one:latest\ndocker.io/library/other:latest\n";
    assert_eq!(said(&["--quiet"])?, both);
    assert_eq!(said(&["-q", "--filter", "name=*/one:*"])?, "docker.io/library/one:latest\n");
    assert_eq!(said(&["-q", "--filter", "kept_in=files", "--filter", "sealed=true"])?, "");
    let manifest = sealpack.json(["inspect", "one"])?["manifest"].clone();
    let line = format!("docker.io/library/one:latest\t{}\n", manifest.as_str().context("a digest")?);
    assert_eq!(said(&["--filter", "name=*one*", "--format", r"{name}\t{manifest}"])?, line);
    let document = sealpack.json(["images", "--filter", "name=*/other:*"])?;
    assert_eq!(document["images"].as_array().map(Vec::len), Some(1), "{document:#}");
    for (wrong, wanted) in [
        (&["--filter", "nmae=x"][..], "there is no field \"nmae\"; there are config, "),
        (&["--format", "{nmae}"], "metadata_image.size_bytes, name, "),
        (&["--filter", "name"], "a filter is FIELD=VALUE"),
        (&["--format", "{name"], "no closing brace"),
        (&["--format", "{name}", "--json"], "two forms of the same answer"),
    ] {
        for store in [sealpack.store().to_owned(), sealpack.store().with_file_name("none")] {
            let store = store.to_string_lossy().into_owned();
            let refused = attempt(&mut program(&[&["--store", &store, "images"], wrong].concat())?)?;
            let text = String::from_utf8(refused.stderr)?;
            ensure!(
                refused.status.code() == Some(2) && text.replace("\\\"", "\"").contains(wanted),
                "{text}"
            );
            ensure!(refused.stdout.is_empty(), "{wrong:?}");
        }
    }
    Ok(())
}

#[test]
fn df_says_what_is_shared_what_each_image_owns_and_what_gc_frees() -> Result<()> {
    let (sealpack, _dir) = with_images_of(b"of df")?;
    sealpack.run(["tag", "one", "stable"])?;
    let value = sealpack.json(["df"])?;
    // Of one: two files of its own. The third one both have.
    let one = &value["image_sizes"][0];
    let names = ["docker.io/library/one:latest", "docker.io/library/stable:latest"];
    assert_eq!(one["names"], serde_json::json!(names), "{value:#}");
    let sizes = ["object_bytes", "own_object_bytes", "shared_object_bytes"].map(|key| one[key].as_u64());
    assert_eq!(sizes, [Some(3 * 5005), Some(2 * 5005), Some(5005)], "{value:#}");
    assert_eq!(
        (&value["own_object_bytes"], &value["shared_object_bytes"]),
        (&(3 * 5005).into(), &5005.into())
    );
    assert_eq!(value["on_disk"]["objects"], serde_json::json!({ "count": 4, "size_bytes": 4 * 5005 }));
    assert_eq!(value["unneeded"]["count"], 0);
    sealpack.run(["rm", "one", "stable"])?;
    let before = sealpack.json(["df"])?;
    let freed = sealpack.json(["gc"])?;
    let after = sealpack.json(["df"])?;
    assert_eq!(before["unneeded"], freed["total"]);
    let total = |value: &Value| value["total"]["size_bytes"].as_u64();
    let of_objects = |value: &Value| value["on_disk"]["objects"]["size_bytes"].as_u64();
    assert_eq!((of_objects(&before), of_objects(&after)), (Some(4 * 5005), Some(2 * 5005)));
    ensure!(total(&after) < total(&before), "{after:#}");
    let text = String::from_utf8(sealpack.run(["df"])?.stdout)?;
    ensure!(text.starts_with("IMAGE") && text.contains("`sealpack gc` would free    0 B"), "{text}");
    Ok(())
}

/// Whoever holds the store keeps nobody from seeing what it takes.
#[test]
fn df_leaves_out_what_gc_would_free_while_others_use_the_store() -> Result<()> {
    let (sealpack, _dir) = with_images()?;
    let lock = fs::File::open(sealpack.store().join("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockShared)?;
    let value = sealpack.json(["df", "--wait", "0"])?;
    ensure!(value["unneeded"].is_null() && value["image_sizes"][1]["object_bytes"].is_u64(), "{value:#}");
    ensure!(value["why_unknown"].as_str().is_some_and(|why| why.contains("in use")), "{value:#}");
    Ok(())
}

#[test]
fn gc_keeps_the_last_images_of_a_name_and_the_young_ones_and_says_so() -> Result<()> {
    let (sealpack, _dir) = with_images_of(b"kept by gc")?;
    for name in ["one", "other"] {
        sealpack.run(["tag", name, "stable"])?;
    }
    sealpack.run(["rm", "one", "other"])?;
    let value = sealpack.json(["gc", "--dry-run", "--keep-last", "1", "--older-than", "1h"])?;
    assert_eq!(
        (&value["removed"]["earlier"]["count"], &value["kept"]["earlier_images"]),
        (&0.into(), &1.into())
    );
    let value = sealpack.json(["gc", "--dry-run", "--keep-last", "2"])?;
    assert_eq!(
        (&value["removed"]["earlier"]["count"], &value["kept"]["earlier_images"]),
        (&0.into(), &1.into())
    );
    let text = String::from_utf8(sealpack.run(["gc"])?.stdout)?;
    ensure!(text.contains("; kept 1 earlier image"), "{text}");
    let value = sealpack.json(["gc", "--keep-last", "1"])?;
    assert_eq!(
        (&value["removed"]["earlier"]["count"], &value["kept"]["earlier_images"]),
        (&1.into(), &0.into())
    );
    for wrong in [
        &["--keep-last", "0"][..],
        &["--keep-last", "2", "--keep-previous", "1"],
        &["--older-than", "30"],
        &["--older-than", "x"],
    ] {
        let refused = attempt(&mut sealpack.command([&["gc"], wrong].concat()))?;
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
    }
    Ok(())
}

#[test]
fn what_a_list_names_is_copied_and_pulled_though_one_of_it_fails() -> Result<()> {
    let (_, dir) = with_images()?;
    let sealpack = Sealpack::new()?;
    let at = |name: &str| dir.path().join(name).display().to_string();
    let list = at("list");
    let with_list = |verb: &str, text: &str| -> Result<_> {
        fs::write(&list, text)?;
        let mut command = sealpack.command([verb, "--json", "--list", &list]);
        let output = attempt(&mut command)?;
        Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
    };
    let text = format!(
        "# of two images, and one that there is not\noci:{0}:latest oci:{1}:r.lan/a:1\n\noci:{2}:latest oci:{2}:b\n\
         oci:{3}:latest oci:{4}:r.lan/b:1\n",
        at("one"),
        at("copied-one"),
        at("nosuch"),
        at("other"),
        at("copied-other")
    );
    let (status, said, errors) = with_list("copy", &text)?;
    ensure!(status == Some(1) && errors.contains("list, line 4: "), "{errors}");
    ensure!(errors.contains("1 of 3 images failed"), "{errors}");
    assert_eq!(serde_json::Deserializer::from_str(&said).into_iter::<Value>().count(), 2, "{said}");
    let sources = format!(
        "oci:{}:r.lan/a:1\noci:{}:latest\noci:{}:r.lan/b:1\n",
        at("copied-one"),
        at("nosuch"),
        at("copied-other")
    );
    let (status, _, errors) = with_list("pull", &sources)?;
    ensure!(status == Some(1) && errors.contains("1 of 3 images failed"), "{errors}");
    let names = String::from_utf8(sealpack.run(["images", "-q"])?.stdout)?;
    assert_eq!(names, "r.lan/a:1\nr.lan/b:1\n");
    // Standard input is a list too.
    let mut pull = sealpack.command(["pull", "--list", "-"]);
    let output = pull.stdin(fs::File::open(&list)?).output()?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    // What is no list is refused before anything is done.
    for (verb, wrong, wanted) in [
        (
            "copy",
            format!("oci:{}:latest\n", at("one")),
            "line 1: a line has a source and a target, and this one 1 words",
        ),
        (
            "copy",
            format!("oci:{0}:latest oci:{1}:x\noci:{0}:latest app:1\n", at("one"), at("never")),
            "line 2: nothing says where that is",
        ),
        (
            "pull",
            format!("oci:{}:latest x\n", at("one")),
            "line 1: a line has one source, and this one has 2 words",
        ),
        ("pull", "A B C".to_owned(), "line 1: a line has one source"),
        ("pull", "UPPER\n".to_owned(), "line 1: "),
        ("pull", "# nothing\n".to_owned(), "the list is empty"),
    ] {
        let (status, said, errors) = with_list(verb, &wrong)?;
        ensure!(status == Some(2) && errors.contains(wanted) && said.is_empty(), "{verb} {wrong}: {errors}");
    }
    ensure!(!dir.path().join("never").exists(), "something was copied");
    fs::remove_file(&list)?;
    let refused = attempt(&mut sealpack.command(["pull", "--list", &list]))?;
    ensure!(String::from_utf8(refused.stderr)?.contains("No such file"), "a list that is not there");
    Ok(())
}

#[test]
fn all_images_of_a_store_are_verified_and_one_that_is_bad_does_not_hide_the_others() -> Result<()> {
    let (sealpack, _dir) = with_images_of(b"all verified")?;
    let documents = |output: &std::process::Output| -> Result<Vec<Value>> {
        let text = String::from_utf8(output.stdout.clone())?;
        serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>().map_err(Into::into)
    };
    let good = sealpack.run(["verify", "--all", "--json"])?;
    let names: Vec<Value> = documents(&good)?.iter().map(|report| report["name"].clone()).collect();
    assert_eq!(names, ["docker.io/library/one:latest", "docker.io/library/other:latest"]);
    // One object of the first image is lost.
    let only_one = |arguments: &[&str]| sealpack.json([&["ls", "-R"], arguments].concat());
    let listed = only_one(&["one"])?;
    let file = listed["files"].as_array().context("a list")?.iter().find(|file| file["path"] == "/one");
    let digest = file.context("/one is there")?["fsverity_digest"].as_str().context("a digest")?.to_owned();
    let (fan, rest) = digest.split_at(2);
    fs::remove_file(sealpack.store().join("objects").join(fan).join(rest))?;
    let bad = attempt(&mut sealpack.command(["verify", "--all", "--json"]))?;
    ensure!(bad.status.code() == Some(3), "{bad:?}");
    let verdicts: Vec<Value> = documents(&bad)?.iter().map(|report| report["good"].clone()).collect();
    assert_eq!(verdicts, [false, true]);
    ensure!(String::from_utf8(bad.stderr)?.contains("1 of 2 images failed"), "the last line sums up");
    Ok(())
}

#[test]
fn the_tags_of_a_repository_are_listed() -> Result<()> {
    let registry = sealpack_test_registry::Registry::start();
    let layer = sealpack_test_registry::ImageLayer::plain(&archive(&[]));
    let image = sealpack_test_registry::Image::new("linux/amd64", vec![layer]);
    for tag in ["1", "2", "latest"] {
        registry.put_image("prod/app", tag, &image);
    }
    registry.set_page_size(2);
    let sealpack = Sealpack::new()?;
    let repository = format!("{}/prod/app", registry.host());
    assert_eq!(String::from_utf8(sealpack.run(["tags", &repository])?.stdout)?, "1\n2\nlatest\n");
    let value = sealpack.json(["tags", &repository])?;
    assert_eq!((&value["repository"], &value["tags"][2]), (&repository.as_str().into(), &"latest".into()));
    let refused = attempt(&mut sealpack.command(["tags", &format!("{repository}:1")]))?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");
    ensure!(!sealpack.store().exists(), "no store is needed");
    Ok(())
}
