//! What a seal is worth to whoever pulls: whether it is for this image under this name, and whether those whom the
//! trust store names have signed all of it.

mod artifacts;
mod choose;
mod failure;

use std::collections::BTreeMap;
use std::time::SystemTime;

use sealpack_format::digest::{BlobDigest, RootHash};
use sealpack_format::reference::{ImageName, Reference};

pub use artifacts::{Lacking, Shown, artifacts_wanted, check_artifacts};
pub use choose::{Candidate, Choice, Chosen, PassedOver, Refusal, check_before, check_pin, choose};
pub use failure::Failure;

use crate::anchors::{AnchorName, Anchors, Namespace, Requirement, Use};
use crate::pkcs7::VerifyError;
use crate::seal::{Seal, Signed, Statement};

/// What a seal is wanted for.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The name that is pulled.
    pub name: &'a Reference,
    /// The digest of the image's manifest.
    pub manifest: &'a BlobDigest,
    /// The index that it was chosen from.
    pub index: Option<&'a BlobDigest>,
    /// The image's platform.
    pub platform: &'a str,
    /// The time by which certificates are judged.
    pub now: SystemTime,
    /// The highest epochs seen so far of the [names](crate::anchors::Rules::names) in question.
    pub remembered: BTreeMap<ImageName, Remembered>,
    /// That of the name that the image is to be given, where that is another, and had images with seals for other names.
    pub given: Option<(ImageName, Remembered)>,
    /// Whether a lower epoch, or no seal where there was one, is taken on purpose.
    pub allow_rollback: bool,
    /// What is demanded besides the rules.
    pub require: Requirement,
}

/// What was seen of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The highest epoch of a seal.
    pub epoch: u64,
    /// The manifest of the image of the platform whose seal had it, and when its statement was made, in seconds since
    /// 1970; `None` where that is not known.
    pub image: Option<(BlobDigest, u64)>,
}

impl Remembered {
    /// An epoch of an image that is not known.
    #[must_use]
    pub const fn epoch(epoch: u64) -> Self {
        Self { epoch, image: None }
    }
}

impl Question<'_> {
    /// What counts of what was seen: of the names that are asked for by tag, and of the one that is given.
    fn seen(&self, anchors: &Anchors) -> Vec<(ImageName, &Remembered)> {
        if self.allow_rollback {
            return Vec::new();
        }
        let is_by_tag = self.name.digest().is_none();
        let names = anchors.rules().names(self.name).into_iter().filter(|_| is_by_tag);
        let asked = names.filter_map(|name| {
            let name = name.image_name()?;
            let remembered = self.remembered.get(&name)?;
            Some((name, remembered))
        });
        let given = self.given.iter().map(|(name, remembered)| (name.clone(), remembered));
        asked.chain(given).collect()
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why the seal must not be used: nothing, or all there is to say.
    pub failures: Vec<Failure>,
    /// The name in the seal that it may be used for.
    pub name: Option<ImageName>,
    /// Its epoch.
    pub epoch: u64,
    /// Whose signatures of the statement are good, as the trust store calls them.
    pub statement_signers: Vec<AnchorName>,
    /// Whose signatures of each root hash are good.
    pub root_hash_signers: Vec<(RootHash, Vec<AnchorName>)>,
}

impl Verdict {
    /// Whether the seal may be used.
    #[must_use]
    pub fn is_acceptable(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Judges a seal.
#[must_use]
pub fn judge(seal: &Seal, anchors: &Anchors, question: &Question<'_>) -> Verdict {
    let statement = seal.statement();
    let mut failures = about_the_image(statement, question);
    let name = matching_name(statement, anchors, question, &mut failures);
    let rules = rules(name.as_ref(), anchors, question);
    let mut statement_signers = Vec::new();
    let mut root_hash_signers = Vec::new();
    for (signed, content) in statement.to_be_signed() {
        let signers = signers(seal, signed, &content, anchors, question.now, &mut failures);
        match signed {
            Signed::Statement => {
                failures.extend(rules.iter().filter_map(|rule| outside_the_policy(&signers, anchors, rule)));
                statement_signers = signers;
            }
            Signed::RootHash(root_hash) => root_hash_signers.push((root_hash, signers)),
        }
    }
    for revoked in statement.root_hashes().filter_map(|hash| anchors.revocations().root_hash(hash)) {
        failures.push(Failure::RevokedRootHash {
            root_hash: revoked.root_hash,
            image: revoked.image.clone(),
            reason: revoked.reason.clone(),
        });
    }
    failures.extend(too_old(statement, name.as_ref(), &rules, anchors, question));
    Verdict { failures, name, epoch: statement.epoch(), statement_signers, root_hash_signers }
}

fn about_the_image(statement: &Statement, question: &Question<'_>) -> Vec<Failure> {
    let mut failures = Vec::new();
    if statement.manifest() != question.manifest {
        failures.push(Failure::Manifest { sealed: *statement.manifest(), image: *question.manifest });
    }
    if statement.platform() != question.platform {
        let (sealed, image) = (statement.platform().to_owned(), question.platform.to_owned());
        failures.push(Failure::Platform { sealed, image });
    }
    failures
}

/// The name in the statement that the pulled one means. One by digest means any of its repository.
fn matching_name(
    statement: &Statement,
    anchors: &Anchors,
    question: &Question<'_>,
    failures: &mut Vec<Failure>,
) -> Option<ImageName> {
    let asked = anchors.rules().names(question.name);
    let means = |asked: &Reference, name: &ImageName| match asked.image_name() {
        Some(whole) => whole == *name,
        None => asked.name() == name.reference().name(),
    };
    let found = asked.iter().find_map(|asked| statement.names().iter().find(|name| means(asked, name)));
    if found.is_none() {
        let is_repository =
            |name: &&ImageName| asked.iter().any(|asked| asked.name() == name.reference().name());
        failures.push(Failure::Name {
            asked: question.name.to_string(),
            names: statement.names().to_vec(),
            is_same_repository: statement.names().iter().any(|name| is_repository(&name)),
        });
    }
    found.cloned()
}

/// Whose signatures of something are good. Those of nobody known are passed over as long as there is a good one, and so
/// are those that no longer count: a key is replaced by having both sign for a while.
fn signers(
    seal: &Seal,
    signed: Signed,
    content: &[u8],
    anchors: &Anchors,
    now: SystemTime,
    failures: &mut Vec<Failure>,
) -> Vec<AnchorName> {
    let of = match signed {
        Signed::Statement => Use::Statements,
        Signed::RootHash(_) => Use::Packs,
    };
    let (mut good, mut unknown, mut found) = (Vec::new(), Vec::new(), Vec::new());
    let before = failures.len();
    for der in seal.signatures_of(signed) {
        match anchors.verify(of, der, content) {
            Ok(certificate) => {
                let names = anchors.names_of(of, certificate);
                match anchors.check_certificate(certificate, now) {
                    Ok(()) => good.extend(names),
                    Err(problem) => found.extend(names.into_iter().map(|name| Failure::Signer {
                        signed,
                        name,
                        problem: problem.clone(),
                    })),
                }
            }
            Err(VerifyError::UnknownSigner { signer, .. }) => unknown.push(signer),
            Err(VerifyError::Format(problem)) => {
                unknown.push(format!("somebody it does not name ({problem})"))
            }
            Err(problem) => failures.push(Failure::Signature { signed, problem }),
        }
    }
    if good.is_empty() && found.is_empty() && failures.len() == before {
        failures.push(Failure::Nobody { signed, of, signers: unknown });
    } else if good.is_empty() {
        failures.extend(found);
    }
    good
}

/// The rules that a seal has to keep: that for the name that is pulled, and that for the name in the seal, where a mirror
/// uses it. Whose seals count for a name does not depend on where from it is pulled, and its epoch is raised by no others.
fn rules<'a>(name: Option<&ImageName>, anchors: &'a Anchors, question: &Question<'_>) -> Vec<&'a Namespace> {
    let pulled = anchors.rules().demand(question.name).rule;
    let sealed = name.and_then(|name| anchors.rules().demand(&name.reference()).rule);
    let sealed = sealed.filter(|rule| pulled.is_none_or(|pulled| pulled.prefix != rule.prefix));
    pulled.into_iter().chain(sealed).collect()
}

/// That those have signed the statement whom a rule wants.
fn outside_the_policy(signers: &[AnchorName], anchors: &Anchors, rule: &Namespace) -> Option<Failure> {
    let missing: Vec<_> = rule.signed_by.iter().filter(|name| !signers.contains(name)).cloned().collect();
    let is_enough = if rule.all { missing.is_empty() } else { missing.len() < rule.signed_by.len() };
    if rule.signed_by.is_empty() || is_enough || signers.is_empty() {
        return None;
    }
    let unknown = missing.iter().filter(|name| anchors.certificate(Use::Statements, name).is_none());
    Some(Failure::OutsidePolicy {
        prefix: rule.prefix.clone(),
        signers: signers.to_vec(),
        unknown: unknown.cloned().collect(),
        all: rule.all,
        missing,
    })
}

fn too_old(
    statement: &Statement,
    name: Option<&ImageName>,
    rules: &[&Namespace],
    anchors: &Anchors,
    question: &Question<'_>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    let epoch = statement.epoch();
    for rule in rules.iter().filter(|rule| epoch < rule.minimum_epoch) {
        let (minimum, prefix) = (rule.minimum_epoch, rule.prefix.clone());
        failures.push(Failure::MinimumEpoch { epoch, minimum, prefix });
    }
    if name.is_none() {
        return failures;
    }
    // What was pulled by this name may have had a seal for the mirrored one, and an older one may be for this one.
    let seen = question.seen(anchors);
    let Some((name, highest)) = seen.iter().max_by_key(|(_, seen)| seen.epoch) else { return failures };
    if epoch < highest.epoch {
        failures.push(Failure::Rollback { name: name.clone(), epoch, remembered: highest.epoch });
        return failures;
    }
    let created = statement.created().unix_seconds();
    let is_not_later = |seen: &Remembered| match &seen.image {
        Some((manifest, before)) if seen.epoch == epoch && manifest != question.manifest => {
            created <= *before
        }
        _ => false,
    };
    if let Some((name, Remembered { image: Some((manifest, _)), .. })) =
        seen.iter().find(|(_, seen)| is_not_later(seen))
    {
        failures.push(Failure::SameEpoch { name: name.clone(), epoch, manifest: *manifest });
    }
    failures
}

#[cfg(test)]
mod tests;
