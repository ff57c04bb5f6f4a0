//! What is done when nobody waits for it: layers that containerd unpacked are taken in, and those that the store has lost.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::content::Blobs;
use crate::event::{Event, Observer};
use crate::snapshots::{Recovered, Snapshotter, TakenIn};
use crate::{Code, Error};

/// How long after a look for a layer's blob the next one comes, at first; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest such wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How often a blob is looked for before the layer is left alone: for two minutes in all. What the next start finds is tried again.
const LOOKS_MAX: u32 = 11;

/// Begins with it, in a thread of its own that ends when `snapshotter` is gone.
pub(super) fn start(snapshotter: &Arc<Snapshotter>, blobs: Blobs, observer: Observer) -> std::io::Result<()> {
    let (sender, arrived) = mpsc::channel();
    snapshotter.tell_of_layers(sender);
    let snapshotter = Arc::downgrade(snapshotter);
    let work = move || Afterwards { blobs, observer, looks: HashMap::new() }.run(&snapshotter, &arrived);
    std::thread::Builder::new().name("afterwards".to_owned()).spawn(work).map(drop)
}

struct Afterwards {
    blobs: Blobs,
    observer: Observer,
    /// How often each layer's blob was looked for, and when it is looked for again; never, once it was often enough.
    looks: HashMap<String, (u32, Option<Instant>)>,
}

impl Afterwards {
    fn run(mut self, snapshotter: &Weak<Snapshotter>, arrived: &Receiver<()>) {
        let mut next = Some(Duration::ZERO);
        loop {
            let came = match next {
                Some(wait) => arrived.recv_timeout(wait),
                None => arrived.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let Some(snapshotter) = snapshotter.upgrade() else { return };
            if came == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            next = self.look(&snapshotter);
        }
    }

    /// Takes in what can be, and answers with when to look again.
    fn look(&mut self, snapshotter: &Snapshotter) -> Option<Duration> {
        loop {
            let (lost, waiting) = (snapshotter.lost(), snapshotter.unpacked());
            self.looks.retain(|name, _| lost.contains(name) || waiting.contains(name));
            let now = Instant::now();
            let is_due = |name: &&String| match self.looks.get(*name) {
                Some((_, at)) => at.is_some_and(|at| at <= now),
                None => true,
            };
            // Those on top of it can be taken in only after it, so that they are asked for anew.
            if let Some(name) = lost.iter().find(is_due).cloned() {
                self.recover(snapshotter, name);
            } else if let Some(name) = waiting.iter().find(is_due).cloned() {
                self.take_in(snapshotter, name);
            } else {
                break;
            }
        }
        let now = Instant::now();
        self.looks.values().filter_map(|(_, at)| *at).min().map(|at| at.saturating_duration_since(now))
    }

    fn take_in(&mut self, snapshotter: &Snapshotter, name: String) {
        let why = match snapshotter.take_in_unpacked(&name, &self.blobs) {
            Ok(TakenIn::Done) => return (self.observer)(&Event::TakenIn { snapshot: name }),
            // It went meanwhile.
            Err(Error::NotFound(_)) => return,
            Ok(TakenIn::NoBlob) => "containerd has no blob of it".to_owned(),
            Err(error) if !is_passing(&error) => {
                self.looks.insert(name.clone(), (LOOKS_MAX, None));
                return (self.observer)(&Event::Stays { snapshot: name, why: error.to_string() });
            }
            Err(error) => error.to_string(),
        };
        if self.is_last_look(&name) {
            (self.observer)(&Event::Stays { snapshot: name, why });
        }
    }

    fn recover(&mut self, snapshotter: &Snapshotter, name: String) {
        let why = match snapshotter.recover(&name, &self.blobs) {
            Ok(Recovered::Done) => return (self.observer)(&Event::Recovered { snapshot: name }),
            Err(Error::NotFound(_)) => return,
            // At the machine's start containerd comes later.
            Err(error) if is_passing(&error) && !self.is_last_look(&name) => return,
            Ok(Recovered::NoBlob(layer)) => format!("containerd has no blob of layer {layer}"),
            Ok(Recovered::Unknown) => "which layers it had is not known any more".to_owned(),
            Err(error) => error.to_string(),
        };
        self.looks.insert(name.clone(), (LOOKS_MAX, None));
        (self.observer)(&Event::Lost { snapshot: name, why });
    }

    /// Counts a look in vain; whether there is to be no other one.
    fn is_last_look(&mut self, name: &str) -> bool {
        let (looks, at) = self.looks.entry(name.to_owned()).or_default();
        *at = (*looks < LOOKS_MAX).then(|| Instant::now() + (FIRST_WAIT * 2_u32.pow(*looks)).min(WAIT_MAX));
        *looks += 1;
        at.is_none()
    }
}

/// Whether it may be otherwise in a while.
fn is_passing(error: &Error) -> bool {
    matches!(error.code(), Code::Unavailable | Code::ResourceExhausted)
}
