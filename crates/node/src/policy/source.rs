//! Where a policy comes from: a file, signed or not, or the kernel.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sealpack_kernel::Kernel;
use sealpack_kernel::ipe::Ipe;
use sealpack_trust::pkcs7::{Form, Message};
use sealpack_trust::policy::{self, Policy};

use super::PolicyError;

/// More than any policy has, comments included.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A policy with where it is from.
#[derive(Debug)]
pub struct GivenPolicy {
    /// The file, or what the kernel calls it.
    pub path: PathBuf,
    /// What it says.
    pub policy: Policy,
    /// Its text to the byte, comments included.
    pub text: Vec<u8>,
    /// Where it is from.
    pub origin: Origin,
}

/// Where a policy is from.
#[derive(Debug)]
pub enum Origin {
    /// A file with the text.
    Text,
    /// A file with the signed form. Nothing is verified.
    Signed {
        /// All of it: PKCS#7 in DER.
        der: Vec<u8>,
        /// Whom it names as its signer.
        signer: String,
    },
    /// The kernel.
    Kernel {
        /// Whether it is the policy that decides.
        active: bool,
    },
}

impl GivenPolicy {
    /// The policy that `name` means: a file, or else a policy of the kernel's.
    ///
    /// # Errors
    /// If there is neither, or what there is cannot be read, or is no policy.
    pub fn find(kernel: &Kernel, name: &Path) -> Result<Self, PolicyError> {
        match read_file(name) {
            Err(PolicyError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Self::of_kernel(kernel, name)
            }
            bytes => Self::from_file(name, bytes?),
        }
    }

    /// The policy in a file that must be there.
    ///
    /// # Errors
    /// If the file cannot be read, or is no policy.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        Self::from_file(path, read_file(path)?)
    }

    /// Its text, for who signs it.
    ///
    /// # Errors
    /// [`PolicyError::IsSigned`].
    pub fn unsigned(&self) -> Result<&[u8], PolicyError> {
        match &self.origin {
            Origin::Signed { .. } => Err(PolicyError::IsSigned { path: self.path.clone() }),
            Origin::Text | Origin::Kernel { .. } => Ok(&self.text),
        }
    }

    /// All that is odd about it.
    #[must_use]
    pub fn remarks(&self) -> Vec<policy::Remark> {
        let mut remarks = self.policy.remarks();
        if !matches!(self.origin, Origin::Kernel { .. }) {
            remarks.extend(Policy::remarks_on_text(&self.text));
        }
        remarks
    }

    fn of_kernel(kernel: &Kernel, name: &Path) -> Result<Self, PolicyError> {
        let Some(ipe) = kernel.ipe() else { return Err(PolicyError::NoFile { path: name.to_owned() }) };
        let loaded = ipe.policies()?.into_iter().find(|policy| Path::new(&policy.name) == name);
        let loaded = loaded.ok_or_else(|| PolicyError::NoFileNorPolicy { path: name.to_owned() })?;
        Self::new(name, loaded.text.into_bytes(), Origin::Kernel { active: loaded.active })
    }

    fn from_file(path: &Path, bytes: Vec<u8>) -> Result<Self, PolicyError> {
        if !is_signed_form(&bytes) {
            return Self::new(path, bytes, Origin::Text);
        }
        let failed = |source| PolicyError::Form { path: path.to_owned(), source };
        let message = Message::parse(&bytes, Form::Embedded).map_err(failed)?;
        let text = message.content().unwrap_or_default().to_vec();
        let signer = message.signer().to_string();
        Self::new(path, text, Origin::Signed { der: bytes, signer })
    }

    fn new(path: &Path, text: Vec<u8>, origin: Origin) -> Result<Self, PolicyError> {
        let failed = |source| PolicyError::Text { path: path.to_owned(), source };
        Ok(Self { path: path.to_owned(), policy: Policy::parse(&text).map_err(failed)?, text, origin })
    }
}

/// IPE, or why there is none.
pub(super) fn ipe(kernel: &Kernel) -> Result<Ipe<'_>, PolicyError> {
    kernel.ipe().ok_or(PolicyError::NoIpe)
}

/// A signed policy begins as DER does, with a SEQUENCE; no text of a policy can.
pub(super) fn is_signed_form(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30)
}

/// All of a file that is no larger than any policy.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, PolicyError> {
    let failed = |source| PolicyError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let length = file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if length as u64 > FILE_MAX_BYTES {
        return Err(PolicyError::TooLarge { path: path.to_owned(), max_bytes: FILE_MAX_BYTES });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy cut at the limit would have been read as one that says less than its file does.
    #[test]
    fn a_file_beyond_any_policy_is_refused_not_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large.policy");
        std::fs::write(&path, b"policy_name=one policy_version=0.0.1\nDEFAULT action=ALLOW\n").unwrap();
        let grow = |length| File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        grow(FILE_MAX_BYTES);
        assert!(GivenPolicy::read(&path).is_ok());
        grow(FILE_MAX_BYTES + 1);
        assert!(matches!(GivenPolicy::read(&path), Err(PolicyError::TooLarge { .. })));
    }
}
