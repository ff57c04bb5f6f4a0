//! Which of the signatures of a root hash the kernel accepts, whoever loads the table.

use sealpack_kernel::keyring::TrustedKeyring;
use sealpack_kernel::{Errno, Kernel};

use super::DOING;
use crate::error::Error;
use crate::plan::{Device, Signature};

/// What is known of a device's signatures while one after the other is tried.
#[derive(Debug)]
pub(super) struct Tried<'p> {
    what: &'p str,
    /// Why the device cannot be a signed one.
    why: String,
    /// The first one that is not just by somebody unknown.
    bad: Option<Error>,
}

impl<'p> Tried<'p> {
    /// Of the device `planned`, which messages call `what`.
    pub(super) fn new(what: &'p str, planned: &Device) -> Self {
        let why = format!("there is no signature of {what}, root hash {}", planned.root_hash);
        Self { what, why, bad: None }
    }

    /// Notes why `signature` was not accepted, so that the next one is tried. In words why no other would do, if so.
    ///
    /// # Errors
    /// When it was not for the signature.
    pub(super) fn refused(
        &mut self,
        kernel: &Kernel,
        signature: &Signature,
        error: Error,
    ) -> Result<Result<(), String>, Error> {
        let error = match error {
            Error::Call { error, .. } if is_of_load(&error) => error,
            other => return Err(other),
        };
        match error.errno() {
            Errno::NOKEY => self.why = why_unknown(kernel, signature),
            Errno::NOPKG => {
                self.why = format!("the kernel lacks the algorithm of the signature by {}", signature.signer);
            }
            Errno::INVAL if !checks_signatures() => {
                return Ok(Err("the kernel was built without the check of signatures".to_owned()));
            }
            errno if is_bad_signature(errno) => {
                let (what, signer) = (self.what.to_owned(), signature.signer.clone());
                self.bad = Some(Error::Signature { what, signer, error });
            }
            _ => return Err(Error::call(DOING, error)),
        }
        Ok(Ok(()))
    }

    /// In words why none was accepted.
    ///
    /// # Errors
    /// When there was one that no certificate would help.
    pub(super) fn none_accepted(&mut self) -> Result<String, Error> {
        self.bad.take().map_or_else(|| Ok(std::mem::take(&mut self.why)), Err)
    }
}

/// What `attempt` makes with the first signature that the kernel accepts; in words why it accepts none.
///
/// # Errors
/// A signature that is not of this root hash, by a revoked key, or is none; and what is not for the signature.
pub(super) fn first_accepted<T>(
    kernel: &Kernel,
    what: &str,
    planned: &Device,
    mut attempt: impl FnMut(&Signature) -> Result<T, Error>,
) -> Result<Result<T, String>, Error> {
    let mut tried = Tried::new(what, planned);
    for signature in &planned.signatures {
        match attempt(signature) {
            Ok(made) => return Ok(Ok(made)),
            Err(error) => {
                if let Err(why) = tried.refused(kernel, signature, error)? {
                    return Ok(Err(why));
                }
            }
        }
    }
    tried.none_accepted().map(Err)
}

/// Which certificate is missing from which keyrings.
fn why_unknown(kernel: &Kernel, signature: &Signature) -> String {
    let keyrings = match kernel.trusted_keyring(TrustedKeyring::DmVerity) {
        Ok(None) => ".secondary_trusted_keys and .platform",
        _ => ".secondary_trusted_keys, .platform and (once restricted) .dm-verity",
    };
    format!("the signer's certificate, {}, is in none of the kernel's keyrings {keyrings}", signature.signer)
}

/// Whether the table was refused, which is where the kernel checks the signature.
pub(super) fn is_of_load(error: &sealpack_kernel::Error) -> bool {
    error.call().arguments.contains("DM_TABLE_LOAD")
}

/// What the kernel says of a signature that no certificate would help
/// (crypto/asymmetric_keys/pkcs7_*.c): that of another root hash, by a revoked key, or none.
const fn is_bad_signature(errno: Errno) -> bool {
    matches!(errno, Errno::KEYREJECTED | Errno::BADMSG | Errno::KEYREVOKED | Errno::KEYEXPIRED)
}

/// Whether dm-verity was built with the check of signatures; it has this parameter then.
fn checks_signatures() -> bool {
    std::path::Path::new("/sys/module/dm_verity/parameters/require_signatures").exists()
}
