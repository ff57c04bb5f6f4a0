//! Who we are to a registry: anonymous, Basic, or a bearer token from its token service
//! (distribution's "Token Authentication" and "OAuth2" documents).

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use ureq::http::HeaderValue;

use super::access::{Audience, Authorization};
use super::challenge::Challenge;
use super::client::Client;
use super::error::RegistryError;
use super::failure::Failure;
use super::url::{Scheme, Url, form, shown};
use crate::credentials::{Credentials, Secret};
use crate::json;

/// How long a token lives that does not say so, by the specification.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// So much before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(5);

impl Client {
    /// Answers one of `challenges`; `None` when it takes credentials and there are none.
    pub(super) fn authorize(
        &self,
        audience: &Audience<'_>,
        challenges: &[Challenge],
        credentials: Option<&Credentials>,
    ) -> Result<Option<Authorization>, Failure> {
        let secret = credentials.map(|credentials| &credentials.secret);
        if let Some(Secret::RegistryToken(token)) = secret {
            return Ok(Some(bearer(audience, token, None)?));
        }
        let failed = |problem: String| authentication(audience, problem);
        let named = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        // A server may offer Bearer for somebody else, without saying where tokens are had.
        let usable = |challenge: &&Challenge| {
            challenge.scheme == "bearer"
                && challenge.parameter("realm").is_some_and(|realm| !realm.is_empty())
        };
        let bearer = challenges.iter().find(usable);
        if let Some(challenge) = bearer.or_else(|| named("bearer").filter(|_| named("basic").is_none())) {
            return self.token(audience, challenge, secret).map(Some);
        }
        if named("basic").is_some() {
            return match secret {
                Some(Secret::Password { user, password }) => Ok(Some(Authorization {
                    header: basic(audience, user, password)?,
                    expires: None,
                    renewable: false,
                })),
                Some(_) => Err(failed("it wants a user and password, but a token is stored".to_owned())),
                None => Ok(None),
            };
        }
        let offered: Vec<&str> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
        Err(failed(match offered[..] {
            [] => "it wants authentication but does not say how (no WWW-Authenticate header)".to_owned(),
            _ => format!("it offers {}; Bearer and Basic are supported", offered.join(", ")),
        }))
    }

    fn token(
        &self,
        audience: &Audience<'_>,
        challenge: &Challenge,
        secret: Option<&Secret>,
    ) -> Result<Authorization, Failure> {
        let failed = |problem: String| authentication(audience, problem);
        let realm = challenge.parameter("realm").unwrap_or_default();
        let realm = Url::parse(realm).map_err(|error| {
            failed(format!("its token service {:?} is no usable URL: {error}", shown(realm)))
        })?;
        if audience.origin.scheme == Scheme::Https && realm.origin.scheme == Scheme::Http {
            return Err(failed(format!("its token service {realm} would be asked without encryption")));
        }
        let scopes = audience.access.answer(challenge.parameter("scope"));
        let service = challenge.parameter("service").unwrap_or_default();
        let answer = match secret {
            Some(Secret::IdentityToken(token)) => {
                let scope = scopes.join(" ");
                let body = form(&[
                    ("grant_type", "refresh_token"),
                    ("service", service),
                    ("client_id", "sealpack"),
                    ("scope", &scope),
                    ("refresh_token", token),
                ]);
                self.ask_token_service(&realm, None, Some(body))?
            }
            secret => {
                let mut query = Vec::new();
                if !service.is_empty() {
                    query.push(("service", service));
                }
                query.extend(scopes.into_iter().map(|scope| ("scope", scope)));
                let header = match secret {
                    Some(Secret::Password { user, password }) => {
                        query.push(("account", user));
                        Some(basic(audience, user, password)?)
                    }
                    _ => None,
                };
                self.ask_token_service(&realm.with_query(&query), header, None)?
            }
        };
        let answer: TokenAnswer = serde_json::from_slice(&answer)
            .map_err(|error| failed(format!("the token service's answer is not valid: {error}")))?;
        let lifetime = answer.expires_in.map_or(DEFAULT_LIFETIME, Duration::from_secs).max(MARGIN * 2);
        let token = answer.token.or(answer.access_token);
        let token = token.ok_or_else(|| failed("the token service's answer has no token".to_owned()))?;
        // A lifetime beyond what the clock can hold is one that does not end.
        bearer(audience, &token, Instant::now().checked_add(lifetime - MARGIN))
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default, deserialize_with = "json::text")]
    token: Option<String>,
    #[serde(default, deserialize_with = "json::text")]
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn authentication(audience: &Audience<'_>, problem: String) -> Failure {
    let registry = audience.registry.to_owned();
    Failure::Final(RegistryError::Authentication { registry, problem }.into())
}

fn bearer(audience: &Audience<'_>, token: &str, expires: Option<Instant>) -> Result<Authorization, Failure> {
    let header = secret_header(audience, &format!("Bearer {token}"))?;
    Ok(Authorization { header, expires, renewable: expires.is_some() })
}

fn basic(audience: &Audience<'_>, user: &str, password: &str) -> Result<HeaderValue, Failure> {
    secret_header(audience, &format!("Basic {}", BASE64.encode(format!("{user}:{password}"))))
}

fn secret_header(audience: &Audience<'_>, text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        authentication(audience, "the token has characters that no header can hold".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}
