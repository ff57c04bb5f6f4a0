//! Taking back what a pull has brought that came to nothing.

use std::time::Duration;

use sealpack_format::digest::{Algorithm, BlobDigest, DiffId};

use crate::error::{Error, Result};
use crate::fsck;
use crate::gc::{GcReport, Needed, Sweep};
use crate::images::ObjectsOfImage;
use crate::layers::layer_path;
use crate::lock::LockKind;
use crate::observer::Silent;
use crate::partial;
use crate::store::Store;

impl Store {
    /// Removes the records of `layers` (unless a named image has them), the downloads of `blobs`, and the
    /// objects that nothing in the store refers to then. Everything else stays, also what
    /// only gc would say that nobody needs.
    ///
    /// Answers whether it was done: not while somebody else uses the store. Then the next gc does it.
    ///
    /// # Errors
    /// [`Error::RootUnreadable`], and nothing is removed, when it cannot be found out what is needed; failures
    /// of the system.
    pub fn discard(
        &self,
        layers: &[DiffId],
        blobs: &[BlobDigest],
        objects_of: ObjectsOfImage<'_>,
    ) -> Result<bool> {
        let _lock = match self.lock(LockKind::Exclusive, Duration::ZERO) {
            Err(Error::Locked(_)) => return Ok(false),
            other => other?,
        };
        let needed = self
            .needed_but_for(layers, objects_of)
            .map_err(|source| Error::RootUnreadable { source: Box::new(source) })?;
        for diff_id in layers.iter().filter(|diff_id| !needed.files.contains(&layer_path(diff_id))) {
            self.root.unlink(layer_path(diff_id))?;
        }
        // What refers to objects is gone for good before they go.
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            self.root.sub(&format!("layers/{algorithm}"))?.sync()?;
        }
        if let Some(partials) = self.tmp.try_sub(partial::DIRECTORY)? {
            for digest in blobs {
                partials.unlink(partial::file_name(digest))?;
            }
        }
        let mut sweep = Sweep { dry_run: false, report: GcReport::default(), observer: &Silent };
        self.sweep_objects(&needed, &mut sweep)?;
        Ok(true)
    }

    /// What all that is in the store needs, `layers` apart.
    fn needed_but_for(&self, layers: &[DiffId], objects_of: ObjectsOfImage<'_>) -> Result<Needed> {
        let found = fsck::scan::scan(self)?;
        let mut needed = self.needed(&found.images, objects_of, &Silent)?;
        for diff_id in found.layers.iter().filter(|diff_id| !layers.contains(diff_id)) {
            self.for_each_object_of_layer(diff_id, |id, _| {
                needed.objects.push(id);
                Ok(())
            })?;
            needed.merge_equal();
        }
        Ok(needed)
    }
}
