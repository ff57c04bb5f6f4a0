//! Mounted images, looked at through the kernel. These need the superuser.

use anyhow::{Context, Result};
use sealpack_tests::command::{attempt, find, is_root, run, stdout};
use sealpack_tests::images::{self, Image};
use sealpack_tests::program::Sealpack;
use sealpack_tests::skip;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An image in a store of its own, mounted until this is dropped.
struct Mounted {
    target: PathBuf,
    sealpack: Sealpack,
}

impl Mounted {
    fn new(image: &Image) -> Result<Self> {
        let sealpack = Sealpack::new()?;
        sealpack.run(["pull", &image.source(), "--name", "image"])?;
        let target = sealpack.store().with_file_name("mnt");
        fs::create_dir(&target)?;
        let mounted = Self { target, sealpack };
        mounted.sealpack.run(["mount".as_ref(), "image".as_ref(), mounted.target.as_os_str()])?;
        Ok(mounted)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.target.join(path)
    }

    fn metadata(&self, path: &str) -> Result<fs::Metadata> {
        self.path(path).symlink_metadata().with_context(|| format!("{path} is not in the image"))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // So that the store can be removed; a test that unmounts has done so already.
        let _ = attempt(Command::new("umount").arg("--quiet").arg(&self.target));
    }
}

/// Whether images can be mounted here; says so if not.
fn can_mount() -> bool {
    if !is_root() {
        skip("mounting needs the superuser");
    }
    is_root()
}

fn permissions(metadata: &fs::Metadata) -> u32 {
    metadata.mode() & 0o7777
}

#[test]
fn every_kind_of_file_is_mounted_as_the_layers_have_it() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let mounted = Mounted::new(&images::oddities()?)?;
    let large = mounted.metadata("sizes/3145745")?;
    assert_eq!((large.len(), permissions(&large)), (3_145_745, 0o644));
    assert_eq!(fs::read(mounted.path("sizes/524289-zeros"))?, vec![0; 524_289]);
    for length in [0, 1, 63, 64, 65, 4095, 4096, 4097] {
        assert_eq!(fs::read(mounted.path(&format!("sizes/{length}")))?.len(), length);
    }
    assert_eq!(permissions(&mounted.metadata("usr/bin/wall")?), 0o2755);
    assert_eq!(permissions(&mounted.metadata("tmp")?), 0o1777);
    let owned = mounted.metadata("large-ids")?;
    assert_eq!((owned.uid(), owned.gid()), (4_000_000_000, 3_000_000_000));
    let null = mounted.metadata("dev/null")?;
    assert!(null.file_type().is_char_device());
    assert_eq!((rustix::fs::major(null.rdev()), rustix::fs::minor(null.rdev())), (1, 3));
    assert!(mounted.metadata("dev/sda")?.file_type().is_block_device());
    assert!(mounted.metadata("dev/fifo")?.file_type().is_fifo());
    assert_eq!(fs::read_link(mounted.path("a-link"))?, Path::new("sizes"));
    assert_eq!(fs::read_link(mounted.path("a-long-link"))?.as_os_str().len(), 1204);
    Ok(())
}

#[test]
fn hard_links_and_capabilities_survive_and_other_xattrs_do_not() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let mounted = Mounted::new(&images::oddities()?)?;
    let (one, other) = (mounted.metadata("hard/same")?, mounted.metadata("another-name")?);
    assert_eq!((one.ino(), one.nlink()), (other.ino(), other.nlink()));
    let mut value = [0; 64];
    let length = rustix::fs::lgetxattr(mounted.path("usr/bin/ping"), "security.capability", &mut value)?;
    assert_eq!(value[..8], [1, 0, 0, 2, 0, 0x20, 0, 0], "{length} bytes");
    let user = rustix::fs::lgetxattr(mounted.path("with-user-xattr"), "user.note", &mut value);
    assert_eq!(user, Err(rustix::io::Errno::NODATA));
    Ok(())
}

#[test]
fn what_upper_layers_remove_is_gone_and_what_they_change_is_changed() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let mounted = Mounted::new(&images::oddities()?)?;
    for gone in ["sizes/65-zeros", "hard/link", "to-nowhere", "to-be-hidden/one", "to-be-hidden/below/two"] {
        assert!(mounted.metadata(gone).is_err(), "{gone} is still there");
    }
    assert_eq!(fs::read_dir(mounted.path("run"))?.count(), 0);
    assert_eq!(fs::read_to_string(mounted.path("tmp/again"))?, "again");
    assert_eq!(fs::read(mounted.path("once"))?.len(), 302);
    assert_eq!(fs::read(mounted.path("to-be-emptied"))?.len(), 300);
    assert_eq!(fs::read(mounted.path("fractions/inside"))?.len(), 301);
    assert_eq!(permissions(&mounted.metadata("hard")?), 0o750);
    assert_eq!(permissions(&mounted.metadata("usr/bin/su")?), 0o755);
    Ok(())
}

#[test]
fn an_image_without_usr_keeps_the_metadata_of_its_own_root() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let mounted = Mounted::new(&images::busybox()?)?;
    let root = mounted.metadata("")?;
    assert_eq!((root.uid(), root.gid(), permissions(&root), root.mtime()), (7, 9, 0o751, 1_600_000_001));
    assert_eq!(fs::read_dir(mounted.path("run"))?.count(), 0);
    let said = stdout(Command::new("chroot").arg(&mounted.target).args(["/bin/sh", "-c", "id -u; ls /"]))?;
    assert_eq!(said, "0\nbin\netc\nrun");
    Ok(())
}

#[test]
fn python_of_a_mounted_debian_runs() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    if let Some(why) = images::why_no_debian_images() {
        skip(why);
        return Ok(());
    }
    let mounted = Mounted::new(&images::python()?)?;
    let program = "import ctypes, json, ssl, zlib; print(json.dumps({'sum': sum(range(101))}))";
    let said = stdout(Command::new("chroot").arg(&mounted.target).args(["/usr/bin/python3", "-c", program]))?;
    assert_eq!(said, r#"{"sum": 5050}"#);
    let write = attempt(Command::new("touch").arg(mounted.path("etc/new")))?;
    assert!(!write.status.success(), "a read-only mount was written to");
    mounted.sealpack.run(["umount".as_ref(), mounted.target.as_os_str()])?;
    assert_eq!(fs::read_dir(&mounted.target)?.count(), 0, "something is still mounted");
    Ok(())
}

#[test]
fn fsck_erofs_finds_nothing_wrong_with_a_metadata_image() -> Result<()> {
    let Some(fsck) = find("fsck.erofs") else {
        skip("fsck.erofs is not installed");
        return Ok(());
    };
    let sealpack = Sealpack::new()?;
    sealpack.run(["pull", &images::oddities()?.source(), "--name", "image"])?;
    let is_image = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "erofs");
    let files = sealpack.files()?;
    let image = files.iter().find(is_image).context("the store has no metadata image")?;
    run(Command::new(fsck).arg(sealpack.store().join(image)))?;
    Ok(())
}

/// The mounts of one image that `sealpack mounts` lists, by where they are mounted.
fn listed(mounted: &Mounted) -> Result<Vec<serde_json::Value>> {
    let image = mounted.sealpack.image_digest("image")?;
    let all = mounted.sealpack.json(["mounts"])?;
    let all = all["image_mounts"].as_array().context("a list")?.clone();
    let of_it = all.into_iter().filter(|mount| mount["metadata_image"]["fsverity_digest"] == *image);
    let store = mounted.sealpack.store().to_string_lossy().into_owned();
    Ok(of_it.filter(|mount| mount["store"].is_null() || mount["store"] == *store).collect())
}

#[test]
fn what_is_mounted_is_listed_with_its_image_its_level_and_since_when() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let before = std::time::SystemTime::now();
    let mounted = Mounted::new(&images::oddities()?)?;
    let target = mounted.target.to_string_lossy();
    mounted.sealpack.run(["tag", "image", "another"])?;
    let [found] = &listed(&mounted)?[..] else { anyhow::bail!("{:?}", listed(&mounted)?) };
    assert_eq!(
        (&found["target"], &found["name"]),
        (&(*target).into(), &"docker.io/library/image:latest".into())
    );
    let names = ["docker.io/library/another:latest", "docker.io/library/image:latest"];
    assert_eq!(found["names"], serde_json::json!(names), "{found:#}");
    assert_eq!(found["manifest"], mounted.sealpack.json(["inspect", "image"])?["manifest"]);
    assert!(
        found["process"].is_null() && found["seal"].is_null() && found["read_write"] == false,
        "{found:#}"
    );
    assert_eq!(found["level"], found["level_when_mounted"]);
    assert!(["plain", "verified"].contains(&found["level"].as_str().unwrap_or("?")), "{found:#}");
    let since = found["since"].as_str().context("a time")?;
    let day = stdout(Command::new("date").args(["-u", "-d", since, "+%s"]))?.parse::<u64>()?;
    let begun = before.duration_since(std::time::UNIX_EPOCH)?.as_secs();
    assert!((begun..begun + 600).contains(&day), "{since}");
    let text = String::from_utf8(mounted.sealpack.run(["mounts"])?.stdout)?;
    let line = text.lines().find(|line| line.starts_with(&*target)).context("it is listed")?;
    assert!(
        line.contains("docker.io/library/image:latest") && line.contains(since.get(..10).context("a day")?),
        "{text}"
    );
    mounted.sealpack.run(["umount", &target])?;
    assert!(listed(&mounted)?.is_empty(), "it is not mounted any more");
    Ok(())
}

/// Nothing in the kernel tells what an overlay's layers are on, so without a note the level is unknown, and said to be.
#[test]
fn of_a_mount_that_nobody_noted_only_what_the_kernel_tells_is_listed() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let mounted = Mounted::new(&images::oddities()?)?;
    let status = rustix::fs::stat(&mounted.target)?;
    let (major, minor) = (rustix::fs::major(status.st_dev), rustix::fs::minor(status.st_dev));
    fs::remove_file(format!("/run/sealpack/mounts/{major}:{minor}.json"))?;
    let found = listed(&mounted)?;
    let [found] = &found[..] else { anyhow::bail!("{found:#?}") };
    for unknown in ["name", "manifest", "since", "level", "level_when_mounted", "store"] {
        assert!(found[unknown].is_null(), "{unknown}: {found:#}");
    }
    assert_eq!(found["why_not_more"], "nothing was noted when it was mounted");
    assert_eq!(found["names"], serde_json::json!(["docker.io/library/image:latest"]));
    Ok(())
}

#[test]
fn what_another_mount_namespace_alone_has_is_listed_with_a_process() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let sealpack = Sealpack::new()?;
    sealpack.run(["pull", &images::oddities()?.source(), "--name", "image"])?;
    let target = sealpack.store().with_file_name("mnt");
    fs::create_dir(&target)?;
    let mut mount = sealpack.command(["mount".as_ref(), "image".as_ref(), target.as_os_str()]);
    let program = mount.get_program().to_owned();
    // What it is told by variables, the shell passes on.
    mount.env("PROGRAM", program).env("TARGET", &target);
    let store = sealpack.store().to_owned();
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "--propagation", "private", "sh", "-c"]);
    shell.arg("\"$PROGRAM\" --store \"$STORE\" mount image \"$TARGET\" >&2 && echo ready && read -r line");
    shell.envs(mount.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("STORE", store);
    shell.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut shell = shell.spawn()?;
    let mut said = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(shell.stdout.take().context("a pipe")?),
        &mut said,
    )?;
    assert_eq!(said, "ready\n");
    let mounted = Mounted { target, sealpack };
    let found = listed(&mounted)?;
    drop(shell.stdin.take());
    shell.wait()?;
    let [found] = &found[..] else { anyhow::bail!("{found:#?}") };
    assert_eq!(found["process"], shell.id());
    assert_eq!(found["name"], "docker.io/library/image:latest");
    assert!(found["level"].is_string() && found["target"] == *mounted.target.to_string_lossy(), "{found:#}");
    assert!(listed(&mounted)?.is_empty(), "it went with its namespace");
    Ok(())
}

/// What mount(8) runs for the type `sealpack`, with the options that it passes on.
#[test]
fn as_a_helper_of_mount_it_takes_the_options_of_fstab() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let mounted = Mounted::new(&images::oddities()?)?;
    let target = mounted.target.clone();
    mounted.sealpack.run(["umount".as_ref(), target.as_os_str()])?;
    let helper = target.with_file_name("mount.sealpack");
    std::os::unix::fs::symlink(sealpack_tests::program::under_test()?, &helper)?;
    let store = format!("store={}", mounted.sealpack.store().display());
    let attempt_with = |options: &str, more: &[&str]| {
        let mut command = sealpack_tests::program::start(helper.clone());
        command.arg("image").arg(&target).args(more).args(["-o", &format!("{store},{options}")]);
        attempt(&mut command)
    };
    let output = attempt_with("rw,noexec,nofail,x-systemd.automount,require=plain", &[])?;
    assert!(output.status.success(), "{output:?}");
    let options = stdout(Command::new("findmnt").args(["-n", "-o", "OPTIONS"]).arg(&target))?;
    assert!(options.contains("noexec") && options.starts_with("ro"), "{options}");
    assert_eq!(fs::read_to_string(mounted.path("tmp/again"))?, "again");
    // What is not reached is not mounted over it.
    let refused = attempt_with("require=enforced", &[])?;
    assert_eq!(refused.status.code(), Some(32), "{refused:?}");
    let misspelt = attempt_with("requre=signed", &[])?;
    let said = String::from_utf8(misspelt.stderr)?;
    assert!(misspelt.status.code() == Some(1) && said.contains("\"requre=signed\" is no option"), "{said}");
    let wrong = attempt_with("require=most", &[])?;
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    mounted.sealpack.run(["umount".as_ref(), target.as_os_str()])?;
    let fake = attempt_with("ro", &["-f"])?;
    assert!(fake.status.success() && fs::read_dir(&target)?.next().is_none(), "{fake:?}");
    Ok(())
}
