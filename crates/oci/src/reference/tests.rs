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
        ("Host/name", "host/name:latest"),
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
fn docker_hub_answers_under_another_host() {
    assert_eq!("debian".parse::<Reference>().unwrap().api_host(), "registry-1.docker.io");
    assert_eq!("quay.io/a".parse::<Reference>().unwrap().api_host(), "quay.io");
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
    assert!(problem("quay.io/Name").contains("is \"name\" meant?"));
    assert!(problem("host:0/a").contains("port \"0\""));
    assert!(problem("host:+5/a").contains("port \"+5\""));
    assert!(problem("host:65536/a").contains("port \"65536\""));
    assert!(problem("-a.b/c").contains("the registry \"-a.b\""));
    assert!(problem("[::g]/c").contains("the registry"));
    assert!(problem("[::1]5000/c").contains("the registry"));
    assert!(problem(HEX).contains("an image's ID"));
    assert!(problem(&vec!["aa"; 100].join("/")).contains("255 bytes"));
}

#[test]
fn the_canonical_text_parses_to_the_same_reference() {
    for text in ["debian", "localhost:5000/a/b:c", "[::1]:1/x", "quay.io/a:b@sha256:HEX"] {
        let reference: Reference = text.replace("HEX", HEX).parse().unwrap();
        assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
    }
}
