//! The checks by name. What each one does is in the guest's first process, `src/bin/init/checks`.

/// What the guest's kernel enforces when a check begins. A boot goes through the stages in their order, as far as
/// the checks that it is to run need them: the kernel takes no policy back, only a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing: no policy is active, or one that allows everything.
    Bare,
    /// The early profile: what is in the initramfs executes, and what is on signed devices.
    Early,
    /// The final profile: what is on signed devices executes, and nothing else.
    Final,
    /// The strict profile: the final one, and no module, firmware or kernel that is not on a signed device.
    Strict,
    /// The final profile, digest rules for an image in a store of files, and a pack revoked.
    Digests,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Self; 5] = [Self::Bare, Self::Early, Self::Final, Self::Strict, Self::Digests];

    /// The name of the stage's policy, and of its files on the disk; none at the beginning.
    pub const fn policy(self) -> Option<&'static str> {
        match self {
            Self::Bare => None,
            Self::Early => Some("early"),
            Self::Final => Some("final"),
            Self::Digests => Some("digests"),
            Self::Strict => Some("strict"),
        }
    }
}

/// The machine is started more than once: what its firmware trusts changes only between two boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Boot {
    /// The firmware's `db` has the old key and the new one.
    First,
    /// The same disk after the old key was taken out of `db`.
    Rotated,
}

impl Boot {
    /// All, in their order.
    pub const ALL: [Self; 2] = [Self::First, Self::Rotated];
}

/// A check that the guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, as `cargo xtask guest NAME` takes it.
    pub name: &'static str,
    /// In which boot.
    pub boot: Boot,
    /// What is enforced when it begins.
    pub stage: Stage,
    /// What it shows.
    pub shows: &'static str,
}

/// The check of that name.
pub fn find(name: &str) -> Option<Check> {
    ALL.iter().copied().find(|check| check.name == name)
}

const fn bare(name: &'static str, shows: &'static str) -> Check {
    Check { name, boot: Boot::First, stage: Stage::Bare, shows }
}

const fn sealed(name: &'static str, shows: &'static str) -> Check {
    Check { name, boot: Boot::First, stage: Stage::Final, shows }
}

const fn digests(name: &'static str, shows: &'static str) -> Check {
    Check { name, boot: Boot::First, stage: Stage::Digests, shows }
}

const fn rotated(name: &'static str, stage: Stage, shows: &'static str) -> Check {
    Check { name, boot: Boot::Rotated, stage, shows }
}

/// All checks, in the order in which the guest runs them.
pub const ALL: &[Check] = &[
    bare("default_modules", "the security modules are those that Debian's kernel chooses, IPE among them"),
    bare("fsverity_sha256", "the kernel's fs-verity digests are ours, and the files cannot be written to"),
    bare("fsverity_sha512", "the same with SHA-512"),
    bare("keyring_platform", "the keyring .platform holds the certificate in the firmware's db"),
    bare(
        "device_signed",
        "a device with a signature by the trusted key is activated, mounted and goes by itself",
    ),
    bare("refuse_unknown_key", "a signature by another key is refused with ENOKEY"),
    bare("refuse_other_signature", "the signature of another root hash is refused with EKEYREJECTED"),
    bare("refuse_garbage_signature", "what is no signature is refused with EBADMSG"),
    bare("device_corrupted", "a changed block of a device is an I/O error"),
    bare("device_table", "the table in force is the one loaded, to the letter"),
    bare("verified_mount", "an image in a store on ext4 is mounted as verified and runs"),
    bare("verified_corrupt_object", "an object changed on the disk is an I/O error when it is read"),
    bare("verified_swapped_object", "an object replaced by another file is refused when it is opened"),
    bare(
        "verified_remembered",
        "what a mount found of an image's objects is looked for again when one was replaced, or has gone",
    ),
    bare("verified_swapped_metadata", "a metadata image replaced by another one is not mounted"),
    bare(
        "signature_kinds",
        "the kernel accepts seals and policies signed with RSA and ECDSA keys of all kinds",
    ),
    bare("doctor_tells", "doctor says which levels can be reached, and whom the kernel trusts"),
    bare("mount_killed", "a mount that is killed before any of its calls leaves nothing that is not removed"),
    bare("mount_failed", "a mount of which any call fails leaves nothing"),
    bare("mount_raced", "many mounts and unmounts of an image at once share its devices"),
    bare("mount_foreign_device", "devices of other files are left alone, devices with other tables refused"),
    bare("policy_life", "a signed IPE policy is loaded, updated, activated and shown as it is"),
    bare("refuse_policy_unsigned", "a policy without a signature is refused with EBADMSG"),
    bare("refuse_policy_unknown_key", "a policy signed by another key is refused with ENOKEY"),
    bare("refuse_policy_rollback", "a lower version is refused, of the same policy and of another"),
    // From here on dm-verity looks into its own keyring last, and another root's signature is ENOKEY too.
    bare("keyring_dm_verity", "keys in .dm-verity count, once the keyring is restricted"),
    Check {
        name: "limit_initramfs_write",
        boot: Boot::First,
        stage: Stage::Early,
        shows: "what root writes into the initramfs executes under the early policy, and not under the final one",
    },
    sealed("allow_dynamic_program", "a program with its libraries from packs runs"),
    sealed("allow_script", "a script in a pack runs, by an interpreter in a pack"),
    sealed("allow_inline_script", "a script of at most 64 bytes, inside the metadata image, runs"),
    sealed("allow_python", "python3 of a Debian image runs, with modules in C"),
    sealed("allow_two_images", "two images with a common base run at once"),
    sealed(
        "rotation_both_keys",
        "while both are in db, images run that the old key sealed, and those that the new one sealed too",
    ),
    sealed("deny_unsigned_mount", "the same program from an unsigned mount is not executed"),
    sealed("deny_unsigned_pack", "the same program from a pack without a signature is not executed"),
    sealed("deny_overmount", "an unsigned mount over the signed one is of no use"),
    sealed("deny_bind_mount", "an unsigned file bound over a signed one is not executed"),
    sealed("deny_upper_copy", "a copy on the writable upper layer is not executed"),
    sealed("deny_preload", "a library from outside is not loaded by LD_PRELOAD"),
    sealed("deny_mmap", "an unsigned file is not mapped, or made, executable"),
    sealed("deny_memfd", "a program in memory is not executed, nor is memory of no file"),
    sealed("refuse_changed_pack", "a pack with a changed bit is not mounted, or gives I/O errors"),
    sealed("eio_changed_pack", "a bit changed while a pack is mounted is an I/O error"),
    sealed(
        "refuse_device_slot",
        "sealpack mounts nothing that has contents on a second device, which the kernel would execute",
    ),
    sealed("shared_pages", "a file of two images is in the page cache once"),
    sealed("shared_device", "a pack of two images has one device"),
    sealed("no_leftovers", "nothing is left after unmounting, nor after kill -9 of a mount at any point"),
    sealed("verify_tells", "`sealpack verify` says which devices an image is on, and that these are signed"),
    sealed(
        "mounts_tell",
        "`sealpack mounts` says what each mount is good for, and that it is less while IPE only logs",
    ),
    sealed(
        "report_tells",
        "the page of `sealpack report` says what is enforced, by whose certificates, what is mounted and what was denied",
    ),
    sealed("limit_renamed_program", "any signed program can be started under the name of another one"),
    sealed(
        "limit_private_mapping",
        "what is written into a private mapping of a signed file can be made executable, unless PR_SET_MDWE is set",
    ),
    sealed(
        "limit_unsigned_metadata",
        "an unsigned metadata image over signed packs runs; sealpack mounts such an image nosuid",
    ),
    sealed("limit_enforce_off", "root can switch IPE off, unless CAP_MAC_ADMIN was dropped"),
    sealed(
        "broker_mounts",
        "who may not make devices mounts through the broker, and gets what a direct mount gets",
    ),
    sealed(
        "broker_refuses",
        "the broker refuses what is unsigned, garbage, of another size, or no request, and leaves no device",
    ),
    sealed("broker_users", "an ordinary user mounts in namespaces of his own, idmapped, and delays nobody"),
    sealed(
        "broker_survives",
        "clients that die, idle connections and signals do not end the broker, and its end ends no mount",
    ),
    sealed("broker_updates", "the broker updates the active policy, with higher versions of it only"),
    sealed(
        "broker_out_of_reach",
        "root without CAP_SYS_PTRACE reaches the broker by none of eight ways, which work with it",
    ),
    sealed(
        "figure_broker_mount",
        "prints how long a mount through the broker takes, and what the broker needs",
    ),
    sealed(
        "policy_check_agrees",
        "`sealpack policy check` predicts what the kernel decides about each executable of each image",
    ),
    sealed(
        "figure_enforced_mount",
        "prints how long an enforced mount takes, beside the same filesystems mounted by hand",
    ),
    sealed(
        "figure_python_start",
        "prints how long python3 takes to start, from an enforced mount and a directory",
    ),
    Check {
        name: "limit_module",
        boot: Boot::First,
        stage: Stage::Final,
        shows: "an unsigned module can be loaded under the final policy, and not under the strict one",
    },
    digests(
        "allow_digest_policy",
        "files whose digests a signed policy names are executed from a store of files",
    ),
    digests("deny_digest_policy", "others are not, nor files with the same contents and no fs-verity"),
    digests("deny_revoked_pack", "what is on a pack that a later policy revokes is not executed any more"),
    digests(
        "enforced_denied_device",
        "an image with a pack that the active policy denies is mounted as signed, not as enforced",
    ),
    // The policies of this one have higher versions than all others.
    digests(
        "figure_digest_rules",
        "prints how long the kernel takes to decide, by the number of digest rules",
    ),
    rotated(
        "rotation_dm_verity",
        Stage::Bare,
        "what a key signed that is not put into .dm-verity any more is refused; the new key's is accepted",
    ),
    rotated(
        "rotation_old_key_gone",
        Stage::Final,
        "without the old key in db, its images are not executed any more; those that the new key sealed too are",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_only_go_up_and_names_are_unique() {
        assert!(ALL.is_sorted_by_key(|check| (check.boot, check.stage)));
        for check in ALL {
            assert_eq!(ALL.iter().filter(|other| other.name == check.name).count(), 1, "{}", check.name);
            // They are passed in a list with commas, as one word.
            assert!(
                check
                    .name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            );
        }
    }
}
