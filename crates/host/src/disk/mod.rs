//! A disk that boots, made without being root: a partition table, an EFI system partition with boot loader and UKIs, and a
//! data partition with a store that has the images.

mod content;
mod error;
mod esp;
mod ext4;
mod gpt;
mod keys;
mod number;
mod uki;
mod work;

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sealpack_format::pe::Image;
use sealpack_node::new_files;
use sealpack_store::{ImageRecord, Store};

pub use content::sealed;
pub use error::DiskError;
pub use ext4::Tools;

use crate::signing;
use crate::systemd::FirmwareProgram;
use crate::uki::GivenFile;
use esp::EspFile;
use ext4::Filesystem;
use number::Number;
pub use uki::SealedImage;
use uki::Uki;
use work::Work;

/// Where an image has systemd-boot: Debian and others install it there.
pub const BOOT_LOADER: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/// What the firmware starts, and systemd-boot's own name for it.
const LOADER_NAMES: [&str; 2] = ["EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi"];

/// What it is told: to start the best UKI at once, and to take no other command line from whoever sits in front of it.
const LOADER_CONF: &[u8] = b"timeout 0\neditor no\n";

/// The EFI system partition, with room for several UKIs.
const ESP_BYTES: u64 = 256 * 1024 * 1024;

/// Room for what a running system writes first: `/var`, and one policy after the other.
const ROOM_BYTES: u64 = 256 * 1024 * 1024;

/// What is to be on the disk.
#[derive(Debug)]
pub struct NewDisk<'a> {
    /// Where the images are.
    pub store: &'a Store,
    /// The images, in packs and sealed.
    pub images: Vec<ImageRecord>,
    /// The files of UKIs, each of which starts one of the images.
    pub ukis: Vec<PathBuf>,
    /// systemd-boot, signed.
    pub boot_loader: GivenFile,
    /// A directory with `PK.auth`, `KEK.auth` and `db.auth`, or some of them, for firmware that has no keys yet.
    pub keys: Option<PathBuf>,
    /// How large the disk is.
    pub size_bytes: u64,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeDisk {
    /// How large the disk is.
    pub size_bytes: u64,
    /// The files on the EFI system partition, by their paths there.
    pub esp_files: Vec<String>,
    /// The data partition's label.
    pub label: String,
    /// The names of the images in its store.
    pub images: Vec<String>,
}

impl NewDisk<'_> {
    /// Makes the disk at `target`, a sparse file, whole or not at all. The same input gives the same bytes, as far as the
    /// programs of e2fsprogs are the same.
    ///
    /// # Errors
    /// [`DiskError`]. A file at `target` is replaced only if `replace` says so, by a disk that is complete.
    pub fn write(self, tools: &Tools, target: &Path, replace: bool) -> Result<MadeDisk, DiskError> {
        new_files::check_place(target).map_err(sealpack_node::Error::from)?;
        if !replace && target.exists() {
            return Err(DiskError::Exists(target.to_owned()));
        }
        let images = self.images.iter().map(|record| content::sealed(self.store, record));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        check_boot_loader(&self.boot_loader)?;
        let ukis = read_ukis(&self.ukis, &images)?;
        let label = ukis.first().map_or_else(String::new, |uki| uki.label().to_owned());
        let files = self.esp_files(ukis)?;
        let places = Places::of(self.size_bytes)?;
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let work = Work::new_in(directory)?;
        let path = work.path().join(work::DISK);
        let parts = Parts { images: &images, places: &places, files: &files, label: &label };
        parts.write(self.store, tools, work.path(), &path).map_err(|error| error.or_no_space(directory))?;
        let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        renameat_with(CWD, &path, CWD, target, flags)
            .map_err(|error| DiskError::io("write", target)(error.into()))?;
        let esp_files = files.into_iter().map(|file| file.path).collect();
        let images = self.images.into_iter().map(|record| record.name).collect();
        Ok(MadeDisk { size_bytes: self.size_bytes, esp_files, label, images })
    }

    fn esp_files(&self, ukis: Vec<Uki>) -> Result<Vec<EspFile>, DiskError> {
        let file = |path: &str, content: &[u8]| EspFile { path: path.to_owned(), content: content.to_vec() };
        let mut files: Vec<EspFile> =
            LOADER_NAMES.iter().map(|path| file(path, &self.boot_loader.bytes)).collect();
        files.push(file("loader/loader.conf", LOADER_CONF));
        for uki in ukis {
            let uki = uki.into_file();
            if files.iter().any(|other| other.path.eq_ignore_ascii_case(&uki.path)) {
                return Err(DiskError::SameName(uki.path));
            }
            files.push(uki);
        }
        if let Some(keys) = &self.keys {
            files.extend(keys::read(keys)?);
        }
        let files_bytes = files.iter().map(|file| file.content.len() as u64).sum();
        if files_bytes > ESP_BYTES {
            return Err(DiskError::EspTooSmall { files_bytes, size_bytes: ESP_BYTES });
        }
        Ok(files)
    }
}

/// All that a disk is made of.
struct Parts<'a> {
    images: &'a [SealedImage],
    places: &'a Places,
    files: &'a [EspFile],
    label: &'a str,
}

impl Parts<'_> {
    /// Writes the disk into the file at `path`, with what is to be in its data partition below `work` first.
    fn write(&self, store: &Store, tools: &Tools, work: &Path, path: &Path) -> Result<(), DiskError> {
        let tree = work.join(work::CONTENT);
        content::write(store, self.images, &tree)?;
        self.places.check_room(content::used_bytes(&tree)? + ROOM_BYTES)?;
        let disk = File::create_new(path).map_err(DiskError::io("write", path))?;
        disk.set_len(self.places.size_bytes).map_err(DiskError::io("write", path))?;
        let identity = Identity::of(self.images);
        self.places.write(&disk, path, &identity, self.files)?;
        let filesystem = Filesystem {
            disk: path,
            start_bytes: self.places.data.start_bytes,
            size_bytes: self.places.data.size_bytes,
            label: self.label,
            number: identity.number("data filesystem"),
            // Everything on it is as old as the newest seal.
            time: self.images.iter().map(|image| image.created.unix_seconds()).max().unwrap_or(0),
        };
        filesystem.write(tools, &tree)?;
        disk.sync_all().map_err(DiskError::io("write", path))
    }
}

/// That the boot loader is systemd's, new enough, and one that firmware with Secure Boot can start.
fn check_boot_loader(given: &GivenFile) -> Result<(), DiskError> {
    let name = || given.path.display().to_string();
    let image =
        Image::parse(&given.bytes).map_err(|source| DiskError::NotLoader { loader: name(), source })?;
    let fits = FirmwareProgram::BootLoader.check(&image);
    fits.map_err(|source| DiskError::UnfitLoader { loader: name(), source })?;
    let signed = signing::check_is_signed(&image);
    signed.map_err(|source| DiskError::NotSigned { program: format!("the boot loader {}", name()), source })
}

/// Reads the UKIs, each of which has to start one of the images; and all have to look for the same data partition.
fn read_ukis(paths: &[PathBuf], images: &[SealedImage]) -> Result<Vec<Uki>, DiskError> {
    let mut ukis: Vec<Uki> = Vec::new();
    for path in paths {
        let uki = Uki::read(path)?;
        uki.check(images)?;
        if let Some(first) = ukis.first()
            && first.label() != uki.label()
        {
            let (label, other) = (first.label().to_owned(), uki.label().to_owned());
            return Err(DiskError::OtherLabel { path: path.clone(), other, label });
        }
        ukis.push(uki);
    }
    Ok(ukis)
}

/// What all numbers on the disk follow from.
struct Identity(String);

impl Identity {
    fn of(images: &[SealedImage]) -> Self {
        Self(images.iter().map(|image| image.root_hash.to_string()).collect::<Vec<_>>().join(" "))
    }

    fn number(&self, of: &str) -> Number {
        Number::of(&format!("sealpack disk of {}: {of}", self.0))
    }
}

/// Where the partitions are.
#[derive(Debug)]
struct Places {
    size_bytes: u64,
    esp: esp::Place,
    data: esp::Place,
}

impl Places {
    fn of(size_bytes: u64) -> Result<Self, DiskError> {
        let esp = esp::Place { start_bytes: gpt::ALIGN_BYTES, size_bytes: ESP_BYTES };
        let start_bytes = esp.start_bytes + esp.size_bytes;
        let needed_bytes = start_bytes + ROOM_BYTES + gpt::ALIGN_BYTES;
        let whole = size_bytes - size_bytes % gpt::ALIGN_BYTES;
        if whole < needed_bytes {
            return Err(DiskError::TooSmall { size_bytes, needed_bytes });
        }
        // The copy of the table is in the last of the aligned parts.
        let data = esp::Place { start_bytes, size_bytes: whole - gpt::ALIGN_BYTES - start_bytes };
        Ok(Self { size_bytes, esp, data })
    }

    /// That so many bytes fit into the data partition, of which a filesystem takes some for itself.
    fn check_room(&self, bytes: u64) -> Result<(), DiskError> {
        let needed_bytes = bytes + bytes / 16;
        if needed_bytes <= self.data.size_bytes {
            return Ok(());
        }
        let in_front = self.size_bytes - self.data.size_bytes;
        Err(DiskError::TooSmall { size_bytes: self.size_bytes, needed_bytes: in_front + needed_bytes })
    }

    /// Writes the table and the EFI system partition.
    fn write(
        &self,
        disk: &File,
        path: &Path,
        identity: &Identity,
        files: &[EspFile],
    ) -> Result<(), DiskError> {
        let partition = |place: esp::Place, kind, name| gpt::Partition {
            kind,
            number: identity.number(name),
            start_bytes: place.start_bytes,
            size_bytes: place.size_bytes,
            name,
        };
        let partitions = [partition(self.esp, gpt::ESP, "esp"), partition(self.data, gpt::DATA, "data")];
        gpt::write(disk, self.size_bytes, identity.number("disk"), &partitions)
            .and_then(|()| esp::write(disk, self.esp, identity.number("esp filesystem"), files))
            .map_err(DiskError::io("write", path))
    }
}
