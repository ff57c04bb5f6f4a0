//! What `docker load` takes: `manifest.json`, configs, and layers without compression
//! (moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format").

use std::collections::{BTreeMap, BTreeSet};

use sealpack_format::DiffId;
use serde_json::{Value, json};

use super::blob::Way;
use super::file::ArchiveFile;
use super::{Counts, PlannedImage};
use crate::artifact::LeftOut;
use crate::copy::{Event, Figures, Observer, Plan};
use crate::error::{Error, Result};
use crate::json;
use crate::manifest::{Config, Descriptor, Document};
use crate::transport::ImageSource;

/// What an archive is to have, each once.
#[derive(Default)]
struct Contents<'a> {
    configs: BTreeMap<String, Vec<u8>>,
    layers: BTreeMap<DiffId, (&'a dyn ImageSource, &'a Descriptor)>,
    /// manifest.json.
    listing: Vec<Value>,
}

/// Leaves behind what refers to the image, and says so.
pub(super) fn leave_referrers(plan: &mut Plan) {
    plan.left_out.extend(std::mem::take(&mut plan.referrers).into_iter().map(|one| {
        let digest = one.descriptor.digest;
        let problem = format!("{digest}, which refers to the image, has no place in a docker-archive");
        LeftOut { digest, problem }
    }));
}

pub(super) fn write(
    file: &mut ArchiveFile,
    what: &str,
    planned: &[PlannedImage<'_>],
    observer: &dyn Observer,
) -> Result<(Figures, Counts)> {
    let mut contents = Contents::default();
    for one in planned {
        contents.add(one)?;
    }
    let size_bytes =
        contents.layers.values().fold(0, |sum: u64, (_, blob)| sum.saturating_add(blob.size_bytes));
    let manifests: BTreeSet<_> =
        planned.iter().flat_map(|one| &one.plan.images).map(|one| one.descriptor.digest).collect();
    let counts = Counts { manifests: manifests.len(), referrers: 0 };
    let (manifests, blobs) = (counts.manifests, contents.layers.len());
    observer.event(&Event::Planned { manifests, referrers: 0, blobs, size_bytes });
    // At least so much: how far they inflate is not known before.
    file.check_room(what, size_bytes)?;
    file.member("manifest.json", Value::from(contents.listing).to_string().as_bytes())?;
    for (name, bytes) in &contents.configs {
        file.member(name, bytes)?;
    }
    let mut figures = Figures::default();
    for (diff_id, (source, blob)) in &contents.layers {
        let way = Way { source: *source, blob, observer };
        way.inflated(file, &layer_name(diff_id), diff_id, &mut figures)?;
    }
    Ok((figures, counts))
}

fn layer_name(diff_id: &DiffId) -> String {
    format!("{}.tar", diff_id.hex())
}

impl<'a> Contents<'a> {
    fn add(&mut self, planned: &'a PlannedImage<'_>) -> Result<()> {
        let PlannedImage { image, plan } = planned;
        let source = image.source;
        let refused =
            |problem: &str| Error::Unsaved { what: source.description(), problem: problem.to_owned() };
        let root = plan.images.last().ok_or_else(|| refused("there is nothing in it"))?;
        let what = format!("{} in {}", root.descriptor.digest, source.description());
        let Document::Manifest(manifest) =
            Document::parse(&what, Some(&root.descriptor.media_type), &root.bytes)?
        else {
            return Err(refused(
                "a docker-archive has no place for an index, so that it takes one platform's image",
            ));
        };
        let config_bytes = source.fetch(&manifest.config.as_config())?;
        let config = Config::parse(&what, &config_bytes)?;
        if config.diff_ids.len() != manifest.layers.len() {
            let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids.len());
            return Err(Error::malformed(what, format!("it has {layers} layers and {diff_ids} diff_ids")));
        }
        for (diff_id, layer) in config.diff_ids.iter().zip(&manifest.layers) {
            let blob = plan.blobs.iter().find(|blob| blob.digest == layer.digest);
            let blob = blob.ok_or_else(|| refused(&format!("the layer {} is not there", layer.digest)))?;
            self.layers.entry(*diff_id).or_insert((source, blob));
        }
        let config_name = format!("{}.json", manifest.config.digest.hex());
        let layers: Vec<String> = config.diff_ids.iter().map(layer_name).collect();
        let names: Vec<&str> = image.name.into_iter().collect();
        match self.listing.iter_mut().find(|listed| listed["Config"] == config_name.as_str()) {
            Some(listed) => json::entries_of(listed, "RepoTags").extend(names.into_iter().map(Value::from)),
            None => self.listing.push(json!({"Config": config_name, "RepoTags": names, "Layers": layers})),
        }
        self.configs.insert(config_name, config_bytes);
        Ok(())
    }
}
