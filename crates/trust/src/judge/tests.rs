use std::time::Duration;

use sealpack_format::digest::ObjectId;

use super::*;
use crate::anchors::{Revocations, RevokedCertificate, RevokedRootHash, Rules};
use crate::key::{Certificate, FileKey, KeyKind, Validity, generate, self_signed_certificate};
use crate::seal::{SealedMetadata, SealedPack, SealingKeys, SigningPair, StatementContents};
use crate::timestamp::Timestamp;

const NAME: &str = "docker.io/library/debian:12";

fn digest(byte: char) -> BlobDigest {
    format!("sha256:{}", byte.to_string().repeat(64)).parse().expect("a digest")
}

const fn root(byte: u8) -> RootHash {
    RootHash::new([byte; 32])
}

struct TestSigner {
    key: FileKey,
    certificate: Certificate,
}

fn signer(name: &str) -> TestSigner {
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(3600)).expect("an hour");
    let made = generate(KeyKind::P256, &name.parse().expect("a name"), &validity).expect("a key");
    TestSigner {
        key: FileKey::parse(made.key_pem.as_bytes()).expect("a key"),
        certificate: Certificate::parse(made.certificate_pem.as_bytes()).expect("a certificate"),
    }
}

fn contents(epoch: u64) -> StatementContents {
    let layers = vec![format!("sha256:{}", "1".repeat(64)).parse().expect("a digest")];
    StatementContents {
        created: Timestamp::from_unix_seconds(1_795_804_495).expect("a time"),
        epoch,
        manifest: digest('a'),
        platform: "linux/amd64".into(),
        metadata: vec![SealedMetadata {
            id: ObjectId::sha256([9; 32]),
            size_bytes: 4096,
            root_hash: root(1),
        }],
        names: vec![NAME.parse().expect("a name")],
        packs: vec![SealedPack { layers, size_bytes: 8192, root_hash: root(2) }],
    }
}

fn seal(contents: StatementContents, by: &TestSigner) -> Seal {
    let pair = SigningPair { signer: &by.key, certificate: &by.certificate };
    let statement = Statement::new(contents).expect("a statement");
    Seal::sign(statement, &SealingKeys { packs: pair, statement: pair }).expect("a seal")
}

/// A trust store with these certificates for packs and statements.
fn anchors(signers: &[(&str, &TestSigner)], revoked: &str, rules: &str) -> Anchors {
    let revoked = Revocations::parse(revoked.as_bytes()).expect("revocations");
    let mut anchors = Anchors::new(revoked, Rules::parse(rules.as_bytes()).expect("rules"));
    for (name, signer) in signers {
        for of in [Use::Packs, Use::Statements] {
            anchors.add(of, name.parse().expect("a name"), signer.certificate.clone()).expect("new");
        }
    }
    anchors
}

/// The image that the seals here are about, under a name.
struct Asked {
    name: Reference,
    manifest: BlobDigest,
}

impl Asked {
    fn new(name: &str) -> Self {
        Self { name: name.parse().expect("a name"), manifest: digest('a') }
    }

    fn question(&self) -> Question<'_> {
        Question {
            name: &self.name,
            manifest: &self.manifest,
            index: None,
            platform: "linux/amd64",
            now: SystemTime::now(),
            remembered: BTreeMap::new(),
            given: None,
            allow_rollback: false,
            require: Requirement::Allow,
        }
    }
}

fn failures(seal: &Seal, anchors: &Anchors, question: &Question<'_>) -> Vec<String> {
    judge(seal, anchors, question).failures.iter().map(ToString::to_string).collect()
}

/// Judged for its own image and name.
fn simply(seal: &Seal, anchors: &Anchors) -> Vec<String> {
    failures(seal, anchors, &Asked::new(NAME).question())
}

fn candidate(label: &str, seal: Seal) -> Candidate {
    Candidate { label: label.into(), seal: Ok(seal) }
}

#[test]
fn a_seal_for_this_image_and_name_by_somebody_trusted_is_acceptable() {
    let one = signer("one");
    let verdict =
        judge(&seal(contents(7), &one), &anchors(&[("site", &one)], "", ""), &Asked::new(NAME).question());
    assert!(verdict.is_acceptable(), "{:?}", verdict.failures);
    assert_eq!((verdict.name.map(|name| name.to_string()).as_deref(), verdict.epoch), (Some(NAME), 7));
    let site = vec!["site".parse::<AnchorName>().expect("a name")];
    assert_eq!(verdict.statement_signers, site);
    assert_eq!(verdict.root_hash_signers, [(root(1), site.clone()), (root(2), site)]);
}

#[test]
fn a_seal_for_another_image_platform_name_or_repository_is_refused() {
    let one = signer("one");
    let (seal, anchors) = (seal(contents(7), &one), anchors(&[("one", &one)], "", ""));
    let asked = Asked { manifest: digest('b'), ..Asked::new(NAME) };
    let said = failures(&seal, &anchors, &asked.question());
    assert_eq!(said, [format!("it is the seal of the image {}, not of {}", digest('a'), digest('b'))]);
    let asked = Asked::new(NAME);
    let said = failures(&seal, &anchors, &Question { platform: "linux/arm64/v8", ..asked.question() });
    assert_eq!(said, ["it is the seal of an image for linux/amd64, not for linux/arm64/v8"]);
    let said = failures(&seal, &anchors, &Asked::new("docker.io/library/debian:13").question());
    assert_eq!(
        said,
        [format!(
            "it may be used for {NAME}, not for docker.io/library/debian:13, another tag of the same repository"
        )]
    );
    let said = failures(&seal, &anchors, &Asked::new("evil.example/library/debian:12").question());
    assert_eq!(said, [format!("it may be used for {NAME}, not for evil.example/library/debian:12")]);
}

#[test]
fn by_digest_the_repository_of_a_name_is_enough() {
    let one = signer("one");
    let (seal, anchors) = (seal(contents(7), &one), anchors(&[("one", &one)], "", ""));
    let by_digest = |repository: &str| {
        let asked = Asked::new(&format!("{repository}@{}", digest('a')));
        let remembered = BTreeMap::from([(NAME.parse().expect("a name"), Remembered::epoch(100))]);
        failures(&seal, &anchors, &Question { remembered, ..asked.question() })
    };
    // Nor does it matter what the name meant before.
    assert!(by_digest("docker.io/library/debian").is_empty());
    assert!(by_digest(NAME).is_empty());
    assert!(by_digest("docker.io/library/debian:13")[0].contains("another tag of the same repository"));
    assert!(by_digest("docker.io/library/ubuntu")[0].contains("not for docker.io/library/ubuntu@sha256"));
}

#[test]
fn a_mirror_may_use_the_seal_of_what_it_mirrors() {
    let one = signer("one");
    let anchors = anchors(&[("one", &one)], "", "[mirrors]\n\"mirror.lan/hub\" = \"docker.io\"\n");
    let seal = seal(contents(7), &one);
    let asked = Asked::new("mirror.lan/hub/library/debian:12");
    let verdict = judge(&seal, &anchors, &asked.question());
    assert!(verdict.is_acceptable(), "{:?}", verdict.failures);
    assert_eq!(verdict.name.map(|name| name.to_string()).as_deref(), Some(NAME));
    let remembered = BTreeMap::from([(NAME.parse().expect("a name"), Remembered::epoch(8))]);
    let said = failures(&seal, &anchors, &Question { remembered, ..asked.question() });
    assert!(said[0].contains("docker.io/library/debian:12 was already seen with 8"), "{said:?}");
    assert!(
        !failures(&seal, &anchors, &Asked::new("mirror.lan/hubs/library/debian:12").question()).is_empty()
    );
}

#[test]
fn by_a_mirror_no_older_seal_comes_under_another_of_its_names() {
    let one = signer("one");
    let anchors = anchors(&[("one", &one)], "", "[mirrors]\n\"mirror.lan/hub\" = \"docker.io\"\n");
    let (mirror, hub) = ("mirror.lan/hub/library/debian:12", NAME);
    for (names, seen) in [(vec![mirror, hub], hub), (vec![mirror], hub), (vec![hub], mirror)] {
        let names = names.iter().map(|name| name.parse().expect("a name")).collect();
        let older = seal(StatementContents { names, ..contents(7) }, &one);
        let asked = Asked::new(mirror);
        let remembered = BTreeMap::from([(seen.parse().expect("a name"), Remembered::epoch(8))]);
        let said = failures(&older, &anchors, &Question { remembered, ..asked.question() });
        assert!(said.len() == 1 && said[0].contains(&format!("{seen} was already seen with 8")), "{said:?}");
    }
}

/// Otherwise whoever signs for anything raises the epochs of all names that a mirror has, as far as epochs go.
#[test]
fn by_a_mirror_a_seal_counts_only_where_it_counts_for_the_mirrored_name() {
    let (one, other) = (signer("one"), signer("other"));
    let rules = "[[namespace]]\nprefix = \"docker.io\"\nrequire = \"sealed\"\nsigned_by = [\"one\"]\n\
                 minimum_epoch = 7\n[mirrors]\n\"mirror.lan/hub\" = \"docker.io\"\n";
    let anchors = anchors(&[("one", &one), ("other", &other)], "", rules);
    let asked = Asked::new("mirror.lan/hub/library/debian:12");
    assert!(failures(&seal(contents(7), &one), &anchors, &asked.question()).is_empty());
    let said = failures(&seal(contents(9), &other), &anchors, &asked.question());
    assert_eq!(
        said,
        ["the statement is signed by other, but the rule for docker.io wants the signature of one"]
    );
    let said = failures(&seal(contents(6), &one), &anchors, &asked.question());
    assert_eq!(said, ["its epoch is 6, but the rule for docker.io wants 7 at least"]);
}

#[test]
fn signatures_by_nobody_known_do_not_count() {
    let (one, two) = (signer("one"), signer("two"));
    let said = simply(&seal(contents(7), &one), &anchors(&[("two", &two)], "", ""));
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].starts_with(
            "the statement is not signed by any certificate that the trust store has for statements"
        ),
        "{said:?}"
    );
    assert!(said[0].contains("CN=one"), "{said:?}");
    assert!(said[2].starts_with(&format!("root hash {} is not signed by any", root(2))), "{said:?}");
    // A certificate for one of the two is none for the other.
    let mut only_packs = anchors(&[], "", "");
    only_packs.add(Use::Packs, "one".parse().expect("a name"), one.certificate.clone()).expect("new");
    only_packs.add(Use::Policies, "one".parse().expect("a name"), one.certificate.clone()).expect("new");
    let said = simply(&seal(contents(7), &one), &only_packs);
    assert!(said.len() == 1 && said[0].starts_with("the statement is not signed by"), "{said:?}");
}

#[test]
fn the_signatures_of_others_do_no_harm() {
    let (one, two) = (signer("one"), signer("two"));
    let mut both = seal(contents(7), &one);
    let pair = SigningPair { signer: &two.key, certificate: &two.certificate };
    both.add_signatures(&SealingKeys { packs: pair, statement: pair }).expect("another signer");
    both.attach([(Signed::Statement, b"no PKCS#7".to_vec())]).expect("something else");
    for known in [("one", &one), ("two", &two)] {
        assert!(simply(&both, &anchors(&[known], "", "")).is_empty());
    }
}

#[test]
fn a_statement_with_one_byte_changed_is_not_what_was_signed() {
    let one = signer("one");
    let anchors = anchors(&[("one", &one)], "", "");
    let good = seal(contents(7), &one);
    let (mut refused, mut judged) = (0, 0);
    for place in 0..good.statement().bytes().len() {
        let mut bytes = good.statement().bytes().to_vec();
        bytes[place] ^= 1;
        match Seal::from_parts(&bytes, &good.bundle()) {
            Err(_) => refused += 1,
            Ok(changed) => {
                judged += 1;
                let said = simply(&changed, &anchors);
                assert!(
                    said.iter().any(|failure| failure.starts_with("a signature of the statement is bad: ")),
                    "byte {place}: {said:?}"
                );
            }
        }
    }
    assert!(refused > 100 && judged > 50, "{refused} and {judged}");
}

#[test]
fn a_signature_swapped_with_anothers_is_bad_by_name() {
    let one = signer("one");
    let good = seal(contents(7), &one);
    let of = |signed| good.signatures_of(signed)[0].clone();
    let (first, second) = (Signed::RootHash(root(1)), Signed::RootHash(root(2)));
    let swapped = [(Signed::Statement, of(Signed::Statement)), (first, of(second)), (second, of(first))];
    let swapped = Seal::assemble(good.statement().clone(), swapped).expect("a seal");
    let said = simply(&swapped, &anchors(&[("one", &one)], "", ""));
    assert_eq!(said.len(), 2, "{said:?}");
    for (failure, hash) in said.iter().zip([root(1), root(2)]) {
        let start = format!("a signature of root hash {hash} is bad: the signature is not one of \"CN=one\"");
        assert!(failure.starts_with(&start), "{failure}");
    }
    // Those of another seal by the same signer are no better.
    let other = seal(contents(8), &one);
    let mixed = Seal::from_parts(good.statement().bytes(), &other.bundle()).expect("a seal");
    let said = simply(&mixed, &anchors(&[("one", &one)], "", ""));
    assert!(said.len() == 1 && said[0].starts_with("a signature of the statement is bad"), "{said:?}");
}

#[test]
fn who_is_revoked_or_expired_or_for_something_else_does_not_count_any_more() {
    let (one, two) = (signer("one"), signer("two"));
    let when = Timestamp::from_unix_seconds(0).expect("a time");
    let revoked = RevokedCertificate::to_toml(&one.certificate, None, Some("the key was stolen"), when);
    let mut seal = seal(contents(7), &one);
    let known = anchors(&[("one", &one), ("two", &two)], &revoked, "");
    let said = simply(&seal, &known);
    assert_eq!(said.len(), 3);
    assert_eq!(said[0], "the statement is signed by one, whose certificate is revoked: the key was stolen");
    let asked = Asked::new(NAME);
    let question = Question { now: SystemTime::now() + Duration::from_secs(4000), ..asked.question() };
    let said = failures(&seal, &anchors(&[("one", &one)], "", ""), &question);
    assert!(
        said[0].starts_with("the statement is signed by one, whose certificate is expired since"),
        "{said:?}"
    );
    // While a key is replaced, both have signed.
    let pair = SigningPair { signer: &two.key, certificate: &two.certificate };
    seal.add_signatures(&SealingKeys { packs: pair, statement: pair }).expect("another signer");
    let verdict = judge(&seal, &known, &asked.question());
    assert!(verdict.is_acceptable(), "{:?}", verdict.failures);
    assert_eq!(verdict.statement_signers, ["two".parse().expect("a name")]);
}

#[test]
fn a_second_certificate_of_a_revoked_key_signs_neither_statements_nor_root_hashes() {
    let one = signer("one");
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(3600)).expect("an hour");
    let again = self_signed_certificate(&one.key, &"again".parse().expect("a name"), &validity);
    let certificate = Certificate::parse(&again.expect("a certificate")).expect("a certificate");
    let revoked = &one.certificate;
    let when = Timestamp::from_unix_seconds(0).expect("a time");
    let revoked = RevokedCertificate::to_toml(revoked, Some("one"), Some("stolen"), when);
    let again = TestSigner { key: one.key, certificate };
    let said = simply(&seal(contents(7), &again), &anchors(&[("again", &again)], &revoked, ""));
    let why = "whose certificate is revoked with its key, which is that of one: stolen";
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[0], format!("the statement is signed by again, {why}"));
    assert_eq!(said[1], format!("root hash {} is signed by again, {why}", root(1)));
}

#[test]
fn a_revoked_root_hash_is_refused_whoever_signed_it() {
    let one = signer("one");
    let when = Timestamp::from_unix_seconds(0).expect("a time");
    let revoked = RevokedRootHash::to_toml(&root(2), Some(NAME), Some("CVE-2026-1"), when);
    let said = simply(&seal(contents(7), &one), &anchors(&[("one", &one)], &revoked, ""));
    assert_eq!(said, [format!("root hash {} of {NAME} is revoked: CVE-2026-1", root(2))]);
}

#[test]
fn signers_outside_the_policy_are_named_and_so_is_who_is_missing() {
    let (one, two) = (signer("one"), signer("two"));
    let known = [("publisher", &one), ("site", &two)];
    let rule = |more: &str| format!("[[namespace]]\nprefix = \"docker.io\"\nrequire = \"sealed\"\n{more}\n");
    let by_site = seal(contents(7), &two);
    let said = simply(&by_site, &anchors(&known, "", &rule("signed_by = [\"publisher\"]")));
    assert_eq!(
        said,
        ["the statement is signed by site, but the rule for docker.io wants the signature of publisher"]
    );
    let either = rule("signed_by = [\"publisher\", \"site\"]");
    assert!(simply(&by_site, &anchors(&known, "", &either)).is_empty());
    let all = rule("signed_by = [\"publisher\", \"site\"]\nall = true");
    let said = simply(&by_site, &anchors(&known, "", &all));
    assert!(said[0].ends_with("wants the signature of publisher"), "{said:?}");
    let said = simply(&by_site, &anchors(&known[1..], "", &all));
    assert!(
        said[0].ends_with("; the trust store has no certificate called publisher for statements"),
        "{said:?}"
    );
    let mut both = by_site.clone();
    let pair = SigningPair { signer: &one.key, certificate: &one.certificate };
    both.add_signatures(&SealingKeys { packs: pair, statement: pair }).expect("another signer");
    assert!(simply(&both, &anchors(&known, "", &all)).is_empty());
}

#[test]
fn an_epoch_below_the_rules_or_what_was_seen_before_is_refused() {
    let one = signer("one");
    let rules = "[[namespace]]\nprefix = \"docker.io\"\nrequire = \"allow\"\nminimum_epoch = 8\n";
    let said = simply(&seal(contents(7), &one), &anchors(&[("one", &one)], "", rules));
    assert_eq!(said, ["its epoch is 7, but the rule for docker.io wants 8 at least"]);
    let known = anchors(&[("one", &one)], "", "");
    let asked = Asked::new(NAME);
    let seen = |epoch| Question {
        remembered: BTreeMap::from([(NAME.parse().expect("a name"), Remembered::epoch(epoch))]),
        ..asked.question()
    };
    let said = failures(&seal(contents(7), &one), &known, &seen(8));
    assert_eq!(said, [format!("its epoch is 7, but {NAME} was already seen with 8: this is an older image")]);
    assert!(failures(&seal(contents(8), &one), &known, &seen(8)).is_empty());
    let on_purpose = Question { allow_rollback: true, ..seen(8) };
    assert!(failures(&seal(contents(7), &one), &known, &on_purpose).is_empty());
}

#[test]
fn another_image_of_the_epoch_that_was_seen_is_refused_unless_it_was_sealed_later() {
    let one = signer("one");
    let known = anchors(&[("one", &one)], "", "");
    let asked = Asked::new(NAME);
    let created = contents(8).created.unix_seconds();
    let failures = |image: char, seen: u64, created_before: u64, allow_rollback: bool| {
        let remembered = Remembered { epoch: seen, image: Some((digest(image), created_before)) };
        let remembered = BTreeMap::from([(NAME.parse().expect("a name"), remembered)]);
        failures(
            &seal(contents(8), &one),
            &known,
            &Question { remembered, allow_rollback, ..asked.question() },
        )
    };
    let same = "its epoch is 8, with which docker.io/library/debian:12 was already seen as sha256:bbbb";
    for created_before in [created, created + 1] {
        let said = failures('b', 8, created_before, false);
        assert!(said.len() == 1 && said[0].starts_with(same), "{said:?}");
        assert_eq!(failures('b', 8, created_before, true), [""; 0]);
    }
    assert_eq!(failures('b', 8, created - 1, false), [""; 0]);
    // The same image, and a lower epoch.
    assert_eq!(failures('a', 8, created + 1, false), [""; 0]);
    assert_eq!(failures('b', 7, created + 1, false), [""; 0]);
}

#[test]
fn a_name_that_is_given_needs_a_seal_that_is_no_older_for_whatever_name() {
    let one = signer("one");
    let known = anchors(&[("one", &one)], "", "");
    let given =
        |epoch| Some(("docker.io/prod/app:current".parse().expect("a name"), Remembered::epoch(epoch)));
    let seals = [candidate("a", seal(contents(8), &one))];
    // By digest as well: what the name means here is not in it.
    for name in [NAME.to_owned(), format!("{NAME}@{}", digest('a'))] {
        let asked = Asked::new(&name);
        let question = |epoch| Question { given: given(epoch), ..asked.question() };
        assert!(matches!(choose(&seals, &known, &question(8)), Ok(Choice::Sealed(_))));
        for seals in [&seals[..], &[]] {
            let error = choose(seals, &known, &question(9)).expect_err("older").to_string();
            assert!(
                error.starts_with("docker.io/prod/app:current was sealed before, with epoch 9, but"),
                "{error}"
            );
        }
        let on_purpose = Question { allow_rollback: true, ..question(9) };
        assert!(matches!(choose(&[], &known, &on_purpose), Ok(Choice::Unsealed(_))));
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let (one, two) = (signer("one"), signer("two"));
    let asked = Asked { manifest: digest('b'), ..Asked::new("docker.io/library/debian:13") };
    let question = Question { platform: "linux/arm64", ..asked.question() };
    let said = failures(&seal(contents(7), &one), &anchors(&[("two", &two)], "", ""), &question);
    assert_eq!(said.len(), 6, "{said:?}");
}

#[test]
fn of_several_acceptable_seals_the_latest_is_used_and_the_others_are_explained() {
    let (one, two) = (signer("one"), signer("two"));
    let known = anchors(&[("one", &one)], "", "");
    let later = StatementContents {
        created: Timestamp::from_unix_seconds(1_795_804_496).expect("a time"),
        ..contents(8)
    };
    let candidates = vec![
        candidate("a", seal(contents(7), &one)),
        candidate("b", seal(contents(8), &one)),
        candidate("c", seal(later, &one)),
        candidate("d", seal(contents(9), &two)),
        Candidate { label: "e".into(), seal: Err("it is no seal".into()) },
    ];
    let asked = Asked::new(NAME);
    let Choice::Sealed(chosen) = choose(&candidates, &known, &asked.question()).expect("it may be used")
    else {
        panic!("there is a seal");
    };
    assert_eq!((chosen.label.as_str(), chosen.verdict.epoch), ("c", 8));
    assert_eq!(chosen.remember, Some((NAME.parse().expect("a name"), 8)));
    let [foreign, none] = &chosen.passed_over[..] else { panic!("{:?}", chosen.passed_over) };
    assert!(foreign.to_string().starts_with("the seal d is not used: the statement is not signed by any"));
    assert_eq!(none.to_string(), "the seal e is not used: it is no seal");
}

#[test]
fn of_the_same_statement_the_seal_with_more_signatures_is_used_whatever_the_order() {
    let (one, two) = (signer("one"), signer("two"));
    let by_one = seal(contents(7), &one);
    let mut by_both = by_one.clone();
    let pair = SigningPair { signer: &two.key, certificate: &two.certificate };
    by_both.add_signatures(&SealingKeys { packs: pair, statement: pair }).expect("room");
    let asked = Asked::new(NAME);
    for known in [anchors(&[("one", &one), ("two", &two)], "", ""), anchors(&[("one", &one)], "", "")] {
        let both = || candidate("both", by_both.clone());
        let one = || candidate("one", by_one.clone());
        for candidates in [vec![one(), both()], vec![both(), one()]] {
            let choice = choose(&candidates, &known, &asked.question());
            assert!(matches!(choice, Ok(Choice::Sealed(chosen)) if chosen.label == "both"));
        }
    }
}

#[test]
fn without_an_acceptable_seal_the_rules_decide() {
    let (one, two) = (signer("one"), signer("two"));
    let asked = Asked::new(NAME);
    let foreign = || vec![candidate("a", seal(contents(7), &two))];
    let choice = choose(&foreign(), &anchors(&[("one", &one)], "", ""), &asked.question());
    assert!(matches!(choice, Ok(Choice::Unsealed(remarks)) if remarks.len() == 1));
    let required = Question { require: Requirement::Sealed, ..asked.question() };
    let error = choose(&[], &anchors(&[], "", ""), &required).expect_err("required").to_string();
    assert_eq!(error, format!("{NAME} must be sealed (it is required now), but it has no seal"));
    let rules = "[[namespace]]\nprefix = \"docker.io/library\"\nrequire = \"sealed\"\n";
    let error = choose(&foreign(), &anchors(&[("one", &one)], "", rules), &asked.question());
    let error = error.expect_err("required").to_string();
    let start = format!(
        "{NAME} must be sealed (the rule for docker.io/library says so), but the seal a is not used: "
    );
    assert!(error.starts_with(&start), "{error}");
    let error = choose(&[], &anchors(&[], "", "default = \"sealed\""), &asked.question());
    assert!(error.expect_err("required").to_string().contains("(the default of the rules says so)"));
    let refuse = anchors(&[("two", &two)], "", "default = \"refuse\"");
    let error = choose(&foreign(), &refuse, &asked.question()).expect_err("refused").to_string();
    assert_eq!(error, format!("{NAME} must not be pulled: the default of the rules refuses it"));
}

#[test]
fn a_seal_that_was_taken_away_is_a_rollback() {
    let one = signer("one");
    let known = anchors(&[("one", &one)], "", "");
    let asked = Asked::new(NAME);
    let seen = Question {
        remembered: BTreeMap::from([(NAME.parse().expect("a name"), Remembered::epoch(8))]),
        ..asked.question()
    };
    let error = choose(&[], &known, &seen).expect_err("a rollback").to_string();
    assert_eq!(
        error,
        format!("{NAME} was sealed before, with epoch 8, but it has no seal: that would be a rollback")
    );
    let error = choose(&[candidate("a", seal(contents(7), &one))], &known, &seen);
    assert!(matches!(error, Err(Refusal::Stripped { epoch: 8, .. })));
    let on_purpose = Question { allow_rollback: true, ..seen.clone() };
    assert!(matches!(choose(&[], &known, &on_purpose), Ok(Choice::Unsealed(_))));
    let Ok(Choice::Sealed(chosen)) = choose(&[candidate("a", seal(contents(7), &one))], &known, &on_purpose)
    else {
        panic!("on purpose");
    };
    assert_eq!(chosen.remember, None);
    let by_digest = Asked::new(&format!("{NAME}@{}", digest('a')));
    let question = Question { name: &by_digest.name, ..seen };
    assert!(matches!(choose(&[], &known, &question), Ok(Choice::Unsealed(_))));
}

#[test]
fn a_pinned_name_means_one_image_or_index() {
    let pin = |byte| format!("[[pin]]\nname = \"{NAME}\"\ndigest = \"{}\"\n", digest(byte));
    let asked = Asked::new(NAME);
    let index = digest('c');
    let question = Question { index: Some(&index), ..asked.question() };
    for byte in ['a', 'c'] {
        assert!(choose(&[], &anchors(&[], "", &pin(byte)), &question).is_ok());
    }
    let error = choose(&[], &anchors(&[], "", &pin('d')), &question).expect_err("another").to_string();
    let (pinned, manifest) = (digest('d'), digest('a'));
    assert_eq!(error, format!("{NAME} is pinned to {pinned}, but is {manifest}, from {index}, here"));
    let mirrored = Asked::new("mirror.lan/hub/library/debian:12");
    let rules = format!("{}[mirrors]\n\"mirror.lan/hub\" = \"docker.io\"\n", pin('d'));
    let choice = choose(&[], &anchors(&[], "", &rules), &mirrored.question());
    assert!(matches!(choice, Err(Refusal::Pinned { .. })));
}

#[test]
fn a_hostile_seal_with_hundreds_of_reasons_does_not_fill_the_screen() {
    let (one, two) = (signer("one"), signer("two"));
    let mut contents = contents(7);
    contents.packs = (2..=201)
        .map(|number| SealedPack {
            layers: vec![format!("sha256:{number:064x}").parse().expect("a digest")],
            size_bytes: 8192,
            root_hash: root(number),
        })
        .collect();
    let required = Asked::new(NAME);
    let question = Question { require: Requirement::Sealed, ..required.question() };
    let candidates = vec![candidate("a", seal(contents, &one))];
    let error = choose(&candidates, &anchors(&[("two", &two)], "", ""), &question).expect_err("required");
    let error = error.to_string();
    assert!(error.ends_with(" (so it is with 200 more root hashes)") && error.len() < 2000, "{error}");
    let revoked = |number: u8| format!("[[root_hash]]\nroot_hash = \"{}\"\n", root(number));
    let revoked: String = (2..=201).map(revoked).collect();
    let error =
        choose(&candidates, &anchors(&[("one", &one)], &revoked, ""), &question).expect_err("required");
    let error = error.to_string();
    assert!(error.ends_with("; and 196 more reasons") && error.len() < 2000, "{error}");
}
