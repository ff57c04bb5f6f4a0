//! Which certificates the kernel takes: what Linux 6.12 answers is in the comments.

use anyhow::{Context, Result, ensure};
use sealpack_trust::key::{Certificate, FileKey};

use crate::support::{Bench, KINDS};

const P256: &[&str] = KINDS[3].1;

/// Makes `ca.key` and `ca.crt`, and `it.crt` for `it.key` issued by it, with these options for `openssl x509`.
fn issue(bench: &Bench, authority: &[&str], options: &[&str]) -> Result<Certificate> {
    bench.make("ca", authority)?;
    bench.openssl(&[&["genpkey", "-out", "it.key"], P256].concat())?;
    bench.openssl(&["req", "-new", "-key", "it.key", "-subj", "/CN=it", "-out", "it.csr"])?;
    let arguments = ["x509", "-req", "-in", "it.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-out", "it.crt"];
    bench.openssl(&[&arguments[..], options].concat())?;
    Ok(Certificate::parse(&bench.read("it.crt")?)?)
}

/// A certificate by its own key, with these options for `openssl req`.
fn by_itself(bench: &Bench, genpkey: &[&str], options: &[&str]) -> Result<Certificate> {
    bench.openssl(&[&["genpkey", "-out", "it.key"], genpkey].concat())?;
    let arguments = ["req", "-x509", "-new", "-key", "it.key", "-out", "it.crt"];
    bench.openssl(&[&arguments[..], options].concat())?;
    Ok(Certificate::parse(&bench.read("it.crt")?)?)
}

fn problem(certificate: &Certificate) -> String {
    certificate.check_kernel().err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn certificates_that_the_kernel_cannot_read_are_told_from_those_it_can() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let rsa = KINDS[0].1;
    let pss: &[&str] = &["-sigopt", "rsa_padding_mode:pss"];
    let subject: &[&str] = &["-subj", "/CN=it"];
    let own = |kind: &[&str], options: &[&str]| by_itself(&bench, kind, &[subject, options].concat());
    // ENOPKG: the algorithm is none of those that x509_note_sig_algo lists.
    for (certificate, algorithm) in [
        (own(rsa, pss)?, "RSASSA-PSS"),
        (issue(&bench, rsa, pss)?, "RSASSA-PSS"),
        (issue(&bench, rsa, &["-md5"])?, "RSA with MD5"),
        (issue(&bench, &["-algorithm", "ED25519"], &[])?, "Ed25519"),
        (issue(&bench, &["-algorithm", "ED448"], &[])?, "Ed448"),
        (issue(&bench, &["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], &[])?, "RSASSA-PSS"),
    ] {
        let said = problem(&certificate);
        let wanted = format!("\"CN=it\": it is signed with {algorithm}, which Linux 6.12 does not know");
        ensure!(said.contains(&wanted) && said.contains("ENOPKG"), "{algorithm}: {said}");
    }
    // EBADMSG: the ASN.1 decoder wants at least one element in a list.
    let said = problem(&by_itself(&bench, P256, &["-subj", "/"])?);
    ensure!(said.contains("its subject is empty") && said.contains("EBADMSG"), "{said}");
    // EKEYREJECTED: it looks self-signed, and another key signed it.
    bench.make("ca", P256)?;
    bench.openssl(&["req", "-new", "-key", "it.key", "-subj", "/O=Example/CN=ca", "-out", "it.csr"])?;
    let sign = ["x509", "-req", "-in", "it.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-out", "it.crt"];
    bench.openssl(&sign)?;
    let said = problem(&Certificate::parse(&bench.read("it.crt")?)?);
    ensure!(said.contains("its own key did not sign it"), "{said}");
    // EBADMSG, from x509_process_extension.
    let long = format!("2.5.29.14=DER:04:81:82{}", ":07".repeat(130));
    for (extension, part) in [
        ("2.5.29.15=DER:03:01:00", "its key usage names nothing"),
        (&long, "its key identifier has 130 bytes"),
    ] {
        bench.write("extensions", extension)?;
        let said = problem(&issue(&bench, P256, &["-extfile", "extensions"])?);
        ensure!(said.contains(part), "{extension}: {said}");
    }
    Ok(())
}

#[test]
fn certificates_of_every_kind_that_the_kernel_takes_are_none_of_those() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    for (kind, genpkey) in KINDS {
        bench.make("it", genpkey)?;
        let said = problem(&bench.load("it")?.1);
        ensure!(said.is_empty(), "{kind}: {said}");
    }
    let p521: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
    for (authority, digest) in [
        (KINDS[0].1, "-sha224"),
        (KINDS[0].1, "-sha256"),
        (KINDS[0].1, "-sha512"),
        (KINDS[0].1, "-sha3-256"),
        (KINDS[4].1, "-sha384"),
        (KINDS[4].1, "-sha3-512"),
        (p521, "-sha512"),
    ] {
        let said = problem(&issue(&bench, authority, &[digest])?);
        ensure!(said.is_empty(), "{digest} by {authority:?}: {said}");
    }
    // No name that the kernel would show, an unusual one, and extensions that OpenSSL can write.
    for options in [
        &["-subj", "/C=DE"][..],
        &["-subj", "/CN=it", "-addext", "authorityKeyIdentifier=keyid,issuer:always"],
        &["-subj", "/CN=it", "-days", "20000", "-addext", "subjectAltName=DNS:it.example"],
    ] {
        let said = problem(&by_itself(&bench, P256, options)?);
        ensure!(said.is_empty(), "{options:?}: {said}");
    }
    Ok(())
}

/// `rsa_check_key_length` in crypto/rsa.c knows 2048, 3072 and 4096 bits only: EINVAL.
#[test]
fn rsa_keys_of_sizes_that_the_kernel_does_not_take_are_refused() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    for bits in ["2056", "2560", "3080"] {
        bench.make("it", &["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")])?;
        let wanted = format!("the RSA key has {bits} bits; the kernel takes 2048, 3072 and 4096");
        let said = Certificate::parse(&bench.read("it.crt")?).err().context("it was read")?.to_string();
        ensure!(said.starts_with(&wanted), "{said}");
        let said = FileKey::parse(&bench.read("it.key")?).err().context("it was read")?.to_string();
        ensure!(said.starts_with(&wanted), "{said}");
    }
    Ok(())
}

#[test]
fn an_authoritys_certificate_has_to_say_that_it_is_for_signing_code() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let said = |extensions: &[&str]| -> Result<String> {
        let options = extensions.iter().flat_map(|extension| ["-addext", *extension]);
        let options: Vec<_> = ["-subj", "/CN=it"].into_iter().chain(options).collect();
        let purpose = by_itself(&bench, P256, &options)?.check_purpose();
        Ok(purpose.err().map(|error| error.to_string()).unwrap_or_default())
    };
    let authority = "basicConstraints=critical,CA:TRUE";
    ensure!(said(&[authority])?.contains("an authority's, and names neither"), "{}", said(&[authority])?);
    ensure!(said(&[])?.contains("an authority's"), "what OpenSSL makes by itself is an authority's");
    ensure!(said(&[authority, "keyUsage=keyCertSign,cRLSign"])?.contains("digitalSignature"));
    for right in [
        &["basicConstraints=critical,CA:FALSE"][..],
        &[authority, "keyUsage=keyCertSign,digitalSignature"],
        &[authority, "extendedKeyUsage=codeSigning"],
    ] {
        ensure!(said(right)?.is_empty(), "{right:?}: {}", said(right)?);
    }
    Ok(())
}
