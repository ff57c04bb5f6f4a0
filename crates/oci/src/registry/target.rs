//! A registry as a target: blobs by upload or mount, manifests, and referrers where the registry keeps no
//! list of them (distribution-spec 1.1, "Pushing").

use sealpack_format::BlobDigest;
use sealpack_format::reference::Reference;
use serde_json::{Value, json};
use ureq::http::{Method, header};

use super::ask::{Ask, RequestBody};
use super::client::{Client, Endpoint, Speech};
use super::error::RegistryError;
use super::options::ClientOptions;
use super::referrers::{read_fallback, tag_name};
use super::upload::{Upload, exists, new_location};
use super::url::{api_host, form};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::json;
use crate::manifest::{Descriptor, Document, MANIFEST_MAX_BYTES};
use crate::media_type::{MANIFEST_TYPES, OCI_INDEX};
use crate::referrers::{REFERRERS_MAX, fallback_tag};
use crate::transport::{ImageTarget, Naming, Open, Pushed, check_manifest};

/// How often a list of referrers is written that others write too.
const WRITES_MAX: u32 = 5;

/// A repository to be written to, and the name for what is written.
///
/// Mirrors are not asked: what is written goes to the registry itself.
pub struct RegistryTarget {
    reference: Reference,
    client: Client,
    endpoint: Endpoint,
    chunk_bytes: u64,
}

impl RegistryTarget {
    /// The repository of `reference`. `mount_from` is the repository of the same registry that blobs may be
    /// mounted from.
    #[must_use]
    pub fn new(
        reference: Reference,
        mount_from: Option<&str>,
        options: &ClientOptions,
        environment: &Environment,
    ) -> Self {
        let speech = if options.plain_http { Speech::Http } else { Speech::HttpsUnlessLoopback };
        let (host, repository) = (api_host(&reference), reference.repository());
        let endpoint = Endpoint::new(host, speech, repository, reference.registry(), options.retry.retries);
        Self {
            client: Client::new(options, environment),
            endpoint: endpoint.for_pushing(mount_from),
            chunk_bytes: options.chunk_bytes,
            reference,
        }
    }

    /// Puts a manifest under a tag or its digest, and gives the subject that the registry says it filed it under.
    fn put(&self, selector: &str, manifest: &Descriptor, bytes: &[u8]) -> Result<Option<String>> {
        let ask = Ask::get(format!("manifests/{selector}"))
            .with_method(Method::PUT)
            .with_header(header::CONTENT_TYPE, &manifest.media_type)
            .with_body(RequestBody::Bytes(bytes))
            .expecting(&[200, 201, 202, 204]);
        self.client.ask(&self.endpoint, &ask, |answer| {
            let stored =
                answer.header("docker-content-digest").and_then(|text| text.parse::<BlobDigest>().ok());
            let same_kind = stored.filter(|stored| stored.algorithm() == manifest.digest.algorithm());
            if let Some(actual) = same_kind.filter(|stored| *stored != manifest.digest) {
                let problem = format!("it stored {actual} in place of {}", manifest.digest);
                return Err(RegistryError::Nonsense { url: answer.url.to_string(), problem }.into());
            }
            Ok(answer.header("oci-subject").map(str::to_owned))
        })
    }

    /// Adds a referrer to the list under the fallback tag. Others may write it at the same time; who finds its
    /// entry gone writes it again.
    fn list_referrer(&self, subject: &Descriptor, entry: &Descriptor) -> Result<String> {
        let what = tag_name(&self.endpoint, subject);
        let tag = fallback_tag(&subject.digest);
        for repetition in 1..=WRITES_MAX {
            let Some(index) = self.extended(&what, subject, entry)? else { return Ok(tag) };
            self.put(&tag, &Descriptor::of(OCI_INDEX, &index), &index)?;
            if self.extended(&what, subject, entry)?.is_none() {
                return Ok(tag);
            }
            std::thread::sleep(self.client.retry.delay(repetition, None));
        }
        let entry = entry.digest.to_string();
        Err(RegistryError::Raced { what, entry, attempts: WRITES_MAX }.into())
    }

    /// The list with `entry` added; `None` if it has it. What is in it stays as it is.
    fn extended(&self, what: &str, subject: &Descriptor, entry: &Descriptor) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = read_fallback(&self.client, &self.endpoint, &subject.digest)? else {
            return Ok(Some(index_of(vec![entry.to_json()])));
        };
        let listed = Document::parse_list(what, &bytes)?;
        if listed.iter().any(|listed| listed.digest == entry.digest) {
            return Ok(None);
        }
        if listed.len() >= REFERRERS_MAX {
            return Err(Error::TooMany { what: what.to_owned(), limit: REFERRERS_MAX - 1, of: "entries" });
        }
        let mut index: Value =
            serde_json::from_slice(&bytes).map_err(|error| Error::malformed(what, error))?;
        json::entries_of(&mut index, "manifests").push(entry.to_json());
        index["mediaType"] = OCI_INDEX.into();
        let bytes = index.to_string().into_bytes();
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MANIFEST_MAX_BYTES) {
            return Err(Error::TooLarge { what: what.to_owned(), limit_bytes: MANIFEST_MAX_BYTES });
        }
        Ok(Some(bytes))
    }
}

fn index_of(entries: Vec<Value>) -> Vec<u8> {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string().into_bytes()
}

impl ImageTarget for RegistryTarget {
    fn description(&self) -> String {
        self.reference.to_string()
    }

    fn has_blob(&self, blob: &Descriptor) -> Result<bool> {
        exists(&self.client, &self.endpoint, blob)
    }

    fn has_manifest(&self, manifest: &Descriptor) -> Result<bool> {
        let ask = Ask::get(format!("manifests/{}", manifest.digest))
            .with_method(Method::HEAD)
            .accept(&MANIFEST_TYPES)
            .expecting(&[200, 404]);
        self.client.ask(&self.endpoint, &ask, |answer| Ok(answer.status() == 200))
    }

    fn mount_blob(&self, blob: &Descriptor, from: &Reference) -> Result<bool> {
        if from.registry() != self.reference.registry() || from.repository() == self.reference.repository() {
            return Ok(false);
        }
        let query = form(&[("mount", &blob.digest.to_string()), ("from", from.repository())]);
        let ask = Ask::get(format!("blobs/uploads/?{query}"))
            .with_method(Method::POST)
            .with_body(RequestBody::Bytes(b""))
            .expecting(&[201, 202, 400, 404, 405]);
        let begun = self.client.ask(&self.endpoint, &ask, |answer| match answer.status() {
            201 => Ok(None),
            // An ordinary upload was begun in its place.
            202 => new_location(&answer).map(|location| Some(Some(location))),
            _ => Ok(Some(None)),
        })?;
        if let Some(Some(location)) = &begun {
            let ask = Ask::get_url(location.clone()).with_method(Method::DELETE).expecting(&[200, 202, 204]);
            // An upload that cannot be ended is forgotten in time.
            drop(self.client.once(&self.endpoint, &ask));
        }
        Ok(begun.is_none())
    }

    fn put_blob(&self, blob: &Descriptor, open: &Open<'_>, sent: &dyn Fn(u64)) -> Result<()> {
        let what = format!("the blob {} for {}", blob.digest, self.reference.name());
        let place = (&self.client, &self.endpoint);
        Upload::new(place, blob, what, open, sent, self.chunk_bytes).run()
    }

    fn put_manifest(&self, manifest: &Descriptor, bytes: &[u8], naming: Naming) -> Result<Pushed> {
        let what = format!("the manifest {} for {}", manifest.digest, self.reference.name());
        let document = check_manifest(&what, manifest, bytes)?;
        let selector = match naming {
            Naming::Digest => manifest.digest.to_string(),
            Naming::Target => {
                if let Some(expected) = self.reference.digest().filter(|wanted| **wanted != manifest.digest) {
                    let (what, actual) = (format!("what is to become {}", self.reference), manifest.digest);
                    return Err(Error::DigestMismatch { what, expected: *expected, actual });
                }
                self.reference.tag().map_or_else(|| manifest.digest.to_string(), str::to_owned)
            }
        };
        let filed = self.put(&selector, manifest, bytes)?;
        let Some(subject) = document.subject() else { return Ok(Pushed::default()) };
        match filed {
            Some(filed) if filed == subject.digest.to_string() => Ok(Pushed::default()),
            Some(filed) => {
                let filed: String = filed.chars().take(200).collect();
                let problem = format!("it filed {what} under the subject {filed:?}, not {}", subject.digest);
                Err(RegistryError::Nonsense { url: self.reference.name(), problem }.into())
            }
            None => {
                let tag = self.list_referrer(subject, &document.as_referrer(manifest))?;
                Ok(Pushed { fallback_tag: Some(tag) })
            }
        }
    }
}
