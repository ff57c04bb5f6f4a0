//! Files on their way to the disk.

use std::os::fd::AsFd;

use crate::raw;

/// Has the kernel begin to write back `length_bytes` of `file` from `offset` on, and waits for nothing
/// (sync_file_range(2), `SYNC_FILE_RANGE_WRITE`).
///
/// It is a hint: what is durable, only fsync(2) and syncfs(2) tell, and they tell every error, too. Nothing happens where the
/// kernel or the filesystem cannot do it.
pub fn begin_write_back(file: impl AsFd, offset: u64, length_bytes: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length_bytes)) else { return };
    // Of 0 bytes the kernel would take all.
    if length > 0 {
        _ = raw::begin_write_back(file.as_fd(), offset, length);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn a_file_that_is_being_written_back_has_its_content_and_takes_more() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..3 * 1024 * 1024_u32).map(|i| (i >> 5) as u8).collect();
        for (part, offset) in content.chunks(1024 * 1024).zip((0..).step_by(1024 * 1024)) {
            file.write_all(part).unwrap();
            begin_write_back(&file, offset, part.len() as u64);
        }
        begin_write_back(&file, u64::MAX, 1);
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == content);
    }

    #[test]
    fn what_cannot_be_written_back_is_left_alone() {
        let (pipe, _end) = rustix::pipe::pipe().unwrap();
        begin_write_back(pipe, 0, 1);
    }
}
