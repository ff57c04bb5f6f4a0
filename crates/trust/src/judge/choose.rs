//! Which of an image's seals is used.

use std::fmt;

use sealpack_format::digest::BlobDigest;
use sealpack_format::reference::{ImageName, Reference};

use super::failure::in_words;
use super::{Lacking, Question, Verdict, judge};
use crate::anchors::{Anchors, Requirement, Rules};
use crate::seal::Seal;

/// What was found where a seal should be.
#[derive(Debug)]
pub struct Candidate {
    /// What messages call it, such as its digest.
    pub label: String,
    /// The seal, or why there is none.
    pub seal: Result<Seal, String>,
}

/// What to do with the image.
#[derive(Debug)]
pub enum Choice {
    /// It is sealed.
    Sealed(Box<Chosen>),
    /// It may be used as it is, without these seals.
    Unsealed(Vec<PassedOver>),
}

/// The seal that is used.
#[derive(Debug)]
pub struct Chosen {
    /// The seal.
    pub seal: Seal,
    /// What it was called.
    pub label: String,
    /// What it was found to be.
    pub verdict: Verdict,
    /// The seals that must not be used.
    pub passed_over: Vec<PassedOver>,
    /// The name and the epoch to be remembered for it, unless it was asked for by digest, or is one on purpose that is
    /// not higher than what is.
    pub remember: Option<(ImageName, u64)>,
}

/// A seal that must not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// What it was called.
    pub label: String,
    /// Why, at least one reason.
    pub reasons: Vec<String>,
}

/// The most reasons that a message gives for one seal.
const REASONS_SHOWN: usize = 4;

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, reasons } = self;
        let shown: Vec<_> = reasons.iter().take(REASONS_SHOWN).map(String::as_str).collect();
        write!(f, "the seal {label} is not used: {}", shown.join("; "))?;
        match reasons.len().saturating_sub(REASONS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more reasons"),
        }
    }
}

/// Why an image must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The rules refuse the name.
    #[error("{name} must not be pulled: {}", rule_text(.prefix.as_ref(), "refuses it"))]
    Never {
        /// The name.
        name: String,
        /// The rule's prefix, unless it is the default.
        prefix: Option<String>,
    },
    /// The name means another image.
    #[error("{name} is pinned to {pinned}, but is {manifest}{} here", from(.index.as_ref()))]
    Pinned {
        /// The name.
        name: ImageName,
        /// The digest that it is pinned to.
        pinned: BlobDigest,
        /// The image's manifest.
        manifest: BlobDigest,
        /// The index that it comes from.
        index: Option<BlobDigest>,
    },
    /// It is not sealed, but must be.
    #[error("{name} must be sealed ({because}), but {}", none_of(.seals))]
    NotSealed {
        /// The name.
        name: String,
        /// What says so.
        because: String,
        /// The seals that it has.
        seals: Vec<PassedOver>,
    },
    /// It lacks artifacts that the rules want besides a seal.
    #[error("{name} lacks artifacts: {}{}", joined(.lacking), that_do_not_count(.left_out))]
    Artifacts {
        /// The name.
        name: String,
        /// What it lacks, by rule.
        lacking: Vec<Lacking>,
        /// What it has that does not count, with the reasons.
        left_out: Vec<String>,
    },
    /// It was sealed before.
    #[error("{name} was sealed before, with epoch {epoch}, but {}: that would be a rollback", none_of(.seals))]
    Stripped {
        /// The name.
        name: ImageName,
        /// The epoch remembered.
        epoch: u64,
        /// The seals that it has.
        seals: Vec<PassedOver>,
    },
}

fn rule_text(prefix: Option<&String>, does: &str) -> String {
    match prefix {
        Some(prefix) => format!("the rule for {prefix} {does}"),
        None => format!("the default of the rules {does}"),
    }
}

fn joined(lacking: &[Lacking]) -> String {
    let texts: Vec<_> = lacking.iter().map(ToString::to_string).collect();
    texts.join(", and ")
}

fn that_do_not_count(left_out: &[String]) -> String {
    let shown: Vec<_> = left_out.iter().take(REASONS_SHOWN).map(String::as_str).collect();
    match left_out.len().saturating_sub(REASONS_SHOWN) {
        0 if shown.is_empty() => "; it has none that counts".to_owned(),
        0 => format!("; what it has does not count: {}", shown.join("; ")),
        more => format!("; what it has does not count: {}; and {more} more reasons", shown.join("; ")),
    }
}

fn from(index: Option<&BlobDigest>) -> String {
    index.map(|index| format!(", from {index},")).unwrap_or_default()
}

fn none_of(seals: &[PassedOver]) -> String {
    let texts: Vec<_> = seals.iter().take(REASONS_SHOWN).map(ToString::to_string).collect();
    match seals.len() {
        0 => "it has no seal".to_owned(),
        1..=REASONS_SHOWN => texts.join(". And "),
        more => format!("none of its {more} seals can be used: {}", texts.join(". And ")),
    }
}

/// What the rules say of a name before anything is fetched.
///
/// # Errors
/// [`Refusal::Never`].
pub fn check_before(rules: &Rules, name: &Reference) -> Result<(), Refusal> {
    let demand = rules.demand(name);
    if demand.require < Requirement::Refuse {
        return Ok(());
    }
    Err(Refusal::Never { name: name.to_string(), prefix: demand.rule.map(|rule| rule.prefix.clone()) })
}

/// What the pins say of a name, as soon as it is known what it means.
///
/// # Errors
/// [`Refusal::Pinned`].
pub fn check_pin(
    rules: &Rules,
    name: &Reference,
    manifest: &BlobDigest,
    index: Option<&BlobDigest>,
) -> Result<(), Refusal> {
    let Some(pin) = rules.pin(name) else { return Ok(()) };
    if pin.digest == *manifest || index == Some(&pin.digest) {
        return Ok(());
    }
    let (manifest, index) = (*manifest, index.copied());
    Err(Refusal::Pinned { name: pin.name.clone(), pinned: pin.digest, manifest, index })
}

/// Chooses among the seals of an image: of those that may be used, the one with the highest epoch, of these the one that
/// was made last, and of these the one with the most signatures that count, as the same statement is published again
/// when another key has signed it too.
///
/// # Errors
/// The name must not be pulled or means another image; it has no seal that may be used and must have one, because the
/// rules say so, or because it had one before.
pub fn choose(
    candidates: &[Candidate],
    anchors: &Anchors,
    question: &Question<'_>,
) -> Result<Choice, Refusal> {
    check_before(anchors.rules(), question.name)?;
    check_pin(anchors.rules(), question.name, question.manifest, question.index)?;
    let (mut best, mut passed_over): (Option<(&Seal, &String, Verdict)>, _) = (None, Vec::new());
    for Candidate { label, seal } in candidates {
        let seal = match seal {
            Ok(seal) => seal,
            Err(problem) => {
                passed_over.push(PassedOver { label: label.clone(), reasons: vec![problem.clone()] });
                continue;
            }
        };
        let verdict = judge(seal, anchors, question);
        if !verdict.is_acceptable() {
            let reasons = in_words(&verdict.failures);
            passed_over.push(PassedOver { label: label.clone(), reasons });
        } else if best.as_ref().is_none_or(|(other, _, of)| rank(other, of) < rank(seal, &verdict)) {
            best = Some((seal, label, verdict));
        }
    }
    let Some((seal, label, verdict)) = best else {
        return unsealed(passed_over, anchors, question);
    };
    // On purpose an older one may be taken, but what is remembered does not fall.
    let rises = !question.remembered.values().any(|known| known.epoch >= verdict.epoch);
    let is_remembered = (rises || !question.allow_rollback) && question.name.digest().is_none();
    let remember = verdict.name.clone().filter(|_| is_remembered).map(|name| (name, verdict.epoch));
    let (seal, label) = (seal.clone(), label.clone());
    Ok(Choice::Sealed(Box::new(Chosen { seal, label, verdict, passed_over, remember })))
}

/// By what one acceptable seal goes before another: epoch, time, signatures that count, signatures at all. The last are
/// for the kernel, which may know other certificates.
fn rank(seal: &Seal, verdict: &Verdict) -> (u64, u64, usize, usize) {
    let statement = seal.statement();
    let of_root_hashes: usize = verdict.root_hash_signers.iter().map(|(_, signers)| signers.len()).sum();
    let all = statement.to_be_signed().map(|(signed, _)| seal.signatures_of(signed).len()).sum();
    let count = verdict.statement_signers.len() + of_root_hashes;
    (statement.epoch(), statement.created().unix_seconds(), count, all)
}

/// What becomes of an image without a seal that may be used.
fn unsealed(seals: Vec<PassedOver>, anchors: &Anchors, question: &Question<'_>) -> Result<Choice, Refusal> {
    let demand = anchors.rules().demand(question.name);
    let name = question.name.to_string();
    if demand.require >= Requirement::Sealed {
        let because = rule_text(demand.rule.map(|rule| &rule.prefix), "says so");
        return Err(Refusal::NotSealed { name, because, seals });
    }
    if question.require >= Requirement::Sealed {
        return Err(Refusal::NotSealed { name, because: "it is required now".to_owned(), seals });
    }
    if let Some((name, known)) = question.seen(anchors).into_iter().next() {
        return Err(Refusal::Stripped { name, epoch: known.epoch, seals });
    }
    Ok(Choice::Unsealed(seals))
}
