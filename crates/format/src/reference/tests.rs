use proptest::prelude::*;

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn canonical(text: &str) -> String {
    text.parse::<Reference>().unwrap().to_string()
}

fn problem(text: &str) -> String {
    text.parse::<Reference>().unwrap_err().to_string()
}

#[test]
fn defaults_are_filled_in() {
    for (text, expected) in [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12", "docker.io/library/debian:12"),
        ("docker.io/debian", "docker.io/library/debian:latest"),
        ("index.docker.io/debian", "docker.io/library/debian:latest"),
        ("grafana/grafana", "docker.io/grafana/grafana:latest"),
        ("quay.io/podman/stable", "quay.io/podman/stable:latest"),
        ("quay.io/single", "quay.io/single:latest"),
        ("a/b/c/d:e", "docker.io/a/b/c/d:e"),
        ("QUAY.io/name", "quay.io/name:latest"),
        ("LOCALHOST/name", "localhost/name:latest"),
        ("Host:443/name", "host:443/name:latest"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
    }
}

#[test]
fn hosts_with_ports_localhost_and_ipv6_are_registries() {
    for (text, registry, rest) in [
        ("localhost/name", "localhost", "name"),
        ("localhost:5000/name:tag", "localhost:5000", "name"),
        ("host:5000/a/b", "host:5000", "a/b"),
        ("127.0.0.1:80/a", "127.0.0.1:80", "a"),
        ("[::1]/a", "[::1]", "a"),
        ("[0:0::1]:5000/a:b", "[::1]:5000", "a"),
        ("[2001:db8::1]:5000/a/b@sha256:HEX", "[2001:db8::1]:5000", "a/b"),
    ] {
        let reference: Reference = text.replace("HEX", HEX).parse().unwrap();
        assert_eq!((reference.registry(), reference.repository()), (registry, rest), "{text}");
    }
    // Without a slash, what looks like a port is a tag.
    assert_eq!(canonical("localhost:5000"), "docker.io/library/localhost:5000");
}

#[test]
fn a_digest_needs_no_tag_and_decides_over_one() {
    let reference: Reference = format!("debian@sha256:{HEX}").parse().unwrap();
    assert_eq!(reference.tag(), None);
    assert_eq!(reference.manifest_selector(), format!("sha256:{HEX}"));
    assert_eq!(reference.to_string(), format!("docker.io/library/debian@sha256:{HEX}"));
    let both: Reference = format!("debian:12@sha512:{HEX}{HEX}").parse().unwrap();
    assert_eq!(both.tag(), Some("12"));
    assert_eq!(both.manifest_selector(), format!("sha512:{HEX}{HEX}"));
}

#[test]
fn another_repository_is_one_by_the_same_grammar() {
    let reference: Reference = format!("quay.io/a:1@sha256:{HEX}").parse().unwrap();
    let moved = |name: &str| reference.in_repository(name).map(|moved| moved.to_string());
    assert_eq!(moved("localhost/b/c"), Some(format!("localhost/b/c:1@sha256:{HEX}")));
    assert_eq!(moved("docker.io/b"), Some(format!("docker.io/library/b:1@sha256:{HEX}")));
    for none in ["docker.io", "docker.io/", "b/c", "quay.io/a:2", "a..b/c", ""] {
        assert_eq!(moved(none), None, "{none}");
    }
}

#[test]
fn separators_join_but_never_begin_end_or_pile_up() {
    for good in ["a.b", "a_b", "a__b", "a-b", "a---b", "x/a.b_c__d-e"] {
        assert!(good.parse::<Reference>().is_ok(), "{good}");
    }
    for bad in [".a", "a.", "a..b", "a___b", "a.-b", "_a", "-a", "a/", "/a", "a//b", "ä", "a b"] {
        assert!(bad.parse::<Reference>().is_err(), "{bad}");
    }
}

#[test]
fn bad_references_say_what_is_wrong() {
    assert!(problem("").ends_with("it is empty"));
    assert!(problem("https://quay.io/a").ends_with("leave \"https://\" out"));
    assert!(problem("debian:").contains("the tag \"\""));
    assert!(problem("debian:-a").contains("the tag \"-a\""));
    assert!(problem(&format!("debian:{}", "a".repeat(129))).contains("1 to 128"));
    assert!(problem("debian@sha256:00").contains("sha256 has 64 hexadecimal digits"));
    assert!(problem("debian@md5:00").contains("not sha256 or sha512"));
    assert!(problem("quay.io/Name").contains("is \"quay.io/name\" meant?"));
    assert!(problem("quay.io/Prod/App:V1").ends_with("is \"quay.io/prod/app:V1\" meant?"));
    let digest = format!("sha256:{HEX}");
    assert!(problem(&format!("App@{digest}")).ends_with(&format!("is \"app@{digest}\" meant?")));
    assert!(problem("Prod/app:1").contains("is \"prod/app:1\" meant? A registry prod needs its port"));
    assert!(problem("host:0/a").contains("port \"0\""));
    assert!(problem("host:+5/a").contains("port \"+5\""));
    assert!(problem("host:65536/a").contains("port \"65536\""));
    assert!(problem("Host/a").ends_with("needs its port, as in host:443"));
    assert!(problem("-a.b/c").contains("the registry \"-a.b\""));
    assert!(problem("[::g]/c").contains("the registry"));
    assert!(problem("[::1]5000/c").contains("the registry"));
    assert!(problem(HEX).contains("64 hex digits are an image's ID or a digest"));
    assert!(problem(&HEX.repeat(2)).contains("128 hex digits are"));
    assert!(problem(&format!("{HEX}{HEX}:tag")).contains("128 hex digits are"));
    assert!(problem(&vec!["aa"; 100].join("/")).contains("255 bytes"));
}

/// The canonical text of a reference, and what else is derived from it, parse to what they are of.
fn check_texts(reference: &Reference) {
    assert_eq!(reference.to_string().parse::<Reference>().as_ref(), Ok(reference));
    assert_eq!(reference.in_repository(&reference.name()).as_ref(), Some(reference));
    assert_eq!(reference.name().parse::<Prefix>().unwrap().as_str(), reference.name());
    let name = reference.image_name();
    assert_eq!(name.is_some(), reference.tag().is_some());
    if let Some(name) = name {
        assert_eq!(name.as_str().parse::<ImageName>().as_ref(), Ok(&name));
        assert_eq!(name.as_str().parse::<Reference>(), Ok(name.reference()));
    }
}

#[test]
fn the_canonical_text_parses_to_the_same_reference() {
    for text in
        ["debian", "localhost:5000/a/b:c", "[::1]:1/x", "quay.io/a:b@sha256:HEX", "[::ffff:1.2.3.4]/a"]
    {
        check_texts(&text.replace("HEX", HEX).parse().unwrap());
    }
}

proptest! {
    #[test]
    fn the_canonical_text_of_whatever_parses_parses_to_the_same(
        registry in "((LocalHost|localhost|index\\.docker\\.io|Host|[a-zA-Z0-9.-]{1,8}|\\[[0-9a-f:]{2,9}\\])(:[0-9]{1,6})?/)?",
        path in "[a-z0-9]{1,3}([a-z0-9._-]{0,3}/?[a-z0-9]{1,3}){0,2}",
        tag in "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,5})?",
        digest in "(@sha256:[0-9a-f]{64})?",
    ) {
        if let Ok(reference) = format!("{registry}{path}{tag}{digest}").parse::<Reference>() {
            check_texts(&reference);
        }
    }

    #[test]
    fn any_text_is_a_reference_with_a_canonical_text_or_none(text in "[A-Za-z0-9.:/@_-]{0,24}|\\PC{0,24}") {
        if let Ok(reference) = text.parse::<Reference>() {
            check_texts(&reference);
        }
    }
}
