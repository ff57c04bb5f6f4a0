//! The signatures of a seal.

use std::collections::BTreeMap;
use std::fmt;

use sealpack_format::digest::RootHash;

use super::{SIGNATURE_MAX_BYTES, SIGNATURES_MAX, SealError, SignatureProblem, Statement};
use crate::pkcs7::{Form, Message};

/// What a signature is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signed {
    /// The statement's bytes.
    Statement,
    /// The lowercase hexadecimal digits of a root hash.
    RootHash(RootHash),
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement => f.write_str("the statement"),
            Self::RootHash(root_hash) => write!(f, "root hash {root_hash}"),
        }
    }
}

/// PKCS#7 in DER, by what each is over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Signatures {
    pub(super) statement: Vec<Vec<u8>>,
    pub(super) root_hashes: BTreeMap<RootHash, Vec<Vec<u8>>>,
}

impl Signatures {
    pub(super) fn of(&self, signed: Signed) -> &[Vec<u8>] {
        match signed {
            Signed::Statement => &self.statement,
            Signed::RootHash(root_hash) => {
                self.root_hashes.get(&root_hash).map(Vec::as_slice).unwrap_or_default()
            }
        }
    }

    /// Adds a signature, in the place of one by the same signer.
    pub(super) fn add(&mut self, signed: Signed, der: Vec<u8>) -> Result<(), SealError> {
        let signatures = match signed {
            Signed::Statement => &mut self.statement,
            Signed::RootHash(root_hash) => self.root_hashes.entry(root_hash).or_default(),
        };
        signatures.retain(|other| !is_same_signer(other, &der));
        let problem = match der.len() {
            0 => Some(SignatureProblem::Empty),
            1..=SIGNATURE_MAX_BYTES => None,
            _ => Some(SignatureProblem::TooLong),
        };
        signatures.push(der);
        let number = signatures.len();
        match problem {
            Some(problem) => Err(SealError::Signature { signed, number, problem }),
            None if number > SIGNATURES_MAX => Err(SealError::TooManySignatures { signed, count: number }),
            None => Ok(()),
        }
    }

    /// That there is at least one of the statement and of each of its root hashes, and none of anything else.
    pub(super) fn check(&self, statement: &Statement) -> Result<(), SealError> {
        let mut all = statement.to_be_signed().map(|(signed, _)| signed);
        if let Some(signed) = all.find(|signed| self.of(*signed).is_empty()) {
            return Err(SealError::Unsigned(signed));
        }
        let foreign = |hash: &&RootHash| !statement.root_hashes().any(|known| known == *hash);
        // As many as there are, and none missing: then there are no others.
        if self.root_hashes.len() == statement.root_hashes().count() {
            return Ok(());
        }
        match self.root_hashes.keys().find(foreign) {
            Some(root_hash) => Err(SealError::ForeignRootHash(root_hash.to_string())),
            None => Ok(()),
        }
    }
}

/// Whether both name their signer, and in the same way.
fn is_same_signer(one: &[u8], other: &[u8]) -> bool {
    match (Message::parse(one, Form::Detached), Message::parse(other, Form::Detached)) {
        (Ok(one), Ok(other)) => one.signer() == other.signer(),
        _ => false,
    }
}

/// Who is named by two of the signatures. Where everybody signs once, there is no more to verify than there are
/// certificates, however much somebody has put in.
pub(super) fn signer_of_two(signatures: &[Vec<u8>]) -> Option<String> {
    let messages: Vec<_> =
        signatures.iter().filter_map(|der| Message::parse(der, Form::Detached).ok()).collect();
    let signers = messages.iter().map(Message::signer).enumerate();
    let mut again =
        signers.filter(|(place, signer)| messages[..*place].iter().any(|one| one.signer() == *signer));
    again.next().map(|(_, signer)| signer.to_string())
}

/// By what a signature names the certificate that it needs, in words; what it does not name
/// is said too.
#[must_use]
pub fn signer_of(der: &[u8]) -> String {
    match Message::parse(der, Form::Detached) {
        Ok(message) => message.signer().to_string(),
        Err(_) => "somebody it does not name".to_owned(),
    }
}
