//! Bars that fit into the terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Below this many columns there is no room for bars beside the numbers.
const BARS_FROM_COLUMNS: u16 = 64;

/// A bar for a part of what is read: its prefix says which.
pub(super) fn part(size_bytes: u64, prefix: String) -> ProgressBar {
    let style = match is_narrow() {
        true => "{prefix} {percent:>3}% {wide_msg}",
        false => "{prefix} {bar:20} {decimal_bytes:>9}/{decimal_total_bytes:9} {wide_msg}",
    };
    ProgressBar::new(size_bytes).with_style(of(style)).with_prefix(prefix)
}

/// The bar for all of it, with the time that is left.
pub(super) fn total(size_bytes: u64) -> ProgressBar {
    let style = match is_narrow() {
        true => "{decimal_bytes}/{decimal_total_bytes}, {eta} left",
        false => {
            "total {wide_bar} {decimal_bytes:>9}/{decimal_total_bytes:9} {decimal_bytes_per_sec}, {eta} left"
        }
    };
    ProgressBar::new(size_bytes).with_style(of(style))
}

fn of(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constant and well-formed")
}

fn is_narrow() -> bool {
    // A terminal that does not say how wide it is, is as wide as terminals are.
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.is_ok_and(|size| (1..BARS_FROM_COLUMNS).contains(&size.ws_col))
}
