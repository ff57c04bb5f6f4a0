//! Whether everything that is referred to is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use sealpack_format::digest::ObjectId;

use super::scan::Found;
use super::{FsckReport, Problem, ProblemKind};
use crate::blobs::blob_path;
use crate::error::{Error, Result};
use crate::images::ObjectsOfImage;
use crate::observer::Observer;
use crate::refs::{ImageRecord, Images};
use crate::store::Store;

/// Follows every reference. The problems come sorted by kind and path.
pub(super) fn follow(
    store: &Store,
    images: &Images,
    found: Found,
    objects_of: ObjectsOfImage<'_>,
    observer: &dyn Observer,
    report: &mut FsckReport,
) -> Result<Vec<Problem>> {
    let records = &images.records;
    let mut follow = Follow { store, records, found, problems: Vec::new(), needed_by: BTreeMap::new() };
    for damage in &images.damaged {
        follow.add(ProblemKind::DamagedName, damage.path.clone(), damage.what.clone(), BTreeSet::new());
    }
    report.layers = follow.layers(observer)?;
    report.images = follow.images(objects_of, observer)?;
    report.blobs = follow.blobs(observer)?;
    follow.names();
    follow.objects_and_strays();
    let mut problems = follow.problems;
    problems.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    Ok(problems)
}

struct Follow<'a> {
    store: &'a Store,
    records: &'a [ImageRecord],
    found: Found,
    problems: Vec<Problem>,
    /// The names of the images that need a damaged object.
    needed_by: BTreeMap<ObjectId, BTreeSet<String>>,
}

impl Follow<'_> {
    fn add(&mut self, kind: ProblemKind, path: PathBuf, what: String, images: BTreeSet<String>) {
        let images = images.into_iter().collect();
        self.problems.push(Problem { kind, path, what, images, quarantined: None });
    }

    /// The names of the images for which `uses` holds.
    fn names_of(&self, uses: impl Fn(&ImageRecord) -> bool) -> BTreeSet<String> {
        self.records.iter().filter(|record| uses(record)).map(|record| record.name.clone()).collect()
    }

    fn layers(&mut self, observer: &dyn Observer) -> Result<u64> {
        let layers = self.found.layers.clone();
        for diff_id in &layers {
            let names = self.names_of(|record| record.layers.iter().any(|layer| layer.diff_id == *diff_id));
            let mut lacking = BTreeSet::new();
            let read = self.store.for_each_object_of_layer(diff_id, |id, _| {
                if !self.found.has(&id) {
                    lacking.insert(id);
                }
                Ok(())
            });
            let path = self.store.layer_path(diff_id);
            match read {
                Ok(_) => self.lacking(ProblemKind::IncompleteLayer, path, lacking, names),
                Err(Error::LayerDamaged { source, .. }) => {
                    self.add(ProblemKind::DamagedLayer, path, source.to_string(), names);
                }
                Err(error @ Error::Algorithm { .. }) => {
                    self.add(ProblemKind::DamagedLayer, path, error.to_string(), names);
                }
                Err(error) => return Err(error),
            }
            observer.advance(1, 0);
        }
        Ok(layers.len() as u64)
    }

    fn images(&mut self, objects_of: ObjectsOfImage<'_>, observer: &dyn Observer) -> Result<u64> {
        let images = self.found.images.clone();
        for id in &images {
            let names = self.names_of(|record| record.image == *id);
            let path = self.store.image_path(id);
            match self.store.objects_of(id, objects_of) {
                Ok(objects) => {
                    let lacking = objects.into_iter().filter(|object| !self.found.has(object)).collect();
                    // Without a name nobody misses them: a collected image that is still mounted.
                    if !names.is_empty() {
                        self.lacking(ProblemKind::IncompleteImage, path, lacking, names);
                    }
                }
                Err(Error::ImageDamaged { found, .. }) => {
                    let what = found.map_or_else(
                        || "it cannot be read".to_owned(),
                        |found| format!("its fs-verity digest is {found}"),
                    );
                    self.add(ProblemKind::DamagedImage, path, what, names);
                }
                Err(Error::ImageUnreadable { what, .. }) => {
                    self.add(ProblemKind::DamagedImage, path, what, names);
                }
                Err(error) => return Err(error),
            }
            observer.advance(1, 0);
        }
        Ok(images.len() as u64)
    }

    fn lacking(
        &mut self,
        kind: ProblemKind,
        path: PathBuf,
        lacking: BTreeSet<ObjectId>,
        names: BTreeSet<String>,
    ) {
        let Some(first) = lacking.first() else { return };
        let what = format!("{} of its objects are missing or damaged, {first} among them", lacking.len());
        self.add(kind, path, what, names.clone());
        for id in lacking.into_iter().filter(|id| self.found.is_damaged(id)) {
            self.needed_by.entry(id).or_default().extend(names.iter().cloned());
        }
    }

    fn blobs(&mut self, observer: &dyn Observer) -> Result<u64> {
        let blobs = self.found.blobs.clone();
        for digest in &blobs {
            match self.store.try_blob(digest) {
                Ok(_) => {}
                Err(Error::BlobDamaged { path, found }) => {
                    let names = self.names_of(|record| record.blobs().any(|blob| blob == *digest));
                    let what = format!("its content has the digest {found}");
                    self.add(ProblemKind::DamagedBlob, path, what, names);
                }
                Err(error) => return Err(error),
            }
            observer.advance(1, 0);
        }
        Ok(blobs.len() as u64)
    }

    /// What named images refer to and the directories do not have.
    fn names(&mut self) {
        let mut missing: BTreeMap<(ProblemKind, PathBuf), BTreeSet<String>> = BTreeMap::new();
        for record in self.records {
            let mut miss = |kind, path| {
                missing.entry((kind, path)).or_default().insert(record.name.clone());
            };
            for digest in record.blobs().filter(|digest| !self.found.blobs.contains(digest)) {
                miss(ProblemKind::MissingBlob, self.store.root.at(blob_path(&digest)));
            }
            for layer in record.layers.iter().filter(|layer| !self.found.layers.contains(&layer.diff_id)) {
                miss(ProblemKind::MissingLayer, self.store.layer_path(&layer.diff_id));
            }
            if !self.found.images.contains(&record.image) {
                miss(ProblemKind::MissingImage, self.store.image_path(&record.image));
            }
        }
        for ((kind, path), names) in missing {
            self.add(kind, path, "it is missing".to_owned(), names);
        }
    }

    fn objects_and_strays(&mut self) {
        for (id, what) in std::mem::take(&mut self.found.damaged) {
            let names = self.needed_by.remove(&id).unwrap_or_default();
            self.add(ProblemKind::DamagedObject, self.store.object_path(&id), what, names);
        }
        for path in std::mem::take(&mut self.found.strays) {
            let what = "this is nothing that belongs into a store".to_owned();
            self.add(ProblemKind::Stray, self.store.root.at(path), what, BTreeSet::new());
        }
    }
}
