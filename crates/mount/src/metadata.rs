//! The metadata image: checked, before anything is mounted, through the descriptor that then is.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use sealpack_format::digest::ObjectId;
use sealpack_format::erofs::Image;
use sealpack_format::verity::BLOCK_BYTES;
use sealpack_kernel::Kernel;
use sealpack_kernel::fsverity::Measurement;

use crate::error::Error;

const WHAT: &str = "the metadata image";

/// How much is read at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// A metadata image whose bytes were the right ones.
#[derive(Debug)]
pub(crate) struct CheckedImage {
    pub(crate) file: File,
    /// Whether fs-verity is enabled, so that they stay the right ones.
    pub(crate) has_verity: bool,
    pub(crate) size_bytes: u64,
    /// All of it, where somebody has to look into it.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl CheckedImage {
    /// Opens the metadata image at `path` and checks that it is the one meant, by its fs-verity
    /// digest, and that it asks for no other device. It is kept in memory if it is `kept`.
    ///
    /// What is mounted later is the file that is open now, whatever its name leads to then.
    pub(crate) fn open(kernel: &Kernel, path: &Path, id: &ObjectId, kept: bool) -> Result<Self, Error> {
        let failed = |error| Error::Io { what: WHAT, path: path.to_owned(), error };
        let file = open_file(WHAT, path)?;
        let doing = "measuring the metadata image";
        let measurement = kernel.measure_verity(&file).map_err(|error| Error::Call { doing, error })?;
        let is_measured = measurement == Measurement::Digest(*id);
        let mut size_bytes = file.metadata().map_err(failed)?.len();
        let (mut start, mut bytes) = (Vec::new(), kept.then(Vec::new));
        if is_measured && !kept {
            let _ = (&file).take(BLOCK_BYTES as u64).read_to_end(&mut start).map_err(failed)?;
        } else {
            // It has no fs-verity, or with parameters of somebody else's choice; or it is wanted.
            let mut hasher = sealpack_kernel::fsverity::hasher(id.algorithm());
            each_chunk(&file, |chunk| {
                if !is_measured {
                    hasher.update(chunk);
                }
                start.extend(&chunk[..chunk.len().min(BLOCK_BYTES - start.len())]);
                bytes.iter_mut().for_each(|bytes| bytes.extend(chunk));
            })
            .map_err(failed)?;
            if !is_measured {
                size_bytes = hasher.size_bytes();
                let actual = hasher.finish();
                if actual != *id {
                    let (expected, actual) = (Box::new(*id), Box::new(actual));
                    return Err(Error::WrongImage { path: path.to_owned(), expected, actual });
                }
            }
        }
        let bad = |error| Error::BadImage { path: path.to_owned(), error };
        Image::check_start(&start, size_bytes).map_err(bad)?;
        let has_verity = matches!(measurement, Measurement::Digest(_) | Measurement::ForeignAlgorithm(_));
        Ok(Self { file, has_verity, size_bytes, bytes })
    }
}

/// Gives a file to `each`, piece by piece.
fn each_chunk(mut file: &File, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => each(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
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
