//! Pulls under the rules of the trust store.

use sealpack_format::Algorithm;
use sealpack_format::reference::Reference;
use sealpack_node::place::StorePlace;
use sealpack_node::trust_store::TrustStore;
use sealpack_oci::budget::Limits;
use sealpack_oci::environment::Environment;
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::platform::Platform;
use sealpack_oci::pull::{self, Observer, Pulled, Rebuilt};
use sealpack_oci::registry::ClientOptions;
use sealpack_oci::source::Source;
use sealpack_oci::transport::ImageSource;
use sealpack_store::{ObjectForm, Store};
use sealpack_trust::seal::SealedPack;

use crate::gate::{Demand, Gate, asked_for};
use crate::remark::{Remark, Remarks};
use crate::{Admission, Error, Found, claims};

/// What is to be pulled, and how.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where the image comes from.
    pub source: Source,
    /// The name that it gets; without one, what the source suggests.
    pub name: Option<Reference>,
    /// The platform of an image that is there for several.
    pub platform: Platform,
    /// How a store that is made now names its objects; SHA-256 where nothing is said.
    pub algorithm: Option<Algorithm>,
    /// How the contents are kept; where nothing is said, as those of the image that has the name, in packs where the
    /// image is sealed, and else as files.
    pub objects: Option<ObjectForm>,
    /// Whether what the image says of its composefs digests must be true.
    pub check_composefs: bool,
    /// How much the image may take.
    pub limits: Limits,
    /// What is demanded of seals.
    pub demand: Demand,
}

impl Wanted {
    /// The image for this machine, under the name that the source suggests, in the form that suits it, within the usual
    /// limits.
    #[must_use]
    pub fn new(source: Source, demand: Demand) -> Self {
        Self {
            source,
            name: None,
            platform: Platform::host(),
            algorithm: None,
            objects: None,
            check_composefs: true,
            limits: Limits::USUAL,
            demand,
        }
    }
}

/// An image that came in by the rules. Nothing else makes one: what was pulled without asking the trust store is a
/// [`Pulled`] alone.
#[derive(Debug)]
pub struct Admitted {
    pulled: Pulled,
    admission: Admission,
}

impl Admitted {
    /// What came into the store.
    #[must_use]
    pub const fn pulled(&self) -> &Pulled {
        &self.pulled
    }

    /// What the trust store said of its seals.
    #[must_use]
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }
}

/// An image that the trust store has nothing against, of which nothing but manifest, config and seals was fetched.
#[derive(Debug)]
pub struct Looked<'a> {
    wanted: &'a Wanted,
    place: &'a StorePlace,
    source: Box<dyn ImageSource>,
    name: Reference,
    /// The store, if there is one.
    present: Option<Store>,
    found: Found,
    admission: Admission,
}

/// Brings an image into the store that is in `place`, or that is made there now, if the trust store has nothing against it.
///
/// # Errors
///
/// [`Error::Refused`] where the rules say no, [`Error::Pull`] where the image is not what it says, or its layers do not
/// give what its seal says; the store has the same images as before then.
pub fn pull(
    wanted: &Wanted,
    place: &StorePlace,
    trust: &TrustStore,
    way: (&ClientOptions, &Environment),
    observer: &dyn Observer,
    remarks: Remarks<'_>,
) -> Result<Admitted, Error> {
    look(wanted, place, trust, way, remarks)?.bring(observer, remarks)
}

/// Looks at an image, and asks the trust store about it.
///
/// # Errors
///
/// As of [`pull`], as far as that can be known before a layer is fetched.
pub fn look<'a>(
    wanted: &'a Wanted,
    place: &'a StorePlace,
    trust: &TrustStore,
    (client, environment): (&ClientOptions, &Environment),
    remarks: Remarks<'_>,
) -> Result<Looked<'a>, Error> {
    let source = wanted.source.open(client, environment)?;
    let name = wanted.name.clone().or_else(|| source.default_name());
    let name = name.ok_or_else(|| Error::NoName { from: wanted.source.to_string() })?;
    if (wanted.objects, wanted.algorithm) == (Some(ObjectForm::Packs), Some(Algorithm::Sha512)) {
        return Err(Error::PacksNeedSha256);
    }
    // A store that is there is looked at before anything is asked for. A new one has its algorithm for
    // ever, and is not made for a name that turns out to be mistyped, or an image that is refused.
    let present = place.open_if_there(wanted.algorithm)?;
    if let (Some(store), Some(form)) = (&present, wanted.objects) {
        store.check_form(form)?;
    }
    let asked_for = asked_for(&wanted.source, &name);
    let anchors = trust.read(&mut |remark| remarks(remark.into())).map_err(sealpack_node::Error::from)?;
    let gate = Gate::new(anchors, wanted.demand, asked_for, &name, present.as_ref())?;
    gate.check_before()?;
    let mut found = Found::resolve_beside(present.as_ref(), source.as_ref(), &wanted.platform)?;
    let new = wanted.algorithm.unwrap_or(Algorithm::Sha256);
    let algorithm = present.as_ref().map_or(new, Store::algorithm);
    // Seals first: no answer to another question has a say in whether they are asked for.
    let admission = gate.judge(source.as_ref(), &found, algorithm, &mut *remarks)?;
    match wanted.check_composefs {
        false => found.image.composefs.clear(),
        true => claims::add_artifacts(source.as_ref(), &mut found.image, &mut *remarks)?,
    }
    admission.passed_over().iter().for_each(|seal| remarks(Remark::PassedOver(seal.clone())));
    Ok(Looked { wanted, place, source, name, present, found, admission })
}

impl Looked<'_> {
    /// The image's manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Descriptor {
        &self.found.image.manifest
    }

    /// The name that the image gets.
    #[must_use]
    pub const fn name(&self) -> &Reference {
        &self.name
    }

    /// Where the image is.
    #[must_use]
    pub fn source(&self) -> &dyn ImageSource {
        self.source.as_ref()
    }

    /// What the trust store said of its seals.
    #[must_use]
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// How many bytes the store gets of a sealed image, which says so: its metadata image, and the packs that are not
    /// there. Something more is needed while they are made.
    #[must_use]
    pub fn needed_bytes(&self) -> Option<u64> {
        let (store, statement) = (self.present.as_ref()?, self.admission.chosen()?.seal.statement());
        let metadata = statement.metadata_of(store.algorithm())?.size_bytes;
        let is_new = |pack: &&SealedPack| !store.pack_path(&pack.root_hash).exists();
        let packs: u64 = statement.packs().iter().filter(is_new).map(|pack| pack.size_bytes).sum();
        Some(packs.saturating_add(metadata))
    }

    /// Brings the image into the store.
    ///
    /// # Errors
    ///
    /// As of [`pull`].
    pub fn bring(self, observer: &dyn Observer, remarks: Remarks<'_>) -> Result<Admitted, Error> {
        let Self { wanted, place, source, name, present, found, admission } = self;
        let store = present.map_or_else(|| place.open_or_create(wanted.algorithm), Ok)?;
        let check = |rebuilt: &Rebuilt<'_>| admission.check(&store, rebuilt);
        let request = pull::Request {
            name: &name,
            pulled_as: Some(asked_for(&wanted.source, &name)),
            index: found.index(),
            objects: form(wanted, &store, &admission),
            limits: wanted.limits,
            // Whoever may write to a registry may put a claim beside an image; a good seal is by somebody with a key.
            refuse_wrong_claims: admission.chosen().is_none(),
            word: pull::Word::Of(&check),
        };
        let pulled = pull::pull(&store, source.as_ref(), &found.image, &request, observer)?;
        let wrong = pulled.composefs.iter().filter(|checked| checked.outcome.is_refusal());
        wrong.for_each(|checked| remarks(Remark::WrongClaim { why: checked.to_string() }));
        Ok(Admitted { pulled, admission })
    }
}

/// The form of the objects, where it is not that of the image before: a seal counts in packs.
fn form(wanted: &Wanted, store: &Store, admission: &Admission) -> Option<ObjectForm> {
    let packs = || admission.chosen().map(|_| ObjectForm::Packs);
    wanted.objects.or_else(|| packs().filter(|packs| store.check_form(*packs).is_ok()))
}
