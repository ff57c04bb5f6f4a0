//! A small image that has all that a sealed host's UKI is made of, none of which runs; and systemd's own stub.

use crate::apt::Archive;
use crate::command::run;
use crate::images::{self, Image};
use crate::layer_tar::{Entry, Member, archive};
use crate::layout::Packing;
use crate::paths;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kernel's version.
pub const KERNEL: &str = "6.12.117-test-amd64";
/// Where the image has systemd's stub.
pub const STUB: &str = "usr/lib/systemd/boot/efi/linuxx64.efi.stub";
/// Where it has the first process.
pub const INIT: &str = "usr/lib/sealpack/init";

/// What of `modules.dep` is there, with a module whose file is nowhere else in it.
const DEPENDENCIES: &str = "\
kernel/drivers/block/loop.ko.xz:
kernel/fs/erofs/erofs.ko.xz:
kernel/fs/overlayfs/overlay.ko.xz:
kernel/drivers/md/dm-mod.ko.xz:
kernel/drivers/md/dm-bufio.ko.xz: kernel/drivers/md/dm-mod.ko.xz
kernel/drivers/md/dm-verity.ko.xz: kernel/drivers/md/dm-bufio.ko.xz kernel/drivers/md/dm-mod.ko.xz
kernel/drivers/block/virtio_blk.ko.xz:
kernel/net/dummy.ko.xz:
";

/// How the kernel was configured.
const CONFIGURATION: &str = "\
CONFIG_SECURITY_IPE=y
CONFIG_IPE_PROP_DM_VERITY_SIGNATURE=y
CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG=y
CONFIG_EFI_STUB=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_RD_ZSTD=y
CONFIG_DEVTMPFS=y
CONFIG_SECURITYFS=y
CONFIG_SECCOMP_FILTER=y
CONFIG_MODULE_DECOMPRESS=y
CONFIG_LSM=\"landlock,lockdown,yama,apparmor,bpf,ipe\"
";

/// The files of an image, by their paths.
#[derive(Clone, Debug)]
pub struct HostImage {
    files: BTreeMap<String, Vec<u8>>,
}

impl HostImage {
    /// One with a kernel, modules, a stub and a first process.
    #[must_use]
    pub fn new() -> Self {
        let mut image = Self { files: BTreeMap::new() };
        image.add_kernel(KERNEL);
        image.set("etc/os-release", "ID=test\nPRETTY_NAME=\"Test 1\"\nIMAGE_VERSION=none\n");
        image.set(STUB, stub("257.13-1~deb13u1"));
        image.set(INIT, static_program());
        image
    }

    /// Adds a kernel with its modules and its configuration.
    pub fn add_kernel(&mut self, version: &str) {
        let modules = format!("usr/lib/modules/{version}");
        self.set(&format!("boot/vmlinuz-{version}"), program(&[(".text", version.as_bytes())]));
        self.set(&format!("boot/config-{version}"), CONFIGURATION);
        self.set(&format!("{modules}/modules.dep"), DEPENDENCIES);
        self.set(&format!("{modules}/modules.alias"), "alias virtio:d00000002v* virtio_blk\n");
        self.set(&format!("{modules}/modules.builtin"), "kernel/fs/ext4/ext4.ko\n");
        for path in DEPENDENCIES.lines().filter_map(|line| line.split_once(':')).map(|(path, _)| path) {
            self.set(&format!("{modules}/{path}"), format!("module {path} of {version}"));
        }
    }

    /// Puts a file at a path without a slash in front.
    pub fn set(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), content.into());
    }

    /// What is at a path.
    ///
    /// # Panics
    /// If nothing is there.
    #[must_use]
    pub fn get(&self, path: &str) -> &[u8] {
        &self.files[path]
    }

    /// Takes a file away.
    pub fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// The image in a layout at `dir`.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn layout(&self, dir: &Path) -> Result<Image> {
        self.layout_below(dir, &[])
    }

    /// The same, with a layer above it for each of these files.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn layout_below(&self, dir: &Path, files_above: &[(&str, &[u8])]) -> Result<Image> {
        let mut directories = BTreeSet::new();
        for path in self.files.keys() {
            directories.extend(path.match_indices('/').map(|(at, _)| format!("{}/", &path[..at])));
        }
        let directories = directories.into_iter().map(|path| Entry::new(path, Member::Directory));
        let files = self.files.iter().map(|(path, content)| Entry::new(path, Member::File(content.clone())));
        let entries: Vec<Entry> = directories.chain(files).collect();
        let above = files_above
            .iter()
            .map(|(path, content)| archive(&[Entry::new(*path, Member::File(content.to_vec()))]));
        let layers = [archive(&entries)].into_iter().chain(above).map(|layer| (layer, Packing::Gzip));
        images::at(dir, &layers.collect::<Vec<_>>())
    }
}

impl Default for HostImage {
    fn default() -> Self {
        Self::new()
    }
}

/// A program for the firmware of an x86-64 machine with these sections: headers of 1024 bytes, and nothing to start.
///
/// # Panics
/// If there are more sections than fit, or larger ones than a test needs.
#[must_use]
pub fn program(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = vec![0; 1024];
    let number = |value: usize| u32::try_from(value).expect("a small number").to_le_bytes();
    let mut headers: Vec<(usize, Vec<u8>)> = vec![
        (0, b"MZ".to_vec()),
        (0x3c, number(0x80).to_vec()),
        (0x80, b"PE\0\0\x64\x86".to_vec()),
        (0x86, number(sections.len())[..2].to_vec()),
        (0x94, number(240)[..2].to_vec()),
        (0x98, vec![0x0b, 0x02]),
        (0x98 + 32, [number(4096), number(512)].concat()),
        (0x98 + 60, number(1024).to_vec()),
        (0x98 + 68, vec![10, 0]),
        (0x98 + 108, number(16).to_vec()),
    ];
    let mut memory = 4096;
    for (index, (name, content)) in sections.iter().enumerate() {
        let (start, at) = (file.len(), 0x98 + 240 + 40 * index);
        file.extend_from_slice(content);
        file.resize(file.len().next_multiple_of(512), 0);
        let fields = [content.len(), memory, file.len() - start, start].map(number).concat();
        headers.extend([(at, name.as_bytes().to_vec()), (at + 8, fields)]);
        headers.push((at + 36, number(0x4000_0040).to_vec()));
        memory = (memory + content.len()).next_multiple_of(4096);
    }
    headers.push((0x98 + 56, number(memory).to_vec()));
    for (at, bytes) in headers {
        file[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    file
}

/// A stub that says it is of this version of systemd.
#[must_use]
pub fn stub(version: &str) -> Vec<u8> {
    let magic = format!("#### LoaderInfo: systemd-stub {version} ####");
    program(&[
        (".text", &[1; 700]),
        (".sbat", b"sbat,1,SBAT Version,sbat,1\n"),
        (".sdmagic", magic.as_bytes()),
    ])
}

/// A boot loader that says it is of this version of systemd.
#[must_use]
pub fn boot_loader(version: &str) -> Vec<u8> {
    let magic = format!("#### LoaderInfo: systemd-boot {version} ####");
    program(&[(".text", b"a boot loader"), (".sdmagic", magic.as_bytes())])
}

/// The headers of a static program of 64 bits for x86-64.
fn static_program() -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64 + 56, 0);
    (file[16], file[18], file[32], file[54], file[56], file[64]) = (2, 62, 64, 56, 1, 1);
    file
}

/// The directory with what Debian 13's package of systemd-boot has in `/usr/lib/systemd/boot/efi`, fetched unless that was
/// done before.
///
/// # Errors
/// If the package cannot be fetched, or is not what it should be.
pub fn systemd_boot() -> Result<PathBuf> {
    let place = paths::target().join("apt");
    fs::create_dir_all(&place)?;
    let lock = File::create(place.join("systemd-boot.lock"))?;
    lock.lock().context("cannot lock the place of systemd-boot")?;
    let (root, inner) = (place.join("systemd-boot"), "usr/lib/systemd/boot/efi");
    if root.exists() {
        return Ok(root.join(inner));
    }
    let temporary = tempfile::tempdir_in(&place)?;
    Archive::of_suites("boot", &["trixie"])?.download(&["systemd-boot-efi".to_owned()], temporary.path())?;
    let package = fs::read_dir(temporary.path())?.next().context("nothing was fetched")??.path();
    let unpacked = temporary.path().join("root");
    run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&unpacked))?;
    fs::metadata(unpacked.join(inner).join("linuxx64.efi.stub")).context("the package has no stub")?;
    fs::rename(unpacked, &root)?;
    Ok(root.join(inner))
}
