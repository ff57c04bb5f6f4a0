//! Image references: `debian`, `quay.io/ns/name:tag`, `localhost:5000/name@sha256:…`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::BlobDigest;

mod image_name;
mod prefix;
#[cfg(test)]
mod tests;

pub use image_name::{ImageName, ImageNameError};
pub use prefix::{Prefix, PrefixError};

/// The registry that a reference without one means.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that a reference with neither tag nor digest means.
pub const DEFAULT_TAG: &str = "latest";
/// The namespace of a Docker Hub name without one.
const DEFAULT_NAMESPACE: &str = "library";
/// Longest `registry/repository` in bytes (distribution/reference, `NameTotalLengthMax`).
const NAME_MAX_BYTES: usize = 255;
/// Longest tag in bytes (distribution-spec, "Pulling manifests").
const TAG_MAX_BYTES: usize = 128;

/// A reference to an image in a registry, with every default filled in.
///
/// The grammar is that of distribution/reference, which docker, podman and containerd share, but for a registry that only
/// a capital letter tells from the beginning of a name: `Host/name`. Such a one must have a port, so that each registry
/// has one spelling. `Display` gives the canonical text: `docker.io/library/debian:latest`. Parsing the canonical text
/// gives the same reference again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<BlobDigest>,
}

impl Reference {
    /// Host of the registry, in lower case, with `:port` if one was given; an IPv6 address is in brackets.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path of the repository inside the registry, for example `library/debian`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` only when there is a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest after `@`. It decides, whatever the tag says.
    #[must_use]
    pub const fn digest(&self) -> Option<&BlobDigest> {
        self.digest.as_ref()
    }

    /// `registry/repository`, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The name without the digest, if there is a tag.
    #[must_use]
    pub fn image_name(&self) -> Option<ImageName> {
        ImageName::of(self)
    }

    /// The same tag and digest in another repository, `registry/repository` by the same grammar, if that is one.
    #[must_use]
    pub fn in_repository(&self, name: &str) -> Option<Self> {
        let (Some(registry), repository) = split_registry(name) else { return None };
        let (registry, repository) = canonical_name(Some(registry), repository).ok()?;
        Some(Self { registry, repository, ..self.clone() })
    }

    /// What stands behind `manifests/` in the registry's URL: the digest if there is one, else the tag.
    #[must_use]
    pub fn manifest_selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// Whether `text` is a tag by the distribution-spec's grammar.
    #[must_use]
    pub fn is_tag(text: &str) -> bool {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        text.len() <= TAG_MAX_BYTES
            && text.as_bytes().first().is_some_and(|first| word(*first))
            && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// A text that is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {problem}")]
pub struct ReferenceError {
    text: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("it is empty")]
    Empty,
    #[error("it is a URL; leave {0:?} out")]
    Url(String),
    #[error("{0}")]
    Digest(String),
    #[error("the tag {0:?} must be 1 to 128 of A-Z a-z 0-9 _ . - and start with a letter, digit or _")]
    Tag(String),
    #[error("the registry {0:?} is not a host name or address with an optional port")]
    Registry(String),
    #[error(
        "the name must be in lower case; is {meant:?} meant? A registry {host} needs its port, as in {host}:443"
    )]
    NotToldApart { host: String, meant: String },
    #[error("the port {0:?} is not a number from 1 to 65535")]
    Port(String),
    #[error("the name must be in lower case; is {0:?} meant?")]
    Uppercase(String),
    #[error(
        "the part {0:?} of the name must be of a-z and 0-9, with single '.', '_', '__' or '-' between them"
    )]
    Component(String),
    #[error("the name has more than 255 bytes")]
    Length,
    #[error("{0} hex digits are an image's ID or a digest, which registries do not know as a name")]
    ImageId(usize),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| ReferenceError { text: text.chars().take(300).collect(), problem })
    }
}

fn parse(text: &str) -> Result<Reference, Problem> {
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(Problem::Url(format!("{scheme}://")));
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            (rest, Some(digest.parse::<BlobDigest>().map_err(|error| Problem::Digest(error.to_string()))?))
        }
        None => (text, None),
    };
    let (name, tag) = split_tag(rest);
    if let Some(tag) = tag.filter(|tag| !Reference::is_tag(tag)) {
        return Err(Problem::Tag(tag.to_owned()));
    }
    let (registry, path) = split_registry(name);
    let (registry, repository) = canonical_name(registry, path).map_err(|problem| {
        // What is meant is all of it, not only the part that is wrong.
        let meant = format!("{}{}", name.to_ascii_lowercase(), text.strip_prefix(name).unwrap_or_default());
        match problem {
            Problem::Uppercase(_) => Problem::Uppercase(meant),
            Problem::NotToldApart { host, .. } => Problem::NotToldApart { host, meant },
            other => other,
        }
    })?;
    // Whoever gives a whole digest means no image that somebody has called so.
    if name == path && matches!(path.len(), 64 | 128) && path.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::ImageId(path.len()));
    }
    let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
    Ok(Reference { registry, repository, tag, digest })
}

/// Registry and repository with the defaults filled in.
fn canonical_name(registry: Option<&str>, repository: &str) -> Result<(String, String), Problem> {
    let registry = registry.map_or_else(|| Ok(DEFAULT_REGISTRY.to_owned()), canonical_registry)?;
    check_repository(repository)?;
    let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
        format!("{DEFAULT_NAMESPACE}/{repository}")
    } else {
        repository.to_owned()
    };
    if registry.len().saturating_add(repository.len()) >= NAME_MAX_BYTES {
        return Err(Problem::Length);
    }
    Ok((registry, repository))
}

/// A colon before the last slash belongs to a port, or to an IPv6 address.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    let last_component = text.rfind('/').map_or(0, |slash| slash.saturating_add(1));
    match text[last_component..].split_once(':') {
        Some((component, tag)) => (&text[..last_component.saturating_add(component.len())], Some(tag)),
        None => (text, None),
    }
}

/// The first component is a registry if it could not be one of a name: it has a dot, a colon
/// or a capital letter, or is `localhost`.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if is_told_from_a_name(first) || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (Some(first), rest)
        }
        _ => (None, name),
    }
}

fn is_told_from_a_name(registry: &str) -> bool {
    registry.contains(['.', ':', '[']) || registry == "localhost"
}

fn canonical_registry(text: &str) -> Result<String, Problem> {
    let bad = || Problem::Registry(text.to_owned());
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(bad)?;
            let address: Ipv6Addr = address.parse().map_err(|_| bad())?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(bad()),
            };
            (format!("[{address}]"), port)
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            if !host.split('.').all(is_host_label) {
                return Err(bad());
            }
            let host = host.to_ascii_lowercase();
            if port.is_none() && !is_told_from_a_name(&host) {
                return Err(Problem::NotToldApart { meant: format!("{host}/"), host });
            }
            (host, port)
        }
    };
    let Some(port) = port else {
        return Ok(if host == "index.docker.io" { DEFAULT_REGISTRY.to_owned() } else { host });
    };
    let bad_port = || Problem::Port(port.to_owned());
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad_port());
    }
    match port.parse::<u16>() {
        Ok(number) if number > 0 => Ok(format!("{host}:{number}")),
        _ => Err(bad_port()),
    }
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn check_repository(repository: &str) -> Result<(), Problem> {
    if repository.is_empty() {
        return Err(Problem::Empty);
    }
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Problem::Uppercase(repository.to_ascii_lowercase()));
    }
    match repository.split('/').find(|component| !is_component(component)) {
        Some(component) => Err(Problem::Component(component.to_owned())),
        None => Ok(()),
    }
}

/// `[a-z0-9]+ ( ( "." | "_" | "__" | "-"+ ) [a-z0-9]+ )*`
fn is_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separator = String::new();
    let mut seen_any = false;
    for character in component.chars() {
        match u8::try_from(character) {
            Ok(byte) if alphanumeric(byte) => {
                let joined = matches!(separator.as_str(), "" | "." | "_" | "__")
                    || separator.bytes().all(|byte| byte == b'-');
                if !joined || (!seen_any && !separator.is_empty()) {
                    return false;
                }
                separator.clear();
                seen_any = true;
            }
            Ok(b'.' | b'_' | b'-') => separator.push(character),
            _ => return false,
        }
    }
    seen_any && separator.is_empty()
}
