//! What is said while nothing seems to happen.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sealpack_oci::registry::{ClientEvent, ClientWatcher, Watch};
use sealpack_store::{LockWait, LockWatcher};
use serde_json::json;

use super::locked;
use crate::output::Output;

/// After how long a wait is told.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// How long nothing more is said of the same thing.
const SILENT_AFTERWARDS: Duration = Duration::from_secs(10);

/// How often it is looked whether there is something to tell.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Tells of locks that are waited for.
pub(crate) fn lock_watcher(output: Output) -> LockWatcher {
    LockWatcher::new(move |wait: &LockWait| {
        let holders =
            wait.holders.iter().map(|holder| json!({ "pid": holder.pid, "command": holder.command }));
        let holders: Vec<_> = holders.collect();
        output.event(
            || json!({"event": "waiting", "for": wait.store.display().to_string(), "holders": holders, "seconds_left": wait.left.as_secs()}),
            || wait.to_string(),
        );
    })
}

/// Tells of registries that are waited for or asked again.
pub(crate) fn client_watch(output: Output) -> Watch {
    if output.quiet {
        return Watch::default();
    }
    let waits = Arc::new(Waits::default());
    let watched = Arc::clone(&waits);
    // It ends with the last one who could begin a wait.
    let watcher = Watcher { output, waits };
    thread::spawn(move || watched.watch(output));
    Watch::new(Arc::new(watcher))
}

/// Hears a client; the thread beside it looks at the clock.
struct Watcher {
    output: Output,
    waits: Arc<Waits>,
}

impl ClientWatcher for Watcher {
    fn event(&self, event: &ClientEvent<'_>) {
        match *event {
            ClientEvent::Asked { method, url } => self.output.detail(|| format!("{method} {url}")),
            ClientEvent::Waiting { id, what, limit } => self.waits.begin(id, what, limit),
            ClientEvent::Waited { id } => self.waits.end(id),
            ClientEvent::Again { url, problem, wait, repetition, repetitions } => {
                let seconds = wait.as_secs_f64();
                self.output.event(
                    || {
                        json!({
                            "event": "again", "url": url, "reason": problem, "wait_seconds": seconds,
                            "repetition": repetition, "repetitions": repetitions,
                        })
                    },
                    || {
                        format!(
                            "{url}: {problem}; once more in {seconds:.1} s ({repetition} of {repetitions})"
                        )
                    },
                );
            }
            _ => {}
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        locked(&self.waits.state).is_over = true;
        self.waits.changed.notify_all();
    }
}

#[derive(Default)]
struct Waits {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_over: bool,
    waits: HashMap<u64, Wait>,
    /// When what was told last.
    told: HashMap<String, Instant>,
}

struct Wait {
    what: String,
    since: Instant,
    limit: Duration,
    is_told: bool,
}

impl Waits {
    fn begin(&self, id: u64, what: &str, limit: Duration) {
        let mut state = locked(&self.state);
        let was_empty = state.waits.is_empty();
        state.waits.insert(id, Wait { what: what.to_owned(), since: Instant::now(), limit, is_told: false });
        if was_empty {
            self.changed.notify_all();
        }
    }

    fn end(&self, id: u64) {
        locked(&self.state).waits.remove(&id);
    }

    fn watch(&self, output: Output) {
        let mut state = locked(&self.state);
        while !state.is_over {
            let due = state.due(Instant::now());
            if !due.is_empty() {
                // Who waits for nothing must not wait for the terminal.
                drop(state);
                for (what, left) in due {
                    let seconds = left.as_secs();
                    output.event(
                        || json!({"event": "waiting", "for": what, "seconds_left": seconds}),
                        || format!("waiting for {what}: for {seconds} s more at most"),
                    );
                }
                state = locked(&self.state);
                continue;
            }
            let idle = state.waits.is_empty();
            state = match idle {
                true => self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner),
                false => {
                    let waited = self.changed.wait_timeout(state, LOOK_EVERY);
                    waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
    }
}

impl State {
    /// What has to be told now, and how much longer it may take.
    fn due(&mut self, now: Instant) -> Vec<(String, Duration)> {
        let mut due = Vec::new();
        for wait in self.waits.values_mut() {
            let waited = now.saturating_duration_since(wait.since);
            if wait.is_told || waited < TELL_AFTER {
                continue;
            }
            wait.is_told = true;
            let last = self.told.insert(wait.what.clone(), now);
            if last.is_none_or(|last| now.saturating_duration_since(last) >= SILENT_AFTERWARDS) {
                due.push((wait.what.clone(), wait.limit.saturating_sub(waited)));
            }
        }
        due
    }
}
