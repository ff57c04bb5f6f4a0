use std::fs;

use tempfile::TempDir;

use super::*;
use crate::{Errno, mountinfo};

/// A machine made of files: paths and their contents.
fn machine(files: &[(&str, &str)]) -> (TempDir, System) {
    let directory = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let system = System::at(directory.path());
    (directory, system)
}

fn status(files: &[(&str, &str)], probe: fn(&System) -> Finding) -> Status {
    let (_directory, system) = machine(files);
    probe(&system).0
}

fn kernel_failing(name: &'static str, errno: Errno) -> Kernel {
    Kernel::with_hook(move |call| call.to_string().starts_with(name).then_some(errno))
}

#[test]
fn a_report_has_every_feature_once_and_nothing_stays() {
    let place = tempfile::tempdir().unwrap();
    let probed = || {
        let before = mountinfo::read_own().unwrap();
        let report = probe(&Kernel::new(), &System::this(), &place.path().join("not/there/yet"));
        assert_eq!(mountinfo::read_own().unwrap(), before);
        report
    };
    // Where nobody else mounts; without the privilege for that, no probe could leave a mount either.
    let report = Kernel::new().with_private_mounts(probed).unwrap_or_else(|_| probed());
    let ids: Vec<_> = report.features.iter().map(|feature| feature.id).collect();
    assert_eq!(ids, FeatureId::ALL);
    assert!(report.features.iter().all(|feature| !feature.detail.is_empty()));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    assert_eq!(report.feature(FeatureId::Kernel).unwrap().status, Status::Available);
}

#[test]
fn advice_is_for_what_is_missing() {
    let feature = |status| Feature { id: FeatureId::Ipe, status, detail: String::new() };
    assert!(feature(Status::Missing).advice().unwrap().contains("CONFIG_SECURITY_IPE"));
    for status in [Status::Available, Status::Unknown] {
        assert_eq!(feature(status).advice(), None);
    }
}

#[test]
fn a_purpose_is_met_when_nothing_it_needs_is_missing() {
    let feature = |id, status| Feature { id, status, detail: String::new() };
    let mut report = Report {
        release: String::new(),
        features: vec![
            feature(FeatureId::OverlayVerity, Status::Available),
            feature(FeatureId::FsVerity, Status::Available),
            feature(FeatureId::Ipe, Status::Missing),
        ],
    };
    assert!(report.can(Purpose::Verified) && !report.can(Purpose::Enforced));
    report.features[1].status = Status::Unknown;
    assert!(!report.can(Purpose::Verified));
}

#[test]
fn kernel_versions_are_compared_as_numbers() {
    let version = |release: &str| KernelVersion::parse(release);
    assert_eq!(version("6.12.57+deb13-amd64"), Some(KernelVersion { major: 6, minor: 12 }));
    assert_eq!(version("7.0-rc1"), Some(KernelVersion { major: 7, minor: 0 }));
    assert!(version("6.9.1") < version("6.12.0"));
    assert_eq!(version("x.1"), None);
    let release = |release| status(&[("proc/sys/kernel/osrelease", release)], machine::kernel);
    assert_eq!(release("6.1.0-42-amd64\n"), Status::Missing);
    assert_eq!(release("6.8.0\n"), Status::Available);
    assert_eq!(status(&[], machine::kernel), Status::Unknown);
}

#[test]
fn root_of_a_user_namespace_has_no_privilege_to_mount() {
    let found = |capabilities: &str, map| {
        let text = format!("Name:\tx\nCapEff:\t{capabilities}\n");
        status(
            &[("proc/thread-self/status", text.as_str()), ("proc/thread-self/uid_map", map)],
            super::machine::privilege,
        )
    };
    let all = "         0          0 4294967295\n";
    assert_eq!(found("000001ffffffffff", all), Status::Available);
    assert_eq!(found("000001ffffdfffff", all), Status::Missing);
    assert_eq!(found("000001ffffffffff", "0 1000 1\n"), Status::Missing);
    assert_eq!(found("?", all), Status::Unknown);
}

#[test]
fn drivers_are_found_loaded_built_in_or_as_modules() {
    let release = ("proc/sys/kernel/osrelease", "6.12.1\n");
    let dm = ("sys/module/dm_mod/x", "");
    let found = |files: &[(&str, &str)]| status(files, super::machine::dm_verity);
    assert_eq!(found(&[dm, ("sys/module/dm_verity/x", "")]), Status::Available);
    let modules = |line| ("lib/modules/6.12.1/modules.dep", line);
    assert_eq!(found(&[release, dm, modules("kernel/drivers/md/dm-verity.ko.xz: a\n")]), Status::Available);
    assert_eq!(found(&[release, dm, modules("kernel/drivers/md/dm-crypt.ko: a\n")]), Status::Missing);
    let builtin = |line| ("lib/modules/6.12.1/modules.builtin", line);
    assert_eq!(
        found(&[release, builtin("kernel/md/dm-mod.ko\nkernel/md/dm-verity.ko\n")]),
        Status::Available
    );
    assert_eq!(found(&[release, dm, ("proc/modules", "")]), Status::Unknown);
    // A kernel without modules has what it shows.
    assert_eq!(found(&[release, dm]), Status::Missing);
}

#[test]
fn the_check_of_signatures_is_recognised_by_its_parameter_or_the_configuration() {
    let found = |files: &[(&str, &str)]| status(files, super::machine::dm_verity_signatures);
    let parameter = |name| (name, "N\n");
    assert_eq!(found(&[parameter("sys/module/dm_verity/parameters/require_signatures")]), Status::Available);
    assert_eq!(found(&[parameter("sys/module/dm_verity/parameters/prefetch_cluster")]), Status::Missing);
    let release = ("proc/sys/kernel/osrelease", "6.12.1\n");
    let modules = ("lib/modules/6.12.1/modules.dep", "kernel/drivers/md/dm-verity.ko:\n");
    let config = ("boot/config-6.12.1", "# x\nCONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG=y\n");
    assert_eq!(found(&[release, modules, config]), Status::Available);
    assert_eq!(found(&[release, modules]), Status::Unknown);
    assert_eq!(found(&[release]), Status::Missing);
}

#[test]
fn dm_veritys_parameters_are_unknown_where_the_kernel_has_none() {
    use super::VerityParameters;
    let of = |files: &[(&str, &str)]| {
        let (_directory, system) = machine(files);
        VerityParameters::of(&system)
    };
    assert_eq!(of(&[]), VerityParameters::default());
    let require = "sys/module/dm_verity/parameters/require_signatures";
    let unsealed = "sys/module/dm_verity/parameters/keyring_unsealed";
    assert_eq!(
        of(&[(require, "Y\n"), (unsealed, "N\n")]),
        VerityParameters { require_signatures: Some(true), keyring_unsealed: Some(false) }
    );
    assert_eq!(of(&[(require, "N\n")]).require_signatures, Some(false));
}

#[test]
fn ipe_counts_only_with_a_policy_that_is_active_and_enforced() {
    let modules = ("sys/kernel/security/lsm", "lockdown,yama,ipe");
    let active = |value| ("sys/kernel/security/ipe/policies/sealed/active", value);
    let enforce = |value| ("sys/kernel/security/ipe/enforce", value);
    assert_eq!(status(&[modules], security::ipe), Status::Available);
    assert_eq!(status(&[("sys/kernel/security/lsm", "yama,ipex")], security::ipe), Status::Missing);
    let found = |files: &[(&str, &str)]| status(files, security::ipe_enforcing);
    assert_eq!(found(&[modules, active("1\n"), enforce("1\n")]), Status::Available);
    assert_eq!(found(&[modules, active("1\n"), enforce("0\n")]), Status::Missing);
    assert_eq!(found(&[modules, active("0\n"), enforce("1\n")]), Status::Missing);
    assert_eq!(found(&[modules]), Status::Unknown);
    // Without securityfs mounted nobody knows; without securityfs there is none.
    assert_eq!(found(&[("proc/filesystems", "nodev\tsecurityfs\n\text4\n")]), Status::Unknown);
    assert_eq!(found(&[("proc/filesystems", "nodev\tproc\n")]), Status::Missing);
}

#[test]
fn hardening_is_judged_by_what_holds() {
    let lockdown = |text| status(&[("sys/kernel/security/lockdown", text)], security::lockdown);
    assert_eq!(lockdown("none [integrity] confidentiality\n"), Status::Available);
    assert_eq!(lockdown("[none] integrity confidentiality\n"), Status::Missing);
    let scope = |text| status(&[("proc/sys/kernel/yama/ptrace_scope", text)], security::ptrace_scope);
    assert_eq!((scope("1\n"), scope("0\n")), (Status::Available, Status::Missing));
    assert_eq!(status(&[], security::ptrace_scope), Status::Missing);
}

#[test]
fn proc_mem_is_judged_by_the_last_word_on_the_command_line_then_the_configuration() {
    let found = |release, line, config| {
        let files =
            [("proc/sys/kernel/osrelease", release), ("proc/cmdline", line), ("boot/config-6.12.1", config)];
        status(&files, security::proc_mem)
    };
    let never = "quiet proc_mem.force_override=always proc_mem.force_override=never";
    assert_eq!(found("6.12.1", never, ""), Status::Available);
    assert_eq!(found("6.11.1", never, ""), Status::Missing);
    assert_eq!(found("6.12.1", "proc_mem.force_override=ptrace", ""), Status::Missing);
    assert_eq!(found("6.12.1", "quiet", "CONFIG_PROC_MEM_NO_FORCE=y\n"), Status::Available);
    assert_eq!(found("6.12.1", "quiet", "CONFIG_PROC_MEM_ALWAYS_FORCE=y\n"), Status::Missing);
    assert_eq!(found("6.12.1", "quiet", ""), Status::Unknown);
}

#[test]
fn user_namespaces_can_be_off_in_three_ways() {
    let found = |files: &[(&str, &str)]| status(files, security::user_namespaces);
    let many = ("proc/sys/user/max_user_namespaces", "1000\n");
    assert_eq!(found(&[many]), Status::Available);
    assert_eq!(found(&[]), Status::Missing);
    assert_eq!(found(&[("proc/sys/user/max_user_namespaces", "0")]), Status::Missing);
    assert_eq!(found(&[many, ("proc/sys/kernel/unprivileged_userns_clone", "0")]), Status::Missing);
    let apparmor = "proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    assert_eq!(found(&[many, (apparmor, "1")]), Status::Missing);
}

#[test]
fn without_the_privilege_to_ask_a_filesystem_is_looked_for() {
    let kernel = kernel_failing("fsopen", Errno::PERM);
    let found = |files: &[(&str, &str)]| {
        let (_directory, system) = machine(files);
        mounting::filesystem(&kernel, &system, "erofs").0
    };
    assert_eq!(found(&[("proc/filesystems", "nodev\ttmpfs\n\terofs\n")]), Status::Available);
    assert_eq!(found(&[("proc/filesystems", "nodev\ttmpfs\n"), ("proc/modules", "")]), Status::Unknown);
    let list =
        [("proc/sys/kernel/osrelease", "1.1"), ("lib/modules/1.1/modules.dep", "fs/erofs/erofs.ko.xz:")];
    assert_eq!(found(&list), Status::Available);
    for (errno, expected) in [(Errno::NODEV, Status::Missing), (Errno::NOSYS, Status::Missing)] {
        let (_directory, system) = machine(&[]);
        let kernel = kernel_failing("fsopen", errno);
        assert_eq!(mounting::filesystem(&kernel, &system, "erofs").0, expected);
    }
}

#[test]
fn what_an_older_kernel_refuses_is_missing_and_what_cannot_be_tried_is_unknown() {
    let place = tempfile::tempdir().unwrap();
    let from_file = |name, errno| mounting::erofs_from_file(&kernel_failing(name, errno), place.path()).0;
    // The file is opened before the kernel is asked, and no call has to succeed for these.
    assert_eq!(from_file("fsopen", Errno::NOTBLK), Status::Missing);
    assert_eq!(from_file("fsopen", Errno::PERM), Status::Unknown);
    assert_eq!(from_file("fsopen", Errno::INVAL), Status::Available);
    let options = |errno| mounting::overlay_options(&kernel_failing("fsopen", errno), &[("datadir+", "/")]).0;
    assert_eq!((options(Errno::INVAL), options(Errno::PERM)), (Status::Missing, Status::Unknown));
    let detached = |errno| mounting::detached_layers(&kernel_failing("fsopen", errno)).0;
    assert_eq!((detached(Errno::BADF), detached(Errno::PERM)), (Status::Missing, Status::Unknown));
    let verity = |errno| {
        let (_directory, system) = machine(&[]);
        mounting::fs_verity(&kernel_failing("ioctl", errno), &system, place.path()).0
    };
    assert_eq!(verity(Errno::NODATA), Status::Available);
    assert_eq!(verity(Errno::NOTTY), Status::Missing);
    assert_eq!(verity(Errno::IO), Status::Unknown);
}

#[test]
fn loop_devices_that_only_dev_lacks_are_told_apart() {
    let found = |errno, files: &[(&str, &str)]| {
        let (_directory, system) = machine(files);
        mounting::loop_devices(&kernel_failing("open", errno), &system)
    };
    let present = [("sys/module/loop/x", "")];
    assert_eq!(found(Errno::ACCESS, &present).0, Status::Available);
    assert_eq!(found(Errno::ACCESS, &[]).0, Status::Unknown);
    assert_eq!(found(Errno::NOENT, &[]).0, Status::Missing);
    let (status, detail) = found(Errno::NOENT, &present);
    assert!(status == Status::Missing && detail.ends_with("is /dev complete?"), "{detail}");
}
