//! One request and one answer over HTTP: connections, TLS, certificates, proxies, time-outs.

use std::collections::HashMap;
use std::error::Error as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ureq::http::{HeaderValue, Request, Response, header};
use ureq::tls::{Certificate, PemItem, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, SocksConnector, TcpConnector};
use ureq::{Agent, Body, ProxyProtocol, SendBody};

use super::ask::{Ask, RequestBody};
use super::error::RegistryError;
use super::options::{ClientOptions, Timeouts};
use super::proxy::Proxies;
use super::tls::{self, SystemRoots, TlsConnector, is_wrong_name};
use super::url::{Origin, Scheme, Url};
use super::watch::{ClientEvent, Watch};
use crate::environment::Environment;
use crate::error::Error;
use crate::text::clean;

/// Largest file of certificates.
const CERTIFICATES_MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Largest header of an answer.
const HEADER_MAX_BYTES: usize = 64 * 1024;

/// What a failed request was, for who decides whether to try again.
#[derive(Debug)]
pub(super) enum TransportError {
    /// Trying again cannot help.
    Final(RegistryError),
    /// The network failed.
    Network {
        problem: String,
        proxy: Option<String>,
        /// Nobody was there at all, which seldom changes soon.
        nobody: bool,
    },
    /// The other side does not speak TLS.
    NotTls { problem: String },
    /// What was to be sent cannot be read.
    Source(Box<Error>),
}

/// Connections to any number of servers.
pub(super) struct Transport {
    timeouts: Timeouts,
    proxies: Proxies,
    ca_files: Vec<PathBuf>,
    certificate_directories: Vec<PathBuf>,
    system_roots: Arc<SystemRoots>,
    agents: Mutex<HashMap<Origin, Connection>>,
    watch: Watch,
}

#[derive(Clone)]
struct Connection {
    agent: Agent,
    proxy: Option<String>,
}

impl Transport {
    pub(super) fn new(options: &ClientOptions, environment: &Environment) -> Self {
        let mut certificate_directories = Vec::new();
        if let Some(home) = environment.path("HOME") {
            certificate_directories.push(home.join(".config/containers/certs.d"));
        }
        for system in ["/etc/containers/certs.d", "/etc/docker/certs.d"] {
            certificate_directories.push(environment.system(system));
        }
        Self {
            timeouts: options.timeouts.clone(),
            proxies: Proxies::of(environment),
            ca_files: options.ca_files.clone(),
            certificate_directories,
            system_roots: Arc::default(),
            agents: Mutex::default(),
            watch: options.watch.clone(),
        }
    }

    /// Sends one request to `url`. Redirects and error statuses are answers like any other.
    pub(super) fn send(
        &self,
        url: &Url,
        ask: &Ask<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Body>, TransportError> {
        let connection = self.connection(&url.origin).map_err(TransportError::Final)?;
        let request = build(url, ask, authorization).map_err(TransportError::Final)?;
        let shown = url.to_string();
        self.watch.event(&ClientEvent::Asked { method: ask.method.as_str(), url: &shown });
        let _wait = self.watch.wait(&shown, self.timeouts.connect + self.timeouts.response);
        let result = match &ask.body {
            RequestBody::Nothing => connection.agent.run(request),
            RequestBody::Bytes(bytes) => connection.agent.run(request.map(|()| *bytes)),
            RequestBody::Stream { open, .. } => {
                let mut reader = open().map_err(|error| TransportError::Source(Box::new(error)))?;
                let body = SendBody::from_reader(&mut reader);
                connection.agent.run(request.map(|()| body))
            }
        };
        result.map_err(|error| classify(error, url, connection.proxy))
    }

    fn connection(&self, origin: &Origin) -> Result<Connection, RegistryError> {
        // The map is whole whatever a panicking thread did.
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = agents.get(origin) {
            return Ok(connection.clone());
        }
        let connection = self.connect(origin)?;
        agents.insert(origin.clone(), connection.clone());
        Ok(connection)
    }

    fn connect(&self, origin: &Origin) -> Result<Connection, RegistryError> {
        let chosen = self.proxies.choose(origin)?;
        let tls_to_proxy =
            chosen.as_ref().is_some_and(|chosen| chosen.proxy.protocol() == ProxyProtocol::Https);
        let (proxy, name) = chosen.map(|chosen| (chosen.proxy, chosen.name)).unzip();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .user_agent(concat!("sealpack/", env!("CARGO_PKG_VERSION")))
            // Blobs are hashed as they are stored.
            .accept_encoding("identity")
            .max_response_header_size(HEADER_MAX_BYTES)
            .max_idle_connections_per_host(16)
            .timeout_resolve(Some(self.timeouts.connect))
            .timeout_connect(Some(self.timeouts.connect))
            .timeout_recv_response(Some(self.timeouts.response))
            .timeout_per_read(Some(self.timeouts.stall))
            .timeout_per_write(Some(self.timeouts.stall));
        if origin.scheme == Scheme::Http && !tls_to_proxy {
            return Ok(Connection { agent: config.build().new_agent(), proxy: name });
        }
        let connector = TlsConnector::new(self.roots(origin)?, Arc::clone(&self.system_roots))
            .map_err(|problem| RegistryError::tls(origin.to_string(), problem))?;
        let connector =
            ().chain(SocksConnector::default())
                .chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(connector);
        let agent = Agent::with_parts(config.build(), connector, DefaultResolver::default());
        Ok(Connection { agent, proxy: name })
    }

    /// The certificates to trust for `origin` besides the system's: those of `--ca`, and those of the
    /// directory that docker and podman keep for the host.
    fn roots(&self, origin: &Origin) -> Result<Vec<Certificate<'static>>, RegistryError> {
        let mut roots = Vec::new();
        for file in &self.ca_files {
            roots.extend(read_certificates(file)?);
        }
        let mut names = vec![format!("{}:{}", origin.host, origin.port)];
        if origin.port == 443 {
            names.push(origin.host.clone());
        }
        for directory in &self.certificate_directories {
            for name in &names {
                for file in certificate_files(&directory.join(name)) {
                    roots.extend(read_certificates(&file)?);
                }
            }
        }
        Ok(roots)
    }
}

/// The `.crt` files of a directory, in order; none when there is no such directory.
fn certificate_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "crt")).collect();
    files.sort();
    files
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let bad = |problem: String| RegistryError::Certificates { path: path.to_owned(), problem };
    let mut pem = Vec::new();
    let file = fs::File::open(path).map_err(|error| bad(error.to_string()))?;
    file.take(CERTIFICATES_MAX_BYTES + 1).read_to_end(&mut pem).map_err(|error| bad(error.to_string()))?;
    if pem.len() as u64 > CERTIFICATES_MAX_BYTES {
        return Err(bad(format!("there are more than {} MiB of it", CERTIFICATES_MAX_BYTES >> 20)));
    }
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| bad(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(bad("there is no certificate in PEM form in it".to_owned()));
    }
    Ok(certificates)
}

fn build(
    url: &Url,
    ask: &Ask<'_>,
    authorization: Option<&HeaderValue>,
) -> Result<Request<()>, RegistryError> {
    let mut request = Request::builder().method(ask.method.clone()).uri(url.request_text());
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    if let RequestBody::Stream { size_bytes, .. } = &ask.body {
        request = request.header(header::CONTENT_LENGTH, *size_bytes);
    }
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.body(()).map_err(|error| RegistryError::Nonsense {
        url: url.to_string(),
        problem: format!("the URL is not valid: {error}"),
    })
}

fn classify(error: ureq::Error, url: &Url, proxy: Option<String>) -> TransportError {
    if let Some(problem) = tls_error(&error) {
        let text = tls::describe(problem);
        return match problem {
            rustls::Error::InvalidMessage(_) => TransportError::NotTls { problem: text },
            problem => TransportError::Final(RegistryError::Tls {
                url: url.to_string(),
                problem: text,
                plain: false,
                wrong_name: is_wrong_name(problem),
            }),
        };
    }
    let error = match source_error(error) {
        Ok(error) => return TransportError::Source(Box::new(error)),
        Err(error) => error,
    };
    let problem = describe(&error);
    match &error {
        ureq::Error::LargeResponseHeader(..) | ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            TransportError::Final(RegistryError::Nonsense { url: url.to_string(), problem })
        }
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
            TransportError::Network { problem, proxy, nobody: true }
        }
        ureq::Error::Io(io) => {
            let resolver = problem.contains("lookup address information");
            let nobody = resolver || io.kind() == io::ErrorKind::ConnectionRefused;
            TransportError::Network { problem, proxy, nobody }
        }
        _ => TransportError::Network { problem, proxy, nobody: false },
    }
}

/// The error of the reader that a body was read from, if it is one.
fn source_error(error: ureq::Error) -> std::result::Result<Error, ureq::Error> {
    match error {
        ureq::Error::Io(error) => Error::from_read(error).map_err(ureq::Error::Io),
        other => Err(other),
    }
}

fn tls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// What happened, without the name of the library's variant.
fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => describe_io(error),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        other => clean(&other.to_string(), 300),
    }
}

/// What broke a body.
pub(super) fn describe_io(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        Some(ureq::Error::Timeout(_)) => "nothing arrived in time".to_owned(),
        Some(inner) => describe(inner),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        None => {
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            clean(&format!("{error}{source}"), 300)
        }
    }
}

/// Reads what is left of a short body, so that the connection can be used again.
pub(super) fn drain(response: Response<Body>) {
    let reader = response.into_body().into_reader();
    // A connection that breaks meanwhile is simply not used again.
    let _ = io::copy(&mut reader.take(64 * 1024), &mut io::sink());
}
