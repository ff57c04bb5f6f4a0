//! What the trust store says of an image that is about to get a name.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use sealpack_format::Algorithm;
use sealpack_format::digest::BlobDigest;
use sealpack_format::reference::{ImageName, Reference};
use sealpack_oci::artifact::{self, Artifact, Limits};
use sealpack_oci::image::{ResolvedImage, resolve_root};
use sealpack_oci::platform::Platform;
use sealpack_oci::pull::{Objection, Rebuilt};
use sealpack_oci::source::Source;
use sealpack_oci::transport::ImageSource;
use sealpack_store::{Accepted, Store};
use sealpack_trust::anchors::{AnchorName, Anchors, Requirement, Revocations};
use sealpack_trust::judge::{
    Candidate, Choice, Chosen, Failure, PassedOver, Question, Refusal, Verdict, check_before, check_pin,
    choose, judge,
};
use sealpack_trust::seal::{
    ARTIFACT_TYPE, BUNDLE_MAX_BYTES, SIGNATURES_MEDIA_TYPE, STATEMENT_MAX_BYTES, STATEMENT_MEDIA_TYPE, Seal,
};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::output::Output;
use sealpack_node::seals;

/// The most seals of an image that are fetched, and how large they may be.
const LIMITS: Limits = Limits {
    artifacts: 32,
    layers: 1,
    config_bytes: STATEMENT_MAX_BYTES as u64,
    layer_bytes: BUNDLE_MAX_BYTES as u64,
    // The largest that there can be, and a good many of usual ones, which have some hundred kilobytes at most.
    all_bytes: 4 * BUNDLE_MAX_BYTES as u64,
};

/// What is demanded of seals.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GateArgs {
    /// Take only an image that is sealed as the trust store wants it, whatever the rules allow.
    #[arg(long, value_name = "WHAT", value_parser = ["sealed"])]
    require: Option<String>,
    /// Take an older image than the name stood for before, or one without a seal where there was one. What is
    /// remembered of the name stays.
    #[arg(long)]
    allow_rollback: bool,
}

impl GateArgs {
    /// For an image that is known to be an older one.
    pub(crate) const fn of_rollback() -> Self {
        Self { require: None, allow_rollback: true }
    }

    const fn requirement(&self) -> Requirement {
        // The only value that there is.
        if self.require.is_some() { Requirement::Sealed } else { Requirement::Allow }
    }
}

/// The trust store's word on images of some names.
pub(crate) struct Gate<'a> {
    anchors: Anchors,
    args: &'a GateArgs,
    /// The name that is asked for, and, if there is something to say about that one too, the one that the image gets.
    names: Vec<Asked>,
}

/// A name with what is remembered of it.
struct Asked {
    name: Reference,
    /// Of the name, and of what it is a mirror of.
    remembered: BTreeMap<ImageName, u64>,
}

/// An image as it was found.
pub(crate) struct Found {
    pub(crate) image: ResolvedImage,
    /// What the source's name means: the manifest, or an index.
    root: (BlobDigest, Vec<u8>),
}

impl Found {
    /// The image for `platform`. The source's name is looked up once: what it means later does not matter.
    pub(crate) fn resolve(
        source: &dyn ImageSource,
        platform: &Platform,
    ) -> Result<Self, sealpack_oci::Error> {
        let (descriptor, bytes) = source.root()?;
        let root = (descriptor.digest, bytes.clone());
        Ok(Self { image: resolve_root(source, descriptor, bytes, platform)?, root })
    }

    /// The index that the manifest was chosen from, with its digest.
    pub(crate) fn index(&self) -> Option<(BlobDigest, &[u8])> {
        let (digest, bytes) = &self.root;
        (*digest != self.image.manifest.digest).then_some((*digest, bytes.as_slice()))
    }

    pub(crate) fn index_digest(&self) -> Option<&BlobDigest> {
        self.index().map(|_| &self.root.0)
    }

    /// The image's platform, as records have it.
    pub(crate) fn platform(&self) -> String {
        self.image.platform.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// What is to be said of the seals of an image under a name.
pub(crate) struct Judgement {
    pub(crate) name: String,
    /// What each is called, and what it was found to be; or why it is none.
    pub(crate) seals: Vec<(String, Result<Verdict, String>)>,
    /// Why the image must not have the name.
    pub(crate) refusal: Option<Refusal>,
}

/// What came of the seals of an image.
pub(crate) struct Judged {
    /// The seal that is used.
    pub(crate) chosen: Option<Box<Chosen>>,
    /// Others that are good for a further name only.
    also: Vec<Chosen>,
    /// Those that are not.
    pub(crate) passed_over: Vec<PassedOver>,
    /// Names and epochs to be remembered.
    epochs: Vec<(ImageName, u64)>,
    /// Names that the image has no seal for, and that had none before either. The registry decides how long a pull
    /// takes: one of a sealed image may have come before it ends.
    unsealed: Vec<ImageName>,
    /// The root hashes among them are refused with a seal and without: a seal is easily left out.
    revocations: Revocations,
    /// Whether the store had a seal of the image that says something else.
    pub(crate) replaced: Cell<bool>,
}

/// The name that something is asked for by: a registry's own; contents of a file have none but the one they get.
pub(crate) fn asked_for<'a>(source: &'a Source, name: &'a Reference) -> &'a Reference {
    match source {
        Source::Registry(reference) => reference,
        _ => name,
    }
}

impl<'a> Gate<'a> {
    /// For an image that is asked for as `asked_for` and gets the name `name`.
    ///
    /// The second name counts where there is something to say about just that one: a rule for its namespace, a default
    /// that is stricter than the rule for the first, a pin, or an epoch. Otherwise whoever brings an image from elsewhere could give it a name that stands for sealed ones.
    pub(crate) fn new(
        anchors: Anchors,
        args: &'a GateArgs,
        asked_for: &Reference,
        name: &Reference,
        store: Option<&Store>,
    ) -> Result<Self, CommandError> {
        let mut names = vec![Asked::new(&anchors, asked_for, store)?];
        if name != asked_for {
            let other = Asked::new(&anchors, name, store)?;
            let rules = anchors.rules();
            let (demand, asked) = (rules.demand(&other.name), rules.demand(&names[0].name));
            // A default that demands more than the rule for where the image comes from is something to say, too.
            let counts = demand.rule.is_some() || demand.require > asked.require;
            let counts = counts || rules.pin(&other.name).is_some();
            names.extend(Some(other).filter(|other| counts || !other.remembered.is_empty()));
        }
        Ok(Self { anchors, args, names })
    }

    /// What can be said before anything is asked of anybody.
    pub(crate) fn check_before(&self) -> Result<(), CommandError> {
        for asked in &self.names {
            check_before(self.anchors.rules(), &asked.name).map_err(refused)?;
        }
        Ok(())
    }

    /// Whether an image must have a seal: a list of seals that cannot be had is then an error, not a remark.
    fn must_be_sealed(&self) -> bool {
        let demands = |asked: &Asked| {
            let required = self.anchors.rules().demand(&asked.name).require;
            let was_sealed = !asked.remembered.is_empty() && asked.name.digest().is_none();
            required >= Requirement::Sealed || was_sealed && !self.args.allow_rollback
        };
        self.args.requirement() >= Requirement::Sealed || self.names.iter().any(demands)
    }

    /// Fetches the seals of an image and judges them.
    pub(crate) fn judge(
        &self,
        source: &dyn ImageSource,
        found: &Found,
        algorithm: Algorithm,
        output: Output,
    ) -> Result<Judged, CommandError> {
        let manifest = &found.image.manifest.digest;
        for asked in &self.names {
            check_pin(self.anchors.rules(), &asked.name, manifest, found.index_digest()).map_err(refused)?;
        }
        let candidates = match candidates(source, found, algorithm) {
            Err(error) if self.must_be_sealed() => return Err(error.into()),
            Err(error) => {
                output.remark(&format!("warning: whether the image has seals is not known: {error}"));
                Vec::new()
            }
            Ok(candidates) => candidates,
        };
        let platform = found.platform();
        let mut judged = Judged {
            chosen: None,
            also: Vec::new(),
            passed_over: Vec::new(),
            epochs: Vec::new(),
            unsealed: Vec::new(),
            revocations: self.anchors.revocations().clone(),
            replaced: Cell::new(false),
        };
        for asked in &self.names {
            let question = self.question(asked, manifest, found.index_digest(), &platform);
            let choice = choose(&candidates, &self.anchors, &question);
            let choice = choice.map_err(refused)?;
            let is_free = self.args.allow_rollback || asked.name.digest().is_some();
            if matches!(choice, Choice::Unsealed(_)) && !is_free {
                let names = self.anchors.rules().names(&asked.name);
                judged.unsealed.extend(names.iter().filter_map(Reference::image_name));
            }
            judged.add(choice);
        }
        Ok(judged)
    }

    /// What is to be said of each seal, for each name.
    pub(crate) fn judgements(
        &self,
        candidates: &[Candidate],
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
                refusal: choose(candidates, &self.anchors, &question).err(),
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
        Question {
            name: &asked.name,
            manifest,
            index,
            platform,
            now: SystemTime::now(),
            remembered: asked.remembered.clone(),
            allow_rollback: self.args.allow_rollback,
            require: self.args.requirement(),
        }
    }
}

impl Asked {
    fn new(anchors: &Anchors, name: &Reference, store: Option<&Store>) -> Result<Self, CommandError> {
        let mut remembered = BTreeMap::new();
        for known in anchors.rules().names(name).iter().filter_map(Reference::image_name) {
            let epoch = store.map(|store| store.epoch(known.as_str())).transpose()?.flatten();
            remembered.extend(epoch.map(|epoch| (known, epoch.epoch)));
        }
        Ok(Self { name: name.clone(), remembered })
    }
}

impl Judged {
    /// Takes in what is said for another name. The seal for the first one is the one that is kept.
    fn add(&mut self, choice: Choice) {
        let passed_over = match choice {
            Choice::Unsealed(passed_over) => passed_over,
            Choice::Sealed(mut chosen) => {
                self.epochs.extend(chosen.remember.clone());
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

    /// Says which seals are not used, and why.
    pub(crate) fn remark(&self, output: Output) {
        for seal in &self.passed_over {
            output.remark(&seal.to_string());
        }
    }

    /// Compares what was made of the layers with what the seal says, and answers with what is to be kept.
    pub(crate) fn check(&self, store: &Store, rebuilt: &Rebuilt<'_>) -> Result<Accepted, Objection> {
        self.check_revocations(rebuilt)?;
        let unsealed = self.unsealed.iter().map(ToString::to_string).collect();
        let Some(chosen) = &self.chosen else { return Ok(Accepted { unsealed, ..Accepted::default() }) };
        let record = rebuilt.record;
        let devices = seals::devices(record, rebuilt.root_hash, &seals::grouped(rebuilt.packs));
        for chosen in self.chosen.iter().map(AsRef::as_ref).chain(&self.also) {
            chosen.seal.statement().check(&devices).map_err(|mismatch| Objection {
                message: format!(
                    "the seal {} is not what the layers of {} give: {mismatch}",
                    chosen.label, record.name
                ),
                hint: Some(
                    "whoever signed it has sealed other bytes, or with another version: have the image sealed again"
                        .to_owned(),
                ),
            })?;
        }
        let before = store.read_seal(&record.manifest).ok().flatten();
        let seal = merged(&chosen.seal, before.as_deref(), &self.replaced);
        let epochs = self.epochs.iter().map(|(name, epoch)| (name.to_string(), *epoch)).collect();
        Ok(Accepted { seal: Some(seal.to_json()), epochs, unsealed })
    }
}

impl Judged {
    /// That nothing of the image was revoked.
    fn check_revocations(&self, rebuilt: &Rebuilt<'_>) -> Result<(), Objection> {
        let packs = rebuilt.packs.iter().map(|pack| pack.pack.root_hash);
        let mut root_hashes = [rebuilt.root_hash].into_iter().chain(packs);
        let Some(revoked) = root_hashes.find_map(|hash| self.revocations.root_hash(&hash)) else {
            return Ok(());
        };
        let failure = Failure::RevokedRootHash {
            root_hash: revoked.root_hash,
            image: revoked.image.clone(),
            reason: revoked.reason.clone(),
        };
        Err(Objection {
            message: format!("{} must not be pulled: {failure}", rebuilt.record.name),
            hint: Some("revoked.toml in the trust store says so".to_owned()),
        })
    }
}

/// `seal` with the signatures that the store has over the same statement.
fn merged(seal: &Seal, before: Option<&[u8]>, replaced: &Cell<bool>) -> Seal {
    let Some(before) = before.and_then(|json| Seal::parse(json).ok()) else { return seal.clone() };
    if before.statement() != seal.statement() {
        replaced.set(true);
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

/// What the source has where the seals of an image are.
pub(crate) fn candidates(
    source: &dyn ImageSource,
    found: &Found,
    algorithm: Algorithm,
) -> Result<Vec<Candidate>, sealpack_oci::Error> {
    let listed = artifact::find(source, &found.image.manifest, ARTIFACT_TYPE, &LIMITS)?;
    let whole = listed.artifacts.into_iter().map(|(digest, artifact)| Candidate {
        label: digest.to_string(),
        seal: seal_in(&artifact).and_then(|seal| usable(seal, algorithm)),
    });
    let left_out = listed
        .left_out
        .into_iter()
        .map(|left_out| Candidate { label: left_out.digest.to_string(), seal: Err(left_out.problem) });
    Ok(whole.chain(left_out).collect())
}

fn seal_in(artifact: &Artifact) -> Result<Seal, String> {
    if artifact.config.media_type != STATEMENT_MEDIA_TYPE {
        return Err(format!("its config is {:?}, no statement", artifact.config.media_type));
    }
    match artifact.layers.as_slice() {
        [bundle] if bundle.media_type == SIGNATURES_MEDIA_TYPE => {
            Seal::from_parts(&artifact.config.bytes, &bundle.bytes).map_err(|error| error.to_string())
        }
        _ => Err("it has not one layer, the bundle of signatures".to_owned()),
    }
}

/// Seals of metadata images that the store does not make say nothing about what it makes.
fn usable(seal: Seal, algorithm: Algorithm) -> Result<Seal, String> {
    match seal.statement().metadata_of(algorithm) {
        Some(_) => Ok(seal),
        None => Err(format!("it is not for stores that name objects by {algorithm}")),
    }
}

/// A refusal of the trust store's, with what can be done about it.
pub(crate) fn refused(refusal: Refusal) -> CommandError {
    let hint = match &refusal {
        Refusal::Stripped { .. } => "--allow-rollback takes it all the same, on purpose",
        Refusal::NotSealed { seals, .. } if seals.iter().any(is_older) => {
            "--allow-rollback takes an older one, on purpose"
        }
        Refusal::NotSealed { seals, .. } if seals.is_empty() => {
            "`sealpack seal --push` publishes a seal beside the image, and `sealpack copy` takes seals along; rules.toml in \
             the trust store says which names need one"
        }
        Refusal::NotSealed { seals, .. } if seals.iter().any(is_for_other_names) => {
            "`sealpack seal --name` seals an image for more names; [mirrors] in rules.toml has seals count elsewhere"
        }
        Refusal::NotSealed { .. } => {
            "`sealpack trust list` shows whose seals count; rules.toml in the trust store says which names need one"
        }
        _ => "rules.toml in the trust store says so",
    };
    CommandError::refused(&refusal).hint(hint)
}

/// Whether a seal is passed over for its epoch alone.
fn is_older(seal: &PassedOver) -> bool {
    seal.reasons.iter().all(|reason| reason.contains("this is an older image"))
}

/// Whether a seal is passed over for its names alone.
fn is_for_other_names(seal: &PassedOver) -> bool {
    seal.reasons.iter().all(|reason| reason.starts_with("it may be used for"))
}

/// A seal that is used, for machines.
pub(crate) fn json_of(chosen: &Chosen) -> Value {
    let Chosen { seal, label, verdict, .. } = chosen;
    json!({
        "digest": label,
        "name": verdict.name.as_ref().map(ToString::to_string),
        "epoch": verdict.epoch,
        "created": seal.statement().created().to_string(),
        "signers": names(&verdict.statement_signers),
        "root_hashes": verdict.root_hash_signers.iter().map(|(root_hash, signers)| json!({
            "root_hash": root_hash,
            "signers": names(signers),
        })).collect::<Vec<_>>(),
        "remembered": chosen.remember.is_some(),
    })
}

/// The same for people.
pub(crate) fn text_of(chosen: &Chosen) -> String {
    let Verdict { name, epoch, statement_signers, root_hash_signers, .. } = &chosen.verdict;
    let name = name.as_ref().map(ToString::to_string).unwrap_or_default();
    let packs: BTreeSet<String> = root_hash_signers.iter().flat_map(|(_, signers)| names(signers)).collect();
    format!(
        "  sealed by       {}, as {name}, epoch {epoch}\n  root hashes     {}, signed by {}\n",
        names(statement_signers).join(", "),
        root_hash_signers.len(),
        packs.into_iter().collect::<Vec<_>>().join(", ")
    )
}

fn names(names: &[AnchorName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
