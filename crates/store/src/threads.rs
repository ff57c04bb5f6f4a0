//! Many things, by as many threads as the machine has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Result;

/// Calls `work` for each of `items`, each in whichever of the `threads` is free, with what that thread has made
/// of those before; answers with what the threads made. The first failure ends all.
pub(crate) fn for_each<T: Sync, M: Send>(
    threads: usize,
    items: &[T],
    begin: impl Fn() -> M + Sync,
    work: impl Fn(&mut M, &T) -> Result<()> + Sync,
) -> Result<Vec<M>> {
    let (next, outcome) = (AtomicUsize::new(0), Mutex::new(Ok(Vec::new())));
    let run = || {
        let mut mine = begin();
        let mut result = Ok(());
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            result = work(&mut mine, item);
            if result.is_err() {
                // The others stop too.
                next.store(items.len(), Ordering::Relaxed);
                break;
            }
        }
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *outcome, result) {
            (Ok(all), Ok(())) => all.push(mine),
            (Ok(_), Err(error)) => *outcome = Err(error),
            (Err(_), _) => {}
        }
    };
    std::thread::scope(|scope| {
        (1..threads.min(items.len())).for_each(|_| drop(scope.spawn(run)));
        run();
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}
