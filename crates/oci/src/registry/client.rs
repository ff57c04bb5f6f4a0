//! Requests with everything around them: authentication, redirects, repetition.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use ureq::http::{HeaderMap, HeaderValue, Method, header};

use super::access::{Access, Audience, Authorization};
use super::answer::{Answer, location, said};
use super::ask::{Ask, RequestBody, Target};
use super::challenge;
use super::error::RegistryError;
use super::failure::{Cause, Failure, Temporary};
use super::http::{Transport, TransportError, drain};
use super::options::{ClientOptions, RetryPolicy};
use super::retry::retry_after;
use super::url::{Origin, Scheme, Url, shown};
use super::watch::{ClientEvent, Watch};
use crate::credentials::{CredentialStore, Credentials};
use crate::environment::Environment;
use crate::error::{Error, Result};

/// Most redirects that are followed.
const REDIRECTS_MAX: usize = 10;
/// Largest answer of a token service.
const TOKEN_MAX_BYTES: u64 = 1024 * 1024;
/// How often somebody who is not there at all is asked again.
const NOBODY_RETRIES: u32 = 2;

/// A place where a repository can be read: the registry or one of its mirrors.
pub(super) struct Endpoint {
    /// Host and port.
    pub(super) authority: String,
    pub(super) speech: Speech,
    /// The repository's name there.
    pub(super) repository: String,
    /// The name by which credentials for it are stored.
    pub(super) registry: String,
    /// How often to repeat; less for a mirror, which is not the last resort.
    pub(super) retries: u32,
    /// What to ask a token service for.
    access: Access,
    origin: OnceLock<Origin>,
    session: Mutex<Session>,
}

/// How to speak to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    Https,
    Http,
    /// HTTPS, except on loopback if nobody speaks it there.
    HttpsUnlessLoopback,
}

#[derive(Default)]
struct Session {
    authorization: Option<Authorization>,
    /// Counts the authorizations, so that of several threads that were refused one asks for a new one.
    generation: u64,
    /// Looked up once: a helper may ask the user.
    credentials: Option<Option<Credentials>>,
}

impl Endpoint {
    pub(super) fn new(
        authority: &str,
        speech: Speech,
        repository: &str,
        registry: &str,
        retries: u32,
    ) -> Self {
        Self {
            authority: authority.to_owned(),
            speech,
            repository: repository.to_owned(),
            registry: registry.to_owned(),
            retries,
            access: Access::pull(repository),
            origin: OnceLock::new(),
            session: Mutex::default(),
        }
    }

    /// The endpoint, to be written to; blobs may be mounted from `mount_from`.
    pub(super) fn for_pushing(mut self, mount_from: Option<&str>) -> Self {
        self.access = Access::push(&self.repository, mount_from);
        self
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        // Every change to a session is a single assignment.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client for any number of registries.
pub(super) struct Client {
    transport: Transport,
    credentials: CredentialStore,
    pub(super) retry: RetryPolicy,
    pub(super) watch: Watch,
    /// How long nothing may arrive inside a body.
    pub(super) stall: Duration,
}

impl Client {
    pub(super) fn new(options: &ClientOptions, environment: &Environment) -> Self {
        Self {
            transport: Transport::new(options, environment),
            credentials: CredentialStore::new(environment, &options.auth_files)
                .with_helpers(options.credential_helpers.clone())
                .with_helper_timeout(options.timeouts.helper),
            retry: options.retry.clone(),
            watch: options.watch.clone(),
            stall: options.timeouts.stall,
        }
    }

    /// Asks `endpoint` and reads the answer with `read`; repeats both while that may help.
    pub(super) fn ask<T>(
        &self,
        endpoint: &Endpoint,
        ask: &Ask<'_>,
        read: impl Fn(Answer) -> Result<T, Failure>,
    ) -> Result<T> {
        self.repeat(endpoint.retries, || {
            let answer = self.once(endpoint, ask)?;
            let _wait = self.watch.wait(&answer.url.to_string(), self.stall);
            read(answer)
        })
    }

    /// Asks `endpoint` once, for what must not be said twice without looking at what came of it.
    pub(super) fn once(&self, endpoint: &Endpoint, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let origin = self.origin(endpoint)?;
        let url = match &ask.target {
            Target::Path(path) => origin.url(format!("/v2/{}/{path}", endpoint.repository)),
            Target::Url(url) => url.clone(),
        };
        self.authenticated(endpoint, origin, &url, ask)
    }

    /// Repeats `attempt` up to `retries` times.
    fn repeat<T>(&self, retries: u32, attempt: impl Fn() -> Result<T, Failure>) -> Result<T> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let temporary = match attempt() {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Temporary(temporary)) => temporary,
            };
            let nobody = matches!(temporary.cause, Cause::Network { nobody: true, .. });
            let retries = if nobody { retries.min(NOBODY_RETRIES) } else { retries };
            if attempts > retries {
                return Err(temporary.into_error(attempts));
            }
            self.pause(temporary, attempts, retries)?;
        }
    }

    /// Waits before repetition number `repetition`, as long as the registry asks for.
    pub(super) fn pause(&self, temporary: Temporary, repetition: u32, repetitions: u32) -> Result<()> {
        match (temporary.retry_after, temporary.cause) {
            (Some(wait), Cause::Status { status, said }) if wait > self.retry.longest_retry_after => {
                Err(RegistryError::TooLongToWait { url: temporary.url, status, wait, said }.into())
            }
            (retry_after, cause) => {
                let wait = self.retry.delay(repetition, retry_after);
                let (url, problem) = (&temporary.url, &cause.to_string());
                self.watch.event(&ClientEvent::Again { url, problem, wait, repetition, repetitions });
                thread::sleep(wait);
                Ok(())
            }
        }
    }

    /// How to reach the endpoint, found out once.
    fn origin<'a>(&self, endpoint: &'a Endpoint) -> Result<&'a Origin, Failure> {
        if let Some(origin) = endpoint.origin.get() {
            return Ok(origin);
        }
        self.credentials.check_given().map_err(Error::from)?;
        let at = |scheme| {
            Origin::new(scheme, &endpoint.authority).map_err(|error| {
                let (url, problem) = (endpoint.authority.clone(), error.to_string());
                RegistryError::Nonsense { url, problem }
            })
        };
        let https = at(Scheme::Https)?;
        let origin = match endpoint.speech {
            Speech::Http => at(Scheme::Http)?,
            Speech::HttpsUnlessLoopback if https.is_loopback() && !self.speaks_tls(&https)? => {
                at(Scheme::Http)?
            }
            Speech::Https | Speech::HttpsUnlessLoopback => https,
        };
        Ok(endpoint.origin.get_or_init(|| origin))
    }

    fn speaks_tls(&self, origin: &Origin) -> Result<bool, Failure> {
        let url = origin.url("/v2/");
        match self.transport.send(&url, &Ask::plain(), None) {
            Ok(answer) => {
                drain(answer);
                Ok(true)
            }
            // A certificate that is refused is no reason to go on without encryption.
            Err(TransportError::Final(error)) => Err(error.into()),
            Err(TransportError::Source(error)) => Err(Failure::Final(*error)),
            Err(TransportError::NotTls { .. } | TransportError::Network { .. }) => Ok(false),
        }
    }

    /// Asks with the authorization there is; gets one, or a new one, when the endpoint refuses.
    fn authenticated(
        &self,
        endpoint: &Endpoint,
        origin: &Origin,
        url: &Url,
        ask: &Ask<'_>,
    ) -> Result<Answer, Failure> {
        let (mut authorization, mut generation) = {
            let session = endpoint.session();
            let fresh = session.authorization.clone().filter(Authorization::is_fresh);
            (fresh, session.generation)
        };
        // One that was just given can be refused where a token service is ahead of its registry.
        let mut renewals = if authorization.is_some() { 1 } else { 2 };
        loop {
            // An upload may lead elsewhere by its own right; these credentials stay here.
            let header = authorization.as_ref().filter(|_| url.origin == *origin);
            let answer = self.send(url, ask, header.map(|authorization| &authorization.header))?;
            let refused = matches!(answer.status(), 401 | 403);
            // Elsewhere than at the endpoint, a refusal has nothing to do with these credentials.
            let ours = answer.url.origin == *origin;
            let renewable = authorization.as_ref().is_none_or(|authorization| authorization.renewable);
            if answer.status() == 401 && ours && renewable && renewals > 0 {
                renewals -= 1;
                match self.renew(endpoint, origin, &answer, generation)? {
                    Some((renewed, number)) => {
                        (authorization, generation) = (Some(renewed), number);
                        drain(answer.response);
                        continue;
                    }
                    None => return Err(self.refused(endpoint, answer, true)),
                }
            }
            return if refused {
                Err(self.refused(endpoint, answer, ours))
            } else {
                check_status(ask, answer)
            };
        }
    }

    /// A new authorization in place of number `generation`, unless another thread was faster.
    fn renew(
        &self,
        endpoint: &Endpoint,
        origin: &Origin,
        answer: &Answer,
        generation: u64,
    ) -> Result<Option<(Authorization, u64)>, Failure> {
        let mut session = endpoint.session();
        if session.generation != generation
            && let Some(renewed) = &session.authorization
        {
            return Ok(Some((renewed.clone(), session.generation)));
        }
        if session.credentials.is_none() {
            let found = self.credentials.find(&endpoint.registry, &endpoint.repository);
            session.credentials = Some(found.map_err(Error::from)?);
        }
        let headers = answer.response.headers().get_all(header::WWW_AUTHENTICATE).iter();
        let headers: Vec<_> = headers.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let challenges = challenge::parse(headers.iter().map(AsRef::as_ref));
        let audience = Audience { origin, registry: &endpoint.registry, access: &endpoint.access };
        let credentials = session.credentials.as_ref().and_then(Option::as_ref);
        let authorization = match self.authorize(&audience, &challenges, credentials) {
            Err(Failure::Final(Error::Registry(error))) => {
                return Err(self.blame_credentials(*error, endpoint, credentials).into());
            }
            other => other?,
        };
        session.authorization.clone_from(&authorization);
        session.generation += 1;
        Ok(authorization.map(|authorization| (authorization, session.generation)))
    }

    /// A token service's refusal, with whose credentials it was shown.
    fn blame_credentials(
        &self,
        error: RegistryError,
        endpoint: &Endpoint,
        credentials: Option<&Credentials>,
    ) -> RegistryError {
        match error {
            RegistryError::Status { url, status: 400 | 401 | 403, said, .. } => RegistryError::Unauthorized {
                url,
                used: self.used(credentials),
                anonymous: credentials.is_none(),
                registry: endpoint.registry.clone(),
                said,
            },
            other => other,
        }
    }

    fn refused(&self, endpoint: &Endpoint, answer: Answer, ours: bool) -> Failure {
        let session = endpoint.session();
        let credentials = session.credentials.as_ref().and_then(Option::as_ref).filter(|_| ours);
        let used = match ours {
            true => self.used(credentials),
            false => "no credentials, since the registry redirected to another host".to_owned(),
        };
        let (url, said) = (answer.url.to_string(), said(answer.response));
        let (anonymous, registry) = (credentials.is_none(), endpoint.registry.clone());
        RegistryError::Unauthorized { url, used, anonymous, registry, said }.into()
    }

    fn used(&self, credentials: Option<&Credentials>) -> String {
        if let Some(credentials) = credentials {
            return credentials.to_string();
        }
        let searched = self.credentials.searched();
        let files: Vec<String> = searched.iter().map(|path| path.display().to_string()).collect();
        match files.is_empty() {
            true => "no credentials".to_owned(),
            false => format!("no credentials, as there are none for it in {}", files.join(", ")),
        }
    }

    /// Sends a request and follows redirects. The authorization goes to the first origin only.
    fn send(&self, url: &Url, ask: &Ask<'_>, authorization: Option<&HeaderValue>) -> Result<Answer, Failure> {
        let mut target = url.clone();
        let mut authorization = authorization;
        for _ in 0..=REDIRECTS_MAX {
            let sent = self.transport.send(&target, ask, authorization);
            let response = sent.map_err(|error| failure(&target, error))?;
            let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !redirects {
                return Ok(Answer { url: target, response });
            }
            let next = redirect_target(&target, response.headers())?;
            if ask.has_body() {
                let problem = "a request with a body goes nowhere else".to_owned();
                return Err(RegistryError::Redirect { url: target.to_string(), problem }.into());
            }
            if next.origin != target.origin {
                authorization = None;
            }
            drain(response);
            target = next;
        }
        let problem = format!("there are more than {REDIRECTS_MAX}");
        Err(RegistryError::Redirect { url: url.to_string(), problem }.into())
    }

    /// The answer of a token service.
    pub(super) fn ask_token_service(
        &self,
        url: &Url,
        authorization: Option<HeaderValue>,
        body: Option<String>,
    ) -> Result<Vec<u8>, Failure> {
        let ask = match &body {
            Some(body) => Ask::plain()
                .with_method(Method::POST)
                .with_header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .with_body(RequestBody::Bytes(body.as_bytes())),
            None => Ask::plain(),
        };
        let attempt = || {
            let answer = self.send(url, &ask, authorization.as_ref())?;
            if matches!(answer.status(), 400 | 401 | 403) {
                // The registry's refusal is told, with whose credentials were used: this one is its cause.
                let (status, said) = (answer.status(), said(answer.response));
                return Err(RegistryError::Status { url: url.to_string(), status, attempts: 1, said }.into());
            }
            let bytes = check_status(&ask, answer)?.read_up_to(TOKEN_MAX_BYTES)?;
            if u64::try_from(bytes.len()).is_ok_and(|length| length <= TOKEN_MAX_BYTES) {
                return Ok(bytes);
            }
            let (what, limit_bytes) = (format!("the answer of {url}"), TOKEN_MAX_BYTES);
            Err(Error::TooLarge { what, limit_bytes }.into())
        };
        Ok(self.repeat(self.retry.retries, attempt)?)
    }
}

fn redirect_target(url: &Url, headers: &HeaderMap) -> Result<Url, Failure> {
    let refuse = |problem: String| RegistryError::Redirect { url: url.to_string(), problem };
    let location = location(headers).ok_or_else(|| refuse("it says nowhere to go".to_owned()))?;
    let next = url
        .join(&location)
        .map_err(|error| refuse(format!("{:?} is no usable URL: {error}", shown(&location))))?;
    if url.origin.scheme == Scheme::Https && next.origin.scheme == Scheme::Http {
        return Err(refuse(format!("{next} is not encrypted")).into());
    }
    Ok(next)
}

fn failure(url: &Url, error: TransportError) -> Failure {
    match error {
        TransportError::Final(error) => error.into(),
        TransportError::Source(error) => Failure::Final(*error),
        TransportError::NotTls { problem } => {
            RegistryError::Tls { url: url.to_string(), problem, plain: true, wrong_name: false }.into()
        }
        TransportError::Network { problem, proxy, nobody } => Failure::Temporary(Temporary {
            url: url.to_string(),
            cause: Cause::Network { problem, proxy, nobody },
            retry_after: None,
        }),
    }
}

/// Lets those answers pass that `ask` expects; the others are failures.
fn check_status(ask: &Ask<'_>, answer: Answer) -> Result<Answer, Failure> {
    let (status, url) = (answer.status(), answer.url.to_string());
    match status {
        _ if ask.statuses.contains(&status) => Ok(answer),
        404 => Err(RegistryError::NotFound { url, said: said(answer.response) }.into()),
        408 | 429 | 500..=599 => {
            let wait = answer.header(header::RETRY_AFTER);
            let retry_after = wait.and_then(|value| retry_after(value, SystemTime::now()));
            let said = said(answer.response);
            Err(Failure::Temporary(Temporary { url, cause: Cause::Status { status, said }, retry_after }))
        }
        _ => Err(RegistryError::Status { url, status, attempts: 1, said: said(answer.response) }.into()),
    }
}
