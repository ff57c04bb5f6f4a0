//! Which images may be used here: the rules of the trust store, asked when an image comes in and when a container is made
//! of it.
//!
//! Where the rules demand a seal, it is fetched with the manifest and the config, a few KB, and the image gets its name in
//! the store with the seal: from then on it is judged without asking anybody. No layer is fetched here.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealpack_format::BlobDigest;
use sealpack_format::reference::Reference;
use sealpack_gate::pull::{Wanted, pull};
use sealpack_gate::{Demand, Found, Gate, artifacts};
use sealpack_node::place::StorePlace;
use sealpack_node::seals;
use sealpack_node::trust_store::TrustStore;
use sealpack_oci::environment::Environment;
use sealpack_oci::platform::Platform;
use sealpack_oci::registry::ClientOptions;
use sealpack_oci::source::Source;
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::anchors::{Anchors, Requirement};
use sealpack_trust::judge::{Candidate, Refusal};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::state::Labels;

/// How long a registry's word counts while the layers of an image come in.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// How many threads may wait for what one registry says at once, and for all of them. There are 64: who has an image already is not
/// to wait for who asks registries that say nothing.
const ASKED_AT_ONCE: (usize, usize) = (24, 48);

/// How long others that use the store are waited for.
const WAIT: Duration = Duration::from_secs(60);

/// Which image a snapshot is a layer of, as CRI says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageOf {
    /// The name that it was asked for by.
    pub reference: String,
    /// The digest of the manifest for this platform.
    pub manifest: BlobDigest,
}

impl ImageOf {
    /// What labels say, if they do.
    #[must_use]
    pub fn of_labels(labels: &Labels) -> Option<Self> {
        let label = |name: &str| labels.get(&format!("containerd.io/snapshot/cri.{name}"));
        let manifest = label("manifest-digest")?.parse().ok()?;
        Some(Self { reference: label("image-ref")?.clone(), manifest })
    }
}

/// Whom to ask, and how.
#[derive(Debug)]
pub struct Rules {
    trust: TrustStore,
    client: ClientOptions,
    environment: Environment,
    /// Images that had a good seal a moment ago.
    good: Mutex<HashMap<ImageOf, Instant>>,
    asking: Asking,
}

impl Rules {
    /// Those of `trust`. Seals are asked for with the credentials and by the ways that `client` and `environment` have.
    #[must_use]
    pub fn new(trust: TrustStore, client: ClientOptions, environment: Environment) -> Self {
        Self { trust, client, environment, good: Mutex::default(), asking: Asking::default() }
    }

    /// The rules as they are now, read once for all that is asked of them in one call.
    ///
    /// # Errors
    /// Where the trust store cannot be read.
    pub(crate) fn read(&self) -> Result<Current<'_>, Error> {
        let anchors = self.trust.read(&mut |_| {}).map_err(sealpack_node::Error::from)?;
        Ok(Current { rules: self, anchors })
    }

    fn was_good(&self, image: &ImageOf) -> bool {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.retain(|_, since| since.elapsed() < REMEMBERED_FOR);
        good.contains_key(image)
    }
}

/// The rules at one moment.
#[derive(Debug)]
pub(crate) struct Current<'r> {
    rules: &'r Rules,
    anchors: Anchors,
}

impl Current<'_> {
    /// Refuses layers of an image that must not be here.
    ///
    /// # Errors
    /// [`Error::Refused`], with the reason; [`Error::Rules`] where it cannot be found out whether it has a seal.
    pub(crate) fn check_layer(&self, store: &Store, image: &ImageOf) -> Result<(), Error> {
        let Some(asked) = self.asked(store, &image.reference)? else { return Ok(()) };
        if asked.requirement < Requirement::Sealed || self.rules.was_good(image) {
            return Ok(());
        }
        if let Some(record) = sealed_record(store, image)? {
            match judge_stored(store, &record, &asked.gate) {
                Err(error) if lacks_artifacts(&error) => {}
                other => return other,
            }
        }
        let _asking = self.rules.asking.begin(&asked.reference)?;
        self.judge_elsewhere(store, image, &asked).map_err(|error| of_gate(&image.reference, *error))?;
        self.rules.good.lock().unwrap_or_else(PoisonError::into_inner).insert(image.clone(), Instant::now());
        Ok(())
    }

    /// Refuses a container of an image that must not be used. Of one that needs a seal, the seal is kept; answers with its
    /// record.
    ///
    /// # Errors
    /// As [`check_layer`](Self::check_layer).
    pub(crate) fn check_container(
        &self,
        store: &Store,
        image: &ImageOf,
    ) -> Result<Option<ImageRecord>, Error> {
        let asked = match self.here(store, image)? {
            Here::Settled(record) => return Ok(record.map(|record| *record)),
            Here::Asks(asked) => asked,
        };
        let _asking = self.rules.asking.begin(&asked.reference)?;
        self.bring(store, image, &asked).map_err(|error| of_gate(&image.reference, *error))?;
        sealed_record(store, image)
    }

    /// Whether a container of an image may be made, as far as that is known without asking a registry.
    pub(crate) fn is_good_here(&self, store: &Store, image: &ImageOf) -> bool {
        matches!(self.here(store, image), Ok(Here::Settled(_)))
    }

    /// What there is to say of a container of an image without asking a registry.
    fn here(&self, store: &Store, image: &ImageOf) -> Result<Here, Error> {
        let Some(asked) = self.asked(store, &image.reference)? else { return Ok(Here::Settled(None)) };
        if asked.requirement < Requirement::Sealed {
            return Ok(Here::Settled(None));
        }
        let Some(record) = sealed_record(store, image)? else { return Ok(Here::Asks(Box::new(asked))) };
        match judge_stored(store, &record, &asked.gate) {
            Ok(()) => Ok(Here::Settled(Some(Box::new(record)))),
            Err(error) if lacks_artifacts(&error) => Ok(Here::Asks(Box::new(asked))),
            Err(error) => Err(error),
        }
    }

    /// Whether an image of that name must have a seal.
    ///
    /// # Errors
    /// [`Error::Refused`] where it must not be used at all.
    pub(crate) fn needs_seal(&self, store: &Store, reference: &str) -> Result<bool, Error> {
        Ok(self.asked(store, reference)?.is_some_and(|asked| asked.requirement >= Requirement::Sealed))
    }

    /// Asks the registry for the image's seals, and the rules what they are worth.
    fn judge_elsewhere(
        &self,
        store: &Store,
        image: &ImageOf,
        asked: &Asked,
    ) -> Result<(), Box<sealpack_gate::Error>> {
        let source = Source::Registry(at_digest(&asked.reference, image));
        let source =
            source.open(&self.rules.client, &self.rules.environment).map_err(sealpack_gate::Error::from)?;
        let found = Found::resolve(source.as_ref(), &Platform::host()).map_err(sealpack_gate::Error::from)?;
        Ok(asked.gate.judge(source.as_ref(), &found, store.algorithm(), &mut |_| {}).map(drop)?)
    }

    /// Brings an image whose layers are there, with its seal, and gives it its name.
    fn bring(&self, store: &Store, image: &ImageOf, asked: &Asked) -> Result<(), Box<sealpack_gate::Error>> {
        let source = Source::Registry(at_digest(&asked.reference, image));
        let wanted = Wanted { name: Some(asked.reference.clone()), ..Wanted::new(source, Demand::default()) };
        let place = StorePlace::new(store.path().to_owned(), WAIT);
        let Rules { trust, client, environment, .. } = self.rules;
        Ok(pull(&wanted, &place, trust, (client, environment), &(), &mut |_| {}).map(drop)?)
    }

    /// Refuses a container of layers of which nobody said what image they are, where every image needs a seal and the store
    /// has no sealed one of them.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub(crate) fn check_nameless(&self, store: &Store, record: Option<&ImageRecord>) -> Result<(), Error> {
        if let Some(record) = record.filter(|record| record.statement.is_some()) {
            let Some(asked) = self.asked(store, &record.name)? else { return Ok(()) };
            return judge_stored(store, record, &asked.gate);
        }
        match self.anchors.rules().default_requirement() {
            Requirement::Allow => Ok(()),
            _ => Err(Error::Nameless),
        }
    }

    /// Whether there is an image that these rules want anything of.
    pub(crate) fn demand_anything(&self) -> bool {
        let rules = self.anchors.rules();
        let of_namespaces = rules.namespaces().iter().map(|namespace| namespace.require);
        of_namespaces.chain([rules.default_requirement()]).any(|require| require > Requirement::Allow)
    }

    /// What the rules say of a name; `None` for what is no name, such as the digest of an image that has none.
    fn asked(&self, store: &Store, reference: &str) -> Result<Option<Asked>, Error> {
        let Some(reference) = name(reference) else {
            return self.check_nameless(store, None).map(|()| None);
        };
        let requirement = self.anchors.rules().demand(&reference).require;
        let gate = Gate::new(self.anchors.clone(), Demand::default(), &reference, &reference, Some(store));
        let gate = gate.map_err(|error| of_gate(&reference.to_string(), error))?;
        gate.check_before().map_err(|error| of_gate(&reference.to_string(), error))?;
        Ok(Some(Asked { reference, requirement, gate }))
    }
}

/// A name of an image: CRI has each under its config's digest, too, which would be the tag of a repository `sha256`.
pub(crate) fn name(text: &str) -> Option<Reference> {
    text.parse::<BlobDigest>().is_err().then(|| text.parse().ok()).flatten()
}

/// A name, and what there is to say of it.
struct Asked {
    reference: Reference,
    requirement: Requirement,
    gate: Gate,
}

/// Who waits for registries: how many, by the registry.
#[derive(Debug, Default)]
struct Asking(Mutex<HashMap<String, usize>>);

impl Asking {
    /// Begins to ask the registry of an image, until the answer is dropped.
    fn begin(&self, image: &Reference) -> Result<Asks<'_>, Error> {
        let mut asking = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of_one, of_all) = ASKED_AT_ONCE;
        let all: usize = asking.values().sum();
        let registry = image.registry().to_owned();
        if all >= of_all || asking.get(&registry).is_some_and(|one| *one >= of_one) {
            return Err(Error::Busy { image: image.to_string(), registry });
        }
        *asking.entry(registry.clone()).or_default() += 1;
        drop(asking);
        Ok(Asks { asking: self, registry })
    }
}

/// One who waits for a registry.
#[derive(Debug)]
struct Asks<'a> {
    asking: &'a Asking,
    registry: String,
}

impl Drop for Asks<'_> {
    fn drop(&mut self) {
        let mut asking = self.asking.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(one) = asking.get_mut(&self.registry) else { return };
        *one -= 1;
        if *one == 0 {
            asking.remove(&self.registry);
        }
    }
}

/// What is known of an image here.
enum Here {
    /// It is good; with its record, if it needs a seal.
    Settled(Option<Box<ImageRecord>>),
    /// A seal is needed, which the store has not, or artifacts that it does not remember.
    Asks(Box<Asked>),
}

/// The image's record under its name, if it has a seal there.
fn sealed_record(store: &Store, image: &ImageOf) -> Result<Option<ImageRecord>, Error> {
    let Some(reference) = name(&image.reference) else { return Ok(None) };
    let record = store.image(&reference.to_string())?;
    Ok(record.filter(|record| record.manifest == image.manifest && record.statement.is_some()))
}

/// What the rules say now of a seal that the store has.
fn judge_stored(store: &Store, record: &ImageRecord, gate: &Gate) -> Result<(), Error> {
    let found = seals::checked(store, record)?;
    let candidates: Vec<Candidate> = found
        .into_iter()
        .map(|seal| Candidate {
            label: "in the store".to_owned(),
            seal: seal.map_err(|error| error.to_string()),
        })
        .collect();
    let shown = artifacts::remembered(record);
    let judgements =
        gate.judgements((&candidates, &shown), &record.manifest, record.index.as_ref(), &record.platform);
    match judgements.into_iter().find_map(|judgement| judgement.refusal) {
        Some(refusal) => Err(of_gate(&record.name, sealpack_gate::Error::Refused(refusal))),
        None => Ok(()),
    }
}

/// Whether all that is wrong with an image here is that the store remembers no artifacts that the rules want: they may want
/// them since later, and the registry may have them.
fn lacks_artifacts(error: &Error) -> bool {
    let Error::Refused { source, .. } = error else { return false };
    matches!(**source, sealpack_gate::Error::Refused(Refusal::Artifacts { .. }))
}

/// The reference with the digest, which decides.
fn at_digest(reference: &Reference, image: &ImageOf) -> Reference {
    let tag = reference.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    let text = format!("{}{tag}@{}", reference.name(), image.manifest);
    text.parse().expect("a reference with another digest is one")
}

fn of_gate(image: &str, source: sealpack_gate::Error) -> Error {
    let (image, source) = (image.to_owned(), Box::new(source));
    if source.is_verification() { Error::Refused { image, source } } else { Error::Rules { image, source } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_that_say_nothing_leave_threads_for_others() {
        let (asking, (of_one, of_all)) = (Asking::default(), ASKED_AT_ONCE);
        let image = |registry: usize| format!("r{registry}.example/a:1").parse::<Reference>().unwrap();
        let first: Vec<Asks<'_>> = (0..of_one).map(|_| asking.begin(&image(1)).unwrap()).collect();
        let refused = asking.begin(&image(1)).unwrap_err();
        assert_eq!(refused.code(), crate::Code::Unavailable);
        assert!(refused.to_string().contains("r1.example"), "{refused}");
        let others: Vec<Asks<'_>> =
            (of_one..of_all).map(|other| asking.begin(&image(other)).unwrap()).collect();
        asking.begin(&image(of_all)).unwrap_err();
        drop(first);
        asking.begin(&image(1)).unwrap();
        drop(others);
        assert_eq!(asking.0.lock().unwrap().values().sum::<usize>(), 0);
    }
}
