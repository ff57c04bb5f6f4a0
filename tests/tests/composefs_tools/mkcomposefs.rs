//! Options of `mkcomposefs`.

use crate::{ours, told};
use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};
use sealpack_tests::composefs::Tools;
use sealpack_tests::skip;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const DUMP: &str = "/ 0 40755 2 0 0 0 1.0 - - -\n/file 1 100644 1 0 0 0 2.0 - x -\n";
const WHITEOUT: &str = "/gone 0 20644 1 0 0 0 2.0 - - -\n";

struct Place {
    tools: Tools,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Result<Self> {
        Ok(Self { tools: Tools::ours()?, dir: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A directory `root` with some files.
    fn with_files() -> Result<Self> {
        let place = Self::new()?;
        fs::create_dir_all(place.path("root/sub"))?;
        fs::write(place.path("root/small"), "small\n")?;
        fs::write(place.path("root/sub/large"), vec![b'l'; 100_000])?;
        fs::hard_link(place.path("root/sub/large"), place.path("root/also"))?;
        Ok(place)
    }

    /// The dump of the image of `root`, made with these options.
    fn dump_with(&self, options: &[&str]) -> Result<String> {
        let (root, image) = (self.path("root"), self.path("image"));
        let paths = [root.as_os_str(), image.as_os_str()];
        self.tools.run("mkcomposefs", options.iter().map(AsRef::as_ref).chain(paths))?;
        self.dump(&image)
    }

    fn dump(&self, image: &Path) -> Result<String> {
        let output = self.tools.run("composefs-info", ["dump".as_ref(), image.as_os_str()])?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What is printed for a dump on standard input.
    fn with_input(&self, input: &str, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
        fs::write(self.path("input"), input)?;
        let mut command = self.tools.command("mkcomposefs", arguments);
        command.stdin(fs::File::open(self.path("input"))?).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(told(&command.output()?))
    }
}

/// The line of `path` in a dump, in fields.
fn line<'d>(dump: &'d str, path: &str) -> Result<Vec<&'d str>> {
    let mut lines = dump.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines.find(|fields| fields[0] == path).with_context(|| format!("no {path} in {dump}"))
}

#[test]
fn digests_are_printed_and_are_those_of_the_image_that_is_written() -> Result<()> {
    let place = Place::with_files()?;
    let (root, image) = (place.path("root"), place.path("image"));
    let (root, image) = (root.to_str().context("odd path")?, image.to_str().context("odd path")?);
    let (status, only, _) = ours("mkcomposefs", &["--print-digest-only", root])?;
    assert_eq!(status, Some(0));
    assert!(!Path::new(image).exists());
    let (_, printed, _) = ours("mkcomposefs", &["--print-digest", root, image])?;
    let (_, measured, _) = ours("composefs-info", &["measure-file", image])?;
    assert_eq!((&only, &printed), (&measured, &measured));
    assert_eq!(only.trim_end().len(), 64);
    // Without the option nothing is printed.
    assert_eq!(ours("mkcomposefs", &[root, image])?, (Some(0), String::new(), String::new()));
    Ok(())
}

#[test]
fn an_image_can_go_to_standard_output_with_its_digest_behind_it() -> Result<()> {
    let place = Place::with_files()?;
    let (root, image) = (place.path("root"), place.path("image"));
    place.tools.run("mkcomposefs", [&root, &image])?;
    let arguments = ["--print-digest".as_ref(), root.as_os_str(), "-".as_ref()];
    let printed = place.tools.run("mkcomposefs", arguments)?.stdout;
    let image = fs::read(image)?;
    assert_eq!(printed[..image.len()], image);
    assert_eq!(printed.len(), image.len() + 65);
    Ok(())
}

#[test]
fn a_dump_comes_from_a_file_or_standard_input() -> Result<()> {
    let place = Place::new()?;
    let (status, from_input, _) = place.with_input(DUMP, &["--from-file", "--print-digest-only", "-"])?;
    assert_eq!(status, Some(0));
    fs::write(place.path("dump"), DUMP)?;
    let path = place.path("dump");
    let (_, from_file, _) =
        ours("mkcomposefs", &["--from-file", "--print-digest-only", path.to_str().context("odd path")?])?;
    assert_eq!(from_input, from_file);
    Ok(())
}

#[test]
fn a_dump_is_read_strictly_when_the_environment_asks_for_it() -> Result<()> {
    let place = Place::new()?;
    fs::write(place.path("dump"), DUMP.trim_end())?;
    let path = place.path("dump");
    let arguments = ["--from-file".as_ref(), "--print-digest-only".as_ref(), path.as_os_str()];
    place.tools.run("mkcomposefs", arguments)?;
    let mut command = place.tools.command("mkcomposefs", arguments);
    let (status, _, err) = told(&command.env("CFS_PARSE_STRICT", "1").output()?);
    assert_eq!(status, Some(1));
    assert_eq!(err, "mkcomposefs: line 2: the newline at the end is missing; the dump may be cut off\n");
    Ok(())
}

#[test]
fn the_format_version_is_the_lowest_that_does_within_what_is_allowed() -> Result<()> {
    let place = Place::new()?;
    let version = |dump: &str, options: &[&str]| -> Result<u32> {
        let image = place.path("image");
        let arguments = [&["--from-file"], options, &["-", image.to_str().context("odd path")?]].concat();
        let (status, _, err) = place.with_input(dump, &arguments)?;
        assert_eq!((status, &*err), (Some(0), ""));
        Ok(u32::from_le_bytes(fs::read(image)?[12..16].try_into()?))
    };
    let with_whiteout = [DUMP, WHITEOUT].concat();
    assert_eq!(version(DUMP, &[])?, 0);
    assert_eq!(version(&with_whiteout, &[])?, 1);
    assert_eq!(version(DUMP, &["--min-version=1"])?, 1);
    assert_eq!(version(&with_whiteout, &["--max-version=0"])?, 0);
    assert_eq!(version(&with_whiteout, &["--max-version", "1"])?, 1);
    assert_eq!(version(&with_whiteout, &["--min-version=0"])?, 0);
    assert_eq!(version(DUMP, &["--min-version=0", "--max-version=1"])?, 0);
    for option in ["--min-version=2", "--max-version=2", "--min-version=-1"] {
        let (status, _, err) =
            place.with_input(DUMP, &["--from-file", "--print-digest-only", option, "-"])?;
        assert_eq!(status, Some(1), "{option}");
        assert!(err.starts_with("mkcomposefs: cannot write file: there is no format version"), "{err}");
    }
    Ok(())
}

#[test]
fn times_can_be_zero_and_hard_links_split() -> Result<()> {
    let place = Place::with_files()?;
    let plain = place.dump_with(&[])?;
    assert_ne!(line(&plain, "/small")?[7], "0.0");
    assert_eq!(line(&plain, "/sub/large")?[2], "@100644");
    assert_eq!(line(&plain, "/also")?[3], "2");
    let epoch = place.dump_with(&["--use-epoch"])?;
    assert!(epoch.lines().all(|line| line.split(' ').nth(7) == Some("0.0")), "{epoch}");
    let split = place.dump_with(&["--split-hard-links"])?;
    for path in ["/also", "/sub/large"] {
        let fields = line(&split, path)?;
        assert_eq!((fields[2], fields[3]), ("100644", "1"));
    }
    Ok(())
}

#[test]
fn attributes_and_devices_can_be_left_out() -> Result<()> {
    let place = Place::with_files()?;
    let file = place.path("root/small");
    if setxattr(&file, "user.kept", b"1", XattrFlags::empty()).is_err()
        || setxattr(&file, "trusted.other", b"2", XattrFlags::empty()).is_err()
    {
        skip("setting trusted attributes needs root and a filesystem that has them");
        return Ok(());
    }
    mknodat(CWD, place.path("root/device"), FileType::CharacterDevice, Mode::from(0o600), makedev(1, 3))?;
    let of = |options: &[&str]| -> Result<String> {
        let dump = place.dump_with(options)?;
        Ok(line(&dump, "/small")?[11..].join(" "))
    };
    assert_eq!(of(&[])?, "trusted.other=2 user.kept=1");
    assert_eq!(of(&["--user-xattrs"])?, "user.kept=1");
    assert_eq!(of(&["--skip-xattrs"])?, "");
    let both =
        place.tools.attempt("mkcomposefs", ["--skip-xattrs", "--user-xattrs", "--print-digest-only", "/"])?;
    assert_eq!(both.status.code(), Some(1));
    assert!(line(&place.dump_with(&[])?, "/device").is_ok());
    assert!(line(&place.dump_with(&["--skip-devices"])?, "/device").is_err());
    Ok(())
}

#[test]
fn contents_go_to_the_store_and_the_number_of_threads_changes_nothing() -> Result<()> {
    let place = Place::with_files()?;
    let store = place.path("deep/store");
    let option = format!("--digest-store={}", store.display());
    let one = place.dump_with(&[&option, "--threads=1"])?;
    let object = store.join(line(&one, "/also")?[8]);
    assert_eq!(fs::read(&object)?, vec![b'l'; 100_000]);
    assert_eq!(fs::read_dir(&store)?.count(), 1);
    assert_eq!(place.dump_with(&["--threads", "7"])?, one);
    // What is there already stays.
    let before = object.metadata()?.modified()?;
    place.dump_with(&[&option])?;
    assert_eq!(object.metadata()?.modified()?, before);
    Ok(())
}

#[test]
fn wrong_uses_are_told_as_by_the_c_tool() -> Result<()> {
    let usage = ours("mkcomposefs", &[])?.2.replace("No source path specified\n", "");
    assert!(usage.starts_with("Usage: mkcomposefs [OPTIONS] SOURCE IMAGE\nOptions:\n  --digest-store=PATH"));
    let lines: [(&[&str], &str); 8] = [
        (&["/source"], "No destination path specified\n"),
        (&["a", "b", "c"], "Too many arguments\n"),
        (&["--print-digest-only", "a", "b"], "Cannot specify destination path with --print-digest-only\n"),
        (&["--bogus", "a", "b"], ""),
        (&["--from-file=x", "a", "b"], ""),
        (&["--print", "a", "b"], ""),
        (&["-C", "a", "b"], ""),
        (&["-x", "a", "b"], ""),
    ];
    for (arguments, line) in lines {
        assert_eq!(ours("mkcomposefs", arguments)?, (Some(1), String::new(), format!("{line}{usage}")));
    }
    let short: [(&[&str], &str); 8] = [
        (&["a", "b", "--digest-store"], "option needs a value\n"),
        (&["--threads=0", "a", "b"], "Invalid threads count 0\n"),
        (&["--threads=x", "a", "b"], "Invalid threads count x\n"),
        (&["--min-version=", "a", "b"], "Invalid min version \n"),
        (&["--max-version=1.0", "a", "b"], "Invalid max version 1.0\n"),
        (&["", "b"], "mkcomposefs: Empty source path specified\n"),
        (
            &["--from-file", "/nonexistent", "b"],
            "mkcomposefs: open `/nonexistent`: No such file or directory\n",
        ),
        (&["--from-file", "/dev/null", "b"], "mkcomposefs: line 1: the dump has no entries\n"),
    ];
    for (arguments, text) in short {
        assert_eq!(ours("mkcomposefs", arguments)?, (Some(1), String::new(), text.to_owned()));
    }
    Ok(())
}

#[test]
fn what_fails_leaves_the_target_as_it_was() -> Result<()> {
    let place = Place::new()?;
    let image = place.path("image");
    fs::write(&image, "before")?;
    let target = image.to_str().context("odd path")?;
    let (status, _, err) = place.with_input("/ 0 40755\nbad\n", &["--from-file", "-", target])?;
    assert_eq!(status, Some(1));
    assert!(err.starts_with("mkcomposefs: line "), "{err}");
    assert_eq!(fs::read(&image)?, b"before");
    let missing = place.path("missing/image");
    let (status, _, err) =
        place.with_input(DUMP, &["--from-file", "-", missing.to_str().context("odd path")?])?;
    assert_eq!(status, Some(1));
    assert_eq!(err, "mkcomposefs: failed to open output file: No such file or directory\n");
    Ok(())
}

#[test]
fn an_image_goes_into_a_pipe_or_a_device_which_stays_what_it_is() -> Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let place = Place::new()?;
    let [dump, image, pipe, device] = ["dump", "image", "pipe", "device"].map(|name| place.path(name));
    fs::write(&dump, DUMP)?;
    let into = |target: &Path| {
        place.tools.run("mkcomposefs", ["--from-file".as_ref(), dump.as_os_str(), target.as_os_str()])
    };
    into(&image)?;
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    let bytes = std::thread::scope(|scope| -> Result<Vec<u8>> {
        let reader = scope.spawn(|| fs::read(&pipe));
        into(&pipe)?;
        Ok(reader.join().expect("the reader")?)
    })?;
    assert_eq!(bytes, fs::read(&image)?);
    assert!(pipe.symlink_metadata()?.file_type().is_fifo());
    // As /dev/null is one.
    let null = mknodat(CWD, &device, FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 3));
    if null.is_err() || fs::OpenOptions::new().write(true).open(&device).is_err() {
        skip("devices cannot be made here");
        return Ok(());
    }
    into(&device)?;
    assert!(device.symlink_metadata()?.file_type().is_char_device());
    Ok(())
}
