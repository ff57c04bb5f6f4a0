//! All images of an archive, of whichever kind it is.

use std::path::Path;

use super::docker::{ArchiveChoice, read_listing};
use super::members::Members;
use crate::error::{Error, Result};
use crate::layout::choices;
use crate::manifest::MANIFEST_MAX_BYTES;
use crate::source::Source;

/// The images that the archive at `path` has, each by one of its names, as often as it has names; by its place where it has
/// none. What docker writes today is of both kinds, and is taken for an OCI layout.
///
/// # Errors
/// When the file is no archive of either kind, is compressed, or has no image.
pub fn sources(path: &Path) -> Result<Vec<Source>> {
    let members = Members::read(path)?;
    let what = path.display().to_string();
    let found: Vec<Source> = if members.has("oci-layout") {
        let index = members.read_small("index.json", MANIFEST_MAX_BYTES)?;
        let choices = choices(&what, &index)?.into_iter();
        choices.map(|choice| Source::OciArchive(path.to_owned(), choice)).collect()
    } else if members.has("manifest.json") {
        let listing = members.read_small("manifest.json", MANIFEST_MAX_BYTES)?;
        let mut found = Vec::new();
        for (number, image) in read_listing(&what, &listing)?.iter().enumerate() {
            let names = image.names.iter().filter_map(|name| name.parse().ok());
            let mut choices: Vec<_> = names.map(ArchiveChoice::Name).collect();
            if choices.is_empty() {
                choices.push(ArchiveChoice::Number(number));
            }
            found.extend(choices.into_iter().map(|choice| Source::DockerArchive(path.to_owned(), choice)));
        }
        found
    } else {
        let problem = "it has neither oci-layout nor manifest.json, so it is no archive of images";
        return Err(Error::malformed(what, problem));
    };
    match found.is_empty() {
        true => Err(Error::NoImage { what, problem: "it has no image at all".to_owned() }),
        false => Ok(found),
    }
}
