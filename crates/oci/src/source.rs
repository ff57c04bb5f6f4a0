//! What `SOURCE` on the command line means: a registry, a layout or an archive.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sealpack_format::BlobDigest;
use sealpack_format::reference::{Reference, ReferenceError};

use crate::archive::{ArchiveChoice, DockerArchive, OciArchive};
use crate::environment::Environment;
use crate::error::Result;
use crate::layout::{ImageChoice, OciLayout};
use crate::registry::{ClientOptions, RegistrySource};
use crate::transport::ImageSource;

/// A source by its text, which is skopeo's for these transports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `REFERENCE` or `docker://REFERENCE`.
    Registry(Reference),
    /// `oci:DIRECTORY[:TAG]` or `oci:DIRECTORY@DIGEST`.
    OciLayout(PathBuf, ImageChoice),
    /// `oci-archive:FILE[:TAG]` or `oci-archive:FILE@DIGEST`.
    OciArchive(PathBuf, ImageChoice),
    /// `docker-archive:FILE[:REFERENCE]` or `docker-archive:FILE:@NUMBER`.
    DockerArchive(PathBuf, ArchiveChoice),
}

/// A text that names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file or directory without a transport in front.
    #[error("{text:?} is a {kind}, but nothing says how to read it; try {}", quoted(suggestions))]
    BarePath {
        /// The source.
        text: String,
        /// What lies there.
        kind: &'static str,
        /// Sources that would do.
        suggestions: Vec<String>,
    },
    /// No reference either.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A transport of skopeo's that there is not here.
    #[error(
        "the transport {transport:?} is not supported; docker://, oci:, oci-archive: and docker-archive: are"
    )]
    Transport {
        /// The transport's name.
        transport: String,
    },
    /// Behind a known transport.
    #[error("{text:?} is not a source: {problem}")]
    Malformed {
        /// The source.
        text: String,
        /// What is wrong.
        problem: String,
    },
}

fn quoted(sources: &[String]) -> String {
    sources.iter().map(|source| format!("`{source}`")).collect::<Vec<_>>().join(" or ")
}

impl Source {
    /// Opens the source. A registry is not asked yet; a layout or an archive is read as far as its index.
    ///
    /// # Errors
    /// When a layout or an archive cannot be read or is none.
    pub fn open(&self, options: &ClientOptions, environment: &Environment) -> Result<Box<dyn ImageSource>> {
        Ok(match self {
            Self::Registry(reference) => {
                Box::new(RegistrySource::new(reference.clone(), options, environment))
            }
            Self::OciLayout(path, choice) => Box::new(OciLayout::open(path, choice.clone())?),
            Self::OciArchive(path, choice) => Box::new(OciArchive::open(path, choice.clone())?),
            Self::DockerArchive(path, choice) => Box::new(DockerArchive::open(path, choice.clone())?),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::OciLayout(path, choice) => write!(f, "oci:{}{choice}", path.display()),
            Self::OciArchive(path, choice) => write!(f, "oci-archive:{}{choice}", path.display()),
            Self::DockerArchive(path, choice) => write!(f, "docker-archive:{}{choice}", path.display()),
        }
    }
}

impl FromStr for Source {
    type Err = SourceError;

    /// Reads a source. A text without a transport is a reference, unless a file, a layout or
    /// an archive lies at that path: then the error suggests what to write.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(reference) = text.strip_prefix("docker://") {
            return Ok(Self::Registry(reference.parse()?));
        }
        let (transport, rest) = text.split_once(':').unwrap_or(("", text));
        match transport {
            "oci" => layout(text, rest).map(|(path, choice)| Self::OciLayout(path, choice)),
            "oci-archive" => layout(text, rest).map(|(path, choice)| Self::OciArchive(path, choice)),
            "docker-archive" => archive(text, rest).map(|(path, choice)| Self::DockerArchive(path, choice)),
            "containers-storage" | "docker-daemon" | "ostree" | "sif" | "tarball" | "atomic" => {
                Err(SourceError::Transport { transport: transport.to_owned() })
            }
            "dir" if rest.starts_with(['/', '.']) => {
                Err(SourceError::Transport { transport: transport.to_owned() })
            }
            _ => match bare_path(text) {
                Some(error) => Err(error),
                None => Ok(Self::Registry(text.parse()?)),
            },
        }
    }
}

/// `PATH`, `PATH:TAG` or `PATH@DIGEST`; the first colon ends the path, as it does for skopeo.
fn layout(text: &str, rest: &str) -> Result<(PathBuf, ImageChoice), SourceError> {
    let bad = |problem: String| SourceError::Malformed { text: text.to_owned(), problem };
    let digest_at = rest.find("@sha256:").or_else(|| rest.find("@sha512:"));
    let (path, choice) = match (digest_at, rest.split_once(':')) {
        (Some(at), _) => {
            let digest = rest[at + 1..].parse::<BlobDigest>().map_err(|error| bad(error.to_string()))?;
            (&rest[..at], ImageChoice::Digest(digest))
        }
        (None, Some((_, ""))) => return Err(bad("there is no tag behind the colon".to_owned())),
        (None, Some((path, name))) => (path, ImageChoice::Name(name.to_owned())),
        (None, None) => (rest, ImageChoice::Only),
    };
    if path.is_empty() {
        return Err(bad("there is no path behind the transport".to_owned()));
    }
    Ok((PathBuf::from(path), choice))
}

/// `PATH`, `PATH:REFERENCE` or `PATH:@NUMBER`.
fn archive(text: &str, rest: &str) -> Result<(PathBuf, ArchiveChoice), SourceError> {
    let bad = |problem: String| SourceError::Malformed { text: text.to_owned(), problem };
    let (path, choice) = match rest.split_once(':') {
        None => (rest, ArchiveChoice::Only),
        Some((path, name)) => match name.strip_prefix('@') {
            Some(number) => {
                let number = number.parse().map_err(|_| bad(format!("{number:?} is not a number")))?;
                (path, ArchiveChoice::Number(number))
            }
            None => (path, ArchiveChoice::Name(name.parse()?)),
        },
    };
    if path.is_empty() {
        return Err(bad("there is no path behind the transport".to_owned()));
    }
    Ok((PathBuf::from(path), choice))
}

/// An error when the text is the path of something that may be meant. A directory that is no
/// layout is not, if its name could be that of an image: `debian` means Debian's.
fn bare_path(text: &str) -> Option<SourceError> {
    let path = Path::new(text);
    let reference = text.parse::<Reference>();
    let layout = path.join("oci-layout").is_file();
    let (kind, suggestions) = if path.is_file() {
        ("file", vec![format!("oci-archive:{text}"), format!("docker-archive:{text}")])
    } else if path.is_dir() && (layout || reference.is_err()) {
        ("directory", vec![format!("oci:{text}")])
    } else {
        return None;
    };
    let registry = reference.is_ok().then(|| format!("docker://{text}"));
    let suggestions = suggestions.into_iter().chain(registry).collect();
    Some(SourceError::BarePath { text: text.to_owned(), kind, suggestions })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn source(text: &str) -> Source {
        text.parse().unwrap()
    }

    #[test]
    fn references_need_no_transport() {
        let debian: Reference = "debian".parse().unwrap();
        assert_eq!(source("debian"), Source::Registry(debian.clone()));
        assert_eq!(source("docker://debian"), Source::Registry(debian));
        let local: Reference = "localhost:5000/a:b".parse().unwrap();
        assert_eq!(source("localhost:5000/a:b"), Source::Registry(local));
    }

    #[test]
    fn transports_are_skopeos() {
        assert_eq!(source("oci:/a/b"), Source::OciLayout("/a/b".into(), ImageChoice::Only));
        assert_eq!(source("oci:a:1.0"), Source::OciLayout("a".into(), ImageChoice::Name("1.0".into())));
        let named = ImageChoice::Name("docker.io/library/a:1".into());
        assert_eq!(source("oci:a:docker.io/library/a:1"), Source::OciLayout("a".into(), named));
        let digest = format!("sha256:{HEX}");
        let by_digest = ImageChoice::Digest(digest.parse().unwrap());
        assert_eq!(
            source(&format!("oci-archive:x.tar@{digest}")),
            Source::OciArchive("x.tar".into(), by_digest)
        );
        assert_eq!(
            source("docker-archive:x.tar"),
            Source::DockerArchive("x.tar".into(), ArchiveChoice::Only)
        );
        let name = ArchiveChoice::Name("a:1".parse().unwrap());
        assert_eq!(source("docker-archive:x.tar:a:1"), Source::DockerArchive("x.tar".into(), name));
        let number = ArchiveChoice::Number(2);
        assert_eq!(source("docker-archive:x.tar:@2"), Source::DockerArchive("x.tar".into(), number));
    }

    #[test]
    fn the_text_of_a_source_gives_the_source() {
        let by_digest = format!("oci:a@sha256:{HEX}");
        for text in
            ["debian", "oci:a:b", &by_digest, "oci-archive:/x", "docker-archive:x:a:1", "docker-archive:x:@1"]
        {
            assert_eq!(source(&source(text).to_string()), source(text));
        }
    }

    #[test]
    fn bad_sources_say_what_is_wrong() {
        let problem = |text: &str| text.parse::<Source>().unwrap_err().to_string();
        assert!(problem("oci:").contains("no path"));
        assert!(problem("oci:a:").contains("no tag"));
        assert!(problem("oci:a@sha256:00").contains("sha256 has 64 hexadecimal digits"));
        assert!(problem("docker-archive:x:@y").contains("not a number"));
        assert!(problem("docker-archive:x:A B").contains("not an image reference"));
        assert!(problem("docker-daemon:debian:12").contains("\"docker-daemon\" is not supported"));
        assert!(problem("dir:/x").contains("\"dir\" is not supported"));
        assert!(problem("docker://").contains("empty"));
    }

    #[test]
    fn a_path_without_a_transport_is_explained() {
        let directory = tempfile::TempDir::new().unwrap();
        let file = directory.path().join("image.tar");
        std::fs::write(&file, "x").unwrap();
        let error = file.to_str().unwrap().parse::<Source>().unwrap_err();
        assert!(error.to_string().contains("is a file"));
        assert!(error.to_string().contains(&format!("or `docker-archive:{}`", file.display())));
        let error = directory.path().to_str().unwrap().parse::<Source>().unwrap_err();
        assert!(error.to_string().ends_with(&format!("try `oci:{}`", directory.path().display())));
    }
}
