//! What is to be signed for an image.

use std::time::SystemTime;

use sealpack_format::reference::{ImageName, Reference};
use sealpack_store::{ImageRecord, ObjectForm, Store};
use sealpack_trust::anchors::{Anchors, Use};
use sealpack_trust::seal::{Devices, Seal, SealingKeys, Signed, Statement, StatementContents};
use sealpack_trust::timestamp::Timestamp;

use super::error::{NotItsStatement, SealingError};
use super::{devices, packs_of, read};
use crate::Error;
use crate::remark::{Remark, Remarks};
use crate::revoked;
use crate::trust_store::TrustStore;

/// What is said of an image besides its devices.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The names that the seal may be used for; none are the one that the image was pulled under.
    pub names: Vec<Reference>,
    /// The number that tells an earlier seal of a name from a later one; without one, the seconds of `now`.
    pub epoch: Option<u64>,
    /// The time of sealing, by the clock: unlike `created`, one that a rebuild does not have again.
    pub now: Timestamp,
    /// When the statement is made.
    pub created: Timestamp,
}

/// What is to be signed.
#[derive(Debug)]
pub enum Draft {
    /// A statement that nobody has signed.
    New(Statement),
    /// The seal that the image has, which is to get more signatures.
    Sealed(Seal),
}

impl Draft {
    /// What is stated.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        match self {
            Self::New(statement) => statement,
            Self::Sealed(seal) => seal.statement(),
        }
    }

    /// The seal with signatures by these keys, besides those that it may have.
    ///
    /// # Errors
    ///
    /// Of the keys, and where the seal has signatures by them already.
    pub fn sign(self, keys: &SealingKeys<'_>) -> Result<Seal, SealingError> {
        match self {
            Self::New(statement) => Ok(Seal::sign(statement, keys)?),
            Self::Sealed(mut seal) => {
                seal.add_signatures(keys)?;
                Ok(seal)
            }
        }
    }
}

impl Wanted {
    /// The statement about an image with these devices.
    fn statement(&self, record: &ImageRecord, devices: Devices) -> Result<Statement, SealingError> {
        let Devices { manifest, metadata, packs } = devices;
        let contents = StatementContents {
            created: self.created,
            epoch: self.epoch.unwrap_or_else(|| self.now.unix_seconds()),
            manifest,
            platform: record.platform.clone(),
            metadata: vec![metadata],
            names: self.names(record)?,
            packs,
        };
        Statement::new(contents)
            .map_err(|source| SealingError::Statement { name: record.name.clone(), source })
    }

    /// That a statement says what was asked for; without names, that it is for the one that a new seal would be for.
    fn check(&self, statement: &Statement, record: &ImageRecord) -> Result<(), SealingError> {
        let (name, sealed) = (record.name.clone(), statement.epoch());
        if let Some(asked) = self.epoch.filter(|epoch| *epoch != sealed) {
            return Err(SealingError::Epoch { name, sealed, asked });
        }
        let is_meant = match self.names.is_empty() {
            // A signature counts for all names of the statement, whoever thought of them.
            true => self.names(record).is_ok_and(|names| names == statement.names()),
            false => self.names(record)? == statement.names(),
        };
        if is_meant {
            return Ok(());
        }
        let sealed = statement.names().iter().map(ToString::to_string).collect();
        Err(SealingError::Names { name, sealed })
    }

    fn names(&self, record: &ImageRecord) -> Result<Vec<ImageName>, SealingError> {
        if self.names.is_empty() {
            let pulled: Reference = record.pulled_as.as_ref().unwrap_or(&record.name).parse()?;
            return Ok(vec![pulled.image_name().ok_or(SealingError::NoTag(pulled))?]);
        }
        let name = |name: &Reference| match (name.digest(), name.image_name()) {
            (None, Some(name)) => Ok(name),
            _ => Err(SealingError::NameWithDigest(name.clone())),
        };
        self.names.iter().map(name).collect()
    }
}

/// What is to be signed for an image, which is in packs then, and all of it verified.
///
/// # Errors
///
/// Of the store and the trust store; [`SealingError`] where the seal that there is says something else than what is wanted,
/// unless `replace` says that it does not count.
pub fn draft(
    store: &Store,
    record: ImageRecord,
    trust: &TrustStore,
    wanted: &Wanted,
    replace: bool,
    remarks: Remarks<'_>,
) -> Result<(ImageRecord, Draft), Error> {
    let record = in_packs(store, record, &mut *remarks)?;
    revoked::check(store, &record, &trust.revocations_so_far()?)?;
    let seal = if replace { None } else { read(store, &record)? };
    match &seal {
        Some(seal) if is_by_somebody_trusted(&trust.read(&mut *remarks)?, seal) => {
            remarks(Remark::SignedBefore { name: record.name.clone() });
        }
        // A signature is for ever: what the store remembers of its packs is no reason to sign them.
        _ => store.verify_image_packs(&record)?,
    }
    let devices = devices_of(store, &record)?;
    let draft = match seal {
        None => Draft::New(wanted.statement(&record, devices)?),
        Some(seal) => {
            check_is_of(seal.statement(), &devices, &record)?;
            wanted.check(seal.statement(), &record)?;
            Draft::Sealed(seal)
        }
    };
    Ok((record, draft))
}

/// Whether the statement and each root hash have a signature that counts in the trust store. Then the root hashes are
/// as good as when they were signed.
pub(super) fn is_by_somebody_trusted(anchors: &Anchors, seal: &Seal) -> bool {
    let now = SystemTime::now();
    let counts = |(signed, content): (Signed, Vec<u8>)| {
        let of = if signed == Signed::Statement { Use::Statements } else { Use::Packs };
        seal.signatures_of(signed).iter().any(|der| {
            let signer = anchors.verify(of, der, &content);
            signer.is_ok_and(|certificate| anchors.check_certificate(certificate, now).is_ok())
        })
    };
    seal.statement().to_be_signed().all(counts)
}

/// The devices that an image in packs has, the root hash of its metadata image computed where it is not kept.
pub(super) fn devices_of(store: &Store, record: &ImageRecord) -> Result<Devices, Error> {
    let root_hash = store.ensure_hash_area(&record.metadata_image)?;
    Ok(devices(record, root_hash, &packs_of(store, record)?))
}

/// The image with its objects in packs, now if they were not before.
pub(super) fn in_packs(
    store: &Store,
    record: ImageRecord,
    remarks: Remarks<'_>,
) -> Result<ImageRecord, Error> {
    if record.objects == ObjectForm::Packs {
        return Ok(record);
    }
    remarks(Remark::IntoPacks { name: record.name.clone() });
    Ok(store.convert(&record, ObjectForm::Packs, &())?.record)
}

/// That a statement is about just these devices, before anybody signs it too.
pub(super) fn check_is_of(
    statement: &Statement,
    devices: &Devices,
    record: &ImageRecord,
) -> Result<(), SealingError> {
    let problem = match statement.check(devices) {
        Err(mismatch) => mismatch.into(),
        Ok(()) if statement.platform() != record.platform => NotItsStatement::Platform {
            stated: statement.platform().to_owned(),
            actual: record.platform.clone(),
        },
        Ok(()) if statement.packs() != devices.packs || statement.metadata() != [devices.metadata] => {
            NotItsStatement::MoreDevices
        }
        Ok(()) => return Ok(()),
    };
    Err(SealingError::NotForImage { name: record.name.clone(), problem })
}
