//! Capabilities: which of root's rights a process has, and can get (capabilities(7)).

use rustix::thread::CapabilitySets;

use crate::{Error, Kernel};

pub use rustix::thread::CapabilitySet;

/// The capabilities of a set, as the manual names them.
fn names(set: CapabilitySet) -> String {
    let names: Vec<String> = set.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
    names.join("|")
}

impl Kernel {
    /// Takes capabilities from the calling thread, and from whatever it and its children execute: from the bounding set,
    /// and from what it has, could switch on, and would hand on.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SETPCAP`. Some of them may have been taken then.
    pub fn give_up_capabilities(&self, capabilities: CapabilitySet) -> Result<(), Error> {
        for (_, capability) in capabilities.iter_names() {
            self.call(
                "prctl",
                || format!("PR_CAPBSET_DROP, {}", names(capability)),
                || rustix::thread::remove_capability_from_bounding_set(capability),
            )?;
        }
        let held = self.capability_sets()?;
        self.set_capability_sets(CapabilitySets {
            effective: held.effective - capabilities,
            permitted: held.permitted - capabilities,
            inheritable: held.inheritable - capabilities,
        })
    }

    /// Leaves the calling thread, and whatever it executes, with these capabilities at most. It hands none of them on of
    /// itself: what it executes has those of its file only.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SETPCAP`. Some of the others may have been taken then.
    pub fn keep_capabilities(&self, capabilities: CapabilitySet) -> Result<(), Error> {
        let arguments = || "PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL".into();
        self.call("prctl", arguments, rustix::thread::clear_ambient_capability_set)?;
        for (_, capability) in CapabilitySet::all().iter_names() {
            if !capabilities.contains(capability) && self.is_in_bounding_set(capability)? {
                self.call(
                    "prctl",
                    || format!("PR_CAPBSET_DROP, {}", names(capability)),
                    || rustix::thread::remove_capability_from_bounding_set(capability),
                )?;
            }
        }
        let held = self.capability_sets()?;
        let kept = held.permitted & capabilities;
        let inheritable = CapabilitySet::empty();
        self.set_capability_sets(CapabilitySets { effective: kept, permitted: kept, inheritable })
    }

    /// The capabilities that the calling thread can use.
    ///
    /// # Errors
    /// None that is known.
    pub fn effective_capabilities(&self) -> Result<CapabilitySet, Error> {
        Ok(self.capability_sets()?.effective)
    }

    /// Whether what the calling thread executes can have a capability. One that the kernel does not know, it cannot.
    ///
    /// # Errors
    /// None that is known.
    pub fn is_in_bounding_set(&self, capability: CapabilitySet) -> Result<bool, Error> {
        let read = self.call(
            "prctl",
            || format!("PR_CAPBSET_READ, {}", names(capability)),
            || rustix::thread::capability_is_in_bounding_set(capability),
        );
        match read {
            Err(error) if error.errno() == crate::Errno::INVAL => Ok(false),
            read => read,
        }
    }

    fn capability_sets(&self) -> Result<CapabilitySets, Error> {
        self.call("capget", || "0".into(), || rustix::thread::capabilities(None))
    }

    fn set_capability_sets(&self, sets: CapabilitySets) -> Result<(), Error> {
        self.call(
            "capset",
            || {
                let CapabilitySets { effective, permitted, inheritable } = sets;
                let [effective, permitted, inheritable] =
                    [effective, permitted, inheritable].map(|set| format!("{:#x}", set.bits()));
                format!("0, effective {effective}, permitted {permitted}, inheritable {inheritable}")
            },
            || rustix::thread::set_capabilities(None, sets),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Errno, alone};

    /// Whether this process may give up capabilities; says so if not.
    fn is_privileged(kernel: &Kernel) -> bool {
        let is = kernel.effective_capabilities().unwrap().contains(CapabilitySet::SETPCAP);
        if !is {
            eprintln!("skipped: without CAP_SETPCAP nothing can be given up");
        }
        is
    }

    #[test]
    fn what_was_given_up_is_in_no_set_and_the_rest_is_as_before() {
        alone::run("capabilities::tests::what_was_given_up_is_in_no_set_and_the_rest_is_as_before", || {
            let kernel = Kernel::new();
            if !is_privileged(&kernel) {
                return;
            }
            let before = kernel.effective_capabilities().unwrap();
            let gone = CapabilitySet::MAC_ADMIN | CapabilitySet::SYS_PTRACE;
            kernel.give_up_capabilities(gone).unwrap();
            assert_eq!(kernel.effective_capabilities().unwrap(), before - gone);
            assert!(!kernel.is_in_bounding_set(CapabilitySet::MAC_ADMIN).unwrap());
            assert!(!kernel.is_in_bounding_set(CapabilitySet::SYS_PTRACE).unwrap());
            assert!(kernel.is_in_bounding_set(CapabilitySet::SETPCAP).unwrap());
        });
    }

    #[test]
    fn what_is_kept_is_all_that_is_left() {
        alone::run("capabilities::tests::what_is_kept_is_all_that_is_left", || {
            let kernel = Kernel::new();
            if !is_privileged(&kernel) {
                return;
            }
            let before = kernel.effective_capabilities().unwrap();
            let kept = CapabilitySet::SYS_ADMIN | CapabilitySet::MKNOD;
            kernel.keep_capabilities(kept).unwrap();
            assert_eq!(kernel.effective_capabilities().unwrap(), before & kept);
            for (_, capability) in CapabilitySet::all().iter_names() {
                let is_left = kernel.is_in_bounding_set(capability).unwrap();
                assert!(!is_left || kept.contains(capability), "{capability:?}");
            }
        });
    }

    #[test]
    fn a_capability_that_cannot_be_given_up_is_named() {
        let kernel = Kernel::with_hook(|call| (call.name == "prctl").then_some(Errno::PERM));
        let error = kernel.give_up_capabilities(CapabilitySet::MAC_ADMIN).unwrap_err();
        assert!(error.to_string().starts_with("prctl(PR_CAPBSET_DROP, CAP_MAC_ADMIN): EPERM"), "{error}");
        let kernel = Kernel::with_hook(|call| (call.name == "capset").then_some(Errno::PERM));
        let error = kernel.give_up_capabilities(CapabilitySet::empty()).unwrap_err();
        assert!(error.to_string().starts_with("capset(0, effective 0x"), "{error}");
    }
}
