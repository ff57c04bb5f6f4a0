//! The seal of an image: a statement about its devices and the names it may run under, and signatures of both.
//!
//! Described in `docs/formats/seal.md`. It travels as two blobs of an OCI referrer, the [statement](Statement::bytes)
//! and the [bundle of signatures](Seal::bundle), and is kept in a store as [one JSON](Seal::to_json). What it states
//! about an image is worth something only once it was [judged](crate::judge) and [compared](Statement::check) with the
//! image. Whether the devices may execute is for the kernel to say, which is given the signatures of the root hashes.

mod canonical;
mod devices;
mod error;
mod fields;
mod json;
mod signatures;
mod statement;

use std::slice::from_ref;

use sealpack_format::digest::RootHash;

pub use devices::{Devices, Mismatch};
pub use error::{SealError, SealSigningError, SignatureProblem, StatementError};
pub use signatures::{Signed, signer_of};
pub use statement::{SealedMetadata, SealedPack, Statement, StatementContents};

use crate::key::{Certificate, Signer};
use crate::pkcs7;
use signatures::Signatures;

/// The version of seals that this program writes and reads.
pub const VERSION: u64 = 1;

/// The artifact type of a seal's manifest. Registries list seals by it.
pub const ARTIFACT_TYPE: &str = "application/vnd.sealpack.seal.v1";

/// The media type of the statement, which is the config blob of a seal's manifest.
pub const STATEMENT_MEDIA_TYPE: &str = "application/vnd.sealpack.seal.v1+json";

/// The media type of the bundle of signatures, which is the one layer of a seal's manifest.
pub const SIGNATURES_MEDIA_TYPE: &str = "application/vnd.sealpack.signatures.v1+json";

/// The largest statement, in bytes.
pub const STATEMENT_MAX_BYTES: usize = 1024 * 1024;

/// The largest bundle of signatures, in bytes of JSON.
pub const BUNDLE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The most layers of an image.
pub const LAYERS_MAX: usize = 4096;

/// The most names that a seal may be used for.
pub const NAMES_MAX: usize = 64;

/// The most signatures of the statement, and of each root hash.
pub const SIGNATURES_MAX: usize = 16;

/// The longest signature, in bytes of DER. The kernel takes twice as many.
pub const SIGNATURE_MAX_BYTES: usize = 16 * 1024;

/// A statement about an image, with at least one signature of it and of each root hash in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    statement: Statement,
    signatures: Signatures,
}

/// A private key with its certificate.
#[derive(Clone, Copy)]
pub struct SigningPair<'a> {
    /// The key.
    pub signer: &'a dyn Signer,
    /// The certificate of the key.
    pub certificate: &'a Certificate,
}

/// What seals: one key for both, or one for each.
#[derive(Clone, Copy)]
pub struct SealingKeys<'a> {
    /// Signs the root hashes. The kernel has to know its certificate.
    pub packs: SigningPair<'a>,
    /// Signs the statement. Whoever pulls has to know its certificate.
    pub statement: SigningPair<'a>,
}

impl Seal {
    /// Signs a statement and every root hash in it. What was signed is verified with the certificates.
    ///
    /// # Errors
    /// Key and certificate do not belong together, or the key does not sign.
    pub fn sign(statement: Statement, keys: &SealingKeys<'_>) -> Result<Self, SealSigningError> {
        let mut seal = Self { statement, signatures: Signatures::default() };
        seal.add_signatures(keys)?;
        Ok(seal)
    }

    /// Signs the statement and every root hash with other keys too. Signatures that name the same certificate are
    /// replaced.
    ///
    /// # Errors
    /// As [`sign`](Self::sign); more than [`SIGNATURES_MAX`] signers. Nothing is added then.
    pub fn add_signatures(&mut self, keys: &SealingKeys<'_>) -> Result<(), SealSigningError> {
        let mut made = Vec::new();
        for (signed, content) in self.statement.to_be_signed() {
            let SigningPair { signer, certificate } = match signed {
                Signed::Statement => keys.statement,
                Signed::RootHash(_) => keys.packs,
            };
            let signature = pkcs7::sign_detached(signer, certificate, &content)?;
            pkcs7::verify_detached(&signature, &content, from_ref(certificate))?;
            made.push((signed, signature));
        }
        Ok(self.attach(made)?)
    }

    /// The seal that is made of a statement and signatures, PKCS#7 in DER, that were made elsewhere. They are not
    /// verified here.
    ///
    /// # Errors
    /// Something has no signature or too many; a signature is of something else, or too long.
    pub fn assemble(
        statement: Statement,
        signatures: impl IntoIterator<Item = (Signed, Vec<u8>)>,
    ) -> Result<Self, SealError> {
        let mut seal = Self { statement, signatures: Signatures::default() };
        seal.attach(signatures)?;
        Ok(seal)
    }

    /// Adds signatures that were made elsewhere, in the place of those that name the same certificate. They are not
    /// verified here.
    ///
    /// # Errors
    /// As [`assemble`](Self::assemble). Nothing is added then.
    pub fn attach(
        &mut self,
        signatures: impl IntoIterator<Item = (Signed, Vec<u8>)>,
    ) -> Result<(), SealError> {
        let mut all = self.signatures.clone();
        for (signed, der) in signatures {
            all.add(signed, der)?;
        }
        all.check(&self.statement)?;
        self.signatures = all;
        Ok(())
    }

    /// The seal that travels as two blobs.
    ///
    /// # Errors
    /// Not JSON, another version, fields that are missing, unknown or there twice, and whatever else [`SealError`]
    /// lists. Signatures are not looked into.
    pub fn from_parts(statement: &[u8], bundle: &[u8]) -> Result<Self, SealError> {
        let statement = Statement::parse(statement)?;
        let signatures = json::parse_bundle(bundle, &statement)?;
        Ok(Self { statement, signatures })
    }

    /// The bundle of signatures, the same bytes for the same seal.
    #[must_use]
    pub fn bundle(&self) -> Vec<u8> {
        json::write_bundle(&self.signatures)
    }

    /// Reads a seal as a store keeps it.
    ///
    /// # Errors
    /// As [`from_parts`](Self::from_parts).
    pub fn parse(json: &[u8]) -> Result<Self, SealError> {
        json::parse(json)
    }

    /// The seal as a store keeps it, the same bytes for the same seal.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::write(self)
    }

    /// What it says about its image.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The signatures of a root hash, none if it is not one of this image's.
    #[must_use]
    pub fn signatures(&self, root_hash: &RootHash) -> &[Vec<u8>] {
        self.signatures_of(Signed::RootHash(*root_hash))
    }

    /// The signatures of something.
    #[must_use]
    pub fn signatures_of(&self, signed: Signed) -> &[Vec<u8>] {
        self.signatures.of(signed)
    }

    /// Who is said to have signed the statement: in words, by what each signature names its certificate.
    #[must_use]
    pub fn signers(&self) -> Vec<String> {
        self.signatures.statement.iter().map(|der| signer_of(der)).collect()
    }

    /// Who is said to have signed root hashes, each once, in the same words.
    #[must_use]
    pub fn root_hash_signers(&self) -> Vec<String> {
        let mut signers = Vec::new();
        for root_hash in self.statement.root_hashes() {
            for signer in self.signatures(root_hash).iter().map(|der| signer_of(der)) {
                if !signers.contains(&signer) {
                    signers.push(signer);
                }
            }
        }
        signers
    }
}

#[cfg(test)]
mod tests;
