//! Revoked root hashes in policies that there are.

use std::path::Path;

use sealpack_format::digest::RootHash;
use sealpack_trust::policy::{Operation, Policy, Rule};

use super::PolicyError;
use super::source::{is_signed_form, read_file};

/// The text of the policy in a file, changed so that its next version denies all that is on the device with this root
/// hash; `None` where it has the rule for that.
///
/// # Errors
/// [`PolicyError::SignedForm`]; [`PolicyError::Revoke`], where the text is no policy or cannot be changed; what the
/// system says.
pub fn denying(path: &Path, root_hash: &RootHash) -> Result<Option<Vec<u8>>, PolicyError> {
    let text = read_file(path)?;
    if is_signed_form(&text) {
        return Err(PolicyError::SignedForm { path: path.to_owned() });
    }
    let failed = |source| PolicyError::Revoke { path: path.to_owned(), source };
    let policy = Policy::parse(&text).map_err(|error| failed(error.into()))?;
    // Denied by default is not enough: a later version may allow what is signed.
    let denial = Rule::denying(Operation::Execute, root_hash);
    if policy.denies_device(root_hash) && policy.rules().contains(&denial) {
        return Ok(None);
    }
    Policy::revoke_in_text(&text, root_hash).map(Some).map_err(failed)
}
