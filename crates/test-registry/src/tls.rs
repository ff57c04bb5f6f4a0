//! A CA and a server certificate, made anew for each registry.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a server shows its clients.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) config: Arc<rustls::ServerConfig>,
    pub(crate) ca_pem: String,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let key = || KeyPair::generate().expect("the system has random numbers");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "test registry CA");
        let authority = CertifiedIssuer::self_signed(authority, key()).expect("the parameters are valid");
        let names = ["localhost", "127.0.0.1", "registry.test"].map(str::to_owned);
        let server = CertificateParams::new(names).expect("the names are valid");
        let server_key = key();
        let certificate = server.signed_by(&server_key, &authority).expect("the parameters are valid");
        Self::with(certificate.der(), &server_key, authority.pem())
    }

    /// With one certificate that is its own authority.
    pub(crate) fn self_signed(names: &[&str], may_sign: bool) -> Self {
        let key = KeyPair::generate().expect("the system has random numbers");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).expect("the names are valid");
        parameters.distinguished_name.push(DnType::CommonName, "test registry");
        if may_sign {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let certificate = parameters.self_signed(&key).expect("the parameters are valid");
        Self::with(certificate.der(), &key, certificate.pem())
    }

    fn with(certificate: &CertificateDer<'static>, key: &KeyPair, ca_pem: String) -> Self {
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], private)
            .expect("the key belongs to the certificate");
        Self { config: Arc::new(config), ca_pem }
    }
}
