//! Signatures of UKIs, which sbsigntool checks as firmware does.

use crate::{Workshop, text};
use anyhow::{Result, ensure};
use sealpack_format::pe::Image as Program;
use sealpack_tests::command::{attempt, run};
use sealpack_tests::host_image::{self, HostImage};
use sealpack_tests::refusal::Exit;
use std::fs;
use std::process::Command;

/// Whether sbverify takes the file as signed by that key.
fn verifies(workshop: &Workshop, file: &str, key: &str) -> Result<bool> {
    let mut sbverify = Command::new("sbverify");
    sbverify.arg("--cert").arg(workshop.path(&format!("{key}.crt"))).arg(workshop.path(file));
    Ok(attempt(&mut sbverify)?.status.success())
}

fn sbsign(workshop: &Workshop, arguments: &[&str]) -> Result<()> {
    let mut sbsign = Command::new("sbsign");
    sbsign.args(["--key", "boot.key", "--cert", "boot.crt"]).args(arguments).current_dir(workshop.path("."));
    run(&mut sbsign).map(drop)
}

#[test]
fn sbverify_takes_signatures_of_rsa_and_ecdsa_keys() -> Result<()> {
    let stub = host_image::systemd_boot()?.join("linuxx64.efi.stub");
    let workshop = Workshop::new(&HostImage::new())?;
    for key in ["boot", "ec"] {
        let (private, certificate, file) = (format!("{key}.key"), format!("{key}.crt"), format!("{key}.efi"));
        workshop.build(&["-o", &file, "--stub", text(&stub)?, "--key", &private, "--cert", &certificate])?;
        ensure!(verifies(&workshop, &file, key)?, "{key}");
        ensure!(!verifies(&workshop, &file, "packs")?, "{key}");
        let mut changed = workshop.read(&file)?;
        let place = changed.len() / 2;
        changed[place] ^= 1;
        fs::write(workshop.path("changed.efi"), changed)?;
        ensure!(!verifies(&workshop, "changed.efi", key)?, "{key}");
    }
    Ok(())
}

#[test]
fn whoever_signs_with_a_key_that_firmware_may_not_take_is_told_so() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    let signed_with = |key: &str, output: &str| {
        let (private, certificate) = (format!("{key}.key"), format!("{key}.crt"));
        let sign = ["-o", output, "--key", &private, "--cert", &certificate];
        workshop.succeeds(&[&crate::BUILD[..], &sign].concat())
    };
    let said = signed_with("ec", "ec.efi")?;
    ensure!(said.contains("note: the key is ECDSA P-256; much firmware starts only"), "{said}");
    let said = signed_with("boot", "rsa.efi")?;
    ensure!(!said.contains("much firmware"), "{said}");
    Ok(())
}

#[test]
fn an_unsigned_uki_is_signed_elsewhere() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    workshop.build(&["--unsigned", "-o", "unsigned.efi"])?;
    sbsign(&workshop, &["--output", "sbsign.efi", "unsigned.efi"])?;
    sbsign(&workshop, &["--detached", "--output", "detached.p7s", "unsigned.efi"])?;
    let attach = ["host", "attach", "unsigned.efi", "detached.p7s", "--cert", "boot.crt"];
    workshop.succeeds(&[&attach[..], &["-o", "attached.efi"]].concat())?;
    ensure!(verifies(&workshop, "attached.efi", "boot")?);
    let signed = [workshop.read("sbsign.efi")?, workshop.read("attached.efi")?];
    let whole = ["host", "attach", "unsigned.efi", "sbsign.efi"];
    workshop.fails(
        Exit::Failed,
        &whole,
        &["sbsign.efi: this is a program, not a signature of one", "--detached"],
    )?;
    let parts = |file: &[u8]| -> Result<Vec<u8>> { Ok(Program::parse(file)?.signed_parts().concat()) };
    ensure!(parts(&signed[0])? == parts(&signed[1])?);
    // In its own place, and only once.
    workshop.succeeds(&attach)?;
    ensure!(workshop.read("unsigned.efi")? == signed[1]);
    workshop.fails(Exit::Failed, &attach, &["detached.p7s: the program has this signature already"])
}

#[test]
fn a_signature_as_it_stands_in_a_file_is_attached_too() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    workshop.build(&["--unsigned", "-o", "unsigned.efi"])?;
    workshop.build(&["-o", "signed.efi", "--key", "ec.key", "--cert", "ec.crt"])?;
    let table = workshop.read("signed.efi")?.split_off(workshop.read("unsigned.efi")?.len());
    fs::write(workshop.path("table"), table)?;
    workshop.succeeds(&["host", "attach", "unsigned.efi", "table"])?;
    ensure!(workshop.read("unsigned.efi")? == workshop.read("signed.efi")?);
    Ok(())
}

#[test]
fn signatures_of_something_else_are_not_attached() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    workshop.build(&["--unsigned", "-o", "unsigned.efi"])?;
    workshop.build(&["--unsigned", "-o", "other.efi", "--append", "quiet"])?;
    sbsign(&workshop, &["--detached", "--output", "other.p7s", "other.efi"])?;
    let attach = |signature: &'static str| ["host", "attach", "unsigned.efi", signature, "-o", "signed.efi"];
    workshop.fails(
        Exit::Refused,
        &attach("other.p7s"),
        &["other.p7s: the signature is of an image with the SHA-256", "or was changed"],
    )?;
    sbsign(&workshop, &["--detached", "--output", "good.p7s", "unsigned.efi"])?;
    let by_another = [&attach("good.p7s")[..], &["--cert", "ec.crt"]].concat();
    workshop.fails(
        Exit::Refused,
        &by_another,
        &["which is none of the 1 certificate given", "--cert gives"],
    )?;
    workshop.fails(
        Exit::Refused,
        &attach("host.p7b"),
        &["not the hash of a program that firmware starts"],
    )?;
    workshop.fails(Exit::Failed, &attach("boot.crt"), &["boot.crt: "])?;
    let no_program = ["host", "attach", "boot.crt", "good.p7s"];
    workshop.fails(Exit::Failed, &no_program, &["this is not a PE image"])
}

#[test]
fn a_signed_stub_loses_its_signature_and_that_is_said() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    let plain = host_image::systemd_boot()?.join("linuxx64.efi.stub");
    sbsign(&workshop, &["--output", "signed.stub", text(&plain)?])?;
    workshop.build(&["--unsigned", "-o", "plain.efi", "--stub", text(&plain)?])?;
    let said = workshop.succeeds(
        &[&crate::BUILD[..], &["--unsigned", "-o", "stripped.efi", "--stub", "signed.stub"]].concat(),
    )?;
    ensure!(said.contains("note: the stub's own signature is left out"), "{said}");
    ensure!(workshop.read("plain.efi")? == workshop.read("stripped.efi")?);
    Ok(())
}
