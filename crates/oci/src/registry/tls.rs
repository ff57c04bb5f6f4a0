//! TLS to a server: whom to trust, and the connection.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::tls::Certificate;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

/// Puts TLS around the connections that want it.
#[derive(Debug)]
pub(super) struct TlsConnector(Arc<ClientConfig>);

impl TlsConnector {
    /// Trusts servers with a certificate by one of `given` or of `system`, or with one of these itself.
    ///
    /// # Errors
    /// Those of rustls, in its words.
    pub(super) fn new(given: Vec<Certificate<'static>>, system: Arc<SystemRoots>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Verifier { given, system, provider: Arc::clone(&provider), trusted: OnceLock::new() };
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?;
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        Ok(Self(Arc::new(config.with_no_client_auth())))
    }
}

/// The system's certificates, which are many, and are read when the first server shows its own: of those that are asked on
/// loopback many have none.
#[derive(Debug, Default)]
pub(super) struct SystemRoots(OnceLock<Vec<Certificate<'static>>>);

impl SystemRoots {
    /// What of them can be read; a broken one among them only matters to who needs it.
    fn get(&self) -> &[Certificate<'static>] {
        self.0.get_or_init(|| {
            let loaded = rustls_native_certs::load_native_certs();
            loaded.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        })
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| ureq::Error::Tls("the host has no valid name"))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name)?;
        let mut socket = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(connection, socket) })))
    }
}

/// A connection with TLS.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl std::fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        Ok(std::io::Write::write_all(&mut self.stream, output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let count = std::io::Read::read(&mut self.stream, self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Checks certificates as webpki does, but for one thing: who trusts a certificate trusts a server that shows this very
/// one, whether or not it may sign others. `openssl req -x509` makes certificates that may, and OpenSSL and Go take them.
#[derive(Debug)]
struct Verifier {
    given: Vec<Certificate<'static>>,
    system: Arc<SystemRoots>,
    provider: Arc<CryptoProvider>,
    trusted: OnceLock<Result<Trusted, NoRoots>>,
}

/// Whom a [`Verifier`] trusts.
#[derive(Debug)]
struct Trusted {
    verifier: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

/// Why nobody can be trusted.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct NoRoots(String);

impl Verifier {
    fn trusted(&self) -> Result<&Trusted, rustls::Error> {
        let trusted = self.trusted.get_or_init(|| self.trust().map_err(NoRoots));
        trusted.as_ref().map_err(|error| rustls::Error::Other(OtherError(Arc::new(error.clone()))))
    }

    fn trust(&self) -> Result<Trusted, String> {
        let roots = self.given.iter().chain(self.system.get());
        let own: Vec<CertificateDer<'static>> =
            roots.map(|root| CertificateDer::from(root.der().to_vec())).collect();
        if own.is_empty() {
            return Err(
                "this system has no CA certificates to check the server by (ca-certificates installs \
                        them)"
                    .to_owned(),
            );
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(own.iter().cloned());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&self.provider)).build();
        Ok(Trusted { verifier: verifier.map_err(|error| error.to_string())?, own })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trusted { verifier, own } = self.trusted()?;
        let checked = verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match checked {
            // Its dates are looked at before that, its name is not.
            Err(error) if may_sign(&error) && own.iter().any(|own| own == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a server's certificate was refused for being one that may sign others.
fn may_sign(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// What is wrong, in the words of who found it.
pub(super) fn describe(error: &rustls::Error) -> String {
    match error {
        rustls::Error::Other(OtherError(other)) => other.to_string(),
        error => error.to_string(),
    }
}

/// Whether a server's certificate is for other names than the one that it was asked by.
pub(super) const fn is_wrong_name(error: &rustls::Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(error, rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
}
