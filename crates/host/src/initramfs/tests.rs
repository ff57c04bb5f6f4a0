use std::io::Write;
use std::process::{Command, Stdio};

use sealpack_format::boot::{Module, ModuleGroup};

use super::*;

fn order() -> ModuleOrder {
    let modules = vec![Module::new("loop.ko.xz", "").unwrap()];
    ModuleOrder::new(vec![ModuleGroup { devices: Vec::new(), modules }]).unwrap()
}

fn archive() -> Vec<u8> {
    let contents = Contents {
        init: b"\x7fELF",
        command_line: "audit=1 quiet",
        policy: b"policy",
        certificates: &[b"first", b"second"],
        order: &order(),
        modules: &[("loop.ko.xz", b"module".to_vec())],
    };
    let made = make(&contents).unwrap();
    assert_eq!(made, make(&contents).unwrap(), "the same contents give the same bytes");
    zstd::bulk::decompress(&made, 1 << 20).unwrap()
}

/// What cpio, which everybody has, makes of the archive.
fn listed(archive: &[u8], arguments: &[&str]) -> String {
    let mut cpio = Command::new("cpio")
        .args(["--quiet", "--numeric-uid-gid"])
        .args(arguments)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cpio");
    cpio.stdin.take().unwrap().write_all(archive).unwrap();
    let output = cpio.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_archive_has_what_the_first_process_looks_for() {
    let names = listed(&archive(), &["--list"]);
    assert_eq!(
        names.lines().collect::<Vec<_>>(),
        [
            "cmdline",
            "data",
            "dev",
            "dev/console",
            "init",
            "modules",
            "modules/ORDER",
            "modules/loop.ko.xz",
            "packs",
            "packs/0.der",
            "packs/1.der",
            "policy.p7b",
            "proc",
            "run",
            "sys",
            "sysroot",
        ]
    );
}

#[test]
fn everything_is_roots_and_of_no_time() {
    let long = listed(&archive(), &["--list", "--verbose"]);
    for line in long.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[2], words[3]), ("0", "0"), "{line}");
        assert!(line.contains(" Jan  1  1970 "), "{line}");
    }
    let of = |name: &str| long.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap().to_owned();
    assert!(of("init").starts_with("-r-x------"), "{long}");
    assert!(of("policy.p7b").starts_with("-r--------"), "{long}");
    assert!(of("dev/console").starts_with("crw-------") && of("dev/console").contains(" 5,   1 "), "{long}");
}

#[test]
fn contents_are_as_they_were_given() {
    let content = |name| listed(&archive(), &["--extract", "--to-stdout", name]);
    assert_eq!(content("cmdline"), "audit=1 quiet");
    assert_eq!(content("modules/ORDER"), "loop.ko.xz\n");
    assert_eq!(content("modules/loop.ko.xz"), "module");
    assert_eq!(content("packs/1.der"), "second");
}
