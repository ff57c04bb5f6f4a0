use super::*;

const DENIAL: &str = "ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=1 pid=2241 comm=\"sh\" path=\"/mnt/usr/bin/tool\" \
                      dev=\"overlay\" ino=77 rule=\"DEFAULT op=EXECUTE action=DENY\"";

fn all(log: &str) -> Vec<Logged> {
    records(log.as_bytes()).collect()
}

fn one(message: &str) -> Record {
    let number = match message {
        _ if message.starts_with("ipe_op") => 1420,
        _ if message.starts_with("old_active") => 1421,
        _ if message.starts_with("policy_name") => 1422,
        _ => 1404,
    };
    match &all(&format!("type={number} audit(1.002:3): {message}"))[..] {
        [Logged { record: Ok(record), .. }] => record.clone(),
        other => panic!("{message}: {other:?}"),
    }
}

fn access(message: &str) -> Access {
    match one(message) {
        Record::Access(access) => access,
        other => panic!("{other:?}"),
    }
}

fn sentence(message: &str) -> String {
    let Explanation { what, why, advice } = Explanation::of(&one(message), None);
    format!("{what}: {why}. {}", advice.unwrap_or_default())
}

#[test]
fn a_denial_is_found_in_every_form_that_logs_have() {
    let forms = [
        format!("type=1420 audit(1653364370.067:61): {DENIAL}"),
        format!("[   12.345678] audit: type=1420 audit(1653364370.067:61): {DENIAL}"),
        format!("Nov 24 03:00:00 host kernel: audit: type=1420 audit(1653364370.067:61): {DENIAL}"),
        format!("5,1234,12345678,-;audit: type=1420 audit(1653364370.067:61): {DENIAL}"),
        format!("type=IPE_ACCESS msg=audit(1653364370.067:61): {DENIAL}"),
        format!("node=host type=UNKNOWN[1420] msg=audit(1653364370.067:61): {DENIAL}\x1d"),
        format!("type=IPE_ACCESS msg=audit(1653364370.067:61): {DENIAL}\x1dUID=\"root\"\r"),
    ];
    for form in &forms {
        let id = EventId { unix_seconds: 1_653_364_370, milliseconds: 67, serial: 61 };
        match &all(&format!("something else\n{form}\nthe end"))[..] {
            [Logged { line: 2, id: Some(found), record: Ok(record) }] => {
                assert_eq!((*found, record), (id, &one(DENIAL)), "{form}");
                assert_eq!(found.to_string(), "1653364370.067:61");
            }
            other => panic!("{form}: {other:?}"),
        }
    }
    for journal in
        ["MESSAGE=AUDIT1420 ", "MESSAGE=IPE_ACCESS ", "Nov 24 03:00:00 host audit[2241]: AUDIT1420 "]
    {
        match &all(&format!("_AUDIT_TYPE=1420\n{journal}{DENIAL}\n"))[..] {
            [Logged { line: 2, id: None, record: Ok(record) }] => assert_eq!(record, &one(DENIAL)),
            other => panic!("{journal}: {other:?}"),
        }
    }
}

#[test]
fn the_fields_of_a_denial_are_read() {
    assert_eq!(
        access(DENIAL),
        Access {
            operation: "EXECUTE".to_owned(),
            hook: "BPRM_CHECK".to_owned(),
            enforcing: true,
            pid: 2241,
            command: b"sh"[..].into(),
            file: Some(AccessedFile {
                path: Some(b"/mnt/usr/bin/tool"[..].into()),
                device: b"overlay"[..].into(),
                inode: 77
            }),
            rule: "DEFAULT op=EXECUTE action=DENY".to_owned(),
            action: Action::Deny,
        }
    );
}

/// A name with a space, a quote or a byte beyond ASCII is logged in hex, without quotes, and one
/// that only looks like hex in quotes.
#[test]
fn names_are_read_whether_quoted_or_in_hex() {
    let with = |comm: &str, path: &str| {
        access(&DENIAL.replace("\"sh\"", comm).replace("\"/mnt/usr/bin/tool\"", path))
    };
    let hex = with("6D7920736822", "2F612062C3A9");
    assert_eq!(&*hex.command, b"my sh\"");
    assert_eq!(hex.file.unwrap().path.as_deref(), Some("/a bé".as_bytes()));
    let quoted = with("\"6D79\"", "\"/rule=x\"");
    assert_eq!(&*quoted.command, b"6D79");
    assert_eq!(quoted.file.unwrap().path.as_deref(), Some(&b"/rule=x"[..]));
    for long in ["<too_long>", "\"<too_long>\""] {
        let file = with("\"sh\"", long).file.unwrap();
        assert_eq!((file.path, file.inode), (None, 77));
    }
}

#[test]
fn memory_that_is_no_file_has_none() {
    let message = "ipe_op=EXECUTE ipe_hook=MMAP enforcing=1 pid=2472 comm=\"python3\" path=? dev=? ino=? \
                   rule=\"DEFAULT op=EXECUTE action=DENY\"";
    assert_eq!(access(message).file, None);
    assert!(sentence(message).contains("executable memory that is no file"));
    assert!(sentence(message).contains("libffi"));
}

/// The kernel quotes a digest's algorithm within the quotes of the rule, and writes hex in capitals.
#[test]
fn a_rule_with_a_digest_is_read_as_policies_have_it() {
    for (logged, written) in [
        (
            "op=EXECUTE dmverity_roothash=\"sha256\":ABCDEF action=DENY",
            "op=EXECUTE dmverity_roothash=sha256:abcdef action=DENY",
        ),
        (
            "op=KMODULE boot_verified=FALSE dmverity_signature=TRUE action=ALLOW",
            "op=KMODULE boot_verified=FALSE dmverity_signature=TRUE action=ALLOW",
        ),
        ("op=EXECUTE action=DENY", "op=EXECUTE action=DENY"),
        ("DEFAULT action=DENY", "DEFAULT action=DENY"),
    ] {
        let access = access(&DENIAL.replace("DEFAULT op=EXECUTE action=DENY", logged));
        assert_eq!(access.rule, written);
        assert_eq!(access.action, if written.ends_with("ALLOW") { Action::Allow } else { Action::Deny });
    }
}

#[test]
fn a_damaged_record_names_its_field_and_others_are_still_read() {
    let log = format!(
        "type=1420 audit(1.0:1): {}\ntype=1420 audit(1.0:2): {}\ntype=1420 audit(1.0:3): {DENIAL}",
        DENIAL.replace("pid=2241", "pid=many"),
        &DENIAL[..DENIAL.len() - 8],
    );
    let found = all(&log);
    assert_eq!(found[0].record, Err(RecordError { field: "pid" }));
    assert_eq!(found[1].record, Err(RecordError { field: "rule" }));
    assert!(found[2].record.is_ok());
}

#[test]
fn lines_that_only_talk_of_ipe_are_no_records() {
    let selinux = "type=MAC_STATUS msg=audit(1.0:1): enforcing=1 old_enforcing=0 auid=0 ses=1 enabled=1 old-enabled=1 lsm=selinux res=1";
    for line in ["", "ipe_op=EXECUTE", &format!("user wrote: {DENIAL}"), selinux, "type=1420 audit(1.0:1): "]
    {
        assert_eq!(all(line), [], "{line}");
    }
}

#[test]
fn an_activation_tells_both_policies() {
    let digest = "820EEA5B40CA42B51F68962354BA083122A20BB846F26765076DD8EED7B8F4DB";
    let message = format!(
        "old_active_pol_name=\"old\"one\" old_active_pol_version=0.0.1 old_policy_digest=sha256:{digest} \
         new_active_pol_name=\"sealed\" new_active_pol_version=1.2.3 new_policy_digest=sha256:{digest} \
         auid=1000 ses=2 lsm=ipe res=1"
    );
    let Record::Activation(activation) = one(&message) else { panic!() };
    assert_eq!(activation.new.version.to_string(), "1.2.3");
    assert_eq!(activation.new.digest, digest.to_lowercase());
    assert_eq!(&*activation.old.unwrap().name, b"old\"one");
    assert!(sentence(&message).starts_with(
        "policy sealed version 1.2.3 became the active one: old\"one version 0.0.1 decided until then (by login 1000)"
    ));
    let first = format!(
        "old_active_pol_name=? old_active_pol_version=? old_policy_digest=? new_active_pol_name=\"sealed\" \
         new_active_pol_version=1.2.3 new_policy_digest=sha256:{digest} auid=4294967295 ses=4294967295 lsm=ipe res=1"
    );
    assert!(sentence(&first).ends_with("no policy was active until then. "));
}

#[test]
fn loads_and_refusals_are_told_with_what_to_do() {
    let loaded = "policy_name=\"sealed\" policy_version=0.0.1 policy_digest=sha256:AB auid=4294967295 \
                  ses=4294967295 lsm=ipe res=1 errno=0";
    assert!(
        sentence(loaded)
            .starts_with("policy sealed version 0.0.1 was loaded: its signed form has sha256 ab.")
    );
    for (errno, name, word) in [
        (-126, "ENOKEY", ".platform"),
        (-129, "EKEYREJECTED", "sign the text again"),
        (-74, "EBADMSG", "policy show FILE"),
        (-17, "EEXIST", "load --update"),
        (-116, "ESTALE", "higher policy_version"),
        (-90, "EMSGSIZE", "fewer digest rules"),
        (-1, "EPERM", "CAP_MAC_ADMIN"),
        (-34, "ERANGE", "65535"),
        (-22, "EINVAL", "name over all versions"),
        (-5, "error 5", ""),
    ] {
        let message = format!(
            "policy_name=? policy_version=? policy_digest=? auid=0 ses=1 lsm=ipe res=0 errno={errno}"
        );
        let text = sentence(&message);
        assert!(
            text.starts_with("a policy was refused: ") && text.contains(name) && text.contains(word),
            "{text}"
        );
    }
}

/// Linux 6.12 writes no error number.
#[test]
fn a_load_without_an_error_number_is_read() {
    let loaded = "policy_name=\"digests\" policy_version=6.0.0 policy_digest=sha256:5697 auid=4294967295 \
                  ses=4294967295 lsm=ipe res=1";
    assert!(sentence(loaded).starts_with("policy digests version 6.0.0 was loaded"));
    let refused = "policy_name=? policy_version=? policy_digest=? auid=0 ses=1 lsm=ipe res=0";
    assert!(sentence(refused).contains("does not say why"));
}

#[test]
fn switching_enforcing_is_told() {
    let message = |new, old| {
        format!("enforcing={new} old_enforcing={old} auid=0 ses=1 enabled=1 old-enabled=1 lsm=ipe res=1")
    };
    assert!(sentence(&message(0, 1)).contains("IPE was set to permissive"));
    assert!(sentence(&message(0, 1)).contains("drop CAP_MAC_ADMIN"));
    assert!(sentence(&message(1, 0)).contains("IPE was set to enforcing"));
}

#[test]
fn a_denial_says_who_was_kept_from_what_and_what_to_do() {
    assert_eq!(
        sentence(DENIAL),
        "sh (process 2241) was kept from executing /mnt/usr/bin/tool on overlay: no rule of the active policy matches, \
         so `DEFAULT op=EXECUTE action=DENY` decided. it is on no signed device, nor allowed by digest: put the file \
         into an image, `sealpack seal` it and run it from there, or allow its fs-verity digest"
    );
    let known = |relation| FileOfImage {
        image: "docker.io/library/debian:12".to_owned(),
        target: "/mnt".to_owned(),
        path: b"/usr/bin/tool"[..].into(),
        relation,
    };
    let of_image = Explanation::of(&one(DENIAL), Some(&known(Relation::Image)));
    assert!(of_image.what.ends_with("executing /usr/bin/tool of image docker.io/library/debian:12 at /mnt"));
    assert!(of_image.advice.unwrap().contains("sealpack seal"));
    let of_upper = Explanation::of(&one(DENIAL), Some(&known(Relation::Upper)));
    assert!(of_upper.what.contains("in the writable layer over image"));
    assert!(of_upper.advice.unwrap().contains("writable layer is signed"));
    let foreign = Explanation::of(&one(DENIAL), Some(&known(Relation::Foreign)));
    assert!(foreign.what.contains("but one mounted over it") && foreign.advice.unwrap().contains("findmnt"));
}

#[test]
fn hooks_operations_and_modes_have_their_own_words() {
    let with = |from: &str, to: &str| sentence(&DENIAL.replace(from, to));
    assert!(with("BPRM_CHECK", "MMAP").contains("mapping /mnt/usr/bin/tool on overlay as code"));
    assert!(with("BPRM_CHECK", "MPROTECT").contains("executable that was mapped as data"));
    assert!(with("enforcing=1", "enforcing=0").contains("was not kept from"));
    assert!(with("\"/mnt/usr/bin/tool\"", "2F6D656D66643A78202864656C6574656429").contains("memfd_create"));
    assert!(with("\"overlay\"", "\"rootfs\"").contains("early policies only"));
    let module = "op=KMODULE ipe_hook=KERNEL_READ";
    assert!(
        with("op=EXECUTE ipe_hook=BPRM_CHECK", module)
            .contains("having the kernel load /mnt/usr/bin/tool on overlay as a module")
    );
    let buffer = "ipe_op=KMODULE ipe_hook=KERNEL_LOAD enforcing=1 pid=1 comm=\"x\" path=? dev=? ino=? rule=\"DEFAULT op=KMODULE action=DENY\"";
    assert!(
        sentence(buffer).contains("handing the kernel a module from memory")
            && sentence(buffer).contains("finit_module")
    );
    let revoked = with("DEFAULT op=EXECUTE", "op=EXECUTE dmverity_roothash=\"sha256\":AB");
    assert!(
        revoked.contains("the first rule that matches") && revoked.contains("revoked by root hash"),
        "{revoked}"
    );
}
