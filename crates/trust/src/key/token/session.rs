use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use super::encoding::{digest_info, ec_key, rsa_key};
use super::{TokenError, TokenUri};
use crate::key::{KeyError, PublicKey, PublicKeyKind, SignError, SignatureAlgorithm, Signer};

/// The library of p11-kit, which stands for those that are configured on the machine.
const DEFAULT_MODULE: &str = "p11-kit-proxy.so";

/// A private key that stays in its token.
pub struct TokenKey {
    session: Mutex<Session>,
    key: ObjectHandle,
    public: PublicKey,
    access: Access,
}

/// What a signature takes.
enum Access {
    /// Nothing more, once the session is logged in.
    Session,
    /// A login each time (`CKA_ALWAYS_AUTHENTICATE`), with the PIN unless the token has a keypad of its own.
    EachTime(Option<AuthPin>),
}

impl TokenKey {
    /// Finds the key and logs in to its token. `pin` is not used where the token has a keypad of its own, or wants none.
    ///
    /// # Errors
    /// No such library, token or key, or several; a wrong PIN; a kind of key that is not supported.
    pub fn open(uri: &TokenUri, pin: Option<&str>) -> Result<Self, TokenError> {
        let library = load(uri.module_path().unwrap_or(Path::new(DEFAULT_MODULE)))?;
        let (slot, token) = find_token(&library, uri)?;
        let session = library.open_ro_session(slot).map_err(call("open a session"))?;
        let pin = pin.map(AuthPin::from);
        let pin = if token.protected_authentication_path() { None } else { pin };
        log_in(&session, &token, pin.as_ref())?;
        let key = find_key(&session, &token, uri)?;
        let public = public_key(&session, &token, key)?;
        let access =
            if wants_login_each_time(&session, key) { Access::EachTime(pin) } else { Access::Session };
        Ok(Self { session: Mutex::new(session), key, public, access })
    }

    /// Only the hash goes to the token: every one can do that, and cards are slow.
    fn sign_hash(&self, session: &Session, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let (digest, hash) = (self.algorithm().digest(), hash(self.algorithm(), message));
        let (mechanism, input) = match self.algorithm() {
            SignatureAlgorithm::RsaPkcs1Sha256 => {
                (Mechanism::RsaPkcs, digest_info(digest, &hash).map_err(SignError::new)?)
            }
            SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::EcdsaP384Sha384 => {
                (Mechanism::Ecdsa, hash)
            }
        };
        session.sign(&mechanism, self.key, &input).map_err(refused)
    }

    /// The whole message goes to the token: the login has its place between the beginning of a signature and the
    /// message, and only mechanisms that hash can be begun so.
    fn sign_with_login(
        &self,
        session: &Session,
        message: &[u8],
        pin: Option<&AuthPin>,
    ) -> Result<Vec<u8>, SignError> {
        let mechanism = match self.algorithm() {
            SignatureAlgorithm::RsaPkcs1Sha256 => Mechanism::Sha256RsaPkcs,
            SignatureAlgorithm::EcdsaP256Sha256 => Mechanism::EcdsaSha256,
            SignatureAlgorithm::EcdsaP384Sha384 => Mechanism::EcdsaSha384,
        };
        session.sign_init(&mechanism, self.key).map_err(refused)?;
        session.login(UserType::ContextSpecific, pin).map_err(refused)?;
        session.sign_update(message).map_err(refused)?;
        session.sign_final().map_err(refused)
    }
}

fn refused(error: Error) -> SignError {
    SignError::new(format_args!("the token answered {error}"))
}

impl Signer for TokenKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        // Nothing in a session is left half done when a thread panics: each signature begins anew.
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let raw = match &self.access {
            Access::Session => self.sign_hash(&session, message)?,
            Access::EachTime(pin) => self.sign_with_login(&session, message, pin.as_ref())?,
        };
        match self.public.kind() {
            PublicKeyKind::Rsa { .. } => Ok(raw),
            // CKM_ECDSA makes two numbers of equal length (PKCS#11 v3.1, section 6.3.1).
            PublicKeyKind::P256 | PublicKeyKind::P384 => self.public.ecdsa_der(&raw).ok_or_else(|| {
                SignError::new("the token's signature is not two numbers of the curve's length")
            }),
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenKey").field("public", &self.public).finish_non_exhaustive()
    }
}

fn hash(algorithm: SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
    let function = match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 | SignatureAlgorithm::EcdsaP256Sha256 => &digest::SHA256,
        SignatureAlgorithm::EcdsaP384Sha384 => &digest::SHA384,
    };
    digest::digest(function, message).as_ref().to_vec()
}

fn load(path: &Path) -> Result<Pkcs11, TokenError> {
    let failed = |source| TokenError::Library { path: path.to_owned(), source };
    let library = Pkcs11::new(path).map_err(failed)?;
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // By somebody else in this process, which is as good.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(library),
        Err(source) => Err(failed(source)),
    }
}

fn call(what: &'static str) -> impl Fn(Error) -> TokenError {
    move |source| TokenError::Call { what, source }
}

fn find_token(library: &Pkcs11, uri: &TokenUri) -> Result<(Slot, TokenInfo), TokenError> {
    let mut all = Vec::new();
    for slot in library.get_slots_with_initialized_token().map_err(call("list tokens"))? {
        all.push((slot, library.get_token_info(slot).map_err(call("describe it"))?));
    }
    let there = all.iter().map(|(_, token)| token.label().to_owned()).collect();
    let mut found: Vec<_> = all.into_iter().filter(|(slot, token)| is_meant(uri, *slot, token)).collect();
    match (found.pop(), found.len()) {
        (Some(found), 0) => Ok(found),
        (Some(_), others) => Err(TokenError::SeveralTokens { count: others + 1 }),
        (None, _) => Err(TokenError::NoToken { there }),
    }
}

fn is_meant(uri: &TokenUri, slot: Slot, token: &TokenInfo) -> bool {
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    is(&uri.token, token.label())
        && is(&uri.manufacturer, token.manufacturer_id())
        && is(&uri.model, token.model())
        && is(&uri.serial, token.serial_number())
        && uri.slot_id.is_none_or(|id| id == slot.id())
}

fn log_in(session: &Session, token: &TokenInfo, pin: Option<&AuthPin>) -> Result<(), TokenError> {
    if !token.login_required() {
        return Ok(());
    }
    if pin.is_none() && !token.protected_authentication_path() {
        return Err(TokenError::NoPin { token: token.label().to_owned() });
    }
    match session.login(UserType::User, pin) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(source) => Err(TokenError::Pin { token: token.label().to_owned(), source }),
    }
}

fn find_key(session: &Session, token: &TokenInfo, uri: &TokenUri) -> Result<ObjectHandle, TokenError> {
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec())));
    template.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
    let token = || token.label().to_owned();
    match session.find_objects(&template).map_err(call("list its keys"))?.as_slice() {
        [key] => Ok(*key),
        [] => Err(TokenError::NoKey { token: token() }),
        keys => Err(TokenError::SeveralKeys { token: token(), count: keys.len() }),
    }
}

/// The public part of a private key: what the private key says of it itself, or the public key with the same id.
fn public_key(session: &Session, token: &TokenInfo, key: ObjectHandle) -> Result<PublicKey, TokenError> {
    let types = [AttributeType::KeyType, AttributeType::Id];
    let (mut kind, mut template) = (None, vec![Attribute::Class(ObjectClass::PUBLIC_KEY)]);
    for attribute in session.get_attributes(key, &types).map_err(call("describe the key"))? {
        match attribute {
            Attribute::KeyType(found) => kind = Some(found),
            id @ Attribute::Id(_) => template.push(id),
            _ => {}
        }
    }
    let (types, to_key): (_, ToKey) = match kind {
        Some(KeyType::RSA) => ([AttributeType::Modulus, AttributeType::PublicExponent], rsa_key),
        Some(KeyType::EC) => ([AttributeType::EcParams, AttributeType::EcPoint], ec_key),
        _ => return Err(KeyError::Unsupported { algorithm: "Other".to_owned() }.into()),
    };
    let public = session.find_objects(&template).map_err(call("list its keys"))?;
    for object in [key].into_iter().chain(public) {
        if let Some([first, second]) = bytes_of(session, object, types)? {
            return Ok(to_key(&first, &second)?);
        }
    }
    Err(TokenError::NoPublicKey { token: token.label().to_owned() })
}

type ToKey = fn(&[u8], &[u8]) -> Result<PublicKey, KeyError>;

/// The values of two attributes, where the token gives both.
fn bytes_of(
    session: &Session,
    object: ObjectHandle,
    types: [AttributeType; 2],
) -> Result<Option<[Vec<u8>; 2]>, TokenError> {
    let attributes = session.get_attributes(object, &types).map_err(call("read its public key"))?;
    let values = attributes.into_iter().filter_map(|attribute| match attribute {
        Attribute::Modulus(bytes)
        | Attribute::PublicExponent(bytes)
        | Attribute::EcParams(bytes)
        | Attribute::EcPoint(bytes) => Some(bytes),
        _ => None,
    });
    Ok(values.collect::<Vec<_>>().try_into().ok())
}

/// Tokens that do not know the attribute do not want it.
fn wants_login_each_time(session: &Session, key: ObjectHandle) -> bool {
    let attributes = session.get_attributes(key, &[AttributeType::AlwaysAuthenticate]).unwrap_or_default();
    attributes.contains(&Attribute::AlwaysAuthenticate(true))
}
