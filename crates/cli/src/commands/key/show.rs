use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use sealpack_format::tree::Time;
use sealpack_trust::key::{Certificate, FileKey, KeyError, Signer};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::listing::date;
use sealpack_node::keys::read;

/// Show what is in a certificate or a private key.
///
/// Of a private key: its kind, and the fingerprint of its public key, which its certificate shows too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack key show site.crt
  sealpack key show --json site.key")]
pub(crate) struct Show {
    /// The file: PEM or DER. Of several certificates, all are shown.
    file: PathBuf,
}

impl Show {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let bytes = read(&self.file)?;
        let failed =
            |error: &KeyError| CommandError::failed(format_args!("{}: {error}", self.file.display()));
        let certificates = match Certificate::parse_all(&bytes) {
            Ok(certificates) => certificates,
            Err(error) => match FileKey::parse(&bytes) {
                Ok(key) => return show_key(&key, context),
                // Whichever it tries to be knows more of what is wrong with it.
                Err(KeyError::Other { .. } | KeyError::Malformed { .. }) => return Err(failed(&error)),
                Err(error) => return Err(failed(&error)),
            },
        };
        let values: Vec<Value> = certificates.iter().map(json_of).collect();
        context.output.result(&json!({ "certificates": values }), || {
            certificates.iter().map(text_of).collect::<Vec<String>>().join("\n")
        })
    }
}

fn show_key(key: &FileKey, context: &Context) -> CommandResult {
    let (public, algorithm) = (key.public_key(), key.algorithm());
    let value = json!({
        "private_key": {
            "type": public.kind().to_string(),
            "signs_with": algorithm.to_string(),
            "public_key_sha256": public.fingerprint().to_string(),
        }
    });
    context.output.result(&value, || {
        lines(&[
            ("private key", public.kind().to_string()),
            ("signs with", algorithm.to_string()),
            ("public key", format!("sha256:{}", public.fingerprint())),
        ])
    })
}

fn json_of(certificate: &Certificate) -> Value {
    let validity = certificate.validity();
    let iso = |time| format!("{}Z", at(time).replace(' ', "T"));
    json!({
        "type": certificate.public_key().kind().to_string(),
        "subject": certificate.subject(),
        "issuer": certificate.issuer(),
        "self_signed": certificate.is_self_signed(),
        "serial": certificate.serial_hex(),
        "subject_key_id": certificate.subject_key_id().map(ToString::to_string),
        "not_before": iso(validity.not_before()),
        "not_after": iso(validity.not_after()),
        "key_usage": certificate.key_usages(),
        "extended_key_usage": certificate.extended_key_usages(),
        "authority": certificate.is_authority(),
        "kernel_problem": certificate.check_kernel().err().map(|error| error.to_string()),
        "sha256": certificate.fingerprint().to_string(),
        "public_key_sha256": certificate.public_key().fingerprint().to_string(),
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
