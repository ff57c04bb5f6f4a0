//! Who may have signed packs, for kernels whose dm-verity has a keyring of its own.

use std::path::Path;

use sealpack_format::boot::initramfs;
use sealpack_kernel::Kernel;
use sealpack_kernel::keyring::TrustedKeyring;

use super::failure::Failure;
use super::files;
use crate::kernel_log::{self, Matters};

/// The most certificates.
const CERTIFICATES_MAX: usize = 64;
/// The largest certificate that is read, in bytes: a key's payload ends there (security/keys/keyctl.c).
const CERTIFICATE_MAX_BYTES: usize = 1024 * 1024 - 1;

/// Puts the certificates below `root` into the keyring, and closes it for good. Their dates are not looked at, here and
/// by the kernel.
///
/// # Errors
/// One is none; the keyring is closed already, which would leave it to others what is in it.
pub(super) fn fill(kernel: &Kernel, root: &Path) -> Result<(), Failure> {
    let Some(keyring) = kernel.trusted_keyring(TrustedKeyring::DmVerity)? else {
        let text =
            "this kernel has no keyring .dm-verity: whoever has a key in the firmware's db signs packs";
        kernel_log::write(Matters::Notice, text);
        return Ok(());
    };
    for certificate in certificates(root)? {
        kernel.add_certificate(keyring.serial, &certificate)?;
    }
    Ok(kernel.restrict_keyring(keyring.serial)?)
}

/// The certificates, in the order of their numbers.
fn certificates(root: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let mut certificates = Vec::new();
    for number in 0..CERTIFICATES_MAX {
        let path = root.join(initramfs::certificate(number));
        match path.try_exists() {
            Ok(true) => certificates.push(files::read(&path, CERTIFICATE_MAX_BYTES)?),
            Ok(false) => break,
            Err(error) => return Err(Failure::at(&path, &error)),
        }
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_those_with_numbers_from_0_on() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(certificates(root.path()).unwrap(), Vec::<Vec<u8>>::new());
        std::fs::create_dir(root.path().join("packs")).unwrap();
        for number in [0, 1, 3] {
            std::fs::write(root.path().join(format!("packs/{number}.der")), [number]).unwrap();
        }
        assert_eq!(certificates(root.path()).unwrap(), [[0], [1]]);
    }
}
