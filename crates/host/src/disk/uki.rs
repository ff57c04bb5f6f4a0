//! The UKIs of a disk: that each starts one of its images.

use std::path::{Path, PathBuf};

use sealpack_format::RootHash;
use sealpack_format::boot::{BootParameters, CommandLine};
use sealpack_format::pe;
use sealpack_store::ImageRecord;

use super::error::DiskError;
use super::esp::EspFile;
use crate::signing;

/// How often a new UKI may fail to come up before an older one is started.
const TRIES: u32 = 3;

/// An image that is to be on the disk, with the root hash that its seal has of its metadata image.
#[derive(Debug)]
pub(super) struct SealedImage {
    pub(super) record: ImageRecord,
    pub(super) root_hash: RootHash,
    /// When its seal was made.
    pub(super) sealed_unix_seconds: u64,
}

/// A UKI in a file.
#[derive(Debug)]
pub(super) struct Uki {
    path: PathBuf,
    bytes: Vec<u8>,
    boot: BootParameters,
}

impl Uki {
    /// Reads one.
    ///
    /// # Errors
    /// If it cannot be read, is none, is not signed, or has a command line that a sealed host refuses.
    pub(super) fn read(path: &Path) -> Result<Self, DiskError> {
        let bytes = std::fs::read(path).map_err(DiskError::io("read", path))?;
        let none = |why: String| DiskError::NotUki { path: path.to_owned(), why };
        let image = pe::Image::parse(&bytes).map_err(|error| none(error.to_string()))?;
        let line = image.section(".cmdline").ok_or_else(|| none("it has no command line".into()))?;
        if image.section(".linux").is_none() || image.section(".initrd").is_none() {
            return Err(none("it has no kernel, or no initramfs".into()));
        }
        signing::check_is_signed(&image)
            .map_err(|source| DiskError::NotSigned { program: path.display().to_string(), source })?;
        let line = CommandLine::parse(line)
            .map_err(|source| DiskError::CommandLine { path: path.to_owned(), source })?;
        let boot = line.boot().clone();
        Ok(Self { path: path.to_owned(), bytes, boot })
    }

    /// The name of the data partition that it looks for.
    pub(super) fn label(&self) -> &str {
        self.boot.data_label.as_str()
    }

    /// That it starts one of `images`.
    ///
    /// # Errors
    /// [`DiskError::OtherImage`], [`DiskError::OtherRootHash`].
    pub(super) fn check(&self, images: &[SealedImage]) -> Result<(), DiskError> {
        let path = self.path.clone();
        let Some(image) = images.iter().find(|image| image.record.metadata_image == self.boot.image) else {
            let name =
                |image: &SealedImage| format!("{} ({})", image.record.name, image.record.metadata_image);
            let images = images.iter().map(name).collect::<Vec<_>>().join(", ");
            return Err(DiskError::OtherImage { path, names: self.boot.image, images });
        };
        if image.root_hash != self.boot.root_hash {
            let (names, sealed) = (self.boot.root_hash, image.root_hash);
            return Err(DiskError::OtherRootHash { path, image: image.record.name.clone(), names, sealed });
        }
        Ok(())
    }

    /// The file for the EFI system partition, where its name counts the tries that it has (UAPI.1, Boot Loader
    /// Specification, "Boot counting").
    pub(super) fn into_file(self) -> EspFile {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let name = match name.strip_suffix(".efi") {
            Some(stem) if !has_counter(stem) => format!("{stem}+{TRIES}.efi"),
            _ => name.into_owned(),
        };
        EspFile { path: format!("EFI/Linux/{name}"), content: self.bytes }
    }
}

/// Whether a name ends with `+LEFT` or `+LEFT-DONE`.
fn has_counter(stem: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let counter = stem.rsplit_once('+').map(|(_, counter)| counter);
    counter.is_some_and(|counter| match counter.split_once('-') {
        Some((left, done)) => is_number(left) && is_number(done),
        None => is_number(counter),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_counts_its_tries_and_one_that_does_stays() {
        for (stem, counts) in [
            ("sealed_7", false),
            ("sealed_7+3", true),
            ("sealed_7+2-1", true),
            ("sealed+x", false),
            ("a+", false),
            ("a+1-", false),
        ] {
            assert_eq!(has_counter(stem), counts, "{stem}");
        }
    }

    #[test]
    fn what_is_no_uki_is_refused_with_what_it_lacks() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no program").unwrap();
        let error = Uki::read(file.path()).unwrap_err();
        assert!(matches!(&error, DiskError::NotUki { path, .. } if path == file.path()), "{error}");
    }
}
