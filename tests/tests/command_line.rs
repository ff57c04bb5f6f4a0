//! The command line: verbs, exit statuses, JSON, help, man pages, completions.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, find, is_root, run, stdout};
use sealpack_tests::images;
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use sealpack_tests::program::{Sealpack, start, under_test};
use sealpack_tests::refusal::{Exit, judge_output};
use sealpack_tests::{paths, skip};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

const VERBS: [&str; 31] = [
    "pull",
    "images",
    "inspect",
    "tag",
    "tags",
    "history",
    "rollback",
    "verify",
    "rm",
    "mount",
    "umount",
    "mounts",
    "ls",
    "cat",
    "diff",
    "df",
    "gc",
    "fsck",
    "doctor",
    "metrics",
    "key",
    "policy",
    "trust",
    "seal",
    "convert",
    "compat",
    "generate",
    "host",
    "run",
    "bundle",
    "containerd",
];

/// A store with the images `one` and `other`, which share a layer.
fn with_images() -> Result<(Sealpack, tempfile::TempDir)> {
    with_images_of(b"")
}

/// As [`with_images`], for a test whose images have to be other ones than those of all other tests.
fn with_images_of(mark: &[u8]) -> Result<(Sealpack, tempfile::TempDir)> {
    let content = |seed: u8| [&[seed; 5000], mark].concat();
    let file = |path: &str, seed: u8| Entry::new(path, Member::File(content(seed)));
    let base = archive(&[
        Entry::new("usr/", Member::Directory),
        file("usr/common", 1),
        Entry::new("link", Member::Symlink("usr".to_owned())),
        Entry::new("null", Member::Character(1, 3)),
    ]);
    let (one, other) = (archive(&[file("one", 2), file("changed", 3)]), archive(&[file("changed", 4)]));
    let sealpack = Sealpack::new()?;
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    for (name, top) in [("one", one), ("other", other)] {
        let image =
            images::at(&dir.path().join(name), &[(base.clone(), Packing::Gzip), (top, Packing::Gzip)])?;
        sealpack.run(["pull", &image.source(), "--name", name])?;
    }
    Ok((sealpack, dir))
}

fn program(arguments: &[&str]) -> Result<Command> {
    let mut command = start(under_test()?);
    command.args(arguments);
    Ok(command)
}

/// Whether `value` has all of `keys`, each a path with dots.
fn has(value: &Value, keys: &[&str]) -> Result<()> {
    for key in keys {
        let found = value.pointer(&format!("/{}", key.replace('.', "/")));
        found.with_context(|| format!("{key} is not in {value:#}"))?;
    }
    Ok(())
}

fn is_hex(value: &Value, length: usize) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[test]
fn every_verb_has_help_with_an_example() -> Result<()> {
    for verb in VERBS {
        let text = stdout(&mut program(&[verb, "--help"])?)?;
        let (_, examples) =
            text.split_once("Examples:").with_context(|| format!("{verb} has no examples"))?;
        ensure!(examples.contains(&format!("sealpack {verb}")), "{verb}: {examples}");
        ensure!(text.contains("Usage: sealpack"), "{text}");
        // The short help fits in a glance, and is the same verb's.
        ensure!(stdout(&mut program(&[verb, "-h"])?)?.lines().count() <= text.lines().count());
        ensure!(stdout(&mut program(&["help", verb])?)? == text, "help {verb} is not {verb} --help");
    }
    Ok(())
}

#[test]
fn help_lists_every_verb_and_the_exit_statuses() -> Result<()> {
    let text = stdout(&mut program(&["--help"])?)?;
    for verb in VERBS {
        ensure!(
            text.lines().any(|line| line.trim_start().starts_with(&format!("{verb} "))),
            "{verb}: {text}"
        );
    }
    for word in ["0 done", "1 failed", "2 ", "3 refused", "--store", "--json", "--quiet", "--verbose"] {
        ensure!(text.contains(word), "{word}: {text}");
    }
    Ok(())
}

#[test]
fn examples_in_the_help_are_commands_that_the_program_understands() -> Result<()> {
    for verb in VERBS {
        // A command may go on behind a backslash, as in a shell.
        let text = stdout(&mut program(&[verb, "--help"])?)?.replace("\\\n", " ");
        let examples = text.lines().map(str::trim).filter(|line| line.starts_with("sealpack "));
        for example in examples {
            let command = example.split([';', '|', '>', '#']).next().unwrap_or_default();
            for part in command.split("&&") {
                // "--help" behind it has everything before it parsed, and nothing done; what follows "--" is a container's.
                let part = part.split(" -- ").next().unwrap_or(part);
                let words = part.split_whitespace().skip(1).map(|word| word.replace('…', &"0".repeat(64)));
                let arguments: Vec<String> = words.chain(["--help".to_owned()]).collect();
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                run(&mut program(&arguments)?).with_context(|| example.to_owned())?;
            }
        }
    }
    Ok(())
}

#[test]
fn the_version_is_that_of_the_package() -> Result<()> {
    let said = stdout(&mut program(&["--version"])?)?;
    assert_eq!(said, format!("sealpack {}", env!("CARGO_PKG_VERSION")));
    Ok(())
}

#[test]
fn wrong_usage_has_exit_status_2_and_leaves_standard_output_alone() -> Result<()> {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["pull"],
        &["images", "--no-such-option"],
        &["ls"],
        &["-q", "-v", "images"],
    ] {
        let output = attempt(&mut program(arguments)?)?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        ensure!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    Ok(())
}

#[test]
fn pull_answers_in_json() -> Result<()> {
    let (sealpack, dir) = with_images()?;
    let source = images::Image::in_layout(dir.path().join("one"), "latest").source();
    let mut command = sealpack.command(["--json", "pull", &source, "--name", "again"]);
    let output = run(&mut command)?;
    let value: Value = serde_json::from_slice(&output.stdout)?;
    has(&value, &["name", "manifest", "platform", "metadata_image.algorithm", "metadata_image.size_bytes"])?;
    has(
        &value,
        &["layers.1.diff_id", "layers_known", "added.objects", "added.object_bytes", "shared.objects"],
    )?;
    ensure!(is_hex(&value["metadata_image"]["fsverity_digest"], 64), "{value}");
    assert_eq!(value["layers_known"], 2);
    assert_eq!((&value["layers"][0]["number"], &value["layers"][2]), (&1.into(), &Value::Null));
    let progress = String::from_utf8(output.stderr)?;
    let events: Vec<Value> = progress.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((named("resolved"), named("layer_known"), named("image_stored")), (1, 2, 1), "{progress}");
    Ok(())
}

#[test]
fn a_first_pull_tells_of_its_layers_in_json() -> Result<()> {
    let (_, dir) = with_images()?;
    let sealpack = Sealpack::new()?;
    let source = images::Image::in_layout(dir.path().join("one"), "latest").source();
    let output = run(&mut sealpack.command(["--json", "pull", &source, "--name", "one"]))?;
    let progress = String::from_utf8(output.stderr)?;
    let events: Vec<Value> = progress.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for name in ["layer_started", "layer_stored"] {
        let of_kind: Vec<&Value> = events.iter().filter(|event| event["event"] == name).collect();
        assert_eq!(of_kind.len(), 2, "{progress}");
        has(of_kind[0], &["layer", "size_bytes"])?;
    }
    Ok(())
}

#[test]
fn images_and_inspect_answer_in_json() -> Result<()> {
    let (sealpack, _dir) = with_images()?;
    let value = sealpack.json(["images"])?;
    has(&value, &["store", "algorithm", "images.1.name", "images.0.manifest", "images.0.platform"])?;
    has(
        &value,
        &[
            "images.0.metadata_image.fsverity_digest",
            "images.0.object_bytes",
            "images.0.own_object_bytes",
            "images.0.pulled",
        ],
    )?;
    assert_eq!(value["images"].as_array().map(Vec::len), Some(2));
    let value = sealpack.json(["inspect", "one"])?;
    has(&value, &["name", "platform", "manifest", "config", "metadata_image.algorithm"])?;
    has(&value, &["layers.1.diff_id", "layers.0.blob", "layers.0.blob_size_bytes", "integrity"])?;
    has(&value, &["objects", "object_bytes", "manifest_document.layers", "config_document.rootfs.diff_ids"])?;
    ensure!(is_hex(&value["metadata_image"]["fsverity_digest"], 64), "{value}");
    assert_eq!(value["name"], "docker.io/library/one:latest");
    Ok(())
}

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

#[test]
fn files_and_differences_answer_in_json() -> Result<()> {
    let (sealpack, _dir) = with_images()?;
    let listed = sealpack.json(["ls", "-R", "one"])?;
    let of = |path: &str| {
        listed["files"].as_array().into_iter().flatten().find(|file| file["path"] == path).cloned()
    };
    let common = of("/usr/common").context("no /usr/common")?;
    has(&common, &["type", "mode", "uid", "gid", "mtime", "links", "size_bytes", "fsverity_digest"])?;
    assert_eq!(
        (&common["type"], &common["size_bytes"], &common["mode"]),
        (&"file".into(), &5000.into(), &"0644".into())
    );
    assert_eq!(of("/link").context("no /link")?["target"], "usr");
    assert_eq!(of("/null").context("no /null")?["device_number"]["minor"], 3);
    let value = sealpack.json(["diff", "one", "other"])?;
    has(
        &value,
        &["shared.objects", "shared.object_bytes", "only_first.object_bytes", "only_second.objects"],
    )?;
    let counts = ["files_added", "files_removed", "files_changed"].map(|key| value[key].as_u64());
    assert_eq!(counts, [Some(0), Some(1), Some(1)], "{value}");
    has(&value["differences"][0], &["path", "change", "differs_in"])?;
    assert_eq!(value["shared"]["objects"], 1);
    Ok(())
}

#[test]
fn names_gc_and_fsck_answer_in_json() -> Result<()> {
    // gc keeps what another test has mounted.
    let (sealpack, _dir) = with_images_of(b"not mounted")?;
    let value = sealpack.json(["tag", "one", "stable"])?;
    assert_eq!(value["name"], "docker.io/library/stable:latest");
    has(&value, &["metadata_image"])?;
    let value = sealpack.json(["rm", "one", "stable"])?;
    assert_eq!(value["removed_names"].as_array().map(Vec::len), Some(2), "{value}");
    let parts = ["objects", "images", "layers", "blobs", "partials", "temporaries"];
    let dry = sealpack.json(["gc", "--dry-run"])?;
    let wet = sealpack.json(["gc"])?;
    for part in parts {
        has(&dry["removed"], &[&format!("{part}.count"), &format!("{part}.size_bytes")])?;
    }
    has(&dry, &["total.count", "total.size_bytes"])?;
    let announced = (&dry["removed"], &dry["total"]);
    assert_eq!(announced, (&wet["removed"], &wet["total"]), "what was announced is not what was removed");
    assert_eq!((&dry["dry_run"], &wet["dry_run"]), (&true.into(), &false.into()));
    ensure!(wet["removed"]["objects"]["count"] == 2 && wet["removed"]["layers"]["count"] == 1, "{wet}");
    let value = sealpack.json(["fsck"])?;
    has(&value["checked"], &["objects.count", "objects.size_bytes", "images", "layers", "blobs", "names"])?;
    assert_eq!(value["problems"], Value::Array(vec![]));
    assert_eq!((&value["clean"], &value["checked"]["names"]["count"]), (&true.into(), &1.into()));
    Ok(())
}

#[test]
fn a_name_has_a_history_until_it_is_removed() -> Result<()> {
    let (sealpack, _dir) = with_images_of(b"with a history")?;
    let manifest =
        |name: &str| -> Result<Value> { Ok(sealpack.json(["inspect", name])?["manifest"].clone()) };
    let (one, other) = (manifest("one")?, manifest("other")?);
    sealpack.run(["tag", "one", "stable"])?;
    sealpack.run(["tag", "other", "stable"])?;
    let value = sealpack.json(["history", "stable"])?;
    has(&value, &["name", "current.platform", "earlier.0.metadata_image.size_bytes", "remembered_epoch"])?;
    assert_eq!((&value["current"]["manifest"], &value["earlier"][0]["manifest"]), (&other, &one));
    let text = String::from_utf8(sealpack.run(["history", "stable"])?.stdout)?;
    let places = [&other, &one].map(|manifest| text.find(manifest.as_str().unwrap_or("?")));
    ensure!(places[0].is_some() && places[0] < places[1] && text.starts_with("MANIFEST"), "{text}");

    sealpack.run(["rm", "one"])?;
    assert_eq!(sealpack.json(["gc"])?["total"]["count"], 0, "the image before is kept");
    let value = sealpack.json(["gc", "--keep-previous", "0"])?;
    ensure!(value["removed"]["earlier"]["count"] == 1 && value["removed"]["images"]["count"] == 1, "{value}");
    sealpack.run(["rm", "stable"])?;
    let refused = attempt(&mut sealpack.command(["history", "stable"]))?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        refused.status.code() == Some(1) && said.contains("knows nothing of docker.io/library/stable:latest"),
        "{said}"
    );
    Ok(())
}

#[test]
fn doctor_answers_in_json_and_without_a_store() -> Result<()> {
    let sealpack = Sealpack::new()?;
    let value = sealpack.json(["doctor"])?;
    has(
        &value,
        &["kernel", "store", "can.mount", "can.verified", "can.signed", "can.enforced", "can.rootless"],
    )?;
    has(&value["features"][0], &["name", "status", "detail", "why", "advice"])?;
    ensure!(!sealpack.store().exists(), "doctor has made a store");
    let text = String::from_utf8(sealpack.run(["doctor"])?.stdout)?;
    let kernel = value["kernel"].as_str().context("the kernel has a release")?;
    ensure!(text.contains(kernel) && text.contains("mount images"), "{text}");
    Ok(())
}

#[test]
fn mount_and_umount_answer_in_json() -> Result<()> {
    if !is_root() {
        skip("mounting needs the superuser");
        return Ok(());
    }
    let (sealpack, dir) = with_images()?;
    let target = dir.path().join("mnt");
    fs::create_dir(&target)?;
    let target = target.to_string_lossy();
    let plan = sealpack.json(["mount", "one", &target, "--plan"])?;
    has(&plan, &["plan"])?;
    let mounted = sealpack.json(["mount", "one", &target])?;
    let unmounted = sealpack.json(["umount", &target])?;
    has(
        &mounted,
        &["target", "metadata_image", "read_write", "level", "why_not_more", "loop_device", "mount_id"],
    )?;
    ensure!(["plain", "verified"].contains(&mounted["level"].as_str().unwrap_or_default()), "{mounted}");
    ensure!(mounted["level"] == "verified" || mounted["why_not_more"].is_string(), "{mounted}");
    has(&unmounted, &["target", "metadata_image"])?;
    assert_eq!(mounted["metadata_image"]["fsverity_digest"], sealpack.image_digest("one")?);
    assert_eq!(unmounted["metadata_image"], mounted["metadata_image"]);
    Ok(())
}

#[test]
fn an_image_can_be_named_by_the_beginning_of_its_digests() -> Result<()> {
    let (sealpack, _dir) = with_images()?;
    let shown = sealpack.json(["inspect", "one"])?;
    let manifest = shown["manifest"].as_str().context("a digest")?;
    let image = sealpack.image_digest("one")?;
    let bare = manifest.trim_start_matches("sha256:");
    for name in [
        manifest,
        bare,
        &bare[..12],
        &manifest[..7 + 12],
        &image,
        &image[..12],
        "docker.io/library/one:latest",
    ] {
        assert_eq!(sealpack.json(["inspect", name])?["name"], shown["name"], "{name}");
    }
    Ok(())
}

#[test]
fn quiet_leaves_only_the_result_and_verbose_says_more() -> Result<()> {
    let (sealpack, dir) = with_images()?;
    let source = images::Image::in_layout(dir.path().join("one"), "latest").source();
    let stderr_of = |option: &[&str]| -> Result<String> {
        let output = run(sealpack.command(["pull", &source, "--name", "again"]).args(option))?;
        ensure!(!output.stdout.is_empty(), "the result is missing");
        Ok(String::from_utf8(output.stderr)?)
    };
    let (quiet, usual, verbose) = (stderr_of(&["-q"])?, stderr_of(&[])?, stderr_of(&["-v"])?);
    assert_eq!(quiet, "");
    ensure!(usual.contains("in the store already") && verbose.len() >= usual.len(), "{usual}\n{verbose}");
    let output = run(&mut sealpack.command(["-v", "ls", "one"]))?;
    ensure!(String::from_utf8_lossy(&output.stderr).contains(&*sealpack.store().to_string_lossy()));
    Ok(())
}

#[test]
fn nothing_that_moves_the_cursor_is_written_where_there_is_no_terminal() -> Result<()> {
    let (sealpack, dir) = with_images()?;
    let other = Sealpack::new()?;
    let source = images::Image::in_layout(dir.path().join("one"), "latest").source();
    for output in [
        other.run(["pull", &source, "--name", "x"])?,
        sealpack.run(["doctor"])?,
        sealpack.attempt(["inspect", "no"])?,
    ] {
        for bytes in [&output.stdout, &output.stderr] {
            ensure!(
                !bytes.iter().any(|byte| [0x1b, b'\r'].contains(byte)),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
    Ok(())
}

#[test]
fn the_store_can_be_given_in_the_environment() -> Result<()> {
    let (sealpack, _dir) = with_images()?;
    let from_environment = stdout(program(&["images", "--json"])?.env("SEALPACK_STORE", sealpack.store()))?;
    assert_eq!(serde_json::from_str::<Value>(&from_environment)?, sealpack.json(["images"])?);
    Ok(())
}

/// Starts a command, reads a little of what it prints, and closes the pipe.
fn cut_short(mut command: Command) -> Result<()> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut pipe = child.stdout.take().context("a pipe")?;
    pipe.read_exact(&mut [0; 10])?;
    drop(pipe);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    Ok(())
}

#[test]
fn a_reader_that_has_enough_is_no_error() -> Result<()> {
    let sealpack = Sealpack::new()?;
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    // Far more than a pipe holds, in names and in one file.
    let mut entries = vec![Entry::new("large", Member::File(vec![b'x'; 2_000_000]))];
    let name = |number: usize| format!("{}-{number}", "a-rather-long-name".repeat(5));
    entries.extend((0..3000).map(|number| Entry::new(name(number), Member::Fifo)));
    let image = images::at(&dir.path().join("layout"), &[(archive(&entries), Packing::Gzip)])?;
    sealpack.run(["pull", &image.source(), "--name", "many"])?;
    for arguments in
        [&["ls", "many"][..], &["ls", "-lR", "many"], &["--json", "ls", "many"], &["cat", "many", "large"]]
    {
        cut_short(sealpack.command(arguments)).with_context(|| format!("{arguments:?}"))?;
    }
    let closed = "exec \"$@\" >&-";
    let mut command = Command::new("sh");
    let images = sealpack.command(["images"]);
    command.args(["-c", closed, "sh"]).arg(images.get_program()).args(images.get_args());
    run(&mut command).context("standard output closed from the start")?;
    Ok(())
}

#[test]
fn there_is_a_man_page_for_every_verb() -> Result<()> {
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    run(program(&["generate", "man"])?.arg(dir.path()))?;
    let page = |name: &str| dir.path().join(format!("{name}.1"));
    for name in VERBS.map(|verb| format!("sealpack-{verb}")).into_iter().chain(["sealpack".to_owned()]) {
        let text = fs::read_to_string(page(&name)).with_context(|| format!("no page {name}"))?;
        for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            ensure!(text.contains(part), "{name} has no {part}");
        }
        check_page(&page(&name))?;
    }
    let rules = dir.path().join("sealpack-rules.toml.5");
    let text = fs::read_to_string(&rules)?;
    for word in ["default", "prefix", "require", "signed_by", "all", "minimum_epoch", "digest", "mirrors"] {
        ensure!(text.contains(word), "the page about rules says nothing of {word}");
    }
    check_page(&rules)?;
    let settings = dir.path().join("sealpack.toml.5");
    let text = fs::read_to_string(&settings)?;
    // Each setting of the page in docs/, and its whole example.
    let documented = fs::read_to_string(paths::workspace().join("docs/sealpack.toml.md"))?;
    let keys: Vec<&str> =
        documented.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    ensure!(keys.contains(&"store") && keys.len() > 7, "{keys:?}");
    for key in keys {
        ensure!(text.contains(&format!(".TP\n\\fB{key}\\fR\n")), "the page about settings has no {key}");
    }
    for line in documented.lines().filter_map(|line| line.strip_prefix("    ")) {
        ensure!(text.lines().any(|other| other == line.replace('-', "\\-")), "no {line}");
    }
    check_page(&settings)
}

/// The rules of the man page's example are rules.
#[test]
fn the_example_of_the_man_page_about_rules_is_understood() -> Result<()> {
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    run(program(&["generate", "man"])?.arg(dir.path()))?;
    let page = fs::read_to_string(dir.path().join("sealpack-rules.toml.5"))?;
    let (_, example) = page.split_once(".SH EXAMPLES\n.nf\n").context("no example")?;
    let (example, _) = example.split_once(".fi").context("no end")?;
    fs::write(dir.path().join("rules.toml"), example)?;
    let listed = stdout(program(&["--json", "trust", "list", "--trust"])?.arg(dir.path()))?;
    let listed: Value = serde_json::from_str(&listed)?;
    ensure!(listed["missing_signers"].as_array().is_some_and(|missing| missing.len() == 2), "{listed}");
    Ok(())
}

/// Has man(1) read a page, where it is installed.
fn check_page(page: &Path) -> Result<()> {
    let (Some(man), Some(_)) = (find("man"), find("groff")) else {
        skip("man or groff is not installed");
        return Ok(());
    };
    let mut command = Command::new(man);
    command.args(["--warnings", "--local-file"]).arg(page).envs([("MANWIDTH", "80"), ("LC_ALL", "C.UTF-8")]);
    let output = run(&mut command)?;
    let warnings = String::from_utf8_lossy(&output.stderr);
    ensure!(warnings.is_empty() && output.stdout.len() > 200, "{}: {warnings}", page.display());
    Ok(())
}

#[test]
fn man_pages_for_a_directory_that_is_not_there_are_refused() -> Result<()> {
    let output = attempt(&mut program(&["generate", "man", "/no/such/directory"])?)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    ensure!(said.contains("/no/such/directory") && said.contains("No such file"), "{said}");
    ensure!(said.contains("hint: ") && said.contains("mkdir -p"), "{said}");
    Ok(())
}

#[test]
fn a_layout_or_a_key_that_is_not_there_is_named_with_what_it_would_be() -> Result<()> {
    let sealpack = Sealpack::new()?;
    let layout = ["cannot open /no/such/oci-layout", "hint: ", "a directory with the files oci-layout"];
    let key = ["cannot read /no/such.key", "hint: ", "`sealpack key new"];
    for (arguments, words) in
        [(["pull", "--quiet", "oci:/no/such"], layout), (["key", "show", "/no/such.key"], key)]
    {
        judge_output(&sealpack.attempt(arguments)?, Exit::Failed, &words)?;
    }
    Ok(())
}

#[test]
fn completions_are_scripts_that_their_shells_can_read() -> Result<()> {
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = stdout(&mut program(&["generate", "completions", shell])?)?;
        ensure!(script.contains("SEALPACK_COMPLETE") && script.contains("sealpack"), "{shell}: {script}");
        let Some(program) = find(shell) else {
            skip(format!("{shell} is not installed"));
            continue;
        };
        let path = dir.path().join(shell);
        fs::write(&path, &script)?;
        run(Command::new(program).arg(check).arg(&path))?;
    }
    Ok(())
}

/// What bash offers at the end of a line, as it takes that apart itself: at colons too, and where those stand, it keeps what is
/// before them.
#[test]
fn bash_completes_verbs_and_names_of_images_with_colons() -> Result<()> {
    let Some(bash) = find("bash") else {
        skip("bash is not installed");
        return Ok(());
    };
    let (sealpack, dir) = with_images()?;
    sealpack.run(["tag", "one", "localhost:5000/site/app:1"])?;
    sealpack.run(["tag", "one", "localhost:5000/site/app:2"])?;
    sealpack.run(["tag", "one", "docker.io/library/debian:12"])?;
    let script = stdout(&mut program(&["generate", "completions", "bash"])?)?;
    std::os::unix::fs::symlink(under_test()?, dir.path().join("sealpack"))?;
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH")?);
    let offered = |line: &str, words: &str| -> Result<String> {
        let ask = format!(
            "COMP_WORDBREAKS=$' \\t\\n\"\\'><=;|&(:' COMP_LINE='{line}' COMP_POINT={} COMP_WORDS=({words}) \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _sealpack; echo \"${{COMPREPLY[*]}}\"",
            line.len()
        );
        let mut bash = start(bash.as_os_str());
        bash.args(["--norc", "-c", &format!("{script}\n{ask}")]).env("PATH", &path);
        stdout(bash.env("SEALPACK_STORE", sealpack.store()))
    };
    assert_eq!(offered("sealpack um", "sealpack um")?, "umount");
    assert_eq!(
        offered("sealpack mount localhost", "sealpack mount localhost")?,
        "localhost:5000/site/app:1 localhost:5000/site/app:2"
    );
    // As much as is not there yet, behind the last colon.
    assert_eq!(
        offered("sealpack mount localhost:50", "sealpack mount localhost : 50")?,
        "5000/site/app:1 5000/site/app:2"
    );
    let tags = "sealpack rm localhost : 5000/site/app :";
    assert_eq!(offered("sealpack rm localhost:5000/site/app:", tags)?, "1 2");
    assert_eq!(offered("sealpack rm localhost:5000/site/app:2", &format!("{tags} 2"))?, "2");
    assert_eq!(offered("sealpack cat deb", "sealpack cat deb")?, "debian:12");
    // A store that is none is no error in the middle of a line.
    let none = format!("sealpack --store {} rm ", dir.path().join("none").display());
    let said = offered(&none, &format!("{none} ''"))?;
    ensure!(said.contains("--force") && !said.contains("app"), "{said}");
    Ok(())
}
