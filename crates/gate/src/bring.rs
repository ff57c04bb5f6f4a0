//! Images that are to be sealed, brought into the store first: one, or all of an index.
//!
//! The trust store is not asked of them: whoever seals decides.

use sealpack_format::BlobDigest;
use sealpack_format::reference::Reference;
use sealpack_node::place::StorePlace;
use sealpack_oci::budget::Limits;
use sealpack_oci::environment::Environment;
use sealpack_oci::image::{ResolvedImage, is_attestation, resolve_root};
use sealpack_oci::manifest::{Descriptor, Document};
use sealpack_oci::platform::{Platform, StatedPlatform};
use sealpack_oci::pull::{Observer, Rebuilt, Request, Word, pull};
use sealpack_oci::registry::ClientOptions;
use sealpack_oci::source::Source;
use sealpack_oci::transport::ImageSource;
use sealpack_store::{Accepted, ImageRecord, ObjectForm};

use crate::{Error, Found};

/// Most images of one index that are sealed.
const IMAGES_MAX: usize = 64;

/// Brings the image that `source` has for this machine's platform into the store, in packs, under the name that the
/// source has for it. It may take what `limits` says. `has_names` is whether somebody here has said which names are
/// signed.
///
/// # Errors
///
/// [`Error::NameUnsaid`] and [`Error::NoName`]; of the source, of the pull, and of the store.
pub fn bring(
    source: &Source,
    has_names: bool,
    place: &StorePlace,
    (client, environment): (&ClientOptions, &Environment),
    limits: Limits,
    observer: &dyn Observer,
) -> Result<ImageRecord, Error> {
    check_names(source, has_names)?;
    let source = source.open(client, environment)?;
    let name = name_of(source.as_ref())?;
    let found = Found::resolve(source.as_ref(), &Platform::host())?;
    let objects = Some(ObjectForm::Packs);
    // What comes is sealed next: whoever does that knows that the name may have had a sealed image.
    let agreed = |_: &Rebuilt<'_>| Ok(Accepted { agreed: true, ..Accepted::default() });
    let (index, word) = (found.index(), Word::Of(&agreed));
    let request = Request { index, limits, word, ..Request::unjudged(&name, objects) };
    into_store(place, source.as_ref(), &found.image, &request, observer)
}

/// The images for all platforms that a source has, at one time: whatever its name means later, they are these.
#[derive(Debug)]
pub struct Images {
    source: Box<dyn ImageSource>,
    name: Reference,
    /// What the source's name means: an index, or the only manifest.
    root: (BlobDigest, Vec<u8>),
    entries: Vec<Descriptor>,
}

impl Images {
    /// Those of `source`, attestations left out; a single image is the only one. `has_names` as in [`bring`].
    ///
    /// # Errors
    ///
    /// [`Error::NameUnsaid`], [`Error::NoName`], [`Error::NoImages`] and [`Error::TooManyImages`]; of the source.
    pub fn of(
        source: &Source,
        has_names: bool,
        (client, environment): (&ClientOptions, &Environment),
    ) -> Result<Self, Error> {
        check_names(source, has_names)?;
        let source = source.open(client, environment)?;
        let name = name_of(source.as_ref())?;
        let (root, bytes) = source.root()?;
        let entries = images_of(source.as_ref(), &root, &bytes)?;
        Ok(Self { source, name, root: (root.digest, bytes), entries })
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.entries.len()
    }

    /// Brings the image of that number, counted from 0, into the store, in packs, under its digest: what the name
    /// without the digest means in the store stays. It may take what `limits` says.
    ///
    /// # Errors
    ///
    /// Of the source, of the pull, and of the store.
    ///
    /// # Panics
    ///
    /// Where there are not so many.
    pub fn bring(
        &self,
        number: usize,
        place: &StorePlace,
        limits: Limits,
        observer: &dyn Observer,
    ) -> Result<ImageRecord, Error> {
        let (source, entry) = (self.source.as_ref(), &self.entries[number]);
        let stated = entry.platform.as_ref().and_then(StatedPlatform::platform);
        let platform = stated.clone().unwrap_or_else(Platform::host);
        let bytes = source.fetch(entry)?;
        let image = match resolve_root(source, entry.clone(), bytes.clone(), &platform) {
            // A single image is sealed for whatever it is for.
            Err(sealpack_oci::Error::WrongPlatform { actual, .. }) if stated.is_none() => {
                resolve_root(source, entry.clone(), bytes, &actual)?
            }
            other => other?,
        };
        let by_digest: Reference = format!("{}@{}", self.name.name(), entry.digest).parse()?;
        let (index, index_bytes) = &self.root;
        let request = Request {
            pulled_as: Some(&self.name),
            index: (*index != entry.digest).then_some((*index, index_bytes.as_slice())),
            limits,
            ..Request::unjudged(&by_digest, Some(ObjectForm::Packs))
        };
        into_store(place, source, &image, &request, observer)
    }
}

/// That somebody here has said which names are signed. A registry's image is asked for by its name; that of a layout or an
/// archive says its name itself, and could say any.
fn check_names(source: &Source, has_names: bool) -> Result<(), Error> {
    match source {
        Source::Registry(_) => Ok(()),
        _ if has_names => Ok(()),
        _ => Err(Error::NameUnsaid { from: source.to_string() }),
    }
}

/// The name of what a source has.
fn name_of(source: &dyn ImageSource) -> Result<Reference, Error> {
    source.default_name().ok_or_else(|| Error::NoName { from: source.description() })
}

fn into_store(
    place: &StorePlace,
    source: &dyn ImageSource,
    image: &ResolvedImage,
    request: &Request<'_>,
    observer: &dyn Observer,
) -> Result<ImageRecord, Error> {
    let store = place.open_or_create(None)?;
    store.check_form(ObjectForm::Packs)?;
    Ok(pull(&store, source, image, request, observer)?.record)
}

/// The images that an index names, attestations left out; a single image is the only one.
fn images_of(source: &dyn ImageSource, root: &Descriptor, bytes: &[u8]) -> Result<Vec<Descriptor>, Error> {
    let from = source.description();
    let Document::Index(index) = Document::parse(&from, Some(&root.media_type), bytes)? else {
        return Ok(vec![root.clone()]);
    };
    let images: Vec<Descriptor> =
        index.manifests.into_iter().filter(|entry| !is_attestation(entry)).collect();
    match images.len() {
        0 => Err(Error::NoImages { from }),
        number if number > IMAGES_MAX => Err(Error::TooManyImages { from, number, limit: IMAGES_MAX }),
        _ => Ok(images),
    }
}
