//! Lists that a registry gives in pages: of referrers, of tags.

use ureq::http::header;

use super::answer::Answer;
use super::error::RegistryError;
use super::failure::Failure;
use super::url::Url;
use crate::error::Error;
use crate::manifest::MANIFEST_MAX_BYTES;

/// A page's bytes, no more than a manifest may have.
pub(super) fn read_limited(answer: Answer, what: &str) -> Result<Vec<u8>, Failure> {
    let too_large = || Error::TooLarge { what: what.to_owned(), limit_bytes: MANIFEST_MAX_BYTES };
    if answer.length().is_some_and(|length| length > MANIFEST_MAX_BYTES) {
        return Err(too_large().into());
    }
    let bytes = answer.read_up_to(MANIFEST_MAX_BYTES)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= MANIFEST_MAX_BYTES => Ok(bytes),
        _ => Err(too_large().into()),
    }
}

/// Where the list goes on, if it does (RFC 8288). Another host has no part in it.
pub(super) fn next_page(answer: &Answer) -> Result<Option<Url>, Failure> {
    let links = answer.response.headers().get_all(header::LINK).iter();
    let Some(link) = links.filter_map(|value| next_link(value.to_str().ok()?)).next() else {
        return Ok(None);
    };
    let nonsense = |problem: String| RegistryError::Nonsense { url: answer.url.to_string(), problem };
    let next = answer
        .url
        .join(&link)
        .map_err(|error| nonsense(format!("the link to its next page is no usable URL: {error}")))?;
    if next.origin != answer.url.origin {
        return Err(nonsense(format!("its next page is said to be at another place, {}", next.origin)).into());
    }
    Ok(Some(next))
}

/// The target of the link with `rel="next"` in a `Link` header.
fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, behind)) = rest.split_once('<') {
        let (target, parameters) = behind.split_once('>')?;
        let end = parameters.find(",").unwrap_or(parameters.len());
        let is_next = parameters[..end].split(';').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
        });
        if is_next {
            return Some(target.to_owned());
        }
        rest = &parameters[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_link_to_the_next_page_counts() {
        let next = |header: &str| next_link(header);
        assert_eq!(next("</v2/a?n=1>; rel=\"next\"").as_deref(), Some("/v2/a?n=1"));
        assert_eq!(next("<a>; rel=prev, <b>; REL=next").as_deref(), Some("b"));
        assert_eq!(next("<a>;x=y;rel=next").as_deref(), Some("a"));
        for none in ["", "<a>", "<a>; rel=prev", "<a; rel=next", "a; rel=next"] {
            assert_eq!(next(none), None, "{none}");
        }
    }
}
