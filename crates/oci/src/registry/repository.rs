//! A repository with its mirrors: who is asked, and who is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealpack_format::reference::Reference;
use sealpack_format::{Algorithm, BlobDigest};
use ureq::http::header;

use super::answer::Answer;
use super::client::{Client, Endpoint};
use super::error::RegistryError;
use super::failure::Failure;
use crate::error::{Error, Result};
use crate::hash::blob_digest;
use crate::manifest::{Descriptor, Document, MANIFEST_MAX_BYTES};
use crate::media_type::MediaKind;

/// What the source and its open blobs share.
pub(super) struct Repository {
    pub(super) reference: Reference,
    pub(super) client: Client,
    /// The mirrors in order, the registry itself last.
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) trust: Mutex<Trust>,
    /// What was found under fallback tags, when it was first asked for: all types of referrers are in one list.
    pub(super) fallbacks: Mutex<Fallbacks>,
}

/// What an endpoint has of a subject where its API lists none; endpoints go by their number.
#[derive(Default)]
pub(super) struct Fallbacks {
    /// Where there is no API to ask again.
    pub(super) without_api: BTreeSet<(BlobDigest, usize)>,
    /// The entries under the tag.
    pub(super) listed: BTreeMap<(BlobDigest, usize), Vec<Descriptor>>,
}

/// Who gave what; endpoints go by their number.
#[derive(Default)]
pub(super) struct Trust {
    pub(super) served: BTreeMap<BlobDigest, usize>,
    /// Those that gave wrong bytes for a blob.
    pub(super) liars: BTreeSet<(BlobDigest, usize)>,
}

impl Repository {
    pub(super) fn blob_name(&self, descriptor: &Descriptor) -> String {
        format!("the blob {} of {}", descriptor.digest, self.reference.name())
    }

    /// The first endpoint's answer that is one. `blob` is what is asked for, if it has a digest:
    /// endpoints that gave other bytes for it are passed over.
    pub(super) fn first<T>(
        &self,
        blob: Option<&BlobDigest>,
        ask: impl Fn(&Client, &Endpoint) -> Result<T>,
    ) -> Result<T> {
        let mut failures = Vec::new();
        let last = self.endpoints.len().saturating_sub(1);
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let lied = blob.is_some_and(|digest| self.trust().liars.contains(&(*digest, number)));
            if lied && number < last {
                failures.push(format!("the mirror {} gave wrong bytes", endpoint.authority));
                continue;
            }
            match ask(&self.client, endpoint) {
                Ok(done) => {
                    if let Some(digest) = blob {
                        self.trust().served.insert(*digest, number);
                    }
                    return Ok(done);
                }
                Err(error) if number < last => {
                    failures.push(format!("the mirror {} failed: {error}", endpoint.authority));
                }
                Err(error) if failures.is_empty() => return Err(error),
                Err(error) => {
                    return Err(Error::AfterMirrors { error: Box::new(error), mirrors: failures });
                }
            }
        }
        // There is always the registry itself.
        Err(Error::malformed(self.reference.to_string(), "there is nobody to ask"))
    }

    pub(super) fn fallbacks(&self) -> MutexGuard<'_, Fallbacks> {
        self.fallbacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read_root(&self, answer: Answer) -> Result<(Descriptor, Vec<u8>), Failure> {
        self.read_manifest(self.reference.to_string(), self.reference.digest().copied(), answer)
    }

    /// What another tag of the repository means.
    pub(super) fn read_tagged(&self, tag: &str, answer: Answer) -> Result<(Descriptor, Vec<u8>), Failure> {
        self.read_manifest(format!("{}:{tag}", self.reference.name()), None, answer)
    }

    /// A manifest or index of whatever digest, or of the one that was asked for.
    fn read_manifest(
        &self,
        what: String,
        asked: Option<BlobDigest>,
        answer: Answer,
    ) -> Result<(Descriptor, Vec<u8>), Failure> {
        let url = answer.url.to_string();
        if answer.status() != 200 {
            let problem = format!("the status {} for a manifest", answer.status());
            return Err(RegistryError::Nonsense { url, problem }.into());
        }
        let announced = answer.header(header::CONTENT_TYPE).map(str::to_owned);
        let claimed = answer.response.headers().get("docker-content-digest");
        let claimed = claimed.and_then(|value| value.to_str().ok()?.parse::<BlobDigest>().ok());
        if answer.length().is_some_and(|length| length > MANIFEST_MAX_BYTES) {
            return Err(too_large(&what).into());
        }
        let bytes = answer.read_up_to(MANIFEST_MAX_BYTES)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MANIFEST_MAX_BYTES) {
            return Err(too_large(&what).into());
        }
        // What the registry claims is compared, but the name of the image is what was hashed here.
        for expected in asked.into_iter().chain(claimed) {
            let actual = blob_digest(expected.algorithm(), &bytes);
            if actual != expected {
                let what = format!("the manifest {what}");
                return Err(Error::DigestMismatch { what, expected, actual }.into());
            }
        }
        let digest = asked.unwrap_or_else(|| blob_digest(Algorithm::Sha256, &bytes));
        let announced = announced.filter(|media_type| MediaKind::of(media_type).is_manifest());
        let media_type = announced.or_else(|| Document::sniff_media_type(&bytes)).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok((Descriptor::new(media_type, digest, size_bytes), bytes))
    }

    pub(super) fn read_document(
        &self,
        what: &str,
        descriptor: &Descriptor,
        answer: Answer,
    ) -> Result<Vec<u8>, Failure> {
        let expected_bytes = descriptor.size_bytes;
        if answer.status() != 200 {
            let (url, problem) = (answer.url.to_string(), format!("the status {}", answer.status()));
            return Err(RegistryError::Nonsense { url, problem }.into());
        }
        if let Some(actual_bytes) = answer.length().filter(|length| *length != expected_bytes) {
            return Err(Error::SizeMismatch { what: what.to_owned(), expected_bytes, actual_bytes }.into());
        }
        let bytes = answer.read_up_to(expected_bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > expected_bytes) {
            return Err(Error::TooLong { what: what.to_owned(), expected_bytes }.into());
        }
        descriptor.verify(what, &bytes)?;
        Ok(bytes)
    }
}

fn too_large(what: &str) -> Error {
    Error::TooLarge { what: format!("the manifest {what}"), limit_bytes: MANIFEST_MAX_BYTES }
}
