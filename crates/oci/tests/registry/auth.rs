//! Proving who one is.

use std::fs;
use std::path::PathBuf;

use sealpack_oci::transport::ImageSource as _;
use sealpack_test_registry::{Auth, Fault, Registry, TokenField};
use tempfile::TempDir;

use super::*;

/// A home with docker's config for `registry`; the entry is JSON.
fn home_with(registry: &Registry, entry: &str) -> (TempDir, Environment) {
    let home = TempDir::new().unwrap();
    let path = home.path().join(".docker/config.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!(r#"{{"auths":{{"{}":{entry}}}}}"#, registry.host())).unwrap();
    let environment = Environment::empty(home.path()).with("HOME", home.path());
    (home, environment)
}

fn ann() -> &'static str {
    r#"{"username":"ann","password":"secret"}"#
}

fn root_as(registry: &Registry, environment: &Environment) -> Result<()> {
    source_with(registry, "app:1", &options(), environment).root().map(drop)
}

#[test]
fn anybody_gets_a_token_from_a_public_registry_and_uses_it_for_everything() {
    let registry = registry_with_image();
    registry.set_auth(Auth::anonymous_token());
    assert_eq!(read_layer(&source(&registry, "app:1"), 0).unwrap(), noise());
    assert_eq!(registry.count("/token"), 1);
    let token = registry.requests().into_iter().find(|request| request.target.starts_with("/token")).unwrap();
    assert_eq!(token.parameter("service").as_deref(), Some("test, registry"));
    assert_eq!(token.parameter("scope").as_deref(), Some("repository:app:pull"));
    assert_eq!(token.header("authorization"), None);
}

#[test]
fn stored_credentials_buy_a_token_and_go_to_nobody_else() {
    let registry = registry_with_image();
    registry.set_auth(Auth::token_for("ann", "secret"));
    let (_home, environment) = home_with(&registry, ann());
    root_as(&registry, &environment).unwrap();
    for request in registry.requests() {
        let basic = request.header("authorization").is_some_and(|value| value.starts_with("Basic "));
        assert_eq!(basic, request.target.starts_with("/token"), "{}", request.target);
    }
}

#[test]
fn basic_authentication_works() {
    let registry = registry_with_image();
    registry.set_auth(Auth::Basic { user: "ann".to_owned(), password: "secret".to_owned() });
    let (_home, environment) = home_with(&registry, ann());
    root_as(&registry, &environment).unwrap();
}

#[test]
fn an_identity_token_is_traded_for_an_access_token() {
    let registry = registry_with_image();
    registry.set_auth(Auth::Token {
        user: None,
        refresh: Some("refresh me/&=".to_owned()),
        field: TokenField::AccessToken,
        uses: usize::MAX,
        lifetime_seconds: 300,
    });
    let (_home, environment) = home_with(&registry, r#"{"identitytoken":"refresh me/&="}"#);
    root_as(&registry, &environment).unwrap();
    let token = registry.requests().into_iter().find(|request| request.target == "/token").unwrap();
    assert_eq!(token.method, "POST");
    assert_eq!(token.parameter("client_id").as_deref(), Some("sealpack"));
}

#[test]
fn a_token_that_has_become_worthless_is_renewed_once() {
    let registry = registry_with_image();
    registry.set_auth(Auth::anonymous_token());
    let source = source(&registry, "app:1");
    let image = resolve(&source, &platform()).unwrap();
    registry.revoke_tokens();
    assert_eq!(read_blob(&source, &image, 0).unwrap(), noise());
    assert_eq!(registry.count("/token"), 2);
}

#[test]
fn a_token_that_is_good_for_few_requests_is_renewed_when_it_is_used_up() {
    let registry = registry_with_image();
    registry.set_auth(Auth::Token {
        user: None,
        refresh: None,
        field: TokenField::Token,
        uses: 2,
        lifetime_seconds: 300,
    });
    assert_eq!(read_layer(&source(&registry, "app:1"), 0).unwrap(), noise());
    assert_eq!(registry.count("/token"), 2);
}

#[test]
fn a_token_that_is_refused_every_time_ends_in_an_error() {
    let registry = registry_with_image();
    registry.set_auth(Auth::Token {
        user: None,
        refresh: None,
        field: TokenField::Token,
        uses: 0,
        lifetime_seconds: 300,
    });
    let error = registry_error(root_as(&registry, &nowhere()).unwrap_err());
    assert!(matches!(error, RegistryError::Unauthorized { anonymous: true, .. }), "{error}");
    assert_eq!(registry.count("/token"), 2);
}

#[test]
fn wrong_credentials_are_named_by_user_and_file_but_never_shown() {
    for auth in
        [Auth::token_for("ann", "right"), Auth::Basic { user: "ann".into(), password: "right".into() }]
    {
        let registry = registry_with_image();
        registry.set_auth(auth);
        let (home, environment) = home_with(&registry, ann());
        let error = registry_error(root_as(&registry, &environment).unwrap_err());
        let text = error.to_string();
        let file = home.path().join(".docker/config.json");
        assert!(text.contains("\"ann\"") && text.contains(file.to_str().unwrap()), "{text}");
        assert!(!text.contains("secret") && !format!("{error:?}").contains("secret"), "{text}");
        let RegistryError::Unauthorized { anonymous: false, registry: login, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*login, registry.host());
    }
}

#[test]
fn missing_credentials_are_said_with_the_files_that_were_looked_at() {
    let registry = registry_with_image();
    registry.set_auth(Auth::Basic { user: "ann".to_owned(), password: "secret".to_owned() });
    let home = TempDir::new().unwrap();
    let environment = Environment::empty(home.path()).with("HOME", home.path());
    let error = registry_error(root_as(&registry, &environment).unwrap_err()).to_string();
    assert!(error.contains("no credentials") && error.contains(".docker/config.json"), "{error}");
}

#[test]
fn a_forbidden_image_is_not_asked_for_again() {
    let registry = registry_with_image();
    registry.fault(Fault::status("/manifests/", 403));
    let error = registry_error(root_as(&registry, &nowhere()).unwrap_err());
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    assert_eq!(registry.count("/manifests/"), 1);
}

#[test]
fn challenges_that_cannot_be_met_are_named() {
    let registry = registry_with_image();
    let problem = |challenge: &str| {
        registry.set_auth(Auth::Challenge(challenge.to_owned()));
        registry_error(root_as(&registry, &nowhere()).unwrap_err()).to_string()
    };
    assert!(problem("Negotiate").contains("offers negotiate; Bearer and Basic are supported"));
    assert!(problem("Bearer service=\"x\"").contains("no usable URL"));
    assert!(problem("Bearer realm=\"ftp://x/\"").contains("no usable URL"));
    assert!(problem("").contains("does not say how"));
}

#[test]
fn a_token_service_without_encryption_gets_no_credentials_from_one_with() {
    let registry = Registry::start_tls();
    let plain = Registry::start();
    registry.set_auth(Auth::Challenge(format!("Bearer realm=\"{}/token\",service=\"x\"", plain.url())));
    let (home, environment) = home_with(&registry, ann());
    let ca: PathBuf = home.path().join("ca.pem");
    fs::write(&ca, registry.ca_pem()).unwrap();
    let options = ClientOptions { ca_files: vec![ca], ..options() };
    let error = source_with(&registry, "app:1", &options, &environment).root().unwrap_err().to_string();
    assert!(error.contains("without encryption"), "{error}");
    assert_eq!(plain.requests().len(), 0);
}

#[test]
fn a_token_services_failures_are_told() {
    let registry = registry_with_image();
    registry.set_auth(Auth::anonymous_token());
    registry.fault(Fault::status("/token", 503).times(2));
    root_as(&registry, &nowhere()).unwrap();
    for (body, expected) in
        [("{}", "has no token"), ("hello", "not valid"), (r#"{"token":"a\nb"}"#, "no header")]
    {
        registry.clear_faults();
        registry.fault(Fault::answer("/token", 200, ("Content-Type", "application/json"), body));
        let error = registry_error(root_as(&registry, &nowhere()).unwrap_err()).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn many_threads_ask_for_one_token() {
    let registry = registry_with_image();
    registry.set_auth(Auth::anonymous_token());
    let source = source(&registry, "app:1");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| source.root().unwrap());
        }
    });
    assert_eq!(registry.count("/token"), 1);
}

#[test]
fn a_helpers_failure_is_told_and_not_ignored() {
    let registry = registry_with_image();
    registry.set_auth(Auth::token_for("ann", "secret"));
    let (home, environment) = home_with(&registry, "{}");
    fs::write(home.path().join(".docker/config.json"), r#"{"credsStore":"absent"}"#).unwrap();
    let error = root_as(&registry, &environment).unwrap_err();
    assert!(error.to_string().contains("docker-credential-absent is not in PATH"), "{error}");
}
