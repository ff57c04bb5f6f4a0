//! The kernel and its modules.

use super::config::Config;
use super::files::Files;
use super::{Finding, Requirement};
use crate::version::is_at_least;

/// Where the modules of each kernel are.
const MODULES: &str = "/usr/lib/modules";

/// The first with IPE.
const LEAST: [u32; 2] = [6, 12];

/// What has to be in the kernel itself, and what for.
const BUILT_IN: [(&str, &str); 11] = [
    ("SECURITY_IPE", "IPE, which enforces"),
    ("IPE_PROP_DM_VERITY_SIGNATURE", "rules of IPE for signed devices"),
    ("DM_VERITY_VERIFY_ROOTHASH_SIG", "signatures of devices"),
    ("SECURITY_LOCKDOWN_LSM", "lockdown"),
    ("SECURITY_YAMA", "Yama, which ends ptrace"),
    ("SECCOMP_FILTER", "filters of system calls"),
    ("EFI_STUB", "a beginning that firmware starts"),
    ("DEVTMPFS", "device nodes"),
    ("SECURITYFS", "the files of IPE"),
    ("RD_ZSTD", "initramfs packed with zstd"),
    ("SYSTEM_TRUSTED_KEYRING", "certificates that signatures are checked with"),
];

/// With it the kernel starts the machine again without shutting anything down.
const SYSRQ: &str = "MAGIC_SYSRQ";

/// The modules without which no data partition and no image is mounted. Drivers of disks are for the hardware to say.
const NEEDED_MODULES: [(&str, &str); 6] = [
    ("dm_mod", "BLK_DEV_DM"),
    ("dm_verity", "DM_VERITY"),
    ("loop", "BLK_DEV_LOOP"),
    ("erofs", "EROFS_FS"),
    ("overlay", "OVERLAY_FS"),
    ("ext4", "EXT4_FS"),
];

pub(super) fn check<F: Files>(files: &F, findings: &mut Vec<Finding>) -> Result<(), F::Error> {
    let releases: Vec<String> = files
        .names(MODULES)
        .into_iter()
        .filter(|release| files.has_directory(&format!("{MODULES}/{release}")))
        .collect();
    let [release] = releases.as_slice() else {
        let problem = match releases.as_slice() {
            [] => "has no kernel's modules".to_owned(),
            several => format!("has those of several kernels: {}", several.join(", ")),
        };
        let mend = "install one kernel, such as Debian's linux-image-cloud-amd64 or linux-image-amd64 (of 6.12 or later)";
        findings.push(Finding::broken(Requirement::Kernel, MODULES, problem, mend));
        return Ok(());
    };
    let places = [format!("{MODULES}/{release}/vmlinuz"), format!("/boot/vmlinuz-{release}")];
    findings.push(match places.iter().find(|place| files.has(place)) {
        Some(place) if is_at_least(release, &LEAST) => Finding::good(Requirement::Kernel, place),
        Some(place) => Finding::broken(
            Requirement::Kernel,
            place,
            "is older than 6.12, the first kernel with IPE",
            "install a later kernel (Debian 13 has one)",
        ),
        None => Finding::broken(
            Requirement::Kernel,
            &places[0],
            format!("is not there, nor is {}", places[1]),
            format!("install the kernel whose modules are in {MODULES}/{release}"),
        ),
    });
    let config = check_config(files, release, findings)?;
    check_modules(files, release, config.as_ref(), findings)
}

fn check_config<F: Files>(
    files: &F,
    release: &str,
    findings: &mut Vec<Finding>,
) -> Result<Option<Config>, F::Error> {
    let places = [format!("/boot/config-{release}"), format!("{MODULES}/{release}/config")];
    let mut found = None;
    for place in &places {
        if let Some(text) = files.text(place)? {
            found = Some((place, Config::parse(&text)));
            break;
        }
    }
    let Some((place, config)) = found else {
        findings.push(Finding::lacking(
            Requirement::Kernel,
            &places[0],
            "is not there, so that nobody can tell what the kernel can do",
            "keep the kernel's configuration in the image",
        ));
        return Ok(None);
    };
    let missing = BUILT_IN.iter().filter(|(name, _)| !config.is_built_in(name));
    let missing: Vec<String> = missing.map(|(name, what)| format!("CONFIG_{name} ({what})")).collect();
    let has_ipe = config.get("LSM").is_some_and(|list| list.split(',').any(|name| name == "ipe"));
    findings.push(if !missing.is_empty() {
        Finding::broken(
            Requirement::Kernel,
            place,
            format!("does not build in {}", missing.join(", ")),
            "install a kernel that does, such as Debian 13's",
        )
    } else if !has_ipe {
        Finding::broken(
            Requirement::Kernel,
            place,
            "does not have ipe in CONFIG_LSM, so that it is not started",
            "install a kernel that does, such as Debian 13's",
        )
    } else if !config.is_built_in(SYSRQ) {
        Finding::lacking(
            Requirement::Kernel,
            place,
            format!(
                "does not build in CONFIG_{SYSRQ}: a start that hangs is not ended where a device does not let itself be \
                 shut down either"
            ),
            "install a kernel that does, such as Debian 13's",
        )
    } else {
        Finding::good(Requirement::Kernel, place)
    });
    Ok(Some(config))
}

fn check_modules<F: Files>(
    files: &F,
    release: &str,
    config: Option<&Config>,
    findings: &mut Vec<Finding>,
) -> Result<(), F::Error> {
    let list = format!("{MODULES}/{release}/modules.dep");
    let Some(dependencies) = files.text(&list)? else {
        findings.push(Finding::broken(
            Requirement::Modules,
            &list,
            "is not there",
            format!("run `depmod {release}` in the image"),
        ));
        return Ok(());
    };
    let built_in = files.text(&format!("{MODULES}/{release}/modules.builtin"))?.unwrap_or_default();
    let names: Vec<String> = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, _)| path)
        .chain(built_in.lines())
        .filter_map(module_name)
        .collect();
    let is_there = |(module, option): &&(&str, &str)| {
        names.iter().any(|name| name == module) || config.is_some_and(|config| config.is_built_in(option))
    };
    let missing: Vec<&str> =
        NEEDED_MODULES.iter().filter(|module| !is_there(module)).map(|(module, _)| *module).collect();
    findings.push(if missing.is_empty() {
        Finding::good(Requirement::Modules, &list)
    } else {
        Finding::broken(
            Requirement::Modules,
            &list,
            format!("does not name {}", missing.join(", ")),
            format!("install them, and run `depmod {release}` in the image"),
        )
    });
    Ok(())
}

/// The name that a module's file stands for.
fn module_name(path: &str) -> Option<String> {
    let (name, _) = path.rsplit('/').next()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}
