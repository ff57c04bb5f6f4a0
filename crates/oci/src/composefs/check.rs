//! Whether claims are true.

use std::fmt;

use sealpack_format::verity::fsverity_digest;
use sealpack_format::{Algorithm, ObjectId};

use super::claim::{Claim, Stated};
use super::key::Part;

/// What an image is.
#[derive(Debug, Clone, Copy)]
pub struct Computed<'a> {
    /// The bytes of its manifest.
    pub manifest: &'a [u8],
    /// The bytes of its config.
    pub config: &'a [u8],
    /// The digest of its metadata image, as this crate makes it; `None` before that is known.
    pub image: Option<ObjectId>,
    /// That of the metadata image that keeps attributes `user.*`, composefs-rs's second mode. `None`: not computed.
    pub image_with_user: Option<ObjectId>,
}

/// What came of checking a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is true.
    Holds,
    /// It is true of the image with its attributes `user.*`, which the metadata image here does not have.
    HoldsWithUser,
    /// It could not be checked.
    Unchecked(Unchecked),
    /// It is not true: what it should be.
    Wrong(ObjectId),
    /// It says nothing that could be true: what is wrong with it.
    Invalid(String),
}

/// Why a claim could not be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchecked {
    /// The metadata image is not computed yet.
    Early,
    /// Images here have digests of this algorithm, and other bytes with another one.
    Algorithm(Algorithm),
    /// Fs-verity with blocks of another size than 4 KiB.
    BlockSize,
    /// A format of metadata images other than 1.
    Format,
    /// Metadata images of single layers, which are not made here.
    Layer,
    /// The image that composefs-boot makes.
    Bootable,
}

/// A claim, and what came of checking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The claim.
    pub claim: Claim,
    /// What came of it.
    pub outcome: Outcome,
}

/// Checks each of the claims.
#[must_use]
pub fn check(claims: &[Claim], facts: &Computed<'_>) -> Vec<Checked> {
    claims.iter().map(|claim| Checked { claim: claim.clone(), outcome: outcome(claim, facts) }).collect()
}

/// Whether one of the claims is not about the metadata image `image` but may be about the one with attributes
/// `user.*`, which then has to be computed.
#[must_use]
pub fn wants_user_xattrs(claims: &[Claim], image: ObjectId) -> bool {
    let facts = Computed { manifest: b"", config: b"", image: Some(image), image_with_user: None };
    let is_wrong = |claim: &Claim| matches!(outcome(claim, &facts), Outcome::Wrong(_));
    claims.iter().any(|claim| claim.key.part == Part::Merged && is_wrong(claim))
}

fn outcome(claim: &Claim, facts: &Computed<'_>) -> Outcome {
    let stated = match &claim.stated {
        Stated::Digest(id) => *id,
        Stated::Invalid(problem) => return Outcome::Invalid(problem.clone()),
    };
    if claim.key.block_bits != 12 {
        return Outcome::Unchecked(Unchecked::BlockSize);
    }
    if claim.key.erofs_version.is_some_and(|version| version != 1) {
        return Outcome::Unchecked(Unchecked::Format);
    }
    let of_document = |bytes| against(stated, fsverity_digest(claim.key.algorithm, bytes));
    match claim.key.part {
        Part::Manifest => of_document(facts.manifest),
        Part::Config => of_document(facts.config),
        Part::Merged => of_image(stated, facts),
        Part::Layer => Outcome::Unchecked(Unchecked::Layer),
        Part::Bootable => Outcome::Unchecked(Unchecked::Bootable),
    }
}

fn of_image(stated: ObjectId, facts: &Computed<'_>) -> Outcome {
    match facts.image {
        None => Outcome::Unchecked(Unchecked::Early),
        Some(image) if image.algorithm() != stated.algorithm() => {
            Outcome::Unchecked(Unchecked::Algorithm(image.algorithm()))
        }
        Some(_) if facts.image_with_user == Some(stated) && facts.image != Some(stated) => {
            Outcome::HoldsWithUser
        }
        Some(image) => against(stated, image),
    }
}

fn against(stated: ObjectId, computed: ObjectId) -> Outcome {
    if stated == computed { Outcome::Holds } else { Outcome::Wrong(computed) }
}

impl Outcome {
    /// Whether the claim is refuted.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Wrong(_) | Self::Invalid(_))
    }

    /// A word for machines.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::HoldsWithUser => "holds-with-user-xattrs",
            Self::Unchecked(_) => "unchecked",
            Self::Wrong(_) => "wrong",
            Self::Invalid(_) => "invalid",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds"),
            Self::HoldsWithUser => f.write_str("holds with the attributes user.*, which are left out here"),
            Self::Unchecked(why) => write!(f, "not checked: {why}"),
            Self::Wrong(computed) => write!(f, "wrong: it is {computed}"),
            Self::Invalid(problem) => write!(f, "wrong: {problem}"),
        }
    }
}

impl fmt::Display for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Early => f.write_str("the metadata image is not known yet"),
            Self::Algorithm(algorithm) => write!(f, "the store has {algorithm}"),
            Self::BlockSize => f.write_str("only blocks of 4 KiB are"),
            Self::Format => f.write_str("only format 1 is"),
            Self::Layer => f.write_str("single layers are not"),
            Self::Bootable => f.write_str("what composefs-boot makes is not"),
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Claim { place, name, .. } = &self.claim;
        match (&self.outcome, &self.claim.stated) {
            (Outcome::Wrong(computed), Stated::Digest(stated)) => {
                write!(f, "{place}: {name} says {stated}, but it is {computed}")
            }
            (Outcome::Invalid(problem), _) => write!(f, "{place}: {name}: {problem}"),
            (outcome, _) => write!(f, "{place}: {name} {outcome}"),
        }
    }
}
