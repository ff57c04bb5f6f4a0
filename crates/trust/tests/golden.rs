//! Signatures that OpenSSL made once, with a key that is trusted nowhere:
//!
//! ```text
//! openssl smime -sign -binary -noattr -nocerts -outform der
//!     -signer rsa2048.crt -inkey rsa2048.key -in root_hash.txt -out root_hash.p7s
//! openssl smime -sign -binary -noattr -nodetach -nosmimecap -nocerts -outform der
//!     -signer rsa2048.crt -inkey rsa2048.key -in policy.txt -out policy.p7b
//! ```
//!
//! And a seal of two packs by that key, as the blobs that are published and as a store keeps it.
//!
//! Seals that are published rely on these bytes: another encoding would be another signature.

use anyhow::Result;
use sealpack_format::digest::{ObjectId, RootHash};
use sealpack_trust::key::{Certificate, FileKey};
use sealpack_trust::pkcs7;
use sealpack_trust::seal::{
    Seal, SealedMetadata, SealedPack, SealingKeys, SigningPair, Statement, StatementContents,
};

const KEY: &[u8] = include_bytes!("golden/rsa2048.key");
const CERTIFICATE: &[u8] = include_bytes!("golden/rsa2048.crt");
const ROOT_HASH: &[u8] = include_bytes!("golden/root_hash.txt");
const POLICY: &[u8] = include_bytes!("golden/policy.txt");
const DETACHED: &[u8] = include_bytes!("golden/root_hash.p7s");
const EMBEDDED: &[u8] = include_bytes!("golden/policy.p7b");
const STATEMENT: &[u8] = include_bytes!("golden/seal/statement.json");
const BUNDLE: &[u8] = include_bytes!("golden/seal/signatures.json");
const STORED: &[u8] = include_bytes!("golden/seal/stored.json");

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

fn statement() -> Result<Statement> {
    let pack = |layers: &[char], byte| -> Result<SealedPack> {
        let layers = layers.iter().map(|digit| format!("sha256:{}", digit.to_string().repeat(64)).parse());
        let (layers, root_hash) = (layers.collect::<Result<_, _>>()?, RootHash::new([byte; 32]));
        Ok(SealedPack { layers, size_bytes: 2_015_232, root_hash })
    };
    let metadata = SealedMetadata {
        id: ObjectId::sha256([9; 32]),
        size_bytes: 16384,
        root_hash: RootHash::new([0; 32]),
    };
    Ok(Statement::new(StatementContents {
        created: "2026-11-27T18:34:55Z".parse()?,
        epoch: 1_795_804_495,
        manifest: format!("sha256:{}", "a".repeat(64)).parse()?,
        platform: "linux/arm64/v8".into(),
        metadata: vec![metadata],
        names: vec!["docker.io/library/debian:12".parse()?, "registry.example.org/base/debian:12".parse()?],
        packs: vec![pack(&['1', '3'], 1)?, pack(&['2'], 2)?],
    })?)
}

#[test]
fn a_seal_never_changes() -> Result<()> {
    let (key, certificate) = (FileKey::parse(KEY)?, Certificate::parse(CERTIFICATE)?);
    let pair = SigningPair { signer: &key, certificate: &certificate };
    let seal = Seal::sign(statement()?, &SealingKeys { packs: pair, statement: pair })?;
    assert!(seal.statement().bytes() == STATEMENT, "another statement: {}", seal.statement().text());
    assert!(seal.bundle() == BUNDLE, "another bundle: {}", String::from_utf8_lossy(&seal.bundle()));
    assert!(seal.to_json() == STORED, "another stored form: {}", String::from_utf8_lossy(&seal.to_json()));
    Ok(())
}

#[test]
fn published_seals_stay_readable() -> Result<()> {
    let seal = Seal::from_parts(STATEMENT, BUNDLE)?;
    assert_eq!(seal, Seal::parse(STORED)?);
    assert_eq!(seal.statement(), &statement()?);
    let certificates = [Certificate::parse(CERTIFICATE)?];
    for (signed, content) in seal.statement().to_be_signed() {
        let [signature] = seal.signatures_of(signed) else { panic!("not one signature of {signed}") };
        pkcs7::verify_detached(signature, &content, &certificates)?;
    }
    Ok(())
}
