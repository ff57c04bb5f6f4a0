//! The tags of a repository (distribution-spec 1.1, "Listing tags").

use std::collections::BTreeSet;

use sealpack_format::reference::Reference;
use serde::Deserialize;

use super::answer::Answer;
use super::ask::{Ask, Target};
use super::client::{Client, Endpoint};
use super::failure::Failure;
use super::pages::{next_page, read_limited};
use super::repository::Repository;
use super::url::Url;
use crate::error::{Error, Result};
use crate::json;

/// How many tags a page is asked to have. Registries may have fewer on one.
const PAGE_TAGS: usize = 1000;

/// The most pages that are asked for, and the most tags in all of them.
const PAGES_MAX: usize = 1000;
const TAGS_MAX: usize = 200_000;

#[derive(Deserialize)]
struct List {
    #[serde(default, deserialize_with = "json::or_empty")]
    tags: Vec<String>,
}

impl Repository {
    /// All tags, sorted, each once; the first of mirrors and registry that answers is believed.
    pub(super) fn tags(&self) -> Result<Vec<String>> {
        self.first(None, |client, endpoint| self.tags_at(client, endpoint))
    }

    fn tags_at(&self, client: &Client, endpoint: &Endpoint) -> Result<Vec<String>> {
        let place = self.reference.name();
        let mut found = BTreeSet::new();
        let mut target = Target::Path(format!("tags/list?n={PAGE_TAGS}"));
        for _ in 0..PAGES_MAX {
            let mut ask = Ask::get("").accept(&["application/json"]).expecting(&[200]);
            ask.target = target;
            let (tags, next) = client.ask(endpoint, &ask, |answer| page(&place, answer))?;
            found.extend(tags);
            if found.len() > TAGS_MAX {
                return Err(Error::TooMany { what: place, limit: TAGS_MAX, of: "tags" });
            }
            match next {
                Some(next) => target = Target::Url(next),
                None => return Ok(found.into_iter().collect()),
            }
        }
        Err(Error::TooMany { what: place, limit: PAGES_MAX, of: "pages of tags" })
    }
}

/// The tags on a page, and where the list goes on.
fn page(place: &str, answer: Answer) -> Result<(Vec<String>, Option<Url>), Failure> {
    let what = format!("the list of tags at {}", answer.url);
    let next = next_page(&answer)?;
    let bytes = read_limited(answer, &what)?;
    let list: List =
        serde_json::from_slice(&bytes).map_err(|error| Error::malformed(what.clone(), error.to_string()))?;
    // Whoever goes through the list takes each for a tag: with an end of line in it, one would be two things.
    let is_tag = |tag: &&String| {
        format!("{place}:{tag}").parse::<Reference>().is_ok_and(|name| name.tag() == Some(tag))
    };
    match list.tags.iter().find(|tag| !is_tag(tag)) {
        Some(other) => Err(Error::malformed(what, format!("{other:?} is no tag")).into()),
        None => Ok((list.tags, next)),
    }
}
