use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use sealpack_trust::key::{self, Certificate, KeyKind, Validity};
use sealpack_trust::pkcs7::{self, FormatError, VerifyError};

use crate::support::{Bench, KINDS};

/// A root hash as dm-verity has it signed: 64 digits and no line break.
const ROOT_HASH: &[u8] = b"5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

const POLICY: &[u8] = b"policy_name=sealed policy_version=0.0.1\nDEFAULT action=ALLOW\n\
    DEFAULT op=EXECUTE action=DENY\nop=EXECUTE dmverity_signature=TRUE action=ALLOW\n";

const SIGN: &[&str] =
    &["smime", "-sign", "-binary", "-outform", "der", "-signer", "it.crt", "-inkey", "it.key"];
const DETACHED: &[&str] = &["-noattr", "-nocerts", "-in", "hash"];
const EMBEDDED: &[&str] = &["-noattr", "-nodetach", "-nosmimecap", "-nocerts", "-in", "policy"];

/// A directory with the contents, and `it.key` and `it.crt`.
fn bench(genpkey: &[&str]) -> Result<Option<Bench>> {
    let Some(bench) = Bench::new()? else { return Ok(None) };
    bench.write("hash", ROOT_HASH)?;
    bench.write("policy", POLICY)?;
    bench.make("it", genpkey)?;
    Ok(Some(bench))
}

/// Whether OpenSSL finds `sig` to be a signature by `it.crt`; what content it gives out.
fn openssl_verifies(bench: &Bench, content: &[&str]) -> Result<Option<Vec<u8>>> {
    let arguments = ["smime", "-verify", "-binary", "-inform", "der", "-in", "sig", "-certfile", "it.crt"];
    let (succeeded, stdout, _) = bench.attempt(&[&arguments, content, &["-noverify"]].concat())?;
    Ok(succeeded.then_some(stdout))
}

#[test]
fn rsa_signatures_are_byte_for_byte_those_of_openssl() -> Result<()> {
    for (kind, genpkey) in KINDS.into_iter().filter(|(kind, _)| kind.starts_with("RSA")) {
        let Some(bench) = bench(genpkey)? else { return Ok(()) };
        let (key, certificate) = bench.load("it")?;
        let theirs = bench.openssl(&[SIGN, DETACHED].concat())?;
        let ours = pkcs7::sign_detached(&key, &certificate, ROOT_HASH)?;
        ensure!(ours == theirs, "{kind}: detached signatures differ");
        let theirs = bench.openssl(&[SIGN, EMBEDDED].concat())?;
        let ours = pkcs7::sign_embedded(&key, &certificate, POLICY)?;
        ensure!(ours == theirs, "{kind}: embedded signatures differ");
    }
    Ok(())
}

#[test]
fn ecdsa_signatures_differ_from_those_of_openssl_in_nothing_but_the_numbers() -> Result<()> {
    for ((kind, genpkey), digest) in [(KINDS[3], "sha256"), (KINDS[4], "sha384")] {
        let Some(bench) = bench(genpkey)? else { return Ok(()) };
        let (key, certificate) = bench.load("it")?;
        // The two numbers take a byte more or less, so lengths vary: of some tries, two are alike.
        let mut heads = Vec::new();
        let mut is_same = false;
        for _ in 0..20 {
            let theirs = bench.openssl(&[SIGN, DETACHED, &["-md", digest]].concat())?;
            let ours = pkcs7::sign_detached(&key, &certificate, ROOT_HASH)?;
            heads.push(theirs);
            is_same |= heads.iter().any(|theirs| {
                // The numbers are at the end, 71 bytes of DER for P-256 and 103 for P-384, or a few less.
                let head = theirs.len().saturating_sub(if digest == "sha256" { 66 } else { 98 });
                theirs.len() == ours.len() && theirs[..head] == ours[..head]
            });
            if is_same {
                break;
            }
        }
        ensure!(is_same, "{kind}: never the same");
    }
    Ok(())
}

#[test]
fn openssl_verifies_every_signature_that_is_made() -> Result<()> {
    for kind in KeyKind::ALL {
        let Some(bench) = Bench::new()? else { return Ok(()) };
        bench.write("hash", ROOT_HASH)?;
        bench.write("other", b"another content")?;
        let validity = Validity::starting(SystemTime::now(), Duration::from_secs(3600))?;
        let made = key::generate(kind, &"it".parse()?, &validity)?;
        bench.write("it.key", made.key_pem.as_bytes())?;
        bench.write("it.crt", &made.certificate_pem)?;
        let (key, certificate) = bench.load("it")?;
        bench.write("sig", pkcs7::sign_detached(&key, &certificate, ROOT_HASH)?)?;
        ensure!(openssl_verifies(&bench, &["-content", "hash"])?.is_some(), "{kind}: detached");
        ensure!(openssl_verifies(&bench, &["-content", "other"])?.is_none(), "{kind}: another content");
        bench.write("sig", pkcs7::sign_embedded(&key, &certificate, POLICY)?)?;
        ensure!(openssl_verifies(&bench, &[])?.as_deref() == Some(POLICY), "{kind}: embedded");
    }
    Ok(())
}

#[test]
fn signatures_of_openssl_are_verified() -> Result<()> {
    for (kind, genpkey) in KINDS {
        let Some(bench) = bench(genpkey)? else { return Ok(()) };
        let certificates = [bench.load("it")?.1];
        for digest in ["sha256", "sha384", "sha512"] {
            let signature = bench.openssl(&[SIGN, DETACHED, &["-md", digest]].concat())?;
            let signer = pkcs7::verify_detached(&signature, ROOT_HASH, &certificates);
            ensure!(signer.with_context(|| format!("{kind}, {digest}"))? == &certificates[0], "{kind}");
            let signature = bench.openssl(&[SIGN, EMBEDDED, &["-md", digest]].concat())?;
            let verified = pkcs7::verify_embedded(&signature, &certificates)?;
            ensure!(
                verified.content == POLICY && pkcs7::content_of(&signature)? == POLICY,
                "{kind}, {digest}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_signer_may_be_named_by_its_key_identifier() -> Result<()> {
    let Some(bench) = bench(KINDS[0].1)? else { return Ok(()) };
    let certificates = [bench.load("it")?.1];
    let cms =
        ["cms", "-sign", "-binary", "-keyid", "-outform", "der", "-signer", "it.crt", "-inkey", "it.key"];
    let signature = bench.openssl(&[&cms[..], DETACHED].concat())?;
    pkcs7::verify_detached(&signature, ROOT_HASH, &certificates)?;
    bench.make("other", KINDS[0].1)?;
    let others = [bench.load("other")?.1];
    let error = pkcs7::verify_detached(&signature, ROOT_HASH, &others).err().context("another's")?;
    ensure!(error.to_string().starts_with("the signature is by the key with the identifier "), "{error}");
    Ok(())
}

#[test]
fn certificates_inside_a_policy_are_passed_over_and_never_believed() -> Result<()> {
    let Some(bench) = bench(KINDS[3].1)? else { return Ok(()) };
    let with_certificate = ["-noattr", "-nodetach", "-nosmimecap", "-in", "policy"];
    let signature = bench.openssl(&[SIGN, &with_certificate].concat())?;
    let certificates = [bench.load("it")?.1];
    ensure!(pkcs7::verify_embedded(&signature, &certificates)?.content == POLICY, "its own certificate");
    let nobody = pkcs7::verify_embedded(&signature, &[]).err();
    ensure!(matches!(nobody, Some(VerifyError::UnknownSigner { trusted: 0, .. })), "{nobody:?}");
    Ok(())
}

#[test]
fn other_forms_of_signatures_are_refused_each_with_its_reason() -> Result<()> {
    let Some(bench) = bench(KINDS[0].1)? else { return Ok(()) };
    bench.make("second", KINDS[3].1)?;
    let detached: [(&[&str], FormatError); 6] = [
        (&["-nocerts", "-in", "hash"], FormatError::Attributes { which: "signed" }),
        (&["-noattr", "-in", "hash"], FormatError::Certificates),
        (&["-noattr", "-nocerts", "-nodetach", "-in", "hash"], FormatError::Content),
        (&["-noattr", "-nocerts", "-in", "hash", "-stream", "-nodetach"], FormatError::Indefinite),
        (
            &["-noattr", "-nocerts", "-in", "hash", "-signer", "second.crt", "-inkey", "second.key"],
            FormatError::SeveralSigners,
        ),
        (
            &["-noattr", "-nocerts", "-in", "hash", "-md", "sha1"],
            FormatError::Digest { found: "SHA-1".to_owned() },
        ),
    ];
    for (arguments, expected) in detached {
        let signature = bench.openssl(&[SIGN, arguments].concat())?;
        let refused = pkcs7::verify_detached(&signature, ROOT_HASH, &[]).err();
        ensure!(refused == Some(VerifyError::Format(expected.clone())), "{expected}: {refused:?}");
    }
    let signature = bench.openssl(&[SIGN, DETACHED].concat())?;
    ensure!(pkcs7::content_of(&signature) == Err(FormatError::NoContent), "detached for embedded");
    let pem = bench.openssl(&[SIGN, DETACHED, &["-outform", "pem"]].concat())?;
    ensure!(pkcs7::content_of(&pem) == Err(FormatError::Text), "PEM");
    Ok(())
}

#[test]
fn other_kinds_of_cms_are_refused_each_with_its_reason() -> Result<()> {
    let Some(bench) = bench(KINDS[0].1)? else { return Ok(()) };
    let cms = ["cms", "-sign", "-binary", "-outform", "der", "-signer", "it.crt", "-inkey", "it.key"];
    let pss = ["-keyopt", "rsa_padding_mode:pss"];
    let refused = |arguments: &[&str]| -> Result<FormatError> {
        let der = bench.openssl(arguments)?;
        match pkcs7::verify_detached(&der, ROOT_HASH, &[]) {
            Err(VerifyError::Format(error)) => Ok(error),
            other => anyhow::bail!("{arguments:?}: {other:?}"),
        }
    };
    let error = refused(&[&cms[..], DETACHED, &pss].concat())?;
    ensure!(matches!(&error, FormatError::Algorithm { found } if found == "RSASSA-PSS"), "{error:?}");
    let error = refused(&[&cms[..], DETACHED, &["-econtent_type", "1.2.3.4"]].concat())?;
    ensure!(error == FormatError::ContentType { found: "1.2.3.4".to_owned() }, "{error:?}");
    let error =
        refused(&["smime", "-encrypt", "-binary", "-aes256", "-outform", "der", "-in", "hash", "it.crt"])?;
    ensure!(matches!(error, FormatError::NotSignedData { .. }), "{error:?}");
    let error = refused(&["crl2pkcs7", "-nocrl", "-certfile", "it.crt", "-outform", "der"])?;
    ensure!(error == FormatError::Certificates, "{error:?}");
    Ok(())
}

#[test]
fn a_signature_counts_for_its_content_and_its_signer_only() -> Result<()> {
    let Some(bench) = bench(KINDS[0].1)? else { return Ok(()) };
    bench.make("other", KINDS[0].1)?;
    let (key, certificate) = bench.load("it")?;
    let other = bench.load("other")?.1;
    let signature = pkcs7::sign_detached(&key, &certificate, ROOT_HASH)?;
    let both = [other.clone(), certificate.clone()];
    ensure!(pkcs7::verify_detached(&signature, ROOT_HASH, &both)? == &certificate, "the other one");
    let refused = pkcs7::verify_detached(&signature, ROOT_HASH, std::slice::from_ref(&other)).err();
    let expected = VerifyError::UnknownSigner {
        signer: format!("serial {} of \"CN=it,O=Example\"", certificate.serial_hex()),
        trusted: 1,
    };
    ensure!(refused == Some(expected), "{refused:?}");
    let with_newline = [ROOT_HASH, b"\n"].concat();
    let refused = pkcs7::verify_detached(&signature, &with_newline, std::slice::from_ref(&certificate)).err();
    ensure!(matches!(refused, Some(VerifyError::Signature { .. })), "{refused:?}");
    Ok(())
}

#[test]
fn a_certificate_with_the_same_name_and_number_but_another_key_does_not_count() -> Result<()> {
    let Some(bench) = bench(KINDS[3].1)? else { return Ok(()) };
    let named = ["req", "-x509", "-new", "-days", "1", "-subj", "/CN=twin", "-set_serial", "7"];
    bench.openssl(&[&named[..], &["-key", "it.key", "-out", "it.crt"]].concat())?;
    let (key, certificate) = bench.load("it")?;
    let twin = |genpkey: &[&str]| -> Result<Certificate> {
        bench.openssl(&[&["genpkey", "-out", "twin.key"], genpkey].concat())?;
        bench.openssl(&[&named[..], &["-key", "twin.key", "-out", "twin.crt"]].concat())?;
        Ok(bench.load("twin")?.1)
    };
    let (same_kind, other_kind) = (twin(KINDS[3].1)?, twin(KINDS[0].1)?);
    let signature = pkcs7::sign_detached(&key, &certificate, ROOT_HASH)?;
    let verify = |trusted: &[Certificate]| pkcs7::verify_detached(&signature, ROOT_HASH, trusted).map(|_| ());
    ensure!(
        matches!(verify(std::slice::from_ref(&same_kind)), Err(VerifyError::Signature { .. })),
        "same kind"
    );
    ensure!(
        matches!(
            verify(std::slice::from_ref(&other_kind)),
            Err(VerifyError::OtherKind { found: "ECDSA", .. })
        ),
        "other"
    );
    verify(&[same_kind, other_kind, certificate])?;
    Ok(())
}
