//! What is wanted of a registry, and what proves that we may have it.

use std::time::Instant;

use ureq::http::HeaderValue;

use super::url::Origin;

/// What to authenticate for.
#[derive(Debug)]
pub(super) struct Audience<'a> {
    /// Where the credentials may go, apart from the token service that it names.
    pub(super) origin: &'a Origin,
    /// The registry by the name that credentials are stored under.
    pub(super) registry: &'a str,
    /// What is wanted of it.
    pub(super) access: &'a Access,
}

/// What to ask a token service for: scopes, as distribution's "Token Scope" document writes them.
#[derive(Debug)]
pub(super) struct Access {
    scopes: Vec<String>,
    /// Whether what the registry's challenge names is enough: it knows what a request to read needs, but
    /// not what will be written after it.
    challenged: bool,
}

impl Access {
    /// To read `repository`.
    pub(super) fn pull(repository: &str) -> Self {
        Self { scopes: vec![format!("repository:{repository}:pull")], challenged: true }
    }

    /// To write `repository`, and to mount blobs from another one of the registry.
    pub(super) fn push(repository: &str, mount_from: Option<&str>) -> Self {
        let own = format!("repository:{repository}:pull,push");
        let other = mount_from.map(|other| format!("repository:{other}:pull"));
        Self { scopes: [own].into_iter().chain(other).collect(), challenged: false }
    }

    /// The scopes to ask for when a challenge names some.
    pub(super) fn answer<'a>(&'a self, challenge: Option<&'a str>) -> Vec<&'a str> {
        let named: Vec<&str> = challenge
            .into_iter()
            .flat_map(|scope| scope.split(' '))
            .filter(|scope| !scope.is_empty())
            .collect();
        if self.challenged && !named.is_empty() {
            return named;
        }
        let own = self.scopes.iter().map(String::as_str);
        own.chain(named.iter().copied().filter(|scope| !self.covers(scope))).collect()
    }

    /// Whether a scope of a challenge is among those wanted, perhaps with fewer actions.
    fn covers(&self, scope: &str) -> bool {
        let resource = |scope: &str| scope.rsplit_once(':').map(|(resource, _)| resource.to_owned());
        self.scopes.first().is_some_and(|own| resource(own) == resource(scope))
            || self.scopes.iter().any(|own| own == scope)
    }
}

/// A header that proves who we are, for a time.
#[derive(Debug, Clone)]
pub(super) struct Authorization {
    pub(super) header: HeaderValue,
    pub(super) expires: Option<Instant>,
    /// Whether asking again could give another one.
    pub(super) renewable: bool,
}

impl Authorization {
    pub(super) fn is_fresh(&self) -> bool {
        self.expires.is_none_or(|expires| Instant::now() < expires)
    }
}
