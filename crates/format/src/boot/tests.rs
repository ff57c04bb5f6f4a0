use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::{ObjectId, RootHash};

fn parameters() -> BootParameters {
    BootParameters::new(ObjectId::sha256([0xab; 32]), RootHash::new([0xcd; 32]))
}

fn line_with(words: &str) -> String {
    format!("{} {words}", parameters())
}

fn error_of(line: &str) -> String {
    CommandLine::parse(line.as_bytes()).expect_err(line).to_string()
}

#[test]
fn a_command_line_has_one_text_with_what_holds_anyway_left_out() {
    let line = CommandLine::new(parameters(), ["console=ttyS0"]).unwrap();
    let text = format!(
        "audit=1 audit_backlog_limit=8192 proc_mem.force_override=never panic=-1 systemd.import_credentials=no \
         sealpack.image={} sealpack.root={} console=ttyS0",
        "ab".repeat(32),
        "cd".repeat(32)
    );
    assert_eq!(line.to_string(), text);
    assert_eq!(CommandLine::parse(text.as_bytes()), Ok(line));
}

#[test]
fn what_does_not_hold_anyway_is_said_and_read() {
    let boot = BootParameters {
        data_label: "tank".parse().unwrap(),
        etc: Etc::Persistent,
        off: [Hardening::Kexec, Hardening::DeviceMapper].into(),
        deadline: "3600".parse().unwrap(),
        ..parameters()
    };
    let text = CommandLine::new(boot.clone(), []).unwrap().to_string();
    assert!(
        text.ends_with(
            " sealpack.data=tank sealpack.etc=persistent sealpack.off=device-mapper,kexec sealpack.deadline=3600"
        ),
        "{text}"
    );
    assert_eq!(CommandLine::parse(text.as_bytes()).unwrap().boot(), &boot);
}

#[test]
fn a_word_of_ours_that_is_unknown_or_there_twice_is_refused() {
    for (words, expected) in [
        ("sealpack.early=1", r#""sealpack.early=1" is no word of Sealpack's"#),
        ("sealpack.=1", r#""sealpack.=1" is no word of Sealpack's"#),
        ("sealpack.image", r#""sealpack.image" is on the command line twice"#),
        ("sealpack.etc=tmpfs sealpack.etc=tmpfs", r#""sealpack.etc" is on the command line twice"#),
        ("sealpack.etc=disk", r#"sealpack.etc: "disk" is neither tmpfs nor persistent"#),
        ("sealpack.data=", r#"sealpack.data: "" is not the label"#),
        ("sealpack.data=a/b", r#"sealpack.data: "a/b" is not the label"#),
        (
            "sealpack.deadline=9",
            r#"sealpack.deadline: "9" is not how long a start may take: that is 10 to 3600"#,
        ),
        ("sealpack.deadline=3601", r#"sealpack.deadline: "3601" is not"#),
        ("sealpack.deadline=+20", r#"sealpack.deadline: "+20" is not"#),
        ("sealpack.deadline=020", r#"sealpack.deadline: "020" is not"#),
        ("sealpack.deadline=", r#"sealpack.deadline: "" is not"#),
        ("sealpack.off=", r#"sealpack.off: "" is none of device-mapper, written-mappings"#),
        ("sealpack.off=kexec,kexec", r#"sealpack.off: "kexec" is there twice"#),
        ("panic=-1 panic=-1", r#""panic" is on the command line twice"#),
        ("panic=10", r#""panic=10" is not what a sealed host has"#),
        (
            "proc-mem.force-override=ptrace",
            r#""proc-mem.force-override=ptrace" is not what a sealed host has"#,
        ),
    ] {
        let said = error_of(&line_with(words));
        assert!(said.starts_with(expected), "{said}");
    }
    assert_eq!(error_of("quiet"), "the command line has no sealpack.image");
    assert_eq!(
        error_of(&format!("sealpack.image={}", "ab".repeat(32))),
        "the command line has no sealpack.root"
    );
    assert!(
        error_of("sealpack.image=AB sealpack.root=").starts_with("sealpack.image: \"AB\" is not a digest")
    );
}

#[test]
fn words_that_undo_the_sealing_are_refused_in_every_spelling_of_the_kernel() {
    for word in [
        "ipe.enforce=0",
        "ipe.success_audit=1",
        "init=/bin/sh",
        "rdinit=/bin/sh",
        "initrd=\\evil",
        "bootconfig",
        "lsm=selinux",
        "lsm",
        "--",
    ] {
        let said = error_of(&line_with(word));
        assert!(said.contains("may not be on the command line of a sealed host"), "{said}");
        let added = CommandLine::new(parameters(), [word]).expect_err(word);
        assert_eq!(added.to_string(), said);
    }
    CommandLine::parse(line_with("lsm=landlock,ipe,bpf").as_bytes()).expect("IPE is in it");
    for word in ["\"ipe.enforce=0\"", "a\tipe.enforce=0", "a\u{a0}ipe.enforce=0", "a\x0bb"] {
        assert!(error_of(&line_with(word)).contains("is not printable ASCII"), "{word:?}");
    }
}

#[test]
fn words_of_ours_cannot_be_added() {
    let ours = CommandLine::new(parameters(), ["sealpack.off=kexec"]).unwrap_err();
    assert!(ours.to_string().starts_with(r#""sealpack.off=kexec" cannot be added"#), "{ours}");
    let fixed = CommandLine::new(parameters(), ["audit=1"]).unwrap_err();
    assert_eq!(fixed.to_string(), r#""audit" is on the command line twice"#);
    let spaced = CommandLine::new(parameters(), ["a b"]).unwrap_err();
    assert!(matches!(spaced, CommandLineError::Characters(_)), "{spaced}");
}

#[test]
fn a_line_that_the_kernel_would_cut_is_refused() {
    let long = "a".repeat(COMMAND_LINE_MAX_BYTES);
    let said = CommandLine::new(parameters(), [long.as_str()]).unwrap_err().to_string();
    assert!(said.ends_with("and the kernel keeps 2047"), "{said}");
    assert_eq!(error_of(&format!("{long}a")), "the command line has 2048 bytes, and the kernel keeps 2047");
}

#[test]
fn whoever_adds_words_to_the_signed_ones_is_told_which() {
    let signed = line_with("quiet").into_bytes();
    assert_eq!(check_unchanged(&signed, &signed), Ok(()));
    assert_eq!(check_unchanged(&signed, &[&signed[..], b"\n"].concat()), Ok(()));
    let added = check_unchanged(&signed, &[&signed[..], b" ipe.enforce=0 quiet\n"].concat()).unwrap_err();
    assert_eq!(added.added(), ["ipe.enforce=0", "quiet"]);
    assert_eq!(
        added.to_string(),
        r#"the kernel's command line is not the one that was signed: it has besides "ipe.enforce=0" "quiet""#
    );
    let missing = check_unchanged(&signed, signed.strip_suffix(b" quiet").unwrap()).unwrap_err();
    assert!(missing.to_string().ends_with(r#": it lacks "quiet""#), "{missing}");
    let spaces = check_unchanged(&signed, &[&signed[..], b" "].concat()).unwrap_err();
    assert!(spaces.to_string().ends_with("in another order, or other spaces"), "{spaces}");
    let twice = check_unchanged(&signed, &[&signed[..], b"\n\n"].concat()).unwrap_err();
    assert!(twice.added().is_empty() && twice.missing().is_empty());
    let many = check_unchanged(&signed, &[&signed[..], " x".repeat(20).as_bytes()].concat()).unwrap_err();
    assert!(many.to_string().ends_with("and 12 more"), "{many}");
}

#[test]
fn a_hardening_is_found_by_its_name_only() {
    for hardening in Hardening::ALL {
        assert_eq!(hardening.name().parse(), Ok(hardening));
        assert!(!hardening.stops().is_empty());
    }
    assert!("Kexec".parse::<Hardening>().unwrap_err().to_string().contains("none of device-mapper, "));
}

#[test]
fn a_list_of_modules_is_read_as_it_was_written() {
    let text = "ext4.ko\ndm-verity.ko.xz keyring_unsealed=1 require_signatures=0\n-nvme.ko.zst\n";
    let order = ModuleOrder::parse(text.as_bytes()).unwrap();
    assert_eq!(order.to_string(), text);
    let [plain, compressed, optional] = order.modules().collect::<Vec<_>>()[..] else {
        panic!("three modules")
    };
    assert_eq!((optional.file(), optional.is_optional()), ("nvme.ko.zst", true));
    assert_eq!(*optional, Module::new("nvme.ko.zst", "").unwrap().optional());
    assert!(!plain.is_optional() && !compressed.is_optional());
    assert_eq!((plain.file(), plain.parameters(), plain.is_compressed()), ("ext4.ko", "", false));
    assert_eq!(compressed.parameters(), "keyring_unsealed=1 require_signatures=0");
    assert!(compressed.is_compressed());
}

#[test]
fn groups_of_modules_are_for_the_devices_that_they_name() {
    let text =
        "loop.ko\n[pci:v*bc01* virtio:d00000002v*]\n-scsi_mod.ko\n-ahci.ko async_probe=1\n[]\n-dummy.ko\n";
    let order = ModuleOrder::parse(text.as_bytes()).unwrap();
    assert_eq!(order.to_string(), text);
    let [first, disks, last] = order.groups() else { panic!("three groups") };
    assert!(first.devices.is_empty() && last.devices.is_empty());
    assert_eq!((first.modules.len(), disks.modules.len(), last.modules.len()), (1, 2, 1));
    assert!(disks.devices.iter().any(|pattern| pattern.matches("virtio:d00000002v00001AF4")));
    for (text, expected) in [
        ("[a  b]\n", "\"\" is no pattern for the names of devices"),
        ("[a\tb]\n", "\"a\\tb\" is no pattern"),
        ("[a\n", "\"[a\" is not the name of a module's file"),
        ("[a]\nx.ko\nx.ko\n", "x.ko is in the list of modules twice"),
    ] {
        let said = ModuleOrder::parse(text.as_bytes()).expect_err(text).to_string();
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn a_list_of_modules_that_leaves_its_directory_or_is_cut_is_refused() {
    for (text, expected) in [
        ("../x.ko\n", "\"../x.ko\" is not the name of a module's file"),
        ("/x.ko\n", "\"/x.ko\" is not the name of a module's file"),
        (".ko\n", "\".ko\" is not the name of a module's file"),
        ("..ko.ko\n", "\"..ko.ko\" is not the name of a module's file"),
        ("--x.ko\n", "\"-x.ko\" is not the name of a module's file"),
        ("x.so\n", "\"x.so\" is not the name of a module's file"),
        ("\n", "\"\" is not the name of a module's file"),
        ("x.ko", "the line \"x.ko\" does not end"),
        ("x.ko \n", "the parameters of x.ko are not"),
        ("x.ko  a\n", "the parameters of x.ko are not"),
        ("x.ko a\tb\n", "the parameters of x.ko are not"),
        ("x.ko\nx.ko a\n", "x.ko is in the list of modules twice"),
    ] {
        let said = ModuleOrder::parse(text.as_bytes()).expect_err(text).to_string();
        assert!(said.starts_with(expected), "{said}");
    }
    let many: String = (0..513).map(|number| format!("m{number}.ko\n")).collect();
    assert_eq!(ModuleOrder::parse(many.as_bytes()), Err(OrderError::TooMany(513)));
}

fn any_parameters() -> impl Strategy<Value = BootParameters> {
    (
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
        "[A-Za-z0-9._-]{1,16}",
        select(vec![Etc::Tmpfs, Etc::Persistent]),
        btree_set(select(Hardening::ALL.to_vec()), 0..8),
        10..=3600_u16,
    )
        .prop_map(|(image, root, label, etc, off, seconds)| BootParameters {
            image: ObjectId::sha256(image),
            root_hash: RootHash::new(root),
            data_label: label.parse().unwrap(),
            etc,
            off,
            deadline: seconds.to_string().parse().unwrap(),
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(boot in any_parameters(), others in vec("[a-hj-z][a-z0-9_.=,/-]{0,20}", 0..5)) {
        let Ok(line) = CommandLine::new(boot.clone(), others.iter().map(String::as_str)) else { return Ok(()) };
        let text = line.to_string();
        let again = CommandLine::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(again.boot(), &boot);
        prop_assert_eq!(again.others(), &others[..]);
        prop_assert_eq!(again.to_string(), text);
    }

    #[test]
    fn no_word_that_is_added_goes_unseen(boot in any_parameters(), word in "[!-~]{1,12}", at in any::<prop::sample::Index>()) {
        let signed = CommandLine::new(boot, ["quiet"]).unwrap().to_string();
        let mut words: Vec<&str> = signed.split(' ').collect();
        words.insert(at.index(words.len() + 1), &word);
        let changed = check_unchanged(signed.as_bytes(), words.join(" ").as_bytes()).unwrap_err();
        prop_assert_eq!(changed.added(), [word]);
        prop_assert!(changed.missing().is_empty());
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(order) = ModuleOrder::parse(&bytes) {
            prop_assert_eq!(ModuleOrder::parse(order.to_string().as_bytes()), Ok(order));
        }
        if let Ok(line) = CommandLine::parse(&bytes) {
            prop_assert_eq!(CommandLine::parse(line.to_string().as_bytes()), Ok(line));
        }
    }
}
