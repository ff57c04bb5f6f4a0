//! Packs.

use std::io::Cursor;

use sealpack_format::Algorithm;
use sealpack_format::pack::{PackOptions, PackReader};
use sealpack_format::verity::dmverity::Superblock;
use sealpack_format::verity::{fsverity_digest, hash_blocks_portably};

/// What can be opened can be read as far as it says, or says what is wrong; and a pack that passes verification has
/// objects whose contents are those of their names.
pub(crate) fn check(bytes: &[u8]) {
    _ = Superblock::parse(bytes);
    let Ok(reader) = PackReader::open(Cursor::new(bytes)) else { return };
    let objects = reader.objects().to_vec();
    // A few bytes can describe a hole of a terabyte; the limit is that of whoever reads.
    let small = |size_bytes: u64| size_bytes <= 1024 * 1024;
    for object in objects.iter().filter(|object| small(object.size_bytes)) {
        let mut content = Vec::new();
        if reader.read(object, hash_blocks_portably, &mut content).is_ok() {
            assert_eq!(fsverity_digest(Algorithm::Sha256, &content), object.id);
        }
    }
    let Ok(root) = reader.root_hash(hash_blocks_portably) else { return };
    if objects.iter().all(|object| small(object.size_bytes)) {
        let scratch = || Ok(Cursor::new(Vec::new()));
        _ = reader.verify(&root, scratch, PackOptions::default());
    }
}
