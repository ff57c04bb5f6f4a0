//! How long a command keeps others from using the store.

use anyhow::{Context, Result};
use sealpack_tests::command::run;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long somebody waits between two commands.
const PAUSE: Duration = Duration::from_micros(200);

/// A wait that is longer is not just the turn of the locks.
const NOTICED: Duration = Duration::from_micros(100);

/// Runs `command` so many times, each time with somebody beside it who takes the shared lock of the store again and again,
/// as every command does. Answers with the parts of the command's time that this somebody waited.
///
/// # Errors
/// If the command fails, or the lock cannot be opened.
pub(crate) fn shares(command: &mut Command, store: &Path, runs: usize) -> Result<Vec<f64>> {
    let path = store.join("lock");
    let lock = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    (0..runs).map(|_| share(command, &lock)).collect()
}

fn share(command: &mut Command, lock: &File) -> Result<f64> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| waited(lock, &ended));
        let start = Instant::now();
        let output = run(command);
        let wall = start.elapsed();
        ended.store(true, Ordering::Relaxed);
        let waited = others.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
        output?;
        Ok(waited.as_secs_f64() / wall.as_secs_f64())
    })
}

/// How long the shared lock could not be had.
fn waited(lock: &File, ended: &AtomicBool) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    while !ended.load(Ordering::Relaxed) {
        let start = Instant::now();
        lock.lock_shared()?;
        let waited = start.elapsed();
        lock.unlock()?;
        if waited > NOTICED {
            sum += waited;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_the_lock_half_of_its_time_blocks_others_for_half_of_it() {
        let store = tempfile::tempdir().unwrap();
        let lock = store.path().join("lock");
        File::create(&lock).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "flock \"$0\" sleep 0.5; sleep 0.5"]).arg(&lock);
        let shares = shares(&mut command, store.path(), 1).unwrap();
        assert!((0.3..0.7).contains(&shares[0]), "{shares:?}");
        let idle = super::shares(&mut Command::new("true"), store.path(), 1).unwrap();
        assert!(idle[0] < 0.5, "{idle:?}");
    }
}
