//! What is made ready while nobody waits for it: the metadata image of layers that have just come in, which the first container
//! needs. Merging takes a tenth of a second, and a client that has pulled an image is busy for as long with its own affairs.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::snapshots::Snapshotter;

/// How long after a layer the next one is waited for: whoever pulls an image prepares it at once.
const NEXT_WITHIN: Duration = Duration::from_millis(30);

/// Begins with it, in a thread of its own that ends when `snapshotter` is gone.
pub(super) fn start(snapshotter: &Arc<Snapshotter>) -> std::io::Result<()> {
    let (sender, committed) = mpsc::channel();
    snapshotter.tell_of_committed(sender);
    let snapshotter = Arc::downgrade(snapshotter);
    let work = move || run(&snapshotter, &committed);
    std::thread::Builder::new().name("ready".to_owned()).spawn(work).map(drop)
}

fn run(snapshotter: &Weak<Snapshotter>, committed: &Receiver<String>) {
    for name in committed {
        std::thread::sleep(NEXT_WITHIN);
        let Some(snapshotter) = snapshotter.upgrade() else { return };
        // The first container tries it again, and tells its client.
        _ = snapshotter.make_ready(&name);
    }
}
