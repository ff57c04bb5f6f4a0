//! Files that are nearly what is asked for: what they are is said, and how to make the right thing of them.

use anyhow::{Context, Result, ensure};
use sealpack_trust::key::{Certificate, FileKey};

use crate::support::{Bench, KINDS};

fn bench() -> Result<Option<Bench>> {
    let Some(bench) = Bench::new()? else { return Ok(None) };
    bench.make("it", KINDS[3].1)?;
    Ok(Some(bench))
}

fn no_certificate(bytes: &[u8]) -> Result<String> {
    Ok(Certificate::parse(bytes).err().context("it was read as a certificate")?.to_string())
}

fn no_key(bytes: &[u8]) -> Result<String> {
    Ok(FileKey::parse(bytes).err().context("it was read as a key")?.to_string())
}

/// It was called "a certificate, not a certificate".
#[test]
fn a_trusted_certificate_is_named_and_the_command_that_makes_a_plain_one_works() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let options = ["-in", "it.crt", "-trustout", "-addtrust", "codeSigning"];
    let pem = bench.openssl(&[&["x509"], &options[..]].concat())?;
    ensure!(pem.starts_with(b"-----BEGIN TRUSTED CERTIFICATE-----"), "OpenSSL writes something else now");
    let said = no_certificate(&pem)?;
    ensure!(said.starts_with("this is a trusted certificate, OpenSSL's own form"), "{said}");
    ensure!(said.contains("`openssl x509 -in FILE -out PLAIN`"), "{said}");
    bench.write("trusted", &pem)?;
    bench.openssl(&["x509", "-in", "trusted", "-out", "plain"])?;
    ensure!(Certificate::parse(&bench.read("plain")?)? == Certificate::parse(&bench.read("it.crt")?)?);
    // OpenSSL itself writes the plain one in DER.
    bench.write(
        "base64",
        String::from_utf8_lossy(&pem)
            .lines()
            .filter(|line| !line.starts_with('-'))
            .fold(String::new(), |text, line| text + line + "\n"),
    )?;
    let der = bench.openssl(&["base64", "-d", "-in", "base64"])?;
    ensure!(no_certificate(&der)? == said, "DER: {}", no_certificate(&der)?);
    ensure!(no_key(&pem)? == "this is a certificate, not a private key", "{}", no_key(&pem)?);
    Ok(())
}

#[test]
fn what_is_no_certificate_is_called_what_it_is_in_pem_and_der() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let request = ["req", "-new", "-key", "it.key", "-subj", "/CN=it"];
    let list = ["crl2pkcs7", "-nocrl", "-certfile", "it.crt"];
    let encrypted = ["pkcs8", "-topk8", "-in", "it.key", "-passout", "pass:secret"];
    let container = ["pkcs12", "-export", "-in", "it.crt", "-inkey", "it.key", "-passout", "pass:secret"];
    bench.write(
        "ca.cnf",
        "[ca]\ndefault_ca=it\n[it]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=9\n",
    )?;
    bench.write("index", "")?;
    let config = ["ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "it.key", "-cert", "it.crt"];
    bench.write("list.pem", bench.openssl(&config)?)?;
    let revoked = ["crl", "-in", "list.pem"];
    for (arguments, wanted) in [
        (&request[..], "this is a request for a certificate, not a certificate"),
        (&list, "this is a PKCS#7 container; `openssl pkcs7 -in FILE -print_certs"),
        (&encrypted, "this is an encrypted private key, not a certificate"),
        (&revoked, "this is a list of revoked certificates, not a certificate"),
        (&["pkey", "-in", "it.key", "-pubout"], "this is a public key, not a certificate"),
        (&["pkey", "-in", "it.key"], "this is a private key, not a certificate"),
        (&["pkey", "-in", "it.key", "-traditional"], "this is a private key, not a certificate"),
    ] {
        for form in ["pem", "der"] {
            let said = no_certificate(&bench.openssl(&[arguments, &["-outform", form]].concat())?)?;
            ensure!(said.starts_with(wanted), "{arguments:?}, {form}: {said}");
        }
    }
    let said = no_certificate(&bench.openssl(&container)?)?;
    ensure!(said.starts_with("this is a PKCS#12 container"), "{said}");
    let old = bench.openssl(&request)?;
    let old = String::from_utf8(old)?.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST");
    ensure!(no_certificate(old.as_bytes())?.contains("a request for a certificate"));
    let said = no_certificate(&bench.openssl(&["ecparam", "-name", "prime256v1"])?)?;
    ensure!(said == "this is the parameters of a key, without it, not a certificate", "{said}");
    // Parameters in front of a key do not make the file something else.
    let said = no_certificate(&bench.openssl(&["ecparam", "-name", "prime256v1", "-genkey"])?)?;
    ensure!(said == "this is a private key, not a certificate", "{said}");
    let damaged = &bench.openssl(&["x509", "-in", "it.crt", "-outform", "der"])?[..200];
    ensure!(no_certificate(damaged)?.starts_with("the certificate is damaged or is none"));
    Ok(())
}

#[test]
fn private_keys_in_forms_of_their_own_are_named_with_the_way_out() -> Result<()> {
    let block = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
    let said = no_key(block("OPENSSH PRIVATE KEY").as_bytes())?;
    ensure!(said.contains("OpenSSH's own form; `ssh-keygen -p -m PKCS8 -f COPY`"), "{said}");
    let said = no_key(block("TSS2 PRIVATE KEY").as_bytes())?;
    ensure!(said.contains("only its TPM can use; give the URI of its PKCS#11 token"), "{said}");
    ensure!(no_key(block("DSA PRIVATE KEY").as_bytes())?.starts_with("DSA keys are not supported"));
    ensure!(no_key(block("EC PARAMETERS").as_bytes())?.contains("the parameters of a key, without it"));
    Ok(())
}

#[test]
fn pem_is_read_however_editors_and_mail_have_left_it() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let (key, certificate) = bench.load("it")?;
    let plain = String::from_utf8(bench.read("it.crt")?)?;
    let plain_key = String::from_utf8(bench.read("it.key")?)?;
    let old = plain.replace("CERTIFICATE", "X509 CERTIFICATE");
    ensure!(Certificate::parse(old.as_bytes())? == certificate);
    type Change = fn(&str) -> String;
    let forms: [(&str, Change); 6] = [
        ("a byte order mark", |text| format!("\u{feff}{text}")),
        ("ends of lines as on Windows", |text| text.replace('\n', "\r\n")),
        ("both", |text| format!("\u{feff}{}", text.replace('\n', "\r\n"))),
        ("ends of lines as on old Macs", |text| text.replace('\n', "\r")),
        ("text before and behind", |text| format!("Bag Attributes\n  name: \u{e4}\n{text}\nthe end")),
        ("all indented", |text| text.lines().map(|line| format!("    {line}\n")).collect()),
    ];
    for (what, form) in forms {
        let read = Certificate::parse(form(&plain).as_bytes()).with_context(|| what.to_owned())?;
        ensure!(read == certificate, "{what}");
        let read = FileKey::parse(form(&plain_key).as_bytes()).with_context(|| what.to_owned())?;
        ensure!(sealpack_trust::key::Signer::public_key(&read) == certificate.public_key(), "{what}");
    }
    let both = [plain_key.as_str(), &plain].concat();
    certificate.check_signer(&FileKey::parse(both.as_bytes())?)?;
    ensure!(Certificate::parse(both.as_bytes())? == certificate, "a key and a certificate in one file");
    drop(key);
    Ok(())
}

#[test]
fn pem_that_is_spoiled_says_how() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let plain = String::from_utf8(bench.read("it.crt")?)?;
    let body: String =
        plain.lines().filter(|line| !line.starts_with('-')).map(|line| format!("{line}\n")).collect();
    let wide: Vec<u8> =
        "\u{feff}".encode_utf16().chain(plain.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for (bytes, wanted) in [
        (body.as_bytes(), "line 1: base64 without the lines BEGIN and END around it"),
        (&wide, "line 1: UTF-16 text; save it as ASCII or UTF-8"),
        (format!("x\ncert: {plain}").as_bytes(), "line 2: BEGIN does not stand at the beginning"),
    ] {
        let said = no_certificate(bytes)?;
        ensure!(said.starts_with(wanted), "{said}");
    }
    Ok(())
}
