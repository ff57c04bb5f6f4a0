//! Keys, signatures, seals, trust stores, policies and the kernel's records.

use sealpack_format::reference::Reference;
use sealpack_trust::anchors::{Revocations, Rules};
use sealpack_trust::key::{Certificate, FileKey};
use sealpack_trust::pkcs7::{content_of, verify_detached, verify_embedded};
use sealpack_trust::policy::Policy;
use sealpack_trust::policy::audit::records;
use sealpack_trust::seal::{Seal, Statement};

/// A policy that is accepted means the same once it was printed, and is printed the same again.
pub(crate) fn policy(bytes: &[u8]) {
    let Ok(policy) = Policy::parse(bytes) else { return };
    let text = policy.to_bytes();
    let again = Policy::parse(&text).expect("a policy that we print is a good one");
    assert_eq!(text, again.to_bytes());
    assert_eq!(policy.rules(), again.rules());
}

/// Records are found or passed over, whatever the log.
pub(crate) fn audit(bytes: &[u8]) {
    records(bytes).for_each(drop);
}

/// A seal that is accepted is written and read again as the same, in both its forms. A statement that is accepted has
/// one text: these bytes, and those that are made of what it says, unless it says more than this version knows.
pub(crate) fn seal(bytes: &[u8]) {
    if let Ok(seal) = Seal::parse(bytes) {
        let json = seal.to_json();
        let again = Seal::parse(&json).expect("a seal that we write is a good one");
        assert_eq!(json, again.to_json());
        let (statement, bundle) = (seal.statement().bytes(), seal.bundle());
        let travelled = Seal::from_parts(statement, &bundle).expect("a seal that we publish is a good one");
        assert_eq!(travelled, seal);
    }
    let Ok(statement) = Statement::parse(bytes) else { return };
    assert_eq!(statement.bytes(), bytes);
    let written = Statement::new(statement.contents().clone()).expect("what was accepted");
    let again = Statement::parse(written.bytes()).expect("a statement that we write is a good one");
    assert_eq!(again.contents(), statement.contents());
    let _ = Seal::from_parts(bytes, bytes);
}

/// A rule that is accepted is for what is below its prefix, unless a longer one is; whoever is revoked is found.
pub(crate) fn rules(bytes: &[u8]) {
    if let Ok(rules) = Rules::parse(bytes) {
        for rule in rules.namespaces() {
            let Ok(name) = format!("{}/below:tag", rule.prefix).parse::<Reference>() else { continue };
            let decides = rules.demand(&name).rule.expect("this rule, or a longer one");
            assert!(decides.prefix.len() >= rule.prefix.len());
            assert_eq!(rules.names(&name)[0], name);
        }
    }
    let Ok(revocations) = Revocations::parse(bytes) else { return };
    for revoked in &revocations.certificates {
        assert!(revocations.certificate(&revoked.sha256).is_some());
    }
    for revoked in &revocations.root_hashes {
        assert!(revocations.root_hash(&revoked.root_hash).is_some());
    }
}

/// Whatever comes as a signature, no one is its signer when nobody is trusted. A certificate is what its DER says,
/// and a key is one or is not.
pub(crate) fn pkcs7(bytes: &[u8]) {
    _ = content_of(bytes);
    assert!(verify_detached(bytes, b"", &[]).is_err());
    assert!(verify_embedded(bytes, &[]).is_err());
    _ = FileKey::parse(bytes);
    if let Ok(certificates) = Certificate::parse_all(bytes) {
        for certificate in certificates {
            let again = Certificate::parse(certificate.der()).expect("its own DER is a certificate");
            assert_eq!(certificate.subject(), again.subject());
            let trusted = [certificate];
            // Nothing that is not signed over this content counts.
            assert!(verify_detached(bytes, b"never signed", &trusted).is_err());
        }
    }
}
