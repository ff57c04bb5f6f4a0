//! An OCI layout as a source.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};
use sealpack_format::BlobDigest;
use sealpack_format::reference::Reference;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::manifest::{Descriptor, Document, Index, MANIFEST_MAX_BYTES};
use crate::media_type::{MediaKind, OCI_INDEX};
use crate::referrers::{Collector, fallback_tag, is_fallback_tag};
use crate::transport::ImageSource;

#[cfg(test)]
mod tests;

/// The name of an image inside the layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full name that containerd and BuildKit write beside it.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Most bytes of manifests that refer to something, whose annotations are kept in memory.
const REFERRERS_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Largest `oci-layout` file.
pub(crate) const MARKER_MAX_BYTES: u64 = 64 * 1024;

/// Which image of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageChoice {
    /// The only one.
    Only,
    /// The one with this `org.opencontainers.image.ref.name`.
    Name(String),
    /// The one with this digest.
    Digest(BlobDigest),
}

impl fmt::Display for ImageChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => Ok(()),
            Self::Name(name) => write!(f, ":{name}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

/// A layout in a directory.
#[derive(Debug)]
pub struct OciLayout {
    directory: PathBuf,
    layout: LayoutIndex,
}

impl OciLayout {
    /// Opens the layout in `directory` and finds the image that `choice` means.
    ///
    /// # Errors
    /// When the directory is no layout of version 1, or has no such image, or several.
    pub fn open(directory: &Path, choice: ImageChoice) -> Result<Self> {
        let what = format!("oci:{}{choice}", directory.display());
        let marker = read_file(&directory.join("oci-layout"), MARKER_MAX_BYTES)?;
        let index = read_file(&directory.join("index.json"), MANIFEST_MAX_BYTES)?;
        let fallback = directory.canonicalize().ok();
        let fallback = fallback.as_deref().unwrap_or(directory).file_name().and_then(|name| name.to_str());
        let layout = LayoutIndex::read(what, &marker, index, choice, fallback)?;
        Ok(Self { directory: directory.to_owned(), layout })
    }

    fn blob_path(&self, descriptor: &Descriptor) -> PathBuf {
        let digest = &descriptor.digest;
        self.directory.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The blob's file, if it has the size that it should.
    fn blob(&self, descriptor: &Descriptor) -> Result<File> {
        let path = self.blob_path(descriptor);
        let (file, actual_bytes) = match open_regular(&path) {
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let (what, name) = (self.layout.what.clone(), descriptor.digest.to_string());
                return Err(Error::NoBlob { what, name });
            }
            other => other?,
        };
        if actual_bytes != descriptor.size_bytes {
            let expected_bytes = descriptor.size_bytes;
            return Err(Error::SizeMismatch {
                what: path.display().to_string(),
                expected_bytes,
                actual_bytes,
            });
        }
        Ok(file)
    }
}

impl ImageSource for OciLayout {
    fn description(&self) -> String {
        self.layout.what.clone()
    }

    fn root(&self) -> Result<(Descriptor, Vec<u8>)> {
        self.layout.root(
            |descriptor| self.fetch(descriptor),
            |digest| {
                let path = self.blob_path(&Descriptor::new("", *digest, 0));
                read_file(&path, MANIFEST_MAX_BYTES)
            },
        )
    }

    fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let path = self.blob_path(descriptor);
        let what = path.display().to_string();
        descriptor.check_fits_memory(&what)?;
        let mut bytes = Vec::new();
        let file = self.blob(descriptor)?;
        let read = file.take(descriptor.size_bytes.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|source| Error::file("read", path, source))?;
        descriptor.verify(&what, &bytes)?;
        Ok(bytes)
    }

    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let mut file = self.blob(descriptor)?;
        let path = self.blob_path(descriptor);
        let what = path.display().to_string();
        file.seek(SeekFrom::Start(offset)).map_err(|source| Error::file("seek in", path, source))?;
        Ok(Box::new(ExactReader::new(file, what, descriptor.size_bytes, offset)))
    }

    fn referrers(&self, subject: &Descriptor, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        self.layout.referrers(subject, artifact_type, |descriptor| self.fetch(descriptor))
    }

    fn tagged(&self, tag: &str) -> Result<Option<(Descriptor, Vec<u8>)>> {
        self.layout.tagged(tag, |descriptor| self.fetch(descriptor))
    }

    fn default_name(&self) -> Option<Reference> {
        self.layout.default_name.clone()
    }
}

/// What a layout's own files say, wherever they lie.
#[derive(Debug)]
pub(crate) struct LayoutIndex {
    /// The layout as messages name it.
    pub(crate) what: String,
    root: Root,
    pub(crate) default_name: Option<Reference>,
    entries: Vec<Descriptor>,
    /// Every referrer with the digest of its subject, found out once.
    referrers: OnceLock<Vec<(BlobDigest, Descriptor)>>,
}

#[derive(Debug)]
enum Root {
    /// An entry of index.json.
    Entry(Box<Descriptor>),
    /// index.json itself is the index of one image's platforms.
    Whole(Vec<u8>),
    /// A blob that only its digest names.
    Unlisted(BlobDigest),
}

impl LayoutIndex {
    /// Reads the bytes of `oci-layout` and `index.json`. `fallback` is the name that an image
    /// without one of its own gets, if it can be made one.
    pub(crate) fn read(
        what: String,
        marker: &[u8],
        index: Vec<u8>,
        choice: ImageChoice,
        fallback: Option<&str>,
    ) -> Result<Self> {
        check_version(&what, marker)?;
        let name = format!("{what}: index.json");
        let Document::Index(entries) = Document::parse(&name, Some(OCI_INDEX), &index)? else {
            return Err(Error::malformed(name, "it is no index"));
        };
        let root = choose(&what, &entries, index, &choice)?;
        let default_name = default_name(&root, &choice, fallback);
        Ok(Self { what, root, default_name, entries: entries.manifests, referrers: OnceLock::new() })
    }

    /// The referrers of `subject` among the entries of index.json: manifests that have it as theirs, and those
    /// that its fallback tag lists. `fetch` reads and verifies a blob.
    pub(crate) fn referrers(
        &self,
        subject: &Descriptor,
        artifact_type: Option<&str>,
        fetch: impl Fn(&Descriptor) -> Result<Vec<u8>>,
    ) -> Result<Vec<Descriptor>> {
        let known = match self.referrers.get() {
            Some(known) => known,
            None => {
                let found = self.find_referrers(&fetch)?;
                self.referrers.get_or_init(|| found)
            }
        };
        let mut found = Collector::new(&self.what, subject, artifact_type);
        found.add(known.iter().filter(|(of, _)| *of == subject.digest).map(|(_, entry)| entry.clone()))?;
        let tag = fallback_tag(&subject.digest);
        let mut seen = BTreeSet::new();
        let lists = self.entries.iter().filter(|entry| has_name(entry, &tag));
        for list in lists.filter(|list| seen.insert(list.digest)) {
            let what = format!("{}: {tag}, the list of referrers", self.what);
            found.add(Document::parse_list(&what, &fetch(list)?)?)?;
        }
        Ok(found.finish())
    }

    /// What the first entry of index.json means that has this name.
    pub(crate) fn tagged(
        &self,
        name: &str,
        fetch: impl Fn(&Descriptor) -> Result<Vec<u8>>,
    ) -> Result<Option<(Descriptor, Vec<u8>)>> {
        let entry = self.entries.iter().find(|entry| has_name(entry, name));
        entry.map(|entry| Ok((entry.clone(), fetch(entry)?))).transpose()
    }

    fn find_referrers(
        &self,
        fetch: &impl Fn(&Descriptor) -> Result<Vec<u8>>,
    ) -> Result<Vec<(BlobDigest, Descriptor)>> {
        let (mut found, mut found_bytes) = (Vec::new(), 0_u64);
        let mut seen = BTreeSet::new();
        let manifests = self.entries.iter().filter(|entry| entry.kind().is_manifest());
        // One that is listed a thousand times is read once.
        for entry in manifests.filter(|entry| seen.insert(entry.digest)) {
            let bytes = match fetch(entry) {
                // A layout may be a part of a larger one.
                Err(Error::NoBlob { .. }) => continue,
                other => other?,
            };
            let what = format!("{}: {}", self.what, entry.digest);
            let document = Document::parse(&what, Some(&entry.media_type), &bytes)?;
            if let Some(subject) = document.subject() {
                found_bytes = found_bytes.saturating_add(entry.size_bytes);
                if found_bytes > REFERRERS_MAX_BYTES {
                    let what = format!("the referrers in {}", self.what);
                    return Err(Error::TooLarge { what, limit_bytes: REFERRERS_MAX_BYTES });
                }
                found.push((subject.digest, document.as_referrer(entry)));
            }
        }
        Ok(found)
    }

    /// The root's descriptor and bytes. `fetch` reads and verifies a blob; `read` just reads one.
    pub(crate) fn root(
        &self,
        fetch: impl Fn(&Descriptor) -> Result<Vec<u8>>,
        read: impl Fn(&BlobDigest) -> Result<Vec<u8>>,
    ) -> Result<(Descriptor, Vec<u8>)> {
        match &self.root {
            Root::Entry(descriptor) => Ok((Descriptor::clone(descriptor), fetch(descriptor)?)),
            Root::Whole(bytes) => Ok((Descriptor::of(OCI_INDEX, bytes), bytes.clone())),
            Root::Unlisted(digest) => {
                let bytes = read(digest)?;
                let media_type = Document::sniff_media_type(&bytes).unwrap_or_default();
                let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let descriptor = Descriptor::new(&media_type, *digest, size_bytes);
                descriptor.verify(&format!("{}: {digest}", self.what), &bytes)?;
                Ok((descriptor, bytes))
            }
        }
    }
}

/// A choice for each image that the bytes of `index.json` list: by its name, the full one if it has such; by its digest where
/// it has none; and one choice for what are the platforms of one image.
pub(crate) fn choices(what: &str, index: &[u8]) -> Result<Vec<ImageChoice>> {
    let name = format!("{what}: index.json");
    let Document::Index(index) = Document::parse(&name, Some(OCI_INDEX), index)? else {
        return Err(Error::malformed(name, "it is no index"));
    };
    let images: Vec<_> = index.manifests.iter().filter(|entry| !is_about_another(entry)).collect();
    if images.len() > 1 && are_platforms(&images) {
        return Ok(vec![ImageChoice::Only]);
    }
    let mut choices = Vec::new();
    for entry in images {
        let name = entry.annotations.get(CONTAINERD_NAME).or(entry.annotations.get(REF_NAME));
        let choice = name.map_or(ImageChoice::Digest(entry.digest), |name| ImageChoice::Name(name.clone()));
        if !choices.contains(&choice) {
            choices.push(choice);
        }
    }
    Ok(choices)
}

/// Checks the bytes of `oci-layout`.
pub(crate) fn check_version(what: &str, marker: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Marker {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let marker: Marker = serde_json::from_slice(marker)
        .map_err(|error| Error::malformed(format!("{what}: oci-layout"), error))?;
    if marker.version.split('.').next() == Some("1") {
        return Ok(());
    }
    let problem = format!("the layout has the version {:?}; 1.0.0 is supported", marker.version);
    Err(Error::malformed(what, problem))
}

fn choose(what: &str, index: &Index, bytes: Vec<u8>, choice: &ImageChoice) -> Result<Root> {
    let entries = &index.manifests;
    let no_image = |problem: String| Error::NoImage { what: what.to_owned(), problem };
    let mut matching: Vec<&Descriptor> = match choice {
        ImageChoice::Only => {
            let images: Vec<_> = entries.iter().filter(|entry| !is_about_another(entry)).collect();
            if images.is_empty() { entries.iter().collect() } else { images }
        }
        ImageChoice::Name(name) => entries.iter().filter(|entry| has_name(entry, name)).collect(),
        ImageChoice::Digest(digest) => entries.iter().filter(|entry| entry.digest == *digest).collect(),
    };
    let mut seen = BTreeSet::new();
    matching.retain(|entry| seen.insert(entry.digest));
    match (&matching[..], choice) {
        ([only], _) => Ok(Root::Entry(Box::new(Descriptor::clone(only)))),
        ([], ImageChoice::Digest(digest)) => Ok(Root::Unlisted(*digest)),
        ([], ImageChoice::Name(name)) => {
            Err(no_image(format!("it has no image named {name:?}; it has {}", names(entries))))
        }
        ([], ImageChoice::Only) => Err(no_image("it has no image at all".to_owned())),
        (several, ImageChoice::Only) if are_platforms(several) => Ok(Root::Whole(bytes)),
        (_, ImageChoice::Only) => {
            Err(no_image(format!("it has several images; say which one: {}", names(entries))))
        }
        (several, _) => {
            let digests: Vec<String> = several.iter().map(|entry| format!("@{}", entry.digest)).collect();
            Err(no_image(format!("several images have that name; say which one: {}", digests.join(", "))))
        }
    }
}

/// Whether the entries are one image for several platforms, put into index.json itself.
fn are_platforms(entries: &[&Descriptor]) -> bool {
    let name = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
    let first = entries.first().map(|entry| name(entry));
    entries.iter().all(|entry| {
        let attestation = entry.annotations.contains_key("vnd.docker.reference.type");
        attestation
            || (entry.platform.is_some() && entry.kind() == MediaKind::Manifest && Some(name(entry)) == first)
    })
}

/// Whether the entry is there for the sake of another one: a referrer, or a list of them.
fn is_about_another(entry: &Descriptor) -> bool {
    let name = entry.annotations.get(REF_NAME);
    let artifact =
        entry.artifact_type.as_deref().is_some_and(|kind| MediaKind::of(kind) != MediaKind::Config);
    (artifact && name.is_none()) || name.is_some_and(|name| is_fallback_tag(name))
}

fn has_name(entry: &Descriptor, name: &str) -> bool {
    let is = |key: &str| entry.annotations.get(key).is_some_and(|value| value == name);
    is(REF_NAME) || is(CONTAINERD_NAME)
}

fn names(entries: &[Descriptor]) -> String {
    let name =
        |entry: &Descriptor| match entry.annotations.get(REF_NAME).or(entry.annotations.get(CONTAINERD_NAME))
        {
            Some(name) => format!(":{}", name.chars().take(300).collect::<String>().escape_debug()),
            None => format!("@{}", entry.digest),
        };
    let mut names: Vec<String> = entries.iter().map(name).take(20).collect();
    if entries.len() > names.len() {
        names.push(format!("and {} more", entries.len() - names.len()));
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A full name among the annotations; else `localhost/NAME:TAG`, by the layout's own name.
fn default_name(root: &Root, choice: &ImageChoice, fallback: Option<&str>) -> Option<Reference> {
    let annotation = |key: &str| match root {
        Root::Entry(entry) => entry.annotations.get(key).map(String::as_str),
        _ => None,
    };
    let full = |text: &str| {
        let registry =
            text.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost");
        registry.then(|| text.parse::<Reference>().ok()).flatten()
    };
    let own = [annotation(CONTAINERD_NAME), annotation(REF_NAME)].into_iter().flatten().find_map(full);
    if own.is_some() {
        return own;
    }
    let chosen = match choice {
        ImageChoice::Name(name) => Some(name.as_str()),
        _ => annotation(REF_NAME),
    };
    let tag = chosen.filter(|tag| Reference::is_tag(tag)).unwrap_or("latest");
    let name = fallback?.to_ascii_lowercase();
    let name = name.strip_suffix(".tar").unwrap_or(&name);
    format!("localhost/{name}:{tag}").parse().ok()
}

/// A small file whole.
pub(crate) fn read_file(path: &Path, limit_bytes: u64) -> Result<Vec<u8>> {
    read_open(&open_regular(path)?.0, path, limit_bytes)
}

/// Reads all of a file that is at `path`, if it is not longer than `limit_bytes`.
pub(crate) fn read_open(file: &File, path: &Path, limit_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| Error::file("read", path, source))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit_bytes) {
        return Err(Error::TooLarge { what: path.display().to_string(), limit_bytes });
    }
    Ok(bytes)
}

/// Opens a regular file and gives its size; anything else, a FIFO for example, is refused without blocking.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64)> {
    let failed = |source| Error::file("open", path, source);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file =
        File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    Ok((file, metadata.len()))
}

/// A reader that ends after exactly the bytes that there have to be.
pub(crate) struct ExactReader<R> {
    inner: R,
    what: String,
    size_bytes: u64,
    position: u64,
}

impl<R: Read> ExactReader<R> {
    /// Reads `inner`, which starts at `position` of a blob of `size_bytes`.
    pub(crate) fn new(inner: R, what: String, size_bytes: u64, position: u64) -> Self {
        Self { inner, what, size_bytes, position }
    }
}

impl<R: Read> Read for ExactReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let remaining = self.size_bytes.saturating_sub(self.position);
        let (what, expected_bytes) = (&self.what, self.size_bytes);
        if remaining == 0 {
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(Error::TooLong { what: what.clone(), expected_bytes }.into_read()),
            };
        }
        let wanted = usize::try_from(remaining).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..wanted])?;
        self.position += count as u64;
        if count == 0 {
            let actual_bytes = self.position;
            return Err(Error::SizeMismatch { what: what.clone(), expected_bytes, actual_bytes }.into_read());
        }
        Ok(count)
    }
}
