//! Records of layers.

use sealpack_format::layer::{LayerEntry, LayerReader, LayerWriter};

/// A record that is accepted to its end is written again as the same bytes.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(reader) = LayerReader::new(bytes) else { return };
    let algorithm = reader.algorithm();
    let Ok(entries) = reader.collect::<Result<Vec<LayerEntry>, _>>() else { return };
    let mut writer = LayerWriter::new(Vec::new(), algorithm).expect("writing to memory does not fail");
    for entry in &entries {
        writer.push(entry).expect("what was read from a record fits into one");
    }
    let again = writer.finish().expect("writing to memory does not fail");
    assert!(bytes.starts_with(&again), "another record came of what was read from the first");
}
