//! The store of files with fs-verity, and mounts of it, through the `sealpack` that users run.

use super::Verdict;
use super::images::{Mounted, busybox, target};
use crate::system::{BUSYBOX, SEALPACK, drop_caches};
use anyhow::{Context, Result, ensure};
use sealpack_format::digest::Algorithm;
use sealpack_kernel::Kernel;
use sealpack_tests::command::{attempt, run, stdout};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const EIO: Option<i32> = Some(5);

/// A store on the disk with a fixture image, and a place to mount it.
struct Place {
    dir: PathBuf,
    image: &'static str,
}

impl Place {
    fn new(name: &str, image: &'static str) -> Result<Self> {
        Self::at(Path::new("/disk").join(name), image)
    }

    fn at(dir: PathBuf, image: &'static str) -> Result<Self> {
        let place = Self { dir, image };
        fs::create_dir_all(place.target())?;
        run(&mut place.sealpack(["pull", &format!("oci:/disk/layouts/{image}:latest"), "--name", image]))?;
        Ok(place)
    }

    fn sealpack<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(SEALPACK);
        command.arg("--store").arg(self.store()).args(arguments);
        command
    }

    fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    fn target(&self) -> PathBuf {
        self.dir.join("mnt")
    }

    fn mount(&self) -> Result<String> {
        stdout(self.sealpack(["mount", self.image]).arg(self.target()).args(["--require", "verified"]))
    }

    fn unmount(&self) -> Result<()> {
        run(self.sealpack(["umount"]).arg(self.target())).map(drop)
    }

    fn busybox(&self) -> PathBuf {
        self.target().join("bin/busybox")
    }

    /// The object that has the content of the image's one large file.
    fn object(&self, content: &[u8]) -> Result<PathBuf> {
        for dir in fs::read_dir(self.store().join("objects"))? {
            for file in fs::read_dir(dir?.path())? {
                let path = file?.path();
                if fs::metadata(&path)?.len() == content.len() as u64 && fs::read(&path)? == content {
                    return Ok(path);
                }
            }
        }
        anyhow::bail!("no object has the file's content")
    }
}

pub(crate) fn mount() -> Result<Verdict> {
    let place = Place::new("mount", "busybox")?;
    let said = place.mount()?;
    ensure!(said.contains("verified"), "what was achieved is not said: {said}");
    let mut shell = Command::new(BUSYBOX);
    let said = stdout(shell.arg("chroot").arg(place.target()).args(["/bin/sh", "-c", "echo it runs"]))?;
    ensure!(said == "it runs", "{said}");
    run(&mut place.sealpack(["fsck"]))?;
    place.unmount()?;
    Ok(Verdict::Shown)
}

pub(crate) fn corrupt_object() -> Result<Verdict> {
    let target = target("small")?;
    let options = ["mount", "-t", "ext4", "-o", "loop", "/disk/small"].map(OsStr::new);
    busybox(options.into_iter().chain([target.as_os_str()]))?;
    let filesystem = Mounted::at(&target);
    let place = Place::at(target, "oddities")?;
    place.mount()?;
    let path = place.target().join("sizes/3145745");
    let content = fs::read(&path)?;
    let changed = 40 * 4096;
    let found = change_on_disk(&content[changed..changed + 4096])?;
    ensure!(found > 0, "the block was not found");
    drop_caches()?;
    let (file, mut block) = (File::open(&path)?, [0; 4096]);
    file.read_exact_at(&mut block, 0).context("a good block")?;
    let read = file.read_exact_at(&mut block, changed as u64);
    let error = read.err().context("a changed block was read")?;
    ensure!(error.raw_os_error() == EIO, "a changed block: {error}, not EIO");
    drop(file);
    let fsck = attempt(&mut place.sealpack(["fsck"]))?;
    println!("fsck: {}{}", String::from_utf8_lossy(&fsck.stdout), String::from_utf8_lossy(&fsck.stderr));
    ensure!(!fsck.status.success(), "fsck finds nothing wrong with the object");
    place.unmount()?;
    drop(filesystem);
    Ok(Verdict::Shown)
}

/// Changes every block of the small filesystem that is `block`, past it. Returns how many there were.
fn change_on_disk(block: &[u8]) -> Result<usize> {
    rustix::fs::sync();
    let disk = File::options().read(true).write(true).open("/disk/small")?;
    let (mut reader, mut buffer, mut position, mut found) = (&disk, vec![0; 1024 * 1024], 0, 0);
    loop {
        let length = reader.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        for (index, candidate) in buffer[..length].chunks_exact(4096).enumerate() {
            if candidate == block {
                let mut other = block.to_vec();
                other[17] ^= 1;
                disk.write_all_at(&other, position + 4096 * index as u64)?;
                found += 1;
            }
        }
        position += length as u64;
    }
    disk.sync_all()?;
    Ok(found)
}

pub(crate) fn swapped_object() -> Result<Verdict> {
    let place = Place::new("swapped-object", "busybox")?;
    place.mount()?;
    let content = fs::read(place.busybox())?;
    let object = place.object(&content)?;
    place.unmount()?;
    let kept = place.dir.join("kept");
    let mut other = content.clone();
    other[5] ^= 1;
    for (what, bytes, has_verity) in
        [("a copy without fs-verity", &content, false), ("another file with fs-verity", &other, true)]
    {
        place.mount()?;
        fs::rename(&object, &kept)?;
        fs::write(&object, bytes)?;
        if has_verity {
            Kernel::new().enable_verity(File::open(&object)?, Algorithm::Sha256)?;
        }
        drop_caches()?;
        let error = File::open(place.busybox()).err().with_context(|| format!("{what} was opened"))?;
        ensure!(error.raw_os_error() == EIO, "{what}: {error}, not EIO");
        place.unmount()?;
        fs::rename(&kept, &object)?;
    }
    place.mount()?;
    File::open(place.busybox()).context("the right object back in its place")?;
    place.unmount()?;
    Ok(Verdict::Shown)
}

/// A mount looks once whether all objects have fs-verity, and remembers it; what somebody does to one of them shows all the
/// same.
pub(crate) fn remembered() -> Result<Verdict> {
    let place = Place::new("remembered", "busybox")?;
    let content = {
        place.mount()?;
        let content = fs::read(place.busybox())?;
        place.unmount()?;
        content
    };
    let (object, kept) = (place.object(&content)?, place.dir.join("kept"));
    let remember = || -> Result<()> {
        // What has just changed is not remembered.
        std::thread::sleep(std::time::Duration::from_millis(2100));
        for _ in 0..2 {
            place.mount()?;
            place.unmount()?;
        }
        Ok(())
    };
    remember()?;
    let facts = place.store().join("facts");
    let length = fs::metadata(&facts).context("nothing is remembered")?.len();
    place.mount()?;
    place.unmount()?;
    ensure!(fs::metadata(&facts)?.len() == length, "what is remembered was found out again");

    let refused = |what: &str, says: &str| -> Result<()> {
        let mount = ["mount", place.image, "--require", "verified"];
        let mounted = attempt(place.sealpack(mount).arg(place.target()))?;
        let said = String::from_utf8_lossy(&mounted.stderr);
        println!("{what}: {said}");
        ensure!(!mounted.status.success() && said.contains(says), "{what}: {}, {said}", mounted.status);
        ensure!(fs::read_dir(place.target())?.next().is_none(), "{what}, and something was mounted");
        Ok(())
    };
    fs::rename(&object, &kept)?;
    refused("an object is gone", "is missing")?;
    fs::write(&object, &content)?;
    refused("the object is a copy without fs-verity", "verified is required")?;
    // Nor is it believed later, when nothing has changed for a while.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    refused("the same, a while later", "verified is required")?;
    refused("the same, remembered", "verified is required")?;
    fs::rename(&kept, &object)?;
    remember()?;
    Ok(Verdict::Shown)
}

pub(crate) fn swapped_metadata() -> Result<Verdict> {
    let place = Place::new("swapped-metadata", "busybox")?;
    let only = |dir: &Path| -> Result<PathBuf> {
        let files: Vec<_> = fs::read_dir(dir)?.collect::<io::Result<_>>()?;
        let images = files.iter().map(fs::DirEntry::path);
        let images: Vec<_> =
            images.filter(|path| path.extension().is_some_and(|end| end == "erofs")).collect();
        ensure!(images.len() == 1, "{} has not one metadata image: {images:?}", dir.display());
        Ok(images[0].clone())
    };
    let image = only(&place.store().join("images"))?;
    let other = Place { dir: place.dir.join("other"), image: "oddities" };
    fs::create_dir_all(&other.dir)?;
    run(&mut other.sealpack(["pull", "oci:/disk/layouts/oddities:latest", "--name", "oddities"]))?;
    fs::rename(only(&other.store().join("images"))?, &image)?;
    let mounted = attempt(place.sealpack(["mount", place.image]).arg(place.target()))?;
    let said = String::from_utf8_lossy(&mounted.stderr);
    println!("mount: {said}");
    ensure!(mounted.status.code() == Some(3), "mounting another image: {}, {said}", mounted.status);
    ensure!(fs::read_dir(place.target())?.next().is_none(), "something was mounted");
    Ok(Verdict::Shown)
}
