//! Which levels mounts can reach, from what a machine has.

use std::fmt;

use sealpack_kernel::keyring::TrustedKeyring;
use sealpack_kernel::probe::{FeatureId, Purpose, Report, Status};
use sealpack_mount::Level;

use super::keyrings::Keyrings;

/// Whether mounts can be of a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The level.
    pub level: Level,
    /// With what, or why not.
    pub how: Result<With, Obstacle>,
    /// What the machine would need for it besides features, or should have.
    pub lack: Option<Lack>,
}

/// What reaches a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum With {
    /// Every image.
    AllImages,
    /// Images in files (fs-verity) and in packs (dm-verity).
    FilesAndPacks,
    /// Images in files only.
    Files {
        /// What the machine lacks for packs.
        missing_for_packs: Missing,
    },
    /// Images in packs only.
    Packs {
        /// What the machine lacks for files.
        missing_for_files: Missing,
    },
    /// Images in packs, sealed by a key with a certificate in one of these keyrings.
    Sealed(Vec<TrustedKeyring>),
    /// Whatever is signed.
    WhatIsSigned,
}

/// What keeps mounts from a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Nothing can be mounted at all.
    NoMounts,
    /// There is nothing that would check bytes when they are read.
    NoVerity {
        /// What the machine lacks for files.
        missing_for_files: Missing,
        /// What it lacks for packs.
        missing_for_packs: Missing,
    },
    /// Features are missing.
    Missing(Missing),
    /// The kernel has no certificates, as far as can be seen.
    NoCertificates,
    /// No policy is enforced that denies execution by default; why, in words.
    NotEnforced(String),
}

/// What a machine lacks for a level that is no feature of its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// A certificate of the user's own in a keyring: that of the kernel's modules has a key that nobody has.
    OwnCertificate,
    /// A policy that denies execution by default, active and enforced.
    Policy,
}

/// Features that a machine has not; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(Vec<FeatureId>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|id| id.name()).collect();
        write!(f, "no {}", names.join(", "))
    }
}

impl fmt::Display for With {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllImages => f.write_str("all images"),
            Self::FilesAndPacks => f.write_str("images in files (fs-verity) and images in packs (dm-verity)"),
            Self::Files { missing_for_packs } => write!(f, "images in files; for packs: {missing_for_packs}"),
            Self::Packs { missing_for_files } => write!(f, "images in packs; for files: {missing_for_files}"),
            Self::Sealed(keyrings) => {
                let names: Vec<&str> = keyrings.iter().map(|which| which.name()).collect();
                write!(f, "images in packs, sealed by a key with a certificate in {}", names.join(", "))
            }
            Self::WhatIsSigned => f.write_str("what is signed"),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMounts => f.write_str("this machine cannot mount images"),
            Self::NoVerity { missing_for_files, missing_for_packs } => {
                write!(f, "{missing_for_files}; {missing_for_packs}")
            }
            Self::Missing(missing) => write!(f, "{missing}"),
            Self::NoCertificates => f.write_str("the kernel has no certificates, or only root sees them"),
            Self::NotEnforced(why) => f.write_str(why),
        }
    }
}

/// What a machine with these features and keyrings can reach, from the lowest level. `enforcement` is whether a policy
/// is enforced that denies execution by default, or in words why not. Each level needs what the one before it needs,
/// and more.
#[must_use]
pub fn levels(report: &Report, keyrings: &Keyrings, enforcement: Result<(), String>) -> Vec<Reach> {
    let reach = |level, how, lack| Reach { level, how, lack };
    if !report.can(Purpose::Mount) {
        return [Level::Plain, Level::Verified, Level::Signed, Level::Enforced]
            .map(|level| reach(level, Err(Obstacle::NoMounts), None))
            .into();
    }
    let holders = keyrings.holders();
    // The kernel's own keyring has the key that its modules were signed with, which nobody else has.
    let is_own_only = holders.iter().all(|which| *which == TrustedKeyring::Builtin);
    let signed = signed(report, holders);
    let enforced = signed.clone().and(match enforcement {
        Ok(()) => Ok(With::WhatIsSigned),
        Err(why) => Err(Obstacle::NotEnforced(why)),
    });
    let (certificate, policy) =
        (is_own_only.then_some(Lack::OwnCertificate), enforced.is_err().then_some(Lack::Policy));
    vec![
        reach(Level::Plain, Ok(With::AllImages), None),
        reach(Level::Verified, verified(report), None),
        reach(Level::Signed, signed, certificate),
        reach(Level::Enforced, enforced, policy),
    ]
}

/// Those features that the machine does not have; `None` when it has all.
fn missing(report: &Report, ids: &[FeatureId]) -> Option<Missing> {
    let has = |id| report.feature(id).is_some_and(|feature| feature.status == Status::Available);
    let missing: Vec<FeatureId> = ids.iter().copied().filter(|id| !has(*id)).collect();
    (!missing.is_empty()).then_some(Missing(missing))
}

fn missing_for_packs(report: &Report) -> Option<Missing> {
    missing(report, &[FeatureId::LoopDevices, FeatureId::DmVerity])
}

fn verified(report: &Report) -> Result<With, Obstacle> {
    let files = missing(report, &[FeatureId::FsVerity, FeatureId::OverlayVerity]);
    match (files, missing_for_packs(report)) {
        (None, None) => Ok(With::FilesAndPacks),
        (None, Some(missing_for_packs)) => Ok(With::Files { missing_for_packs }),
        (Some(missing_for_files), None) => Ok(With::Packs { missing_for_files }),
        (Some(missing_for_files), Some(missing_for_packs)) => {
            Err(Obstacle::NoVerity { missing_for_files, missing_for_packs })
        }
    }
}

fn signed(report: &Report, holders: Vec<TrustedKeyring>) -> Result<With, Obstacle> {
    let missing = missing_for_packs(report).or_else(|| missing(report, &[FeatureId::DmVeritySignatures]));
    match missing {
        Some(missing) => Err(Obstacle::Missing(missing)),
        None if holders.is_empty() => Err(Obstacle::NoCertificates),
        None => Ok(With::Sealed(holders)),
    }
}

#[cfg(test)]
mod tests {
    use sealpack_kernel::probe::Feature;

    use super::super::keyrings::{HeldKey, KeyringContents};
    use super::*;

    /// A machine that has all features but these.
    fn machine(without: &[FeatureId]) -> Report {
        let feature = |id| {
            let status = if without.contains(&id) { Status::Missing } else { Status::Available };
            Feature { id, status, detail: String::new() }
        };
        Report { release: "7.0".to_owned(), features: FeatureId::ALL.map(feature).into() }
    }

    fn with_certificates_in(these: &[TrustedKeyring]) -> Keyrings {
        let held = || KeyringContents::Held(vec![HeldKey::Certificate("one: 01234567".to_owned())]);
        Keyrings::with(these.iter().map(|which| (*which, held())).collect())
    }

    /// Each level with how, or why not, as people read it.
    fn told(report: &Report, keyrings: &Keyrings, enforcement: Result<(), String>) -> Vec<String> {
        let text = |reach: Reach| match reach.how {
            Ok(with) => format!("{}: {with}", reach.level),
            Err(obstacle) => format!("not {}: {obstacle}", reach.level),
        };
        levels(report, keyrings, enforcement).into_iter().map(text).collect()
    }

    #[test]
    fn a_machine_with_everything_reaches_every_level_and_lacks_nothing() {
        let keyrings = with_certificates_in(&[TrustedKeyring::Builtin, TrustedKeyring::Platform]);
        let expected = [
            "plain: all images",
            "verified: images in files (fs-verity) and images in packs (dm-verity)",
            "signed: images in packs, sealed by a key with a certificate in .builtin_trusted_keys, .platform",
            "enforced: what is signed",
        ];
        assert_eq!(told(&machine(&[]), &keyrings, Ok(())), expected);
        assert!(levels(&machine(&[]), &keyrings, Ok(())).iter().all(|reach| reach.lack.is_none()));
    }

    #[test]
    fn a_level_is_out_of_reach_with_the_one_before_it() {
        let keyrings = with_certificates_in(&[TrustedKeyring::Platform]);
        let without_dm_verity = told(&machine(&[FeatureId::DmVerity]), &keyrings, Ok(()));
        assert!(without_dm_verity[1].starts_with("verified: images in files; for packs: no "));
        assert!(without_dm_verity[2].starts_with("not signed: no "), "{without_dm_verity:?}");
        assert!(without_dm_verity[3].starts_with("not enforced: no "), "{without_dm_verity:?}");
        let nothing = told(&machine(&FeatureId::ALL), &keyrings, Ok(()));
        assert!(nothing.iter().all(|level| level.starts_with("not ")), "{nothing:?}");
    }

    #[test]
    fn certificates_for_files_alone_and_the_kernels_own_are_not_the_users() {
        let lack = |these: &[TrustedKeyring]| {
            let signed = levels(&machine(&[]), &with_certificates_in(these), Err("no policy".to_owned()))
                .into_iter()
                .find(|reach| reach.level == Level::Signed)
                .expect("all levels are there");
            (signed.how.is_ok(), signed.lack)
        };
        assert_eq!(lack(&[TrustedKeyring::FsVerity]), (false, Some(Lack::OwnCertificate)));
        assert_eq!(lack(&[TrustedKeyring::Builtin]), (true, Some(Lack::OwnCertificate)));
        assert_eq!(lack(&[TrustedKeyring::Machine]), (true, None));
    }

    #[test]
    fn without_enforcement_the_reason_is_told_and_a_policy_is_lacking() {
        let keyrings = with_certificates_in(&[TrustedKeyring::Platform]);
        let reached = levels(&machine(&[]), &keyrings, Err("no IPE policy is active".to_owned()));
        let enforced = reached.last().expect("all levels are there");
        assert_eq!(enforced.how, Err(Obstacle::NotEnforced("no IPE policy is active".to_owned())));
        assert_eq!(enforced.lack, Some(Lack::Policy));
    }
}
