//! What a copy consists of, found and checked before anything is written.

use std::collections::{BTreeSet, VecDeque};

use sealpack_format::BlobDigest;

use super::options::{CopyOptions, Platforms};
use crate::artifact::{LeftOut, fetch_referrer, is_contents};
use crate::error::{Error, Result};
use crate::image::{NESTING_MAX, check_entry, resolve_root};
use crate::manifest::{Descriptor, Document, Index, Manifest};
use crate::media_type::MediaKind;
use crate::referrers::REFERRERS_MAX;
use crate::transport::ImageSource;

/// Deepest chain of referrers of referrers that is followed.
const CHAIN_MAX: usize = 8;
/// Most manifests and indexes: each image of them costs requests for its referrers.
const MANIFESTS_MAX: usize = 4096;
/// Most configs and layers.
const BLOBS_MAX: usize = 65_536;
/// Most bytes of manifests and indexes, which are kept in memory.
const MANIFESTS_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A manifest or index to be written.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Vec<u8>,
}

/// Everything to be written, what is named before what names it.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Manifests and indexes, the root last.
    pub(crate) images: Vec<Planned>,
    /// Referrers, after what they refer to.
    pub(crate) referrers: Vec<Planned>,
    /// Configs and layers, each once.
    pub(crate) blobs: Vec<Descriptor>,
    pub(crate) left_out: Vec<LeftOut>,
    /// Why a layer is not among the blobs, if one is not.
    absent: Option<String>,
    seen_blobs: BTreeSet<BlobDigest>,
    seen_manifests: BTreeSet<BlobDigest>,
    manifests_bytes: u64,
}

impl Plan {
    pub(crate) fn make(source: &dyn ImageSource, options: &CopyOptions) -> Result<Self> {
        let (root, bytes) = source.root()?;
        let what = source.description();
        let document = Document::parse(&what, Some(&root.media_type), &bytes)?;
        let chosen = match (&options.platforms, &document) {
            (Platforms::All, _) | (Platforms::Usual(_), Document::Manifest(_)) => (root, bytes),
            (Platforms::Usual(platform) | Platforms::Only(platform), _) => {
                let image = resolve_root(source, root, bytes, platform)?;
                (image.manifest, image.manifest_bytes)
            }
        };
        let mut plan = Self::default();
        let mut images = Vec::new();
        plan.add(source, chosen.0, chosen.1, 0, &mut images)?;
        plan.images = images;
        if options.referrers {
            plan.add_referrers(source)?;
        }
        Ok(plan)
    }

    /// That no layer is missing: what is carried where nothing can be added has to be whole.
    pub(crate) fn check_whole(&self, source: &dyn ImageSource) -> Result<()> {
        match &self.absent {
            None => Ok(()),
            Some(problem) => Err(Error::Unsaved { what: source.description(), problem: problem.clone() }),
        }
    }

    /// Adds a manifest behind its blobs, or an index behind its manifests, each once.
    fn add(
        &mut self,
        source: &dyn ImageSource,
        descriptor: Descriptor,
        bytes: Vec<u8>,
        depth: usize,
        to: &mut Vec<Planned>,
    ) -> Result<()> {
        if !self.seen_manifests.insert(descriptor.digest) {
            return Ok(());
        }
        let what = format!("{} in {}", descriptor.digest, source.description());
        if self.seen_manifests.len() > MANIFESTS_MAX {
            let what = source.description();
            return Err(Error::TooMany { what, limit: MANIFESTS_MAX, of: "manifests and indexes" });
        }
        self.manifests_bytes += descriptor.size_bytes;
        if self.manifests_bytes > MANIFESTS_MAX_BYTES {
            let what = format!("the manifests of {}", source.description());
            return Err(Error::TooLarge { what, limit_bytes: MANIFESTS_MAX_BYTES });
        }
        match Document::parse(&what, Some(&descriptor.media_type), &bytes)? {
            Document::Manifest(manifest) => self.add_blobs(source, &what, *manifest)?,
            Document::Index(Index { manifests, .. }) => {
                if depth >= NESTING_MAX {
                    let problem = format!("indexes are nested more than {NESTING_MAX} deep");
                    return Err(Error::malformed(what, problem));
                }
                for entry in manifests {
                    check_entry(&what, &entry)?;
                    let bytes = source.fetch(&entry)?;
                    self.add(source, entry, bytes, depth + 1, to)?;
                }
            }
        }
        let mut descriptor = descriptor;
        descriptor.learn_media_type(&bytes);
        let Descriptor { media_type, digest, size_bytes, .. } = descriptor;
        to.push(Planned { descriptor: Descriptor::new(&media_type, digest, size_bytes), bytes });
        Ok(())
    }

    fn add_blobs(&mut self, source: &dyn ImageSource, what: &str, manifest: Manifest) -> Result<()> {
        for blob in [manifest.config].into_iter().chain(manifest.layers) {
            if !self.seen_blobs.insert(blob.digest) {
                continue;
            }
            if matches!(blob.kind(), MediaKind::ForeignLayer(_)) && !has(source, &blob)? {
                let problem = format!("the layer {} of {what} is kept outside of registries", blob.digest);
                self.absent.get_or_insert_with(|| problem.clone());
                self.left_out.push(LeftOut { digest: blob.digest, problem });
                continue;
            }
            self.blobs.push(blob);
        }
        if self.seen_blobs.len() > BLOBS_MAX {
            return Err(Error::TooMany { what: what.to_owned(), limit: BLOBS_MAX, of: "blobs up to it" });
        }
        Ok(())
    }

    /// Adds the referrers of all images, and theirs.
    fn add_referrers(&mut self, source: &dyn ImageSource) -> Result<()> {
        let mut subjects: VecDeque<(Descriptor, usize)> =
            self.images.iter().map(|image| (image.descriptor.clone(), 0)).collect();
        let mut found = Vec::new();
        while let Some((subject, depth)) = subjects.pop_front() {
            for entry in source.referrers(&subject, None)? {
                if self.seen_manifests.contains(&entry.digest) {
                    continue;
                }
                if found.len() >= REFERRERS_MAX {
                    let what = source.description();
                    return Err(Error::TooMany { what, limit: REFERRERS_MAX, of: "referrers in all" });
                }
                if depth >= CHAIN_MAX {
                    let what = source.description();
                    return Err(Error::TooMany { what, limit: CHAIN_MAX, of: "referrers in a chain" });
                }
                match fetch_referrer(source, &entry, &subject) {
                    Ok((_, bytes)) => self.add(source, entry.clone(), bytes, 0, &mut found)?,
                    Err(error) if is_contents(&error) => {
                        self.left_out.push(LeftOut { digest: entry.digest, problem: error.to_string() });
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                subjects.push_back((entry, depth + 1));
            }
        }
        self.referrers = found;
        Ok(())
    }
}

/// Whether the source has a blob that it need not have.
fn has(source: &dyn ImageSource, blob: &Descriptor) -> Result<bool> {
    match source.open(blob, 0) {
        Ok(_) => Ok(true),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use serde_json::json;

    use super::*;
    use crate::media_type::{OCI_INDEX, OCI_MANIFEST};
    use sealpack_format::reference::Reference;

    /// An index in which an index is named again and again, each time with other manifests, or each with many layers.
    struct Endless {
        indexes: usize,
        layers: usize,
    }

    impl Endless {
        fn entry(media_type: &str, number: usize) -> serde_json::Value {
            Descriptor::of(media_type, &number.to_le_bytes()).to_json()
        }

        fn index(entries: impl Iterator<Item = serde_json::Value>) -> Vec<u8> {
            let entries: Vec<_> = entries.collect();
            json!({"schemaVersion": 2, "manifests": entries}).to_string().into_bytes()
        }
    }

    impl ImageSource for Endless {
        fn description(&self) -> String {
            "endless".to_owned()
        }

        fn root(&self) -> Result<(Descriptor, Vec<u8>)> {
            let bytes = Self::index((0..self.indexes).map(|number| Self::entry(OCI_INDEX, number)));
            Ok((Descriptor::of(OCI_INDEX, &bytes), bytes))
        }

        fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
            let first = usize::from_str_radix(&descriptor.digest.hex()[..8], 16).unwrap_or_default();
            if descriptor.kind() == MediaKind::Index {
                let numbers = (1..=200).map(|number| first * 1000 + number);
                return Ok(Self::index(numbers.map(|number| Self::entry(OCI_MANIFEST, number))));
            }
            let layers: Vec<_> =
                (0..self.layers).map(|number| Self::entry("x", first * 1_000_000 + number)).collect();
            let manifest = json!({"schemaVersion": 2, "config": Self::entry("x", first), "layers": layers});
            Ok(manifest.to_string().into_bytes())
        }

        fn open(&self, _: &Descriptor, _: u64) -> Result<Box<dyn Read + Send>> {
            Ok(Box::new(std::io::empty()))
        }

        fn default_name(&self) -> Option<Reference> {
            None
        }
    }

    #[test]
    fn a_source_cannot_make_a_plan_without_end() {
        let options = CopyOptions { platforms: Platforms::All, referrers: true };
        for (indexes, layers, of) in [(100, 0, "manifests and indexes"), (2, 500, "blobs up to it")] {
            let error = Plan::make(&Endless { indexes, layers }, &options).unwrap_err();
            assert!(matches!(error, Error::TooMany { of: found, .. } if found == of), "{error}");
        }
    }
}
