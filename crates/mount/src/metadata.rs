//! The metadata image: checked, before anything is mounted, through the descriptor that then is.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use sealpack_format::digest::{Algorithm, ObjectId};
use sealpack_format::erofs::Image;
use sealpack_kernel::Kernel;
use sealpack_kernel::fsverity::Measurement;

use crate::error::Error;

const WHAT: &str = "the metadata image";

/// A metadata image whose bytes were the right ones.
#[derive(Debug)]
pub(crate) struct CheckedImage {
    pub(crate) file: File,
    /// Whether fs-verity is enabled, so that they stay the right ones.
    pub(crate) has_verity: bool,
    /// All of it.
    pub(crate) bytes: Vec<u8>,
}

impl CheckedImage {
    /// Opens the metadata image at `path` and checks that it is the one meant, by its fs-verity
    /// digest, and that it asks for no other device.
    ///
    /// What is mounted later is the file that is open now, whatever its name leads to then.
    pub(crate) fn open(kernel: &Kernel, path: &Path, id: &ObjectId) -> Result<Self, Error> {
        let failed = |error| Error::Io { what: WHAT, path: path.to_owned(), error };
        let file = open_file(WHAT, path)?;
        let doing = "measuring the metadata image";
        let measurement = kernel.measure_verity(&file).map_err(|error| Error::Call { doing, error })?;
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes).map_err(failed)?;
        if measurement != Measurement::Digest(*id) {
            // It has no fs-verity, or with parameters of somebody else's choice.
            let actual = digest_of(id.algorithm(), &bytes);
            if actual != *id {
                let (expected, actual) = (Box::new(*id), Box::new(actual));
                return Err(Error::WrongImage { path: path.to_owned(), expected, actual });
            }
        }
        Image::open(&bytes).map_err(|error| Error::BadImage { path: path.to_owned(), error })?;
        let has_verity = matches!(measurement, Measurement::Digest(_) | Measurement::ForeignAlgorithm(_));
        Ok(Self { file, has_verity, bytes })
    }
}

/// Opens a regular file for reading. `what` it is for, messages say.
pub(crate) fn open_file(what: &'static str, path: &Path) -> Result<File, Error> {
    let failed = |error| Error::Io { what, path: path.to_owned(), error };
    // Opening a fifo would wait for a writer.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::NotAFile { what, path: path.to_owned() });
    }
    Ok(file)
}

/// The fs-verity digest of `bytes`.
fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> ObjectId {
    let mut hasher = sealpack_kernel::fsverity::hasher(algorithm);
    hasher.update(bytes);
    hasher.finish()
}
