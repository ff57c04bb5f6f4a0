//! The UKIs of a disk: that each starts one of its images.

use std::path::{Path, PathBuf};

use sealpack_format::RootHash;
use sealpack_format::boot::BootParameters;
use sealpack_store::ImageRecord;
use sealpack_trust::timestamp::Timestamp;

use super::error::DiskError;
use super::esp::EspFile;
use crate::esp::{Counter, FileName};
use crate::uki::{NotUki, UkiFile};

/// An image that a host can start from, with the root hash that its seal has of its metadata image.
#[derive(Debug)]
pub struct SealedImage {
    /// What the store knows of it.
    pub record: ImageRecord,
    /// The root hash of its metadata image.
    pub root_hash: RootHash,
    /// When its seal was made.
    pub created: Timestamp,
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
        let file = UkiFile::parse(&bytes).map_err(|not| match not {
            NotUki::CommandLine(source) => DiskError::CommandLine { path: path.to_owned(), source },
            NotUki::Lacks(why) => DiskError::NotUki { path: path.to_owned(), why },
        })?;
        let unsigned = |source| DiskError::NotSigned { program: path.display().to_string(), source };
        file.signed.map_err(unsigned)?;
        let boot = file.command_line.boot().clone();
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
        let name = match FileName::parse(&name) {
            Some(FileName { stem, counter: None }) => {
                FileName { stem, counter: Some(Counter::NEW) }.to_string()
            }
            _ => name.into_owned(),
        };
        EspFile { path: format!("EFI/Linux/{name}"), content: self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_uki_is_refused_with_what_it_lacks() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no program").unwrap();
        let error = Uki::read(file.path()).unwrap_err();
        assert!(matches!(&error, DiskError::NotUki { path, .. } if path == file.path()), "{error}");
    }
}
