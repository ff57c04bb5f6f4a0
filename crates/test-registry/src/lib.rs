//! A registry inside a test: threads on a loopback port, gone when dropped, with every fault that
//! a real registry or the network before it can have.
//!
//! Put blobs and manifests in, add faults, point a client at [`Registry::host`], and look at
//! [`Registry::requests`] afterwards.

mod auth;
mod fault;
mod http;
mod image;
mod push;
mod referrers;
mod serve;
mod tags;
mod tls;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

pub use auth::{Auth, TokenField};
pub use fault::{Action, Fault};
pub use http::Request;
pub use image::{Image, ImageLayer, digest_of, gzip};

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    tls: Option<Arc<tls::Identity>>,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

/// A manifest with its media type.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// What all connections see.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By digest.
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    /// The repositories that have a blob; all of them when it is not in here.
    pub(crate) homes: HashMap<String, BTreeSet<String>>,
    /// By the last part of their location.
    pub(crate) uploads: HashMap<String, push::Upload>,
    /// Whether blobs are mounted from other repositories.
    pub(crate) mounts: bool,
    /// Whether there is a referrers API.
    pub(crate) referrers_api: bool,
    /// Whether that API filters by type.
    pub(crate) filters: bool,
    /// Whether the answer to a manifest with a subject has `OCI-Subject`.
    pub(crate) tells_subject: bool,
    /// Most referrers of a page.
    pub(crate) page_size: Option<usize>,
    /// Entries that are listed as referrers of a subject, whatever they are.
    pub(crate) pretended: HashMap<String, Vec<serde_json::Value>>,
    /// By `repository:tag` and `repository@digest`.
    pub(crate) manifests: HashMap<String, Stored>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) auth: Auth,
    /// Tokens given out.
    pub(crate) tokens: HashMap<String, auth::Token>,
    pub(crate) requests: Vec<Request>,
}

impl State {
    fn new() -> Self {
        Self { mounts: true, referrers_api: true, filters: true, tells_subject: true, ..Self::default() }
    }

    /// A blob, as far as the repository has it.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<&[u8]> {
        let here = self.homes.get(digest).is_none_or(|homes| homes.contains(repository));
        self.blobs.get(digest).filter(|_| here).map(Vec::as_slice)
    }

    /// A manifest by tag or digest.
    pub(crate) fn manifest(&self, repository: &str, selector: &str) -> Option<&Stored> {
        let separator = if selector.contains(':') { '@' } else { ':' };
        self.manifests.get(&format!("{repository}{separator}{selector}"))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    stopping: AtomicBool,
    /// Every open connection, to be cut at the end.
    connections: Mutex<Vec<TcpStream>>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

impl Registry {
    /// A registry that speaks plain HTTP.
    #[must_use]
    pub fn start() -> Self {
        Self::launch(None)
    }

    /// A registry that speaks TLS, with a certificate for `localhost` and 127.0.0.1 by a CA of its own.
    #[must_use]
    pub fn start_tls() -> Self {
        Self::launch(Some(Arc::new(tls::Identity::new())))
    }

    /// A registry that speaks TLS, with a certificate for these names and addresses that signs itself, and says that it may
    /// sign others, or does not. It is the registry's [CA](Self::ca_pem), too.
    #[must_use]
    pub fn start_self_signed(names: &[&str], may_sign: bool) -> Self {
        Self::launch(Some(Arc::new(tls::Identity::self_signed(names, may_sign))))
    }

    fn launch(tls: Option<Arc<tls::Identity>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { state: Mutex::new(State::new()), ..Shared::default() });
        let (state, identity) = (Arc::clone(&shared), tls.clone());
        let thread = thread::spawn(move || accept(&listener, address, &state, identity.as_ref()));
        Self { address, tls, shared, listener: Some(thread) }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:PORT` or `https://…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// The CA of a registry with TLS, in PEM form; empty without.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.tls.as_ref().map(|identity| identity.ca_pem.clone()).unwrap_or_default()
    }

    /// Keeps a blob under its SHA-256, which is returned as `sha256:…`.
    pub fn put_blob(&self, bytes: impl Into<Vec<u8>>) -> String {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        self.put_blob_as(&digest, bytes);
        digest
    }

    /// Keeps a blob under any digest, also a wrong one.
    pub fn put_blob_as(&self, digest: &str, bytes: impl Into<Vec<u8>>) {
        self.shared.state().blobs.insert(digest.to_owned(), bytes.into());
    }

    /// Keeps a manifest or index under its digest, which is returned, and under `tag`.
    pub fn put_manifest(
        &self,
        repository: &str,
        tag: &str,
        media_type: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> String {
        let stored = Stored { media_type: media_type.to_owned(), bytes: bytes.into() };
        let digest = digest_of(&stored.bytes);
        let mut state = self.shared.state();
        state.manifests.insert(format!("{repository}@{digest}"), stored.clone());
        state.manifests.insert(format!("{repository}:{tag}"), stored);
        digest
    }

    /// Keeps all of `image`; the manifest's digest is returned.
    pub fn put_image(&self, repository: &str, tag: &str, image: &Image) -> String {
        self.put_blob(image.config.clone());
        for layer in &image.layers {
            self.put_blob(layer.blob.clone());
        }
        self.put_manifest(repository, tag, image.manifest_type, image.manifest.clone())
    }

    /// Keeps a blob for one repository only.
    pub fn put_blob_in(&self, repository: &str, bytes: impl Into<Vec<u8>>) -> String {
        let digest = self.put_blob(bytes);
        let mut state = self.shared.state();
        state.homes.entry(digest.clone()).or_default().insert(repository.to_owned());
        digest
    }

    /// The blob that a repository has.
    #[must_use]
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.shared.state().blob(repository, digest).map(<[u8]>::to_vec)
    }

    /// The bytes of the manifest with this tag or digest.
    #[must_use]
    pub fn manifest(&self, repository: &str, selector: &str) -> Option<Vec<u8>> {
        self.shared.state().manifest(repository, selector).map(|stored| stored.bytes.clone())
    }

    /// The number of uploads that were begun and neither finished nor cancelled.
    #[must_use]
    pub fn open_uploads(&self) -> usize {
        self.shared.state().uploads.len()
    }

    /// Has a referrers API, or none; without one, it says nothing of subjects either. On by default.
    pub fn set_referrers_api(&self, on: bool) {
        let mut state = self.shared.state();
        (state.referrers_api, state.tells_subject) = (on, on);
    }

    /// Says `OCI-Subject` when it files a referrer, or nothing.
    pub fn set_oci_subject(&self, on: bool) {
        self.shared.state().tells_subject = on;
    }

    /// Filters referrers by type if asked to, or does not.
    pub fn set_filters(&self, on: bool) {
        self.shared.state().filters = on;
    }

    /// Lists referrers in pages of so many.
    pub fn set_page_size(&self, entries: usize) {
        self.shared.state().page_size = Some(entries);
    }

    /// Lists this descriptor among the referrers of `subject`, whatever it is.
    pub fn pretend_referrer(&self, subject: &str, descriptor: serde_json::Value) {
        self.shared.state().pretended.entry(subject.to_owned()).or_default().push(descriptor);
    }

    /// Mounts blobs from other repositories, or does not. On by default.
    pub fn set_mounts(&self, on: bool) {
        self.shared.state().mounts = on;
    }

    /// Adds a fault. Where several match a request, the one added first counts.
    pub fn fault(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Demands authentication from now on.
    pub fn set_auth(&self, auth: Auth) {
        self.shared.state().auth = auth;
    }

    /// Makes all tokens given out so far worthless.
    pub fn revoke_tokens(&self) {
        self.shared.state().tokens.clear();
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// The number of requests so far whose path contains `part`.
    #[must_use]
    pub fn count(&self, part: &str) -> usize {
        self.shared.state().requests.iter().filter(|request| request.target.contains(part)).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is to stop.
        drop(TcpStream::connect(self.address));
        for connection in self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(connection.shutdown(std::net::Shutdown::Both));
        }
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

fn accept(
    listener: &TcpListener,
    address: SocketAddr,
    shared: &Arc<Shared>,
    tls: Option<&Arc<tls::Identity>>,
) {
    let mut threads = Vec::new();
    for connection in listener.incoming() {
        let Ok(connection) = connection else { continue };
        let mut connections = shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_stopping() {
            break;
        }
        connections.extend(connection.try_clone());
        drop(connections);
        let (shared, identity) = (Arc::clone(shared), tls.cloned());
        threads.push(thread::spawn(move || {
            let ending = connection.try_clone();
            // A client that goes away, or is sent away, is all in a test's work.
            drop(converse(connection, address, &shared, identity.as_deref()));
            // The list of connections has a descriptor of its own, so that closing this one tells the client nothing.
            drop(ending.map(|connection| connection.shutdown(std::net::Shutdown::Both)));
        }));
    }
    // Connections that came in while the registry was being stopped.
    for connection in shared.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        drop(connection.shutdown(std::net::Shutdown::Both));
    }
    for thread in threads {
        drop(thread.join());
    }
}

fn converse(
    connection: TcpStream,
    address: SocketAddr,
    shared: &Shared,
    tls: Option<&tls::Identity>,
) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut first = [0];
    let looks_like_tls = connection.peek(&mut first)? == 1 && first == [0x16];
    match tls {
        Some(identity) => {
            let session =
                rustls::ServerConnection::new(Arc::clone(&identity.config)).map_err(io::Error::other)?;
            let mut stream = rustls::StreamOwned::new(session, connection);
            let result = serve::serve(&mut stream, &format!("https://{address}"), shared);
            stream.conn.send_close_notify();
            drop(stream.conn.complete_io(&mut stream.sock));
            result
        }
        None if looks_like_tls => {
            // As many servers do who hear TLS and expected HTTP.
            io::Write::write_all(&mut &connection, b"HTTP/1.0 400 Bad Request\r\n\r\n")
        }
        None => serve::serve(&mut &connection, &format!("http://{address}"), shared),
    }
}
