use std::collections::BTreeSet;

use sealpack_format::boot::{Etc, Hardening};

use super::*;

const IMAGE: &str = "5f0e2e1d6f4c0cf2a4b02d1f6d1c7c9a6b1f4f1f3d6a3f8e1f0d9c8b7a695847";
const ROOT: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// As the first process of a sealed host shows it on Debian's 6.12.
const FIRST_PROCESS: &str = "Name:\tsystemd\nUmask:\t0000\nState:\tS (sleeping)\nTgid:\t1\nPid:\t1\nPPid:\t0\n\
    TracerPid:\t0\nCapInh:\t0000000000000000\nCapPrm:\t000001fdfff7ffff\nCapEff:\t000001fdfff7ffff\n\
    CapBnd:\t000001fdfff7ffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n\
    Speculation_Store_Bypass:\tvulnerable\n";

/// The same on a host that nobody sealed.
const PLAIN_FIRST_PROCESS: &str = "Name:\tsystemd\nCapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\n\
    CapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\n\
    Seccomp:\t0\nSeccomp_filters:\t0\n";

fn text(text: impl Into<String>) -> Result<String, Unread> {
    Ok(text.into())
}

fn command_line(more: &str) -> Result<String, Unread> {
    text(format!(
        "audit=1 audit_backlog_limit=8192 proc_mem.force_override=never panic=-1 systemd.import_credentials=no \
         sealpack.image={IMAGE} sealpack.root={ROOT}{more}\n"
    ))
}

fn sealed() -> Seen {
    Seen {
        command_line: command_line(" console=ttyS0"),
        first_process: text(FIRST_PROCESS),
        kexec_load_disabled: text("1\n"),
        ptrace_scope: text("3\n"),
        helpers_bounding: text("65538\t0\n"),
        helpers_inheritable: text("65730\t0\n"),
        lockdown: text("none [integrity] confidentiality\n"),
        asked: Asked {
            device_mapper_refused: Ok(true),
            foreign_calls_refused: Ok(Some(true)),
            written_code_refused: Ok(true),
        },
        secure_boot: Ok(vec![6, 0, 0, 0, 1]),
        refused: Err(Unread::Absent),
        refused_unix_seconds: None,
        report: Err(Unread::Absent),
        kept_policies: Vec::new(),
    }
}

/// A stock Debian, apart from the words of its command line.
fn without_hardening() -> Seen {
    Seen {
        first_process: text(PLAIN_FIRST_PROCESS),
        kexec_load_disabled: text("0\n"),
        ptrace_scope: text("1\n"),
        helpers_bounding: text("4294967295\t511\n"),
        helpers_inheritable: text("4294967295\t511\n"),
        lockdown: text("[none] integrity confidentiality\n"),
        asked: Asked {
            device_mapper_refused: Ok(false),
            foreign_calls_refused: Ok(Some(false)),
            written_code_refused: Ok(false),
        },
        ..sealed()
    }
}

fn image() -> ObjectId {
    IMAGE.parse().unwrap()
}

fn judged(seen: &Seen) -> Status {
    Status::of(seen, Some(&image())).unwrap()
}

fn shown(status: &Status) -> Vec<(Hardening, Shown)> {
    status.hardenings.iter().map(|state| (state.hardening, state.shown)).collect()
}

#[test]
fn a_sealed_host_shows_every_hardening_and_what_it_was_booted_from() {
    let status = judged(&sealed());
    assert_eq!((status.boot.image, status.boot.root_hash), (image(), ROOT.parse().unwrap()));
    assert_eq!((status.boot.etc, status.secure_boot), (Etc::Tmpfs, Some(true)));
    assert_eq!(shown(&status), Hardening::ALL.map(|hardening| (hardening, Shown::On)));
    assert_eq!(status.lacking().count(), 0);
    assert_eq!(status.last_refused, None);
}

#[test]
fn a_kernel_without_them_shows_each_as_off_with_what_it_says() {
    let status = judged(&without_hardening());
    assert_eq!(shown(&status), Hardening::ALL.map(|hardening| (hardening, Shown::Off)));
    assert_eq!(status.lacking().count(), Hardening::ALL.len());
    let evidence = |hardening| {
        let state = status.hardenings.iter().find(|state| state.hardening == hardening).unwrap();
        state.evidence.clone()
    };
    for (hardening, words) in [
        (Hardening::DeviceMapper, "no filter of system calls; loading a table is not refused"),
        (Hardening::WrittenMappings, "PR_GET_MDWE: memory that was written can be made executable"),
        (Hardening::Kexec, "kernel.kexec_load_disabled is 0"),
        (Hardening::Ptrace, "kernel.yama.ptrace_scope is 1; CAP_SYS_PTRACE is in"),
        (Hardening::MacAdmin, "CAP_MAC_ADMIN is in the first process's bounding set"),
        (
            Hardening::KernelHelpers,
            "kernel.usermodehelper.bset has capabilities that no helper needs (0x1fffffeff3d)",
        ),
        (Hardening::Lockdown, "lockdown is none"),
        (Hardening::ForeignAbi, "calls by x32's numbers are not refused"),
    ] {
        assert!(evidence(hardening).contains(words), "{hardening}: {}", evidence(hardening));
    }
}

/// A half is none: each of these alone leaves a way.
#[test]
fn a_hardening_with_two_parts_is_off_when_one_is() {
    let without = |change: fn(&mut Seen)| {
        let mut seen = sealed();
        change(&mut seen);
        let lacking: Vec<Hardening> = judged(&seen).lacking().map(|state| state.hardening).collect();
        lacking
    };
    assert_eq!(without(|seen| seen.ptrace_scope = text("2\n")), [Hardening::Ptrace]);
    assert_eq!(without(|seen| seen.helpers_inheritable = text("65538\t2\n")), [Hardening::KernelHelpers]);
    assert_eq!(without(|seen| seen.helpers_bounding = text("2162690\t0\n")), [Hardening::KernelHelpers]);
    assert_eq!(without(|seen| seen.asked.device_mapper_refused = Ok(false)), [Hardening::DeviceMapper]);
    assert_eq!(
        without(|seen| seen.first_process = text(FIRST_PROCESS.replace("fdfff7", "fdffff"))),
        [Hardening::Ptrace]
    );
    assert_eq!(
        without(|seen| seen.first_process = text(FIRST_PROCESS.replace("fdfff7", "fffff7"))),
        [Hardening::MacAdmin]
    );
    assert_eq!(
        without(|seen| seen.first_process = text(FIRST_PROCESS.replace("Seccomp:\t2", "Seccomp:\t0"))),
        [Hardening::DeviceMapper, Hardening::ForeignAbi]
    );
}

#[test]
fn what_the_signed_command_line_switches_off_is_named_and_does_not_lack() {
    let seen = Seen { command_line: command_line(" sealpack.off=kexec,foreign-abi"), ..without_hardening() };
    let status = judged(&seen);
    let off: BTreeSet<Hardening> =
        status.hardenings.iter().filter(|state| state.switched_off).map(|state| state.hardening).collect();
    assert_eq!(off, BTreeSet::from([Hardening::Kexec, Hardening::ForeignAbi]));
    assert_eq!(status.lacking().count(), Hardening::ALL.len() - 2);
    // It can be on all the same.
    let seen = Seen { command_line: command_line(" sealpack.off=lockdown"), ..sealed() };
    let status = judged(&seen);
    assert!(status.hardenings.iter().any(|state| state.switched_off && state.shown == Shown::On));
}

#[test]
fn what_cannot_be_read_is_not_taken_for_being_on() {
    let denied = || Err(Unread::Failed("Permission denied (os error 13)".to_owned()));
    let seen = Seen {
        first_process: denied(),
        ptrace_scope: Err(Unread::Absent),
        helpers_bounding: denied(),
        helpers_inheritable: text("none"),
        lockdown: Err(Unread::Absent),
        secure_boot: Err(Unread::Absent),
        asked: Asked {
            device_mapper_refused: Ok(true),
            foreign_calls_refused: Ok(None),
            written_code_refused: Err("prctl(PR_GET_MDWE): EINVAL".to_owned()),
        },
        kexec_load_disabled: Err(Unread::Absent),
        ..sealed()
    };
    let status = judged(&seen);
    let expected = [
        (Hardening::DeviceMapper, Shown::Unknown),
        (Hardening::WrittenMappings, Shown::Unknown),
        (Hardening::Kexec, Shown::On),
        (Hardening::Ptrace, Shown::Off),
        (Hardening::MacAdmin, Shown::Unknown),
        (Hardening::KernelHelpers, Shown::Unknown),
        (Hardening::Lockdown, Shown::Off),
        (Hardening::ForeignAbi, Shown::Unknown),
    ];
    assert_eq!(shown(&status), expected);
    assert_eq!(status.secure_boot, None);
    assert!(status.hardenings.iter().any(|state| state.evidence.contains("Permission denied")));
}

#[test]
fn the_firmware_and_the_last_refused_boot_are_told() {
    let with = |bytes: &[u8]| judged(&Seen { secure_boot: Ok(bytes.to_vec()), ..sealed() }).secure_boot;
    assert_eq!(with(&[6, 0, 0, 0, 0]), Some(false));
    assert_eq!(with(&[6, 0, 0, 0, 2]), None);
    assert_eq!(with(&[1]), None);
    let reason = "sealpack: mount: the root hash is another one\n";
    let status = judged(&Seen { refused: text(reason), ..sealed() });
    assert_eq!(status.last_refused.as_deref(), Some(reason.trim_end()));
    assert_eq!(status.refused(), None);
    assert_eq!(judged(&Seen { refused: text("\n"), ..sealed() }).last_refused, None);
    let status = judged(&Seen {
        refused: text("boot refused, image: a pack is missing. To do: pull it\n"),
        ..sealed()
    });
    assert_eq!(status.refused().map(|refused| refused.why).as_deref(), Some("a pack is missing"));
}

#[test]
fn another_host_is_not_called_sealed_whatever_it_shows() {
    let not = |line: Result<String, Unread>, root: Option<&ObjectId>| {
        Status::of(&Seen { command_line: line, ..sealed() }, root).unwrap_err()
    };
    assert_eq!(
        not(text("BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet\n"), Some(&image())),
        NotSealed::NoImage
    );
    assert_eq!(not(text(""), None), NotSealed::NoImage);
    // A container on a sealed host sees the host's command line.
    assert_eq!(not(command_line(""), None), NotSealed::OtherRoot(image()));
    assert_eq!(not(command_line(""), Some(&ObjectId::sha256([1; 32]))), NotSealed::OtherRoot(image()));
    let added = not(command_line(" ipe.enforce=0"), Some(&image()));
    assert!(
        matches!(added, NotSealed::CommandLine(_)) && added.to_string().contains("ipe.enforce"),
        "{added}"
    );
    let unread = not(Err(Unread::Failed("Input/output error".to_owned())), None).to_string();
    assert!(unread.contains("/proc/cmdline") && unread.contains("Input/output error"), "{unread}");
}

#[test]
fn what_is_looked_at_is_in_these_files() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, content: &[u8]| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    let wanted = sealed();
    write("proc/cmdline", command_line(" console=ttyS0").unwrap().as_bytes());
    write("proc/1/status", FIRST_PROCESS.as_bytes());
    write("proc/sys/kernel/kexec_load_disabled", b"1\n");
    write("proc/sys/kernel/yama/ptrace_scope", b"3\n");
    write("proc/sys/kernel/usermodehelper/bset", b"65538\t0\n");
    write("proc/sys/kernel/usermodehelper/inheritable", b"65730\t0\n");
    write("sys/kernel/security/lockdown", b"none [integrity] confidentiality\n");
    write("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", &[6, 0, 0, 0, 1]);
    let kernel = sealpack_kernel::Kernel::new();
    let mut seen = Seen::look(root.path(), &kernel);
    seen.asked = wanted.asked.clone();
    assert_eq!(seen, wanted);
    write("data/boot/refused", b"why\n");
    let report = format!(
        "image={IMAGE}\nroot={ROOT}\netc=tmpfs\noff=\ndata=/dev/vda2\npolicy=host\npolicy_version=0.0.2\n\
         policy_update=host-0.0.2.p7b\nstarted_ms=900\nhanded_over_ms=1700\n"
    );
    write("run/sealpack/boot", report.as_bytes());
    for name in ["host-0.0.10.p7b", "host-0.0.2.p7b", ".host-0.0.3.p7b", "notes"] {
        write(&format!("data/policies/{name}"), b"signed");
    }
    let seen = Seen::look(root.path(), &kernel);
    assert_eq!(seen.refused, text("why\n"));
    let status = judged(&seen);
    let kept: Vec<String> = status.kept_policies.iter().map(ToString::to_string).collect();
    assert_eq!(kept, ["host-0.0.2", "host-0.0.10"]);
    assert_eq!(status.report.unwrap().policy_update.as_deref(), Some("host-0.0.2.p7b"));
}

#[test]
fn a_pipe_in_the_place_of_a_record_keeps_nobody_waiting() -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    let record = root.path().join("data/boot/refused");
    std::fs::create_dir_all(root.path().join("data/boot"))?;
    rustix::fs::mknodat(rustix::fs::CWD, &record, rustix::fs::FileType::Fifo, 0o600.into(), 0)?;
    let seen = Seen::look(root.path(), &sealpack_kernel::Kernel::new());
    anyhow::ensure!(matches!(seen.refused, Err(Unread::Failed(_))), "{:?}", seen.refused);
    Ok(())
}
