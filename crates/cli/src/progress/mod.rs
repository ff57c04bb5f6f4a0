//! What a running pull shows: bars on a terminal, lines elsewhere, JSON lines for machines.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sealpack_oci::pull::{Event, Observer};
use serde_json::{Value, json};

use crate::output::{Output, count, size, visible};

mod copying;

pub(crate) use copying::copy_observer;

/// The observer that suits where the output goes.
pub(crate) fn observer(output: Output) -> Box<dyn Observer> {
    if output.json {
        Box::new(JsonLines)
    } else if output.quiet {
        Box::new(())
    } else if output.wants_bars() {
        Box::new(Bars::new())
    } else {
        Box::new(Lines)
    }
}

/// A digest short enough for a line.
fn short(digest: &impl std::fmt::Display) -> String {
    let text = digest.to_string();
    text.split_once(':').map_or(text.as_str(), |(_, hex)| hex).chars().take(12).collect()
}

/// Plain lines on standard error.
struct Lines;

impl Observer for Lines {
    fn event(&self, event: &Event<'_>) {
        let line = match event {
            Event::Resolved { manifest, layers, size_bytes } => {
                let layers = count(*layers as u64, "layer");
                format!("image {}: {layers}, {} to read", short(manifest), size(*size_bytes))
            }
            Event::LayerKnown { layer, diff_id } => {
                format!("layer {}: {} is in the store already", layer + 1, short(diff_id))
            }
            Event::LayerConverted { layer, diff_id, form } => {
                format!("layer {}: {} was in the store, and is in {form} now", layer + 1, short(diff_id))
            }
            Event::LayerStarted { layer, digest, size_bytes, resumed_bytes: 0 } => {
                format!("layer {}: reading {} ({})", layer + 1, short(digest), size(*size_bytes))
            }
            Event::LayerStarted { layer, digest, size_bytes, resumed_bytes } => format!(
                "layer {}: going on with {} ({} of {} are here already)",
                layer + 1,
                short(digest),
                size(*resumed_bytes),
                size(*size_bytes)
            ),
            Event::LayerRestarted { layer, reason } => format!("layer {}: once more: {reason}", layer + 1),
            Event::LayerStored { layer, size_bytes } => {
                format!("layer {}: stored ({} unpacked)", layer + 1, size(*size_bytes))
            }
            Event::Merging => "merging layers".to_owned(),
            Event::ImageStored { image } => format!("metadata image {}", short(image)),
            _ => return,
        };
        print_line(&line);
    }
}

/// One JSON object a line on standard error; advances are left out.
struct JsonLines;

impl Observer for JsonLines {
    fn event(&self, event: &Event<'_>) {
        json_of(event).iter().for_each(Output::json_line);
    }
}

fn print_line(line: &str) {
    // Nobody is left to tell when standard error is closed.
    _ = writeln!(std::io::stderr().lock(), "{}", visible(line));
}

fn json_of(event: &Event<'_>) -> Option<Value> {
    Some(match event {
        Event::Resolved { manifest, layers, size_bytes } => {
            json!({"event": "resolved", "manifest": manifest, "layers": layers, "size_bytes": size_bytes})
        }
        Event::LayerKnown { layer, diff_id } => {
            json!({"event": "layer_known", "layer": layer, "diff_id": diff_id})
        }
        Event::LayerConverted { layer, diff_id, form } => json!({
            "event": "layer_converted", "layer": layer, "diff_id": diff_id, "objects": form.name(),
        }),
        Event::LayerStarted { layer, digest, size_bytes, resumed_bytes } => json!({
            "event": "layer_started", "layer": layer, "digest": digest,
            "size_bytes": size_bytes, "resumed_bytes": resumed_bytes,
        }),
        Event::LayerRestarted { layer, reason } => {
            json!({"event": "layer_restarted", "layer": layer, "reason": reason})
        }
        Event::LayerStored { layer, size_bytes } => {
            json!({"event": "layer_stored", "layer": layer, "size_bytes": size_bytes})
        }
        Event::Merging => json!({"event": "merging"}),
        Event::ImageStored { image } => json!({"event": "image_stored", "metadata_image": image}),
        _ => return None,
    })
}

/// A bar for each layer, and a line for the merge.
struct Bars {
    all: MultiProgress,
    layers: Mutex<HashMap<usize, ProgressBar>>,
    merge: Mutex<Option<ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        Self { all: MultiProgress::new(), layers: Mutex::default(), merge: Mutex::default() }
    }

    fn start(&self, layer: usize, digest: &str, size_bytes: u64, resumed_bytes: u64) {
        let style = ProgressStyle::with_template(
            "layer {prefix} {bar:30} {decimal_bytes:>9}/{decimal_total_bytes:9} {decimal_bytes_per_sec:>12} {msg}",
        )
        .expect("the template is constant and well-formed");
        let bar = self.all.add(ProgressBar::new(size_bytes).with_style(style));
        bar.set_prefix(format!("{:>3} {digest}", layer + 1));
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
                    layer + 1,
                    short(diff_id)
                ));
            }
            Event::LayerConverted { layer, diff_id, form } => {
                _ = self.all.println(format!(
                    "layer {:>3} {} was in the store, and is in {form} now",
                    layer + 1,
                    short(diff_id)
                ));
            }
            Event::LayerStarted { layer, digest, size_bytes, resumed_bytes } => {
                self.start(*layer, &short(digest), *size_bytes, *resumed_bytes);
            }
            Event::LayerAdvanced { layer, bytes } => self.with_layer(*layer, |bar| bar.inc(*bytes)),
            Event::LayerRestarted { layer, reason } => {
                self.with_layer(*layer, |bar| bar.abandon_with_message(visible(reason).replace('\n', " ")));
            }
            Event::LayerStored { layer, .. } => {
                self.with_layer(*layer, |bar| bar.finish_with_message("stored"))
            }
            Event::Merging => {
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
