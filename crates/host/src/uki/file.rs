//! What a UKI that is there says of itself.

use sealpack_format::boot::{CommandLine, CommandLineError};
use sealpack_format::pe;
use sealpack_format::{ObjectId, RootHash};
use sealpack_trust::key::Certificate;

use super::release::Release;
use crate::signing::{UnsignedError, check_is_signed, signers};

/// What a UKI says of itself; all of it is signed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UkiFile {
    /// Its command line: which image it starts, and how.
    pub command_line: CommandLine,
    /// What boot loaders order it by.
    pub release: Release,
    /// The kernel's version, as its section `.uname` has it.
    pub kernel: Option<String>,
    /// Whether it has a signature of just these bytes; whether the firmware takes that, only the firmware knows.
    pub signed: Result<(), UnsignedError>,
    /// Whose signatures of these bytes it has, as far as they carry a certificate that is read here.
    pub signers: Vec<Certificate>,
}

/// Why a UKI is not the one of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtherImage {
    /// It starts another image.
    #[error("it starts the metadata image {names}, and the image's is {image}")]
    Image {
        /// What its command line names.
        names: ObjectId,
        /// The image's.
        image: ObjectId,
    },
    /// It names the image with another root hash than the seal.
    #[error("it expects the root hash {names}, and the image's seal says {sealed}")]
    RootHash {
        /// What its command line names.
        names: RootHash,
        /// What the seal says.
        sealed: RootHash,
    },
}

/// Why a file is no UKI of a sealed host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotUki {
    /// It lacks something, or is no program for firmware.
    #[error("it is no UKI of a sealed host: {0}")]
    Lacks(String),
    /// A sealed host refuses its command line.
    #[error("a host would refuse its command line: {0}")]
    CommandLine(#[from] CommandLineError),
}

/// What boot loaders order a program for firmware by; `None` for what systemd-boot passes over: no such program, or one
/// that does not say which system it is (`boot_entry_add_type2`, src/boot/boot.c).
#[must_use]
pub fn release_of(bytes: &[u8]) -> Option<Release> {
    let image = pe::Image::parse(bytes).ok()?;
    Some(Release::parse(image.section(".osrel")?)).filter(Release::has_name)
}

impl UkiFile {
    /// Reads one.
    ///
    /// # Errors
    /// [`NotUki`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NotUki> {
        let image = pe::Image::parse(bytes).map_err(|error| NotUki::Lacks(error.to_string()))?;
        let lacks = |what: &str| NotUki::Lacks(what.to_owned());
        let line = image.section(".cmdline").ok_or_else(|| lacks("it has no command line"))?;
        if image.section(".linux").is_none() || image.section(".initrd").is_none() {
            return Err(lacks("it has no kernel, or no initramfs"));
        }
        let release = image.section(".osrel").ok_or_else(|| lacks("it does not say which system it is"))?;
        let kernel = image.section(".uname").and_then(|text| str::from_utf8(text).ok());
        Ok(Self {
            command_line: CommandLine::parse(line)?,
            release: Release::parse(release),
            kernel: kernel.map(|text| text.trim_end_matches('\0').to_owned()),
            signed: check_is_signed(&image),
            signers: signers(&image),
        })
    }

    /// That it starts the image with that metadata image, whose seal has that root hash.
    ///
    /// # Errors
    /// [`OtherImage`].
    pub fn check_starts(&self, image: &ObjectId, sealed: &RootHash) -> Result<(), OtherImage> {
        let boot = self.command_line.boot();
        if boot.image != *image {
            return Err(OtherImage::Image { names: boot.image, image: *image });
        }
        if boot.root_hash != *sealed {
            return Err(OtherImage::RootHash { names: boot.root_hash, sealed: *sealed });
        }
        Ok(())
    }

    /// The epoch of the seal of the image that it was made of (`IMAGE_VERSION`); `None` where that is no number, as in
    /// what others made.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.release.image_version.as_deref()?.parse().ok()
    }
}
