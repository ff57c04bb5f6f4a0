//! Whole pages.

use crate::model::*;
use crate::page;

/// A name that would do something wherever it was taken for more than a text.
const HOSTILE: &str = "</script><img src=x onerror=\"alert('1')\">\u{202e}&\u{1b}[2J";

fn image(names: &[&str], layers: &[(&str, u64)]) -> Image {
    let layer = |(diff_id, bytes): &(&str, u64)| Layer {
        diff_id: (*diff_id).to_owned(),
        bytes: *bytes,
        blob_bytes: bytes / 2,
        pack: None,
        also_in: vec![HOSTILE.to_owned()],
    };
    let chain = Chain {
        pulled_as: HOSTILE.to_owned(),
        pulled: "2026-11-27".to_owned(),
        index: None,
        metadata_image: "ab".repeat(32),
        metadata_image_bytes: 4096,
        failures: vec![HOSTILE.to_owned()],
        seal: Some(Err(HOSTILE.to_owned())),
        attestations: Vec::new(),
        judged: Err(HOSTILE.to_owned()),
        keyrings_unknown: vec![HOSTILE.to_owned()],
    };
    Image {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        manifest: format!("sha256:{}", "cd".repeat(32)),
        platform: "linux/amd64".to_owned(),
        kept_in: "packs".to_owned(),
        size_bytes: layers.iter().map(|(_, bytes)| bytes).sum(),
        own_bytes: 0,
        layers: layers.iter().map(layer).collect(),
        chain,
        checked: Err(HOSTILE.to_owned()),
        change: Some(Err(HOSTILE.to_owned())),
    }
}

fn checked(paths: impl Iterator<Item = Vec<u8>>) -> Checked {
    let reason = |allows| Reason { allows, rule: HOSTILE.to_owned(), more_rules: 2, why: HOSTILE.to_owned() };
    let file = |(path, number): (Vec<u8>, usize)| File {
        path,
        reason: number % 2,
        kind: "program",
        operation: "EXECUTE".to_owned(),
    };
    Checked {
        policy: HOSTILE.to_owned(),
        reasons: vec![reason(true), reason(false)],
        files: paths.zip(0..).map(file).collect(),
        notes: vec![Note { kind: "privileges", path: Some(HOSTILE.into()), text: HOSTILE.to_owned() }],
        ..Checked::default()
    }
}

fn host() -> Host {
    let hostile = || HOSTILE.to_owned();
    Host {
        kernel: hostile(),
        enforces: hostile(),
        enforcing: true,
        policy: Some(format!("{HOSTILE}\n{HOSTILE}")),
        levels: vec![LevelReach { name: hostile(), how: Err(hostile()) }],
        keyrings: vec![Keyring { name: hostile(), keys: Ok(vec![hostile()]) }],
        mounts: Ok(vec![Mount {
            target: hostile(),
            image: hostile(),
            level: Err(hostile()),
            why_not_more: hostile(),
            since: None,
        }]),
        denials: Ok(vec![Denial { what: hostile(), why: hostile(), count: 3 }]),
    }
}

fn hostile() -> Page {
    let mut image = image(&[HOSTILE], &[(HOSTILE, 10)]);
    image.chain.attestations = vec![Attested { predicate_type: HOSTILE.to_owned(), key: HOSTILE.to_owned() }];
    image.chain.judged =
        Ok(vec![Judged { name: HOSTILE.to_owned(), refusal: Some(HOSTILE.to_owned()), sealed: false }]);
    let paths = (0..300u16).map(|number| format!("/{HOSTILE}/{number}").into_bytes());
    image.checked = Ok(checked(paths.chain([b"/\xff\xfe<b>".to_vec()])));
    image.change = Some(Ok(Change {
        before: HOSTILE.to_owned(),
        pulled: HOSTILE.to_owned(),
        packages: Some(Ok(vec![PackageChange {
            name: HOSTILE.to_owned(),
            before: Some(HOSTILE.to_owned()),
            now: None,
        }])),
        files: vec![ChangedFile { path: HOSTILE.into(), difference: Difference::Changed(vec!["mode"]) }],
        ..Change::default()
    }));
    Page { store: HOSTILE.to_owned(), images: vec![image], host: Some(host()), ..Page::default() }
}

/// The elements that a page begins, and what is between them.
fn elements(html: &str) -> (Vec<&str>, String) {
    let (mut names, mut text) = (Vec::new(), String::new());
    for piece in html.split('<').skip(1) {
        let (tag, after) = piece.split_once('>').expect("every element's name ends");
        names.push(tag.split(' ').next().expect("a split has a first part"));
        text += after;
    }
    (names, text)
}

#[test]
fn whatever_things_are_called_no_element_is_there_that_the_program_has_not_written() {
    let html = page(&hostile());
    let (style, script) = (include_str!("style.css"), include_str!("script.js"));
    let without = html.replacen(style, "", 1).replacen(script, "", 1);
    let (names, text) = elements(&without);
    assert_eq!(names.iter().filter(|name| **name == "script").count(), 1);
    for never in ["img", "b", "iframe", "object", "base", "form"] {
        assert!(!names.contains(&never), "{never}");
    }
    assert!(text.contains("onerror=&quot;alert(&#39;1&#39;)&quot;"), "the name is there, as a text");
    assert!(!without.chars().any(|it| it != '\n' && sealpack_format::text::acts(it)));
    assert!(!without.contains(" style=") && !without.contains(" onerror=\""), "no attribute does anything");
}

#[test]
fn every_element_that_begins_ends() {
    let html = page(&hostile());
    let without = html.replacen(include_str!("script.js"), "", 1);
    let (names, _) = elements(&without);
    let mut open = Vec::new();
    for name in names.iter().filter(|name| !["meta", "!DOCTYPE"].contains(*name)) {
        match name.strip_prefix('/') {
            Some(ended) => assert_eq!(open.pop(), Some(ended)),
            None => open.push(*name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_same_page_is_the_same_text_and_a_time_is_there_only_if_it_is_given() {
    let without = page(&hostile());
    assert_eq!(without, page(&hostile()));
    assert!(!without.contains("Made 20"));
    let with = page(&Page { made: Some("2026-11-27 00:00:00".to_owned()), ..hostile() });
    assert!(with.contains("Made 2026-11-27 00:00:00 UTC"));
}

#[test]
fn an_image_of_a_hundred_thousand_files_makes_a_small_page() {
    let mut image = image(&["one"], &[("a", 1_000_000)]);
    let paths = || {
        (0..100_000)
            .map(|number| format!("/usr/lib/package-{}/some/file-{number}", number % 900).into_bytes())
    };
    image.checked = Ok(checked(paths()));
    let files = paths().map(|path| ChangedFile { path, difference: Difference::Added }).collect();
    image.change = Some(Ok(Change { files, ..Change::default() }));
    let html = page(&Page { images: vec![image], ..Page::default() });
    assert!(html.len() < 200_000, "{}", html.len());
    assert!(html.contains("denies 50000 of 100000 files") && html.contains("and 99800 more"));
}

#[test]
fn layers_that_images_have_in_common_have_the_same_letter_and_no_others_have_one() {
    let images =
        vec![image(&["one"], &[("base", 60), ("one", 40)]), image(&["two"], &[("base", 60), ("base", 60)])];
    let html = page(&Page { images, ..Page::default() });
    assert_eq!(html.matches("shared as A").count(), 3);
    assert_eq!(html.matches("no other image here has it").count(), 1);
    assert!(!html.contains("shared as B"));
    // The longest is as wide as the page, and the other as much less as it is smaller.
    assert!(html.contains("x=\"50.000%\" y=\"0\" width=\"50.000%\""), "two has the same layer twice");
    assert!(html.contains("width=\"33.333%\""));
}

#[test]
fn many_images_make_a_page_that_is_no_larger_than_what_is_worth_reading_of_them() {
    let paths =
        || (0..3000).map(|number| format!("/usr/lib/package-{}/file-{number}", number % 40).into_bytes());
    let images = (0..60).map(|number| {
        let mut image = image(&[&format!("image-{number}")], &[("a", 1_000_000)]);
        image.checked = Ok(checked(paths()));
        let files = paths().map(|path| ChangedFile { path, difference: Difference::Added }).collect();
        image.change = Some(Ok(Change { files, ..Change::default() }));
        image
    });
    let html = page(&Page { images: images.collect(), ..Page::default() });
    assert!(html.len() < 2_000_000, "{}", html.len());
}
