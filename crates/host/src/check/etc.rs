//! What each host makes for itself, and what is mounted where.

use sealpack_format::boot::keep::{KeepList, LIST_PATH};

use super::files::Files;
use super::units::UNITS;
use super::{Finding, Requirement};

const MACHINE_ID: &str = "/etc/machine-id";
const SSH: &str = "/etc/ssh";
const FSTAB: &str = "/etc/fstab";
const KEEP_UNIT: &str = "sealpack-keep.service";
const AUDIT_SOCKET: &str = "systemd-journald-audit.socket";

/// What the first process mounts on, or moves its mounts to.
const MOUNT_POINTS: [&str; 8] = ["/data", "/dev", "/efi", "/etc", "/home", "/proc", "/run", "/sys"];

pub(super) fn check<F: Files>(files: &F, findings: &mut Vec<Finding>) -> Result<(), F::Error> {
    findings.push(machine_id(files)?);
    findings.push(host_keys(files));
    for path in MOUNT_POINTS.iter().chain(&["/var"]) {
        findings.push(if files.has_directory(path) {
            Finding::good(Requirement::MountPoints, *path)
        } else {
            let mend = format!("make the directory {path} in the image");
            Finding::broken(Requirement::MountPoints, *path, "is no directory", mend)
        });
    }
    fstab(&files.text(FSTAB)?.unwrap_or_default(), findings);
    findings.push(keep_list(files)?);
    findings.push(enabled(
        files,
        Requirement::Keeping,
        ("multi-user.target", KEEP_UNIT),
        "is not there, so that nothing of /etc is kept, and each boot is the first one",
    ));
    findings.push(enabled(
        files,
        Requirement::AuditSocket,
        ("sockets.target", AUDIT_SOCKET),
        "is not there, so that most records of what was denied are lost",
    ));
    Ok(())
}

fn machine_id<F: Files>(files: &F) -> Result<Finding, F::Error> {
    let problem = match files.text(MACHINE_ID)?.as_deref() {
        Some("uninitialized\n" | "uninitialized") => {
            return Ok(Finding::good(Requirement::MachineId, MACHINE_ID));
        }
        None => "is not there",
        Some("") => "is empty, so that no boot counts as the first one, and no keys are made",
        Some(_) => "has an identity in it, which all hosts of this image would share",
    };
    let mend = "write the one word `uninitialized` into it (mmdebstrap: with --skip=cleanup/reproducible)";
    Ok(Finding::broken(Requirement::MachineId, MACHINE_ID, problem, mend))
}

fn host_keys<F: Files>(files: &F) -> Finding {
    let names = files.names(SSH);
    match names.iter().find(|name| name.starts_with("ssh_host_") && name.ends_with("_key")) {
        None => Finding::good(Requirement::HostKeys, SSH),
        Some(name) => Finding::broken(
            Requirement::HostKeys,
            format!("{SSH}/{name}"),
            "is a private key that everybody has who has the image",
            "remove /etc/ssh/ssh_host_* at the end of the build: each host makes its own",
        ),
    }
}

fn fstab(text: &str, findings: &mut Vec<Finding>) {
    let lines: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let line_of = |target: &str| lines.iter().find(|fields| fields.get(1) == Some(&target));
    let mut judge = |target: &str, is_good: &dyn Fn(&[&str]) -> bool, breaks: bool, wanted: &str| {
        let problem = match line_of(target) {
            Some(fields) if is_good(fields) => {
                findings.push(Finding::good(Requirement::Fstab, FSTAB));
                return;
            }
            Some(fields) => format!("mounts {target} as `{}`", fields.join(" ")),
            None => format!("mounts nothing on {target}"),
        };
        let mend = format!("have the line `{wanted}` in it");
        findings.push(match breaks {
            true => Finding::broken(Requirement::Fstab, FSTAB, problem, mend),
            false => Finding::lacking(Requirement::Fstab, FSTAB, problem, mend),
        });
    };
    let has_option = |fields: &[&str], wanted: &str| {
        fields.get(3).is_some_and(|options| options.split(',').any(|option| option == wanted))
    };
    judge(
        "/efi",
        &|fields| fields.get(2) == Some(&"vfat") && has_option(fields, "nofail"),
        true,
        "LABEL=ESP /efi vfat umask=0077,nofail 0 0",
    );
    judge(
        "/var",
        &|fields| fields.first() == Some(&"/data/var") && has_option(fields, "bind"),
        true,
        "/data/var /var none bind 0 0",
    );
    judge(
        "/home",
        &|fields| fields.first() == Some(&"/data/home") && has_option(fields, "bind"),
        false,
        "/data/home /home none bind 0 0",
    );
}

fn keep_list<F: Files>(files: &F) -> Result<Finding, F::Error> {
    let Some(bytes) = files.read(LIST_PATH)? else {
        return Ok(Finding::good(Requirement::KeepList, LIST_PATH));
    };
    Ok(match KeepList::parse(&bytes) {
        Ok(_) => Finding::good(Requirement::KeepList, LIST_PATH),
        Err(error) => Finding::broken(
            Requirement::KeepList,
            LIST_PATH,
            format!("is no list that a host takes: {error}"),
            "mend it, or remove it: without it, what is known to be safe is kept",
        ),
    })
}

/// Whether a target wants a unit.
fn enabled<F: Files>(
    files: &F,
    requirement: Requirement,
    (target, unit): (&str, &str),
    problem: &str,
) -> Finding {
    let links = UNITS.map(|directory| format!("{directory}/{target}.wants/{unit}"));
    if links.iter().any(|path| files.link(path).is_some() || files.has(path)) {
        return Finding::good(requirement, &links[0]);
    }
    let mend = format!("run `systemctl enable {unit}` in the image");
    Finding::lacking(requirement, &links[0], problem, mend)
}
