//! The checks by name. What each one does is in the guest's first process, `src/bin/init/checks`.

/// A check that the guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, as `cargo xtask guest NAME` takes it.
    pub name: &'static str,
    /// What it shows.
    pub shows: &'static str,
}

const fn check(name: &'static str, shows: &'static str) -> Check {
    Check { name, shows }
}

/// All checks, in the order in which the guest runs them.
pub const ALL: &[Check] = &[
    check("fsverity_sha256", "the kernel's fs-verity digests are ours, and the files cannot be written to"),
    check("fsverity_sha512", "the same with SHA-512"),
    check("keyring_platform", "the keyring .platform holds the certificate in the firmware's db"),
    check(
        "device_signed",
        "a device with a signature by the trusted key is activated, mounted and goes by itself",
    ),
    check("device_unknown_key", "a signature by another key is refused with ENOKEY"),
    check("device_other_signature", "the signature of another root hash is refused with EKEYREJECTED"),
    check("device_garbage_signature", "what is no signature is refused with EBADMSG"),
    check("device_corrupted", "a changed block of a device is an I/O error"),
    check("device_table", "the table in force is the one loaded, to the letter"),
    check("verified_mount", "an image in a store on ext4 is mounted as verified and runs"),
    check("verified_corrupt_object", "an object changed on the disk is an I/O error when it is read"),
    check("verified_swapped_object", "an object replaced by another file is refused when it is opened"),
    check("verified_swapped_metadata", "a metadata image replaced by another one is not mounted"),
    check("policy_life", "a signed IPE policy is loaded, updated, activated and shown as it is"),
    check("policy_unsigned", "a policy without a signature is refused with EBADMSG"),
    check("policy_unknown_key", "a policy signed by another key is refused with ENOKEY"),
    check("policy_rollback", "a lower version is refused, of the same policy and of another"),
    // From here on dm-verity looks into its own keyring last, and another root's signature is ENOKEY too.
    check("keyring_dm_verity", "a key in .dm-verity counts, once the keyring is restricted"),
];
