//! What the trust store says of an image that is about to get a name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use sealpack_format::Algorithm;
use sealpack_format::digest::BlobDigest;
use sealpack_format::reference::{ImageName, Reference};
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::source::Source;
use sealpack_oci::transport::ImageSource;
use sealpack_store::{Epoch, Store};
use sealpack_trust::anchors::{Anchors, Requirement};
use sealpack_trust::judge::{
    Candidate, Choice, Failure, Question, Refusal, Remembered, Shown, Verdict, artifacts_wanted,
    check_artifacts, check_before, check_pin, choose, judge,
};

use crate::admission::Admission;
use crate::found::Found;
use crate::remark::{Remark, Remarks};
use crate::seals::candidates;
use crate::{Error, artifacts};

/// What is demanded of seals, besides what the rules of the trust store say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demand {
    /// Only an image with a seal as the trust store wants it, whatever the rules allow.
    pub sealed: bool,
    /// An older image too than the name stood for before, or one without a seal where there was one.
    pub allow_rollback: bool,
}

impl Demand {
    /// For an image that is known to be an older one.
    pub const ROLLBACK: Self = Self { sealed: false, allow_rollback: true };

    const fn requirement(self) -> Requirement {
        if self.sealed { Requirement::Sealed } else { Requirement::Allow }
    }
}

/// What is to be said of the seals of an image under a name.
#[derive(Debug)]
#[non_exhaustive]
pub struct Judgement {
    /// The name.
    pub name: String,
    /// What each is called, and what it was found to be; or why it is none.
    pub seals: Vec<(String, Result<Verdict, String>)>,
    /// Why the image must not have the name.
    pub refusal: Option<Refusal>,
}

/// The name that something is asked for by: a registry's own; contents of a file have none but the one they get.
#[must_use]
pub fn asked_for<'a>(source: &'a Source, name: &'a Reference) -> &'a Reference {
    match source {
        Source::Registry(reference) => reference,
        _ => name,
    }
}

/// The trust store's word on images of some names.
#[derive(Debug)]
pub struct Gate {
    anchors: Anchors,
    demand: Demand,
    /// The name that is asked for, and, if there is something to say about that one too, the one that the image gets.
    names: Vec<Asked>,
    /// The name that the image gets, where that can mean another image later.
    target: Option<ImageName>,
    /// What is remembered of it, where the seals were for other names.
    given: Option<(ImageName, Epoch)>,
}

/// A name with what is remembered of it.
#[derive(Debug)]
struct Asked {
    name: Reference,
    /// Of the name, and of what it is a mirror of.
    remembered: BTreeMap<ImageName, Epoch>,
}

impl Gate {
    /// For an image that is asked for as `asked_for` and gets the name `name`.
    ///
    /// The second name counts where there is something to say about just that one: a rule for its namespace, a default
    /// that is stricter than the rule for the first, a pin, or the epoch of a seal for it. Otherwise whoever brings an image from
    /// elsewhere could give it a name that stands for sealed ones. Where the seals of its images were for other names, a seal for
    /// the name that is asked for will do, if it is no older.
    ///
    /// # Errors
    ///
    /// Of the store, where it does not know what it remembers of a name.
    pub fn new(
        anchors: Anchors,
        demand: Demand,
        asked_for: &Reference,
        name: &Reference,
        store: Option<&Store>,
    ) -> Result<Self, Error> {
        let mut names = vec![Asked::new(&anchors, asked_for, store)?];
        let target = name.image_name().filter(|_| name.digest().is_none());
        let mut given = None;
        if name != asked_for {
            let other = Asked::new(&anchors, name, store)?;
            let rules = anchors.rules();
            let (demand, asked) = (rules.demand(&other.name), rules.demand(&names[0].name));
            // A default that demands more than the rule for where the image comes from is something to say, too.
            let counts = demand.rule.is_some() || demand.require > asked.require;
            let counts = counts || rules.pin(&other.name).is_some();
            let has_own = other.remembered.values().any(|known| !known.given);
            match counts || has_own {
                true => names.push(other),
                false => {
                    let mut remembered = other.remembered;
                    given = target.as_ref().and_then(|name| remembered.remove_entry(name));
                }
            }
        }
        Ok(Self { anchors, demand, names, target, given })
    }

    /// What can be said before anything is asked of anybody.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub fn check_before(&self) -> Result<(), Error> {
        for asked in &self.names {
            check_before(self.anchors.rules(), &asked.name).map_err(Error::Refused)?;
        }
        Ok(())
    }

    /// Whether an image must have a seal: a list of seals that cannot be had is then an error, not a remark.
    fn must_be_sealed(&self) -> bool {
        let demands = |asked: &Asked| {
            let required = self.anchors.rules().demand(&asked.name).require;
            let was_sealed = !asked.remembered.is_empty() && asked.name.digest().is_none();
            required >= Requirement::Sealed || was_sealed && !self.demand.allow_rollback
        };
        let is_given = self.given.is_some() && !self.demand.allow_rollback;
        is_given || self.demand.requirement() >= Requirement::Sealed || self.names.iter().any(demands)
    }

    /// Fetches the seals of an image and judges them.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]; that of the way to the seals, where the image needs one.
    pub fn judge(
        &self,
        source: &dyn ImageSource,
        found: &Found,
        algorithm: Algorithm,
        remarks: Remarks<'_>,
    ) -> Result<Admission, Error> {
        let manifest = &found.image.manifest.digest;
        for asked in &self.names {
            check_pin(self.anchors.rules(), &asked.name, manifest, found.index_digest())
                .map_err(Error::Refused)?;
        }
        let candidates = match candidates(source, found, algorithm) {
            Err(error) if self.must_be_sealed() => return Err(error.into()),
            Err(error) => {
                remarks(Remark::SealsUnknown { why: error.to_string() });
                Vec::new()
            }
            Ok(candidates) => candidates,
        };
        let platform = found.platform();
        let mut admission = Admission::new(self.anchors.revocations().clone(), self.demand.allow_rollback);
        for asked in &self.names {
            let question = self.question(asked, manifest, found.index_digest(), &platform);
            let choice = choose(&candidates, &self.anchors, &question);
            let choice = choice.map_err(Error::Refused)?;
            self.refuse_revoked(&candidates, &question)?;
            let is_free = self.demand.allow_rollback || asked.name.digest().is_some();
            if matches!(choice, Choice::Unsealed(_)) && !is_free {
                let names = self.anchors.rules().names(&asked.name);
                admission.leave_unsealed(names.iter().filter_map(Reference::image_name));
            }
            admission.add(choice);
        }
        self.target.iter().for_each(|name| admission.give(name));
        // Last, since there may be much to fetch of an image that is refused anyway.
        let shown = self.shown(source, &found.image.manifest)?;
        for asked in &self.names {
            check_artifacts(&self.anchors, &asked.name, &shown).map_err(Error::Refused)?;
        }
        admission.remember(artifacts::to_be_remembered(&shown, &self.artifacts_wanted()));
        Ok(admission)
    }

    /// The types of attestations that the rules want of an image of these names.
    fn artifacts_wanted(&self) -> BTreeSet<&str> {
        self.names.iter().flat_map(|asked| artifacts_wanted(&self.anchors, &asked.name)).collect()
    }

    /// The attestations that `source` has beside an image. Nothing is asked for where the rules want none.
    ///
    /// # Errors
    ///
    /// Of the way to them.
    pub fn shown(&self, source: &dyn ImageSource, manifest: &Descriptor) -> Result<Shown, Error> {
        if self.artifacts_wanted().is_empty() {
            return Ok(Shown::default());
        }
        let is_enough = |shown: &Shown| {
            self.names.iter().all(|asked| check_artifacts(&self.anchors, &asked.name, shown).is_ok())
        };
        Ok(artifacts::shown(source, manifest, &self.anchors, is_enough)?)
    }

    /// Refuses an image of which somebody whose signatures count has stated that it has what was revoked since. Who else
    /// says so is nobody; what the layers give is looked at later.
    fn refuse_revoked(&self, candidates: &[Candidate], question: &Question<'_>) -> Result<(), Error> {
        let seals = candidates.iter().filter_map(|it| Some((&it.label, it.seal.as_ref().ok()?)));
        for (label, seal) in seals.filter(|(_, seal)| seal.statement().manifest() == question.manifest) {
            let verdict = judge(seal, &self.anchors, question);
            let revoked =
                verdict.failures.into_iter().find(|it| matches!(it, Failure::RevokedRootHash { .. }));
            if let Some(failure) = revoked.filter(|_| !verdict.statement_signers.is_empty()) {
                return Err(Error::SealRevoked { label: label.clone(), failure });
            }
        }
        Ok(())
    }

    /// What is to be said of each seal, for each name, of an image with these attestations.
    #[must_use]
    pub fn judgements(
        &self,
        (candidates, shown): (&[Candidate], &Shown),
        manifest: &BlobDigest,
        index: Option<&BlobDigest>,
        platform: &str,
    ) -> Vec<Judgement> {
        let of_name = |asked: &Asked| {
            let question = self.question(asked, manifest, index, platform);
            let of_seal = |candidate: &Candidate| {
                let verdict = candidate.seal.as_ref().map(|seal| judge(seal, &self.anchors, &question));
                (candidate.label.clone(), verdict.map_err(Clone::clone))
            };
            Judgement {
                name: asked.name.to_string(),
                seals: candidates.iter().map(of_seal).collect(),
                refusal: match choose(candidates, &self.anchors, &question) {
                    Ok(_) => check_artifacts(&self.anchors, &asked.name, shown).err(),
                    Err(refusal) => Some(refusal),
                },
            }
        };
        self.names.iter().map(of_name).collect()
    }

    fn question<'q>(
        &self,
        asked: &'q Asked,
        manifest: &'q BlobDigest,
        index: Option<&'q BlobDigest>,
        platform: &'q str,
    ) -> Question<'q> {
        let is_first = self.names.first().is_some_and(|first| std::ptr::eq(first, asked));
        let given = self.given.iter().filter(|_| is_first).map(|(name, known)| (name.clone(), known)).next();
        let known = |(name, known): (ImageName, &Epoch)| (name, remembered(known, platform));
        Question {
            name: &asked.name,
            manifest,
            index,
            platform,
            now: SystemTime::now(),
            remembered: asked.remembered.iter().map(|(name, epoch)| known((name.clone(), epoch))).collect(),
            given: given.map(known),
            allow_rollback: self.demand.allow_rollback,
            require: self.demand.requirement(),
        }
    }
}

/// What counts of what is remembered of a name, for images of that platform.
fn remembered(known: &Epoch, platform: &str) -> Remembered {
    let image = known.platforms.get(platform);
    Remembered { epoch: known.epoch, image: image.map(|image| (image.manifest, image.created_unix_seconds)) }
}

impl Asked {
    fn new(anchors: &Anchors, name: &Reference, store: Option<&Store>) -> Result<Self, Error> {
        let mut remembered = BTreeMap::new();
        for known in anchors.rules().names(name).iter().filter_map(Reference::image_name) {
            let epoch = store.map(|store| store.epoch(known.as_str())).transpose()?.flatten();
            remembered.extend(epoch.map(|epoch| (known, epoch)));
        }
        Ok(Self { name: name.clone(), remembered })
    }
}
