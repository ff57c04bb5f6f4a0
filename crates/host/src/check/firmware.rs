//! What is started before the kernel, and what sees to it that an older UKI is started when a new one fails.

use sealpack_format::pe;

use super::files::Files;
use super::units::{UNITS, is_masked_or_absent};
use super::{Finding, Requirement};
use crate::disk::BOOT_LOADER;
use crate::systemd::FirmwareProgram;

const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
const BLESS: &str = "/usr/lib/systemd/systemd-bless-boot";
const BLESS_UNIT: &str = "systemd-bless-boot.service";
const UPDATE_UNIT: &str = "systemd-boot-update.service";

pub(super) fn check<F: Files>(files: &F, findings: &mut Vec<Finding>) -> Result<(), F::Error> {
    findings.push(program(files, Requirement::Stub, STUB, FirmwareProgram::Stub)?);
    findings.push(program(files, Requirement::BootLoader, BOOT_LOADER, FirmwareProgram::BootLoader)?);
    findings.push(updates(files));
    findings.push(blessing(files)?);
    Ok(())
}

/// One of systemd's programs for firmware.
fn program<F: Files>(
    files: &F,
    requirement: Requirement,
    path: &str,
    program: FirmwareProgram,
) -> Result<Finding, F::Error> {
    let mend = "install it from systemd 257 or later (Debian 13: systemd-boot-efi)";
    let Some(bytes) = files.read(path)? else {
        return Ok(Finding::broken(requirement, path, "is not there", mend));
    };
    let image = match pe::Image::parse(&bytes) {
        Ok(image) => image,
        Err(error) => {
            let problem = format!("is no program that firmware starts: {error}");
            return Ok(Finding::broken(requirement, path, problem, mend));
        }
    };
    Ok(match program.check(&image) {
        Ok(()) => Finding::good(requirement, path),
        Err(unfit) => Finding::broken(requirement, path, unfit.to_string(), mend),
    })
}

fn updates<F: Files>(files: &F) -> Finding {
    let path = format!("/etc/systemd/system/{UPDATE_UNIT}");
    if is_masked_or_absent(files, UPDATE_UNIT) {
        return Finding::good(Requirement::BootLoaderUpdates, path);
    }
    Finding::broken(
        Requirement::BootLoaderUpdates,
        path,
        "does not mask that service, which replaces the signed boot loader by the image's as soon as that is newer",
        format!("run `systemctl mask {UPDATE_UNIT}` in the image"),
    )
}

fn blessing<F: Files>(files: &F) -> Result<Finding, F::Error> {
    if !files.has_roots_program(BLESS) {
        return Ok(Finding::broken(
            Requirement::Blessing,
            BLESS,
            "is not there, so that no UKI is ever known to be good, and an older one is started after three boots",
            "install it (Debian 13: systemd-boot)",
        ));
    }
    let directories: Vec<String> =
        UNITS.iter().map(|directory| format!("{directory}/{BLESS_UNIT}.d")).collect();
    for directory in &directories {
        for name in files.names(directory).iter().filter(|name| name.ends_with(".conf")) {
            let path = format!("{directory}/{name}");
            if files.text(&path)?.is_some_and(|text| mounts_esp(&text)) {
                return Ok(Finding::good(Requirement::Blessing, path));
            }
        }
    }
    Ok(Finding::broken(
        Requirement::Blessing,
        format!("{}/efi.conf", directories[0]),
        "is not there, or has no RequiresMountsFor=/efi: the service does not find the ESP by itself",
        "put `[Unit]` and `RequiresMountsFor=/efi` into it",
    ))
}

fn mounts_esp(text: &str) -> bool {
    let wanted = text.lines().filter_map(|line| line.trim().strip_prefix("RequiresMountsFor="));
    wanted.flat_map(str::split_whitespace).any(|path| path == "/efi")
}
