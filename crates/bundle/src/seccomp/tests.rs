use std::collections::BTreeSet;

use super::*;

const PROFILE: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null}
    ],
    "syscalls": [
        {"names": ["always"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
        {"names": ["x86-only"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {"arches": ["amd64", "x32"]}},
        {"names": ["not-arm"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["arm64"]}},
        {"names": ["admin", "admin-too"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["admin"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}, "errnoRet": 1,
         "errno": "EPERM"},
        {"names": ["both"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}},
        {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["newer"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.20"}},
        {"names": ["old"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.0"}},
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 4294967295, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
        {"name": "ancient-form", "action": "SCMP_ACT_ERRNO", "errno": "EINVAL"}
    ]
}"#;

fn resolved(architecture: &str, capabilities: &[&str]) -> Result<crate::spec::Seccomp, ProfileError> {
    let capabilities: BTreeSet<String> = capabilities.iter().map(|name| (*name).to_owned()).collect();
    let machine = Machine { architecture: architecture.to_owned(), kernel: (6, 12) };
    Profile::parse(PROFILE.as_bytes()).unwrap().resolve(&machine, &capabilities)
}

fn names(seccomp: &crate::spec::Seccomp) -> Vec<String> {
    seccomp.syscalls.iter().map(|rule| format!("{}={:?}", rule.names.join("+"), rule.errno_ret)).collect()
}

#[test]
fn rules_count_by_processor_capability_and_kernel() {
    let without = resolved("amd64", &[]).unwrap();
    let rest = ["new=None", "personality=None", "ancient-form=Some(22)"];
    let expected = [&["always=None", "x86-only=None", "not-arm=None", "admin=Some(1)"][..], &rest].concat();
    assert_eq!(names(&without), expected);
    assert_eq!(without.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    assert_eq!((without.default_action.as_str(), without.default_errno_ret), ("SCMP_ACT_ERRNO", Some(38)));
    let argument = &without.syscalls[5].args[0];
    assert_eq!((argument.index, argument.value, argument.op.as_str()), (0, 4_294_967_295, "SCMP_CMP_EQ"));

    let admin = resolved("arm64", &["CAP_SYS_ADMIN"]).unwrap();
    let expected = [&["always=None", "admin+admin-too=None"][..], &rest].concat();
    assert_eq!(names(&admin), expected);
    let both = resolved("riscv64", &["CAP_SYS_ADMIN", "CAP_BPF"]).unwrap();
    assert!(names(&both).contains(&"both=None".to_owned()));
    assert_eq!(both.architectures, ["SCMP_ARCH_RISCV64"]);
}

#[test]
fn a_profile_that_says_nothing_of_the_processor_is_no_profile_for_it() {
    assert_eq!(resolved("s390x", &[]), Err(ProfileError::Processor("SCMP_ARCH_S390X".into())));
    assert_eq!(resolved("z80", &[]), Err(ProfileError::Processor("z80".into())));
}

#[test]
fn what_is_not_understood_is_not_passed_over() {
    for (text, word) in [
        ("nonsense", "line 1"),
        (r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#, "missing field `syscalls`"),
        (
            r#"{"defaultAction":"a","syscalls":[{"names":["b"],"action":"c","unless":{}}]}"#,
            "unknown field `unless`",
        ),
        (
            r#"{"defaultAction":"a","syscalls":[{"names":["b"],"action":"c","includes":{"os":[]}}]}"#,
            "unknown field `os`",
        ),
    ] {
        let error = Profile::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let resolve = |rule: &str| {
        let text =
            PROFILE.replace(r#"{"name": "ancient-form","#, &format!(r#"{rule}, {{"name": "ancient-form","#));
        let machine = Machine { architecture: "amd64".to_owned(), kernel: (6, 12) };
        Profile::parse(text.as_bytes()).unwrap().resolve(&machine, &BTreeSet::new()).map(drop)
    };
    let error = resolve(r#"{"names": ["a"], "action": "SCMP_ACT_ERRNO", "errno": "ENOTHING"}"#);
    assert_eq!(error, Err(ProfileError::Errno("ENOTHING".into())));
    let error = resolve(r#"{"names": ["a"], "action": "b", "includes": {"minKernel": "new"}}"#);
    assert_eq!(error, Err(ProfileError::Kernel("new".into())));
}
