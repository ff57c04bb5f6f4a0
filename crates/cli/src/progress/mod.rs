//! What a running pull shows: bars on a terminal, lines elsewhere, JSON lines for machines.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar};
use sealpack_oci::pull::{Event, Observer};
use serde_json::{Value, json};

use crate::output::{Output, bars, count, size, visible};
use crate::show::parts::{self, layer_number};

mod copying;
mod pace;
mod style;
mod waiting;

pub(crate) use copying::copy_observer;
pub(crate) use waiting::{client_watch, lock_watcher};

use pace::{Pace, Standing};

/// The observer that suits where the output goes.
pub(crate) fn observer(output: Output) -> Box<dyn Observer> {
    if output.json {
        Box::new(JsonLines(Pace::new()))
    } else if output.quiet {
        Box::new(())
    } else if output.wants_bars() {
        Box::new(Bars::new())
    } else {
        Box::new(Lines(Pace::new()))
    }
}

/// A digest short enough for a line.
fn short(digest: &impl std::fmt::Display) -> String {
    let text = digest.to_string();
    text.split_once(':').map_or(text.as_str(), |(_, hex)| hex).chars().take(12).collect()
}

/// Plain lines on standard error.
struct Lines(Pace);

impl Observer for Lines {
    fn event(&self, event: &Event<'_>) {
        if let Some(standing) = self.0.hear(event) {
            print_line(&standing.to_string());
        }
        let line = match event {
            Event::Resolved { manifest, layers, size_bytes } => {
                let layers = count(*layers as u64, "layer");
                format!("image {}: {layers}, {} to read", short(manifest), size(*size_bytes))
            }
            Event::LayerKnown { layer, diff_id } => {
                format!("layer {}: {} is in the store already", layer_number(*layer), short(diff_id))
            }
            Event::LayerConverted { layer, diff_id, form } => {
                format!(
                    "layer {}: {} was in the store, and is in {form} now",
                    layer_number(*layer),
                    short(diff_id)
                )
            }
            Event::LayerStarted { layer, digest, size_bytes, resumed_bytes: 0 } => {
                format!("layer {}: reading {} ({})", layer_number(*layer), short(digest), size(*size_bytes))
            }
            Event::LayerStarted { layer, digest, size_bytes, resumed_bytes } => format!(
                "layer {}: going on with {} ({} of {} are here already)",
                layer_number(*layer),
                short(digest),
                size(*resumed_bytes),
                size(*size_bytes)
            ),
            Event::LayerRestarted { layer, reason } => {
                format!("layer {}: once more: {reason}", layer_number(*layer))
            }
            Event::LayerStored { layer, size_bytes } => {
                format!("layer {}: stored ({} unpacked)", layer_number(*layer), size(*size_bytes))
            }
            Event::Merging => "merging layers".to_owned(),
            Event::ImageStored { image } => format!("metadata image {}", short(image)),
            _ => return,
        };
        print_line(&line);
    }
}

impl Pace {
    /// Counts what a pull reads; answers where it stands now and then.
    fn hear(&self, event: &Event<'_>) -> Option<Standing> {
        match event {
            Event::Resolved { size_bytes, .. } => self.start(*size_bytes),
            Event::LayerStarted { resumed_bytes, .. } => self.resume(*resumed_bytes),
            Event::LayerAdvanced { bytes, .. } => return self.advance(*bytes),
            _ => {}
        }
        None
    }
}

/// One JSON object a line on standard error; of advances, what they come to every few seconds.
struct JsonLines(Pace);

impl Observer for JsonLines {
    fn event(&self, event: &Event<'_>) {
        if let Some(Standing { done_bytes, total_bytes, left }) = self.0.hear(event) {
            Output::json_line(json!({
                "event": "advanced", "bytes": done_bytes, "size_bytes": total_bytes,
                "seconds_left": left.as_secs(),
            }));
        }
        json_of(event).into_iter().for_each(Output::json_line);
    }
}

fn print_line(line: &str) {
    // Nobody is left to tell when standard error is closed.
    _ = writeln!(std::io::stderr().lock(), "{}", visible(line));
}

fn json_of(event: &Event<'_>) -> Option<Value> {
    Some(match event {
        Event::Resolved { manifest, layers, size_bytes } => {
            json!({"event": "resolved", "manifest": manifest, "layer_count": layers, "size_bytes": size_bytes})
        }
        Event::LayerKnown { layer, diff_id } => {
            json!({"event": "layer_known", "layer": layer_number(*layer), "diff_id": diff_id})
        }
        Event::LayerConverted { layer, diff_id, form } => json!({
            "event": "layer_converted", "layer": layer_number(*layer), "diff_id": diff_id, "kept_in": form.name(),
        }),
        Event::LayerStarted { layer, digest, size_bytes, resumed_bytes } => json!({
            "event": "layer_started", "layer": layer_number(*layer), "digest": digest,
            "size_bytes": size_bytes, "resumed_bytes": resumed_bytes,
        }),
        Event::LayerRestarted { layer, reason } => {
            json!({"event": "layer_restarted", "layer": layer_number(*layer), "reason": reason})
        }
        Event::LayerStored { layer, size_bytes } => {
            json!({"event": "layer_stored", "layer": layer_number(*layer), "size_bytes": size_bytes})
        }
        Event::Merging => json!({"event": "merging"}),
        Event::ImageStored { image } => {
            json!({"event": "image_stored", "metadata_image": parts::metadata_image(image, None)})
        }
        _ => return None,
    })
}

/// A bar for each layer, one for all of them, and a line for the merge.
struct Bars {
    all: &'static MultiProgress,
    total: Mutex<Option<ProgressBar>>,
    layers: Mutex<HashMap<usize, ProgressBar>>,
    merge: Mutex<Option<ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        Self { all: bars(), total: Mutex::default(), layers: Mutex::default(), merge: Mutex::default() }
    }

    fn start(&self, layer: usize, digest: &str, size_bytes: u64, resumed_bytes: u64) {
        let bar = style::part(size_bytes, format!("layer {:>3} {digest}", layer_number(layer)));
        let bar = match &*locked(&self.total) {
            Some(total) => self.all.insert_before(total, bar),
            None => self.all.add(bar),
        };
        bar.reset_eta();
        if resumed_bytes > 0 {
            bar.set_message(format!("{} were here", size(resumed_bytes)));
        }
        if let Some(before) = locked(&self.layers).insert(layer, bar) {
            self.all.remove(&before);
        }
    }

    fn with_layer(&self, layer: usize, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = locked(&self.layers).get(&layer) {
            act(bar);
        }
    }
}

/// A bar stays usable when a thread has panicked while it drew.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Observer for Bars {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::LayerKnown { layer, diff_id } => {
                // The terminal may be gone; a pull goes on without it.
                _ = self.all.println(format!(
                    "layer {:>3} {} is in the store already",
                    layer_number(*layer),
                    short(diff_id)
                ));
            }
            Event::LayerConverted { layer, diff_id, form } => {
                _ = self.all.println(format!(
                    "layer {:>3} {} was in the store, and is in {form} now",
                    layer_number(*layer),
                    short(diff_id)
                ));
            }
            Event::LayerStarted { layer, digest, size_bytes, resumed_bytes } => {
                self.start(*layer, &short(digest), *size_bytes, *resumed_bytes);
            }
            Event::Resolved { size_bytes, .. } if *size_bytes > 0 => {
                *locked(&self.total) = Some(self.all.add(style::total(*size_bytes)));
            }
            Event::LayerAdvanced { layer, bytes } => {
                self.with_layer(*layer, |bar| bar.inc(*bytes));
                locked(&self.total).iter().for_each(|total| total.inc(*bytes));
            }
            Event::LayerRestarted { layer, reason } => {
                self.with_layer(*layer, |bar| bar.abandon_with_message(visible(reason).replace('\n', " ")));
            }
            Event::LayerStored { layer, .. } => {
                self.with_layer(*layer, |bar| bar.finish_with_message("stored"))
            }
            Event::Merging => {
                if let Some(total) = locked(&self.total).take() {
                    total.finish_and_clear();
                }
                let spinner = self.all.add(ProgressBar::new_spinner().with_message("merging layers"));
                spinner.enable_steady_tick(std::time::Duration::from_millis(120));
                *locked(&self.merge) = Some(spinner);
            }
            Event::ImageStored { image } => {
                if let Some(spinner) = locked(&self.merge).take() {
                    spinner.finish_with_message(format!("metadata image {}", short(image)));
                }
            }
            _ => {}
        }
    }
}
