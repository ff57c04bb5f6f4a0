//! Names of images as names of files.
//!
//! ASCII letters, digits and `._-:@+=` stand for themselves, except a dot at the beginning; every other
//! byte is `%` and two hex digits. What would be longer than a file name can be is cut, and
//! ends in `~` and the SHA-256 of the name. No two names share a file: `~` is never literal.

use std::fmt::Write;

use sealpack_format::digest::Algorithm;

use crate::error::{Error, Result};
use crate::hash::blob_digest;

/// The longest name of an image, in bytes.
pub const REF_NAME_MAX_BYTES: usize = 4096;

/// The end of every file name in `refs/`.
pub(super) const SUFFIX: &str = ".json";

/// The longest encoded name that is not cut: with the suffix it stays below NAME_MAX (255).
const WHOLE_MAX_BYTES: usize = 240;

/// How much of a longer one is kept for people to recognise it.
const CUT_BYTES: usize = 160;

/// Checks that `name` can be the name of an image.
pub(super) fn check(name: &str) -> Result<()> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > REF_NAME_MAX_BYTES {
        "it is longer than 4096 bytes"
    } else if name.chars().any(char::is_control) {
        "it contains control characters"
    } else {
        return Ok(());
    };
    Err(Error::Name { name: name.chars().take(160).collect(), why })
}

/// The name of the file in `refs/` for an image called `name`.
pub(crate) fn file_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        let literal = byte.is_ascii_alphanumeric() || b"_-:@+=".contains(&byte) || byte == b'.' && index > 0;
        if literal {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    if encoded.len() > WHOLE_MAX_BYTES {
        encoded.truncate(CUT_BYTES);
        encoded.push('~');
        encoded.push_str(&blob_digest(Algorithm::Sha256, name.as_bytes()).hex());
    }
    encoded.push_str(SUFFIX);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_names_stay_readable() {
        assert_eq!(file_name("docker.io/library/debian:12"), "docker.io%2Flibrary%2Fdebian:12.json");
        assert_eq!(file_name(".."), "%2E..json");
        assert_eq!(file_name("a~b%"), "a%7Eb%25.json");
    }

    #[test]
    fn long_names_that_begin_alike_have_files_of_their_own() {
        let long = |end| "x".repeat(4000) + end;
        let (a, b) = (file_name(&long("a")), file_name(&long("b")));
        assert_ne!(a, b);
        assert!(a.len() <= 255 && a.starts_with(&("x".repeat(160) + "~")));
        // The name that looks like a cut one is no clash.
        assert_ne!(file_name(a.strip_suffix(".json").unwrap()), a);
    }

    #[test]
    fn what_cannot_be_a_name_says_why() {
        let why = |name: &str| check(name).unwrap_err().to_string();
        assert!(why("").ends_with("it is empty"));
        assert!(why("a\nb").ends_with("it contains control characters"));
        assert!(why(&"é".repeat(2049)).ends_with("it is longer than 4096 bytes"));
        check(&"é".repeat(2048)).unwrap();
    }

    proptest! {
        #[test]
        fn any_name_gives_one_plain_file_name_that_only_it_has(a in any::<String>(), b in any::<String>(), c in "[./%~a]{1,300}") {
            let (fa, fb, fc) = (file_name(&a), file_name(&b), file_name(&c));
            for file in [&fa, &fb, &fc] {
                prop_assert!(file.len() <= 255);
                prop_assert!(!file.contains('/') && !file.contains('\0') && file.is_ascii());
                prop_assert!(!file.starts_with('.') || file == ".json");
            }
            prop_assert_eq!(a == b, fa == fb);
            prop_assert_eq!(a == c, fa == fc);
        }
    }
}
