//! A sealed host that is kept up to date from a registry, through several of its starts.
//!
//! What it is to do in each start are [`PHASES`]; the checks are in `src/bin/probe/checks/fleet`. Its keys change on the way:
//! what it is made of is signed by the keys of before, what comes next by both, and then by those that follow only.

mod cuts;
mod firmware;
mod publish;
mod run;
mod versions;

pub use run::run;
pub use versions::Version;

/// What the image is called that the host is made of, and that its first update has.
pub const STABLE: &str = "127.0.0.1:5000/host:stable";

/// What the host is switched to.
pub const OTHER: &str = "127.0.0.1:5000/other:1";

/// An image whose start is not good.
pub const BAD: &str = "127.0.0.1:5000/bad:1";

/// The file in each image that says which version it is.
pub const VERSION_FILE: &str = "/usr/lib/site/version";

/// What the check of a start that is not good says.
pub const COMPLAINT: &str = "the disk is half full";

/// Where files are on the EFI system partition that the host is given: those that change what the firmware trusts, and the
/// boot loader, signed by both keys.
pub const GIVEN: &str = "given";

/// Puts the new keys beside the old ones.
pub const BOTH: &str = "db-both.update";

/// Leaves the new ones.
pub const NEW_ONLY: &str = "db-new.update";

/// Has what the old boot key signed refused, whoever else signed it too.
pub const DENIED: &str = "dbx-old.update";

/// The boot loader.
pub const LOADER: &str = "loader.efi";

/// What is done in each start, in order; in one with nothing the host starts again by itself. Those that are no checks by themselves are what a later one needs.
pub const PHASES: &[&[&str]] = &[
    // The first version.
    &["fleet_takes_new_keys", "fleet_upgrades"],
    // The second.
    &["host_upgrade", "host_gc_keeps_fallback", "fleet_switches"],
    // The other one.
    &["host_switch", "fleet_rolls_back"],
    // The second, which is then told to be started with the new keys only, and to go to a bad version.
    &["host_rollback", "fleet_drops_old_keys", "fleet_takes_a_bad_version"],
    // The bad one, which has no probe.
    &[],
    // The second again.
    &["host_bad_update_falls_back", "host_key_rotation"],
];

/// What a host does that a power cut has ended.
pub const AFTER_POWER_CUT: &str = "fleet_survives_power_cut";
