//! `meta.json`: what kind of store this is.

use std::collections::BTreeMap;
use std::io::Read;

use sealpack_format::digest::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dir::Dir;
use crate::documents::to_json;
use crate::error::{Error, Result};
use crate::places::{self, META};

/// What `format` says in it.
const FORMAT: &str = "sealpack-store";

/// The version of the layout. A program refuses stores with a higher one, so raising it
/// locks out every older program.
pub(crate) const VERSION: u64 = 1;

/// The features that a program must know to use a store that has them.
const KNOWN_INCOMPAT: [&str; 4] =
    [Feature::Packs.name(), Feature::History.name(), Feature::Seals.name(), Feature::Chains.name()];

/// As many bytes as no sane file has.
const MAX_BYTES: u64 = 64 * 1024;

/// What a store has from the time that it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Packs, their records, hash areas and seals. A program that does not know them would take them for strays, and
    /// images in packs for broken ones.
    Packs,
    /// Histories and epochs of names. A program that does not know them would remove what earlier images need, and
    /// take an older image for a newer one.
    History,
    /// Seals named for manifest and statement, and names that say which is theirs. A program that does not know them
    /// would find none.
    Seals,
    /// Chains that are held. A program that does not know them would remove what they need.
    Chains,
}

impl Feature {
    /// Its word in `meta.json`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Packs => "packs",
            Self::History => "history",
            Self::Seals => "seals",
            Self::Chains => "chains",
        }
    }

    /// What it brings.
    pub(crate) const fn directories(self) -> &'static [&'static str] {
        match self {
            Self::Packs => &[places::PACKS_PARENT, places::PACKS, places::SEALS],
            Self::History => &[places::HISTORY, places::EPOCHS],
            Self::Seals => &[places::SEALS],
            Self::Chains => &[places::CHAINS],
        }
    }
}

/// The content of `meta.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    format: String,
    version: u64,
    algorithm: String,
    /// Features that a program may ignore.
    #[serde(default)]
    compat: Vec<String>,
    /// Features that a program must know.
    #[serde(default)]
    incompat: Vec<String>,
    /// What later programs add.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

impl Meta {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            algorithm: algorithm.to_string(),
            compat: Vec::new(),
            incompat: Vec::new(),
            other: BTreeMap::new(),
        }
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        to_json(self).map_err(|e| Error::io("write", META, e))
    }

    /// Whether the store has that feature.
    pub(crate) fn has(&self, feature: &str) -> bool {
        self.incompat.iter().any(|has| has == feature)
    }

    /// Adds a feature that a program must know.
    pub(crate) fn add(&mut self, feature: &str) {
        self.incompat.push(feature.to_owned());
    }

    /// Reads the file in `root`. `None` when there is none.
    pub(crate) fn read(root: &Dir) -> Result<Option<(Self, Algorithm)>> {
        let Some(file) = root.read(META)? else { return Ok(None) };
        let mut json = Vec::new();
        let read = file.take(MAX_BYTES + 1).read_to_end(&mut json);
        read.map_err(|e| Error::io("read", root.at(META), e))?;
        if json.len() as u64 > MAX_BYTES {
            let what = format!("it has more than {MAX_BYTES} bytes");
            return Err(Error::Meta { path: root.at(META), what });
        }
        Self::parse(&json, root).map(Some)
    }

    /// The version decides before anything else is looked at: the rest may have changed its form.
    fn parse(json: &[u8], root: &Dir) -> Result<(Self, Algorithm)> {
        let damaged = |what: String| Error::Meta { path: root.at(META), what };
        let value: Value = serde_json::from_slice(json).map_err(|e| damaged(e.to_string()))?;
        if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(damaged(format!("\"format\" is not {FORMAT:?}")));
        }
        match value.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(version) if version > VERSION => {
                return Err(Error::Newer { path: root.path().to_owned(), version, known: VERSION });
            }
            _ => return Err(damaged("\"version\" is not a number from 1 on".to_owned())),
        }
        let meta: Self = serde_json::from_value(value).map_err(|e| damaged(e.to_string()))?;
        let mut features = meta.incompat.clone();
        features.retain(|feature| !KNOWN_INCOMPAT.contains(&feature.as_str()));
        if !features.is_empty() {
            return Err(Error::Features { path: root.path().to_owned(), features });
        }
        let algorithm = meta.algorithm.parse();
        let algorithm =
            algorithm.map_err(|_| damaged(format!("unknown \"algorithm\" {:?}", meta.algorithm)))?;
        Ok((meta, algorithm))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::store::Store;

    #[test]
    fn a_file_that_is_too_large_is_refused_and_not_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        drop(Store::create(&path, Algorithm::Sha256).unwrap());
        let mut file = std::fs::OpenOptions::new().append(true).open(path.join(META)).unwrap();
        // Cut, it would be what it was before.
        file.write_all(&vec![b' '; 64 * 1024]).unwrap();
        let error = Store::open(&path).unwrap_err().to_string();
        assert!(error.contains(META) && error.contains("more than 65536 bytes"), "{error}");
    }
}
