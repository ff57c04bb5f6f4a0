//! The checks. Each leaves the guest as it found it, but for what only a boot takes back.

mod allow;
mod broker;
mod changed;
mod deny;
mod device;
mod digests;
pub(crate) mod enforcement;
mod figures;
mod fsverity;
pub(crate) mod images;
mod keyring;
mod kinds;
mod leftovers;
mod limits;
mod modules;
mod mount_figure;
mod mounting;
mod mounts;
mod policy;
mod predictions;
mod report;
mod rotation;
mod sharing;
mod verified;

pub(crate) use deny::load_unsigned_library as preload;

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
        "refuse_unknown_key" => || device::refused("unknown.p7s", Errno::NOKEY),
        "refuse_other_signature" => || device::refused("other.p7s", Errno::KEYREJECTED),
        "refuse_garbage_signature" => || device::refused("root-hash", Errno::BADMSG),
        "device_corrupted" => device::corrupted,
        "device_table" => device::table,
        "verified_mount" => verified::mount,
        "verified_corrupt_object" => verified::corrupt_object,
        "verified_swapped_object" => verified::swapped_object,
        "verified_remembered" => verified::remembered,
        "verified_swapped_metadata" => verified::swapped_metadata,
        "doctor_tells" => mounting::doctor,
        "mount_killed" => mounting::killed,
        "mount_failed" => mounting::failed,
        "mount_raced" => mounting::raced,
        "mount_foreign_device" => mounting::foreign_device,
        "policy_life" => policy::life,
        "refuse_policy_unsigned" => || policy::refused("first.txt", Errno::BADMSG),
        "refuse_policy_unknown_key" => || policy::refused("unknown.p7b", Errno::NOKEY),
        "refuse_policy_rollback" => policy::rollback,
        "default_modules" => modules::default,
        "limit_initramfs_write" => limits::initramfs_write,
        "limit_renamed_program" => limits::renamed_program,
        "limit_private_mapping" => limits::private_mapping,
        "limit_enforce_off" => limits::enforce_off,
        "limit_module" => limits::module,
        "limit_unsigned_metadata" => limits::unsigned_metadata,
        "verify_tells" => sharing::verify,
        "mounts_tell" => mounts::tell,
        "report_tells" => report::tell,
        "shared_pages" => sharing::pages,
        "shared_device" => sharing::device,
        "no_leftovers" => sharing::nothing_left,
        "eio_changed_pack" => changed::after_mounting,
        "refuse_changed_pack" => changed::before_mounting,
        "deny_unsigned_pack" => deny::unsigned_pack,
        "allow_python" => allow::python,
        "figure_enforced_mount" => mount_figure::figure,
        "figure_python_start" => figures::python_start,
        "signature_kinds" => kinds::all,
        "refuse_device_slot" => changed::device_slot,
        "allow_digest_policy" => digests::allow,
        "deny_digest_policy" => digests::deny,
        "deny_revoked_pack" => deny::revoked_pack,
        "enforced_denied_device" => deny::denied_device,
        "figure_digest_rules" => digests::figure,
        "broker_mounts" => broker::mounts::all,
        "broker_refuses" => broker::refuses::all,
        "broker_users" => broker::users::all,
        "broker_survives" => broker::survives::all,
        "broker_updates" => broker::updates::all,
        "broker_out_of_reach" => broker::reach::all,
        "figure_broker_mount" => broker::mounts::figure,
        "policy_check_agrees" => predictions::agree,
        "allow_dynamic_program" => allow::dynamic_program,
        "allow_script" => allow::script,
        "allow_inline_script" => allow::inline_script,
        "allow_two_images" => allow::two_images,
        "rotation_both_keys" => rotation::both_keys,
        "rotation_dm_verity" => rotation::dm_verity,
        "rotation_old_key_gone" => rotation::old_key_gone,
        "deny_unsigned_mount" => deny::unsigned_mount,
        "deny_overmount" => deny::overmount,
        "deny_bind_mount" => deny::bind_mount,
        "deny_upper_copy" => deny::upper_copy,
        "deny_preload" => deny::preload,
        "deny_mmap" => deny::mmap,
        "deny_memfd" => deny::memfd,
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
