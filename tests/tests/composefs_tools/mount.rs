//! `mount.composefs`.

use crate::{ours, told};
use anyhow::{Context, Result};
use sealpack_tests::command::{attempt, is_root, run};
use sealpack_tests::composefs::Tools;
use sealpack_tests::{paths, skip};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

/// An image with an object, and directories to mount it with. Unmounts what was mounted.
struct Place {
    tools: Tools,
    dir: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nothing is mounted in most tests.
        _ = attempt(Command::new("umount").arg("--lazy").arg(self.path("target")));
    }
}

impl Place {
    fn new() -> Result<Self> {
        let parent = paths::target().join("mounts");
        fs::create_dir_all(&parent)?;
        let place = Self { tools: Tools::ours()?, dir: tempfile::tempdir_in(parent)? };
        for name in ["root", "target", "upper", "work", "empty"] {
            fs::create_dir(place.path(name))?;
        }
        fs::write(place.path("root/file"), vec![b'x'; 5000])?;
        let store = format!("--digest-store={}", place.path("objects").display());
        let (root, image) = (place.path("root"), place.path("image"));
        place.tools.run("mkcomposefs", [store.as_ref(), root.as_os_str(), image.as_os_str()])?;
        Ok(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Mounts with these options beside `basedir`. Tells how that ended.
    fn mount(&self, options: &str) -> Result<(Option<i32>, String, String)> {
        let (empty, objects) = (self.path("empty"), self.path("objects"));
        let options = format!("basedir={}:{}{options}", empty.display(), objects.display());
        let (image, target) = (self.path("image"), self.path("target"));
        let arguments = ["-o".as_ref(), options.as_ref(), image.as_os_str(), target.as_os_str()];
        Ok(told(&self.tools.attempt("mount.composefs", arguments)?))
    }

    /// Whether an image can be mounted here; says why not.
    fn can_mount(&self) -> Result<bool> {
        if !is_root() {
            skip("mounting needs root");
            return Ok(false);
        }
        let filesystems = fs::read_to_string("/proc/filesystems")?;
        let has = |name| filesystems.lines().any(|line| line.ends_with(name));
        if !has("erofs") || !has("overlay") {
            skip("the kernel has no EROFS or no overlayfs loaded");
            return Ok(false);
        }
        Ok(true)
    }

    fn unmount(&self) -> Result<()> {
        run(Command::new("umount").arg(self.path("target"))).map(drop)
    }
}

const DONE: (Option<i32>, String, String) = (Some(0), String::new(), String::new());

#[test]
fn images_are_mounted_with_the_options_given() -> Result<()> {
    let place = Place::new()?;
    if !place.can_mount()? {
        return Ok(());
    }
    let file = place.path("target/file");
    for options in ["", ",rw", ",ro,nosuid,nodev,noexec"] {
        assert_eq!(place.mount(options)?, DONE, "{options}");
        assert_eq!(fs::read(&file)?, vec![b'x'; 5000]);
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let target = place.path("target").canonicalize()?;
        let line = mounts.lines().find(|line| line.contains(&*target.to_string_lossy()));
        let line = line.context("it is not mounted")?;
        assert!(line.starts_with("composefs "), "{line}");
        assert_eq!(line.contains("nosuid,nodev,noexec"), options.contains("nosuid"), "{line}");
        place.unmount()?;
    }
    let writable =
        format!(",upperdir={},workdir={}", place.path("upper").display(), place.path("work").display());
    assert_eq!(place.mount(&writable)?, DONE);
    fs::write(place.path("target/new"), "new")?;
    assert_eq!(fs::read(place.path("upper/new"))?, b"new");
    place.unmount()?;
    assert_eq!(place.mount(&format!("{writable},ro"))?, DONE);
    assert!(fs::write(place.path("target/new"), "again").is_err());
    place.unmount()
}

#[test]
fn with_verity_files_need_it() -> Result<()> {
    let place = Place::new()?;
    if !place.can_mount()? {
        return Ok(());
    }
    for option in [",verity", ",tryverity"] {
        assert_eq!(place.mount(option)?, DONE);
        match fs::read(place.path("target/file")) {
            Ok(content) => assert_eq!(content, vec![b'x'; 5000]),
            // The object has no fs-verity where the filesystem has none.
            Err(error) => assert_eq!(error.raw_os_error(), Some(5)),
        }
        place.unmount()?;
    }
    Ok(())
}

#[test]
fn owners_can_be_mapped() -> Result<()> {
    let place = Place::new()?;
    if !place.can_mount()? {
        return Ok(());
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-users=0,100000,1000", "--map-groups=0,100000,1000", "sleep", "60"]);
    let Ok(mut child) = unshare.spawn() else {
        skip("unshare(1) is not installed");
        return Ok(());
    };
    let map = format!("/proc/{}/uid_map", child.id());
    let is_mapped = (0..300).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        fs::read_to_string(&map).is_ok_and(|map| map.contains("100000"))
    });
    let mounted = place.mount(&format!(",idmap=/proc/{}/ns/user", child.id()))?;
    child.kill()?;
    child.wait()?;
    if !is_mapped {
        skip("this unshare(1) maps no ranges of users");
        return Ok(());
    }
    assert_eq!(mounted, DONE);
    let owner = fs::metadata(place.path("root/file"))?.uid();
    assert_eq!(fs::metadata(place.path("target/file"))?.uid(), owner + 100_000);
    place.unmount()
}

#[test]
fn an_image_must_have_the_digest_asked_for() -> Result<()> {
    let place = Place::new()?;
    let (status, _, err) = place.mount(&format!(",digest={}", "a".repeat(64)))?;
    assert_eq!(status, Some(1));
    let image = place.path("image");
    assert_eq!(
        err,
        format!("mount.composefs: Failed to mount composefs {}: Image has no fs-verity\n", image.display())
    );
    Ok(())
}

#[test]
fn wrong_uses_are_told_as_by_the_c_tool() -> Result<()> {
    let (status, out, usage) = ours("mount.composefs", &["-h"])?;
    assert_eq!((status, &*out), (Some(0), ""));
    assert!(
        usage.starts_with("usage: mount.composefs [-t type] [-o opt[,opts..]] IMAGE MOUNTPOINT\nExample:\n")
    );
    let with_usage: [(&[&str], &str); 5] = [
        (&[], "No source path specified"),
        (&["image"], "No mount path specified"),
        (&["image", "target"], "No object dirs specified"),
        (&["-x"], "mount.composefs: invalid option -- 'x'"),
        (&["-o"], "mount.composefs: option requires an argument -- 'o'"),
    ];
    for (arguments, line) in with_usage {
        let told = ours("mount.composefs", arguments)?;
        assert_eq!(told, (Some(1), String::new(), format!("{line}\n{usage}")));
    }
    let plain: [(&[&str], &str); 6] = [
        (&["-t", "ext4", "i", "t"], "Unsupported fs type 'ext4'"),
        (&["-o", "bogus", "i", "t"], "Unsupported option bogus"),
        (&["-o", "basedir", "i", "t"], "No value specified for basedir option"),
        (&["-o", "basedir=/a::/b", "i", "t"], "Value for basedir option has incorrect format"),
        (&["-o", "basedir=/a,upperdir=/u", "i", "t"], "Both workdir and upperdir must be specified if used"),
        (
            &["-t", "composefs", "-o", "basedir=/", "/nonexistent", "/"],
            "Failed to mount composefs /nonexistent: \"/nonexistent\": No such file or directory (os error 2)",
        ),
    ];
    for (arguments, line) in plain {
        let told = ours("mount.composefs", arguments)?;
        assert_eq!(told, (Some(1), String::new(), format!("mount.composefs: {line}\n")));
    }
    Ok(())
}
