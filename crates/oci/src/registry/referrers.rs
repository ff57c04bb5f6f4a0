//! The referrers that a registry lists: by its API, else under the fallback tag.

use sealpack_format::BlobDigest;
use ureq::http::header;

use super::answer::Answer;
use super::ask::{Ask, Target};
use super::client::{Client, Endpoint};
use super::error::RegistryError;
use super::failure::Failure;
use super::http::drain;
use super::pages::{next_page, read_limited};
use super::repository::Repository;
use super::url::{Url, form};
use crate::error::{Error, Result};
use crate::manifest::{Descriptor, Document};
use crate::media_type::{MANIFEST_TYPES, MediaKind, OCI_INDEX};
use crate::referrers::{Collector, PAGES_MAX, fallback_tag};

/// What a registry without the API answers: 404 by the specification; the others occur.
const WITHOUT_API: [u16; 5] = [400, 404, 405, 406, 501];

/// Those of them that say nothing about what was asked for: whatever type is wanted next, the answer is the same.
const WITHOUT_API_FOR_ANY: [u16; 3] = [404, 405, 501];

/// One page of the list.
enum Page {
    Entries(Vec<Descriptor>, Option<Url>),
    /// The registry does not have the API; or it does not for this question.
    NoApi {
        for_any: bool,
    },
}

impl Repository {
    /// The referrers of `subject`. A mirror that has none is no proof that there are none: the registry
    /// itself is asked then.
    pub(super) fn referrers(
        &self,
        subject: &Descriptor,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        let last = self.endpoints.len().saturating_sub(1);
        let mut failures = Vec::new();
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let list = Lister { repository: self, number, endpoint, subject };
            match list.all(&self.reference.name(), artifact_type) {
                Ok(found) if !found.is_empty() || number == last => return Ok(found),
                Ok(_) => {}
                Err(error) if number < last => {
                    failures.push(format!("the mirror {} failed: {error}", endpoint.authority));
                }
                Err(error) if failures.is_empty() => return Err(error),
                Err(error) => {
                    let (error, mirrors) = (Box::new(error), failures);
                    return Err(Error::AfterMirrors { error, mirrors });
                }
            }
        }
        Ok(Vec::new())
    }
}

/// Asks one endpoint for the referrers of one manifest. What does not depend on the type that is wanted is asked once.
struct Lister<'a> {
    repository: &'a Repository,
    number: usize,
    endpoint: &'a Endpoint,
    subject: &'a Descriptor,
}

impl Lister<'_> {
    fn all(&self, place: &str, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        let mut found = Collector::new(place, self.subject, artifact_type);
        if !self.repository.fallbacks().without_api.contains(&self.key()) {
            self.pages(&mut found, artifact_type)?;
        }
        // A list that was written before the registry had the API may not have been taken over.
        if found.is_empty() {
            found.add(self.fallback()?)?;
        }
        Ok(found.finish())
    }

    const fn key(&self) -> (BlobDigest, usize) {
        (self.subject.digest, self.number)
    }

    /// What is under the fallback tag: nothing, where there is none.
    fn fallback(&self) -> Result<Vec<Descriptor>> {
        if let Some(listed) = self.repository.fallbacks().listed.get(&self.key()) {
            return Ok(listed.clone());
        }
        let bytes = read_fallback(&self.repository.client, self.endpoint, &self.subject.digest)?;
        let name = || tag_name(self.endpoint, self.subject);
        let listed = bytes.map_or_else(|| Ok(Vec::new()), |bytes| Document::parse_list(&name(), &bytes))?;
        self.repository.fallbacks().listed.insert(self.key(), listed.clone());
        Ok(listed)
    }

    fn pages(&self, found: &mut Collector<'_>, artifact_type: Option<&str>) -> Result<()> {
        let filter = artifact_type.map(|wanted| format!("?{}", form(&[("artifactType", wanted)])));
        let path = format!("referrers/{}{}", self.subject.digest, filter.unwrap_or_default());
        let mut target = Target::Path(path);
        for number in 0..PAGES_MAX {
            let mut ask = Ask::get("").accept(&[OCI_INDEX]).expecting(&[200, 400, 404, 405, 406, 501]);
            ask.target = target;
            let client = &self.repository.client;
            let page = client.ask(self.endpoint, &ask, |answer| self.read_page(answer, number > 0))?;
            let (entries, next) = match page {
                Page::Entries(entries, next) => (entries, next),
                Page::NoApi { for_any } => {
                    if for_any {
                        self.repository.fallbacks().without_api.insert(self.key());
                    }
                    return Ok(());
                }
            };
            found.add(entries)?;
            match next {
                Some(next) => target = Target::Url(next),
                None => return Ok(()),
            }
        }
        Err(found.too_many_pages())
    }

    fn read_page(&self, answer: Answer, later: bool) -> Result<Page, Failure> {
        let what = format!("the list of referrers at {}", answer.url);
        let status = answer.status();
        if WITHOUT_API.contains(&status) && !later {
            drain(answer.response);
            return Ok(Page::NoApi { for_any: WITHOUT_API_FOR_ANY.contains(&status) });
        }
        if status != 200 {
            let (url, problem) = (answer.url.to_string(), format!("the status {status} for a further page"));
            return Err(RegistryError::Nonsense { url, problem }.into());
        }
        let announced = answer.header(header::CONTENT_TYPE).unwrap_or_default().to_owned();
        if MediaKind::of(&announced) != MediaKind::Index && !announced.starts_with("application/json") {
            // A page for people, as a proxy in front of a registry without the API sends it.
            return Ok(Page::NoApi { for_any: false });
        }
        let next = next_page(&answer)?;
        let bytes = read_limited(answer, &what)?;
        Ok(Page::Entries(Document::parse_list(&what, &bytes)?, next))
    }
}

/// How messages name a fallback tag.
pub(super) fn tag_name(endpoint: &Endpoint, subject: &Descriptor) -> String {
    let (registry, repository) = (&endpoint.registry, &endpoint.repository);
    format!("{registry}/{repository}:{}, the list of referrers", fallback_tag(&subject.digest))
}

/// What the fallback tag of `subject` names; `None` if there is none.
pub(super) fn read_fallback(
    client: &Client,
    endpoint: &Endpoint,
    subject: &BlobDigest,
) -> Result<Option<Vec<u8>>> {
    let path = format!("manifests/{}", fallback_tag(subject));
    let ask = Ask::get(path).accept(&MANIFEST_TYPES).expecting(&[200, 404]);
    client.ask(endpoint, &ask, |answer| match answer.status() {
        404 => {
            drain(answer.response);
            Ok(None)
        }
        _ => {
            let what = format!("the list of referrers at {}", answer.url);
            read_limited(answer, &what).map(Some)
        }
    })
}
