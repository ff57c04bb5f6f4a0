//! The last word of whoever pulls: what came of the layers is known, and nothing has a name yet.

use std::error::Error;

use sealpack_format::digest::{BlobDigest, RootHash};
use sealpack_format::reference::Reference;
use sealpack_store::{Accepted, ImageRecord, LayerPack, ObjectForm, Staging};

use crate::budget::Limits;

/// Under what name, how, and on what condition an image is to be pulled.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The name that it gets.
    pub name: &'a Reference,
    /// What it was asked for by, where that is another name.
    pub pulled_as: Option<&'a Reference>,
    /// The index that the manifest was chosen from, with its digest.
    pub index: Option<(BlobDigest, &'a [u8])>,
    /// The form of its objects. `None`: that of the image that has the name, files when there is none.
    pub objects: Option<ObjectForm>,
    /// How much it may take.
    pub limits: Limits,
    /// Whether what is wrong of what the image [says about its composefs digests](crate::image::ResolvedImage::composefs)
    /// refuses it. Such claims are nobody's: where the check knows better, they need only be told.
    pub refuse_wrong_claims: bool,
    /// By whose word it gets the name.
    pub word: Word<'a>,
}

/// By whose word an image gets its name. There is no default: who lets anything in says so.
#[derive(Clone, Copy)]
pub enum Word<'a> {
    /// Nobody's, on purpose: whoever pulls has no rules, or answers for the image in another way.
    Nobodys,
    /// That of a check, asked when all is known and before the name changes.
    Of(Check<'a>),
}

impl<'a> Request<'a> {
    /// To pull an image that nobody judges, within the usual limits.
    #[must_use]
    pub const fn unjudged(name: &'a Reference, objects: Option<ObjectForm>) -> Self {
        let (limits, word) = (Limits::USUAL, Word::Nobodys);
        Self { name, pulled_as: None, index: None, objects, limits, refuse_wrong_claims: true, word }
    }
}

/// Says whether an image may get its name, and what is kept with it then.
pub type Check<'a> = &'a dyn Fn(&Rebuilt<'_>) -> Result<Accepted, Objection>;

/// What was made of an image's layers.
#[derive(Clone, Copy)]
pub struct Rebuilt<'a> {
    /// What the store is about to have under the name.
    pub record: &'a ImageRecord,
    /// The packs of its layers, the lowest first; none if it is kept as files.
    pub packs: &'a [LayerPack],
    pub(super) staging: &'a Staging<'a>,
}

impl Rebuilt<'_> {
    /// The root hash that its metadata image has as a dm-verity device.
    ///
    /// # Errors
    /// Of the store.
    pub fn root_hash(&self) -> Result<RootHash, sealpack_store::Error> {
        self.staging.metadata_image_root_hash(&self.record.metadata_image)
    }
}

/// Why an image does not get its name: an error of whoever checks, with that one's text.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Objection(Box<dyn Error + Send + Sync>);

impl Objection {
    /// What is wrong.
    pub fn new(reason: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(reason))
    }

    /// What is wrong, for who knows the check and its errors.
    #[must_use]
    pub fn reason(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.0.as_ref()
    }
}
