//! The checks of sealed hosts by name. What the host itself checks is in `src/bin/probe/checks`, what is judged by its
//! console in [`run`](super::run).

use crate::kernels::Generation;

/// A start of the machine, or several of one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Boot {
    /// The host as it is meant to be.
    Sealed,
    /// The same disk once more.
    Later,
    /// With every hardening off, and Secure Boot too, for lockdown: what each stops has to succeed there. With a clock that
    /// is decades back.
    Bare,
    /// With a newer UKI beside the good one, whose root hash is not that of the image that it names.
    WrongRoot,
    /// With one changed byte in the only UKI's command line.
    Tampered,
    /// With a string in the firmware's tables that systemd-stub appends to the command line.
    Appended,
    /// With a signed UKI whose command line has a word `sealpack.…` that nobody knows.
    UnknownWord,
    /// With one that has such a word twice.
    WordTwice,
    /// With one whose policy was signed by a key that the firmware does not have.
    UnknownSigner,
    /// With one for a data partition of another label.
    NoData,
    /// With one for such a partition, and a deadline before it is given up.
    Late,
    /// With a second disk that has a data partition of the same label.
    TwoData,
    /// With a data partition whose superblock is damaged.
    Damaged,
    /// With a data partition that has no room left.
    Full,
    /// Without one of the image's packs in the store.
    NoPack,
    /// A host that was made by the commands of docs/sealed-hosts.md.
    Page,
    /// The same, of an image that was made by its commands too.
    WholePage,
    /// The first of these, started by shim, in firmware that has Microsoft's keys.
    Shim,
    /// Firmware without keys, in a machine whose disk has them.
    Enrolled,
    /// A host that has containerd, beside a registry.
    Containers,
    /// One that is kept up to date from a registry, through several starts.
    Fleet,
    /// A rescue image on a disk of its own, beside a host that does not start any more.
    Rescue,
}

impl Boot {
    /// All, in their order.
    pub const ALL: [Self; 22] = [
        Self::Sealed,
        Self::Later,
        Self::Bare,
        Self::WrongRoot,
        Self::Tampered,
        Self::Appended,
        Self::UnknownWord,
        Self::WordTwice,
        Self::UnknownSigner,
        Self::NoData,
        Self::Late,
        Self::TwoData,
        Self::Damaged,
        Self::Full,
        Self::NoPack,
        Self::Page,
        Self::WholePage,
        Self::Shim,
        Self::Enrolled,
        Self::Containers,
        Self::Fleet,
        Self::Rescue,
    ];

    /// Whether it shows anything on that kernel which it does not show on another one: what the first process, the boot
    /// loader or a page says is the same on all. In a run of all tests each boot is on each kernel.
    pub fn is_for(self, generation: Generation) -> bool {
        if self == Self::WholePage {
            // The image has Debian's kernel, whichever others have.
            return sealpack_tests::all() && generation == Generation::V6_12;
        }
        if sealpack_tests::all() {
            return true;
        }
        match self {
            Self::UnknownWord
            | Self::WordTwice
            | Self::NoData
            | Self::Late
            | Self::TwoData
            | Self::Damaged
            | Self::Full
            | Self::Page
            | Self::Shim
            | Self::Enrolled
            | Self::Containers
            | Self::Rescue => generation == Generation::V6_12,
            _ => true,
        }
    }

    /// The directory of the machine's files. The later boot is of the same machine.
    pub const fn directory(self) -> &'static str {
        match self {
            Self::Sealed | Self::Later => "sealed",
            Self::Bare => "bare",
            Self::WrongRoot => "wrong-root",
            Self::Tampered => "tampered",
            Self::Appended => "appended",
            Self::UnknownWord => "unknown-word",
            Self::WordTwice => "word-twice",
            Self::UnknownSigner => "unknown-signer",
            Self::NoData => "no-data",
            Self::Late => "late",
            Self::TwoData => "two-data",
            Self::Damaged => "damaged",
            Self::Full => "full",
            Self::NoPack => "no-pack",
            Self::Page => "page",
            Self::WholePage => "whole-page",
            Self::Shim => "shim",
            Self::Enrolled => "enrolled",
            Self::Containers => "containers",
            Self::Fleet => "fleet",
            Self::Rescue => "rescue",
        }
    }
}

/// Who finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The probe in the host: in each of these boots, and all have to agree.
    Probe(&'static [Boot]),
    /// Whoever looks at the console in this boot.
    Console(Boot),
}

impl Judge {
    /// The boots that the check needs.
    pub fn boots(&self) -> &[Boot] {
        match self {
            Self::Probe(boots) => boots,
            Self::Console(boot) => std::slice::from_ref(boot),
        }
    }
}

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, as `cargo xtask guest NAME` takes it.
    pub name: &'static str,
    /// Who finds out, and when.
    pub judge: Judge,
    /// What it shows.
    pub shows: &'static str,
}

/// The names of the checks that are for a kernel, in their order.
pub fn names_for(generation: Generation) -> Vec<&'static str> {
    let is_for = |check: &&Check| check.judge.boots().iter().any(|boot| boot.is_for(generation));
    ALL.iter().filter(is_for).map(|check| check.name).collect()
}

/// The check of that name.
pub fn find(name: &str) -> Option<Check> {
    ALL.iter().copied().find(|check| check.name == name)
}

const fn sealed(name: &'static str, shows: &'static str) -> Check {
    Check { name, judge: Judge::Probe(&[Boot::Sealed]), shows }
}

/// What is refused on the host as it is meant to be, and succeeds where every hardening is off.
const fn attack(name: &'static str, shows: &'static str) -> Check {
    Check { name, judge: Judge::Probe(&[Boot::Sealed, Boot::Bare]), shows }
}

const fn container(name: &'static str, shows: &'static str) -> Check {
    Check { name, judge: Judge::Probe(&[Boot::Containers]), shows }
}

/// What a host does that is kept up to date.
const fn fleet(name: &'static str, shows: &'static str) -> Check {
    Check { name, judge: Judge::Probe(&[Boot::Fleet]), shows }
}

const fn console(name: &'static str, boot: Boot, shows: &'static str) -> Check {
    Check { name, judge: Judge::Console(boot), shows }
}

/// All checks, in the order in which they run.
pub const ALL: &[Check] = &[
    sealed(
        "host_boots",
        "multi-user with no failed unit, Secure Boot on, the policy enforced, the kernel locked down",
    ),
    sealed(
        "host_extra_files_ignored",
        "credentials and extensions that anybody puts onto the EFI system partition reach nobody",
    ),
    sealed(
        "host_credentials_ignored",
        "a unit that a hypervisor gives to systemd as a credential is not started",
    ),
    sealed(
        "host_modules_from_image",
        "modules are loaded from the image, and their copies from nowhere else",
    ),
    attack("host_enforce_stays", "root does not switch IPE off, and hands no policy to the kernel"),
    attack("host_no_foreign_tables", "root makes no device-mapper device, and loads no table, by any number"),
    attack("host_no_foreign_abi", "system calls of 32 bits and of x32 are refused"),
    attack(
        "host_no_written_mappings",
        "code written into a private mapping of a signed file is not executed",
    ),
    attack("host_no_kexec", "root loads no other kernel"),
    attack("host_no_ptrace", "root reaches into no other process"),
    attack("host_helpers_confined", "programs that the kernel starts cannot do what root cannot"),
    attack("host_locked_down", "root does not write to the kernel's memory, or to ports"),
    attack("host_no_unsigned_programs", "what nobody signed is not executed, wherever root puts it"),
    Check {
        name: "host_clock_far_off",
        judge: Judge::Probe(&[Boot::Bare]),
        shows: "with a clock at which no certificate is valid yet, the host starts all the same",
    },
    Check {
        name: "host_status_tells",
        judge: Judge::Probe(&[Boot::Sealed, Boot::Bare, Boot::WrongRoot]),
        shows: "`host status` and `doctor` say what was booted, each hardening as the kernel has it, and why a boot was refused",
    },
    Check {
        name: "host_keeps_etc",
        judge: Judge::Probe(&[Boot::Sealed, Boot::Later]),
        shows: "of /etc what the list names comes back at the next boot, and nothing else",
    },
    sealed(
        "host_policy_update",
        "root has the broker load a higher version of the policy, and no other: what it revokes does not run any more",
    ),
    Check {
        name: "host_revocation_survives_reboot",
        judge: Judge::Probe(&[Boot::Later]),
        shows: "the update is enforced after the next boot, before anything is mounted",
    },
    Check {
        name: "host_by_the_page",
        judge: Judge::Probe(&[Boot::Page]),
        shows: "the commands of docs/sealed-hosts.md make a host that boots, with nothing left to do",
    },
    Check {
        name: "host_by_shim",
        judge: Judge::Probe(&[Boot::Shim]),
        shows: "shim starts what machine owner keys signed, and the kernel takes policy and packs by these, as the page says",
    },
    Check {
        name: "host_keys_enrolled",
        judge: Judge::Probe(&[Boot::Enrolled]),
        shows: "firmware that has no keys gets those of the disk, and starts the host with Secure Boot on then",
    },
    console(
        "host_refuses_wrong_root",
        Boot::WrongRoot,
        "an image with another root hash than the command line's is not started",
    ),
    Check {
        name: "host_falls_back",
        judge: Judge::Probe(&[Boot::WrongRoot]),
        shows: "after the tries of a newer UKI that fails, the older one is started, and knows why",
    },
    console(
        "host_by_the_whole_page",
        Boot::WholePage,
        "an image that the page's mmdebstrap makes, with the page's setup, is a host that starts",
    ),
    console("host_tampered_uki", Boot::Tampered, "firmware does not start a UKI with a changed byte"),
    console(
        "host_cmdline_extra_refused",
        Boot::Appended,
        "a command line that a hypervisor appended to is refused, and named",
    ),
    console(
        "host_unknown_word",
        Boot::UnknownWord,
        "a word sealpack.… that is unknown is refused, though signed",
    ),
    console(
        "host_word_twice",
        Boot::WordTwice,
        "a word sealpack.… that is there twice is refused, though signed",
    ),
    console(
        "host_unknown_signer",
        Boot::UnknownSigner,
        "a policy by a key that the firmware lacks is refused",
    ),
    console(
        "host_data_missing",
        Boot::NoData,
        "without a data partition the boot is refused, and says what there is",
    ),
    console(
        "host_deadline",
        Boot::Late,
        "a start that does not come to an end is ended from outside, and the step named that it was at",
    ),
    console(
        "host_data_damaged",
        Boot::Damaged,
        "a damaged data partition is not mounted, and the mend is named",
    ),
    Check {
        name: "host_data_full",
        judge: Judge::Probe(&[Boot::Full]),
        shows: "with a data partition that has no room left, the host starts, and says what it could not keep",
    },
    console("host_data_twice", Boot::TwoData, "of two data partitions none is taken, and both are named"),
    console(
        "host_incomplete_image",
        Boot::NoPack,
        "an image without one of its packs is refused, and the pack named",
    ),
    container(
        "host_containers_run",
        "a sealed image that containerd pulls is run by crun and exec'ed into, enforced, with the layers in the host's own store",
    ),
    container(
        "host_containers_pod",
        "a pod and its container come from sealed images that CRI pulls, enforced; what is copied in it is denied, an unsealed image refused",
    ),
    container(
        "host_containers_alone",
        "without containerd, `sealpack run` pulls and runs a sealed image enforced, within limits of memory, processes and processor time, and what is copied there is denied",
    ),
    container("host_containers_unsealed", "a container of an image without a seal is refused, and says why"),
    container(
        "host_containers_copy",
        "a program that is copied in a container is not executed, and the one that it was copied from is; renamed it still is",
    ),
    container(
        "host_containers_bind",
        "a program that a bind mount brings into a container is not executed there",
    ),
    container(
        "host_containers_share",
        "a page of a shared library is the same frame of memory in two containers, and what they write to is not",
    ),
    fleet(
        "host_upgrade",
        "an update comes from the registry with the pack that it adds and no other, is started, and blessed",
    ),
    fleet("host_gc_keeps_fallback", "what the fallback needs stays when all goes that nothing needs"),
    fleet("host_switch", "the host goes to an image of another name, which is started and blessed"),
    fleet("host_rollback", "the host goes back to what ran before"),
    fleet(
        "host_bad_update_falls_back",
        "an update whose start a unit of the administrator's finds bad is not blessed; the one before runs again, and tells which it was, and why",
    ),
    fleet(
        "host_key_rotation",
        "boot, policy and packs keys are changed by root of a running host: what both signed runs before and after, what the old ones signed does not",
    ),
    fleet(
        "host_upgrade_power_cut",
        "a power cut at any write of an update leaves whole UKIs, a good store, and a host that starts",
    ),
    Check {
        name: "host_rescue",
        judge: Judge::Probe(&[Boot::Rescue]),
        shows: "a sealed rescue image on another disk mends a host's ESP and store by the commands of docs/sealed-hosts.md",
    },
];
