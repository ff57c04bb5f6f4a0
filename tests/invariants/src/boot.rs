//! What a sealed host is told at its start.

use sealpack_format::boot::{CommandLine, ModuleOrder, check_unchanged};

/// A command line that is accepted means the same once it was printed, and is printed the same again; no other bytes
/// count as it. A list of modules that is accepted means the same once it was printed.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok(order) = ModuleOrder::parse(bytes) {
        assert_eq!(ModuleOrder::parse(order.to_string().as_bytes()), Ok(order));
    }
    let Ok(line) = CommandLine::parse(bytes) else { return };
    let text = line.to_string();
    let again = CommandLine::parse(text.as_bytes()).expect("a command line that we print is a good one");
    assert_eq!(again, line);
    assert_eq!(again.to_string(), text);
    let is_it = bytes.strip_suffix(b"\n").unwrap_or(bytes) == text.as_bytes();
    assert_eq!(check_unchanged(text.as_bytes(), bytes).is_ok(), is_it);
}
