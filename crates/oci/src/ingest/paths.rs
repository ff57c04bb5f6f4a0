//! Names in a layer's tar: what they mean and which are refused.

use sealpack_format::layer::PATH_MAX_BYTES;
use sealpack_format::tree::{TreeError, check_name};

/// The prefix of whiteouts (image-spec, layer.md, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// The name of the opaque marker ("Opaque Whiteout").
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The prefix of the bookkeeping that AUFS left in old layers; it means nothing to anybody else.
const AUFS: &[u8] = b".wh..wh.";

/// What a name in a layer's tar means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A file at this path; empty for the root.
    Path(Vec<u8>),
    /// The file at this path goes.
    Whiteout(Vec<u8>),
    /// The directory at this path hides what is below it.
    Opaque(Vec<u8>),
    /// To be passed over.
    Nothing,
}

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathProblem {
    /// It climbs.
    #[error("a name must not contain \"..\"")]
    Parent,
    /// It is longer than any path can be.
    #[error("the name has {0} bytes; the most that Linux takes is {PATH_MAX_BYTES}")]
    Long(usize),
    /// Something stands below a whiteout.
    #[error("nothing can be below a whiteout")]
    BelowWhiteout,
    /// A whiteout of nothing.
    #[error("the whiteout names nothing")]
    EmptyWhiteout,
    /// A part of it is no file name.
    #[error(transparent)]
    Name(#[from] TreeError),
}

/// The meaning of a tar member's name. A layer is extracted as a tar is (image-spec, layer.md, "Applying Changesets"), so
/// that slashes in front lead to the image's root, as they do for tar and containerd.
///
/// # Errors
/// `..`, and names that Linux would not take.
pub(super) fn meaning(name: &[u8]) -> Result<Meaning, PathProblem> {
    let path = plain(name)?;
    let (above, last) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&path[..0], path.as_slice()),
    };
    if path.split(|byte| *byte == b'/').any(|part| part.starts_with(AUFS) && part != OPAQUE) {
        return Ok(Meaning::Nothing);
    }
    if above.split(|byte| *byte == b'/').any(|part| part.starts_with(WHITEOUT)) {
        return Err(PathProblem::BelowWhiteout);
    }
    if last == OPAQUE {
        return Ok(Meaning::Opaque(above.to_vec()));
    }
    match last.strip_prefix(WHITEOUT) {
        Some(b"" | b"." | b"..") => Err(PathProblem::EmptyWhiteout),
        Some(hidden) if above.is_empty() => Ok(Meaning::Whiteout(hidden.to_vec())),
        Some(hidden) => Ok(Meaning::Whiteout([above, b"/", hidden].concat())),
        None => Ok(Meaning::Path(path)),
    }
}

/// The path that a hard link's target names. A leading slash is the image's root.
///
/// # Errors
/// `..`, and names that Linux would not take.
pub(super) fn link_target(name: &[u8]) -> Result<Vec<u8>, PathProblem> {
    plain(name)
}

/// `name` without empty parts and `.`.
fn plain(name: &[u8]) -> Result<Vec<u8>, PathProblem> {
    let mut path = Vec::with_capacity(name.len());
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(PathProblem::Parent),
            // A long path is told as such, whatever the lengths of its parts.
            _ if name.len() > PATH_MAX_BYTES => return Err(PathProblem::Long(name.len())),
            _ => check_name(part)?,
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<Meaning, PathProblem> {
        Ok(Meaning::Path(text.into()))
    }

    #[test]
    fn names_lose_what_means_nothing() {
        for name in
            ["usr/bin", "./usr/bin", "usr//./bin/", "././usr/bin//", "/usr/bin", "//usr/bin/", "/./usr/bin"]
        {
            assert_eq!(meaning(name.as_bytes()), path("usr/bin"), "{name}");
        }
        for name in [".", "./", "", ".//.", "/", "//", "/./"] {
            assert_eq!(meaning(name.as_bytes()), path(""), "{name}");
        }
        for name in ["/usr/bin", "//usr/bin", "./usr/bin/", "/./usr//bin"] {
            assert_eq!(link_target(name.as_bytes()), Ok(b"usr/bin".to_vec()), "{name}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_or_are_none_are_refused() {
        for name in [&b".."[..], b"../x", b"a/../b", b"a/..", b"/..", b"/../x", b"/a/../b"] {
            assert_eq!(meaning(name), Err(PathProblem::Parent));
            assert_eq!(link_target(name), Err(PathProblem::Parent));
        }
        assert_eq!(meaning(&b"x/".repeat(5000)), Err(PathProblem::Long(10_000)));
        assert!(matches!(meaning(&[b'x'; 256]), Err(PathProblem::Name(TreeError::Name { .. }))));
        assert!(matches!(meaning(b"a\0b"), Err(PathProblem::Name(TreeError::Name { .. }))));
    }

    #[test]
    fn whiteouts_name_what_they_hide() {
        assert_eq!(meaning(b"a/.wh.b"), Ok(Meaning::Whiteout(b"a/b".to_vec())));
        assert_eq!(meaning(b"./.wh.b"), Ok(Meaning::Whiteout(b"b".to_vec())));
        assert_eq!(meaning(b"/.wh.b"), Ok(Meaning::Whiteout(b"b".to_vec())));
        assert_eq!(meaning(b"//a/.wh.b"), Ok(Meaning::Whiteout(b"a/b".to_vec())));
        assert_eq!(meaning(b"/.wh..wh..opq"), Ok(Meaning::Opaque(Vec::new())));
        assert_eq!(meaning(b"/a/.wh..wh..opq"), Ok(Meaning::Opaque(b"a".to_vec())));
        assert_eq!(meaning(b"/.wh..wh.plnk/1"), Ok(Meaning::Nothing));
        assert_eq!(meaning(b"a/.wh..wh..opq"), Ok(Meaning::Opaque(b"a".to_vec())));
        assert_eq!(meaning(b".wh..wh..opq"), Ok(Meaning::Opaque(Vec::new())));
        assert_eq!(meaning(b".wh..wh.plnk/1234"), Ok(Meaning::Nothing));
        assert_eq!(meaning(b".wh..wh.aufs"), Ok(Meaning::Nothing));
        for name in [&b".wh."[..], b".wh..", b".wh..."] {
            assert_eq!(meaning(name), Err(PathProblem::EmptyWhiteout));
        }
        assert_eq!(meaning(b".wh.a/b"), Err(PathProblem::BelowWhiteout));
    }
}
