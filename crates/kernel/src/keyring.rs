//! The kernel's keyrings: what it trusts, and keys that a thread lends it for one call
//! (keyrings(7), add_key(2), keyctl(2)).

use std::fmt;
use std::fs;
use std::marker::PhantomData;

use rustix::io::Errno;

use crate::raw::{self, KeyQuestion};
use crate::{Call, Error, Kernel};

/// `KEY_SPEC_THREAD_KEYRING` (include/uapi/linux/keyctl.h).
const THREAD_KEYRING: KeySerial = KeySerial(-1);

/// A key's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeySerial(i32);

/// As `/proc/keys` shows it; the calling thread's own keyring as keyctl(1) names it.
impl fmt::Display for KeySerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            THREAD_KEYRING => f.write_str("@t"),
            Self(number) => write!(f, "0x{number:08x}"),
        }
    }
}

/// A keyring of certificates that the kernel trusts for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrustedKeyring {
    /// What is built into the kernel.
    Builtin,
    /// What the built-in keys have signed; it includes [`Builtin`](Self::Builtin) and, where the
    /// kernel trusts them, the machine owner's keys. For everything.
    Secondary,
    /// The machine owner's keys, enrolled with the boot loader.
    Machine,
    /// The keys in the firmware's `db` variable, for dm-verity and IPE's policies.
    Platform,
    /// For signatures of fs-verity files.
    FsVerity,
    /// For signatures of dm-verity's root hashes, on kernels that have it.
    DmVerity,
}

impl TrustedKeyring {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Builtin, Self::Secondary, Self::Machine, Self::Platform, Self::FsVerity, Self::DmVerity];

    /// The kernel's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Builtin => ".builtin_trusted_keys",
            Self::Secondary => ".secondary_trusted_keys",
            Self::Machine => ".machine",
            Self::Platform => ".platform",
            Self::FsVerity => ".fs-verity",
            Self::DmVerity => ".dm-verity",
        }
    }
}

impl fmt::Display for TrustedKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A keyring and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// The keyring's own number.
    pub serial: KeySerial,
    /// Its keys, keyrings in it among them.
    pub keys: Vec<Key>,
}

/// A key as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its number.
    pub serial: KeySerial,
    /// Its type: `asymmetric` for a certificate, `keyring`, `user` and others.
    pub key_type: String,
    /// Its description. For a certificate the subject's organisation and common name, and the
    /// end of the subject's key identifier in hex.
    pub description: String,
}

/// A `user` key in the keyring of the thread that added it, which is where request_key(2) and
/// the kernel on the thread's behalf look first. It goes when this is dropped, and with the
/// thread in any case; what the kernel read of it stays read.
#[derive(Debug)]
pub struct ThreadKey<'k> {
    kernel: &'k Kernel,
    serial: KeySerial,
    description: String,
    /// Another thread could not remove it.
    of_this_thread: PhantomData<*const ()>,
}

impl ThreadKey<'_> {
    /// The description by which the kernel finds it.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Its number.
    #[must_use]
    pub const fn serial(&self) -> KeySerial {
        self.serial
    }
}

impl Drop for ThreadKey<'_> {
    fn drop(&mut self) {
        // It can only fail if somebody unlinked the key before; the thread's end does so too.
        let _ = self.kernel.call(
            "keyctl",
            || format!("KEYCTL_UNLINK, {}, {THREAD_KEYRING}", self.serial),
            || raw::keyctl_unlink(self.serial.0, THREAD_KEYRING.0),
        );
    }
}

impl Kernel {
    /// Lends the kernel `payload`, 1 to 32767 bytes, under `description` for as long as the
    /// result lives. A key of that description that the thread's keyring has is replaced.
    ///
    /// # Errors
    /// `EDQUOT` when the user has too many keys, `ENOSYS` without keyrings.
    pub fn add_thread_key(&self, description: &str, payload: &[u8]) -> Result<ThreadKey<'_>, Error> {
        let serial = self.add_key("user", description, payload, THREAD_KEYRING)?;
        Ok(ThreadKey {
            kernel: self,
            serial,
            description: description.to_owned(),
            of_this_thread: PhantomData,
        })
    }

    /// Adds an X.509 certificate in DER to a keyring. Its subject becomes the description.
    ///
    /// # Errors
    /// `EPERM` or `EACCES` when the keyring takes no keys (any more), `ENOKEY` when it takes only certificates
    /// that a trusted key signed and this is not one, `EBADMSG` when it is no certificate.
    pub fn add_certificate(&self, keyring: KeySerial, certificate: &[u8]) -> Result<KeySerial, Error> {
        let added = self.add_key("asymmetric", "", certificate, keyring);
        added.map_err(|error| {
            error.meaning_of(|errno| match errno {
                Errno::PERM | Errno::ACCESS => Some("the keyring takes no keys, or takes them no more"),
                Errno::NOKEY => Some("the keyring takes only certificates that a key it trusts has signed"),
                Errno::BADMSG => Some("this is not an X.509 certificate in DER"),
                _ => None,
            })
        })
    }

    /// Lets nobody add keys to a keyring any more.
    ///
    /// # Errors
    /// `EEXIST` when it is restricted already, `EACCES` when it is not the caller's to restrict.
    pub fn restrict_keyring(&self, keyring: KeySerial) -> Result<(), Error> {
        self.call(
            "keyctl",
            || format!("KEYCTL_RESTRICT_KEYRING, {keyring}, NULL, NULL"),
            || raw::keyctl_restrict(keyring.0),
        )
    }

    /// What a keyring of the kernel's holds, `None` when the kernel has no such keyring.
    /// Superusers see them all.
    ///
    /// # Errors
    /// `EACCES` when it cannot be read, `ENOENT` without `/proc/keys`.
    pub fn trusted_keyring(&self, keyring: TrustedKeyring) -> Result<Option<Keyring>, Error> {
        let list = self.call(
            "open",
            || "\"/proc/keys\", O_RDONLY".into(),
            || fs::read("/proc/keys").map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        )?;
        let Some(serial) = find_keyring(&String::from_utf8_lossy(&list), keyring.name()) else {
            return Ok(None);
        };
        let content = self.ask_key(KeyQuestion::Read, serial)?;
        let serials = content.as_chunks().0.iter().map(|bytes| KeySerial(i32::from_ne_bytes(*bytes)));
        let mut keys = Vec::new();
        for serial in serials {
            match self.describe_key(serial) {
                Ok(key) => keys.push(key),
                // It expired or was revoked since the keyring was read.
                Err(error) if is_gone(error.errno()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Keyring { serial, keys }))
    }

    fn describe_key(&self, serial: KeySerial) -> Result<Key, Error> {
        let text = self.ask_key(KeyQuestion::Describe, serial)?;
        parse_description(serial, &text).ok_or_else(|| {
            Error::new(
                Call { name: "keyctl", arguments: format!("{}, {serial}", KeyQuestion::Describe) },
                Errno::BADMSG,
            )
        })
    }

    /// The whole answer to a question about a key.
    fn ask_key(&self, question: KeyQuestion, serial: KeySerial) -> Result<Vec<u8>, Error> {
        self.call(
            "keyctl",
            || format!("{question}, {serial}"),
            || {
                let mut buffer = vec![0; 1024];
                // The answer can grow between two attempts, but hardly for ever.
                for _ in 0..16 {
                    let length = raw::keyctl_ask(question, serial.0, &mut buffer)?;
                    if length <= buffer.len() {
                        buffer.truncate(length);
                        return Ok(buffer);
                    }
                    buffer.resize(length, 0);
                }
                Err(Errno::OVERFLOW)
            },
        )
    }

    fn add_key(
        &self,
        key_type: &str,
        description: &str,
        payload: &[u8],
        keyring: KeySerial,
    ) -> Result<KeySerial, Error> {
        self.call(
            "add_key",
            || format!("{key_type:?}, {description:?}, {} bytes, {keyring}", payload.len()),
            || raw::add_key(key_type, description, payload, keyring.0),
        )
        .map(KeySerial)
    }
}

const fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOKEY | Errno::KEYEXPIRED | Errno::KEYREVOKED)
}

/// The number of the kernel's keyring `name` in `/proc/keys`: number in hex, flags, usage, time
/// to live, permissions, user, group, type, description, which is followed by a colon and the
/// keyring's size. A keyring of somebody else's with the same name does not belong to the superuser
/// and has the time to live and permissions of its own choice; the kernel's were made first, and
/// a dot at the beginning of a name is refused to everybody else (security/keys/keyctl.c).
fn find_keyring(list: &str, name: &str) -> Option<KeySerial> {
    list.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let number = i32::from_str_radix(words.next()?, 16).ok()?;
        let found = words.nth(6)? == "keyring" && words.next()?.trim_end_matches(':') == name;
        found.then_some(KeySerial(number))
    })
}

/// `type;user;group;permissions;description` with a zero byte at its end. Only the description
/// can have semicolons.
fn parse_description(serial: KeySerial, text: &[u8]) -> Option<Key> {
    let text = String::from_utf8_lossy(text.strip_suffix(&[0])?).into_owned();
    let mut fields = text.splitn(5, ';');
    Some(Key { serial, key_type: fields.next()?.to_owned(), description: fields.nth(3)?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the kernel has keyrings; says so if not.
    fn has_keyrings() -> bool {
        let kernel = Kernel::new();
        let result = kernel.add_thread_key("sealpack-probe", b"1");
        if let Err(why) = &result {
            eprintln!("skipped: no key can be added here: {why}");
        }
        result.is_ok()
    }

    #[test]
    fn a_keyring_is_found_by_its_whole_name() {
        let list = "\
0ab1 I------     1 perm 1f0b0000     0     0 keyring   .platform_more: 2
3c5b1d3e I------     1 perm 1f0b0000     0     0 keyring   .platform: 2
1c5b1d3e I------     1 perm 1f0b0000     0     0 asymmetri .machine: X509.rsa 00 []
2c5b1d3e I------     1 perm 1f0f0000     0     0 keyring   .fs-verity: empty
";
        assert_eq!(find_keyring(list, ".platform"), Some(KeySerial(0x3c5b_1d3e)));
        assert_eq!(find_keyring(list, ".fs-verity"), Some(KeySerial(0x2c5b_1d3e)));
        assert_eq!(find_keyring(list, ".machine"), None);
        assert_eq!(find_keyring("", ".machine"), None);
    }

    #[test]
    fn a_description_may_have_semicolons() {
        let key = parse_description(KeySerial(5), b"asymmetric;0;0;1f030000;A; B: 01ab\0").unwrap();
        assert_eq!((key.key_type.as_str(), key.description.as_str()), ("asymmetric", "A; B: 01ab"));
        assert_eq!(parse_description(KeySerial(5), b"asymmetric;0;0\0"), None);
    }

    #[test]
    fn a_threads_key_is_there_until_it_is_dropped() {
        if !has_keyrings() {
            return;
        }
        let kernel = Kernel::new();
        let key = kernel.add_thread_key("sealpack-test", b"some bytes").unwrap();
        assert_eq!(kernel.ask_key(KeyQuestion::Read, key.serial()).unwrap(), b"some bytes");
        let described = kernel.describe_key(key.serial()).unwrap();
        assert_eq!((described.key_type.as_str(), described.description.as_str()), ("user", "sealpack-test"));
        let serial = key.serial();
        drop(key);
        let error = kernel.ask_key(KeyQuestion::Read, serial).unwrap_err();
        assert!(is_gone(error.errno()) || error.errno() == Errno::ACCESS, "{error}");
    }

    #[test]
    fn a_long_key_is_read_whole() {
        if !has_keyrings() {
            return;
        }
        let (kernel, payload) = (Kernel::new(), [7; 20_000]);
        let key = kernel.add_thread_key("sealpack-long", &payload).unwrap();
        assert_eq!(kernel.ask_key(KeyQuestion::Read, key.serial()).unwrap(), payload);
    }

    #[test]
    fn a_key_that_cannot_be_added_is_an_error_with_the_call() {
        let error = Kernel::new().add_thread_key("sealpack-empty", b"").unwrap_err();
        let call = "add_key(\"user\", \"sealpack-empty\", 0 bytes, @t): ";
        assert!(error.to_string().starts_with(call), "{error}");
        let kernel = Kernel::with_hook(|_| Some(Errno::NOKEY));
        let error = kernel.add_certificate(KeySerial(0x1f), b"x").unwrap_err().to_string();
        assert!(error.contains("\"asymmetric\", \"\", 1 bytes, 0x0000001f"), "{error}");
        assert!(error.ends_with("only certificates that a key it trusts has signed"), "{error}");
    }
}
