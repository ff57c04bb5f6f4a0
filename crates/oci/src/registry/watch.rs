//! Who hears what a client waits for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a client does that can take long.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ClientEvent<'a> {
    /// A request is sent.
    Asked {
        /// The method.
        method: &'a str,
        /// Where to.
        url: &'a str,
    },
    /// An answer, or more of one, is waited for from now on. That it takes long is for who hears it to say.
    Waiting {
        /// Which wait this is.
        id: u64,
        /// What should come.
        what: &'a str,
        /// When it is given up.
        limit: Duration,
    },
    /// The wait of that number has ended, one way or another.
    Waited {
        /// Which wait.
        id: u64,
    },
    /// Something failed, and is tried again.
    Again {
        /// What was asked.
        url: &'a str,
        /// What went wrong.
        problem: &'a str,
        /// After how long it is tried again.
        wait: Duration,
        /// Which repetition that will be, from 1.
        repetition: u32,
        /// How many there will be at most.
        repetitions: u32,
    },
}

/// Hears what a client does. Called from several threads.
pub trait ClientWatcher: Send + Sync {
    /// Something begins or ends.
    fn event(&self, event: &ClientEvent<'_>);
}

/// Somebody who hears it, or nobody.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<dyn ClientWatcher>>);

impl Watch {
    /// `watcher` hears it.
    #[must_use]
    pub fn new(watcher: Arc<dyn ClientWatcher>) -> Self {
        Self(Some(watcher))
    }

    pub(super) fn event(&self, event: &ClientEvent<'_>) {
        self.0.iter().for_each(|watcher| watcher.event(event));
    }

    /// Says that `what` is waited for until what is returned is dropped.
    pub(super) fn wait(&self, what: &str, limit: Duration) -> Wait<'_> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        self.event(&ClientEvent::Waiting { id, what, limit });
        Wait { watch: self, id }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Watch(…)" } else { "Watch" })
    }
}

/// A wait that has not ended.
pub(super) struct Wait<'a> {
    watch: &'a Watch,
    id: u64,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.watch.event(&ClientEvent::Waited { id: self.id });
    }
}
