//! Signatures that OpenSSL made once, with a key that is trusted nowhere:
//!
//! ```text
//! openssl smime -sign -binary -noattr -nocerts -outform der
//!     -signer rsa2048.crt -inkey rsa2048.key -in root_hash.txt -out root_hash.p7s
//! openssl smime -sign -binary -noattr -nodetach -nosmimecap -nocerts -outform der
//!     -signer rsa2048.crt -inkey rsa2048.key -in policy.txt -out policy.p7b
//! ```
//!
//! Seals that are published rely on these bytes: another encoding would be another signature.

use anyhow::Result;
use sealpack_trust::key::{Certificate, FileKey};
use sealpack_trust::pkcs7;

const KEY: &[u8] = include_bytes!("golden/rsa2048.key");
const CERTIFICATE: &[u8] = include_bytes!("golden/rsa2048.crt");
const ROOT_HASH: &[u8] = include_bytes!("golden/root_hash.txt");
const POLICY: &[u8] = include_bytes!("golden/policy.txt");
const DETACHED: &[u8] = include_bytes!("golden/root_hash.p7s");
const EMBEDDED: &[u8] = include_bytes!("golden/policy.p7b");

#[test]
fn rsa_signatures_never_change() -> Result<()> {
    let (key, certificate) = (FileKey::parse(KEY)?, Certificate::parse(CERTIFICATE)?);
    assert!(pkcs7::sign_detached(&key, &certificate, ROOT_HASH)? == DETACHED, "another detached signature");
    assert!(pkcs7::sign_embedded(&key, &certificate, POLICY)? == EMBEDDED, "another embedded signature");
    Ok(())
}

#[test]
fn published_signatures_stay_valid() -> Result<()> {
    let certificates = [Certificate::parse(CERTIFICATE)?];
    assert_eq!(pkcs7::verify_detached(DETACHED, ROOT_HASH, &certificates)?, &certificates[0]);
    assert_eq!(pkcs7::verify_embedded(EMBEDDED, &certificates)?.content, POLICY);
    assert_eq!(pkcs7::content_of(EMBEDDED)?, POLICY);
    Ok(())
}
