//! Units of systemd.

use super::files::Files;

/// Where units, and what adds to them, are: what comes first wins.
pub(super) const UNITS: [&str; 3] =
    ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

/// Whether nothing starts a unit, whatever presets say: it is masked, or there is none of that name.
pub(super) fn is_masked_or_absent<F: Files>(files: &F, unit: &str) -> bool {
    let mut paths = UNITS.iter().map(|directory| format!("{directory}/{unit}"));
    let first = paths.find(|path| files.link(path).is_some() || files.has(path));
    first.is_none_or(|path| files.link(&path).as_deref() == Some("/dev/null"))
}
