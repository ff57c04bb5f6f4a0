//! How images are read from where they are, and written to where they go: a registry, a layout or an archive.

use std::fmt;
use std::io::Read;

use sealpack_format::reference::Reference;

use crate::error::{Error, Result};
use crate::manifest::{Descriptor, Document, MANIFEST_MAX_BYTES};

/// Where an image comes from: a registry, a layout or an archive.
///
/// What [`root`](Self::root) and [`fetch`](Self::fetch) return is verified. What
/// [`open`](Self::open) reads is not: its reader hashes and compares.
pub trait ImageSource: Send + Sync {
    /// The source as messages name it.
    fn description(&self) -> String;

    /// The manifest or index that the source names, and its bytes. Where a digest was given,
    /// the bytes have it.
    ///
    /// # Errors
    /// When there is none, it cannot be had, or it is not the one asked for.
    fn root(&self) -> Result<(Descriptor, Vec<u8>)>;

    /// A manifest, index or config, its size and digest checked.
    ///
    /// # Errors
    /// When it is missing, larger than [`Descriptor::memory_limit_bytes`], or other bytes than described.
    fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>>;

    /// The bytes of a layer from `offset` on. A broken transfer is resumed inside. The reader ends
    /// after exactly [`size_bytes`](Descriptor::size_bytes) or with an error, which
    /// [`Error::from_read`] unwraps.
    ///
    /// # Errors
    /// When the layer is missing or cannot be had.
    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>>;

    /// The manifests that have `subject` as theirs, as the source lists them: with their artifact types and
    /// annotations, without those that are listed as another type than `artifact_type` if one is given. None where
    /// a source cannot have any.
    ///
    /// A list is the source's word: [`artifact::find`](crate::artifact::find) checks the subject. It is
    /// also all that there is to know of what was left out.
    ///
    /// # Errors
    /// When the list cannot be had, is none, or is longer than
    /// [`REFERRERS_MAX`](crate::referrers::REFERRERS_MAX) or [`PAGES_MAX`](crate::referrers::PAGES_MAX).
    fn referrers(&self, _subject: &Descriptor, _artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    /// The manifest or index that another tag of the same repository, or another name in the same layout, means, and its
    /// bytes; `None` where there is none. As with any tag, it is the source's word.
    ///
    /// # Errors
    /// When it cannot be had.
    fn tagged(&self, _tag: &str) -> Result<Option<(Descriptor, Vec<u8>)>> {
        Ok(None)
    }

    /// Told when the bytes that [`open`](Self::open) gave do not have the digest. Returns whether
    /// the blob may be read again from another place, a mirror's original for example.
    fn reject(&self, _descriptor: &Descriptor) -> bool {
        false
    }

    /// Whether bytes come over a network, so that those which did arrive are worth keeping.
    fn is_remote(&self) -> bool {
        false
    }

    /// The name for the image when the user gives none; `None` when the source suggests none.
    fn default_name(&self) -> Option<Reference>;
}

impl fmt::Debug for dyn ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageSource({})", self.description())
    }
}

/// Opens a blob from an offset on, as often as asked: an upload that breaks reads parts again.
pub type Open<'a> = dyn Fn(u64) -> Result<Box<dyn Read + Send>> + Sync + 'a;

/// What a manifest is put under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Its digest only.
    Digest,
    /// The name that the target's text has.
    Target,
}

/// What came of putting a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    /// The tag that lists the manifest as a referrer, where the registry has no list of its own.
    pub fallback_tag: Option<String>,
}

/// Where an image goes: a registry or a layout.
///
/// Blobs first, then the manifests that name them, then the indexes that name those.
pub trait ImageTarget: Send + Sync {
    /// The target as messages name it.
    fn description(&self) -> String;

    /// Whether the target has the blob.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn has_blob(&self, blob: &Descriptor) -> Result<bool>;

    /// Whether the target has the manifest or index.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn has_manifest(&self, manifest: &Descriptor) -> Result<bool>;

    /// Takes the blob over from another repository of the same registry, without a transfer. Returns
    /// whether it is there now; if not, it is to be [put](Self::put_blob).
    ///
    /// # Errors
    /// When the registry refuses access or cannot be reached.
    fn mount_blob(&self, _blob: &Descriptor, _from: &Reference) -> Result<bool> {
        Ok(false)
    }

    /// Refuses to begin with blobs that cannot fit, as far as the target does not have them. A registry alone knows how
    /// much it takes.
    ///
    /// # Errors
    /// [`Error::NoRoom`]; when it cannot be found out.
    fn check_room(&self, _blobs: &[Descriptor]) -> Result<()> {
        Ok(())
    }

    /// Writes a blob. `sent` is told how many of its bytes are there, which may become fewer when a
    /// transfer has to begin anew. What `open` gives is checked against size and digest.
    ///
    /// # Errors
    /// When the blob cannot be written, or is not the one described; nothing of it is there then.
    fn put_blob(&self, blob: &Descriptor, open: &Open<'_>, sent: &dyn Fn(u64)) -> Result<()>;

    /// Writes a manifest or index. One with a subject can be found as that one's referrer afterwards.
    ///
    /// # Errors
    /// When the bytes are not those described or no manifest, or the target does not take them.
    fn put_manifest(&self, manifest: &Descriptor, bytes: &[u8], naming: Naming) -> Result<Pushed>;
}

impl fmt::Debug for dyn ImageTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageTarget({})", self.description())
    }
}

/// Writes a blob that is in memory, unless the target has it.
///
/// # Errors
/// See [`ImageTarget::put_blob`].
pub fn put_bytes(target: &dyn ImageTarget, blob: &Descriptor, bytes: &[u8]) -> Result<()> {
    if target.has_blob(blob)? {
        return Ok(());
    }
    let open = |offset: u64| -> Result<Box<dyn Read + Send>> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(Box::new(std::io::Cursor::new(bytes.get(offset..).unwrap_or_default().to_vec())))
    };
    target.put_blob(blob, &open, &|_| {})
}

/// Reads a manifest that is about to be written, and checks that it is the one described.
pub(crate) fn check_manifest(what: &str, manifest: &Descriptor, bytes: &[u8]) -> Result<Document> {
    if manifest.size_bytes > MANIFEST_MAX_BYTES {
        return Err(Error::TooLarge { what: what.to_owned(), limit_bytes: MANIFEST_MAX_BYTES });
    }
    manifest.verify(what, bytes)?;
    Document::parse(what, Some(&manifest.media_type), bytes)
}
