//! Which containers and layers the rules of the trust store allow.

use sealpack_format::DiffId;
use sealpack_store::ImageRecord;

use super::Snapshotter;
use super::apply::namespace_of;
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
        let layers = top.map(|top| held(&self.store, &top.chain)).transpose()?.map(|chain| chain.layers);
        let Some(layers) = layers else { return self.judge_directory(image.as_ref()) };
        match image {
            Some(image) => self.judge_known(key, &image, &layers),
            None => self.judge_nameless(key, &layers),
        }
    }

    /// A container on changes that were committed on layers that came in as `image`.
    fn judge_directory(&self, image: Option<&ImageOf>) -> Result<(), Error> {
        match image {
            Some(image) => self.rules.check_container(&self.store, image).map(drop),
            None => self.rules.check_nameless(&self.store, None),
        }
    }

    /// A container on layers that came in as those of `image`, which may have others above them.
    fn judge_known(&self, key: &str, image: &ImageOf, layers: &[DiffId]) -> Result<(), Error> {
        let refusal = match self.rules.check_container(&self.store, image) {
            Ok(Some(sealed)) if !has_layers(&sealed, layers) => Error::Nameless,
            Err(refusal @ Error::Refused { .. }) => refusal,
            other => return other.map(drop),
        };
        let names = self.images_of(namespace_of(key), layers)?;
        let others: Vec<ImageOf> = names.into_iter().filter(|other| other != image).collect();
        match (self.judge_names(&others), refusal) {
            (Judged::Good, _) => Ok(()),
            (Judged::Refused(refusal), Error::Nameless) => Err(refusal),
            (Judged::None, Error::Nameless) => self.check_sealed_or_nameless(layers),
            (_, refusal) => Err(refusal),
        }
    }

    /// A container on layers that came in without a name.
    fn judge_nameless(&self, key: &str, layers: &[DiffId]) -> Result<(), Error> {
        let has_seal = self.index.image(&self.store, layers)?.is_some_and(|image| image.statement.is_some());
        if has_seal || !self.rules.demand_anything()? {
            return self.check_sealed_or_nameless(layers);
        }
        match self.judge_names(&self.images_of(namespace_of(key), layers)?) {
            Judged::Good => Ok(()),
            Judged::Refused(refusal) => Err(refusal),
            Judged::None => self.check_sealed_or_nameless(layers),
        }
    }

    fn check_sealed_or_nameless(&self, layers: &[DiffId]) -> Result<(), Error> {
        self.rules.check_nameless(&self.store, self.index.image(&self.store, layers)?.as_ref())
    }

    /// What the rules say of names. One that is good is enough: which of them a client means, it does not say.
    fn judge_names(&self, images: &[ImageOf]) -> Judged {
        let mut judged = Judged::None;
        for image in images {
            match self.rules.check_container(&self.store, image) {
                Ok(_) => return Judged::Good,
                Err(refusal) if matches!(judged, Judged::None) => judged = Judged::Refused(refusal),
                Err(_) => {}
            }
        }
        judged
    }
}

/// What became of some names.
enum Judged {
    /// There is none.
    None,
    /// One is good.
    Good,
    /// None is; this is said of the first.
    Refused(Error),
}

fn has_layers(record: &ImageRecord, layers: &[DiffId]) -> bool {
    record.layers.iter().map(|layer| layer.diff_id).eq(layers.iter().copied())
}
