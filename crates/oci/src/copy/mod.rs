//! Images from one place to another, byte for byte, with what has been said about them.
//!
//! Everything is found and checked first; then blobs, manifests and referrers are written, and the name last:
//! whoever reads the target meanwhile sees what the name meant before.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sealpack_format::reference::Reference;

use crate::artifact::LeftOut;
use crate::error::{Error, Result};
use crate::manifest::Descriptor;
use crate::media_type::MediaKind;
use crate::transport::{ImageSource, ImageTarget, Naming, Open, put_bytes};

mod options;
mod plan;

pub use options::{CopyOptions, Platforms};

pub(crate) use plan::Plan;
use plan::Planned;

/// The most blobs that are copied at once.
const BLOBS_AT_ONCE: usize = 4;

/// What came of a copy.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The manifest or index that has the target's name now.
    pub root: Descriptor,
    /// The number of manifests and indexes, the referrers not counted.
    pub manifests: usize,
    /// The number of referrers.
    pub referrers: usize,
    /// What was listed as a referrer but is none, or a layer that may not be distributed.
    pub left_out: Vec<LeftOut>,
    /// Tags that list referrers, since the registry does not.
    pub fallback_tags: Vec<String>,
    /// The number of blobs, and what became of them.
    pub blobs: Figures,
}

/// What became of blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// The target had them.
    pub known: usize,
    /// They were taken over from another repository of the registry.
    pub mounted: usize,
    /// They were transferred.
    pub sent: usize,
    /// The bytes of those.
    pub sent_bytes: u64,
}

/// Hears what a copy does. Called from several threads.
pub trait Observer: Sync {
    /// Something has happened.
    fn event(&self, event: &Event<'_>);
}

/// Hears nothing.
impl Observer for () {
    fn event(&self, _: &Event<'_>) {}
}

/// What happens during a copy.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// All is found; nothing is written yet.
    Planned {
        /// The number of manifests and indexes, referrers not counted.
        manifests: usize,
        /// The number of referrers.
        referrers: usize,
        /// The number of blobs.
        blobs: usize,
        /// Their size in bytes.
        size_bytes: u64,
    },
    /// The target has this blob.
    Known(&'a Descriptor),
    /// This blob was taken over from another repository.
    Mounted(&'a Descriptor),
    /// This blob is being transferred.
    Started(&'a Descriptor),
    /// So many bytes of the blob are there; fewer than before when the transfer begins anew.
    Sent(&'a Descriptor, u64),
    /// The blob is there.
    Stored(&'a Descriptor),
    /// Something is not copied.
    LeftOut(&'a LeftOut),
}

/// Copies what `source` names to `target`.
///
/// # Errors
/// When something cannot be read, is not what its descriptor says, breaks a limit, or cannot be written. The
/// target's name is as it was then; blobs and manifests that no name leads to may be there.
pub fn copy(
    source: &dyn ImageSource,
    target: &dyn ImageTarget,
    options: &CopyOptions,
    observer: &dyn Observer,
) -> Result<Copied> {
    let plan = Plan::make(source, options)?;
    plan.left_out.iter().for_each(|left_out| observer.event(&Event::LeftOut(left_out)));
    observer.event(&Event::Planned {
        manifests: plan.images.len(),
        referrers: plan.referrers.len(),
        blobs: plan.blobs.len(),
        size_bytes: plan.blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size_bytes)),
    });
    target.check_room(&plan.blobs)?;
    let from = source.default_name().filter(|_| source.is_remote());
    let blobs = Transfer { source, target, observer, from }.all(&plan.blobs)?;
    let mut fallback_tags = Vec::new();
    let mut put = |manifest: &Planned, naming| -> Result<()> {
        let pushed = target.put_manifest(&manifest.descriptor, &manifest.bytes, naming)?;
        fallback_tags.extend(pushed.fallback_tag);
        Ok(())
    };
    // The root comes last among the images.
    let Some(root) = plan.images.last() else {
        return Err(Error::malformed(source.description(), "there is nothing to copy"));
    };
    for manifest in plan.images.iter().chain(&plan.referrers) {
        put(manifest, Naming::Digest)?;
    }
    put(root, Naming::Target)?;
    fallback_tags.sort();
    fallback_tags.dedup();
    Ok(Copied {
        root: root.descriptor.clone(),
        manifests: plan.images.len(),
        referrers: plan.referrers.len(),
        left_out: plan.left_out,
        fallback_tags,
        blobs,
    })
}

/// The way of the blobs.
struct Transfer<'a> {
    source: &'a dyn ImageSource,
    target: &'a dyn ImageTarget,
    observer: &'a dyn Observer,
    /// Where the target's registry may have them.
    from: Option<Reference>,
}

/// What became of one blob.
enum Outcome {
    Known,
    Mounted,
    Sent(u64),
}

impl Transfer<'_> {
    /// Copies the blobs, several at once; the first failure ends the others.
    fn all(&self, blobs: &[Descriptor]) -> Result<Figures> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (figures, failure) = (Mutex::new(Figures::default()), Mutex::new(None));
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                match self.one(blob) {
                    Ok(outcome) => {
                        figures.lock().unwrap_or_else(PoisonError::into_inner).count(&outcome);
                    }
                    Err(error) => {
                        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..blobs.len().min(BLOBS_AT_ONCE) {
                scope.spawn(work);
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(figures.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn one(&self, blob: &Descriptor) -> Result<Outcome> {
        if self.target.has_blob(blob)? {
            self.observer.event(&Event::Known(blob));
            return Ok(Outcome::Known);
        }
        if let Some(from) = &self.from
            && self.target.mount_blob(blob, from)?
        {
            self.observer.event(&Event::Mounted(blob));
            return Ok(Outcome::Mounted);
        }
        self.observer.event(&Event::Started(blob));
        match self.send(blob) {
            // A mirror gave other bytes; the registry itself may have the right ones.
            Err(Error::DigestMismatch { .. }) if self.source.reject(blob) => self.send(blob)?,
            other => other?,
        }
        self.observer.event(&Event::Stored(blob));
        Ok(Outcome::Sent(blob.size_bytes))
    }

    fn send(&self, blob: &Descriptor) -> Result<()> {
        let in_memory = blob.size_bytes <= blob.memory_limit_bytes();
        if in_memory && !matches!(blob.kind(), MediaKind::Layer(_)) {
            return put_bytes(self.target, blob, &self.source.fetch(blob)?);
        }
        let open: &Open<'_> = &|offset| self.source.open(blob, offset);
        self.target.put_blob(blob, open, &|sent| self.observer.event(&Event::Sent(blob, sent)))
    }
}

impl Figures {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Known => self.known += 1,
            Outcome::Mounted => self.mounted += 1,
            Outcome::Sent(bytes) => {
                self.sent += 1;
                self.sent_bytes += bytes;
            }
        }
    }
}
