//! How much of a machine one image may take, whoever made it.
//!
//! A few bytes of a layer can stand for very many: of contents, of members, of attributes that each member repeats.
//! What counts is the image, not the layer: [`Limits`] are for all of an image's layers together, and those that are
//! read at the same time share one [`Budget`].

use std::sync::atomic::{AtomicU64, Ordering};

const GIB: u64 = 1024 * 1024 * 1024;

/// The most that one image may take. The defaults are beyond every image that is meant to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the layers' uncompressed streams, holes of sparse files included. By default 64 GiB.
    pub unpacked_bytes: u64,
    /// Members of the layers, whiteouts included. By default 5,000,000.
    pub members: u64,
    /// Bytes of the layers' records. By default 512 MiB.
    pub record_bytes: u64,
    /// Bytes of memory for names, trees and attributes; buffers of a fixed size are not counted. By default 1 GiB.
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Limits {
    /// The defaults.
    pub const USUAL: Self =
        Self { unpacked_bytes: 64 * GIB, members: 5_000_000, record_bytes: GIB / 2, memory_bytes: GIB };

    /// None: for layers that the store has, which were within somebody's limits when they came.
    pub const NONE: Self =
        Self { unpacked_bytes: u64::MAX, members: u64::MAX, record_bytes: u64::MAX, memory_bytes: u64::MAX };

    const fn of(&self, limit: Limit) -> u64 {
        match limit {
            Limit::Unpacked => self.unpacked_bytes,
            Limit::Members => self.members,
            Limit::Records => self.record_bytes,
            Limit::Memory => self.memory_bytes,
        }
    }
}

/// One of the [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::unpacked_bytes`].
    Unpacked,
    /// [`Limits::members`].
    Members,
    /// [`Limits::record_bytes`].
    Records,
    /// [`Limits::memory_bytes`].
    Memory,
}

/// An image that wants more than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverLimit {
    /// What it wants too much of.
    pub limit: Limit,
    /// How much of it there is for an image.
    pub most: u64,
}

impl std::error::Error for OverLimit {}

impl std::fmt::Display for OverLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let most = self.most;
        match self.limit {
            Limit::Unpacked => write!(f, "the image's layers unpack to more than the limit of {most} bytes"),
            Limit::Members => write!(f, "the image's layers have more members than the limit of {most}"),
            Limit::Records => {
                write!(f, "the records of the image's layers are larger than the limit of {most} bytes")
            }
            Limit::Memory => {
                write!(f, "the image's names and attributes take more memory than the limit of {most} bytes")
            }
        }
    }
}

/// What is left of an image's [`Limits`]. Usable from many threads at once.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    spent: [AtomicU64; 4],
}

impl Budget {
    /// All of `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, spent: Default::default() }
    }

    /// What there was at first.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Begins to spend on one layer.
    #[must_use]
    pub const fn share(&self) -> Share<'_> {
        Share { budget: self, spent: [0; 4], kept: false }
    }

    pub(crate) fn spend(&self, limit: Limit, amount: u64) -> Result<(), OverLimit> {
        let most = self.limits.of(limit);
        let more = |spent: u64| spent.checked_add(amount).filter(|sum| *sum <= most);
        // The numbers stand for themselves: nothing else is read because of them.
        let spent = self.spent[limit as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        spent.map(drop).map_err(|_| OverLimit { limit, most })
    }

    /// How much was spent.
    #[must_use]
    pub fn spent(&self, limit: Limit) -> u64 {
        self.spent[limit as usize].load(Ordering::Relaxed)
    }

    fn give_back(&self, limit: Limit, amount: u64) {
        self.spent[limit as usize].fetch_sub(amount, Ordering::Relaxed);
    }
}

/// What one layer has of a [`Budget`]. Dropped, it gives all of it back, as if the layer had never been read;
/// [kept](Self::keep), only the memory.
#[derive(Debug)]
pub struct Share<'a> {
    budget: &'a Budget,
    spent: [u64; 4],
    kept: bool,
}

impl Share<'_> {
    /// Takes `amount` of what is left.
    ///
    /// # Errors
    /// [`OverLimit`] if that is more than there is; nothing is taken then.
    pub fn take(&mut self, limit: Limit, amount: u64) -> Result<(), OverLimit> {
        self.budget.spend(limit, amount)?;
        self.spent[limit as usize] += amount;
        Ok(())
    }

    /// How much was taken so far.
    #[must_use]
    pub const fn spent(&self, limit: Limit) -> u64 {
        self.spent[limit as usize]
    }

    /// Ends the layer, which has become part of the image.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        for limit in [Limit::Unpacked, Limit::Members, Limit::Records, Limit::Memory] {
            if limit == Limit::Memory || !self.kept {
                self.budget.give_back(limit, self.spent(limit));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_that_are_read_at_once_share_what_there_is_and_a_failed_one_gives_it_back() {
        let limits = Limits { members: 10, memory_bytes: 10, ..Limits::NONE };
        let budget = Budget::new(limits);
        let (mut one, mut other) = (budget.share(), budget.share());
        one.take(Limit::Members, 6).unwrap();
        assert_eq!(other.take(Limit::Members, 5), Err(OverLimit { limit: Limit::Members, most: 10 }));
        other.take(Limit::Members, 4).unwrap();
        other.take(Limit::Memory, 10).unwrap();
        assert!(one.take(Limit::Memory, 1).is_err());
        drop(one);
        other.take(Limit::Members, 6).unwrap();
        other.keep();
        let mut third = budget.share();
        third.take(Limit::Memory, 10).unwrap();
        assert!(third.take(Limit::Members, 1).is_err());
        assert!(budget.share().take(Limit::Unpacked, u64::MAX).is_ok());
    }
}
