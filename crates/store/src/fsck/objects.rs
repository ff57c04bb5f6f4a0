//! Whether objects are what their names say.

use std::num::NonZeroUsize;

use sealpack_format::digest::ObjectId;
use sealpack_kernel::fsverity::FileHasher;

use super::report::FsckReport;
use crate::error::{Error, Result};
use crate::integrity::Integrity;
use crate::objects::{is_unreadable, status};
use crate::observer::{Event, Observer};
use crate::store::Store;
use crate::threads::for_each;
use crate::verified::Fingerprint;

/// Objects whose content is another, sorted, and what is wrong with each.
pub(super) struct DamagedObjects(pub(super) Vec<(ObjectId, String)>);

impl DamagedObjects {
    pub(super) fn contains(&self, id: &ObjectId) -> bool {
        self.0.binary_search_by(|(damaged, _)| damaged.cmp(id)).is_ok()
    }
}

/// What is wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectFault {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// Its content has another digest.
    #[error("is damaged: its fs-verity digest is {0}")]
    Damaged(ObjectId),
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
}

impl Store {
    /// Hashes these objects, each by whichever thread is free. Answers with those that are not what their names say, sorted,
    /// and what is wrong with each. Nothing remembered from an earlier time counts.
    pub fn faults_in(&self, objects: &[ObjectId]) -> Vec<(ObjectId, ObjectFault)> {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let begin = || (FileHasher::new(self.algorithm()), Vec::new());
        let work = |(hasher, faults): &mut (FileHasher, Vec<_>), id: &ObjectId| {
            let fault = match self.open_object(id) {
                Ok(Some(file)) => match hasher.hash(&file) {
                    Ok((found, _)) if found == *id => return Ok(()),
                    Ok((found, _)) => ObjectFault::Damaged(found),
                    Err(error) => ObjectFault::Unreadable(error),
                },
                Ok(None) => ObjectFault::Missing,
                Err(error) => ObjectFault::Unreadable(std::io::Error::other(error)),
            };
            faults.push((*id, fault));
            Ok(())
        };
        // The work itself never fails.
        let found = for_each(threads, objects, begin, work).unwrap_or_default();
        let mut faults: Vec<_> = found.into_iter().flat_map(|(_, faults)| faults).collect();
        faults.sort_by_key(|(id, _)| *id);
        faults
    }
}

/// Hashes all objects, each by whichever thread is free.
pub(super) fn hash_objects(
    store: &Store,
    objects: &[ObjectId],
    threads: usize,
    observer: &dyn Observer,
    report: &mut FsckReport,
) -> Result<DamagedObjects> {
    let begin = || (FileHasher::new(store.algorithm()), Outcome::default());
    let work = |(hasher, outcome): &mut (FileHasher, Outcome), id: &ObjectId| {
        hash_object(store, id, hasher, outcome, observer)
    };
    let mut outcome = Outcome::default();
    for_each(threads, objects, begin, work)?.into_iter().for_each(|(_, part)| outcome.add(part));
    outcome.damaged.sort();
    report.objects = outcome.objects;
    report.object_bytes = outcome.bytes;
    Ok(DamagedObjects(outcome.damaged))
}

#[derive(Default)]
struct Outcome {
    objects: u64,
    bytes: u64,
    damaged: Vec<(ObjectId, String)>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.damaged.extend(other.damaged);
    }
}

fn hash_object(
    store: &Store,
    id: &ObjectId,
    hasher: &mut FileHasher,
    outcome: &mut Outcome,
    observer: &dyn Observer,
) -> Result<()> {
    let path = store.object_path(id);
    let Some(file) = store.open_object(id)? else { return Ok(()) };
    let before = status(&file, &path)?;
    let mut size_bytes = 0;
    match hasher.hash(&file) {
        Ok((digest, size)) => {
            size_bytes = size;
            if digest != *id {
                outcome.damaged.push((*id, format!("its fs-verity digest is {digest}")));
            } else if store.integrity() == Integrity::None {
                store.verified.remember(&store.root, Fingerprint::new(id.as_bytes(), &before))?;
            }
        }
        Err(e) if is_unreadable(&e) => outcome.damaged.push((*id, format!("it cannot be read: {e}"))),
        Err(e) => return Err(Error::io("read", path, e)),
    }
    outcome.objects += 1;
    outcome.bytes += size_bytes;
    observer.event(&Event::Advanced { items: 1, bytes: size_bytes });
    Ok(())
}
