use anyhow::{Context, Result, ensure};
use sealpack_trust::key::{self, Certificate, FileKey, KeyError, KeyKind, Signer, Validity};
use std::time::{Duration, SystemTime};

use crate::support::{Bench, KINDS};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Forms of `it.key` that OpenSSL writes: how, and what for.
fn forms(kind: &str) -> Vec<(&'static str, &'static [&'static str])> {
    let mut forms: Vec<(&str, &[&str])> = vec![
        ("PKCS#8 PEM", &["pkey"]),
        ("PKCS#8 DER", &["pkey", "-outform", "der"]),
        ("PKCS#8 PEM with text before it", &["pkey", "-text"]),
        ("traditional PEM", &["pkey", "-traditional"]),
        ("traditional DER", &["pkey", "-traditional", "-outform", "der"]),
    ];
    if kind.starts_with("ECDSA") {
        forms.push(("SEC 1 without the public key", &["ec", "-no_public"]));
        forms.push(("PKCS#8 without the public key", &["pkey", "-ec_conv_form", "compressed"]));
    }
    forms
}

#[test]
fn keys_are_read_in_every_form_that_openssl_writes() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    for (kind, genpkey) in KINDS {
        bench.make("it", genpkey)?;
        let public = bench.openssl(&["pkey", "-in", "it.key", "-pubout", "-outform", "der"])?;
        for (form, arguments) in forms(kind) {
            let bytes = bench.openssl(&[arguments, &["-in", "it.key"]].concat())?;
            let key = FileKey::parse(&bytes).with_context(|| format!("{kind}, {form}"))?;
            ensure!(key.public_key().info_der() == public, "{kind}, {form}: another key");
            ensure!(key.public_key().kind().to_string() == kind, "{kind}, {form}: another kind");
        }
        let der = bench.openssl(&["x509", "-in", "it.crt", "-outform", "der"])?;
        ensure!(
            Certificate::parse(&der)? == Certificate::parse(&bench.read("it.crt")?)?,
            "{kind}: certificate"
        );
    }
    Ok(())
}

#[test]
fn an_ec_key_may_follow_its_parameters_and_a_key_its_certificate() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let parameters_and_key = bench.openssl(&["ecparam", "-name", "prime256v1", "-genkey"])?;
    ensure!(
        parameters_and_key.starts_with(b"-----BEGIN EC PARAMETERS-----"),
        "OpenSSL writes something else now"
    );
    FileKey::parse(&parameters_and_key)?;
    bench.make("it", KINDS[3].1)?;
    let both = [bench.read("it.crt")?, bench.read("it.key")?].concat();
    Certificate::parse(&both)?.check_signer(&FileKey::parse(&both)?)?;
    Ok(())
}

#[test]
fn encrypted_keys_are_refused_as_such() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let password = ["-passout", "pass:secret"];
    for (_, genpkey) in [KINDS[0], KINDS[3]] {
        bench.make("it", genpkey)?;
        for form in [
            &["pkey", "-in", "it.key", "-aes256"] as &[&str],
            &["pkey", "-in", "it.key", "-aes256", "-traditional"],
            &["pkcs8", "-in", "it.key", "-topk8", "-outform", "der"],
        ] {
            let bytes = bench.openssl(&[form, &password].concat())?;
            ensure!(FileKey::parse(&bytes).err() == Some(KeyError::Encrypted), "{form:?}");
        }
    }
    let bundle = bench.openssl(&[
        "pkcs12",
        "-export",
        "-in",
        "it.crt",
        "-inkey",
        "it.key",
        "-passout",
        "pass:secret",
    ])?;
    ensure!(FileKey::parse(&bundle).err() == Some(KeyError::Pkcs12), "PKCS#12");
    Ok(())
}

#[test]
fn kinds_of_keys_that_the_kernel_does_not_take_are_refused_by_name() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let refused: [(&[&str], &str); 7] = [
        (&["-algorithm", "ED25519"], "Ed25519 keys are not supported"),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], "ECDSA P-521 keys are not supported"),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "ECDSA secp256k1 keys are not"),
        (
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
            "ECDSA (curve given by its numbers) keys are not",
        ),
        (&["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], "RSASSA-PSS keys are not supported"),
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "the RSA key has 1024 bits"),
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4104"], "the RSA key has 4104 bits"),
    ];
    for (genpkey, message) in refused {
        bench.make("it", genpkey)?;
        let key = FileKey::parse(&bench.read("it.key")?).err().context("the key was read")?.to_string();
        ensure!(key.starts_with(message), "key: {key}");
        let certificate =
            Certificate::parse(&bench.read("it.crt")?).err().context("the certificate was read")?;
        ensure!(certificate.to_string().starts_with(message), "certificate: {certificate}");
    }
    Ok(())
}

#[test]
fn a_key_is_not_taken_for_a_certificate_nor_the_other_way_round() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    bench.make("it", KINDS[3].1)?;
    let (key, certificate) = (bench.read("it.key")?, bench.read("it.crt")?);
    let public = bench.openssl(&["pkey", "-in", "it.key", "-pubout"])?;
    let der_certificate = bench.openssl(&["x509", "-in", "it.crt", "-outform", "der"])?;
    let said = |error: Option<KeyError>| error.map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(said(FileKey::parse(&certificate).err()), "this is a certificate, not a private key");
    assert_eq!(said(FileKey::parse(&public).err()), "this is a public key, not a private key");
    assert_eq!(
        said(FileKey::parse(&der_certificate).err()),
        "this is a certificate or a request for one, not a private key"
    );
    assert_eq!(said(Certificate::parse(&key).err()), "this is a private key, not a certificate");
    let two = [&certificate[..], &certificate[..]].concat();
    assert!(said(Certificate::parse(&two).err()).starts_with("the file has 2 certificates"));
    assert_eq!(Certificate::parse_all(&two)?.len(), 2);
    assert!(
        said(FileKey::parse(&[&key[..], &key[..]].concat()).err()).starts_with("the file has 2 private keys")
    );
    Ok(())
}

#[test]
fn a_certificate_is_for_its_own_key_and_for_signing_code_only() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let p256 = KINDS[3].1;
    bench.openssl(&[&["genpkey", "-out", "it.key"], p256].concat())?;
    bench.openssl(&[&["genpkey", "-out", "other.key"], p256].concat())?;
    let key = FileKey::parse(&bench.read("it.key")?)?;
    let other = FileKey::parse(&bench.read("other.key")?)?;
    let with = |extensions: &[&str]| -> Result<Certificate> {
        let mut arguments = vec!["req", "-x509", "-new", "-key", "it.key", "-days", "1", "-subj", "/CN=it"];
        arguments.extend(extensions.iter().flat_map(|extension| ["-addext", *extension]));
        Ok(Certificate::parse(&bench.openssl(&arguments)?)?)
    };
    let plain = with(&[])?;
    plain.check_signer(&key)?;
    assert!(matches!(plain.check_signer(&other), Err(KeyError::Mismatch { .. })));
    with(&["keyUsage=digitalSignature", "extendedKeyUsage=serverAuth,codeSigning"])?.check_signer(&key)?;
    with(&["extendedKeyUsage=anyExtendedKeyUsage"])?.check_signer(&key)?;
    for (extension, lacks) in [
        ("keyUsage=keyCertSign,cRLSign", "its key usage does not have digitalSignature"),
        ("extendedKeyUsage=serverAuth", "its extended key usage does not have codeSigning"),
    ] {
        let error = with(&[extension])?.check_signer(&key).err().context(extension)?.to_string();
        ensure!(error == format!("the certificate \"CN=it\" is not for signing code: {lacks}"), "{error}");
    }
    Ok(())
}

#[test]
fn openssl_takes_every_key_and_certificate_that_is_made() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    for kind in KeyKind::ALL {
        let validity = Validity::starting(SystemTime::now(), 30 * DAY)?;
        let made = key::generate(kind, &"Ünïted, \"packs\"".parse()?, &validity)?;
        bench.write("it.key", made.key_pem.as_bytes())?;
        bench.write("it.crt", &made.certificate_pem)?;
        let (_, certificate) = bench.load("it").with_context(|| kind.to_string())?;
        bench.openssl(&["pkey", "-in", "it.key", "-check", "-noout"])?;
        let options = ["-x509_strict", "-check_ss_sig", "-purpose", "any"];
        bench.openssl(&[&["verify", "-CAfile", "it.crt"], &options[..], &["it.crt"]].concat())?;
        let text = bench.openssl(&[
            "x509",
            "-in",
            "it.crt",
            "-noout",
            "-text",
            "-nameopt",
            "RFC2253,-esc_msb,utf8",
        ])?;
        let text = String::from_utf8(text)?;
        for part in [
            "Version: 3 (0x2)",
            "Subject: CN=Ünïted\\, \\\"packs\\\"",
            "X509v3 Basic Constraints: critical\n                CA:FALSE",
            "X509v3 Key Usage: critical\n                Digital Signature\n",
            "X509v3 Extended Key Usage: \n                Code Signing\n",
            "X509v3 Subject Key Identifier: \n",
        ] {
            ensure!(text.contains(part), "{kind}: no {part:?} in {text}");
        }
        let id = certificate.subject_key_id().context("no key identifier")?.to_string();
        ensure!(text.replace(':', "").to_lowercase().contains(&id), "{kind}: {id} is not in {text}");
        ensure!(certificate.is_self_signed() && !certificate.is_authority(), "{kind}");
        ensure!(certificate.is_valid_at(SystemTime::now()), "{kind}: not valid now");
        ensure!(!certificate.is_valid_at(SystemTime::now() + 31 * DAY), "{kind}: still valid");
    }
    Ok(())
}

#[test]
fn certificates_say_what_openssl_says_of_them() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    bench.make("root", KINDS[0].1)?;
    bench.openssl(&[&["genpkey", "-out", "it.key"], KINDS[4].1].concat())?;
    bench.openssl(&["req", "-new", "-key", "it.key", "-subj", "/C=DE/O=Example/CN=it", "-out", "it.csr"])?;
    bench.openssl(&[
        "x509",
        "-req",
        "-in",
        "it.csr",
        "-CA",
        "root.crt",
        "-CAkey",
        "root.key",
        "-set_serial",
        "0x80ff01",
        "-days",
        "2",
        "-out",
        "it.crt",
    ])?;
    let (_, certificate) = bench.load("it")?;
    ensure!(certificate.subject() == "CN=it,O=Example,C=DE", "{}", certificate.subject());
    ensure!(certificate.issuer() == "CN=root,O=Example", "{}", certificate.issuer());
    ensure!(certificate.serial_hex() == "0080ff01", "{}", certificate.serial_hex());
    ensure!(!certificate.is_self_signed(), "it is the root's");
    let (_, root) = bench.load("root")?;
    ensure!(root.is_self_signed() && root.is_authority(), "the root");
    let printed = bench.openssl(&["x509", "-in", "it.crt", "-noout", "-fingerprint", "-sha256"])?;
    let printed = String::from_utf8(printed)?.replace(':', "").to_lowercase();
    ensure!(printed.contains(&certificate.fingerprint().to_string()), "{printed}");
    Ok(())
}
