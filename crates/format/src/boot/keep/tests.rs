use super::*;

fn refused(line: &str) -> EtcPathError {
    match KeepList::parse(line.as_bytes()) {
        Err(KeepListError::Path { line: 1, source, .. }) => source,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn lines_are_files_directories_and_comments() {
    let text = b"# what is ours\n\n/etc/hostname\n  /etc/systemd/network/\r\n/etc/app/of ours/\n";
    let error = KeepList::parse(text).unwrap_err();
    assert!(matches!(error, KeepListError::Path { line: 5, source: EtcPathError::Character, .. }), "{error}");
    let list = KeepList::parse(b"# what is ours\n\n/etc/hostname\n  /etc/systemd/network/\r\n").unwrap();
    let [Entry::File(file), Entry::Directory(directory)] = list.entries() else { panic!("{list:?}") };
    assert_eq!((file.to_string().as_str(), file.in_etc()), ("/etc/hostname", Path::new("hostname")));
    assert_eq!(directory.absolute(), Path::new("/etc/systemd/network"));
    assert!(list.has(file) && !list.has(directory));
    assert!(list.has(&directory.join("10-lan.network").unwrap()));
    let list = KeepList::parse(b"/etc/app/").unwrap();
    assert!(
        list.has(&EtcPath::new("/etc/app/a/b").unwrap()) && !list.has(&EtcPath::new("/etc/app2/a").unwrap())
    );
}

#[test]
fn the_built_in_list_is_a_list_and_has_the_machines_identity() {
    let list = KeepList::built_in();
    assert!(list.entries().len() > 10);
    for kept in ["/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key", "/etc/shadow", "/etc/netplan/a.yaml"] {
        assert!(list.has(&EtcPath::new(kept).unwrap()), "{kept}");
    }
    assert!(!list.has(&EtcPath::new("/etc/sudoers").unwrap()));
}

#[test]
fn no_list_names_what_is_run_at_boot_or_says_what_is() {
    for line in [
        "/etc/systemd/system/evil.service",
        "/etc/systemd/system/",
        "/etc/systemd/system.control/a.service",
        "/etc/systemd/user/",
        "/etc/systemd/system.conf",
        "/etc/systemd/system.conf.d/",
        "/etc/systemd/system-generators/x",
        "/etc/systemd/system-environment-generators/x",
        "/etc/systemd/network/system-generators/x",
        "/etc/app/user-generators/",
        "/etc/init.d/ssh",
        "/etc/rc.local",
        "/etc/cron.d/job",
        "/etc/profile",
        "/etc/ld.so.preload",
        "/etc/udev/rules.d/99-x.rules",
        "/etc/modprobe.d/x.conf",
        "/etc/sysctl.d/x.conf",
        "/etc/network/interfaces",
        "/etc/ssh/sshd_config",
        "/etc/fstab",
        "/etc/ipe/ipe-policy.p7b",
    ] {
        assert_eq!(refused(line), EtcPathError::Runs, "{line}");
    }
}

#[test]
fn no_list_names_a_directory_with_such_a_place_in_it() {
    assert_eq!(refused("/etc/systemd/"), EtcPathError::Around("systemd/system"));
    assert_eq!(refused("/etc/ssh/"), EtcPathError::Around("ssh/ssh_config"));
    assert!(matches!(refused("/etc/NetworkManager/"), EtcPathError::Around(_)));
    // Its files are another thing.
    assert!(KeepList::parse(b"/etc/ssh/moduli").is_ok());
    assert!(EtcPath::new("/etc/ssh").unwrap().join("sshd_config").is_err());
}

#[test]
fn paths_lead_nowhere_else() {
    for (line, why) in [
        ("/etc", EtcPathError::Outside),
        ("/etc/", EtcPathError::Outside),
        ("etc/hostname", EtcPathError::Outside),
        ("hostname", EtcPathError::Outside),
        ("/etcetera/a", EtcPathError::Outside),
        ("/usr/../etc/hostname", EtcPathError::Outside),
        ("/etc/../usr/lib/x", EtcPathError::Name),
        ("/etc/a//b", EtcPathError::Name),
        ("/etc//", EtcPathError::Outside),
        ("/etc/./a", EtcPathError::Name),
        ("/etc/a/..", EtcPathError::Name),
        ("/etc/ssh/ssh_host_*_key", EtcPathError::Character),
        ("/etc/a\u{7}b", EtcPathError::Character),
        ("/etc/a b", EtcPathError::Character),
        ("/etc/\\x41", EtcPathError::Character),
    ] {
        assert_eq!(refused(line), why, "{line}");
    }
    let deep = format!("/etc{}", "/a".repeat(DEPTH_MAX));
    assert!(EtcPath::new(&deep).is_ok());
    assert_eq!(EtcPath::new(&format!("{deep}/a")), Err(EtcPathError::Long));
    assert_eq!(refused(&format!("/etc/{}", "n".repeat(256))), EtcPathError::Long);
    assert_eq!(EtcPath::new("/etc/app").unwrap().join("a/b"), Err(EtcPathError::Name));
    assert_eq!(EtcPath::new("/etc/app").unwrap().join(".."), Err(EtcPathError::Name));
    assert!(EtcPath::new("/etc/app").unwrap().join(&"n".repeat(255)).is_ok());
}

#[test]
fn what_is_no_text_or_too_large_is_no_list() {
    assert_eq!(KeepList::parse(b"/etc/a\n\xff"), Err(KeepListError::Text { line: 2 }));
    assert_eq!(KeepList::parse(&vec![b'\n'; LIST_MAX_BYTES + 1]), Err(KeepListError::Large));
    assert!(KeepList::parse(&vec![b'\n'; LIST_MAX_BYTES]).unwrap().entries().is_empty());
    // A NUL would end the path for the system.
    assert_eq!(refused("/etc/a\0b"), EtcPathError::Character);
}
