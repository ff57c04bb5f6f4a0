//! For tests: a look at every change of the disk (and at every file that is hashed), and death right
//! before the one chosen.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable with the number of the change that a process does not live to make.
pub(crate) const KILL_AT: &str = "SEALPACK_STORE_TEST_KILL_AT";

/// A change of the disk, or the hashing of a file.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    /// Of a rename: the new path.
    pub(crate) to: PathBuf,
}

thread_local! {
    static RECORD: RefCell<Option<Vec<Change>>> = const { RefCell::new(None) };
}

static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Called before each change.
pub(crate) fn about_to(what: &'static str, paths: &dyn Fn() -> (PathBuf, PathBuf)) {
    RECORD.with_borrow_mut(|record| {
        if let Some(record) = record {
            let (path, to) = paths();
            record.push(Change { what, path, to });
        }
    });
    let number = CHANGES.fetch_add(1, Ordering::Relaxed);
    if std::env::var(KILL_AT).is_ok_and(|at| at.parse() == Ok(number)) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        unreachable!("SIGKILL does not return");
    }
}

/// The changes that `run` makes in this thread.
pub(crate) fn recorded(run: impl FnOnce()) -> Vec<Change> {
    RECORD.set(Some(Vec::new()));
    run();
    RECORD.take().unwrap_or_default()
}
