//! Whether content is what its name says, and who notices when it is not.

use sealpack_kernel::Kernel;
use sealpack_kernel::fsverity::Measurement;

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::places::META;

/// Who notices when a file's bytes change on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    /// The kernel, on every read: fs-verity is enabled.
    FsVerity,
    /// Nobody, until the file is hashed again.
    None,
}

/// What the store has under the name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectState {
    /// Nothing.
    Absent,
    /// A file with the content of that digest.
    Good,
    /// Something else.
    Damaged,
}

impl Integrity {
    /// Who notices in the files that are new on the filesystem of a store.
    pub(crate) fn of_filesystem(kernel: &Kernel, root: &Dir) -> Result<Self> {
        let Some(file) = root.read(META)? else { return Ok(Self::None) };
        let measured = kernel.measure_verity(&file).map_err(|e| Error::io("measure", root.at(META), e))?;
        Ok(match measured {
            Measurement::Unsupported => Self::None,
            _ => Self::FsVerity,
        })
    }
}
