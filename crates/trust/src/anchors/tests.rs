use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealpack_format::digest::RootHash;
use sealpack_format::reference::Reference;

use super::*;
use crate::key::{FileKey, KeyKind, Validity, generate, self_signed_certificate};
use crate::timestamp::Timestamp;

fn certificate(name: &str) -> Certificate {
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(3600)).expect("an hour");
    let made = generate(KeyKind::P256, &name.parse().expect("a name"), &validity).expect("a key");
    Certificate::parse(made.certificate_pem.as_bytes()).expect("a certificate")
}

/// Two certificates of one key.
fn of_one_key() -> [Certificate; 2] {
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(3600)).expect("an hour");
    let made = generate(KeyKind::P256, &"one".parse().expect("a name"), &validity).expect("a key");
    let key = FileKey::parse(made.key_pem.as_bytes()).expect("a key");
    let again =
        self_signed_certificate(&key, &"again".parse().expect("a name"), &validity).expect("a certificate");
    [made.certificate_pem.as_bytes(), &again].map(|bytes| Certificate::parse(bytes).expect("a certificate"))
}

fn name(text: &str) -> AnchorName {
    text.parse().expect("a name")
}

fn asked(text: &str) -> Reference {
    text.parse().expect("a name")
}

fn rules(text: &str) -> Rules {
    Rules::parse(text.as_bytes()).expect("rules")
}

fn rules_error(text: &str) -> String {
    Rules::parse(text.as_bytes()).expect_err("bad rules").to_string()
}

#[test]
fn a_name_is_for_one_certificate_for_each_use() {
    let (one, two) = (certificate("one"), certificate("two"));
    let mut anchors = Anchors::default();
    anchors.add(Use::Packs, name("publisher"), one.clone()).expect("the first");
    anchors.add(Use::Packs, name("publisher"), one.clone()).expect("the same");
    anchors.add(Use::Statements, name("publisher"), two.clone()).expect("for something else");
    let error = anchors.add(Use::Packs, name("publisher"), two.clone()).expect_err("another");
    assert_eq!(error.to_string(), "there are two different certificates called publisher for packs");
    assert_eq!(anchors.certificates(Use::Packs).count(), 1);
    assert_eq!(anchors.certificate(Use::Statements, &name("publisher")), Some(&two));
    assert_eq!(anchors.names_of(Use::Packs, &one), [name("publisher")]);
    assert!(anchors.names_of(Use::Policies, &one).is_empty());
}

#[test]
fn a_name_of_a_certificate_is_a_harmless_file_name() {
    for text in ["a", "publisher-2026.old", "A_b", &"x".repeat(64)] {
        assert_eq!(name(text).as_str(), text);
    }
    for text in ["", ".", "..", "-a", "a/b", "a b", "a\n", "\u{e4}", &"x".repeat(65)] {
        let error = text.parse::<AnchorName>().expect_err(text).to_string();
        assert!(error.contains("cannot name a certificate"), "{error}");
    }
}

#[test]
fn a_certificate_counts_while_it_is_valid_and_not_revoked() {
    let certificate = certificate("one");
    let anchors = Anchors::default();
    let now = SystemTime::now();
    assert_eq!(anchors.check_certificate(&certificate, now), Ok(()));
    let problem = |anchors: &Anchors, time| {
        anchors.check_certificate(&certificate, time).expect_err("it does not count").to_string()
    };
    let later = problem(&anchors, now + Duration::from_secs(4000));
    assert!(later.starts_with("expired since 20") && later.ends_with('Z'), "{later}");
    assert!(problem(&anchors, UNIX_EPOCH).starts_with("not valid before 20"));
    let when = Timestamp::from_unix_seconds(0).expect("a time");
    let text = RevokedCertificate::to_toml(&certificate, Some("one"), Some("lost"), when);
    let revoked = Revocations::parse(text.as_bytes()).expect("revocations");
    assert_eq!(problem(&Anchors::new(revoked, Rules::default()), now), "revoked: lost");
}

/// Whoever had the key made a second certificate of it, and went on.
#[test]
fn the_key_of_a_revoked_certificate_counts_in_no_other_certificate() {
    let [one, again] = of_one_key();
    let now = SystemTime::now();
    let when = Timestamp::from_unix_seconds(0).expect("a time");
    let problem = |text: &str, certificates: &[(&str, &Certificate)]| {
        let revoked = Revocations::parse(text.as_bytes()).expect("revocations");
        let mut anchors = Anchors::new(revoked, Rules::default());
        for (name, certificate) in certificates {
            anchors.add(Use::Policies, name.parse().expect("a name"), (*certificate).clone()).expect("new");
        }
        anchors.check_certificate(&again, now).map_err(|problem| problem.to_string())
    };
    let text = RevokedCertificate::to_toml(&one, Some("publisher"), Some("stolen"), when);
    let by_key = Err("revoked with its key, which is that of publisher: stolen".to_owned());
    assert_eq!(problem(&text, &[]), by_key, "the revoked certificate need not be at hand");
    assert_eq!(problem(&text, &[("publisher", &one), ("other", &again)]), by_key);
    // Versions before keys were revoked wrote the certificate only.
    let old = format!("[[certificate]]\nsha256 = \"{}\"\nreason = \"stolen\"\n", one.fingerprint());
    let label = format!("sha256:{}", one.fingerprint());
    let by_key = Err(format!("revoked with its key, which is that of {label}: stolen"));
    assert_eq!(problem(&old, &[("publisher", &one)]), by_key);
    assert_eq!(problem(&old, &[("other", &again)]), Ok(()), "nobody can know its key");
    // Of two revocations the one that names the certificate says why.
    let both = text + &RevokedCertificate::to_toml(&again, None, Some("too"), when);
    assert_eq!(problem(&both, &[]), Err("revoked: too".to_owned()));
    assert_eq!(problem(&RevokedCertificate::to_toml(&certificate("two"), None, None, when), &[]), Ok(()));
}

#[test]
fn revocations_are_added_line_by_line_and_read_again() {
    let odd = "a \"quoted\" \\ line\nand \u{7f}\u{1b}[2J \u{e4}";
    let when: Timestamp = "2026-11-27T18:34:55Z".parse().expect("a time");
    let one = certificate("one");
    let fingerprint = one.fingerprint();
    let root_hash = RootHash::new([7; 32]);
    let text = [
        "# what people wrote\n".to_owned(),
        RevokedCertificate::to_toml(&one, None, Some(odd), when),
        RevokedRootHash::to_toml(&root_hash, Some("docker.io/library/debian:12"), None, when),
        RevokedCertificate::to_toml(&one, Some("one"), None, when),
    ]
    .concat();
    assert!(!text.contains('\u{1b}') && text.contains("revoked = 2026-11-27T18:34:55Z\n"), "{text}");
    let revocations = Revocations::parse(text.as_bytes()).expect("revocations");
    assert_eq!(revocations.certificates.len(), 2);
    let certificate = revocations.certificate(&fingerprint).expect("revoked");
    assert_eq!((certificate.name.as_deref(), certificate.reason.as_deref()), (None, Some(odd)));
    assert_eq!(certificate.public_key, Some(one.public_key().fingerprint()));
    assert!(revocations.has_whole(&one));
    assert_eq!(certificate.revoked.map(|date| date.to_string()).as_deref(), Some("2026-11-27T18:34:55Z"));
    let hash = revocations.root_hash(&root_hash).expect("revoked");
    assert_eq!(hash.image.as_deref(), Some("docker.io/library/debian:12"));
    assert_eq!(revocations.root_hash(&RootHash::new([8; 32])), None);
}

#[test]
fn what_is_wrong_with_revocations_is_said_with_its_line() {
    let error = |text: &str| Revocations::parse(text.as_bytes()).expect_err("bad").to_string();
    assert!(error("\n[[certificate]]\nsha256 = \"00\"\n").starts_with("line 3: \"00\" is not a SHA-256"));
    assert!(error("[[certificat]]\n").starts_with("line 1: unknown field `certificat`"));
    assert!(error("[[root_hash]]\nreason = \"x\"\n").starts_with("line 1: missing field `root_hash`"));
    assert!(error("[[root_hash]]\nroot_hash = \"zz\"\n").starts_with("line 2: "));
    assert!(error("x").starts_with("line 1: "));
    assert_eq!(Revocations::parse(b"\xff").expect_err("bad").to_string(), "it is not UTF-8 text");
    assert_eq!(Revocations::parse(b"").expect("nothing"), Revocations::default());
}

#[test]
fn the_rule_with_the_longest_prefix_decides() {
    let rules = rules(
        r#"
        default = "refuse"
        [[namespace]]
        prefix = "docker.io"
        require = "allow"
        [[namespace]]
        prefix = "docker.io/library"
        require = "sealed"
        signed_by = ["publisher"]
        minimum_epoch = 17
        [[namespace]]
        prefix = "localhost:5000/a"
        require = "allow"
        "#,
    );
    let demand = |text: &str| {
        let name = asked(text);
        let demand = rules.demand(&name);
        (demand.require, demand.rule.map(|rule| rule.prefix.clone()))
    };
    assert_eq!(
        demand("docker.io/library/debian:12"),
        (Requirement::Sealed, Some("docker.io/library".into()))
    );
    assert_eq!(demand("docker.io/libraryx/a:1"), (Requirement::Allow, Some("docker.io".into())));
    assert_eq!(demand("docker.io.evil.example/a:1"), (Requirement::Refuse, None));
    assert_eq!(demand("localhost:5000/ab:1"), (Requirement::Refuse, None));
    assert_eq!(demand("localhost:5000/a:1").0, Requirement::Allow);
    let digest = format!("docker.io/library/debian@sha256:{}", "0".repeat(64));
    assert_eq!(demand(&digest).0, Requirement::Sealed);
    assert_eq!(Rules::default().demand(&asked("docker.io/a:1")).require, Requirement::Allow);
}

#[test]
fn what_is_wrong_with_rules_is_said_with_its_line() {
    assert!(
        rules_error("default = \"allow\"\nrequires = 1\n").starts_with("line 2: unknown field `requires`")
    );
    assert!(rules_error("default = \"maybe\"\n").starts_with("line 1: unknown variant `maybe`"));
    let rule = |more: &str| format!("[[namespace]]\nprefix = \"docker.io\"\nrequire = \"allow\"\n{more}\n");
    assert!(rules_error(&rule("signed = []")).starts_with("line 4: unknown field `signed`"));
    assert!(rules_error(&rule("signed_by = [\"a/b\"]")).contains("\"a/b\" cannot name a certificate"));
    assert!(rules_error(&rule("minimum_epoch = -1")).starts_with("line 4: "));
    assert!(rules_error("[[namespace]]\nprefix = \"docker.io\"\n").contains("missing field `require`"));
    assert_eq!(rules_error(&[rule(""), rule("")].concat()), "there are two rules for \"docker.io\"");
    for prefix in ["debian", "docker.io/", "docker.io/library/debian:12", "/a", ""] {
        let error = rules_error(&format!("[[namespace]]\nprefix = \"{prefix}\"\nrequire = \"allow\"\n"));
        assert!(error.starts_with("line 2: ") && error.contains("is not a registry"), "{error}");
    }
    let pin = format!("[[pin]]\nname = \"quay.io/a:1\"\ndigest = \"sha256:{}\"\n", "0".repeat(64));
    assert_eq!(rules_error(&pin.repeat(2)), "there are two pins for \"quay.io/a:1\"");
    assert!(rules_error(&pin.replace("quay.io/a:1", "a:1")).starts_with("line 2: \"a:1\" is not an image's"));
    assert!(rules_error(&pin.replace("sha256", "md5")).starts_with("line 3: "));
    assert!(rules_error("[mirrors]\n\"mirror.lan/\" = \"docker.io\"\n").contains("is not a registry"));
}

#[test]
fn a_rule_that_no_name_would_match_is_refused_with_the_one_that_is_meant() {
    let pin = |name: &str| format!("\n[[pin]]\nname = \"{name}\"\ndigest = \"sha256:{}\"\n", "0".repeat(64));
    let namespace = |prefix: &str| format!("\n[[namespace]]\nprefix = \"{prefix}\"\nrequire = \"sealed\"\n");
    let from = |prefix: &str| format!("\n[mirrors]\n\"{prefix}\" = \"quay.io\"\n");
    let to = |prefix: &str| format!("\n[mirrors]\n\"mirror.lan/hub\" = \"{prefix}\"\n");
    for (name, meant) in [
        ("docker.io/debian:12", "docker.io/library/debian:12"),
        ("index.docker.io/library/debian:12", "docker.io/library/debian:12"),
        ("Quay.IO/a:1", "quay.io/a:1"),
        ("localhost:05000/a:1", "localhost:5000/a:1"),
        ("debian", "docker.io/library/debian:latest"),
        ("quay.io/a", "quay.io/a:latest"),
        ("[0:0::1]/a:1", "[::1]/a:1"),
    ] {
        let error = rules_error(&pin(name));
        assert!(
            error.starts_with("line 3: ") && error.contains(&format!("{meant} is meant")),
            "{name}: {error}"
        );
    }
    for (prefix, meant) in [
        ("docker.io/debian", "docker.io/library/debian"),
        ("index.docker.io", "docker.io"),
        ("index.docker.io/library", "docker.io/library"),
        ("index.docker.io/debian/", "docker.io/debian/"),
        ("Quay.IO/prod", "quay.io/prod"),
        ("localhost:05000/a", "localhost:5000/a"),
    ] {
        for (rules, lines) in
            [(namespace(prefix), "line 3: "), (from(prefix), "line "), (to(prefix), "line ")]
        {
            let error = rules_error(&rules);
            let is_said = error.contains(&format!("{meant:?} is meant"));
            assert!(error.starts_with(lines) && is_said, "{rules}: {error}");
        }
    }
    for prefix in
        ["quay.io/a/", "quay.io/a:1", "quay.io/A", "hub", "docker.io/a@sha256:0", "*.quay.io", "quay.io/*"]
    {
        for rules in [namespace(prefix), from(prefix), to(prefix)] {
            assert!(rules_error(&rules).contains("is not a registry"), "{rules}: {}", rules_error(&rules));
        }
    }
}

#[test]
fn somebodys_names_on_docker_hub_begin_with_a_slash_behind() {
    let rules = rules(
        "[[namespace]]\nprefix = \"docker.io/somebody/\"\nrequire = \"sealed\"\n[mirrors]\n\"mirror.lan/x\" = \
         \"docker.io/somebody/\"\n",
    );
    let demand = |text: &str| rules.demand(&asked(text)).require;
    assert_eq!(demand("somebody/app:1"), Requirement::Sealed);
    assert_eq!(demand("somebodyelse/app:1"), Requirement::Allow);
    assert_eq!(demand("docker.io/somebody:1"), Requirement::Allow);
    let names = rules.names(&asked("mirror.lan/x/app:1"));
    assert_eq!(names.last().map(ToString::to_string).as_deref(), Some("docker.io/somebody/app:1"));
}

#[test]
fn a_mirror_may_use_what_it_mirrors() {
    let rules =
        rules("[mirrors]\n\"mirror.lan/hub\" = \"docker.io\"\n\"mirror.lan/hub/own\" = \"own.example/x\"\n");
    let names = |text: &str| rules.names(&asked(text)).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        names("mirror.lan/hub/library/debian:12"),
        ["mirror.lan/hub/library/debian:12", "docker.io/library/debian:12"]
    );
    assert_eq!(names("mirror.lan/hub/own/a:1"), ["mirror.lan/hub/own/a:1", "own.example/x/a:1"]);
    assert_eq!(names("mirror.lan/hubs/a:1"), ["mirror.lan/hubs/a:1"]);
    // Nothing is left of a path.
    assert_eq!(names("mirror.lan/hub:1"), ["mirror.lan/hub:1"]);
    assert_eq!(names("docker.io/library/debian:12"), ["docker.io/library/debian:12"]);
}
