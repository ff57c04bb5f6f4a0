//! Sets of objects that are gathered in one go and looked into afterwards.

use sealpack_format::digest::ObjectId;

/// How many may come before they are sorted in with those that were there, when these are fewer.
const UNSORTED_MAX: usize = 64 * 1024;

/// Objects, each once however often it was added: a sorted list, so that one takes no more memory than its digest.
#[derive(Default)]
pub(crate) struct ObjectSet {
    /// Sorted and each once up to `sorted`; behind that as they came.
    ids: Vec<ObjectId>,
    sorted: usize,
}

impl ObjectSet {
    /// Adds an object. What came is sorted in only when it is as much as was there, so that gathering takes about as long
    /// as sorting everything once.
    pub(crate) fn add(&mut self, id: ObjectId) {
        self.ids.push(id);
        if self.ids.len() >= 2 * self.sorted + UNSORTED_MAX {
            self.sort();
        }
    }

    /// Must come between the last [`add`](Self::add) and the first look.
    pub(crate) fn sort(&mut self) {
        if self.sorted < self.ids.len() {
            self.ids.sort_unstable();
            self.ids.dedup();
            self.sorted = self.ids.len();
        }
    }

    /// The objects, in the order of their digests.
    ///
    /// # Panics
    /// When some were added and not sorted in, a mistake of the caller's.
    pub(crate) fn as_slice(&self) -> &[ObjectId] {
        assert_eq!(self.sorted, self.ids.len(), "objects are sorted before anybody looks");
        &self.ids
    }

    /// Whether it has the object.
    ///
    /// # Panics
    /// As [`as_slice`](Self::as_slice).
    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.as_slice().binary_search(id).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> ObjectId {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.reverse_bits().to_be_bytes());
        ObjectId::sha256(digest)
    }

    #[test]
    fn each_is_there_once_however_often_and_in_whatever_order_it_came() {
        let (mut set, many) = (ObjectSet::default(), 3 * u32::try_from(UNSORTED_MAX).expect("a few"));
        (0..many).chain((0..many).rev()).for_each(|number| set.add(id(number)));
        set.sort();
        assert_eq!(set.as_slice().len(), many as usize);
        assert!(set.as_slice().is_sorted());
        assert!((0..many).all(|number| set.contains(&id(number))));
        assert!(!set.contains(&id(many)));
    }
}
