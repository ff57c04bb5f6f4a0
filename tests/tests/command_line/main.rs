//! The command line: verbs, exit statuses, JSON, help.

mod pages;
mod store;

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, is_root, run, stdout};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use sealpack_tests::program::{Sealpack, start, under_test};
use sealpack_tests::refusal::{Exit, judge_output};
use sealpack_tests::{images, paths, skip};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

pub(crate) const VERBS: [&str; 34] = [
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
    "report",
    "key",
    "policy",
    "trust",
    "seal",
    "convert",
    "save",
    "load",
    "compat",
    "generate",
    "host",
    "run",
    "bundle",
    "containerd",
];

/// A store with the images `one` and `other`, which share a layer.
pub(crate) fn with_images() -> Result<(Sealpack, tempfile::TempDir)> {
    with_images_of(b"")
}

/// As [`with_images`], for a test whose images have to be other ones than those of all other tests.
pub(crate) fn with_images_of(mark: &[u8]) -> Result<(Sealpack, tempfile::TempDir)> {
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

pub(crate) fn program(arguments: &[&str]) -> Result<Command> {
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
