//! An OCI layout as a tar (image-spec, image-layout.md).

use std::collections::{BTreeMap, BTreeSet};

use sealpack_format::BlobDigest;
use serde_json::{Value, json};

use super::blob::Way;
use super::file::ArchiveFile;
use super::{Counts, PlannedImage, full_name};
use crate::copy::{Event, Figures, Observer};
use crate::error::{Error, Result};
use crate::layout::{CONTAINERD_NAME, MARKER, REF_NAME};
use crate::manifest::{Descriptor, Document, MANIFEST_MAX_BYTES};
use crate::media_type::OCI_INDEX;
use crate::transport::ImageSource;

/// What a blob is made of.
enum Content<'a> {
    Bytes(&'a [u8]),
    Blob(&'a dyn ImageSource, &'a Descriptor),
}

pub(super) fn write(
    file: &mut ArchiveFile,
    what: &str,
    planned: &[PlannedImage<'_>],
    observer: &dyn Observer,
) -> Result<(Figures, Counts)> {
    let index = index(what, planned)?;
    let mut contents = BTreeMap::new();
    let (mut manifests, mut referrers) = (BTreeSet::new(), BTreeSet::new());
    for PlannedImage { image, plan } in planned {
        for blob in &plan.blobs {
            contents.entry(blob.digest).or_insert(Content::Blob(image.source, blob));
        }
        manifests.extend(plan.images.iter().map(|one| one.descriptor.digest));
        referrers.extend(plan.referrers.iter().map(|one| one.descriptor.digest));
        for one in plan.images.iter().chain(&plan.referrers) {
            contents.insert(one.descriptor.digest, Content::Bytes(&one.bytes));
        }
    }
    referrers.retain(|digest| !manifests.contains(digest));
    let (mut blobs, mut size_bytes) = (0, 0_u64);
    for content in contents.values() {
        if let Content::Blob(_, blob) = content {
            (blobs, size_bytes) = (blobs + 1, size_bytes.saturating_add(blob.size_bytes));
        }
    }
    let (manifests, referrers) = (manifests.len(), referrers.len());
    observer.event(&Event::Planned { manifests, referrers, blobs, size_bytes });
    file.check_room(what, size_bytes)?;
    file.member("oci-layout", MARKER.as_bytes())?;
    file.member("index.json", &index)?;
    let figures = write_blobs(file, &contents, observer)?;
    Ok((figures, Counts { manifests, referrers }))
}

fn write_blobs(
    file: &mut ArchiveFile,
    contents: &BTreeMap<BlobDigest, Content<'_>>,
    observer: &dyn Observer,
) -> Result<Figures> {
    file.directory("blobs/")?;
    let algorithms: BTreeSet<&str> = contents.keys().map(|digest| digest.algorithm().name()).collect();
    for algorithm in algorithms {
        file.directory(&format!("blobs/{algorithm}/"))?;
    }
    let mut figures = Figures::default();
    for (digest, content) in contents {
        let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        match content {
            Content::Bytes(bytes) => file.member(&name, bytes)?,
            Content::Blob(source, blob) => {
                Way { source: *source, blob, observer }.as_it_is(file, &name, &mut figures)?;
            }
        }
    }
    Ok(figures)
}

/// index.json: the images by their names, and behind them what refers to them.
fn index(what: &str, planned: &[PlannedImage<'_>]) -> Result<Vec<u8>> {
    let mut entries: Vec<Value> = Vec::new();
    let mut referrers: BTreeMap<BlobDigest, Value> = BTreeMap::new();
    for PlannedImage { image, plan } in planned {
        let root = plan.images.last().ok_or_else(|| Error::Unsaved {
            what: image.source.description(),
            problem: "there is nothing in it".to_owned(),
        })?;
        let document = Document::parse(what, Some(&root.descriptor.media_type), &root.bytes)?;
        let refers = document.subject().is_some();
        let mut entry = if refers { document.as_referrer(&root.descriptor) } else { root.descriptor.clone() };
        if let Some(name) = image.name {
            entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
            let full = full_name(name).map(|name| (CONTAINERD_NAME.to_owned(), name.to_string()));
            entry.annotations.extend(full);
        }
        entries.push(entry.to_json());
        for one in &plan.referrers {
            let document = Document::parse(what, Some(&one.descriptor.media_type), &one.bytes)?;
            referrers.insert(one.descriptor.digest, document.as_referrer(&one.descriptor).to_json());
        }
    }
    entries.extend(referrers.into_values());
    let bytes =
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string().into_bytes();
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= MANIFEST_MAX_BYTES => Ok(bytes),
        _ => Err(Error::TooLarge { what: format!("index.json of {what}"), limit_bytes: MANIFEST_MAX_BYTES }),
    }
}
