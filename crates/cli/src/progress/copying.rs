//! What a running copy shows.

use std::collections::HashMap;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar};
use sealpack_format::BlobDigest;
use sealpack_oci::copy::{Event, Observer};
use sealpack_oci::manifest::Descriptor;
use serde_json::{Value, json};

use super::{locked, short, style};
use crate::output::{Output, bars, count, size};

/// The observer that suits where the output goes.
pub(crate) fn copy_observer(output: Output) -> Box<dyn Observer> {
    if output.json {
        Box::new(JsonLines)
    } else if output.quiet {
        Box::new(())
    } else if output.wants_bars() {
        Box::new(Bars { all: bars(), total: Mutex::default(), blobs: Mutex::default(), output })
    } else {
        Box::new(Lines(output))
    }
}

fn line_of(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Planned { manifests, referrers, blobs, size_bytes } => format!(
            "{}, {}, {} of {} in all",
            count(*manifests as u64, "manifest"),
            count(*referrers as u64, "referrer"),
            count(*blobs as u64, "blob"),
            size(*size_bytes)
        ),
        Event::Known(blob) => format!("blob {}: it is there already", short(&blob.digest)),
        Event::Mounted(blob) => format!("blob {}: taken over from the other repository", short(&blob.digest)),
        Event::Started(blob) => format!("blob {}: copying {}", short(&blob.digest), size(blob.size_bytes)),
        Event::Stored(blob) => format!("blob {}: copied", short(&blob.digest)),
        Event::LeftOut(left_out) => format!("left out: {}", left_out.problem),
        _ => return None,
    })
}

/// Plain lines on standard error.
struct Lines(Output);

impl Observer for Lines {
    fn event(&self, event: &Event<'_>) {
        if let Some(line) = line_of(event) {
            self.0.remark(&line);
        }
    }
}

/// One JSON object a line on standard error; advances are left out.
struct JsonLines;

impl Observer for JsonLines {
    fn event(&self, event: &Event<'_>) {
        json_of(event).into_iter().for_each(Output::json_line);
    }
}

fn json_of(event: &Event<'_>) -> Option<Value> {
    let blob = |name: &str, blob: &Descriptor| json!({"event": name, "digest": blob.digest, "size_bytes": blob.size_bytes});
    Some(match event {
        Event::Planned { manifests, referrers, blobs, size_bytes } => json!({
            "event": "planned", "manifests": manifests, "referrers": referrers, "blobs": blobs,
            "size_bytes": size_bytes,
        }),
        Event::Known(known) => blob("blob_known", known),
        Event::Mounted(mounted) => blob("blob_mounted", mounted),
        Event::Started(started) => blob("blob_started", started),
        Event::Stored(stored) => blob("blob_stored", stored),
        Event::LeftOut(left_out) => {
            json!({"event": "left_out", "digest": left_out.digest, "reason": left_out.problem})
        }
        _ => return None,
    })
}

/// A bar for each blob that is copied.
struct Bars {
    all: &'static MultiProgress,
    total: Mutex<Option<ProgressBar>>,
    blobs: Mutex<HashMap<BlobDigest, ProgressBar>>,
    output: Output,
}

impl Bars {
    fn start(&self, blob: &Descriptor) {
        let bar = style::part(blob.size_bytes, format!("blob {}", short(&blob.digest)));
        let bar = match &*locked(&self.total) {
            Some(total) => self.all.insert_before(total, bar),
            None => self.all.add(bar),
        };
        locked(&self.blobs).insert(blob.digest, bar);
    }

    fn advance(&self, blob: &Descriptor, sent_bytes: u64) {
        self.with_blob(blob, |bar| {
            let more = sent_bytes.saturating_sub(bar.position());
            bar.set_position(sent_bytes);
            locked(&self.total).iter().for_each(|total| total.inc(more));
        });
    }

    fn with_blob(&self, blob: &Descriptor, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = locked(&self.blobs).get(&blob.digest) {
            act(bar);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        locked(&self.total).iter().for_each(ProgressBar::finish_and_clear);
    }
}

impl Observer for Bars {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Started(blob) => self.start(blob),
            Event::Sent(blob, sent_bytes) => self.advance(blob, *sent_bytes),
            Event::Stored(blob) => {
                self.advance(blob, blob.size_bytes);
                self.with_blob(blob, |bar| bar.finish_with_message("copied"));
            }
            // What need not be sent is done.
            Event::Known(blob) | Event::Mounted(blob) => {
                locked(&self.total).iter().for_each(|total| total.inc(blob.size_bytes));
                Lines(self.output).event(event);
            }
            Event::Planned { size_bytes, .. } => {
                Lines(self.output).event(event);
                *locked(&self.total) = Some(self.all.add(style::total(*size_bytes)));
            }
            other => Lines(self.output).event(other),
        }
    }
}
