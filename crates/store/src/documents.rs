//! Documents: small files that are written whole, mostly JSON.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::dir::{Dir, sync_file};
use crate::error::{Error, Result};
use crate::places::DOCUMENT_PREFIX;

/// Puts a file with that content at `name` in `directory`, in the place of an earlier one; written in `tmp`.
/// Durable on return; interrupted, it leaves what was there before.
pub(crate) fn put(tmp: &Dir, directory: &Dir, name: &Path, content: &[u8], mode: u32) -> Result<()> {
    let temporary = temporary_name();
    let path = tmp.at(&temporary);
    let written = tmp.create(&temporary, mode).and_then(|mut file| {
        file.write_all(content).map_err(|e| Error::io("write", &path, e))?;
        sync_file(&file, &path)?;
        tmp.rename(&temporary, directory, name)
    });
    if written.is_err() {
        // The first error is the one to tell; gc removes what this leaves.
        let _ = tmp.unlink(&temporary);
    }
    written?;
    directory.sync()
}

/// A file in `tmp` that goes with its descriptor.
pub(crate) fn scratch(tmp: &Dir) -> std::io::Result<std::fs::File> {
    tmp.scratch(&temporary_name()).map_err(std::io::Error::other)
}

/// The text of a document: pretty JSON, and a newline.
pub(crate) fn to_json(content: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(content)?;
    json.push(b'\n');
    Ok(json)
}

/// Parses JSON whose `version` is `known`. The error says what is wrong with it.
pub(crate) fn parse_versioned<T: DeserializeOwned>(
    json: &[u8],
    known: u64,
) -> std::result::Result<T, String> {
    let value: Value = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version == known => serde_json::from_value(value).map_err(|e| e.to_string()),
        Some(version) if version > known => {
            Err(format!("it has version {version}, and this program knows {known}: use a newer sealpack"))
        }
        _ => Err("\"version\" is not a number from 1 on".to_owned()),
    }
}

/// A name that no other file in `tmp/` has: gc removes leftovers under the exclusive lock,
/// so those of dead processes with the same number are the only others; create refuses to reuse them.
fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{DOCUMENT_PREFIX}{}-{}-{next}", std::process::id(), now.as_nanos())
}
