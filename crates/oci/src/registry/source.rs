//! A repository as a source.

use std::io::Read;
use std::sync::{Arc, Mutex};

use sealpack_format::reference::Reference;

use super::ask::Ask;
use super::blob::BlobReader;
use super::client::{Client, Endpoint, Speech};
use super::error::RegistryError;
use super::options::ClientOptions;
use super::repository::Repository;
use super::url;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::manifest::Descriptor;
use crate::media_type::MANIFEST_TYPES;
use crate::transport::ImageSource;

/// A mirror is given up sooner than the registry itself.
const MIRROR_RETRIES: u32 = 1;

/// An image in a registry.
///
/// Connections, tokens and what was learnt about the registry are shared by all threads that
/// use it. Nothing is asked before the first method is called.
pub struct RegistrySource(Arc<Repository>);

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
        Self(Arc::new(Repository {
            reference,
            client,
            endpoints,
            trust: Mutex::default(),
            fallbacks: Mutex::default(),
        }))
    }

    /// The tags of the image's repository, sorted, whichever one the reference has. Fallback tags of referrers are among them.
    ///
    /// # Errors
    /// When the list cannot be had, is none, or has more tags or pages than anybody needs.
    pub fn tags(&self) -> Result<Vec<String>> {
        self.0.tags()
    }

    /// The reference.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.0.reference
    }
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

    fn tagged(&self, tag: &str) -> Result<Option<(Descriptor, Vec<u8>)>> {
        let ask = Ask::get(format!("manifests/{tag}")).accept(&MANIFEST_TYPES);
        let found = self.0.first(None, |client, endpoint| {
            client.ask(endpoint, &ask, |answer| self.0.read_tagged(tag, answer))
        });
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn default_name(&self) -> Option<Reference> {
        Some(self.0.reference.clone())
    }
}

/// Whether the registry itself says that there is no such thing; mirrors need not have it.
fn is_absent(error: &Error) -> bool {
    match error {
        Error::Registry(error) => matches!(**error, RegistryError::NotFound { .. }),
        Error::AfterMirrors { error, .. } => is_absent(error),
        _ => false,
    }
}
