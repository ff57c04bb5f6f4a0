//! What servers do to contents on their way although nobody asked for it (RFC 9110, section 8.4): `Content-Encoding`.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ureq::http::{HeaderMap, header};

/// How contents are coded on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all, as it was asked for.
    Identity,
    /// With gzip.
    Gzip,
    /// In another way: its name.
    Other(String),
}

impl Coding {
    /// What the headers of an answer say.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::CONTENT_ENCODING).iter();
        let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let codings = values.iter().flat_map(|value| value.split(',')).map(str::trim);
        let codings: Vec<String> = codings
            .map(str::to_ascii_lowercase)
            .filter(|name| !matches!(&name[..], "" | "identity"))
            .collect();
        match &codings.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => Self::Identity,
            ["gzip" | "x-gzip"] => Self::Gzip,
            several => Self::Other(several.join(", ")),
        }
    }
}

/// Reads what is in `body`, which is coded with gzip as a header says. Some say so of what is not.
pub(super) fn gunzip<'a>(body: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut body = BufReader::new(body);
    Ok(match body.fill_buf()? {
        [0x1f, ..] => Box::new(MultiGzDecoder::new(body)),
        _ => Box::new(body),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_read_from_all_headers_whatever_their_case() {
        let of = |values: &[&str]| {
            let values = values.iter().map(|value| (header::CONTENT_ENCODING, value.parse().unwrap()));
            Coding::of(&values.fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            }))
        };
        assert_eq!(of(&[]), Coding::Identity);
        assert_eq!(of(&["identity", ""]), Coding::Identity);
        for gzip in [&["gzip"][..], &["GZip"], &["x-gzip"], &["identity, gzip"], &["", " gzip "]] {
            assert_eq!(of(gzip), Coding::Gzip, "{gzip:?}");
        }
        assert_eq!(of(&["br"]), Coding::Other("br".to_owned()));
        assert_eq!(of(&["gzip", "zstd"]), Coding::Other("gzip, zstd".to_owned()));
        assert_eq!(of(&["gzip, gzip"]), Coding::Other("gzip, gzip".to_owned()));
    }
}
