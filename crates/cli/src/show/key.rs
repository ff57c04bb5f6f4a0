//! Keys and certificates.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sealpack_format::tree::Time;
use sealpack_trust::key::{Certificate, FileKey, Signer};
use serde_json::json;

use super::files::date;
use super::parts;
use crate::error::CommandResult;
use crate::output::Output;

/// Shows certificates.
pub(crate) fn certificates(output: Output, certificates: &[Certificate]) -> CommandResult {
    let values: Vec<_> = certificates.iter().map(parts::certificate).collect();
    output.result(&json!({ "certificates": values }), || {
        certificates.iter().map(text_of).collect::<Vec<String>>().join("\n")
    })
}

/// Shows a certificate that was made, and where it is now; with its key, where that was made too.
pub(crate) fn made(
    output: Output,
    certificate: &Certificate,
    certificate_file: &Path,
    key_file: Option<&Path>,
) -> CommandResult {
    let value = json!({
        "certificate": parts::certificate(certificate),
        "certificate_file": certificate_file,
        "key_file": key_file,
    });
    output.result(&value, || {
        let (kind, subject) = (certificate.public_key().kind(), certificate.subject());
        let file = certificate_file.display();
        match key_file {
            Some(key) => format!("{kind} key in {}, certificate \"{subject}\" in {file}", key.display()),
            None => format!("certificate \"{subject}\" for an {kind} key in {file}"),
        }
    })
}

/// Shows that a key belongs to its certificate and signs.
pub(crate) fn signs(
    output: Output,
    certificate: &Certificate,
    algorithm: &str,
    signature_bytes: usize,
) -> CommandResult {
    let value = json!({
        "certificate": parts::certificate(certificate),
        "signs_with": algorithm,
        "signature_size_bytes": signature_bytes,
    });
    output.result(&value, || {
        format!("the key belongs to \"{}\" and signs ({algorithm})", certificate.subject())
    })
}

/// Shows what may be known of a private key.
pub(crate) fn private_key(output: Output, key: &FileKey) -> CommandResult {
    let (public, algorithm) = (key.public_key(), key.algorithm());
    let value = json!({
        "private_key": {
            "type": public.kind().to_string(),
            "signs_with": algorithm.to_string(),
            "public_key_sha256": public.fingerprint().to_string(),
        }
    });
    output.result(&value, || {
        lines(&[
            ("private key", public.kind().to_string()),
            ("signs with", algorithm.to_string()),
            ("public key", format!("sha256:{}", public.fingerprint())),
        ])
    })
}

fn text_of(certificate: &Certificate) -> String {
    let validity = certificate.validity();
    let issuer = if certificate.is_self_signed() { "itself" } else { certificate.issuer() };
    let expired = if certificate.is_valid_at(SystemTime::now()) { "" } else { " (not now)" };
    let or_any = |usages: String| if usages.is_empty() { "any".to_owned() } else { usages };
    let authority = if certificate.is_authority() { " (an authority)" } else { "" };
    let key_id = certificate.subject_key_id().map_or("none".to_owned(), ToString::to_string);
    lines(&[
        ("certificate", format!("{}{authority}", certificate.public_key().kind())),
        ("subject", certificate.subject().to_owned()),
        ("issuer", issuer.to_owned()),
        ("serial", certificate.serial_hex()),
        ("key id", key_id),
        ("valid", format!("{} to {} UTC{expired}", at(validity.not_before()), at(validity.not_after()))),
        ("key usage", or_any(certificate.key_usages().join(", "))),
        ("extended", or_any(certificate.extended_key_usages().join(", "))),
        ("fingerprint", format!("sha256:{}", certificate.fingerprint())),
        ("public key", format!("sha256:{}", certificate.public_key().fingerprint())),
        ("kernel", certificate.check_kernel().map_or_else(|error| error.to_string(), |()| "takes it".into())),
    ])
}

fn lines(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(title, text)| format!("{title:<13} {text}\n")).collect()
}

/// A certificate's time, which is not before 1950: those before 1970 show as its beginning.
fn at(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    date(Time { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanoseconds: 0 })
}
