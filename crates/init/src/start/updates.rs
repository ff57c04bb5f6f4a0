//! Later versions of the policy, which the kernel accepted before and the data partition has kept.

use std::io::Read;

use sealpack_format::boot::KeptPolicy;
use sealpack_kernel::directory::Directory;
use sealpack_kernel::ipe::{Ipe, PolicyVersion};
use sealpack_kernel::{Errno, Kernel};

use super::failure::Failure;
use super::policy::{self, Active, POLICY_MAX_BYTES};
use crate::kernel_log::{self, Matters};

/// The most files that are offered to the kernel.
const OFFERED_MAX: usize = 16;

/// Offers the kernel what `directory` has of later versions of the active policy, the highest first, and answers which
/// one decides then. What the kernel refuses is logged and passed over: whoever is root on the host can put any file
/// there, and shall not keep it from starting with that.
///
/// # Errors
/// The kernel does not say what decides, or does not enforce any more.
pub(super) fn offer(
    kernel: &Kernel,
    directory: Option<&Directory>,
    active: Active,
) -> Result<Active, Failure> {
    let Some(directory) = directory else { return Ok(active) };
    let names = directory.entries().map_err(|error| Failure::at(directory.path(), &error))?;
    let names = names.iter().filter_map(|(name, _)| name.to_str());
    let ipe = policy::ipe(kernel)?;
    let mut update = None;
    for name in later(names, &active).iter().map(KeptPolicy::file_name) {
        match offer_one(&ipe, directory, &active.name, &name) {
            Ok(true) => {
                update.get_or_insert(name);
            }
            Ok(false) => {}
            Err(why) => {
                let text = format!("the kept policy {name} is passed over: {why}");
                kernel_log::write(Matters::Warning, &text);
            }
        }
    }
    if update.is_none() {
        return Ok(active);
    }
    let decides =
        ipe.active_policy()?.filter(|policy| policy.name == active.name && ipe.is_enforcing() == Ok(true));
    let Some(decides) = decides else {
        return Err(Failure::new(format!("the policy {} does not decide any more", active.name)));
    };
    let text = format!("the kept policy {} {} is enforced", decides.name, decides.version);
    kernel_log::write(Matters::Notice, &text);
    Ok(Active { name: decides.name, version: decides.version, update })
}

/// The files of later versions of the policy, by their names, the highest version first.
fn later<'n>(names: impl Iterator<Item = &'n str>, active: &Active) -> Vec<KeptPolicy> {
    let PolicyVersion { major, minor, revision } = active.version;
    let is_later =
        |kept: &KeptPolicy| kept.name() == active.name && kept.version() > [major, minor, revision];
    let mut later: Vec<KeptPolicy> = names.filter_map(KeptPolicy::parse).filter(is_later).collect();
    later.sort_by(|one, other| other.cmp(one));
    later.truncate(OFFERED_MAX);
    later
}

/// Whether the kernel took it. A version that is no higher than one that was taken before is no news.
fn offer_one(ipe: &Ipe<'_>, directory: &Directory, policy: &str, name: &str) -> Result<bool, String> {
    let Some(file) = directory.read(name).map_err(|error| error.to_string())? else { return Ok(false) };
    let mut signed = Vec::new();
    let limit = POLICY_MAX_BYTES as u64 + 1;
    file.take(limit).read_to_end(&mut signed).map_err(|error| error.to_string())?;
    if signed.len() > POLICY_MAX_BYTES {
        return Err(format!("it is larger than {POLICY_MAX_BYTES} bytes"));
    }
    match ipe.update(policy, &signed) {
        Ok(()) => Ok(true),
        Err(error) if error.errno() == Errno::STALE => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active() -> Active {
        Active { name: "host".to_owned(), version: "1.2.0".parse().unwrap(), update: None }
    }

    #[test]
    fn later_versions_of_the_same_policy_are_offered_the_highest_first() {
        let names = [
            "host-1.2.0.p7b",
            "host-1.10.0.p7b",
            "host-1.3.0.p7b",
            "host-0.9.0.p7b",
            "host-2.p7b",
            "hosts-9.0.0.p7b",
            "host-other-9.0.0.p7b",
            "host-9.0.0.p7b.new",
            "host9.0.0.p7b",
            "other-9.0.0.p7b",
        ];
        let later = later(names.into_iter(), &active());
        let later: Vec<String> = later.iter().map(KeptPolicy::file_name).collect();
        assert_eq!(later, ["host-1.10.0.p7b", "host-1.3.0.p7b"]);
    }

    #[test]
    fn not_more_than_a_few_are_offered() {
        let names: Vec<String> = (0..100).map(|number| format!("host-2.0.{number}.p7b")).collect();
        let later = later(names.iter().map(String::as_str), &active());
        assert_eq!(later.len(), OFFERED_MAX);
        assert_eq!(later[0].file_name(), "host-2.0.99.p7b");
    }

    #[test]
    fn without_a_directory_there_is_nothing_to_offer() {
        assert_eq!(offer(&Kernel::new(), None, active()), Ok(active()));
    }
}
