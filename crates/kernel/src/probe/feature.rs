//! The features that matter here: what each is for, and what to do without it.

use std::fmt;

/// Something a machine can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeatureId {
    /// A kernel that is new enough.
    Kernel,
    /// `CAP_SYS_ADMIN` outside of any user namespace.
    Privilege,
    /// The EROFS filesystem.
    Erofs,
    /// EROFS mounted from a file of the store's filesystem.
    ErofsFromFile,
    /// Loop devices.
    LoopDevices,
    /// The overlay filesystem.
    Overlayfs,
    /// overlayfs' data-only lower layers.
    DataOnlyLayers,
    /// overlayfs' `verity=require`.
    OverlayVerity,
    /// overlayfs' layers that are mounted nowhere.
    DetachedLayers,
    /// fs-verity on the store's filesystem.
    FsVerity,
    /// dm-verity.
    DmVerity,
    /// dm-verity with signed root hashes.
    DmVeritySignatures,
    /// The security module IPE.
    Ipe,
    /// An active IPE policy, enforced.
    IpeEnforcing,
    /// Kernel lockdown.
    Lockdown,
    /// Yama's restriction of ptrace.
    PtraceScope,
    /// No writing through `/proc/PID/mem` against the page protection.
    ProcMem,
    /// User namespaces for everybody.
    UserNamespaces,
}

/// What a feature is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Mounting images at all.
    Mount,
    /// Mounting them in the best way; there is another.
    MountWell,
    /// Mounts that are verified: bytes are checked when they are read.
    Verified,
    /// Mounts that are signed: the kernel accepted signatures.
    Signed,
    /// Mounts that are enforced: nothing else is executed.
    Enforced,
    /// Keeping the enforcement from being undone or bypassed.
    Hardening,
    /// Use without root.
    Rootless,
}

/// Whether a machine has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It does.
    Available,
    /// It does not.
    Missing,
    /// It could not be found out; the feature's detail says why.
    Unknown,
}

/// A feature, and whether this machine has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Which.
    pub id: FeatureId,
    /// Whether the machine has it.
    pub status: Status,
    /// What was seen, for example `6.12.57, at least 6.12 is recommended`.
    pub detail: String,
}

impl Feature {
    /// What to do about a feature that is missing; `None` for any other, of which the detail
    /// says how to find out.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        (self.status == Status::Missing).then(|| self.id.advice())
    }
}

/// The texts of a feature.
struct Texts {
    name: &'static str,
    purpose: Purpose,
    why: &'static str,
    advice: &'static str,
}

impl FeatureId {
    /// All of them, from what every mount needs to what only some do.
    pub const ALL: [Self; 18] = [
        Self::Kernel,
        Self::Privilege,
        Self::Erofs,
        Self::ErofsFromFile,
        Self::LoopDevices,
        Self::Overlayfs,
        Self::DataOnlyLayers,
        Self::OverlayVerity,
        Self::DetachedLayers,
        Self::FsVerity,
        Self::DmVerity,
        Self::DmVeritySignatures,
        Self::Ipe,
        Self::IpeEnforcing,
        Self::Lockdown,
        Self::PtraceScope,
        Self::ProcMem,
        Self::UserNamespaces,
    ];

    /// A short name, for example `EROFS`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.texts().name
    }

    /// What it is needed for.
    #[must_use]
    pub const fn purpose(self) -> Purpose {
        self.texts().purpose
    }

    /// What it does for Sealpack, in a few words.
    #[must_use]
    pub const fn why(self) -> &'static str {
        self.texts().why
    }

    const fn advice(self) -> &'static str {
        self.texts().advice
    }

    const fn texts(self) -> Texts {
        match self {
            Self::Kernel => Texts {
                name: "kernel",
                purpose: Purpose::Mount,
                why: "everything else",
                advice: "use Linux 6.12 or later, as Debian 13 or the backports of Debian 12 have",
            },
            Self::Privilege => Texts {
                name: "privilege to mount",
                purpose: Purpose::Mount,
                why: "the kernel mounts EROFS for nobody else",
                advice: "run as root, outside of any user namespace",
            },
            Self::Erofs => Texts {
                name: "EROFS",
                purpose: Purpose::Mount,
                why: "metadata images and packs are EROFS filesystems",
                advice: "use a kernel with CONFIG_EROFS_FS, or load the module erofs",
            },
            Self::ErofsFromFile => Texts {
                name: "EROFS from files",
                purpose: Purpose::MountWell,
                why: "mounts metadata images without a loop device",
                advice: "use Linux 6.12 or later and a store on ext4, XFS or btrfs; otherwise loop devices serve",
            },
            Self::LoopDevices => Texts {
                name: "loop devices",
                purpose: Purpose::MountWell,
                why: "mounts metadata images where EROFS takes no files, and packs",
                advice: "use a kernel with CONFIG_BLK_DEV_LOOP, load the module loop, and see to /dev/loop-control",
            },
            Self::Overlayfs => Texts {
                name: "overlayfs",
                purpose: Purpose::Mount,
                why: "combines the metadata image with the objects",
                advice: "use a kernel with CONFIG_OVERLAY_FS, or load the module overlay",
            },
            Self::DataOnlyLayers => Texts {
                name: "data-only layers",
                purpose: Purpose::Mount,
                why: "lets overlayfs find objects by their names",
                advice: "use Linux 6.7 or later",
            },
            Self::OverlayVerity => Texts {
                name: "overlayfs verity=require",
                purpose: Purpose::Verified,
                why: "refuses any object but the one that the metadata image means",
                advice: "use Linux 6.6 or later",
            },
            Self::DetachedLayers => Texts {
                name: "detached layers",
                purpose: Purpose::MountWell,
                why: "gives overlayfs metadata images that are mounted nowhere",
                advice: "use Linux 6.15 or later; otherwise a short-lived mount namespace serves",
            },
            Self::FsVerity => Texts {
                name: "fs-verity",
                purpose: Purpose::Verified,
                why: "checks the bytes of objects and metadata images when they are read",
                advice: "keep the store on btrfs, or on ext4 or f2fs with the feature verity \
                         (`tune2fs -O verity DEVICE`), with a kernel with CONFIG_FS_VERITY",
            },
            Self::DmVerity => Texts {
                name: "dm-verity",
                purpose: Purpose::Signed,
                why: "checks the bytes of packs and metadata images when they are read",
                advice: "use a kernel with CONFIG_DM_VERITY, and its modules",
            },
            Self::DmVeritySignatures => Texts {
                name: "signed dm-verity",
                purpose: Purpose::Signed,
                why: "lets the kernel check who made a pack or metadata image",
                advice: "use a kernel with CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG, as Debian's is",
            },
            Self::Ipe => Texts {
                name: "IPE",
                purpose: Purpose::Enforced,
                why: "refuses to execute what is not from a signed device",
                advice: "use Linux 6.12 or later with CONFIG_SECURITY_IPE and ipe among the security modules (lsm=)",
            },
            Self::IpeEnforcing => Texts {
                name: "IPE policy",
                purpose: Purpose::Enforced,
                why: "decides what may be executed",
                advice: "load and activate a signed policy, and keep `enforce` at 1",
            },
            Self::Lockdown => Texts {
                name: "lockdown",
                purpose: Purpose::Hardening,
                why: "keeps root from changing the running kernel",
                advice: "boot with lockdown=integrity",
            },
            Self::PtraceScope => Texts {
                name: "ptrace restricted",
                purpose: Purpose::Hardening,
                why: "keeps processes from changing the code of others",
                advice: "set the sysctl kernel.yama.ptrace_scope to 1 or more, on a sealed host to 3",
            },
            Self::ProcMem => Texts {
                name: "/proc/PID/mem restricted",
                purpose: Purpose::Hardening,
                why: "keeps processes from writing to code through /proc",
                advice: "boot Linux 6.12 or later with proc_mem.force_override=never",
            },
            Self::UserNamespaces => Texts {
                name: "user namespaces",
                purpose: Purpose::Rootless,
                why: "containers of users",
                advice: "set the sysctl user.max_user_namespaces above 0, and allow unprivileged ones",
            },
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Available => "available",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mount => "mounting",
            Self::MountWell => "mounting in the best way",
            Self::Verified => "verified mounts",
            Self::Signed => "signed mounts",
            Self::Enforced => "enforced mounts",
            Self::Hardening => "hardening",
            Self::Rootless => "containers of users",
        })
    }
}
