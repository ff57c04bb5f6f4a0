//! Reading and writing small files.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use super::failure::Failure;

/// The bytes of a file that has at most `max`.
///
/// # Errors
/// It cannot be read, or is larger.
pub(crate) fn read(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|error| Failure::at(path, &error))?;
    if bytes.len() > max {
        return Err(Failure::new(format!("{} is larger than {max} bytes", path.display())));
    }
    Ok(bytes)
}

/// The text of one of the kernel's small files, without its newline.
///
/// # Errors
/// It cannot be read, or is no text.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read(path, 64 * 1024)?;
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::new(format!("{} is no text", path.display())))?;
    Ok(text.trim_end().to_owned())
}

/// Sets one of the kernel's small files, in a single call.
///
/// # Errors
/// It cannot be opened, or the kernel takes no such value.
pub(crate) fn set(path: &Path, value: &str) -> Result<(), Failure> {
    let set = File::options().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes()));
    set.map_err(|error| Failure::new(format!("{}, set to {value}: {error}", path.display())))
}

/// As [`set`], and the kernel shows `shown` afterwards.
///
/// # Errors
/// As for [`set`]; it shows something else.
pub(crate) fn set_and_see(path: &Path, value: &str, shown: &str) -> Result<(), Failure> {
    set(path, value)?;
    match read_text(path)? {
        text if text == shown => Ok(()),
        text => Err(Failure::new(format!("{} says {text:?} after it was set to {value}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345\n").unwrap();
        assert_eq!(read(file.path(), 6).unwrap(), b"12345\n");
        assert_eq!(read_text(file.path()).unwrap(), "12345");
        assert!(read(file.path(), 5).unwrap_err().why.ends_with("is larger than 5 bytes"));
    }

    #[test]
    fn what_does_not_stay_as_it_was_set_is_a_failure() {
        let file = tempfile::NamedTempFile::new().unwrap();
        set_and_see(file.path(), "3", "3").unwrap();
        let failure = set_and_see(file.path(), "1", "2").unwrap_err();
        assert!(failure.why.ends_with("says \"1\" after it was set to 1"), "{}", failure.why);
        let failure = set(Path::new("/nowhere/at/all"), "1").unwrap_err();
        assert!(failure.why.starts_with("/nowhere/at/all, set to 1: No such file"), "{}", failure.why);
    }
}
