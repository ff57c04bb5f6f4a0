//! A private key that another program signs with: that of a key service, of a hardware module, or a script of the site's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealpack_kernel::conversation::{Answer, Conversation};
use sealpack_trust::key::{PublicKey, SignError, Signer};

/// How long a program has, which may ask a person.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// More than any signature takes, in Base64 with line ends.
const ANSWER_MAX_BYTES: u64 = 16 * 1024;

/// A program that signs. It is started for each signature: with the message on its standard input and what to do in its
/// environment, and answers with the signature on its standard output (docs/signer-command.md).
#[derive(Debug, Clone)]
pub struct CommandKey {
    program: PathBuf,
    public: PublicKey,
    timeout: Duration,
}

impl CommandKey {
    /// A program whose signatures `public` checks: all that it makes are held against that.
    #[must_use]
    pub fn new(program: &Path, public: PublicKey) -> Self {
        Self { program: program.to_owned(), public, timeout: TIMEOUT }
    }

    fn failed(&self, problem: impl std::fmt::Display) -> SignError {
        SignError::new(format_args!("{} {problem}", self.program.display()))
    }

    /// The signature in what the program said, in whichever of the forms that key services have. There is one reading that
    /// the key confirms, or none.
    fn signature(&self, message: &[u8], said: &[u8]) -> Option<Vec<u8>> {
        let text: Vec<u8> = said.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let decoded = STANDARD.decode(text).ok();
        let plain = [Some(said.to_vec()), decoded].into_iter().flatten();
        let mut readings = plain.flat_map(|bytes| [self.public.ecdsa_der(&bytes), Some(bytes)]).flatten();
        let digest = self.algorithm().digest();
        readings.find(|reading| self.public.verifies(digest, message, reading))
    }
}

impl Signer for CommandKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let hash = self.algorithm().digest().hash(&[message]);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut command = Command::new(&self.program);
        command.env("SEALPACK_SIGN_ALGORITHM", self.algorithm().name()).env("SEALPACK_SIGN_HASH", hash);
        command.env("SEALPACK_SIGN_KEY", self.public.fingerprint().to_string());
        // What it says on its standard error is for whoever signs, whom it may also ask at the terminal.
        let conversation =
            Conversation { timeout: self.timeout, answer_max_bytes: ANSWER_MAX_BYTES, has_own_group: false };
        let answer = conversation.with(&mut command, message).map_err(|error| self.failed(error))?;
        let Answer { output, status, .. } = answer;
        // Before its exit status: nobody read on, which may be what it failed for.
        if output.len() as u64 > ANSWER_MAX_BYTES {
            return Err(self.failed(format_args!("answered with more than {} KiB", ANSWER_MAX_BYTES >> 10)));
        }
        if !status.success() {
            return Err(self.failed(format_args!("ended with {status}")));
        }
        if output.is_empty() {
            return Err(self.failed("answered nothing"));
        }
        self.signature(message, &output).ok_or_else(|| {
            let (bytes, algorithm) = (output.len(), self.algorithm());
            self.failed(format_args!(
                "answered {bytes} bytes, which are no signature ({algorithm}) of what it was given by the certificate's key"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    use sealpack_trust::key::{self, FileKey, KeyKind, Validity};

    use super::*;

    /// A program of this script, and the key that its signatures are to be by.
    fn signer(place: &Path, script: &str) -> CommandKey {
        let program = place.join("signer");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        CommandKey::new(&program, key(KeyKind::P256).public_key().clone())
    }

    fn key(kind: KeyKind) -> FileKey {
        let validity = Validity::starting(SystemTime::now(), Duration::from_secs(86_400)).unwrap();
        let made = key::generate(kind, &"Example".parse().unwrap(), &validity).unwrap();
        FileKey::parse(made.key_pem.as_bytes()).unwrap()
    }

    fn refused(script: &str) -> String {
        let place = tempfile::tempdir().unwrap();
        let error = signer(place.path(), script).sign(b"message").unwrap_err().to_string();
        error.replace(&place.path().display().to_string(), "")
    }

    #[test]
    fn a_signature_counts_in_each_form_and_only_over_what_was_asked_for() {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Rsa2048] {
            let key = key(kind);
            let asked = CommandKey::new(Path::new("/no/such"), key.public_key().clone());
            let signature = key.sign(b"message").unwrap();
            let mut wrapped = STANDARD.encode(&signature).into_bytes();
            wrapped.insert(20, b'\n');
            wrapped.push(b'\n');
            for said in [signature.clone(), wrapped] {
                assert_eq!(asked.signature(b"message", &said).as_deref(), Some(&signature[..]), "{kind}");
                assert_eq!(asked.signature(b"another", &said), None, "{kind}");
            }
            assert_eq!(asked.signature(b"message", &signature[1..]), None, "{kind}");
        }
    }

    #[test]
    fn two_numbers_of_equal_length_are_made_der_of() {
        // Each with its highest bit set, and not: DER has a zero in front of the one.
        let key = key(KeyKind::P256);
        let asked = CommandKey::new(Path::new("/no/such"), key.public_key().clone());
        for _ in 0..16 {
            let der = key.sign(b"message").unwrap();
            let number = |from: usize| -> (Vec<u8>, usize) {
                let bytes = &der[from + 2..from + 2 + usize::from(der[from + 1])];
                let significant = bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<_>>();
                let padded = [vec![0; 32 - significant.len()], significant].concat();
                (padded, from + 2 + bytes.len())
            };
            let (r, next) = number(2);
            let (s, _) = number(next);
            let numbers = [r, s].concat();
            assert_eq!(asked.signature(b"message", &numbers).as_deref(), Some(&der[..]));
            assert_eq!(asked.signature(b"message", STANDARD.encode(numbers).as_bytes()), Some(der));
        }
    }

    #[test]
    fn it_is_told_the_message_and_how_to_sign_it() {
        let place = tempfile::tempdir().unwrap();
        let told = place.path().join("told");
        let script = format!(
            "{{ echo $SEALPACK_SIGN_ALGORITHM $SEALPACK_SIGN_HASH $SEALPACK_SIGN_KEY; cat; }} > {}; echo",
            told.display()
        );
        let signer = signer(place.path(), &script);
        assert!(signer.sign(b"message").is_err());
        let hash = "ab530a13e45914982b79f9b7e3fba994cfd1f3fb22f71cea1afbf02b460c6d1d";
        let fingerprint = signer.public_key().fingerprint();
        let wanted = format!("ecdsa-p256-sha256 {hash} {fingerprint}\nmessage");
        assert_eq!(fs::read_to_string(told).unwrap(), wanted);
    }

    #[test]
    fn one_that_fails_or_says_something_else_is_named_with_what_it_did() {
        let problem = "the private key did not sign: /signer ";
        assert_eq!(refused("exit 3"), format!("{problem}ended with exit status: 3"));
        assert_eq!(refused("kill -9 $$"), format!("{problem}ended with signal: 9 (SIGKILL)"));
        assert_eq!(refused("cat > /dev/null"), format!("{problem}answered nothing"));
        let no_signature =
            "which are no signature (ECDSA P-256 with SHA-256) of what it was given by the certificate's key";
        assert_eq!(refused("cat"), format!("{problem}answered 7 bytes, {no_signature}"));
        assert_eq!(refused("yes"), format!("{problem}answered with more than 16 KiB"));
    }

    #[test]
    fn one_that_does_not_answer_is_killed() {
        let place = tempfile::tempdir().unwrap();
        let signer =
            CommandKey { timeout: Duration::from_millis(300), ..signer(place.path(), "exec sleep 100") };
        let error = signer.sign(b"message").unwrap_err().to_string();
        assert!(error.ends_with("did not answer within 0 s and was killed"), "{error}");
    }
}
