//! Who is let in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::State;
use crate::http::{Request, Response};

/// What a registry demands.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Nothing.
    #[default]
    Open,
    /// User and password with every request.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token from `/token` of the same server.
    Token {
        /// User and password that buy one; anybody gets one when empty.
        user: Option<(String, String)>,
        /// A refresh token that buys one by POST.
        refresh: Option<String>,
        /// What the token is called in the answer.
        field: TokenField,
        /// How many requests a token is good for.
        uses: usize,
        /// `expires_in` of the answer, in seconds.
        lifetime_seconds: u64,
    },
    /// This `WWW-Authenticate` header, and nobody is let in.
    Challenge(String),
}

/// The name of the token in the answer: both occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenField {
    /// `token`
    Token,
    /// `access_token`
    AccessToken,
}

impl Auth {
    /// A token for anybody, as public registries give it.
    #[must_use]
    pub fn anonymous_token() -> Self {
        Self::Token {
            user: None,
            refresh: None,
            field: TokenField::Token,
            uses: usize::MAX,
            lifetime_seconds: 300,
        }
    }

    /// A token for one user.
    #[must_use]
    pub fn token_for(user: &str, password: &str) -> Self {
        Self::Token {
            user: Some((user.to_owned(), password.to_owned())),
            refresh: None,
            field: TokenField::AccessToken,
            uses: usize::MAX,
            lifetime_seconds: 300,
        }
    }
}

fn basic(request: &Request, user: &str, password: &str) -> bool {
    let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    request.header("authorization") == Some(&expected)
}

/// The refusal, if the request is refused.
pub(crate) fn refuse(state: &mut State, request: &Request, url: &str) -> Option<Response> {
    let refusal = |challenge: String| {
        let refusal = Response::error(401, "UNAUTHORIZED", "authentication required");
        Some(refusal.with("WWW-Authenticate", challenge))
    };
    match &state.auth {
        Auth::Open => None,
        Auth::Challenge(challenge) => refusal(challenge.clone()),
        Auth::Basic { user, password } if basic(request, user, password) => None,
        Auth::Basic { .. } => refusal("Basic realm=\"test registry\"".to_owned()),
        Auth::Token { .. } => {
            let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
            let repository = request.path().trim_start_matches("/v2/");
            let end = ["/manifests/", "/blobs/", "/referrers/"].iter().find_map(|part| repository.find(part));
            let repository = &repository[..end.unwrap_or(repository.len())];
            let actions =
                if matches!(request.method.as_str(), "GET" | "HEAD") { "pull" } else { "pull,push" };
            let token = token.and_then(|token| state.tokens.get_mut(token));
            let allows = |token: &&mut Token| token.uses > 0 && token.allows(repository, actions);
            if let Some(token) = token.filter(allows) {
                token.uses -= 1;
                return None;
            }
            refusal(format!(
                "Bearer realm=\"{url}/token\",service=\"test, registry\",scope=\"repository:{repository}:{actions}\""
            ))
        }
    }
}

/// A token that was given out.
#[derive(Debug)]
pub(crate) struct Token {
    /// The number of requests that it is still good for.
    uses: usize,
    scopes: Vec<String>,
}

impl Token {
    fn allows(&self, repository: &str, actions: &str) -> bool {
        let own = format!("repository:{repository}:");
        let granted: Vec<&str> = self
            .scopes
            .iter()
            .filter_map(|scope| scope.strip_prefix(&own))
            .flat_map(|a| a.split(','))
            .collect();
        actions.split(',').all(|action| granted.contains(&action))
    }
}

/// The answer of the token service.
pub(crate) fn give_token(state: &mut State, request: &Request) -> Response {
    let number = state.tokens.len() + state.requests.len();
    let Auth::Token { user, refresh, field, uses, lifetime_seconds } = &state.auth else {
        return Response::error(404, "NOT_FOUND", "no tokens here");
    };
    let complete = request.parameter("service").as_deref() == Some("test, registry")
        && request.parameter("scope").is_some_and(|scope| scope.starts_with("repository:"));
    if !complete {
        return Response::error(400, "BAD_REQUEST", "service or scope is wrong");
    }
    let allowed = match (request.method.as_str(), user, refresh) {
        ("POST", _, Some(refresh)) => {
            request.parameter("grant_type").as_deref() == Some("refresh_token")
                && request.parameter("refresh_token").as_deref() == Some(refresh)
        }
        ("GET", Some((user, password)), _) => basic(request, user, password),
        ("GET", None, None) => true,
        _ => false,
    };
    if !allowed {
        return Response::new(401, r#"{"details":"incorrect username or password"}"#);
    }
    let token = format!("token-{number}");
    let name = match field {
        TokenField::Token => "token",
        TokenField::AccessToken => "access_token",
    };
    let body = serde_json::json!({name: token, "expires_in": lifetime_seconds});
    let uses = *uses;
    let scopes = request.parameters("scope");
    let scopes = scopes.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect();
    state.tokens.insert(token, Token { uses, scopes });
    Response::new(200, body.to_string()).with("Content-Type", "application/json")
}
