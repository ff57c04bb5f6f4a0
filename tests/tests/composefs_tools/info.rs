//! `composefs-info` and `composefs-dump`.

use crate::ours;
use anyhow::{Context, Result};
use sealpack_tests::composefs::Tools;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

const DIGEST: &str = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";

fn dump() -> String {
    let object = format!("ab/{}", &DIGEST[2..]);
    format!(
        "/ 0 40755 3 0 0 0 1.0 - - -\n\
         /dir 0 40755 2 0 0 0 1.0 - - -\n\
         /dir/a\\x20file 700 100644 1 0 0 0 1.0 {object} - {DIGEST}\n\
         /dir/other 700 100644 1 0 0 0 1.0 00/there - -\n\
         /link 3 120777 1 0 0 0 1.0 dir - -\n"
    )
}

/// A directory with the image `image` of [`dump`].
fn with_image() -> Result<(tempfile::TempDir, String)> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("dump"), dump())?;
    let (dump, image) = (dir.path().join("dump"), dir.path().join("image"));
    Tools::ours()?.run("mkcomposefs", ["--from-file".as_ref(), dump.as_os_str(), image.as_os_str()])?;
    let image = image.to_str().context("odd path")?.to_owned();
    Ok((dir, image))
}

fn printed(arguments: &[&str]) -> Result<String> {
    let (status, out, err) = ours("composefs-info", arguments)?;
    assert_eq!((status, &*err), (Some(0), ""));
    Ok(out)
}

#[test]
fn images_are_listed_and_dumped_whole_or_by_names_in_the_root() -> Result<()> {
    let (_dir, image) = with_image()?;
    let object = format!("ab/{}", &DIGEST[2..]);
    let listed = format!("/dir/\t\n/dir/a file\t@ {object}\n/dir/other\t@ 00/there\n/link\t-> dir\n");
    assert_eq!(printed(&["ls", &image])?, listed);
    assert_eq!(printed(&["ls", "--filter=link", &image])?, "/link\t-> dir\n");
    assert_eq!(printed(&["--filter", "link", "--filter=dir", "ls", &image])?, listed);
    assert_eq!(printed(&["ls", &image, &image])?, listed.repeat(2));
    let sizes = dump().replace("/ 0 40755", "/ 4096 40755").replace("/dir 0 40755", "/dir 65 40755");
    let dumped = printed(&["dump", &image])?;
    assert_eq!(dumped.lines().count(), sizes.lines().count());
    assert!(dumped.starts_with("/ 4096 40755 3 0 0 0 1.0 - - -\n/dir "), "{dumped}");
    assert!(dumped.ends_with("\n/link 3 120777 1 0 0 0 1.0 dir - -\n"), "{dumped}");
    assert_eq!(printed(&["--filter=nothing", "dump", &image])?, "/ 4096 40755 3 0 0 0 1.0 - - -\n");
    Ok(())
}

#[test]
fn objects_are_listed_once_and_missing_ones_are_those_not_in_the_base_directory() -> Result<()> {
    let (dir, image) = with_image()?;
    let object = format!("ab/{}", &DIGEST[2..]);
    assert_eq!(printed(&["objects", &image, &image])?, format!("00/there\n{object}\n"));
    assert_eq!(printed(&["missing-objects", &image])?, format!("00/there\n{object}\n"));
    fs::create_dir_all(dir.path().join("base/00"))?;
    fs::write(dir.path().join("base/00/there"), "")?;
    let base = format!("--basedir={}", dir.path().join("base").display());
    assert_eq!(printed(&[&base, "missing-objects", &image])?, format!("{object}\n"));
    assert_eq!(printed(&["missing-objects", &image, &base, "--filter=link"])?, "");
    Ok(())
}

#[test]
fn files_are_measured() -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("1"), "hello world\n")?;
    fs::write(dir.path().join("2"), "foo bar baz\n")?;
    let paths = ["1", "2"].map(|name| dir.path().join(name).to_string_lossy().into_owned());
    // As fsverity(1) says.
    let expected = "37061ef2ac4c21bec68489b56138c5780306a4ad7fe6676236ecdf2c9027cd92\n\
                    91e7d88cb7bc9cf6d8db3b0ecf89af4abf204bef5b3ade5113d5b62ef374e70b\n";
    assert_eq!(printed(&["measure-file", &paths[0], &paths[1]])?, expected);
    let (status, _, err) = ours("composefs-info", &["measure-file", "/"])?;
    assert_eq!((status, &*err), (Some(1), "failed to measure '/': Is a directory\n"));
    Ok(())
}

#[test]
fn wrong_uses_are_told_as_by_the_c_tool() -> Result<()> {
    let (_dir, image) = with_image()?;
    let usage =
        "usage: composefs-info [--basedir=path] [ls|objects|dump|missing-objects|measure-file] IMAGES...\n";
    let with_usage: [(&[&str], &str); 5] = [
        (&[], "No command specified"),
        (&["ls"], "No image path specified"),
        (&["measure-file"], "No files specified"),
        (&["--bogus", "ls"], "composefs-info: unrecognized option '--bogus'"),
        (&["ls", "--basedir"], "composefs-info: option '--basedir' requires an argument"),
    ];
    for (arguments, line) in with_usage {
        let told = ours("composefs-info", arguments)?;
        assert_eq!((told.0, told.2), (Some(1), format!("{line}\n{usage}")));
    }
    let plain: [(&[&str], &str); 5] = [
        (&["bogus", &image], "Unknown command 'bogus'"),
        (&["--filter=a/b", "ls", &image], "Filter must be a single name: a/b"),
        (
            &["--basedir=/nonexistent", "missing-objects", &image],
            "Can't open basedir `/nonexistent`: No such file or directory",
        ),
        (&["ls", "/nonexistent"], "Failed to open '/nonexistent': No such file or directory"),
        (&["measure-file", "/nonexistent"], "Failed to open '/nonexistent': No such file or directory"),
    ];
    for (arguments, line) in plain {
        let told = ours("composefs-info", arguments)?;
        assert_eq!(told, (Some(1), String::new(), format!("composefs-info: {line}\n")));
    }
    Ok(())
}

#[test]
fn what_is_no_image_is_refused_by_what_it_is() -> Result<()> {
    let (dir, image) = with_image()?;
    let mut bytes = fs::read(&image)?;
    bytes[12] = 2;
    let other = dir.path().join("other").to_string_lossy().into_owned();
    fs::write(&other, &bytes)?;
    for command in ["ls", "dump", "objects", "missing-objects"] {
        let (status, out, err) = ours("composefs-info", &[command, &other])?;
        assert_eq!((status, &*out), (Some(1), ""));
        assert!(err.contains("composefs-rs's own format 2"), "{err}");
    }
    let (status, _, err) = ours("composefs-dump", &[&other, &image])?;
    assert_eq!(status, Some(1));
    assert!(err.contains("composefs-rs's own format 2"), "{err}");
    fs::write(&other, "something")?;
    let (status, _, err) = ours("composefs-info", &["ls", &other])?;
    assert_eq!(status, Some(1));
    assert!(err.starts_with(&format!("composefs-info: Failed to load '{other}': ")), "{err}");
    Ok(())
}

#[test]
fn an_image_is_written_again_in_its_version() -> Result<()> {
    let (dir, image) = with_image()?;
    let again = dir.path().join("again").to_string_lossy().into_owned();
    for version in ["0", "1"] {
        let dump = dir.path().join("dump").to_string_lossy().into_owned();
        let version = format!("--min-version={version}");
        ours("mkcomposefs", &["--from-file", &version, &dump, &image])?;
        assert_eq!(ours("composefs-dump", &[&image, &again])?, (Some(0), String::new(), String::new()));
        assert_eq!(fs::read(&image)?, fs::read(&again)?);
    }
    let usage = "usage: composefs-dump SRC DEST\n";
    let told = ours("composefs-dump", &[])?;
    assert_eq!((told.0, told.2), (Some(1), format!("No source path specified\n{usage}")));
    let told = ours("composefs-dump", &[&image])?;
    assert_eq!((told.0, told.2), (Some(1), format!("No destination path specified\n{usage}")));
    let told = ours("composefs-dump", &["/nonexistent", &again])?;
    let line = "composefs-dump: Failed to open '/nonexistent': No such file or directory\n";
    assert_eq!((told.0, &*told.2), (Some(1), line));
    Ok(())
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() -> Result<()> {
    let (_dir, image) = with_image()?;
    let tools = Tools::ours()?;
    let mut command = tools.command("composefs-info", ["ls", &image]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    // As a shell shows the end by SIGPIPE; where the output was faster, all is well.
    assert!(matches!(output.status.code(), Some(141 | 0)), "{:?}", output.status.signal());
    assert_eq!(output.stderr, b"");
    Ok(())
}
