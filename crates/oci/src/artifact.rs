//! Artifacts: manifests that are no images but say something about one (image-spec 1.1, "Guidelines for
//! Artifact Usage").

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Read as _;

use sealpack_format::BlobDigest;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::manifest::{Descriptor, Document, Manifest};
use crate::media_type::{OCI_EMPTY, OCI_MANIFEST};
use crate::registry::RegistryError;
use crate::transport::ImageSource;
use crate::transport::{ImageTarget, Naming, Pushed, put_bytes};

/// When an artifact was made: RFC 3339, so that the text sorts as the time does.
pub const CREATED: &str = "org.opencontainers.image.created";

/// A whole artifact in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it is.
    pub artifact_type: String,
    /// What it is about.
    pub subject: Option<Descriptor>,
    /// Its config.
    pub config: Part,
    /// Its layers.
    pub layers: Vec<Part>,
    /// Notes, which lists of referrers show too.
    pub annotations: BTreeMap<String, String>,
}

/// A config or a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub media_type: String,
    /// The blob.
    pub bytes: Vec<u8>,
    /// Notes.
    pub annotations: BTreeMap<String, String>,
}

impl Part {
    /// A part without notes.
    #[must_use]
    pub fn new(media_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { media_type: media_type.to_owned(), bytes: bytes.into(), annotations: BTreeMap::new() }
    }

    /// The config of an artifact that needs none.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(OCI_EMPTY, *b"{}")
    }

    /// The part's descriptor.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        let mut descriptor = Descriptor::of(&self.media_type, &self.bytes);
        descriptor.annotations.clone_from(&self.annotations);
        descriptor
    }
}

impl Artifact {
    /// The manifest: the same bytes for the same artifact, without white space and with sorted keys.
    #[must_use]
    pub fn manifest(&self) -> Vec<u8> {
        let layers: Vec<Value> = self.layers.iter().map(|layer| layer.descriptor().to_json()).collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": self.artifact_type,
            "config": self.config.descriptor().to_json(),
            "layers": layers,
        });
        if let Some(subject) = &self.subject {
            let bare = Descriptor::new(&subject.media_type, subject.digest, subject.size_bytes);
            manifest["subject"] = bare.to_json();
        }
        if !self.annotations.is_empty() {
            manifest["annotations"] = json!(self.annotations);
        }
        manifest.to_string().into_bytes()
    }

    /// The manifest's descriptor, as a list of referrers has it.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        let mut descriptor = Descriptor::of(OCI_MANIFEST, &self.manifest());
        descriptor.artifact_type = Some(self.artifact_type.clone());
        descriptor.annotations.clone_from(&self.annotations);
        descriptor
    }

    /// Writes the artifact: its parts, then its manifest.
    ///
    /// # Errors
    /// See [`ImageTarget::put_blob`] and [`ImageTarget::put_manifest`].
    pub fn push(&self, target: &dyn ImageTarget, naming: Naming) -> Result<Pushed> {
        for part in [&self.config].into_iter().chain(&self.layers) {
            put_bytes(target, &part.descriptor(), &part.bytes)?;
        }
        target.put_manifest(&self.descriptor(), &self.manifest(), naming)
    }
}

/// How large what is fetched may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most artifacts that are fetched for one subject.
    pub artifacts: usize,
    /// Most layers of one.
    pub layers: usize,
    /// Largest config in bytes.
    pub config_bytes: u64,
    /// Largest layer in bytes.
    pub layer_bytes: u64,
    /// Most bytes of all that is fetched for one subject: it is kept in memory.
    pub all_bytes: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Artifacts {
    /// The artifacts with their manifests' digests, the newest first.
    pub artifacts: Vec<(BlobDigest, Artifact)>,
    /// What was listed but does not count.
    pub left_out: Vec<LeftOut>,
}

/// What a tag has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tagged {
    /// The layers, each with a text that names it.
    pub layers: Vec<(String, Part)>,
    /// What does not count, as sentences that name it.
    pub left_out: Vec<String>,
}

/// A referrer that was listed but does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its manifest.
    pub digest: BlobDigest,
    /// Why, as a sentence that names it.
    pub problem: String,
}

/// Fetches the artifacts of one type that have `subject` as theirs, the newest first by their
/// [`CREATED`] annotation. One that is not what its list says, or breaks a limit, is left out; so are the
/// oldest when there are too many, or too many bytes.
///
/// # Errors
/// When the list, or something in it, cannot be had.
pub fn find(
    source: &dyn ImageSource,
    subject: &Descriptor,
    artifact_type: &str,
    limits: &Limits,
) -> Result<Artifacts> {
    let mut listed = source.referrers(subject, Some(artifact_type))?;
    let created = |entry: &Descriptor| entry.annotations.get(CREATED).cloned().unwrap_or_default();
    // Those of unknown type last: they may be anything.
    let place = |entry: &Descriptor| (entry.artifact_type.is_none(), Reverse(created(entry)), entry.digest);
    listed.sort_by_cached_key(place);
    let (mut found, mut left_bytes) = (Artifacts::default(), limits.all_bytes);
    for (number, entry) in listed.iter().enumerate() {
        let problem = if number < limits.artifacts {
            match fetch_typed(source, entry, subject, artifact_type, limits, &mut left_bytes) {
                Ok(artifact) => {
                    found.artifacts.extend(artifact.map(|artifact| (entry.digest, artifact)));
                    continue;
                }
                Err(error) if is_contents(&error) => error.to_string(),
                Err(error) => return Err(error),
            }
        } else {
            format!("{} was not fetched: there are {} before it", entry.digest, limits.artifacts)
        };
        found.left_out.push(LeftOut { digest: entry.digest, problem });
    }
    Ok(found)
}

/// Fetches the layers of one type of what another tag of `source` means, as tools attach things that make no referrers;
/// `None` where there is no such tag. One that breaks a limit, or is not what it should be, is left out.
///
/// # Errors
/// When the tag, or a layer that is there, cannot be had.
pub fn find_tagged(
    source: &dyn ImageSource,
    tag: &str,
    layer_type: &str,
    limits: &Limits,
) -> Result<Option<Tagged>> {
    let Some((descriptor, bytes)) = source.tagged(tag)? else { return Ok(None) };
    let what = format!("{tag} in {}", source.description());
    let mut found = Tagged::default();
    let layers = match Document::parse(&what, Some(&descriptor.media_type), &bytes) {
        Ok(Document::Manifest(manifest)) => manifest.layers,
        Ok(Document::Index(_)) => {
            found.left_out.push(format!("{what} is an index"));
            return Ok(Some(found));
        }
        Err(error) if is_contents(&error) => {
            found.left_out.push(error.to_string());
            return Ok(Some(found));
        }
        Err(error) => return Err(error),
    };
    let mut left_bytes = limits.all_bytes;
    for (number, layer) in layers.into_iter().filter(|layer| layer.media_type == layer_type).enumerate() {
        if number >= limits.layers {
            found.left_out.push(format!("{what} has more than {} such layers", limits.layers));
            break;
        }
        let name = format!("{what}: {}", layer.digest);
        match fetch_layer(source, &what, layer, limits, &mut left_bytes) {
            Ok(part) => found.layers.push((name, part)),
            Err(error) if is_contents(&error) => found.left_out.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(found))
}

/// Fetches a layer, its size checked before anything is read. `left_bytes` is what all that follow may have.
fn fetch_layer(
    source: &dyn ImageSource,
    what: &str,
    layer: Descriptor,
    limits: &Limits,
    left_bytes: &mut u64,
) -> Result<Part> {
    let limit_bytes = limits.layer_bytes.min(*left_bytes);
    if layer.size_bytes > limit_bytes {
        return Err(Error::TooLarge { what: format!("{what}: {}", layer.digest), limit_bytes });
    }
    *left_bytes -= layer.size_bytes;
    read_part(source, what, layer)
}

/// Fetches one artifact that is said to be about `subject`, with sizes checked before anything is read; `None` when
/// it was listed without a type and turns out to be of another one than `artifact_type`. `left_bytes` is what all
/// that follow may have.
fn fetch_typed(
    source: &dyn ImageSource,
    referrer: &Descriptor,
    subject: &Descriptor,
    artifact_type: &str,
    limits: &Limits,
    left_bytes: &mut u64,
) -> Result<Option<Artifact>> {
    let too_much = || {
        let what = format!("what refers to {} in {}", subject.digest, source.description());
        Error::TooLarge { what, limit_bytes: limits.all_bytes }
    };
    let (document, _) = fetch_referrer(source, referrer, subject)?;
    *left_bytes = left_bytes.checked_sub(referrer.size_bytes).ok_or_else(too_much)?;
    if document.artifact_type() != Some(artifact_type) {
        return Ok(None);
    }
    let what = format!("the referrer {} in {}", referrer.digest, source.description());
    let Document::Manifest(manifest) = document else {
        let problem = "it is an index".to_owned();
        return Err(Error::NoReferrer { what, subject: subject.digest, problem });
    };
    let Manifest { config, layers, subject, annotations, .. } = *manifest;
    if layers.len() > limits.layers {
        return Err(Error::TooMany { what, limit: limits.layers, of: "layers" });
    }
    let sizes = [(&config, limits.config_bytes)].into_iter();
    for (part, limit_bytes) in sizes.chain(layers.iter().map(|layer| (layer, limits.layer_bytes))) {
        if part.size_bytes > limit_bytes {
            return Err(Error::TooLarge { what: format!("{what}: the blob {}", part.digest), limit_bytes });
        }
        *left_bytes = left_bytes.checked_sub(part.size_bytes).ok_or_else(too_much)?;
    }
    Ok(Some(Artifact {
        artifact_type: artifact_type.to_owned(),
        subject,
        config: read_part(source, &what, config)?,
        layers: layers.into_iter().map(|layer| read_part(source, &what, layer)).collect::<Result<_>>()?,
        annotations,
    }))
}

/// Fetches a manifest or index that is said to be about `subject`, and checks that it is.
pub(crate) fn fetch_referrer(
    source: &dyn ImageSource,
    referrer: &Descriptor,
    subject: &Descriptor,
) -> Result<(Document, Vec<u8>)> {
    let what = format!("the referrer {} in {}", referrer.digest, source.description());
    let bytes = source.fetch(referrer)?;
    let document = Document::parse(&what, Some(&referrer.media_type), &bytes)?;
    let problem = match (document.subject(), referrer.artifact_type.as_deref(), document.artifact_type()) {
        (None, ..) => "it has no subject".to_owned(),
        (Some(other), ..) if other.digest != subject.digest => format!("its subject is {}", other.digest),
        (_, Some(listed), actual) if Some(listed) != actual => {
            let actual = actual.unwrap_or_default();
            format!("it is listed as {:?}, but is a {:?}", shortened(listed), shortened(actual))
        }
        _ => return Ok((document, bytes)),
    };
    Err(Error::NoReferrer { what, subject: subject.digest, problem })
}

fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}

fn read_part(source: &dyn ImageSource, what: &str, part: Descriptor) -> Result<Part> {
    let what = format!("{what}: the blob {}", part.digest);
    let mut bytes = Vec::new();
    let reader = source.open(&part, 0)?;
    reader
        .take(part.size_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Error::from_read(error).unwrap_or_else(|error| Error::malformed(&what, error)))?;
    part.verify(&what, &bytes)?;
    Ok(Part { media_type: part.media_type, bytes, annotations: part.annotations })
}

/// Whether the error is about one artifact's contents, as opposed to a source that fails.
pub(crate) fn is_contents(error: &Error) -> bool {
    match error {
        Error::Registry(error) => matches!(**error, RegistryError::NotFound { .. }),
        Error::NoReferrer { .. }
        | Error::Malformed { .. }
        | Error::MediaType { .. }
        | Error::Schema1 { .. }
        | Error::TooMany { .. }
        | Error::TooLarge { .. }
        | Error::NoBlob { .. } => true,
        other => other.is_verification(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact() -> Artifact {
        let annotations = BTreeMap::from([(CREATED.to_owned(), "2026-11-27T18:34:55Z".to_owned())]);
        Artifact {
            artifact_type: "application/vnd.example.note.v1".to_owned(),
            subject: Some(Descriptor::of(OCI_MANIFEST, b"image")),
            config: Part::empty(),
            layers: vec![Part::new("text/plain", "fine")],
            annotations,
        }
    }

    #[test]
    fn the_manifest_of_an_artifact_is_a_function_of_its_parts() {
        let text = String::from_utf8(artifact().manifest()).unwrap();
        let subject = Descriptor::of(OCI_MANIFEST, b"image").digest;
        let layer = Descriptor::of("text/plain", b"fine").digest;
        let expected = format!(
            r#"{{"annotations":{{"org.opencontainers.image.created":"2026-11-27T18:34:55Z"}},"artifactType":"application/vnd.example.note.v1","config":{{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","mediaType":"application/vnd.oci.empty.v1+json","size":2}},"layers":[{{"digest":"{layer}","mediaType":"text/plain","size":4}}],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2,"subject":{{"digest":"{subject}","mediaType":"application/vnd.oci.image.manifest.v1+json","size":5}}}}"#
        );
        assert_eq!(text, expected);
        let document = Document::parse("it", None, &artifact().manifest()).unwrap();
        assert_eq!(document.subject(), artifact().subject.as_ref());
        assert_eq!(document.artifact_type(), Some("application/vnd.example.note.v1"));
        let bare = Descriptor::of(OCI_MANIFEST, &artifact().manifest());
        assert_eq!(document.as_referrer(&bare), artifact().descriptor());
    }

    #[test]
    fn notes_about_the_subject_are_no_part_of_it() {
        let mut noted = artifact();
        noted.subject.as_mut().unwrap().annotations.insert("a".to_owned(), "b".to_owned());
        noted.subject.as_mut().unwrap().platform = Some("linux/arm/v7".parse().unwrap());
        assert_eq!(noted.manifest(), artifact().manifest());
    }
}
