//! Repetition, redirects, TLS, proxies, mirrors.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use sealpack_oci::transport::ImageSource as _;
use sealpack_test_registry::{Action, Fault, Registry, digest_of};
use tempfile::TempDir;

use super::*;

fn resolve_app(registry: &Registry) -> Result<ResolvedImage> {
    resolve(&source(registry, "app:1"), &platform())
}

#[test]
fn what_may_pass_is_tried_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let registry = registry_with_image();
        registry.fault(Fault::status("/manifests/", status).times(3));
        resolve_app(&registry).unwrap();
        assert_eq!(registry.count("/manifests/"), 4);
    }
    for action in [Action::HangUp, Action::Garbage] {
        let registry = registry_with_image();
        registry.fault(Fault::new("/manifests/", action).times(2));
        resolve_app(&registry).unwrap();
    }
}

#[test]
fn repetition_ends_with_the_last_answer() {
    let registry = registry_with_image();
    let body = r#"{"errors":[{"code":"UNAVAILABLE","message":"down \u001b[31mfor now"}]}"#;
    registry.fault(Fault::answer("/manifests/", 503, ("Content-Type", "application/json"), body));
    let error = registry_error(resolve_app(&registry).unwrap_err());
    assert!(matches!(error, RegistryError::Status { status: 503, attempts: 4, .. }), "{error}");
    assert!(
        error.to_string().ends_with("answered 503 (4 attempts): UNAVAILABLE (down  [31mfor now)"),
        "{error}"
    );
    assert_eq!(registry.count("/manifests/"), 4);
}

#[test]
fn what_cannot_pass_is_not_tried_again() {
    for status in [400, 404, 405, 410] {
        let registry = registry_with_image();
        registry.fault(Fault::status("/manifests/", status));
        resolve_app(&registry).unwrap_err();
        assert_eq!(registry.count("/manifests/"), 1);
    }
}

#[test]
fn retry_after_is_waited_for_but_not_for_ever() {
    let registry = registry_with_image();
    registry.fault(Fault::answer("/manifests/", 429, ("Retry-After", "1"), "").times(1));
    let begun = Instant::now();
    resolve_app(&registry).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let registry = registry_with_image();
    registry.fault(Fault::answer("/manifests/", 429, ("Retry-After", "3600"), ""));
    let error = registry_error(resolve_app(&registry).unwrap_err());
    assert!(matches!(error, RegistryError::TooLongToWait { status: 429, .. }), "{error}");
    assert_eq!(registry.count("/manifests/"), 1);
}

#[test]
fn nobody_there_is_said_soon() {
    let host = Registry::start().host();
    let source = RegistrySource::new(format!("{host}/app").parse().unwrap(), &options(), &nowhere());
    let error = registry_error(source.root().unwrap_err());
    assert!(matches!(error, RegistryError::Unreachable { attempts: 3, .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn redirects_are_followed_without_credentials_for_other_hosts() {
    let registry = registry_with_image();
    let storage = Registry::start();
    storage.put_blob(noise());
    registry.set_auth(sealpack_test_registry::Auth::anonymous_token());
    // A machine under load can be silent for longer than the usual limit, and a request would be made again.
    let mut patient = options();
    patient.timeouts.stall = Duration::from_secs(10);
    for status in [301, 302, 303, 307, 308] {
        registry.clear_faults();
        let elsewhere = format!("{}/v2/x/{}?signature=s3cret", storage.url(), layer_path());
        registry.fault(Fault::new(&layer_path(), Action::Redirect(status, elsewhere)));
        let source = source_with(&registry, "app:1", &patient, &nowhere());
        assert_eq!(read_layer(&source, 0).unwrap(), noise());
    }
    assert!(registry.requests().iter().any(|request| request.header("authorization").is_some()));
    assert_eq!(storage.count("/blobs/"), 5);
    for request in storage.requests() {
        assert_eq!(request.header("authorization"), None, "{}", request.target);
    }
}

#[test]
fn credentials_stay_on_the_way_back_from_another_host_too() {
    let registry = registry_with_image();
    let storage = Registry::start();
    registry.set_auth(sealpack_test_registry::Auth::anonymous_token());
    let away = format!("{}/hop", storage.url());
    registry.fault(Fault::new(&layer_path(), Action::Redirect(307, away)));
    storage.fault(Fault::new("/hop", Action::Redirect(307, format!("{}/v2/back", registry.url()))));
    read_layer(&source(&registry, "app:1"), 0).unwrap_err();
    let back: Vec<_> =
        registry.requests().into_iter().filter(|request| request.target == "/v2/back").collect();
    assert!(!back.is_empty() && back.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn redirects_on_the_same_host_keep_the_credentials() {
    let registry = registry_with_image();
    registry.set_auth(sealpack_test_registry::Auth::anonymous_token());
    let to = format!("/v2/moved/{}", layer_path());
    registry.fault(Fault::new(&format!("/app/{}", layer_path()), Action::Redirect(307, to)));
    assert_eq!(read_layer(&source(&registry, "app:1"), 0).unwrap(), noise());
}

#[test]
fn a_refusal_by_the_other_host_is_not_answered_with_credentials() {
    let registry = registry_with_image();
    let storage = Registry::start();
    storage.set_auth(sealpack_test_registry::Auth::anonymous_token());
    registry.fault(Fault::new(&layer_path(), Action::Redirect(307, format!("{}/v2/x", storage.url()))));
    let error = registry_error(read_layer(&source(&registry, "app:1"), 0).unwrap_err());
    assert!(error.to_string().contains("redirected to another host"), "{error}");
    assert_eq!(storage.count("/token"), 0);
}

#[test]
fn redirects_that_lead_nowhere_are_refused() {
    let registry = registry_with_image();
    let redirected = |target: &str| {
        registry.clear_faults();
        registry.fault(Fault::new("/manifests/", Action::Redirect(307, target.to_owned())));
        registry_error(resolve_app(&registry).unwrap_err()).to_string()
    };
    assert!(redirected("/v2/app/manifests/1").contains("there are more than 10"));
    assert!(redirected("ftp://host/x").contains("neither http nor https"));
    assert!(redirected("http://user:pass@host/x").contains("a user name"));
    registry.clear_faults();
    registry.fault(Fault::status("/manifests/", 307));
    let error = registry_error(resolve_app(&registry).unwrap_err());
    assert!(error.to_string().contains("nowhere to go"), "{error}");
}

fn trusting(registry: &Registry, directory: &TempDir) -> ClientOptions {
    let path = directory.path().join("ca.pem");
    fs::write(&path, registry.ca_pem()).unwrap();
    ClientOptions { ca_files: vec![path], ..options() }
}

#[test]
fn tls_with_an_own_ca_works_when_the_ca_is_named() {
    let registry = Registry::start_tls();
    registry.put_image("app", "1", &image());
    let directory = TempDir::new().unwrap();
    let source = source_with(&registry, "app:1", &trusting(&registry, &directory), &nowhere());
    assert_eq!(read_layer(&source, 0).unwrap(), noise());
}

#[test]
fn the_cas_that_docker_and_podman_keep_for_a_host_are_used() {
    for directory_name in ["etc/docker/certs.d", "etc/containers/certs.d", "home/.config/containers/certs.d"]
    {
        let registry = Registry::start_tls();
        registry.put_image("app", "1", &image());
        let root = TempDir::new().unwrap();
        let directory = root.path().join(directory_name).join(registry.host());
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("ca.crt"), registry.ca_pem()).unwrap();
        let environment = Environment::empty(root.path()).with("HOME", root.path().join("home"));
        resolve(&source_with(&registry, "app:1", &options(), &environment), &platform()).unwrap();
    }
}

#[test]
fn an_unknown_ca_is_refused_even_on_loopback() {
    let registry = Registry::start_tls();
    registry.put_image("app", "1", &image());
    let error = registry_error(resolve_app(&registry).unwrap_err());
    assert!(matches!(error, RegistryError::Tls { plain: false, .. }), "{error}");
    assert_eq!(registry.requests().len(), 0);
}

#[test]
fn a_ca_file_without_a_certificate_is_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("empty.pem");
    fs::write(&path, "nothing").unwrap();
    let registry = Registry::start_tls();
    let options = ClientOptions { ca_files: vec![path.clone()], ..options() };
    let error = source_with(&registry, "app:1", &options, &nowhere()).root().unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("no certificate"), "{error}");
}

#[test]
fn a_ca_file_that_is_too_large_is_refused_and_not_cut() {
    let directory = TempDir::new().unwrap();
    let registry = Registry::start_tls();
    let options = trusting(&registry, &directory);
    let path = options.ca_files[0].clone();
    // Whole certificates, and behind them more than is read.
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.set_len(8 * 1024 * 1024 + 1).unwrap();
    let error = source_with(&registry, "app:1", &options, &nowhere()).root().unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("more than 8 MiB"), "{error}");
}

#[test]
fn a_redirect_from_tls_to_plain_http_is_refused() {
    let registry = Registry::start_tls();
    registry.put_image("app", "1", &image());
    let plain = registry_with_image();
    registry.fault(Fault::new(&layer_path(), Action::Redirect(307, format!("{}/v2/app/x", plain.url()))));
    let directory = TempDir::new().unwrap();
    let source = source_with(&registry, "app:1", &trusting(&registry, &directory), &nowhere());
    let error = registry_error(read_layer(&source, 0).unwrap_err());
    assert!(error.to_string().contains("is not encrypted"), "{error}");
    assert_eq!(plain.requests().len(), 0);
}

#[test]
fn plain_http_is_spoken_at_once_when_asked_for() {
    let registry = registry_with_image();
    let options = ClientOptions { plain_http: true, ..options() };
    resolve(&source_with(&registry, "app:1", &options, &nowhere()), &platform()).unwrap();
    assert_eq!(registry.count("/v2/app"), registry.requests().len());
}

/// A proxy that takes every CONNECT to `target`, whatever host is asked for.
fn proxy(target: String) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let worker = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        let server = TcpStream::connect(target).unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = thread::spawn(move || {
            let copied = io::copy(&mut from_client, &mut to_server);
            drop(to_server.shutdown(std::net::Shutdown::Write));
            copied
        });
        drop(io::copy(&mut &server, &mut client));
        drop(client.shutdown(std::net::Shutdown::Both));
        drop(up.join());
        String::from_utf8(head).unwrap().lines().map(str::to_owned).collect()
    });
    (address, worker)
}

#[test]
fn the_environments_proxy_is_used_with_its_password() {
    let registry = Registry::start_tls();
    registry.put_image("app", "1", &image());
    let (address, worker) = proxy(registry.host());
    let directory = TempDir::new().unwrap();
    let environment = nowhere().with("HTTPS_PROXY", format!("http://ann:pa%40ss@{address}"));
    let reference = "registry.test/app:1".parse().unwrap();
    let source = RegistrySource::new(reference, &trusting(&registry, &directory), &environment);
    resolve(&source, &platform()).unwrap();
    drop(source);
    drop(registry);
    let head = worker.join().unwrap();
    assert_eq!(head[0], "CONNECT registry.test:443 HTTP/1.1");
    assert!(
        head.iter().any(|line| line.to_lowercase() == "proxy-authorization: basic yw5uonbhqhnz"),
        "{head:?}"
    );
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let host = Registry::start().host();
    let environment = nowhere().with("HTTPS_PROXY", format!("http://{host}"));
    let source = RegistrySource::new("registry.test/app".parse().unwrap(), &options(), &environment);
    let error = registry_error(source.root().unwrap_err()).to_string();
    assert!(error.contains(&format!("through the proxy {host}")), "{error}");
}

#[test]
fn a_proxy_may_want_tls_whatever_the_registry_speaks() {
    let impostor = Registry::start();
    let environment = nowhere().with("HTTP_PROXY", format!("https://{}", impostor.host()));
    let options = ClientOptions { plain_http: true, ..options() };
    let source = RegistrySource::new("registry.test/app".parse().unwrap(), &options, &environment);
    let error = registry_error(source.root().unwrap_err());
    assert!(matches!(error, RegistryError::Tls { .. } | RegistryError::Unreachable { .. }), "{error}");
    assert_eq!(impostor.requests().len(), 0);
}

fn with_mirrors(registry: &Registry, mirrors: &[&Registry]) -> RegistrySource {
    let mirrors = mirrors.iter().map(|mirror| mirror.host().parse().unwrap()).collect();
    let mut options = options();
    options.mirrors.insert(registry.host(), mirrors);
    source_with(registry, "app:1", &options, &nowhere())
}

#[test]
fn mirrors_are_asked_in_order_and_the_registry_last() {
    let (registry, empty, full) = (registry_with_image(), Registry::start(), registry_with_image());
    assert_eq!(read_layer(&with_mirrors(&registry, &[&empty, &full]), 0).unwrap(), noise());
    assert!(empty.count("/v2/app") > 0 && full.count("/v2/app") > 0);
    assert_eq!(registry.requests().len(), 0);

    let source = with_mirrors(&registry, &[&empty]);
    assert_eq!(read_layer(&source, 0).unwrap(), noise());
    assert!(registry.count(&layer_path()) == 1);
}

#[test]
fn a_mirror_can_have_a_prefix() {
    let (registry, mirror) = (Registry::start(), Registry::start());
    mirror.put_image("hub/app", "1", &image());
    let mut options = options();
    let text = format!("http://{}/hub", mirror.host());
    options.mirrors.insert(registry.host(), vec![text.parse().unwrap()]);
    resolve(&source_with(&registry, "app:1", &options, &nowhere()), &platform()).unwrap();
    assert!("host/UPPER".parse::<sealpack_oci::registry::Mirror>().is_err());
}

#[test]
fn a_mirror_that_lies_is_passed_over() {
    let (registry, mirror) = (registry_with_image(), registry_with_image());
    // A small blob is checked here.
    mirror.fault(Fault::new(&digest_of(&image().config), Action::WrongByte));
    mirror.fault(Fault::new(&layer_path(), Action::WrongByte));
    let source = with_mirrors(&registry, &[&mirror]);
    let resolved = resolve(&source, &platform()).unwrap();
    // A layer is checked by its reader, who then says so.
    let layer = &resolved.layers[0].descriptor;
    assert_ne!(read_blob(&source, &resolved, 0).unwrap(), noise());
    assert!(source.reject(layer));
    assert_eq!(read_blob(&source, &resolved, 0).unwrap(), noise());
    assert!(!source.reject(layer));
}

#[test]
fn when_all_fail_the_mirrors_failures_are_told_too() {
    let (registry, mirror) = (Registry::start(), Registry::start());
    let error = with_mirrors(&registry, &[&mirror]).root().unwrap_err().to_string();
    assert!(error.contains(&format!("before that, the mirror {} failed", mirror.host())), "{error}");
    assert!(error.starts_with(&registry.url()), "{error}");
}
