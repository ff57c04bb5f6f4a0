//! What came of the seals of an image, and the last word on what its layers gave.

use std::cell::Cell;

use sealpack_format::reference::ImageName;
use sealpack_node::{revoked, seals};
use sealpack_oci::pull::{Objection, Rebuilt};
use sealpack_store::{Accepted, AcceptedEpoch, ImageRecord, SeenAttestation, Store};
use sealpack_trust::anchors::Revocations;
use sealpack_trust::judge::{Choice, Chosen, Failure, PassedOver};
use sealpack_trust::seal::{Mismatch, Seal};

/// Why an image is not admitted once its layers are known.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// The layers give something else than the seal says.
    #[error("the seal {label} is not what the layers of {name} give: {source}")]
    Seal {
        /// The seal: its digest.
        label: String,
        /// The image.
        name: String,
        /// How that shows.
        source: Mismatch,
    },
    /// A root hash of the image was revoked.
    #[error("{name} must not be pulled: {failure}")]
    Revoked {
        /// The image.
        name: String,
        /// Which, and why.
        failure: Failure,
    },
    /// It cannot be found out whether something in it was revoked.
    #[error(transparent)]
    Store(#[from] sealpack_store::Error),
}

/// What came of the seals of an image.
#[derive(Debug)]
pub struct Admission {
    /// The seal that is used.
    chosen: Option<Box<Chosen>>,
    /// Others that are good for a further name only.
    also: Vec<Chosen>,
    /// Those that are not.
    passed_over: Vec<PassedOver>,
    /// What is to be remembered.
    epochs: Vec<AcceptedEpoch>,
    /// Whether what is remembered already does not matter.
    agreed: bool,
    /// Names that the image has no seal for, and that had none before either. The registry decides how long a pull
    /// takes: one of a sealed image may have come before it ends.
    unsealed: Vec<ImageName>,
    /// What others say of the image.
    attestations: Vec<SeenAttestation>,
    /// The root hashes among them are refused with a seal and without: a seal is easily left out.
    revocations: Revocations,
    /// Whether the store had a seal of the image that says something else.
    replaced: Cell<bool>,
}

impl Admission {
    /// That nothing is known of seals yet.
    pub(crate) const fn new(revocations: Revocations, agreed: bool) -> Self {
        Self {
            chosen: None,
            also: Vec::new(),
            passed_over: Vec::new(),
            epochs: Vec::new(),
            agreed,
            unsealed: Vec::new(),
            attestations: Vec::new(),
            revocations,
            replaced: Cell::new(false),
        }
    }

    /// The seal that is used, if the image has one that can be.
    #[must_use]
    pub fn chosen(&self) -> Option<&Chosen> {
        self.chosen.as_deref()
    }

    /// The seals that are not used, with the reasons.
    #[must_use]
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// Whether the store had a seal of the image that said something else.
    #[must_use]
    pub const fn has_replaced_seal(&self) -> bool {
        self.replaced.get()
    }

    /// Lets the image have these names without a seal, if no seal of them has come before it ends.
    pub(crate) fn leave_unsealed(&mut self, names: impl Iterator<Item = ImageName>) {
        self.unsealed.extend(names);
    }

    /// Has what others say of the image remembered with it.
    pub(crate) fn remember(&mut self, attestations: Vec<SeenAttestation>) {
        self.attestations = attestations;
    }

    /// Takes in what is said for another name. The seal for the first one is the one that is kept.
    pub(crate) fn add(&mut self, choice: Choice) {
        let passed_over = match choice {
            Choice::Unsealed(passed_over) => passed_over,
            Choice::Sealed(mut chosen) => {
                if let Some((name, _)) = &chosen.remember {
                    self.epochs.push(epoch_of(&chosen.seal, name));
                }
                let passed_over = std::mem::take(&mut chosen.passed_over);
                match &self.chosen {
                    None => self.chosen = Some(chosen),
                    Some(first) if first.label == chosen.label => {}
                    Some(_) => self.also.push(*chosen),
                }
                passed_over
            }
        };
        if self.passed_over.is_empty() {
            self.passed_over = passed_over;
        }
    }

    /// Takes in the name that the image gets, where that is another than those that its seal is for, such as a mirror's: that it
    /// has an image with a seal is remembered of that one too.
    pub(crate) fn give(&mut self, name: &ImageName) {
        match &self.chosen {
            Some(_) if self.epochs.iter().any(|known| known.name == name.as_str()) => {}
            Some(chosen) => self.epochs.push(epoch_of(&chosen.seal, name)),
            None if self.agreed => {}
            None => self.unsealed.push(name.clone()),
        }
    }

    /// Compares what was made of the layers with what the seal says, and answers with what is to be kept.
    pub(crate) fn check(&self, store: &Store, rebuilt: &Rebuilt<'_>) -> Result<Accepted, Objection> {
        self.check_revocations(store, rebuilt)?;
        let unsealed = self.unsealed.iter().map(ToString::to_string).collect();
        let (epochs, attestations) = (self.epochs.clone(), self.attestations.clone());
        let accepted = Accepted { seal: None, attestations, epochs, unsealed, agreed: self.agreed };
        let Some(chosen) = &self.chosen else { return Ok(accepted) };
        let record = rebuilt.record;
        let root_hash = rebuilt.root_hash().map_err(|error| Objection::new(NotAdmitted::Store(error)))?;
        let devices = seals::devices(record, root_hash, &seals::grouped(rebuilt.packs));
        for chosen in self.chosen.iter().map(AsRef::as_ref).chain(&self.also) {
            chosen.seal.statement().check(&devices).map_err(|source| {
                let (label, name) = (chosen.label.clone(), record.name.clone());
                Objection::new(NotAdmitted::Seal { label, name, source })
            })?;
        }
        let seal = seals::to_be_kept(&self.merged(store, record, &chosen.seal));
        Ok(Accepted { seal: Some(seal), ..accepted })
    }
}

impl Admission {
    /// `seal` with the signatures that the store has over the same statement, whichever name has them.
    fn merged(&self, store: &Store, record: &ImageRecord, seal: &Seal) -> Seal {
        let statement = seals::to_be_kept(seal).statement;
        let now = store.image(&record.name).ok().flatten().filter(|now| now.manifest == record.manifest);
        self.replaced.set(now.and_then(|now| now.statement).is_some_and(|now| now != statement));
        let before = store.read_seal_of(&record.manifest, &statement).ok().flatten();
        let Some(before) = before.and_then(|json| Seal::parse(&json).ok()) else { return seal.clone() };
        if before.statement() != seal.statement() {
            return seal.clone();
        }
        let mut both = before;
        let signed = seal.statement().to_be_signed().map(|(signed, _)| signed);
        let theirs =
            signed.flat_map(|signed| seal.signatures_of(signed).iter().map(move |der| (signed, der.clone())));
        // More than there may be: those that came now count.
        match both.attach(theirs) {
            Ok(()) => both,
            Err(_) => seal.clone(),
        }
    }

    /// That nothing of the image was revoked.
    fn check_revocations(&self, store: &Store, rebuilt: &Rebuilt<'_>) -> Result<(), Objection> {
        let found = revoked::find(store, rebuilt.record, || rebuilt.root_hash(), &self.revocations);
        match found.map_err(|error| Objection::new(NotAdmitted::Store(error)))? {
            None => Ok(()),
            Some(failure) => {
                Err(Objection::new(NotAdmitted::Revoked { name: rebuilt.record.name.clone(), failure }))
            }
        }
    }
}

/// What is to be remembered of a seal for a name.
fn epoch_of(seal: &Seal, name: &ImageName) -> AcceptedEpoch {
    let statement = seal.statement();
    AcceptedEpoch {
        name: name.to_string(),
        epoch: statement.epoch(),
        created_unix_seconds: statement.created().unix_seconds(),
        given: !statement.names().contains(name),
    }
}
