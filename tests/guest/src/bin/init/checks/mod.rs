//! The checks. Each leaves the guest as it found it, but for what only a boot takes back.

mod device;
mod fsverity;
mod keyring;
mod policy;
mod verified;

use anyhow::{Result, ensure};
use sealpack_format::digest::Algorithm;
use sealpack_kernel::{Errno, Error};

/// What a check found.
pub(crate) enum Verdict {
    /// What it is there to show.
    Shown,
    /// That this kernel has nothing to show it with.
    Inapplicable(String),
}

type Check = fn() -> Result<Verdict>;

/// The check of that name.
pub(crate) fn find(name: &str) -> Option<Check> {
    Some(match name {
        "fsverity_sha256" => || fsverity::digests_agree(Algorithm::Sha256),
        "fsverity_sha512" => || fsverity::digests_agree(Algorithm::Sha512),
        "keyring_platform" => keyring::platform,
        "keyring_dm_verity" => keyring::dm_verity,
        "device_signed" => device::signed,
        "device_unknown_key" => || device::refused("unknown.p7s", Errno::NOKEY),
        "device_other_signature" => || device::refused("other.p7s", Errno::KEYREJECTED),
        "device_garbage_signature" => || device::refused("root-hash", Errno::BADMSG),
        "device_corrupted" => device::corrupted,
        "device_table" => device::table,
        "verified_mount" => verified::mount,
        "verified_corrupt_object" => verified::corrupt_object,
        "verified_swapped_object" => verified::swapped_object,
        "verified_swapped_metadata" => verified::swapped_metadata,
        "policy_life" => policy::life,
        "policy_unsigned" => || policy::refused("first.txt", Errno::BADMSG),
        "policy_unknown_key" => || policy::refused("unknown.p7b", Errno::NOKEY),
        "policy_rollback" => policy::rollback,
        _ => return None,
    })
}

/// That a call failed in just this way, and that its error says so in words.
fn ensure_refused<T>(what: &str, result: Result<T, Error>, errno: Errno) -> Result<()> {
    match result {
        Ok(_) => anyhow::bail!("{what} was accepted"),
        Err(error) => {
            println!("{what}: {error}");
            ensure!(error.errno() == errno, "{what} failed in another way than with {errno:?}: {error}");
            ensure!(error.meaning().is_some(), "{error} does not say what it means");
            Ok(())
        }
    }
}
