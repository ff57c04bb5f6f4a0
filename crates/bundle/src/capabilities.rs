//! The capabilities of a container's processes (capabilities(7)).

use std::collections::BTreeSet;

/// All that Linux has (include/uapi/linux/capability.h, from Linux 5.9 on), without `CAP_`.
const ALL: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// What root in a container has unless something else is wanted: podman's list (containers.conf(5),
/// `default_capabilities`).
const USUAL: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// A word that is no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no capability, and not `all`")]
pub struct CapabilityError(pub String);

/// What a container's processes may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// What they can ever get, with `CAP_`, in order.
    pub bounding: BTreeSet<String>,
    /// What was added by wish, which other users than root have too.
    pub added: BTreeSet<String>,
}

impl Capabilities {
    /// The usual ones with those of `add`, without those of `drop`. Each is a name as `NET_ADMIN` or `CAP_NET_ADMIN`, in
    /// whatever case, or `all`. What is both added and dropped by name is dropped.
    ///
    /// # Errors
    /// A word that is no capability.
    pub fn new(add: &[String], drop: &[String]) -> Result<Self, CapabilityError> {
        let (add, drop) = (Words::new(add)?, Words::new(drop)?);
        let mut bounding: BTreeSet<&str> = match (add.all, drop.all) {
            (true, false) => ALL.into(),
            (false, false) => USUAL.into(),
            (_, true) => BTreeSet::new(),
        };
        bounding.extend(&add.names);
        bounding.retain(|name| !drop.names.contains(name));
        let is_added = |name: &&&str| add.all || add.names.contains(**name);
        let added = bounding.iter().filter(is_added).map(|name| full(name)).collect();
        Ok(Self { bounding: bounding.into_iter().map(full).collect(), added })
    }
}

fn full(name: &str) -> String {
    format!("CAP_{name}")
}

/// What was asked for.
struct Words {
    all: bool,
    names: BTreeSet<&'static str>,
}

impl Words {
    fn new(words: &[String]) -> Result<Self, CapabilityError> {
        let mut read = Self { all: false, names: BTreeSet::new() };
        for word in words {
            let upper = word.to_ascii_uppercase();
            let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
            match ALL.into_iter().find(|known| *known == name) {
                Some(known) => _ = read.names.insert(known),
                None if name == "ALL" => read.all = true,
                None => return Err(CapabilityError(word.clone())),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str]) -> Capabilities {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Capabilities::new(&words(add), &words(drop)).unwrap()
    }

    #[test]
    fn without_a_wish_they_are_the_usual_ones_and_none_is_added() {
        let usual = of(&[], &[]);
        assert_eq!(usual.bounding.len(), USUAL.len());
        assert!(usual.bounding.contains("CAP_CHOWN") && !usual.bounding.contains("CAP_SYS_ADMIN"));
        assert!(usual.added.is_empty());
    }

    #[test]
    fn words_are_taken_in_any_case_with_or_without_the_prefix() {
        let these = of(&["net_admin", "CAP_SYS_TIME"], &["Kill", "cap_chown"]);
        assert_eq!(
            these.added.iter().map(String::as_str).collect::<Vec<_>>(),
            ["CAP_NET_ADMIN", "CAP_SYS_TIME"]
        );
        assert!(!these.bounding.contains("CAP_KILL") && !these.bounding.contains("CAP_CHOWN"));
        assert!(these.bounding.contains("CAP_NET_ADMIN"));
    }

    #[test]
    fn all_can_be_added_and_dropped_but_for_some() {
        assert_eq!(of(&["all"], &[]).bounding.len(), ALL.len());
        assert_eq!(of(&["all"], &["sys_admin"]).bounding.len(), ALL.len() - 1);
        assert!(of(&[], &["ALL"]).bounding.is_empty());
        let only = of(&["net_raw"], &["all"]);
        assert_eq!((only.bounding.len(), only.bounding == only.added), (1, true));
    }

    #[test]
    fn a_word_that_is_none_is_refused() {
        for word in ["", "CAP_", "ROOT", "CAP_CAP_CHOWN", "chown,kill"] {
            let refused = Capabilities::new(&[word.to_owned()], &[]);
            assert_eq!(refused, Err(CapabilityError(word.to_owned())));
        }
    }
}
