//! What policies decide.

use proptest::prelude::*;

use super::texts::policies;
use super::*;

fn on_device(byte: u8, signed: bool) -> FileFacts {
    FileFacts { dmverity: Some(Dmverity { root_hash: Some(root(byte)), signed }), ..FileFacts::default() }
}

fn with_verity(byte: u8, signed: bool) -> FileFacts {
    FileFacts { fsverity: Some(Fsverity { digest: digest(byte), signed }), ..FileFacts::default() }
}

fn on_initramfs() -> FileFacts {
    FileFacts { boot_verified: true, ..FileFacts::default() }
}

const FINAL: &str = "DEFAULT op=EXECUTE action=DENY\nop=EXECUTE dmverity_signature=TRUE action=ALLOW\n";

#[test]
fn each_property_holds_for_what_the_kernel_takes_it_for() {
    let nothing = FileFacts::default();
    let table = [
        ("boot_verified=TRUE".to_owned(), vec![on_initramfs()], vec![nothing, on_device(1, true)]),
        ("boot_verified=FALSE".to_owned(), vec![nothing, on_device(1, true)], vec![on_initramfs()]),
        ("dmverity_signature=TRUE".to_owned(), vec![on_device(1, true)], vec![on_device(1, false), nothing]),
        ("dmverity_signature=FALSE".to_owned(), vec![on_device(1, false), nothing], vec![on_device(1, true)]),
        (
            format!("dmverity_roothash=sha256:{}", hex(1)),
            vec![on_device(1, true), on_device(1, false)],
            vec![on_device(2, true), nothing, with_verity(1, true)],
        ),
        (format!("dmverity_roothash=sha512:{}", hex(1)), vec![], vec![on_device(1, true)]),
        (
            format!("fsverity_digest=sha256:{}", hex(1).to_uppercase()),
            vec![with_verity(1, false)],
            vec![with_verity(2, true), nothing, on_device(1, true)],
        ),
        (format!("fsverity_digest=SHA256:{}", hex(1)), vec![], vec![with_verity(1, false)]),
        (
            "fsverity_signature=TRUE".to_owned(),
            vec![with_verity(1, true)],
            vec![with_verity(1, false), nothing],
        ),
        (
            "fsverity_signature=FALSE".to_owned(),
            vec![with_verity(1, false), nothing],
            vec![with_verity(1, true)],
        ),
    ];
    for (property, holds, fails) in table {
        let policy = policy(&format!("op=EXECUTE {property} action=DENY"));
        let decides = |facts: &FileFacts| policy.evaluate(Operation::Execute, facts).action;
        for facts in holds {
            assert_eq!(decides(&facts), Action::Deny, "{property} {facts:?}");
        }
        for facts in fails {
            assert_eq!(decides(&facts), Action::Allow, "{property} {facts:?}");
        }
    }
}

#[test]
fn a_decision_tells_its_rule_and_its_reason() {
    let revoking = format!("op=EXECUTE dmverity_roothash=sha256:{} action=DENY\n{FINAL}", hex(9));
    let policy = policy(&format!("{revoking}op=EXECUTE fsverity_digest=sha256:{} action=ALLOW", hex(5)));
    let told = |facts: &FileFacts| {
        let decision = policy.evaluate(Operation::Execute, facts);
        (decision.action, decision.rule_text(), decision.reason().to_owned())
    };
    let expected = |action, rule: &str, reason: &str| (action, rule.to_owned(), reason.to_owned());
    assert_eq!(
        told(&on_device(1, true)),
        expected(
            Action::Allow,
            "op=EXECUTE dmverity_signature=TRUE action=ALLOW",
            "it is on a dm-verity device with an accepted signature"
        )
    );
    assert_eq!(
        told(&on_device(9, true)),
        expected(
            Action::Deny,
            &format!("op=EXECUTE dmverity_roothash=sha256:{} action=DENY", hex(9)),
            "it is on the dm-verity device with this root hash"
        )
    );
    assert_eq!(
        told(&with_verity(6, false)),
        expected(
            Action::Deny,
            "DEFAULT op=EXECUTE action=DENY",
            "no rule matches: it is on no dm-verity device; its fs-verity digest is not the rule's"
        )
    );
    let decision = policy.evaluate(Operation::KernelModule, &FileFacts::default());
    assert_eq!(
        (decision.by, decision.reason()),
        (DecidedBy::GlobalDefault, "no rule is about this operation")
    );
}

#[test]
fn an_unknown_root_hash_matches_no_rule_and_is_said_to_be_unknown() {
    let facts =
        FileFacts { dmverity: Some(Dmverity { root_hash: None, signed: false }), ..FileFacts::default() };
    let policy = policy(&format!("op=EXECUTE dmverity_roothash=sha256:{} action=DENY", hex(0)));
    let decision = policy.evaluate(Operation::Execute, &facts);
    assert_eq!(decision.action, Action::Allow);
    assert!(decision.reason().contains("not known here"));
}

#[test]
fn a_policy_denies_execution_by_default_only_if_nothing_unknown_is_allowed() {
    let denies = |rules: &str| policy(rules).denies_execute_by_default();
    assert!(denies(FINAL));
    assert!(denies("DEFAULT op=EXECUTE action=DENY\nop=EXECUTE boot_verified=TRUE action=ALLOW"));
    assert!(!denies(""));
    assert!(!denies("op=EXECUTE dmverity_signature=FALSE action=DENY"));
    for hole in ["", "dmverity_signature=FALSE ", "boot_verified=FALSE ", "fsverity_signature=FALSE "] {
        assert!(!denies(&format!("{FINAL}op=EXECUTE {hole}action=ALLOW")), "{hole}");
    }
    assert!(denies(&format!("{FINAL}op=KMODULE action=ALLOW")));
    let global = "policy_name=a policy_version=0.0.0\nDEFAULT action=DENY";
    assert!(Policy::parse(global).unwrap().denies_execute_by_default());
}

fn facts() -> impl Strategy<Value = FileFacts> {
    let device = (prop::option::of(0..3u8), any::<bool>())
        .prop_map(|(byte, signed)| Dmverity { root_hash: byte.map(root), signed });
    let verity = (0..3u8, any::<bool>()).prop_map(|(byte, signed)| Fsverity { digest: digest(byte), signed });
    (any::<bool>(), prop::option::of(device), prop::option::of(verity))
        .prop_map(|(boot_verified, dmverity, fsverity)| FileFacts { boot_verified, dmverity, fsverity })
}

proptest! {
    #[test]
    fn the_first_rule_that_matches_decides(policy in policies(), facts in facts(), number in 0..7usize) {
        let operation = Operation::ALL[number];
        let matches = |rule: &&Rule| {
            rule.operation == operation && rule.properties.iter().all(|property| property.holds(&facts))
        };
        let first = policy.rules().iter().find(matches);
        let decision = policy.evaluate(operation, &facts);
        match (first, decision.by) {
            (Some(rule), DecidedBy::Rule(decided)) => prop_assert!(std::ptr::eq(rule, decided)),
            (Some(rule), other) => prop_assert!(false, "{rule} matches, but {other:?} decided"),
            (None, by) => prop_assert!(!matches!(by, DecidedBy::Rule(_))),
        }
        let expected = first.map_or(policy.default_action(operation), |rule| rule.action);
        prop_assert_eq!(decision.action, expected);
    }

    #[test]
    fn rules_behind_a_deciding_one_change_nothing(policy in policies(), facts in facts(), more in policies()) {
        let before = policy.evaluate(Operation::Execute, &facts);
        let mut longer = policy.clone();
        more.rules().iter().cloned().for_each(|rule| longer.push(rule));
        let after = longer.evaluate(Operation::Execute, &facts);
        if matches!(before.by, DecidedBy::Rule(_)) {
            prop_assert_eq!(before, after);
        }
    }
}

/// What a mount may call enforced depends on its own devices, not on the default alone.
#[test]
fn what_is_on_a_device_executes_by_the_first_rule_that_is_about_it() {
    let signed = |byte| Dmverity { root_hash: Some(root(byte)), signed: true };
    let unsigned = |byte| Dmverity { root_hash: Some(root(byte)), signed: false };
    let decided = |rules: &str, device| {
        let text = policy(rules);
        let decision = text.executes_from(device);
        (decision.action, decision.rule_text())
    };
    let deny_one = format!("op=EXECUTE dmverity_roothash=sha256:{} action=DENY", hex(1));
    let allow = "op=EXECUTE dmverity_signature=TRUE action=ALLOW";
    let default = "DEFAULT op=EXECUTE action=DENY";
    let before = format!("{default}\n{deny_one}\n{allow}\n");
    assert_eq!(decided(&before, signed(1)), (Action::Deny, deny_one.clone()));
    assert_eq!(decided(&before, signed(2)), (Action::Allow, allow.to_owned()));
    assert_eq!(decided(&before, unsigned(2)), (Action::Deny, default.to_owned()));
    // Behind the rule that allows, a denial comes too late.
    assert_eq!(decided(&format!("{default}\n{allow}\n{deny_one}\n"), signed(1)).0, Action::Allow);
    // By its root hash a device is allowed whoever signed it, and no other is.
    let by_hash = format!("{default}\nop=EXECUTE dmverity_roothash=sha256:{} action=ALLOW\n", hex(1));
    assert_eq!(decided(&by_hash, unsigned(1)).0, Action::Allow);
    assert_eq!(decided(&by_hash, signed(2)), (Action::Deny, default.to_owned()));
    // The initramfs is not where images are, and rules of other operations say nothing.
    let early = format!("{default}\nop=EXECUTE boot_verified=TRUE action=ALLOW\nop=KMODULE action=ALLOW\n");
    assert_eq!(decided(&early, signed(1)), (Action::Deny, default.to_owned()));
    let not_early = "op=EXECUTE boot_verified=FALSE action=DENY";
    assert_eq!(decided(&format!("{default}\n{not_early}\n{allow}\n"), signed(1)).1, not_early);
    let unsigned_only = format!("{default}\nop=EXECUTE dmverity_signature=FALSE action=ALLOW\n");
    assert_eq!(decided(&unsigned_only, signed(1)).0, Action::Deny);
    let global =
        Policy::parse(b"policy_name=a policy_version=1.0.0\nDEFAULT action=DENY\n").expect("a policy");
    assert_eq!(global.executes_from(signed(1)).rule_text(), "DEFAULT action=DENY");
}
