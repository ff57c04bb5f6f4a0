//! The seal of an image: the root hashes of its devices and their signatures.
//!
//! A seal is JSON, described in `docs/formats/seal.md`. What it states about an image is worth
//! something only once it was [compared](Seal::check) with the image, and what it signs only once
//! the kernel, or [`verify_detached`](crate::pkcs7::verify_detached), accepted the signatures.

mod error;
mod json;

use std::collections::{BTreeMap, BTreeSet};

use sealpack_format::digest::{BlobDigest, DiffId, ObjectId, RootHash};

pub use error::{Mismatch, SealError, SealSigningError, SignatureProblem, StatementError};

use crate::key::{Certificate, Signer};
use crate::pkcs7::{self, Form, Message};

/// The version of seals that this program writes and reads.
pub const VERSION: u64 = 1;

/// The largest seal, in bytes of JSON.
pub const SEAL_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The most packs of an image: overlayfs takes 500 layers.
pub const PACKS_MAX: usize = 400;

/// The most layers of an image.
pub const LAYERS_MAX: usize = 4096;

/// The most signatures of one root hash.
pub const SIGNATURES_MAX: usize = 16;

/// The longest signature, in bytes of DER. The kernel takes twice as many.
pub const SIGNATURE_MAX_BYTES: usize = 16 * 1024;

/// What a seal says about an image: which devices it has, and which root hashes they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    manifest: BlobDigest,
    metadata: SealedMetadata,
    packs: Vec<SealedPack>,
}

/// The metadata image of a sealed image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedMetadata {
    /// Its fs-verity digest.
    pub id: ObjectId,
    /// Its size.
    pub size_bytes: u64,
    /// The root hash of its dm-verity tree.
    pub root_hash: RootHash,
}

/// A pack of a sealed image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPack {
    /// The layers whose objects are in it, at least one: layers with the same contents have the same pack.
    pub layers: Vec<DiffId>,
    /// Its size, the hash tree included.
    pub size_bytes: u64,
    /// Its root hash.
    pub root_hash: RootHash,
}

impl Statement {
    /// What a seal says about the image with that manifest; the packs in the order of their first layers.
    ///
    /// # Errors
    /// Two devices with one root hash, a layer in two packs, a pack of no layer, or too many of them.
    pub fn new(
        manifest: BlobDigest,
        metadata: SealedMetadata,
        packs: Vec<SealedPack>,
    ) -> Result<Self, StatementError> {
        if packs.len() > PACKS_MAX {
            return Err(StatementError::TooManyPacks(packs.len()));
        }
        let (mut hashes, mut layers) = (BTreeSet::from([metadata.root_hash]), BTreeSet::new());
        for pack in &packs {
            if !hashes.insert(pack.root_hash) {
                return Err(StatementError::DuplicateRootHash(pack.root_hash));
            }
            if pack.layers.is_empty() {
                return Err(StatementError::NoLayers(pack.root_hash));
            }
            for layer in &pack.layers {
                if !layers.insert(*layer) {
                    return Err(StatementError::DuplicateLayer(*layer));
                }
            }
        }
        if layers.len() > LAYERS_MAX {
            return Err(StatementError::TooManyLayers(layers.len()));
        }
        Ok(Self { manifest, metadata, packs })
    }

    /// The digest of the image's manifest.
    #[must_use]
    pub const fn manifest(&self) -> &BlobDigest {
        &self.manifest
    }

    /// The metadata image.
    #[must_use]
    pub const fn metadata(&self) -> &SealedMetadata {
        &self.metadata
    }

    /// The packs, in the order of their first layers.
    #[must_use]
    pub fn packs(&self) -> &[SealedPack] {
        &self.packs
    }

    /// All root hashes: the metadata image's, then the packs'.
    pub fn root_hashes(&self) -> impl Iterator<Item = &RootHash> {
        std::iter::once(&self.metadata.root_hash).chain(self.packs.iter().map(|pack| &pack.root_hash))
    }
}

/// A statement about an image, with at least one signature of each root hash in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    statement: Statement,
    /// PKCS#7 in DER, of each of the statement's root hashes and no others.
    signatures: BTreeMap<RootHash, Vec<Vec<u8>>>,
}

impl Seal {
    /// Signs every root hash of `statement`. What was signed is verified with the certificate.
    ///
    /// # Errors
    /// Key and certificate do not belong together, or the key does not sign.
    pub fn sign(
        statement: Statement,
        signer: &dyn Signer,
        certificate: &Certificate,
    ) -> Result<Self, SealSigningError> {
        let mut seal = Self { signatures: BTreeMap::new(), statement };
        seal.add_signatures(signer, certificate)?;
        Ok(seal)
    }

    /// Signs every root hash with another key too. Signatures that name the same certificate
    /// are replaced.
    ///
    /// # Errors
    /// As [`sign`](Self::sign); more than [`SIGNATURES_MAX`] signers. Nothing is added then.
    pub fn add_signatures(
        &mut self,
        signer: &dyn Signer,
        certificate: &Certificate,
    ) -> Result<(), SealSigningError> {
        let mut signatures = self.signatures.clone();
        for root_hash in self.statement.root_hashes() {
            let content = root_hash.to_string();
            let signature = pkcs7::sign_detached(signer, certificate, content.as_bytes())?;
            pkcs7::verify_detached(&signature, content.as_bytes(), std::slice::from_ref(certificate))?;
            let of_hash = signatures.entry(*root_hash).or_default();
            of_hash.retain(|other| !is_by(other, certificate));
            of_hash.push(signature);
            if of_hash.len() > SIGNATURES_MAX {
                return Err(SealSigningError::TooManySigners);
            }
        }
        self.signatures = signatures;
        Ok(())
    }

    /// Reads a seal.
    ///
    /// # Errors
    /// Not JSON, another version, fields that are missing, unknown or there twice, and whatever
    /// else [`SealError`] lists. Signatures are not looked into: the kernel judges them.
    pub fn parse(json: &[u8]) -> Result<Self, SealError> {
        json::parse(json)
    }

    /// The seal as JSON, the same bytes for the same seal.
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
        self.signatures.get(root_hash).map(Vec::as_slice).unwrap_or_default()
    }

    /// Who is said to have signed the metadata image, and hence all: in words, by what each
    /// signature names its certificate.
    #[must_use]
    pub fn signers(&self) -> Vec<String> {
        self.signatures(&self.statement.metadata.root_hash).iter().map(|der| signer_of(der)).collect()
    }

    /// Whether this is the seal of the image that `image` describes: whether it is about its
    /// manifest, and has every device of the image, with the very root hash. What else it has
    /// does not matter.
    ///
    /// # Errors
    /// Names the first difference.
    pub fn check(&self, image: &Statement) -> Result<(), Mismatch> {
        let sealed = &self.statement;
        if sealed.manifest != image.manifest {
            return Err(Mismatch::Manifest { sealed: sealed.manifest, image: image.manifest });
        }
        if (sealed.metadata.id, sealed.metadata.size_bytes) != (image.metadata.id, image.metadata.size_bytes)
        {
            return Err(Mismatch::Metadata { sealed: sealed.metadata.id, image: image.metadata.id });
        }
        if sealed.metadata.root_hash != image.metadata.root_hash {
            let (sealed, image) = (sealed.metadata.root_hash, image.metadata.root_hash);
            return Err(Mismatch::MetadataRootHash { sealed, image });
        }
        let sealed_packs: BTreeMap<_, _> =
            sealed.packs.iter().flat_map(|pack| pack.layers.iter().map(move |layer| (layer, pack))).collect();
        for pack in &image.packs {
            for layer in &pack.layers {
                match sealed_packs.get(layer) {
                    None => return Err(Mismatch::Layer { layer: *layer, root_hash: pack.root_hash }),
                    Some(other)
                        if (other.root_hash, other.size_bytes) != (pack.root_hash, pack.size_bytes) =>
                    {
                        let (sealed, image) = (other.root_hash, pack.root_hash);
                        return Err(Mismatch::Pack { layer: *layer, sealed, image });
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }
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

fn is_by(der: &[u8], certificate: &Certificate) -> bool {
    Message::parse(der, Form::Detached).is_ok_and(|message| message.signer().means(certificate))
}

#[cfg(test)]
mod tests;
