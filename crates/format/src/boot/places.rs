//! Where things are: in the initramfs, and on the data partition.

/// Names in a sealed host's initramfs, from its root, without the slash in front.
pub mod initramfs {
    /// The first process: a static program.
    pub const INIT: &str = "init";
    /// The command line that was signed, to the byte, without a newline.
    pub const COMMAND_LINE: &str = "cmdline";
    /// IPE's policy, signed.
    pub const POLICY: &str = "policy.p7b";
    /// The directory of [`certificate`]s: those of who may sign packs, for the keyring `.dm-verity`.
    pub const CERTIFICATES: &str = "packs";
    /// The directory of modules.
    pub const MODULES: &str = "modules";
    /// Which modules to load, in which order, and with what ([`ModuleOrder`](crate::boot::ModuleOrder)); in [`MODULES`].
    pub const ORDER: &str = "ORDER";
    /// The device that the kernel opens for the first process's output.
    pub const CONSOLE: &str = "dev/console";
    /// The directories that are there, besides [`CERTIFICATES`] and [`MODULES`]: for what is mounted.
    pub const MOUNT_POINTS: [&str; 6] = ["data", "dev", "proc", "run", "sys", "sysroot"];
    /// The directory with what systemd-stub found on the ESP. Nobody signed it, and nothing of it is used.
    pub const UNSIGNED: &str = ".extra";

    /// The certificate with this number, from 0, in DER.
    #[must_use]
    pub fn certificate(number: usize) -> String {
        format!("{CERTIFICATES}/{number}.der")
    }
}

/// Names on a sealed host's data partition, from its root.
pub mod data {
    /// Where the partition is mounted on the host.
    pub const MOUNTED_AT: &str = "/data";
    /// The store.
    pub const STORE: &str = "store";
    /// What becomes `/var`.
    pub const VAR: &str = "var";
    /// What becomes `/home`.
    pub const HOME: &str = "home";
    /// Files of `/etc` that are kept, by their names.
    pub const ETC: &str = "etc";
    /// The upper directory of `/etc` with `sealpack.etc=persistent`.
    pub const ETC_UPPER: &str = "etc.upper";
    /// Policies that the kernel accepted in place of the UKI's: `NAME-VERSION.p7b`.
    pub const POLICIES: &str = "policies";
    /// Why the last boot was refused, as text.
    pub const REFUSED: &str = "boot/refused";
}

/// Files of a host that runs.
pub mod host {
    /// What the first process says of the start: a [`BootReport`](crate::boot::BootReport).
    pub const REPORT: &str = "/run/sealpack/boot";
}
