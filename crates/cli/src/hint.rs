//! What to do about an error, as far as it can be known from the error alone: all advice that names a command or an
//! option of this program is here, or with the command whose mistake it is.

use std::error::Error;

use sealpack_node::keys::KeyFileError;
use sealpack_node::new_files::{FileKind, NewFileError};
use sealpack_node::trust_store::TrustStoreError;
use sealpack_trust::key::KeyError;

/// The advice for an error of a library's.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<sealpack_oci::Error>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<sealpack_oci::pull::PullError>() {
        return error.hint();
    }
    if let Some(sealpack_store::Error::ImageIncomplete { .. }) = error.downcast_ref() {
        return Some("pull the image again".to_owned());
    }
    let hint = match error.downcast_ref::<sealpack_node::Error>()? {
        sealpack_node::Error::KeyFile(error) => of_key_file(error),
        sealpack_node::Error::NewFile(error) => of_new_file(error),
        sealpack_node::Error::TrustStore(error) => of_trust_store(error),
        _ => None,
    };
    hint.map(str::to_owned)
}

/// Whether an error of a library's is of something that was asked for wrongly.
pub(crate) fn is_usage(_error: &(dyn Error + 'static)) -> bool {
    false
}

const fn of_key_file(error: &KeyFileError) -> Option<&'static str> {
    match error {
        KeyFileError::Content { source: KeyError::Kernel { .. }, .. } => Some(
            "it will do for statements, which are nothing for the kernel (`--for statements` in `trust add`)",
        ),
        KeyFileError::NoTokens { .. } => {
            Some("build it with `cargo build --package sealpack --features pkcs11`")
        }
        _ => None,
    }
}

const fn of_new_file(error: &NewFileError) -> Option<&'static str> {
    match error {
        NewFileError::IsThere { .. } => Some("choose another name, or replace it with --force"),
        NewFileError::Kind { what, .. } => Some(match what {
            FileKind::Directory => "name a file in it",
            FileKind::Link => "name the file that it leads to",
            FileKind::Device | FileKind::SocketOrPipe => "name a file",
        }),
        _ => None,
    }
}

const fn of_trust_store(error: &TrustStoreError) -> Option<&'static str> {
    match error {
        TrustStoreError::Missing { .. } => Some("`sealpack trust add` makes one"),
        TrustStoreError::Conflict { .. } => {
            Some("remove one of the two with `sealpack trust remove`, or give one another name")
        }
        TrustStoreError::Toml { .. } => {
            Some("sealpack-rules.toml(5), which `sealpack generate man` writes, says what may be there")
        }
        TrustStoreError::Certificate(error) => of_key_file(error),
        TrustStoreError::NewFile(error) => of_new_file(error),
        _ => None,
    }
}
