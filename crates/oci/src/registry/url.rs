//! URLs as far as a registry needs them: http and https, without user and fragment.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sealpack_format::reference::{DEFAULT_REGISTRY, Reference};

use crate::text::clean;

/// The host that answers for a reference's registry: Docker Hub's differs from its name.
pub(crate) fn api_host(reference: &Reference) -> &str {
    if reference.registry() == DEFAULT_REGISTRY { "registry-1.docker.io" } else { reference.registry() }
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port: what credentials are bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    /// In lower case; an IPv6 address is in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why a text is no URL that could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("it is neither http nor https")]
    Scheme,
    #[error("its host is not valid")]
    Host,
    #[error("it has a user name in it")]
    User,
    #[error("it has characters that must be escaped")]
    Characters,
}

impl Origin {
    /// The origin of `authority`, which reads `HOST` or `HOST:PORT`.
    pub(crate) fn new(scheme: Scheme, authority: &str) -> Result<Self, UrlError> {
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let behind_address = authority.rfind(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match authority[behind_address..].find(':') {
            Some(colon) => authority.split_at(behind_address + colon),
            None => (authority, ""),
        };
        let port = match port.strip_prefix(':') {
            None | Some("") => scheme.default_port(),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| UrlError::Host)?
            }
            Some(_) => return Err(UrlError::Host),
        };
        let host = host.to_ascii_lowercase();
        let valid = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            }
        };
        if valid && port > 0 { Ok(Self { scheme, host, port }) } else { Err(UrlError::Host) }
    }

    /// Whether the host can only be this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.address().is_some_and(|address| address.is_loopback())
    }

    /// The host as an address, if it is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => self.host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }

    /// `path` (with a leading slash) at this origin.
    pub(crate) fn url(&self, path: impl Into<String>) -> Url {
        Url { origin: self.clone(), path_and_query: path.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) origin: Origin,
    path_and_query: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(UrlError::Scheme),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Characters);
        }
        let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
        Ok(Origin::new(scheme, authority)?.url(format!("{}{query}", without_dots(path))))
    }

    /// The target of a `Location` header in an answer from this URL (RFC 3986, section 5.2). What should have been
    /// escaped there and can mean nothing else is taken as it stands.
    pub(crate) fn join(&self, location: &str) -> Result<Self, UrlError> {
        let location = escaped(location.split('#').next().unwrap_or_default());
        if location.is_empty() {
            return Ok(self.clone());
        }
        let scheme = self.origin.scheme.name();
        // A colon before any slash ends a scheme.
        if location.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':')) {
            return Self::parse(&location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        let directory = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
        let base = match location.chars().next() {
            Some('/') => "",
            Some('?') => path,
            _ => directory,
        };
        Self::parse(&format!("{}{base}{location}", self.origin))
    }

    /// The whole URL, as the request needs it.
    pub(crate) fn request_text(&self) -> String {
        format!("{}{}", self.origin, self.path_and_query)
    }

    /// Adds parameters to the query, escaped.
    pub(crate) fn with_query(mut self, parameters: &[(&str, &str)]) -> Self {
        for (name, value) in parameters {
            let separator = if self.path_and_query.contains('?') { '&' } else { '?' };
            self.path_and_query.push(separator);
            self.path_and_query.push_str(&form(&[(name, value)]));
        }
        self
    }
}

impl fmt::Display for Url {
    /// For messages: without the query, which may hold a signature that grants access.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path_and_query.split_once('?') {
            Some((path, _)) => write!(f, "{}{path}?…", self.origin),
            None => write!(f, "{}{}", self.origin, self.path_and_query),
        }
    }
}

/// A text that is no usable URL, for messages: its start without what grants access in those that are one, the query and
/// who is named before the host.
pub(crate) fn shown(text: &str) -> String {
    let (text, query) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
    let authority_at = text.find("//").map_or(text.len(), |slashes| slashes + 2);
    let (before, rest) = text.split_at(authority_at);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => authority.to_owned(),
    };
    let query = if query.is_empty() { "" } else { "?…" };
    clean(&format!("{before}{authority}{path}{query}"), 200)
}

/// `path` without segments `.` and `..` (RFC 3986, section 5.2.4), with a slash in front.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                // The directory itself, when it is the last.
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// `location` with those characters escaped that browsers escape there, and RFC 3986 knows in no place. Control
/// characters are not among them.
fn escaped(location: &str) -> String {
    let query_at = location.find('?').unwrap_or(location.len());
    let mut escaped = String::with_capacity(location.len());
    for (position, letter) in location.char_indices() {
        let is_path = position < query_at;
        match letter {
            ' ' | '"' | '<' | '>' => escaped.push_str(&format!("%{:02X}", u32::from(letter))),
            '`' | '{' | '}' | '^' | '|' | '\\' if is_path => {
                escaped.push_str(&format!("%{:02X}", u32::from(letter)));
            }
            letter if !letter.is_ascii() => {
                let mut buffer = [0; 4];
                let bytes = letter.encode_utf8(&mut buffer).bytes();
                escaped.extend(bytes.map(|byte| format!("%{byte:02X}")));
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// `parameters` as application/x-www-form-urlencoded.
pub(crate) fn form(parameters: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        let mut escaped = String::with_capacity(text.len());
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    escaped.push(char::from(byte));
                }
                _ => escaped.push_str(&format!("%{byte:02X}")),
            }
        }
        escaped
    };
    let pairs = parameters.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_answers_under_another_host() {
        assert_eq!(api_host(&"debian".parse::<Reference>().unwrap()), "registry-1.docker.io");
        assert_eq!(api_host(&"quay.io/a".parse::<Reference>().unwrap()), "quay.io");
    }

    #[test]
    fn origins_compare_with_their_default_ports() {
        let origin = |text: &str| Url::parse(text).unwrap().origin;
        assert_eq!(origin("https://Host"), origin("https://host:443/x"));
        assert_ne!(origin("https://host"), origin("http://host:443"));
        assert_ne!(origin("https://host"), origin("https://host:444"));
        assert_eq!(origin("http://[::1]:5000/a").to_string(), "http://[::1]:5000");
    }

    #[test]
    fn loopback_is_recognised_by_address_and_name() {
        let loopback = |authority: &str| Origin::new(Scheme::Http, authority).unwrap().is_loopback();
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.8.9.1:80", "[::1]:1"] {
            assert!(loopback(host), "{host}");
        }
        for host in ["localhost.example", "128.0.0.1", "[::2]", "127.0.0.1.example"] {
            assert!(!loopback(host), "{host}");
        }
    }

    #[test]
    fn locations_are_resolved_against_the_url() {
        let base = Url::parse("https://h:5/v2/a/blobs/x?y=z").unwrap();
        for (location, expected) in [
            ("https://cdn/b?c#d", "https://cdn/b?c"),
            ("//cdn/b", "https://cdn/b"),
            ("/b/c", "https://h:5/b/c"),
            ("c", "https://h:5/v2/a/blobs/c"),
            ("?q=1", "https://h:5/v2/a/blobs/x?q=1"),
            ("http://cdn?x", "http://cdn/?x"),
            ("/p?u=http://x", "https://h:5/p?u=http://x"),
            ("", "https://h:5/v2/a/blobs/x?y=z"),
            ("#part", "https://h:5/v2/a/blobs/x?y=z"),
            // RFC 3986, section 5.2.4 and 5.4.
            ("../uploads/u?_state=a/../b", "https://h:5/v2/a/uploads/u?_state=a/../b"),
            ("./c", "https://h:5/v2/a/blobs/c"),
            ("..", "https://h:5/v2/a/"),
            (".", "https://h:5/v2/a/blobs/"),
            ("../../../../../c", "https://h:5/c"),
            ("/v2/./x/../y/", "https://h:5/v2/y/"),
            ("https://cdn/a/b/c/./../../g", "https://cdn/a/g"),
            ("//cdn/../x", "https://cdn/x"),
            ("/a//b/../c", "https://h:5/a//c"),
            ("/a/..b/.../c.", "https://h:5/a/..b/.../c."),
            ("/a/%2e%2e/b", "https://h:5/a/%2e%2e/b"),
            // What servers do not escape.
            ("/a b/<c>?d=e f\"g", "https://h:5/a%20b/%3Cc%3E?d=e%20f%22g"),
            ("/{repo}|x?sig=a|b{c}[d]^", "https://h:5/%7Brepo%7D%7Cx?sig=a|b{c}[d]^"),
            ("/a'(b)*;c=d:e@f,$!&+~", "https://h:5/a'(b)*;c=d:e@f,$!&+~"),
            ("/ä?x=ö", "https://h:5/%C3%A4?x=%C3%B6"),
        ] {
            assert_eq!(base.join(location).unwrap().request_text(), expected, "{location}");
        }
    }

    #[test]
    fn bad_urls_are_refused() {
        for (text, error) in [
            ("ftp://h/", UrlError::Scheme),
            ("h/x", UrlError::Scheme),
            ("https:///x", UrlError::Host),
            ("https://h:0/x", UrlError::Host),
            ("https://h:99999/x", UrlError::Host),
            ("https://h h/x", UrlError::Host),
            ("https://u:p@h/x", UrlError::User),
            ("https://h/a b", UrlError::Characters),
            ("https://h/\r\nx", UrlError::Characters),
            ("https://h/ä", UrlError::Characters),
        ] {
            assert_eq!(Url::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn queries_are_escaped_on_the_wire_and_hidden_in_messages() {
        let url =
            Url::parse("https://h/token?a=b").unwrap().with_query(&[("scope", "repository:a/b:pull c")]);
        assert_eq!(url.request_text(), "https://h/token?a=b&scope=repository%3Aa%2Fb%3Apull%20c");
        assert_eq!(url.to_string(), "https://h/token?…");
    }

    /// The query of a redirect is often a signature that grants whoever has it what it leads to.
    #[test]
    fn what_is_no_url_is_told_without_what_grants_access() {
        for (text, told) in [
            ("https://ann:hunter2@cdn/x?X-Amz-Signature=hunter2", "https://…@cdn/x?…"),
            ("//ann:hunter2@cdn", "//…@cdn"),
            ("ftp://cdn/a@b?hunter2#hunter2", "ftp://cdn/a@b?…"),
            ("https://h\u{1b}h/x#hunter2", "https://h h/x?…"),
            ("https://ann:hunter2@", "https://…@"),
            ("nonsense", "nonsense"),
            ("", ""),
        ] {
            assert_eq!(shown(text), told, "{text}");
        }
        assert_eq!(shown(&"x".repeat(5000)).len(), 200);
    }
}
