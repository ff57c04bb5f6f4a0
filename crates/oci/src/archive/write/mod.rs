//! Archives that are written: the whole file anew, the same bytes for the same images.
//!
//! All is found and checked first ([`Plan`](crate::copy)). What the archive lists comes first in it, so that whoever
//! reads it as a stream knows what follows; then the blobs, in the order of their digests. The file has its name when
//! it is whole.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sealpack_format::reference::Reference;

use crate::archive::ArchiveChoice;
use crate::artifact::LeftOut;
use crate::copy::{Copied, CopyOptions, Event, Figures, Observer, Plan};
use crate::error::{Error, Result};
use crate::layout::ImageChoice;
use crate::manifest::Descriptor;
use crate::source::{Source, SourceError};
use crate::transport::ImageSource;

mod blob;
mod docker;
mod file;
mod header;
mod oci;
#[cfg(test)]
mod tests;

use file::ArchiveFile;

/// Which kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveForm {
    /// An OCI layout in a tar: manifests, blobs and referrers as they are.
    Oci,
    /// What `docker load` has always taken: configs and uncompressed layers. Manifests and referrers have no place in it.
    Docker,
}

impl ArchiveForm {
    /// `oci-archive` or `docker-archive`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oci => "oci-archive",
            Self::Docker => "docker-archive",
        }
    }
}

impl fmt::Display for ArchiveForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Neither `oci-archive` nor `docker-archive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an archive is an oci-archive or a docker-archive")]
pub struct ArchiveFormParseError;

impl FromStr for ArchiveForm {
    type Err = ArchiveFormParseError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Oci, Self::Docker].into_iter().find(|form| form.name() == name).ok_or(ArchiveFormParseError)
    }
}

/// An archive that is to be written with one image, by its text: `oci-archive:FILE[:NAME]`,
/// `docker-archive:FILE[:REFERENCE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArchive {
    /// Its kind.
    pub form: ArchiveForm,
    /// The file, which is replaced if it is there.
    pub path: PathBuf,
    /// What the image is called in it.
    pub name: Option<String>,
}

impl NewArchive {
    /// The archive that `text` names, or a sentence about what is wrong with it; none where that is no archive's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        if !text.starts_with("oci-archive:") && !text.starts_with("docker-archive:") {
            return None;
        }
        let wrong = |problem: &str| format!("{text:?} is no target: {problem}");
        Some(match text.parse::<Source>() {
            Ok(Source::OciArchive(path, ImageChoice::Only)) => {
                Ok(Self { form: ArchiveForm::Oci, path, name: None })
            }
            Ok(Source::OciArchive(path, ImageChoice::Name(name))) => {
                Ok(Self { form: ArchiveForm::Oci, path, name: Some(name) })
            }
            Ok(Source::DockerArchive(path, ArchiveChoice::Only)) => {
                Ok(Self { form: ArchiveForm::Docker, path, name: None })
            }
            Ok(Source::DockerArchive(path, ArchiveChoice::Name(name))) if name.digest().is_none() => {
                Ok(Self { form: ArchiveForm::Docker, path, name: Some(name.to_string()) })
            }
            Ok(_) => Err(wrong("an image that is written gets a name with a tag, or none")),
            Err(SourceError::Malformed { problem, .. }) => Err(wrong(&problem)),
            Err(error) => Err(wrong(&error.to_string())),
        })
    }
}

impl fmt::Display for NewArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.form, self.path.display())?;
        self.name.iter().try_for_each(|name| write!(f, ":{name}"))
    }
}

/// An image for an archive.
#[derive(Clone, Copy)]
pub struct Packed<'a> {
    /// Where it is.
    pub source: &'a dyn ImageSource,
    /// What it is called in the archive.
    pub name: Option<&'a str>,
}

impl fmt::Debug for Packed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed")
            .field("source", &self.source.description())
            .field("name", &self.name)
            .finish()
    }
}

/// What is in an archive that was written.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The manifest or index of each image, in the order in which they were given.
    pub roots: Vec<Descriptor>,
    /// The number of manifests and indexes, referrers not counted.
    pub manifests: usize,
    /// The number of referrers.
    pub referrers: usize,
    /// What was listed as a referrer but is none, or has no place in such an archive.
    pub left_out: Vec<LeftOut>,
    /// Configs and layers.
    pub blobs: Figures,
    /// The size of the archive.
    pub size_bytes: u64,
}

impl From<Saved> for Copied {
    /// What came of a copy of one image.
    ///
    /// # Panics
    /// Where there is none, which [`save`] refuses.
    fn from(mut saved: Saved) -> Self {
        Self {
            root: saved.roots.pop().expect("an archive has an image"),
            manifests: saved.manifests,
            referrers: saved.referrers,
            left_out: saved.left_out,
            fallback_tags: Vec::new(),
            blobs: saved.blobs,
        }
    }
}

/// Writes an archive of `images` to `path`; a regular file that is there is replaced.
///
/// # Errors
/// When something cannot be had whole, is not what its descriptor says, breaks a limit, or cannot be written. The file is as
/// it was then.
pub fn save(
    form: ArchiveForm,
    path: &Path,
    images: &[Packed<'_>],
    options: &CopyOptions,
    observer: &dyn Observer,
) -> Result<Saved> {
    let what = format!("{form}:{}", path.display());
    check_names(&what, images)?;
    let planned = images.iter().map(|image| {
        let plan = Plan::make(image.source, options)?;
        plan.check_whole(image.source)?;
        Ok(PlannedImage { image: *image, plan })
    });
    let mut planned = planned.collect::<Result<Vec<_>>>()?;
    if form == ArchiveForm::Docker {
        planned.iter_mut().for_each(|one| docker::leave_referrers(&mut one.plan));
    }
    let left_out: Vec<LeftOut> = planned.iter().flat_map(|one| one.plan.left_out.iter().cloned()).collect();
    left_out.iter().for_each(|left_out| observer.event(&Event::LeftOut(left_out)));
    let mut file = ArchiveFile::create(path)?;
    let (blobs, counts) = match form {
        ArchiveForm::Oci => oci::write(&mut file, &what, &planned, observer)?,
        ArchiveForm::Docker => docker::write(&mut file, &what, &planned, observer)?,
    };
    let size_bytes = file.finish()?;
    let roots = planned.iter().filter_map(|one| one.plan.images.last()).map(|root| root.descriptor.clone());
    let Counts { manifests, referrers } = counts;
    Ok(Saved { roots: roots.collect(), manifests, referrers, left_out, blobs, size_bytes })
}

/// An image, and what it consists of.
struct PlannedImage<'a> {
    image: Packed<'a>,
    plan: Plan,
}

/// How many manifests there are in an archive, each counted once.
struct Counts {
    manifests: usize,
    referrers: usize,
}

/// That no two images have one name, and that none is without where there are several.
fn check_names(what: &str, images: &[Packed<'_>]) -> Result<()> {
    let refused = |problem: String| Err(Error::Unsaved { what: what.to_owned(), problem });
    for (number, image) in images.iter().enumerate() {
        match image.name {
            Some(name) if images[..number].iter().any(|other| other.name == Some(name)) => {
                return refused(format!("two of its images are called {name}"));
            }
            None if images.len() > 1 => {
                return refused(format!("{} has no name in it", image.source.description()));
            }
            _ => {}
        }
    }
    match images {
        [] => refused("no image was given".to_owned()),
        _ => Ok(()),
    }
}

/// The name as one that leads to a registry, if it says all of it: with the registry, and with a tag.
fn full_name(name: &str) -> Option<Reference> {
    let reference: Reference = name.parse().ok()?;
    (reference.to_string() == name && reference.digest().is_none()).then_some(reference)
}
