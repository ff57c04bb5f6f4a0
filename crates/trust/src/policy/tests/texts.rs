//! What is a policy and what is not, and policies printed.

use proptest::prelude::*;

use super::*;

/// Texts that the kernel takes.
const ACCEPTED: &[(&str, &[u8])] = &[
    ("the shortest", b"policy_name=a policy_version=0.0.0\nDEFAULT action=ALLOW"),
    ("a comment after the header", b"policy_name=a policy_version=7.0.0 # why\nDEFAULT action=ALLOW"),
    ("a comment without a blank", b"policy_name=a policy_version=7.0.0# why\nDEFAULT action=ALLOW#x"),
    ("comments and blank lines first", b"# of the hall\n\n \t\npolicy_name=a policy_version=0.0.0\nDEFAULT action=DENY\n"),
    ("ends of lines of all kinds", b"policy_name=a policy_version=0.0.0\r\nDEFAULT action=ALLOW\r\n\r\n\n"),
    ("carriage returns alone", b"policy_name=a policy_version=0.0.0\rDEFAULT action=ALLOW\r"),
    (
        "blanks everywhere",
        b"  policy_name=a \t policy_version=0.0.0\t\n\tDEFAULT\taction=ALLOW  \n  op=EXECUTE\t\tboot_verified=TRUE  action=DENY\x0b\x0c",
    ),
    ("a no-break space of Latin-1 at the end of a line", b"policy_name=a policy_version=0.0.0\xa0\nDEFAULT action=ALLOW\xa0"),
    ("a default after rules", b"policy_name=a policy_version=0.0.0\nop=KMODULE action=ALLOW\nDEFAULT action=DENY"),
    ("odd characters in the name", b"policy_name=$@!*&^%%\\:;{}()= policy_version=0.0.0\nDEFAULT action=ALLOW"),
    ("a name of Latin-1", b"policy_name=test\xff\xef policy_version=0.0.0\nDEFAULT action=ALLOW"),
    ("numbers with zeros and plus signs", b"policy_name=a policy_version=+01.0065535.00\nDEFAULT action=ALLOW"),
    ("whatever is behind a NUL", b"policy_name=a policy_version=0.0.0\nDEFAULT action=DENY\n\0op=NO\n"),
    (
        "defaults for each operation and none for all",
        b"policy_name=a policy_version=0.0.0\nDEFAULT op=EXECUTE action=DENY\nDEFAULT op=FIRMWARE action=DENY\n\
          DEFAULT op=KMODULE action=DENY\nDEFAULT op=KEXEC_IMAGE action=DENY\nDEFAULT op=KEXEC_INITRAMFS action=DENY\n\
          DEFAULT op=POLICY action=ALLOW\nDEFAULT op=X509_CERT action=ALLOW\n",
    ),
    (
        "every property, capital hex, several in a rule, one twice",
        b"policy_name=a policy_version=0.0.0\nDEFAULT action=ALLOW\nop=EXECUTE boot_verified=TRUE boot_verified=FALSE \
          dmverity_signature=TRUE dmverity_roothash=sha256:AbCd dmverity_signature=FALSE fsverity_signature=TRUE \
          fsverity_signature=FALSE fsverity_digest=sha512:00ff action=DENY",
    ),
    ("a digest of nothing by nothing", b"policy_name=a policy_version=0.0.0\nDEFAULT action=ALLOW\nop=EXECUTE fsverity_digest=: action=DENY"),
];

/// Texts that the kernel refuses, after a first line and a global default where the text does not
/// begin with `!`: the text, the kernel's error, where, and a word of the message.
const REFUSED: &[(&str, &str, (usize, usize), &str)] = &[
    ("!", "EBADMSG", (1, 1), "empty"),
    ("!\n# nothing\n", "EBADMSG", (3, 1), "empty"),
    ("!\0policy_name=a policy_version=0.0.0\nDEFAULT action=ALLOW", "EBADMSG", (1, 1), "empty"),
    ("!DEFAULT action=ALLOW", "EBADMSG", (1, 1), "policy_name="),
    ("!policy_name=a\nDEFAULT action=ALLOW", "EBADMSG", (1, 14), "nothing where `policy_version=`"),
    ("!policy_version=0.0.0 policy_name=a\nDEFAULT action=ALLOW", "EBADMSG", (1, 1), "policy_name="),
    ("!policy_name= policy_version=0.0.0\nDEFAULT action=ALLOW", "EBADMSG", (1, 1), "policy_name="),
    ("!policy_name=apolicy_version=0.0.0\nDEFAULT action=ALLOW", "EBADMSG", (1, 34), "policy_version="),
    ("!policy_name=a policy_version=\nDEFAULT action=ALLOW", "EBADMSG", (1, 15), "policy_version="),
    ("!policy_name=a policy_version=0.0.0 x\nDEFAULT action=ALLOW", "EBADMSG", (1, 36), "too much"),
    ("!policy_name=a/b policy_version=0.0.0\nDEFAULT action=ALLOW", "EACCES", (1, 13), "slash"),
    ("!policy_name=.. policy_version=0.0.0\nDEFAULT action=ALLOW", "EACCES", (1, 13), "'..'"),
    ("!policy_name=a policy_version=-1.0.0\nDEFAULT action=ALLOW", "EINVAL", (1, 30), "`-1`"),
    ("!policy_name=a policy_version=0..0\nDEFAULT action=ALLOW", "EINVAL", (1, 30), "nothing in the version"),
    ("!policy_name=a policy_version=0x1.0.0\nDEFAULT action=ALLOW", "EINVAL", (1, 30), "0x1"),
    ("!policy_name=a policy_version=1.65536.0\nDEFAULT action=ALLOW", "ERANGE", (1, 30), "65535"),
    ("!policy_name=a policy_version=1.0\nDEFAULT action=ALLOW", "EBADMSG", (1, 30), "three numbers"),
    ("!policy_name=a policy_version=1.0.0.0\nDEFAULT action=ALLOW", "EBADMSG", (1, 30), "three numbers"),
    ("!policy_name=a policy_version=0.0.0", "EBADMSG", (1, 1), "EXECUTE, FIRMWARE, KMODULE"),
    (
        "!policy_name=a policy_version=0.0.0\nDEFAULT op=EXECUTE action=DENY\n",
        "EBADMSG",
        (3, 1),
        "of FIRMWARE",
    ),
    ("policy_name=b policy_version=0.0.0", "EBADMSG", (3, 1), "one file is one policy"),
    ("DEFAULT action=DENY", "EBADMSG", (3, 1), "`DEFAULT` line already"),
    (
        "DEFAULT op=EXECUTE action=DENY\nDEFAULT op=EXECUTE action=DENY",
        "EBADMSG",
        (4, 9),
        "`DEFAULT op=EXECUTE` line",
    ),
    ("DEFAULT", "EBADMSG", (3, 1), "action=ALLOW"),
    ("DEFAULT op=EXECUTE", "EBADMSG", (3, 9), "`op=EXECUTE` where `action=ALLOW`"),
    ("DEFAULT DEFAULT action=DENY", "EBADMSG", (3, 9), "`DEFAULT` where"),
    ("DEFAULT op=EXECUTE boot_verified=TRUE action=DENY", "EBADMSG", (3, 20), "no conditions"),
    ("DEFAULT op=EXECUTE action=DEN", "EBADMSG", (3, 20), "`action=DEN`"),
    ("DEFAULT op=EXECUTE action", "EBADMSG", (3, 20), "`action`"),
    ("default op=EXECUTE action=DENY", "EBADMSG", (3, 1), "`default` where"),
    ("op=EXECUTE", "EBADMSG", (3, 1), "nothing where `action=ALLOW`"),
    ("action=DENY", "EBADMSG", (3, 1), "no operation"),
    ("op=EXECUTE action=deny", "EBADMSG", (3, 12), "in capitals"),
    ("op=EXECUTE action=DENY boot_verified=TRUE", "EBADMSG", (3, 12), "`action=DENY` is no property"),
    ("op=execute action=DENY", "EBADMSG", (3, 4), "`execute` is no operation"),
    ("op= action=DENY", "EBADMSG", (3, 4), "nothing is no operation"),
    ("boot_verified=TRUE op=EXECUTE action=DENY", "EBADMSG", (3, 1), "begins with its operation"),
    ("op=EXECUTE op=KMODULE action=DENY", "EBADMSG", (3, 12), "no property"),
    ("  op=EXECUTE dmverity_signature=abc action=DENY", "EBADMSG", (3, 33), "TRUE or FALSE"),
    ("op=EXECUTE dmverity_signature action=DENY", "EBADMSG", (3, 12), "no property"),
    ("op=EXECUTE dmverity_roothash=abcd action=DENY", "EBADMSG", (3, 30), "sha256:HEX"),
    ("op=EXECUTE dmverity_roothash= action=DENY", "EBADMSG", (3, 30), "sha256:HEX"),
    ("op=EXECUTE fsverity_digest=sha256:abc action=DENY", "EINVAL", (3, 28), "even number"),
    ("op=EXECUTE fsverity_digest=sha256:zz action=DENY", "EINVAL", (3, 28), "hex digits"),
    ("op=EXECUTE fsverity_digest=sha256:ab:cd action=DENY", "EINVAL", (3, 28), "hex digits"),
    ("op=EXECUTE boot_verified=TRUE, action=DENY", "EBADMSG", (3, 26), "TRUE or FALSE"),
    ("\x0bop=EXECUTE action=DENY", "EBADMSG", (3, 1), "begins with its operation"),
    ("op=EXECUTE\u{a0}boot_verified=TRUE action=DENY", "EBADMSG", (3, 4), "no operation"),
];

#[test]
fn what_the_kernel_takes_is_taken() {
    for (what, text) in ACCEPTED {
        let policy = Policy::parse(text).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(Policy::parse(policy.to_bytes()).as_ref(), Ok(&policy), "{what}");
    }
}

#[test]
fn what_the_kernel_refuses_is_refused_with_the_place_and_the_kernels_error() {
    for (text, errno, place, word) in REFUSED {
        let whole = match text.strip_prefix('!') {
            Some(whole) => whole.to_owned(),
            None => format!("policy_name=a policy_version=0.0.0\nDEFAULT action=ALLOW\n{text}"),
        };
        let error = Policy::parse(&whole).expect_err(text);
        assert_eq!((error.line, error.column), *place, "{text}: {error}");
        assert_eq!(error.problem.kernel_errno(), *errno, "{text}: {error}");
        assert!(error.to_string().contains(word), "{text}: {error}");
    }
}

#[test]
fn a_name_too_long_for_securityfs_is_refused() {
    let text =
        |length| format!("policy_name={} policy_version=0.0.0\nDEFAULT action=ALLOW", "x".repeat(length));
    assert!(Policy::parse(text(255)).is_ok());
    assert_eq!(Policy::parse(text(256)).unwrap_err().problem.kernel_errno(), "ENAMETOOLONG");
}

#[test]
fn long_words_are_cut_and_control_characters_escaped_in_messages() {
    let error =
        Policy::parse(format!("\x1b[31m{} policy_version=0.0.0", "x".repeat(5000))).unwrap_err().to_string();
    assert!(error.contains("\\x1b[31mxxx") && error.len() < 300, "{error}");
}

#[test]
fn a_policy_is_printed_in_one_form() {
    let text = "# a comment\npolicy_name=sealed\tpolicy_version=00.1.2\n\
                op=EXECUTE  fsverity_digest=sha256:ABCD dmverity_signature=TRUE action=DENY\n\
                DEFAULT op=X509_CERT action=ALLOW\nop=KMODULE action=ALLOW\nDEFAULT op=EXECUTE action=DENY\nDEFAULT action=ALLOW\n";
    assert_eq!(
        Policy::parse(text).unwrap().to_string(),
        "policy_name=sealed policy_version=0.1.2\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n\
         DEFAULT op=X509_CERT action=ALLOW\nop=EXECUTE fsverity_digest=sha256:abcd dmverity_signature=TRUE action=DENY\n\
         op=KMODULE action=ALLOW\n"
    );
}

#[test]
fn what_is_odd_but_accepted_is_remarked() {
    let remarks =
        |rules: &str| -> Vec<String> { policy(rules).remarks().iter().map(ToString::to_string).collect() };
    let sealed = "DEFAULT op=EXECUTE action=DENY\nop=EXECUTE dmverity_signature=TRUE action=ALLOW\n";
    assert_eq!(remarks(sealed), [""; 0]);
    let with = |rule: &str, word: &str| {
        let found = remarks(&format!("{sealed}{rule}"));
        assert!(matches!(&found[..], [one] if one.contains(word)), "{rule}: {found:?}");
    };
    with("op=EXECUTE fsverity_digest=sha256:abcd action=ALLOW", "64 hex digits");
    with(&format!("op=EXECUTE fsverity_digest=SHA256:{} action=ALLOW", hex(1)), "small letters");
    with(&format!("op=EXECUTE fsverity_digest=sha1:{} action=ALLOW", "00".repeat(20)), "sha256 or sha512");
    with("op=EXECUTE dmverity_signature=TRUE boot_verified=FALSE action=DENY", "comes first");
    with("op=EXECUTE boot_verified=TRUE action=ALLOW", "stays writable");
    assert_eq!(
        remarks(&format!("{sealed}op=FIRMWARE dmverity_roothash=sha384:{} action=DENY", "ab".repeat(48))),
        [""; 0]
    );
    assert!(remarks("")[0].contains("may be executed"));
    assert!(remarks("DEFAULT op=EXECUTE action=DENY")[0].contains("nothing at all"));
    let denies = Policy::parse(
        "policy_name=a policy_version=0.0.0\nDEFAULT action=DENY\nop=EXECUTE dmverity_signature=TRUE action=ALLOW",
    );
    assert_eq!(denies.unwrap().remarks(), [Remark::GlobalDeny]);
    assert_eq!(
        Policy::remarks_on_text(b"ab\0cde"),
        [Remark::EndsAtNul { offset_bytes: 2, ignored_bytes: 3 }]
    );
    assert_eq!(Policy::remarks_on_text(&[b'#'; 65_000]), [Remark::TooLong { length_bytes: 65_000 }]);
}

fn words() -> impl Strategy<Value = Word> {
    prop::collection::vec(any::<u8>(), 1..9).prop_filter_map("no word", |bytes| Word::new(&bytes))
}

fn digests() -> impl Strategy<Value = StatedDigest> {
    // A colon ends the algorithm.
    let algorithms = words().prop_filter("a colon", |word| !word.as_bytes().contains(&b':'));
    let algorithms = prop_oneof![Just(Word::new(b"sha256").unwrap()), algorithms];
    (algorithms, prop::collection::vec(any::<u8>(), 0..70))
        .prop_map(|(algorithm, bytes)| StatedDigest { algorithm, bytes: bytes.into() })
}

pub(super) fn properties() -> impl Strategy<Value = Property> {
    prop_oneof![
        any::<bool>().prop_map(Property::BootVerified),
        any::<bool>().prop_map(Property::DmveritySignature),
        any::<bool>().prop_map(Property::FsveritySignature),
        digests().prop_map(Property::DmverityRoothash),
        digests().prop_map(Property::FsverityDigest),
        (0..3u8).prop_map(|byte| Property::DmverityRoothash((&root(byte)).into())),
        (0..3u8).prop_map(|byte| Property::FsverityDigest((&digest(byte)).into())),
    ]
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![Just(Action::Allow), Just(Action::Deny)]
}

pub(super) fn policies() -> impl Strategy<Value = Policy> {
    let operations = || prop::sample::select(&Operation::ALL[..]);
    let rules = (operations(), prop::collection::vec(properties(), 0..3), actions())
        .prop_map(|(operation, properties, action)| Rule { operation, properties, action });
    let names = words().prop_filter_map("no name", |word| PolicyName::new(word.as_bytes()).ok());
    let versions = any::<[u16; 3]>().prop_map(|[major, minor, revision]| Version { major, minor, revision });
    let defaults = prop::collection::vec((operations(), actions()), 0..5);
    (names, versions, actions(), defaults, prop::collection::vec(rules, 0..12)).prop_map(
        |(name, version, default, defaults, rules)| {
            let mut policy = Policy::new(name, version, default);
            defaults
                .into_iter()
                .for_each(|(operation, action)| policy.set_operation_default(operation, action));
            rules.into_iter().for_each(|rule| policy.push(rule));
            policy
        },
    )
}

proptest! {
    #[test]
    fn a_printed_policy_is_read_as_the_same(policy in policies()) {
        prop_assert_eq!(Policy::parse(policy.to_bytes()), Ok(policy));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        _ = Policy::parse(text);
    }

    #[test]
    fn comments_and_blanks_change_nothing(policy in policies(), seed in any::<u64>()) {
        let blanks = [&b" "[..], b"\t", b"  \t "];
        let mut text = Vec::new();
        for (number, line) in policy.to_bytes().split(|byte| *byte == b'\n').enumerate() {
            let pick = (seed >> (number % 60)) as usize;
            text.extend_from_slice(blanks[pick % 3]);
            for word in line.split(|byte| *byte == b' ') {
                text.extend_from_slice(word);
                text.extend_from_slice(blanks[pick % 3]);
            }
            text.extend_from_slice([&b"# x\n"[..], b"\r\n\n", b"\n#\n"][pick % 3]);
        }
        prop_assert_eq!(Policy::parse(text), Ok(policy));
    }
}
