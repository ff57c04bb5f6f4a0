//! docker's config.json and podman's auth.json, which have one format.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sealpack_format::reference::DEFAULT_REGISTRY;
use serde::Deserialize;

use super::secret::{CredentialsError, Secret};
use crate::json;

/// Largest file of credentials that is read.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// The key of Docker Hub in docker's files and for helpers.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// Base64 as people's tools write it, with or without padding, and as Go reads it: bits behind the last byte do not count.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(super) struct AuthFile {
    path: PathBuf,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default, deserialize_with = "json::without_nulls")]
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers", default, deserialize_with = "json::texts")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore", default, deserialize_with = "json::text")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default, deserialize_with = "json::text")]
    auth: Option<String>,
    #[serde(default, deserialize_with = "json::text")]
    username: Option<String>,
    #[serde(default, deserialize_with = "json::or_empty")]
    password: String,
    #[serde(rename = "identitytoken", default, deserialize_with = "json::text")]
    identity_token: Option<String>,
    #[serde(rename = "registrytoken", default, deserialize_with = "json::text")]
    registry_token: Option<String>,
}

impl AuthFile {
    /// The file at `path`; `None` when it does not exist and need not.
    pub(super) fn read(path: &Path, must_exist: bool) -> Result<Option<Self>, CredentialsError> {
        let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if !must_exist && absent(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        let malformed = |problem: String| CredentialsError::Malformed { path: path.to_owned(), problem };
        if u64::try_from(bytes.len()).is_ok_and(|size| size > FILE_MAX_BYTES) {
            return Err(malformed("the file is larger than 1 MiB".to_owned()));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        // Only the position is told: serde's message may quote what is a secret.
        let content: Option<Content> = serde_json::from_slice(&bytes).map_err(|error| {
            malformed(format!(
                "it is no JSON of that form at line {} column {}",
                error.line(),
                error.column()
            ))
        })?;
        Ok(content.map(|content| Self { path: path.to_owned(), content }))
    }

    /// The name of the helper program that knows `registry`.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let own = self.content.helpers.iter();
        let own = own.filter(|(key, _)| host_of(key) == registry).map(|(_, name)| name.as_str()).next();
        own.or(self.content.store.as_deref()).filter(|name| !name.is_empty())
    }

    /// What the file itself has for the longest prefix of `registry/repository`.
    pub(super) fn secret(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Secret>, CredentialsError> {
        let full = format!("{registry}/{repository}");
        let covers = |key: &str| {
            let prefix = namespace_of(key);
            (full == prefix || full.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('/')))
                .then_some(prefix.len())
        };
        let entries = self.content.auths.iter();
        let mut matching: Vec<(usize, &String, &Entry)> =
            entries.filter_map(|(key, entry)| covers(key).map(|length| (length, key, entry))).collect();
        matching.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
        for (_, key, entry) in matching {
            if let Some(secret) = self.secret_of(key, entry)? {
                return Ok(Some(secret));
            }
        }
        Ok(None)
    }

    /// An entry may be empty: docker leaves `{}` behind where a helper keeps the secret.
    fn secret_of(&self, key: &str, entry: &Entry) -> Result<Option<Secret>, CredentialsError> {
        if let Some(token) = &entry.registry_token {
            return Ok(Some(Secret::RegistryToken(token.clone())));
        }
        if let Some(token) = &entry.identity_token {
            return Ok(Some(Secret::IdentityToken(token.clone())));
        }
        if let Some(auth) = &entry.auth {
            let bad = || CredentialsError::Malformed {
                path: self.path.clone(),
                problem: format!("\"auth\" of {key:?} is not USER:PASSWORD in base64"),
            };
            // Go's decoder, and with it docker's and podman's, passes over ends of lines: `base64` folds its output.
            let auth: String = auth.trim().chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect();
            let decoded = BASE64.decode(auth).map_err(|_| bad())?;
            let decoded = String::from_utf8(decoded).map_err(|_| bad())?;
            let (user, password) = decoded.split_once(':').ok_or_else(bad)?;
            // docker has padded with zero bytes in the past.
            let password = password.trim_end_matches('\0').to_owned();
            return Ok(Some(Secret::Password { user: user.to_owned(), password }));
        }
        let password = || entry.password.clone();
        Ok(entry.username.clone().map(|user| Secret::Password { user, password: password() }))
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What a helper is asked by.
pub(super) fn helper_key(registry: &str) -> &str {
    if registry == DEFAULT_REGISTRY { DOCKER_HUB_KEY } else { registry }
}

/// The registry that a key stands for, without scheme and path.
fn host_of(key: &str) -> String {
    let key = namespace_of(key);
    key.split('/').next().unwrap_or_default().to_owned()
}

/// A key as a prefix of `registry/repository`: docker writes URLs, podman bare namespaces.
fn namespace_of(key: &str) -> String {
    let without_scheme = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let plain = without_scheme.unwrap_or(key).trim_end_matches('/');
    let (host, path) = plain.split_once('/').map_or((plain, ""), |(host, path)| (host, path));
    let host = match host.to_ascii_lowercase().as_str() {
        "index.docker.io" | "registry-1.docker.io" | "docker.io" => DEFAULT_REGISTRY.to_owned(),
        host => host.to_owned(),
    };
    let api = matches!(path, "v1" | "v2");
    if path.is_empty() || api || without_scheme.is_some() { host } else { format!("{host}/{path}") }
}
