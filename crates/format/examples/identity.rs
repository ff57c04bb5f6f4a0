//! The composefs image that a dump describes, and its identity: `identity DUMP IMAGE`, as `mkcomposefs --from-file
//! --print-digest` makes them.

use std::error::Error;
use std::path::Path;

use sealpack_format::dump::{Mode, parse};
use sealpack_format::erofs::{FormatVersion, write_metadata_image};
use sealpack_format::verity::fsverity_digest;
use sealpack_format::{Algorithm, ObjectId};

/// Writes the metadata image that `dump` describes to `image`, and answers with its fs-verity digest.
fn identity(dump: &[u8], image: &Path) -> Result<ObjectId, Box<dyn Error>> {
    let tree = parse(dump, Mode::Strict)?;
    let mut bytes = Vec::new();
    write_metadata_image(&tree, FormatVersion::lowest_for(&tree), &mut bytes)?;
    std::fs::write(image, &bytes)?;
    Ok(fsverity_digest(Algorithm::Sha256, &bytes))
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let [_, dump, image] =
        std::env::args().collect::<Vec<_>>().try_into().map_err(|_| "usage: identity DUMP IMAGE")?;
    println!("{}", identity(&std::fs::read(dump)?, image.as_ref())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpack_format::erofs::Image;

    #[test]
    fn what_is_written_reads_back_and_another_dump_has_another_identity() -> Result<(), Box<dyn Error>> {
        let place = tempfile::tempdir()?;
        let image = place.path().join("image");
        let root = "/ 4096 40755 2 0 0 0 0.0 - - -\n";
        let empty = identity(root.as_bytes(), &image)?;
        let with_file = format!("{root}/hello 5 100644 1 0 0 0 0.0 - world -\n");
        let other = identity(with_file.as_bytes(), &image)?;
        assert_ne!(empty, other);
        let bytes = std::fs::read(&image)?;
        // The root directory and the file.
        assert_eq!(Image::open(&bytes)?.to_tree()?.len(), 2);
        assert!(identity(b"no dump", &image).is_err());
        Ok(())
    }
}
