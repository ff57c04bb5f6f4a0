//! An upgrade, step by step: everything is judged before anything is written.

use std::collections::BTreeSet;

use sealpack_format::reference::Reference;
use sealpack_gate::pull::{Admitted, Looked, Wanted, look};
use sealpack_gate::{Demand, uki, usable};
use sealpack_host::esp::{Boots, Entry, Esp, Facts};
use sealpack_host::status::RunningImage;
use sealpack_host::uki::UkiFile;
use sealpack_host::upgrade::{
    Allowed, Candidate, Chosen, Host, Plan, Staged, State, Target, UpgradeError, choose, keep_names,
    let_go_names, to,
};
use sealpack_node::place::StorePlace;
use sealpack_node::seals;
use sealpack_oci::environment::Environment;
use sealpack_oci::source::Source;
use sealpack_store::{ImageRecord, Store};

use super::place::{HostPlace, images};
use crate::args::RegistryArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::progress;
use crate::show::upgrade::{Done, Image, shown};

/// What is left of a command that somebody has ended.
const STAYS: &str = "what was fetched is kept, and what was started before is started still; the same command goes on \
                     from there";

/// What somebody wants of an upgrade.
pub(super) struct Order<'a> {
    /// Where the image is, if that is not where the one that runs came from.
    pub(super) source: Option<Source>,
    pub(super) registry: &'a RegistryArgs,
    pub(super) allowed: Allowed,
    /// Also an image that was sealed before the one that its name had.
    pub(super) allow_rollback: bool,
    /// Also what did not come up, or was gone back from.
    pub(super) again: bool,
    /// Bring it, and write nothing to the ESP.
    pub(super) download_only: bool,
}

/// A host that is looked at, and that nobody else changes meanwhile.
pub(super) struct Desk<'a> {
    context: &'a Context,
    place: HostPlace,
    held: Staged,
    esp: Esp,
    facts: Facts,
    boots: Boots,
    store_place: StorePlace,
    store: Store,
    host: Host,
}

impl<'a> Desk<'a> {
    /// For who brings something: an administrator may say no, and the ESP has to be writable.
    pub(super) fn open_to_bring(context: &'a Context, place: HostPlace) -> Result<Self, CommandError> {
        place.check_allowed()?;
        let desk = Self::open(context, place)?;
        desk.esp.check_writable().map_err(UpgradeError::from)?;
        Ok(desk)
    }

    pub(super) fn open(context: &'a Context, place: HostPlace) -> Result<Self, CommandError> {
        // Before anything is said of partitions that no other machine has.
        place.check_sealed()?;
        let esp = place.esp()?;
        let held = place.hold()?;
        let facts = place.facts(&esp)?;
        let boots = Boots::of(esp.entries().map_err(UpgradeError::from)?, &facts);
        let store_place = place.store(context);
        let store = store_place.open()?;
        let host = place.host(&boots, &store)?;
        Ok(Self { context, place, held, esp, facts, boots, store_place, store, host })
    }

    pub(super) const fn parts(&self) -> (&Boots, &Facts) {
        (&self.boots, &self.facts)
    }

    /// Brings an image with its UKI, and has it start next, or wait.
    pub(super) fn bring(&self, order: Order<'_>) -> CommandResult {
        self.context.output.when_interrupted(STAYS);
        self.place.check_clock(&self.host, &self.store)?;
        let source = order.source.map_or_else(|| self.usual_source(), Ok)?;
        let environment = Environment::of_process(std::env::var_os);
        let client = order.registry.client_options(&source, self.context.output);
        let demand = Demand { sealed: true, allow_rollback: order.allow_rollback };
        let wanted = Wanted::new(source, demand);
        let trust = self.context.trust_store();
        let mut remarks = self.context.output.gate_remarks();
        let looked = look(&wanted, &self.store_place, &trust, (&client, &environment), &mut remarks)?;
        let target = self.target(&looked)?;
        let found = uki::find(looked.source(), looked.manifest(), &mut remarks)?;
        let found =
            found.into_iter().map(|uki| Candidate { label: uki.digest.to_string(), bytes: uki.bytes });
        let chosen =
            choose(found.collect(), &target, &self.host, &order.allowed).map_err(UpgradeError::from)?;
        let plan = to(&self.boots, &self.facts, &chosen, order.again)?;
        let image =
            Image { name: target.name.clone(), manifest: looked.manifest().digest, epoch: target.epoch };
        // One whose image somebody has removed is brought again.
        let is_here = RunningImage::record(&self.store, &target.image)?.is_some();
        if plan.state != State::ToDo && is_here {
            return self.show(&image, &chosen, &plan, None, None);
        }
        self.check_room(&looked, &plan, &chosen, order.download_only)?;
        self.remark_on(&chosen);
        // What a UKI starts keeps a name, whatever the new image takes.
        self.keep(&BTreeSet::from([target.image]))?;
        let observer = progress::observer(self.context.output);
        let admitted = looked.bring(observer.as_ref(), &mut remarks)?;
        drop(observer);
        self.keep(&BTreeSet::from([target.image]))?;
        if order.download_only {
            self.held.put(&chosen.bytes)?;
            return self.show(&image, &chosen, &plan, Some(&admitted), None);
        }
        self.write(&image, &chosen, &plan, Some(&admitted))
    }

    /// Has what waits start next.
    pub(super) fn apply(&self, allowed: &Allowed, again: bool) -> CommandResult {
        let bytes = self.held.get()?;
        let uki =
            UkiFile::parse(&bytes).map_err(|error| self.held.damaged(&format_args!("is none: {error}")))?;
        let started = uki.command_line.boot().image;
        let record = RunningImage::record(&self.store, &started)?;
        let record =
            record.ok_or_else(|| self.held.damaged(&"starts an image that is no longer in the store"))?;
        if !self.is_whole(&record)? {
            return Err(self.held.damaged(&"starts an image that the store has not whole").into());
        }
        let mut remarks = self.context.output.gate_remarks();
        usable::check(&self.store, &record, true, &self.context.trust_store(), &mut remarks)?;
        let seal = seals::read(&self.store, &record)?;
        let seal = seal.ok_or_else(|| self.held.damaged(&"starts an image without a seal"))?;
        seals::check(&self.store, &record, &seal)?;
        let target = target_of(&record.name, self.store.algorithm(), seal.statement())?;
        let candidate = Candidate { label: "what was brought before".to_owned(), bytes };
        let chosen = choose(vec![candidate], &target, &self.host, allowed).map_err(UpgradeError::from)?;
        let plan = to(&self.boots, &self.facts, &chosen, again)?;
        let image = Image { name: record.name.clone(), manifest: record.manifest, epoch: target.epoch };
        if plan.state != State::ToDo {
            self.held.clear()?;
            return self.show(&image, &chosen, &plan, None, None);
        }
        plan.check_room(&self.esp, &chosen)?;
        self.remark_on(&chosen);
        self.write(&image, &chosen, &plan, None)
    }

    /// That the store has the image that a UKI starts, under a name.
    pub(super) fn check_is_there(&self, entry: &Entry) -> CommandResult {
        for image in images([entry]) {
            let unknown = keep_names(&self.store, &BTreeSet::from([image]))?;
            let record = RunningImage::record(&self.store, &image)?.filter(|_| unknown.is_empty());
            if !record.map(|record| self.is_whole(&record)).transpose()?.unwrap_or(false) {
                let (file, image) = (entry.file_name.clone(), image.to_string());
                return Err(UpgradeError::FallbackMissing { file, image }.into());
            }
        }
        Ok(())
    }

    /// Whether the store has all of an image.
    fn is_whole(&self, record: &ImageRecord) -> Result<bool, CommandError> {
        let packs = seals::packs_of(&self.store, record)?;
        let is_there = |pack: &seals::ImagePack| self.store.pack_path(&pack.sealed.root_hash).exists();
        let is_metadata_there = self.store.metadata_image_path(&record.metadata_image).exists();
        Ok(is_metadata_there && packs.iter().all(is_there))
    }

    /// Does what needs no new UKI.
    pub(super) fn change(&self, plan: &Plan) -> CommandResult {
        plan.apply(&self.esp, None, &self.place.variables())?;
        Ok(())
    }

    fn write(
        &self,
        image: &Image,
        chosen: &Chosen,
        plan: &Plan,
        admitted: Option<&Admitted>,
    ) -> CommandResult {
        let file = plan.apply(&self.esp, Some(chosen), &self.place.variables())?;
        self.held.clear()?;
        let needed: BTreeSet<_> = plan.kept.iter().map(|(_, boot)| boot.image).chain(self.booted()).collect();
        let_go_names(&self.store, &needed)?;
        self.show(image, chosen, plan, admitted, file)
    }

    /// What the host runs.
    fn booted(&self) -> Option<sealpack_format::ObjectId> {
        self.facts.booted.as_ref().map(|boot| boot.image)
    }

    /// Gives each image that a UKI starts, and these, a name that stays.
    fn keep(&self, more: &BTreeSet<sealpack_format::ObjectId>) -> CommandResult {
        let mut all = images(&self.boots.entries);
        all.extend(more.iter().copied().chain(self.booted()));
        keep_names(&self.store, &all)?;
        Ok(())
    }

    fn check_room(
        &self,
        looked: &Looked<'_>,
        plan: &Plan,
        chosen: &Chosen,
        is_staged: bool,
    ) -> CommandResult {
        plan.check_room(&self.esp, chosen)?;
        let staged = if is_staged { chosen.bytes.len() as u64 } else { 0 };
        Ok(self.store.check_room(looked.needed_bytes().unwrap_or(0).saturating_add(staged))?)
    }

    fn remark_on(&self, chosen: &Chosen) {
        let output = self.context.output;
        if chosen.is_by_others {
            let signers: Vec<&str> = chosen.uki.signers.iter().map(|it| it.subject()).collect();
            let signers = if signers.is_empty() { "others".to_owned() } else { signers.join(" and ") };
            output.remark(&format!(
                "warning: the UKI is signed by {signers}, and what runs is not: whether the firmware starts it is not known"
            ));
        }
        if !chosen.without.is_empty() {
            let words = chosen.without.join(" ");
            output.remark(&format!("remark: the new command line has no longer {words}"));
        }
    }

    fn show(
        &self,
        image: &Image,
        chosen: &Chosen,
        plan: &Plan,
        admitted: Option<&Admitted>,
        file: Option<String>,
    ) -> CommandResult {
        let boots = Boots::of(self.esp.entries().map_err(UpgradeError::from)?, &self.place.facts(&self.esp)?);
        let done = Done { image, chosen, plan, admitted, file: file.as_deref(), boots: &boots };
        shown(self.context.output, &done)
    }

    fn target(&self, looked: &Looked<'_>) -> Result<Target, CommandError> {
        let name = looked.name().to_string();
        let chosen = looked.admission().chosen();
        let chosen = chosen.ok_or_else(|| CommandError::refused(format_args!("{name} has no seal")))?;
        target_of(&name, self.store.algorithm(), chosen.seal.statement())
    }

    /// Where the image that runs came from.
    fn usual_source(&self) -> Result<Source, CommandError> {
        let unknown = |why: &str| {
            CommandError::failed(format_args!(
                "where this host's next version comes from is not known: {why}"
            ))
            .hint("name it: sealpack host upgrade REGISTRY/NAME:TAG")
        };
        let image = self.host.command_line.as_ref().map(|line| line.boot().image);
        let image = image.ok_or_else(|| unknown("nothing runs, and the ESP has no UKI"))?;
        let is_it = |record: &ImageRecord| record.metadata_image == image;
        let records = self.store.images()?.records;
        let asked = records.iter().filter(|record| is_it(record)).filter_map(|record| {
            let name: Reference = record.pulled_as.as_ref().unwrap_or(&record.name).parse().ok()?;
            name.digest().is_none().then(|| name.to_string())
        });
        let names: BTreeSet<String> = asked.collect();
        match names.iter().collect::<Vec<_>>()[..] {
            [name] => Ok(Source::Registry(name.parse().map_err(CommandError::failed)?)),
            [] => Err(unknown("no name in the store means the image that it runs")),
            _ => Err(unknown(&format!(
                "the image that it runs has several names, {}",
                names.into_iter().collect::<Vec<_>>().join(" and ")
            ))),
        }
    }
}

fn target_of(
    name: &str,
    algorithm: sealpack_format::Algorithm,
    statement: &sealpack_trust::seal::Statement,
) -> Result<Target, CommandError> {
    let metadata = statement.metadata_of(algorithm).ok_or_else(|| {
        CommandError::refused(format_args!(
            "the seal of {name} is not for stores that name objects by {algorithm}"
        ))
    })?;
    Ok(Target {
        name: name.to_owned(),
        image: metadata.id,
        root_hash: metadata.root_hash,
        epoch: statement.epoch(),
    })
}
