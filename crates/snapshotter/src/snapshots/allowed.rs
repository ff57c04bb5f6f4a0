//! Which containers and layers the rules of the trust store allow.

use std::cell::OnceCell;

use sealpack_format::DiffId;
use sealpack_store::{ChainId, ImageRecord};

use super::Snapshotter;
use super::apply::namespace_of;
use super::unpacked::chain_of_name;
use crate::chains::held;
use crate::error::Error;
use crate::rules::{Current, ImageOf, name};
use crate::state::{Labels, Layered};

impl Snapshotter {
    /// Refuses what the rules are against; `extracted` has the labels of what is there to get a layer only.
    pub(super) fn check_rules(
        &self,
        key: &str,
        parent: &str,
        extracted: Option<&Labels>,
    ) -> Result<(), Error> {
        if let Some(labels) = extracted {
            let Some(image) = ImageOf::of_labels(labels) else { return Ok(()) };
            return self.rules.read()?.check_layer(&self.store, &image);
        }
        // Nothing to execute comes with it.
        if parent.is_empty() {
            return Ok(());
        }
        let (image, top) = {
            let state = self.state();
            let ancestry = state.ancestry(parent)?;
            let image = ancestry.iter().find_map(|(_, row)| row.image.clone());
            (image, ancestry.first().and_then(|(_, row)| row.layered))
        };
        let rules = self.rules.read()?;
        let Some(chain) = chain_on(parent, top) else {
            return match image {
                Some(image) => rules.check_container(&self.store, &image).map(drop),
                None => rules.check_nameless(&self.store, None),
            };
        };
        // Directories are no sealed image of the store's.
        let layers = top.map(|top| held(&self.store, &top.chain)).transpose()?.map(|chain| chain.layers);
        let record = layers.map(|layers| self.index.image(&self.store, &layers)).transpose()?.flatten();
        let container = Container::new(self, rules, key, chain);
        match image {
            Some(image) => container.judge_known(&image, record.as_ref()),
            None => container.judge_nameless(record.as_ref()),
        }
    }

    /// Refuses to have a container started of an image that must not be used, by the name that the container has for it.
    ///
    /// When its snapshot is made, nobody says what it is for, and its layers may be those of several images: of one that anybody
    /// may use, and of another whose config says to run something else. Before it is started its mounts are asked for, and
    /// by then containerd knows.
    pub(super) fn check_started(&self, key: &str, parent: &str) -> Result<(), Error> {
        let Some(images) = self.images.get().filter(|_| !parent.is_empty()) else { return Ok(()) };
        let rules = self.rules.read()?;
        if !rules.demand_anything() {
            return Ok(());
        }
        let called = images.of_container(namespace_of(key), key_of(key)).map_err(Error::Content)?;
        // By what is no name it was judged when it was made.
        let Some((called, plain)) = called.and_then(|called| Some((name(&called)?.to_string(), called)))
        else {
            return Ok(());
        };
        if !rules.needs_seal(&self.store, &plain)? {
            return Ok(());
        }
        let other = || Error::OtherImage(plain.clone());
        let top = self.state().get(parent)?.layered;
        let chain = chain_on(parent, top).ok_or_else(other)?;
        let container = Container::new(self, rules, key, chain);
        let stored = self.store.image(&called)?.filter(|record| record.statement.is_some());
        let manifest = match stored.filter(|record| chain_of(record) == Some(chain)) {
            Some(record) => Some(record.manifest),
            None => container.names()?.iter().find(|it| it.reference == plain).map(|it| it.manifest),
        };
        let manifest = manifest.ok_or_else(other)?;
        // CRI has one of an image's names, which need not be the one that was asked for: they all run the same.
        let own = ImageOf { manifest, reference: plain.clone() };
        let others = container.names()?.iter().filter(|it| it.manifest == manifest && it.reference != plain);
        let names: Vec<&ImageOf> = [&own].into_iter().chain(others).collect();
        match container.judge_names(&names) {
            Judged::Refused(refusal) => Err(*refusal),
            Judged::Good | Judged::None => Ok(()),
        }
    }
}

/// A container on layers, and the rules that it is judged by.
struct Container<'a> {
    snapshotter: &'a Snapshotter,
    rules: Current<'a>,
    /// Of containerd's.
    namespace: &'a str,
    /// What it is on.
    chain: ChainId,
    /// What containerd calls exactly these layers, once it was asked.
    names: OnceCell<Vec<ImageOf>>,
}

impl<'a> Container<'a> {
    fn new(snapshotter: &'a Snapshotter, rules: Current<'a>, key: &'a str, chain: ChainId) -> Self {
        Self { snapshotter, rules, namespace: namespace_of(key), chain, names: OnceCell::new() }
    }

    fn names(&self) -> Result<&[ImageOf], Error> {
        if let Some(names) = self.names.get() {
            return Ok(names);
        }
        let names = self.snapshotter.images_of(self.namespace, &self.chain)?;
        Ok(self.names.get_or_init(|| names))
    }

    /// One whose layers came in as those of `image`, which may have others above them; `record` is the image of the store's that
    /// consists of them.
    fn judge_known(&self, image: &ImageOf, record: Option<&ImageRecord>) -> Result<(), Error> {
        // Then nobody is asked who may not answer.
        if !self.is_good_here(image) && self.others(image)?.iter().any(|other| self.is_good_here(other)) {
            return Ok(());
        }
        let refusal = match self.check(image) {
            Ok(Some(sealed)) if chain_of(&sealed) == Some(self.chain) => return Ok(()),
            Ok(Some(_)) => Some(Error::Nameless),
            // What one name may do, another may not.
            Ok(None) if self.rules.demand_anything() => None,
            Ok(None) => return Ok(()),
            Err(refusal) => Some(refusal),
        };
        if refusal.is_none() && self.names()?.contains(image) {
            return Ok(());
        }
        match (self.judge_names(&self.others(image)?), refusal) {
            (Judged::Good, _) | (Judged::None, None) => Ok(()),
            (Judged::Refused(refusal), None | Some(Error::Nameless)) => Err(*refusal),
            (Judged::None, Some(Error::Nameless)) => self.check_nameless(record),
            (_, Some(refusal)) => Err(refusal),
        }
    }

    /// One whose layers came in without a name.
    fn judge_nameless(&self, record: Option<&ImageRecord>) -> Result<(), Error> {
        let has_seal = record.is_some_and(|record| record.statement.is_some());
        if has_seal || !self.rules.demand_anything() {
            return self.check_nameless(record);
        }
        match self.judge_names(&self.names()?.iter().collect::<Vec<_>>()) {
            Judged::Good => Ok(()),
            Judged::Refused(refusal) => Err(*refusal),
            Judged::None => self.check_nameless(record),
        }
    }

    /// containerd's names for the layers, but for one.
    fn others(&self, image: &ImageOf) -> Result<Vec<&ImageOf>, Error> {
        Ok(self.names()?.iter().filter(|other| *other != image).collect())
    }

    /// What the rules say of names. One that is good is enough: which of them a client means, it does not say.
    fn judge_names(&self, images: &[&ImageOf]) -> Judged {
        // Whose registry takes its time holds up nobody else.
        if images.iter().any(|image| self.is_good_here(image)) {
            return Judged::Good;
        }
        let mut judged = Judged::None;
        for image in images {
            match self.check(image) {
                Ok(_) => return Judged::Good,
                Err(refusal) if matches!(judged, Judged::None) => judged = Judged::Refused(Box::new(refusal)),
                Err(_) => {}
            }
        }
        judged
    }

    fn is_good_here(&self, image: &ImageOf) -> bool {
        self.rules.is_good_here(&self.snapshotter.store, image)
    }

    fn check(&self, image: &ImageOf) -> Result<Option<ImageRecord>, Error> {
        self.rules.check_container(&self.snapshotter.store, image)
    }

    fn check_nameless(&self, record: Option<&ImageRecord>) -> Result<(), Error> {
        self.rules.check_nameless(&self.snapshotter.store, record)
    }
}

/// What became of some names.
enum Judged {
    /// There is none.
    None,
    /// One is good.
    Good,
    /// None is; this is said of the first.
    Refused(Box<Error>),
}

/// The layers below what is based on `parent`, whose own layer is `top` if the store has it. Of those that are directories,
/// containerd's name for the snapshot says which they are.
fn chain_on(parent: &str, top: Option<Layered>) -> Option<ChainId> {
    top.map(|top| top.chain).or_else(|| chain_of_name(parent))
}

/// What the client calls a snapshot, behind the namespace and a number.
fn key_of(key: &str) -> &str {
    key.splitn(3, '/').nth(2).unwrap_or(key)
}

fn chain_of(record: &ImageRecord) -> Option<ChainId> {
    let layers: Vec<DiffId> = record.layers.iter().map(|layer| layer.diff_id).collect();
    ChainId::of(&layers)
}
