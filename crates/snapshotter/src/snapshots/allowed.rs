//! Which containers and layers the rules of the trust store allow.

use sealpack_format::DiffId;
use sealpack_store::{ChainId, ImageRecord};

use super::Snapshotter;
use super::apply::namespace_of;
use super::unpacked::chain_of_name;
use crate::chains::held;
use crate::error::Error;
use crate::rules::{ImageOf, name};
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
            let image = ImageOf::of_labels(labels);
            return image.map_or(Ok(()), |image| self.rules.check_layer(&self.store, &image));
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
        let Some(chain) = chain_on(parent, top) else {
            return match image {
                Some(image) => self.rules.check_container(&self.store, &image).map(drop),
                None => self.rules.check_nameless(&self.store, None),
            };
        };
        // Directories are no sealed image of the store's.
        let layers = top.map(|top| held(&self.store, &top.chain)).transpose()?.map(|chain| chain.layers);
        let record = layers.map(|layers| self.index.image(&self.store, &layers)).transpose()?.flatten();
        let container = Container { namespace: namespace_of(key), chain, record };
        match image {
            Some(image) => self.judge_known(&container, &image),
            None => self.judge_nameless(&container),
        }
    }

    /// A container on layers that came in as those of `image`, which may have others above them.
    fn judge_known(&self, container: &Container<'_>, image: &ImageOf) -> Result<(), Error> {
        if !self.rules.is_good_here(&self.store, image) && self.is_good_by_another(container, image)? {
            return Ok(());
        }
        let refusal = match self.rules.check_container(&self.store, image) {
            Ok(Some(sealed)) if chain_of(&sealed) == Some(container.chain) => return Ok(()),
            Ok(Some(_)) => Some(Error::Nameless),
            // What one name may do, another may not.
            Ok(None) if self.rules.demand_anything()? => None,
            Ok(None) => return Ok(()),
            Err(refusal) => Some(refusal),
        };
        let names = self.images_of(container.namespace, &container.chain)?;
        if refusal.is_none() && names.contains(image) {
            return Ok(());
        }
        let others: Vec<ImageOf> = names.into_iter().filter(|other| other != image).collect();
        match (self.judge_names(&others), refusal) {
            (Judged::Good, _) | (Judged::None, None) => Ok(()),
            (Judged::Refused(refusal), None | Some(Error::Nameless)) => Err(*refusal),
            (Judged::None, Some(Error::Nameless)) => {
                self.rules.check_nameless(&self.store, container.record.as_ref())
            }
            (_, Some(refusal)) => Err(refusal),
        }
    }

    /// Whether the layers are also those of an image that is good, as is known here: then nobody is asked who may not answer.
    fn is_good_by_another(&self, container: &Container<'_>, image: &ImageOf) -> Result<bool, Error> {
        let names = self.images_of(container.namespace, &container.chain)?;
        Ok(names.iter().any(|other| other != image && self.rules.is_good_here(&self.store, other)))
    }

    /// A container on layers that came in without a name.
    fn judge_nameless(&self, container: &Container<'_>) -> Result<(), Error> {
        let has_seal = container.record.as_ref().is_some_and(|record| record.statement.is_some());
        if has_seal || !self.rules.demand_anything()? {
            return self.rules.check_nameless(&self.store, container.record.as_ref());
        }
        match self.judge_names(&self.images_of(container.namespace, &container.chain)?) {
            Judged::Good => Ok(()),
            Judged::Refused(refusal) => Err(*refusal),
            Judged::None => self.rules.check_nameless(&self.store, container.record.as_ref()),
        }
    }

    /// Refuses to have a container started of an image that must not be used, by the name that the container has for it.
    ///
    /// When its snapshot is made, nobody says what it is for, and its layers may be those of several images: of one that anybody
    /// may use, and of another whose config says to run something else. Before it is started its mounts are asked for, and
    /// by then containerd knows.
    pub(super) fn check_started(&self, key: &str, parent: &str) -> Result<(), Error> {
        let Some(images) = self.images.get().filter(|_| !parent.is_empty()) else { return Ok(()) };
        if !self.rules.demand_anything()? {
            return Ok(());
        }
        let namespace = namespace_of(key);
        let called = images.of_container(namespace, key_of(key)).map_err(Error::Content)?;
        // By what is no name it was judged when it was made.
        let Some((called, plain)) = called.and_then(|called| Some((name(&called)?.to_string(), called)))
        else {
            return Ok(());
        };
        if !self.rules.needs_seal(&self.store, &plain)? {
            return Ok(());
        }
        let other = || Error::OtherImage(plain.clone());
        let top = self.state().get(parent)?.layered;
        let chain = chain_on(parent, top).ok_or_else(other)?;
        let stored = self.store.image(&called)?.filter(|record| record.statement.is_some());
        let manifest = match stored.filter(|record| chain_of(record) == Some(chain)) {
            Some(record) => Some(record.manifest),
            None => self.manifest_of(images.as_ref(), namespace, &plain, &chain)?,
        };
        let manifest = manifest.ok_or_else(other)?;
        // CRI has one of an image's names, which need not be the one that was asked for: they all run the same.
        let mut names = self.images_of(namespace, &chain)?;
        names.retain(|it| it.manifest == manifest && it.reference != plain);
        names.insert(0, ImageOf { manifest, reference: plain });
        match self.judge_names(&names) {
            Judged::Refused(refusal) => Err(*refusal),
            Judged::Good | Judged::None => Ok(()),
        }
    }

    /// What the rules say of names. One that is good is enough: which of them a client means, it does not say.
    fn judge_names(&self, images: &[ImageOf]) -> Judged {
        // Whose registry takes its time holds up nobody else.
        if images.iter().any(|image| self.rules.is_good_here(&self.store, image)) {
            return Judged::Good;
        }
        let mut judged = Judged::None;
        for image in images {
            match self.rules.check_container(&self.store, image) {
                Ok(_) => return Judged::Good,
                Err(refusal) if matches!(judged, Judged::None) => judged = Judged::Refused(Box::new(refusal)),
                Err(_) => {}
            }
        }
        judged
    }
}

/// A container that is to be made.
struct Container<'a> {
    /// Of containerd's.
    namespace: &'a str,
    /// What it is on.
    chain: ChainId,
    /// The image of the store's that consists of that.
    record: Option<ImageRecord>,
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
