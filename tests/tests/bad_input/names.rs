//! Names, references, paths and options that mean nothing.

use crate::support::*;
use anyhow::Result;
use sealpack_tests::refusal::{Exit, judge};

/// Every use of an image that is not there, with a directory to mount on.
fn uses<'a>(name: &'a str, dir: &'a str) -> Vec<Vec<&'a str>> {
    vec![
        vec!["inspect", name],
        vec!["tag", name, "better"],
        vec!["rm", name],
        vec!["rm", "--force", name],
        vec!["rm", "good", name],
        vec!["mount", name, dir],
        vec!["ls", name],
        vec!["cat", name, "/etc/motd"],
        vec!["diff", "good", name],
        vec!["diff", name, "good"],
    ]
}

#[test]
fn an_image_that_the_store_does_not_have_is_named_in_full() -> Result<()> {
    let case = Case::new()?;
    let dir = case.directory("mnt")?.to_string_lossy().into_owned();
    for (name, full) in [("none", "docker.io/library/none:latest"), ("quay.io/a/b:c", "quay.io/a/b:c")] {
        for arguments in uses(name, &dir) {
            case.sealpack.refuses(
                Exit::Failed,
                arguments,
                &["no image", full, "hint: ", "sealpack images"],
            )?;
        }
    }
    Ok(())
}

#[test]
fn a_name_that_can_be_no_image_is_wrong_usage() -> Result<()> {
    let case = Case::new()?;
    let dir = case.directory("mnt")?.to_string_lossy().into_owned();
    for arguments in uses("Upper/Case", &dir) {
        case.sealpack.refuses(Exit::Usage, arguments, &["Upper/Case", "lower case"])?;
    }
    Ok(())
}

#[test]
fn references_that_are_none_are_wrong_usage() -> Result<()> {
    let case = Case::new()?;
    let source = case.layout(&good_image())?;
    let too_long = format!("a/{}", "b".repeat(300));
    for (reference, word) in [
        ("", "empty"),
        ("library/UPPER", "lower case"),
        ("https://registry.example/app", "URL"),
        ("app:", "tag"),
        ("app:a b", "tag"),
        ("a//b", "part"),
        ("-app", "unexpected argument"),
        ("host:0/app", "port"),
        ("host:99999/app", "port"),
        ("app@sha256:1234", "sha256:1234"),
        ("app@md5:d41d8cd98f00b204e9800998ecf8427e", "md5"),
        (&"a".repeat(64), "image's ID"),
        (&too_long, "255"),
        ("app\n", "part"),
    ] {
        case.sealpack.refuses(Exit::Usage, ["pull", reference], &[word])?;
        case.sealpack.refuses(Exit::Usage, ["pull", &source, "--name", reference], &[word])?;
        case.sealpack.refuses(Exit::Usage, ["tag", "good", reference], &[word])?;
    }
    Ok(())
}

#[test]
fn sources_that_are_none_are_wrong_usage_with_what_to_write() -> Result<()> {
    let case = Case::new()?;
    let source = case.layout(&good_image())?;
    let dir = source.trim_start_matches("oci:").trim_end_matches(&format!(":{TAG}")).to_owned();
    case.sealpack.refuses(Exit::Usage, ["pull", &dir], &[&dir, &format!("oci:{dir}")])?;
    case.sealpack.refuses(Exit::Usage, ["pull", &format!("oci:{dir}:")], &["no tag"])?;
    case.sealpack.refuses(Exit::Usage, ["pull", &format!("oci:{dir}@sha256:12")], &["sha256:12"])?;
    case.sealpack.refuses(
        Exit::Usage,
        ["pull", "containers-storage:x"],
        &["containers-storage", "not supported"],
    )?;
    case.sealpack.refuses(Exit::Usage, ["pull", "dir:/tmp"], &["dir", "not supported"])
}

#[test]
fn sources_that_are_not_there_are_named_with_the_reason() -> Result<()> {
    let case = Case::new()?;
    for transport in ["oci", "oci-archive", "docker-archive"] {
        let source = format!("{transport}:/no/such/place");
        case.sealpack.refuses(Exit::Failed, ["pull", &source], &["/no/such/place", "No such file"])?;
    }
    let file = case.path("file");
    std::fs::write(&file, text(110, 3000))?;
    let file = file.to_string_lossy();
    case.sealpack.refuses(Exit::Failed, ["pull", &format!("oci:{file}")], &[&file, "Not a directory"])?;
    for transport in ["oci-archive", "docker-archive"] {
        case.sealpack.refuses(Exit::Failed, ["pull", &format!("{transport}:{file}")], &[&file, "tar"])?;
    }
    Ok(())
}

#[test]
fn options_that_mean_nothing_are_wrong_usage() -> Result<()> {
    let case = Case::new()?;
    let source = case.layout(&good_image())?;
    let dir = case.directory("mnt")?.to_string_lossy().into_owned();
    for (arguments, words) in [
        (&["pull", "--platform", "linux", &source][..], &["--platform", "OS/ARCHITECTURE"][..]),
        (&["pull", "--platform", "linux/arm/v7/x", &source], &["--platform", "linux/arm/v7/x"]),
        (&["pull", "--digest", "md5", &source], &["--digest", "md5"]),
        (&["pull", "--mirror", "not a host", &source], &["--mirror", "not a host"]),
        (&["mount", "good", &dir, "--upper", &dir], &["--work"]),
        (&["mount", "good", &dir, "--work", &dir], &["--upper"]),
        (&["mount", "good", &dir, "--read-only"], &["--upper"]),
        (&["mount", "good", &dir, "--require", "perfect"], &["--require", "perfect"]),
        (&["mount", "good"], &["TARGET"]),
        (&["fsck", "--threads", "0"], &["--threads", "0"]),
        (&["gc", "--wait", "soon"], &["--wait", "soon"]),
        (&["rm"], &["IMAGES"]),
        (&["images", "-q", "-v"], &["--quiet", "--verbose"]),
        (&["frobnicate"], &["frobnicate"]),
        (&["generate", "completions", "tcsh"], &["tcsh"]),
    ] {
        case.sealpack.refuses(Exit::Usage, arguments, words)?;
    }
    Ok(())
}

#[test]
fn paths_that_the_image_does_not_have_are_named() -> Result<()> {
    let case = Case::new()?;
    for path in ["/no/such/file", "/etc/to-nowhere", "/etc/circle", "/etc/motd/below"] {
        for verb in ["cat", "ls"] {
            case.sealpack.refuses(Exit::Failed, [verb, "good", path], &["good", path])?;
        }
    }
    Ok(())
}

#[test]
fn what_is_no_file_cannot_be_printed() -> Result<()> {
    let case = Case::new()?;
    for (path, kind) in
        [("/", "directory"), ("/etc", "directory"), ("/etc/fifo", "fifo"), ("/etc/null", "device")]
    {
        case.sealpack.refuses(Exit::Failed, ["cat", "good", path], &[path, kind, "not a file"])?;
    }
    Ok(())
}

#[test]
fn links_and_climbing_paths_end_at_the_images_root() -> Result<()> {
    let case = Case::new()?;
    for path in ["/etc/link", "/../../etc/motd", "etc/motd", "/usr/../etc/link"] {
        assert_eq!(case.sealpack.run(["cat", "good", path])?.stdout, text(1, 5000).as_bytes(), "{path}");
    }
    Ok(())
}

/// For those who read standard error with a program.
#[test]
fn with_json_an_error_is_one_json_object_on_standard_error() -> Result<()> {
    let case = Case::new()?;
    let registry = sealpack_test_registry::Registry::start();
    let missing = format!("{}/no/such:image", registry.host());
    for (arguments, status, kind) in [
        (&["--json", "inspect", "none"][..], 1, "failed"),
        (&["inspect", "--json", "Upper"], 2, "usage"),
        (&["pull", "--json", &missing], 1, "failed"),
    ] {
        let output = case.sealpack.command(arguments).output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(output.stdout.is_empty());
        let values: Vec<serde_json::Value> =
            said.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let errors: Vec<_> = values.iter().filter_map(|value| value.get("error")).collect();
        assert_eq!(errors.len(), 1, "{said}");
        assert_eq!(errors[0]["kind"], kind);
        assert!(errors[0]["message"].as_str().is_some_and(|message| !message.is_empty()), "{said}");
    }
    Ok(())
}

#[test]
fn an_index_of_a_removed_image_is_no_name_any_more() -> Result<()> {
    let case = Case::new()?;
    case.sealpack.run(["rm", "good"])?;
    judge(&mut case.sealpack.command(["rm", "good"]), Exit::Failed, &["no image", "library/good"])?;
    case.sealpack.state().map(drop)
}
