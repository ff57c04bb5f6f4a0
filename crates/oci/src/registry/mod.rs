//! A registry as a source (OCI distribution-spec 1.1, and Docker's before it).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealpack_format::reference::Reference;
use sealpack_format::{Algorithm, BlobDigest};
use ureq::http::header;

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::hash::blob_digest;
use crate::manifest::{Descriptor, Document, MANIFEST_LIMIT_BYTES};
use crate::media_type::{MANIFEST_TYPES, MediaKind};
use crate::transport::ImageSource;

mod ask;
mod auth;
mod blob;
mod challenge;
mod client;
mod coding;
pub(crate) mod error;
mod options;
mod proxy;
mod referrers;
mod retry;
mod target;
mod tls;
mod transport;
mod upload;
mod url;

pub use error::RegistryError;
pub use options::{ClientOptions, Mirror, MirrorError, RetryPolicy, Timeouts};
pub use target::RegistryTarget;

use ask::{Answer, Ask};
use blob::BlobReader;
use client::{Client, Endpoint, Failure, Speech};

/// A mirror is given up sooner than the registry itself.
const MIRROR_RETRIES: u32 = 1;

/// An image in a registry.
///
/// Connections, tokens and what was learnt about the registry are shared by all threads that
/// use it. Nothing is asked before the first method is called.
pub struct RegistrySource(Arc<Repository>);

/// What the source and its open blobs share.
struct Repository {
    reference: Reference,
    client: Client,
    /// The mirrors in order, the registry itself last.
    endpoints: Vec<Endpoint>,
    trust: Mutex<Trust>,
}

/// Who gave what; endpoints go by their number.
#[derive(Default)]
struct Trust {
    served: BTreeMap<BlobDigest, usize>,
    /// Those that gave wrong bytes for a blob.
    liars: BTreeSet<(BlobDigest, usize)>,
}

impl RegistrySource {
    /// The image that `reference` names.
    #[must_use]
    pub fn new(reference: Reference, options: &ClientOptions, environment: &Environment) -> Self {
        let client = Client::new(options, environment);
        let name = reference.repository();
        let mirrors = options.mirrors.get(reference.registry()).into_iter().flatten().map(|mirror| {
            let speech = match (mirror.is_plain(), mirror.scheme_given) {
                (true, _) => Speech::Http,
                (false, true) => Speech::Https,
                (false, false) => Speech::HttpsUnlessLoopback,
            };
            let authority = mirror.registry();
            let repository =
                if mirror.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", mirror.prefix) };
            Endpoint::new(
                &authority,
                speech,
                &repository,
                &authority,
                options.retry.retries.min(MIRROR_RETRIES),
            )
        });
        let mut endpoints: Vec<Endpoint> = mirrors.collect();
        let speech = if options.plain_http { Speech::Http } else { Speech::HttpsUnlessLoopback };
        let (host, registry) = (url::api_host(&reference), reference.registry());
        endpoints.push(Endpoint::new(host, speech, name, registry, options.retry.retries));
        Self(Arc::new(Repository { reference, client, endpoints, trust: Mutex::default() }))
    }

    /// The reference.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.0.reference
    }
}

impl Repository {
    fn blob_name(&self, descriptor: &Descriptor) -> String {
        format!("the blob {} of {}", descriptor.digest, self.reference.name())
    }

    /// The first endpoint's answer that is one. `blob` is what is asked for, if it has a digest:
    /// endpoints that gave other bytes for it are passed over.
    fn first<T>(
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

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_root(&self, answer: Answer) -> Result<(Descriptor, Vec<u8>), Failure> {
        let what = self.reference.to_string();
        let url = answer.url.to_string();
        if answer.status() != 200 {
            let problem = format!("the status {} for a manifest", answer.status());
            return Err(RegistryError::Nonsense { url, problem }.into());
        }
        let announced = answer.header(header::CONTENT_TYPE).map(str::to_owned);
        let claimed = answer.response.headers().get("docker-content-digest");
        let claimed = claimed.and_then(|value| value.to_str().ok()?.parse::<BlobDigest>().ok());
        if answer.length().is_some_and(|length| length > MANIFEST_LIMIT_BYTES) {
            return Err(too_large(&what).into());
        }
        let bytes = answer.read_up_to(MANIFEST_LIMIT_BYTES)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MANIFEST_LIMIT_BYTES) {
            return Err(too_large(&what).into());
        }
        // What the registry claims is compared, but the name of the image is what was hashed here.
        let asked = self.reference.digest().copied();
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

    fn read_document(&self, what: &str, descriptor: &Descriptor, answer: Answer) -> Result<Vec<u8>, Failure> {
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
    Error::TooLarge { what: format!("the manifest {what}"), limit_bytes: MANIFEST_LIMIT_BYTES }
}

impl ImageSource for RegistrySource {
    fn description(&self) -> String {
        self.0.reference.to_string()
    }

    fn root(&self) -> Result<(Descriptor, Vec<u8>)> {
        let path = format!("manifests/{}", self.0.reference.manifest_selector());
        let ask = Ask::get(path).accept(&MANIFEST_TYPES);
        self.0.first(self.0.reference.digest(), |client, endpoint| {
            client.ask(endpoint, &ask, |answer| self.0.read_root(answer))
        })
    }

    fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let is_manifest = descriptor.names_manifest();
        let what = match is_manifest {
            true => format!("the manifest {} of {}", descriptor.digest, self.0.reference.name()),
            false => self.0.blob_name(descriptor),
        };
        descriptor.check_fits_memory(&what)?;
        let ask = match is_manifest {
            true => Ask::get(format!("manifests/{}", descriptor.digest)).accept(&MANIFEST_TYPES),
            false => Ask::get(format!("blobs/{}", descriptor.digest)),
        };
        self.0.first(Some(&descriptor.digest), |client, endpoint| {
            client.ask(endpoint, &ask, |answer| self.0.read_document(&what, descriptor, answer))
        })
    }

    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(BlobReader::open(Arc::clone(&self.0), descriptor, offset)?))
    }

    fn reject(&self, descriptor: &Descriptor) -> bool {
        let mut trust = self.0.trust();
        let Some(number) = trust.served.get(&descriptor.digest).copied() else { return false };
        trust.liars.insert((descriptor.digest, number));
        number + 1 < self.0.endpoints.len()
    }

    fn referrers(&self, subject: &Descriptor, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        self.0.referrers(subject, artifact_type)
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn default_name(&self) -> Option<Reference> {
        Some(self.0.reference.clone())
    }
}
