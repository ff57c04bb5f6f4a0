//! Images of the store, sealed, and their seals published.

use std::path::PathBuf;

use sealpack_node::place::StorePlace;
use sealpack_node::seals::{self, SealingError, Wanted};
use sealpack_node::trust_store::TrustStore;
use sealpack_oci::environment::Environment;
use sealpack_oci::registry::ClientOptions;
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::seal::{Seal, SealingKeys};

use crate::Error;
use crate::publish::{Place, Published};
use crate::remark::Remarks;

/// How an image is to be sealed.
#[derive(Debug)]
pub struct Sealing<'a> {
    /// What is said of it.
    pub wanted: &'a Wanted,
    /// Whether the seal that there is does not count.
    pub replace: bool,
    /// Where the seal is published, if it is.
    pub publish: Option<Publish<'a>>,
}

/// What of a sealed image is published, and where.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    /// Where.
    pub place: &'a Place,
    /// Whether the image's composefs digests are, too.
    pub composefs: bool,
    /// How registries are spoken to: without mirrors, which nothing is written to.
    pub way: (&'a ClientOptions, &'a Environment),
}

/// What came of sealing an image.
#[derive(Debug)]
pub struct Sealed {
    /// The image, in packs now.
    pub record: ImageRecord,
    /// Its seal.
    pub seal: Seal,
    /// Where the store has the seal.
    pub path: PathBuf,
    /// What was published.
    pub published: Option<Published>,
}

/// Seals an image that the store has, and publishes the seal if so wanted. Where it cannot be published, nothing is
/// signed.
///
/// # Errors
///
/// As [`seals::draft`] and [`Draft::sign`](seals::Draft::sign), [`Place::look`] and
/// [`Ready::publish`](crate::publish::Ready::publish).
pub fn seal(
    place: &StorePlace,
    trust: &TrustStore,
    record: ImageRecord,
    sealing: &Sealing<'_>,
    keys: &SealingKeys<'_>,
    remarks: Remarks<'_>,
) -> Result<Sealed, Error> {
    let (_lock, store) = place.open_for_reading()?;
    let ready =
        sealing.publish.map(|publish| publish.place.look(&store, &record, publish.way)).transpose()?;
    let mut of_node = |remark: sealpack_node::Remark| remarks(remark.into());
    let anchors = trust.read_so_far(&mut of_node).map_err(sealpack_node::Error::from)?;
    for certificate in [keys.packs.certificate, keys.statement.certificate] {
        if let Some(revoked) = anchors.revocation(certificate) {
            let (subject, reason) = (certificate.subject().to_string(), revoked.reason.clone());
            return Err(sealpack_node::Error::from(SealingError::RevokedSigner { subject, reason }).into());
        }
    }
    let (record, draft) = seals::draft(&store, record, trust, sealing.wanted, sealing.replace, &mut of_node)?;
    let seal = draft.sign(keys).map_err(sealpack_node::Error::from)?;
    let record = seals::keep(&store, &record, &seal, trust, &mut of_node)?;
    let published = match (ready, sealing.publish) {
        (Some(ready), Some(publish)) => {
            let mut published = ready.publish(&seal, remarks)?;
            if publish.composefs {
                published.composefs = Some(ready.publish_composefs(&store, &record, Some(&keys.packs))?);
            }
            Some(published)
        }
        _ => None,
    };
    let path = seals::path_of(&store, &record);
    Ok(Sealed { record, seal, path, published })
}

/// Publishes the seal that the store has of an image.
///
/// # Errors
///
/// [`Error::NoSeal`]; as [`Place::look`] and [`Ready::publish`](crate::publish::Ready::publish).
pub fn publish(
    store: &Store,
    record: &ImageRecord,
    publish: Publish<'_>,
    remarks: Remarks<'_>,
) -> Result<Published, Error> {
    let seal = seals::read(store, record)?.ok_or_else(|| Error::NoSeal { name: record.name.clone() })?;
    seals::check(store, record, &seal)?;
    let ready = publish.place.look(store, record, publish.way)?;
    let mut published = ready.publish(&seal, remarks)?;
    if publish.composefs {
        // No key is at hand.
        published.composefs = Some(ready.publish_composefs(store, record, None)?);
    }
    Ok(published)
}
