//! What would put files that nobody signed over the image's.

use super::files::Files;
use super::units::is_masked_or_absent;
use super::{Finding, Requirement};

/// Services that put what is in `/var/lib/extensions` over `/usr`, and in `/var/lib/confexts` over `/etc`, at each boot.
const MERGE: [(&str, &str); 2] = [("systemd-sysext.service", "/usr"), ("systemd-confext.service", "/etc")];

pub(super) fn check<F: Files>(files: &F, findings: &mut Vec<Finding>) {
    findings.extend(MERGE.map(|(unit, over)| {
        let path = format!("/etc/systemd/system/{unit}");
        if is_masked_or_absent(files, unit) {
            return Finding::good(Requirement::Extensions, path);
        }
        Finding::broken(
            Requirement::Extensions,
            path,
            format!(
                "does not mask that service, which puts files of /var that nobody signed over the image's {over} at each boot, \
                 units among them"
            ),
            format!("run `systemctl mask {unit}` in the image"),
        )
    }));
}
