//! Reading what must not be large.

use std::io::{self, Read};

/// All of `reader`, which is refused, and not cut, when there is more of it than `max_bytes`, whole MiB.
///
/// # Errors
/// Those of reading; [`FileTooLarge`](io::ErrorKind::FileTooLarge).
pub fn read_at_most(reader: impl Read, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let problem = format!("there is more of it than {} MiB, the most that is read", max_bytes >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_more_is_refused_and_not_cut() {
        let max_bytes = 1 << 20;
        assert_eq!(read_at_most(io::repeat(b'x').take(max_bytes), max_bytes).unwrap().len(), 1 << 20);
        let error = read_at_most(io::repeat(b'x').take(max_bytes + 1), max_bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "there is more of it than 1 MiB, the most that is read");
    }
}
