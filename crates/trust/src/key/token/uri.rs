use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Which private key of which token (RFC 7512): `pkcs11:token=LABEL;object=LABEL?module-path=/usr/lib/….so`.
///
/// A key is meant if it has everything that the URI says. Of the attributes, `token`, `manufacturer`, `model`, `serial`,
/// `slot-id`, `object`, `id`, `type` (which can only be `private`), `module-path` and `pin-source` are known. An
/// unknown one in the path is refused, since nothing is known to have it; in the query it is passed over (RFC 7512,
/// section 2.3). A PIN in the URI itself, `pin-value`, is refused: command lines are for everybody to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenUri {
    pub(super) token: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) slot_id: Option<u64>,
    pub(super) object: Option<String>,
    pub(super) id: Option<Vec<u8>>,
    module_path: Option<PathBuf>,
    pin_source: Option<PinSource>,
}

/// Where a PIN is to be read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinSource {
    /// The first line of a file.
    File(PathBuf),
}

/// What is wrong with a PKCS#11 URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// Another kind of URI, or none.
    #[error("it does not begin with pkcs11:")]
    Scheme,
    /// A part without a value.
    #[error("the part {part:?} is not of the form NAME=VALUE")]
    Part {
        /// The part.
        part: String,
    },
    /// A name that occurs twice.
    #[error("{name} is given twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// A `%` that is not followed by two hexadecimal digits.
    #[error("the value of {name} has a % that no two hexadecimal digits follow")]
    Escape {
        /// Whose value.
        name: String,
    },
    /// Bytes that are not UTF-8, in something that is text.
    #[error("the value of {name} is not UTF-8")]
    Text {
        /// Whose value.
        name: String,
    },
    /// An attribute that is not known.
    #[error(
        "{name} is not supported; a key is chosen by token, manufacturer, model, serial, slot-id, object and id"
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// A value that is none of those possible.
    #[error("the value of {name} is not {wanted}")]
    Value {
        /// Whose value.
        name: &'static str,
        /// What it can be.
        wanted: &'static str,
    },
    /// The PIN itself.
    #[error(
        "a PIN in the URI (pin-value) can be read by every user of the machine; put it into a file, and that into \
         the URI: pin-source=/path/of/the/file"
    )]
    Pin,
    /// Nothing that says which key.
    #[error("it says neither object (the key's label) nor id")]
    NoKey,
}

impl TokenUri {
    /// Whether a text means to be such a URI, rather than a file's name.
    pub fn is_one(text: &str) -> bool {
        without_scheme(text).is_some()
    }

    /// The library that talks to the token, an absolute path; where there is none, p11-kit's, which knows those that
    /// are configured on the machine.
    pub fn module_path(&self) -> Option<&std::path::Path> {
        self.module_path.as_deref()
    }

    /// Where the PIN is to be read from.
    pub fn pin_source(&self) -> Option<&PinSource> {
        self.pin_source.as_ref()
    }

    fn set_path_attribute(&mut self, name: &str, value: &str) -> Result<(), UriError> {
        match name {
            "token" => set(&mut self.token, name, text(name, value)?),
            "manufacturer" => set(&mut self.manufacturer, name, text(name, value)?),
            "model" => set(&mut self.model, name, text(name, value)?),
            "serial" => set(&mut self.serial, name, text(name, value)?),
            "object" => set(&mut self.object, name, text(name, value)?),
            "id" => set(&mut self.id, name, unescape(name, value)?),
            "slot-id" => {
                let wanted = || UriError::Value { name: "slot-id", wanted: "a number" };
                set(&mut self.slot_id, name, value.parse().map_err(|_| wanted())?)
            }
            "type" if value == "private" => Ok(()),
            "type" => Err(UriError::Value { name: "type", wanted: "private: signing takes a private key" }),
            name => Err(UriError::Unknown { name: name.to_owned() }),
        }
    }

    fn set_query_attribute(&mut self, name: &str, value: &str) -> Result<(), UriError> {
        match name {
            "module-path" => {
                let path = PathBuf::from(text(name, value)?);
                if !path.is_absolute() {
                    return Err(UriError::Value { name: "module-path", wanted: "an absolute path" });
                }
                set(&mut self.module_path, name, path)
            }
            "pin-source" => set(&mut self.pin_source, name, pin_source(&text(name, value)?)?),
            "pin-value" => Err(UriError::Pin),
            _ => Ok(()),
        }
    }
}

impl FromStr for TokenUri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        let rest = without_scheme(uri).ok_or(UriError::Scheme)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut found = Self::default();
        for part in path.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = name_and_value(part)?;
            found.set_path_attribute(name, value)?;
        }
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = name_and_value(part)?;
            found.set_query_attribute(name, value)?;
        }
        if found.object.is_none() && found.id.is_none() {
            return Err(UriError::NoKey);
        }
        Ok(found)
    }
}

/// What the key and its token are called, without anything about the PIN.
impl fmt::Display for TokenUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("key")?;
        if let Some(object) = &self.object {
            write!(formatter, " {object:?}")?;
        }
        if let Some(id) = &self.id {
            write!(formatter, " with the id {}", super::super::hex(id))?;
        }
        if let Some(token) = &self.token {
            write!(formatter, " of the token {token:?}")?;
        }
        Ok(())
    }
}

fn without_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    scheme.eq_ignore_ascii_case("pkcs11").then_some(rest)
}

fn name_and_value(part: &str) -> Result<(&str, &str), UriError> {
    part.split_once('=').ok_or_else(|| UriError::Part { part: part.to_owned() })
}

fn set<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::Twice { name: name.to_owned() }),
    }
}

fn text(name: &str, value: &str) -> Result<String, UriError> {
    String::from_utf8(unescape(name, value)?).map_err(|_| UriError::Text { name: name.to_owned() })
}

/// The bytes of a value, `%41` being `A`.
fn unescape(name: &str, value: &str) -> Result<Vec<u8>, UriError> {
    let wrong = || UriError::Escape { name: name.to_owned() };
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(wrong);
    let mut bytes = value.bytes();
    let mut unescaped = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
            unescaped.push(u8::try_from(value).map_err(|_| wrong())?);
        } else {
            unescaped.push(byte);
        }
    }
    Ok(unescaped)
}

/// A path, or a URI of a file; not a program (`|…`), which RFC 7512 also leaves to the implementation.
fn pin_source(text: &str) -> Result<PinSource, UriError> {
    let path = text.strip_prefix("file:").unwrap_or(text);
    let path = path.strip_prefix("//").filter(|_| path.starts_with("///")).unwrap_or(path);
    if path.starts_with('/') && !path.starts_with("//") {
        Ok(PinSource::File(PathBuf::from(path)))
    } else {
        Err(UriError::Value { name: "pin-source", wanted: "the absolute path of a file" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<TokenUri, UriError> {
        uri.parse()
    }

    #[test]
    fn every_known_part_is_read() {
        let uri = "PKCS11:token=My%20token;manufacturer=M;model=m;serial=1f;slot-id=7;object=packs;id=%01%fF;\
                   type=private?module-path=/usr/lib/p.so&pin-source=file:/run/pin&x-else=1";
        let expected = TokenUri {
            token: Some("My token".to_owned()),
            manufacturer: Some("M".to_owned()),
            model: Some("m".to_owned()),
            serial: Some("1f".to_owned()),
            slot_id: Some(7),
            object: Some("packs".to_owned()),
            id: Some(vec![1, 255]),
            module_path: Some(PathBuf::from("/usr/lib/p.so")),
            pin_source: Some(PinSource::File(PathBuf::from("/run/pin"))),
        };
        assert_eq!(parse(uri), Ok(expected.clone()));
        assert_eq!(expected.to_string(), "key \"packs\" with the id 01ff of the token \"My token\"");
    }

    #[test]
    fn files_are_told_from_uris() {
        assert!(TokenUri::is_one("pkcs11:object=a") && TokenUri::is_one("Pkcs11:"));
        assert!(!TokenUri::is_one("pkcs11") && !TokenUri::is_one("./pkcs11:a") && !TokenUri::is_one("a.key"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let name = |name: &str| name.to_owned();
        for (uri, error) in [
            ("file:/a", UriError::Scheme),
            ("pkcs11:", UriError::NoKey),
            ("pkcs11:token=a", UriError::NoKey),
            ("pkcs11:object", UriError::Part { part: name("object") }),
            ("pkcs11:object=a;object=b", UriError::Twice { name: name("object") }),
            ("pkcs11:object=%4", UriError::Escape { name: name("object") }),
            ("pkcs11:object=%zz", UriError::Escape { name: name("object") }),
            ("pkcs11:object=%+1", UriError::Escape { name: name("object") }),
            ("pkcs11:object=%ff", UriError::Text { name: name("object") }),
            ("pkcs11:object=a;library-version=3", UriError::Unknown { name: name("library-version") }),
            ("pkcs11:object=a;slot-id=x", UriError::Value { name: "slot-id", wanted: "a number" }),
            ("pkcs11:object=a?pin-value=1234", UriError::Pin),
        ] {
            assert_eq!(parse(uri), Err(error), "{uri}");
        }
        for uri in [
            "type=cert",
            "?module-path=p.so",
            "?pin-source=|cat",
            "?pin-source=pin",
            "?pin-source=file://host/pin",
        ] {
            let error = parse(&format!("pkcs11:object=a;{uri}"));
            assert!(matches!(error, Err(UriError::Value { .. })), "{uri}: {error:?}");
        }
    }

    #[test]
    fn a_pin_file_may_be_a_path_or_a_uri() {
        for source in ["/run/pin", "file:/run/pin", "file:///run/pin"] {
            let uri = parse(&format!("pkcs11:object=a?pin-source={source}")).expect(source);
            assert_eq!(uri.pin_source(), Some(&PinSource::File(PathBuf::from("/run/pin"))), "{source}");
        }
    }
}
