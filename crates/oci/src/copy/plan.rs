//! What a copy consists of, found and checked before anything is written.

use std::collections::{BTreeSet, VecDeque};

use sealpack_format::BlobDigest;

use super::{CopyOptions, Platforms};
use crate::artifact::{LeftOut, fetch_referrer, is_contents};
use crate::error::{Error, Result};
use crate::image::{ImageSource, NESTING_LIMIT, check_entry, resolve_root};
use crate::manifest::{Descriptor, Document, Index, Manifest};
use crate::media_type::MediaKind;
use crate::referrers::REFERRER_LIMIT;

/// Deepest chain of referrers of referrers that is followed.
const CHAIN_LIMIT: usize = 8;
/// Most bytes of manifests and indexes, which are kept in memory.
const MANIFESTS_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// A manifest or index to be written.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) descriptor: Descriptor,
    pub(super) bytes: Vec<u8>,
}

/// Everything to be written, what is named before what names it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Manifests and indexes, the root last.
    pub(super) images: Vec<Planned>,
    /// Referrers, after what they refer to.
    pub(super) referrers: Vec<Planned>,
    /// Configs and layers, each once.
    pub(super) blobs: Vec<Descriptor>,
    pub(super) left_out: Vec<LeftOut>,
    seen_blobs: BTreeSet<BlobDigest>,
    seen_manifests: BTreeSet<BlobDigest>,
    manifests_bytes: u64,
}

impl Plan {
    pub(super) fn make(source: &dyn ImageSource, options: &CopyOptions) -> Result<Self> {
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
        self.manifests_bytes += descriptor.size_bytes;
        if self.manifests_bytes > MANIFESTS_LIMIT_BYTES {
            let what = format!("the manifests of {}", source.description());
            return Err(Error::TooLarge { what, limit_bytes: MANIFESTS_LIMIT_BYTES });
        }
        match Document::parse(&what, Some(&descriptor.media_type), &bytes)? {
            Document::Manifest(manifest) => self.add_blobs(&what, *manifest),
            Document::Index(Index { manifests, .. }) => {
                if depth >= NESTING_LIMIT {
                    let problem = format!("indexes are nested more than {NESTING_LIMIT} deep");
                    return Err(Error::malformed(what, problem));
                }
                for entry in manifests {
                    check_entry(&what, &entry)?;
                    let bytes = source.fetch(&entry)?;
                    self.add(source, entry, bytes, depth + 1, to)?;
                }
            }
        }
        let (media_type, digest, size_bytes) =
            (descriptor.media_type, descriptor.digest, descriptor.size_bytes);
        to.push(Planned { descriptor: Descriptor::new(&media_type, digest, size_bytes), bytes });
        Ok(())
    }

    fn add_blobs(&mut self, what: &str, manifest: Manifest) {
        for blob in [manifest.config].into_iter().chain(manifest.layers) {
            if !self.seen_blobs.insert(blob.digest) {
                continue;
            }
            if blob.kind() == MediaKind::ForeignLayer {
                let problem = format!("the layer {} of {what} is kept outside of registries", blob.digest);
                self.left_out.push(LeftOut { digest: blob.digest, problem });
                continue;
            }
            self.blobs.push(blob);
        }
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
                if found.len() >= REFERRER_LIMIT {
                    let what = source.description();
                    return Err(Error::TooMany { what, limit: REFERRER_LIMIT, of: "referrers in all" });
                }
                if depth >= CHAIN_LIMIT {
                    let what = source.description();
                    return Err(Error::TooMany { what, limit: CHAIN_LIMIT, of: "referrers in a chain" });
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
