//! The checks of sealed hosts by name. What the host itself checks is in `src/bin/probe/checks`, what is judged by its
//! console in [`run`](super::run).

/// A start of the machine, or several of one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Boot {
    /// The host as it is meant to be.
    Sealed,
    /// The same disk once more.
    Later,
    /// With every hardening off: what each stops has to succeed there.
    Bare,
    /// With a newer UKI beside the good one, whose root hash is not that of the image that it names.
    WrongRoot,
    /// With one changed byte in the only UKI's command line.
    Tampered,
    /// With a string in the firmware's tables that systemd-stub appends to the command line.
    Appended,
}

impl Boot {
    /// All, in their order.
    pub const ALL: [Self; 6] =
        [Self::Sealed, Self::Later, Self::Bare, Self::WrongRoot, Self::Tampered, Self::Appended];
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
    attack("host_enforce_stays", "root does not switch IPE off"),
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
    console("host_tampered_uki", Boot::Tampered, "firmware does not start a UKI with a changed byte"),
    console(
        "host_cmdline_extra_refused",
        Boot::Appended,
        "a command line that a hypervisor appended to is refused, and named",
    ),
];
