//! Extended attributes of files.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;
use sealpack_format::tree::Xattrs;

use super::XattrChoice;

/// What all attributes of a file may take, by composefs's own count (`LCFS_INODE_EXTERNAL_XATTR_MAX`).
const TOTAL_MAX_BYTES: usize = 32_767;
/// What composefs counts for a file that has any, and for each one beside its name and value.
const HEADER_BYTES: usize = 12;
const ENTRY_BYTES: usize = 7;

/// Names and values have at most so many bytes (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX` of Linux).
const BUFFER_BYTES: usize = 64 * 1024;

/// What attributes are asked of.
#[derive(Clone, Copy)]
pub(super) enum Of<'a> {
    /// An open file.
    File(BorrowedFd<'a>),
    /// What has this path, symbolic links not followed.
    Path(&'a Path),
}

/// Why attributes cannot be read.
pub(super) enum XattrError {
    Call(&'static str, Errno),
    TooMany,
}

/// Reads attributes; has the room for it.
pub(super) struct Reader {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { names: vec![0; BUFFER_BYTES], value: vec![0; BUFFER_BYTES] }
    }

    pub(super) fn read(&mut self, of: Of<'_>, choice: XattrChoice) -> Result<Xattrs, XattrError> {
        let mut xattrs = Xattrs::default();
        if choice == XattrChoice::None {
            return Ok(xattrs);
        }
        let listed = match of {
            Of::File(fd) => rustix::fs::flistxattr(fd, &mut self.names[..]),
            Of::Path(path) => rustix::fs::llistxattr(path, &mut self.names[..]),
        };
        let length = match listed {
            Ok(length) => length,
            Err(Errno::OPNOTSUPP) => 0,
            Err(errno) => return Err(XattrError::Call("list the attributes of", errno)),
        };
        let mut total = HEADER_BYTES;
        for name in self.names[..length].split_inclusive(|byte| *byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            if choice == XattrChoice::User && !name.to_bytes().starts_with(b"user.") {
                continue;
            }
            let got = match of {
                Of::File(fd) => rustix::fs::fgetxattr(fd, name, &mut self.value[..]),
                Of::Path(path) => rustix::fs::lgetxattr(path, name, &mut self.value[..]),
            };
            let length = match got {
                Ok(length) => length,
                // Removed since it was listed.
                Err(Errno::NODATA) => continue,
                Err(errno) => return Err(XattrError::Call("read the attributes of", errno)),
            };
            total += ENTRY_BYTES + name.count_bytes() + length;
            if total > TOTAL_MAX_BYTES {
                return Err(XattrError::TooMany);
            }
            xattrs.insert(name.to_bytes(), &self.value[..length]);
        }
        Ok(xattrs)
    }
}
