//! Which containers and layers the rules of the trust store allow.

use sealpack_format::DiffId;
use sealpack_store::{ChainId, ImageRecord};

use super::Snapshotter;
use super::apply::namespace_of;
use super::unpacked::chain_of_name;
use crate::chains::held;
use crate::error::Error;
use crate::rules::ImageOf;
use crate::state::Labels;

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
        // Of layers that are directories, containerd's name for the snapshot says which they are.
        let Some(chain) = top.map(|top| top.chain).or_else(|| chain_of_name(parent)) else {
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
        let refusal = match self.rules.check_container(&self.store, image) {
            Ok(Some(sealed)) if chain_of(&sealed) != Some(container.chain) => Error::Nameless,
            Err(refusal @ Error::Refused { .. }) => refusal,
            other => return other.map(drop),
        };
        let names = self.images_of(container.namespace, &container.chain)?;
        let others: Vec<ImageOf> = names.into_iter().filter(|other| other != image).collect();
        match (self.judge_names(&others), refusal) {
            (Judged::Good, _) => Ok(()),
            (Judged::Refused(refusal), Error::Nameless) => Err(*refusal),
            (Judged::None, Error::Nameless) => {
                self.rules.check_nameless(&self.store, container.record.as_ref())
            }
            (_, refusal) => Err(refusal),
        }
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

    /// What the rules say of names. One that is good is enough: which of them a client means, it does not say.
    fn judge_names(&self, images: &[ImageOf]) -> Judged {
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

fn chain_of(record: &ImageRecord) -> Option<ChainId> {
    let layers: Vec<DiffId> = record.layers.iter().map(|layer| layer.diff_id).collect();
    ChainId::of(&layers)
}
