//! Whose signatures the firmware takes, as far as its variables tell.

use std::path::Path;

use sealpack_trust::key::Certificate;

/// The variables of keys, and their vendor (`EFI_IMAGE_SECURITY_DATABASE_GUID`; UEFI specification, 32.6.1).
const DATABASE: &str = "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const DENIED: &str = "dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f";
/// Whether it checks signatures (UEFI specification, 3.3).
const SECURE_BOOT: &str = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// What shim takes besides, which is there where shim was started.
const MACHINE_OWNER: &str = "MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23";
/// What is in front of a value: its attributes (Documentation/filesystems/efivarfs.rst).
const ATTRIBUTES_BYTES: usize = 4;
/// `EFI_CERT_X509_GUID`, as it stands in memory (UEFI specification, 32.4.1).
const X509: [u8; 16] =
    [0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72];
/// The header of a list: its kind, its size, that of a further header, that of each entry.
const HEADER_BYTES: usize = 28;
/// What is in front of each entry: whose it is.
const OWNER_BYTES: usize = 16;

/// Whose signatures the firmware takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FirmwareKeys {
    /// It does not tell, or not all: Secure Boot is off, shim has keys of its own, or single programs are taken by their
    /// hash.
    #[default]
    NotTold,
    /// Those of these certificates, and of what they have signed.
    Certificates(Vec<Certificate>),
}

impl FirmwareKeys {
    /// Reads its variables below `directory`, where efivarfs is.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let value = |name: &str| std::fs::read(directory.join(name)).ok();
        let is_on = value(SECURE_BOOT).is_some_and(|value| value.get(ATTRIBUTES_BYTES) == Some(&1));
        if !is_on || directory.join(MACHINE_OWNER).exists() {
            return Self::NotTold;
        }
        let lists = |name: &str| value(name).and_then(|value| certificates(value.get(ATTRIBUTES_BYTES..)?));
        match lists(DATABASE) {
            Some(Lists { mut certificates, is_all: true }) if !certificates.is_empty() => {
                let denied = lists(DENIED).map(|lists| lists.certificates).unwrap_or_default();
                certificates.retain(|certificate| !denied.contains(certificate));
                Self::Certificates(certificates)
            }
            _ => Self::NotTold,
        }
    }

    /// Whether one of the signers is one whom the firmware takes; `None` where it does not tell.
    pub(super) fn takes(&self, signers: &[Certificate]) -> Option<bool> {
        let Self::Certificates(known) = self else { return None };
        let is_known = |signer: &Certificate| {
            // Anybody can write an authority's name into a certificate.
            known.iter().any(|it| it == signer || signer.is_issued_by(it) == Some(true))
        };
        Some(signers.iter().any(is_known))
    }
}

/// The certificates in lists of signatures.
struct Lists {
    certificates: Vec<Certificate>,
    /// Whether there is nothing else in them.
    is_all: bool,
}

/// Reads `EFI_SIGNATURE_LIST`s, one behind the other; `None` where they are not whole.
fn certificates(mut lists: &[u8]) -> Option<Lists> {
    let mut found = Lists { certificates: Vec::new(), is_all: true };
    while !lists.is_empty() {
        let number = |at: usize| -> Option<usize> {
            let bytes = lists.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        let (size, header, entry) = (number(16)?, number(20)?, number(24)?);
        let entries = lists.get(..size)?.get(HEADER_BYTES.checked_add(header)?..)?;
        if entry <= OWNER_BYTES {
            return None;
        }
        for entry in entries.chunks_exact(entry) {
            let is_x509 = lists.starts_with(&X509);
            match Certificate::parse(&entry[OWNER_BYTES..]) {
                Ok(certificate) if is_x509 => found.certificates.push(certificate),
                _ => found.is_all = false,
            }
        }
        lists = &lists[size..];
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use sealpack_trust::key::{KeyKind, Validity, generate};

    use super::*;

    /// `EFI_CERT_SHA256_GUID`.
    const SHA256: [u8; 16] =
        [0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28];

    fn certificate(name: &str) -> Certificate {
        let validity = Validity::starting(SystemTime::now(), Duration::from_secs(86_400)).expect("a time");
        let made = generate(KeyKind::P256, &name.parse().expect("a name"), &validity).expect("a key");
        Certificate::parse(made.certificate_pem.as_bytes()).expect("a certificate")
    }

    fn list(kind: [u8; 16], entries: &[&[u8]]) -> Vec<u8> {
        let entry_bytes = OWNER_BYTES + entries[0].len();
        let size = HEADER_BYTES + entries.len() * entry_bytes;
        let mut bytes = kind.to_vec();
        for number in [size, 0, entry_bytes] {
            bytes.extend(u32::try_from(number).expect("a small number").to_le_bytes());
        }
        for entry in entries {
            bytes.extend([7; OWNER_BYTES]);
            bytes.extend(*entry);
        }
        bytes
    }

    /// What is read of firmware with these variables.
    fn read(variables: &[(&str, &[u8])]) -> FirmwareKeys {
        let place = tempfile::tempdir().expect("a directory");
        for (name, value) in variables {
            let value = [&[7, 0, 0, 0][..], value].concat();
            fs::write(place.path().join(name), value).expect("it can be written");
        }
        FirmwareKeys::read(place.path())
    }

    #[test]
    fn who_is_in_the_database_and_not_denied_is_taken() {
        let (boot, other, gone) = (certificate("boot"), certificate("other"), certificate("gone"));
        let database = [list(X509, &[boot.der()]), list(X509, &[gone.der()])].concat();
        let denied = [list(SHA256, &[&[1; 32], &[2; 32]]), list(X509, &[gone.der()])].concat();
        let keys = read(&[(SECURE_BOOT, &[1]), (DATABASE, &database), (DENIED, &denied)]);
        assert_eq!(keys.takes(std::slice::from_ref(&boot)), Some(true));
        assert_eq!(keys.takes(&[other.clone(), boot]), Some(true), "one of two will do");
        assert_eq!(keys.takes(&[other, gone]), Some(false));
        assert_eq!(keys.takes(&[]), Some(false));
    }

    #[test]
    fn a_certificate_is_an_authoritys_by_its_signature_and_not_by_the_name_in_it() {
        let place = tempfile::tempdir().expect("a directory");
        let openssl = |arguments: &str| {
            let arguments = arguments.split(' ');
            let done =
                std::process::Command::new("openssl").args(arguments).current_dir(place.path()).output();
            let done = done.expect("openssl is there");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        let load = |name: &str| {
            Certificate::parse(&fs::read(place.path().join(name)).expect("it was made"))
                .expect("a certificate")
        };
        openssl("req -new -newkey rsa:2048 -nodes -keyout boot.key -out boot.csr -subj /CN=boot");
        for authority in ["known", "hostile"] {
            openssl(&format!(
                "req -x509 -newkey rsa:2048 -nodes -keyout {authority}.key -out {authority}.crt -subj /CN=authority"
            ));
            openssl(&format!(
                "x509 -req -in boot.csr -CA {authority}.crt -CAkey {authority}.key -set_serial 1 -out by-{authority}.crt"
            ));
        }
        let known = load("known.crt");
        assert!(known.is_authority());
        let keys = read(&[(SECURE_BOOT, &[1]), (DATABASE, &list(X509, &[known.der()]))]);
        assert_eq!(keys.takes(&[load("by-known.crt")]), Some(true));
        assert_eq!(keys.takes(&[load("by-hostile.crt")]), Some(false));
        assert_eq!(keys.takes(&[load("hostile.crt")]), Some(false));
    }

    #[test]
    fn what_the_firmware_does_not_tell_is_not_guessed() {
        let boot = certificate("boot");
        let database = list(X509, &[boot.der()]);
        let on: (&str, &[u8]) = (SECURE_BOOT, &[1]);
        for variables in [
            &[(SECURE_BOOT, &[0][..]), (DATABASE, &database)][..],
            &[(DATABASE, &database)],
            &[on],
            &[on, (DATABASE, &database), (MACHINE_OWNER, &[])],
            &[on, (DATABASE, &list(SHA256, &[&[1; 32]]))],
            &[on, (DATABASE, &database[..database.len() - 1])],
            &[on, (DATABASE, &[&database[..], &[0; 40]].concat())],
            &[on, (DATABASE, &[0xff; 40])],
        ] {
            assert_eq!(read(variables), FirmwareKeys::NotTold, "{variables:?}");
        }
    }
}
