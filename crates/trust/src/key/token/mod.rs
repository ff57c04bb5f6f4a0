//! Keys in PKCS#11 tokens: smart cards, hardware security modules, TPMs.
//!
//! [`TokenUri`] says which key (RFC 7512). With the cargo feature `pkcs11` there is `TokenKey` too, which uses it
//! through the token's own library; that library is loaded into the process, so the feature is off unless asked for.

#[cfg(feature = "pkcs11")]
mod encoding;
#[cfg(feature = "pkcs11")]
mod error;
#[cfg(feature = "pkcs11")]
mod session;
mod uri;

#[cfg(feature = "pkcs11")]
pub use error::TokenError;
#[cfg(feature = "pkcs11")]
pub use session::TokenKey;
pub use uri::{PinSource, TokenUri, UriError};
