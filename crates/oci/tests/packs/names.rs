//! Names in layers as tools write them: the tree is the one that tar and containerd would make.

use super::*;

/// The layers of one image, whose names begin with `root`: files, links, whiteouts and opaque markers.
fn layers(root: &str) -> Vec<Vec<u8>> {
    let named = |members: &[(&str, Member)]| {
        let names: Vec<String> = members.iter().map(|(name, _)| format!("{root}{name}")).collect();
        let members: Vec<(&str, Member)> =
            names.iter().map(String::as_str).zip(members.iter().map(|(_, member)| member.clone())).collect();
        archive(&members)
    };
    let file = |text: &str| Member::File(text.as_bytes().repeat(50));
    vec![
        named(&[
            ("", Member::Directory),
            ("nix/", Member::Directory),
            ("nix/store/", Member::Directory),
            ("nix/store/a", file("a")),
            ("nix/store/b", file("b")),
            ("nix/store/also-a", Member::HardLink(format!("{root}nix/store/a"))),
            ("bin", Member::Symlink("/nix/store".to_owned())),
            ("var/", Member::Directory),
            ("var/old", file("old")),
            ("gone", file("gone")),
        ]),
        named(&[
            (".wh.gone", Member::File(Vec::new())),
            ("nix/store/.wh.b", Member::File(Vec::new())),
            ("var/.wh..wh..opq", Member::File(Vec::new())),
            ("var/new", file("new")),
            ("bin/c", file("c")),
            ("implied/d", file("d")),
        ]),
    ]
}

/// nix, ko and others write them; they were refused.
#[test]
fn absolute_names_make_the_tree_that_relative_ones_make() {
    let image = |root: &str| {
        let mut tars = layers(root);
        // An entry for the root has to have a name.
        if root.is_empty() {
            tars = layers("./");
        }
        let store = fixture(Algorithm::Sha256);
        pull_as(&store, &Memory::new(&tars, Compression::Gzip), ObjectForm::Files).record.metadata_image
    };
    let relative = image("");
    for root in ["/", "//", "/./", ".//"] {
        assert_eq!(image(root), relative, "{root:?}");
    }
}

#[test]
fn a_path_is_one_whether_or_not_it_is_absolute() {
    let store = fixture(Algorithm::Sha256);
    let twice = archive(&[("etc/a", Member::File(text(80))), ("/etc/a", Member::File(text(90)))]);
    let error = try_pull(&store, &Memory::new(&[twice], Compression::Plain), None).unwrap_err().to_string();
    assert!(error.contains("\"/etc/a\"") && error.contains("has this path already"), "{error}");
    // Directories come again.
    let twice = archive(&[
        ("/", Member::Directory),
        ("./", Member::Directory),
        ("/etc/", Member::Directory),
        ("etc/", Member::Directory),
    ]);
    try_pull(&store, &Memory::new(&[twice], Compression::Plain), None).unwrap();
    for name in ["/..", "/../a", "/a/../b"] {
        let climbs = archive(&[(name, Member::File(text(80)))]);
        let error =
            try_pull(&store, &Memory::new(&[climbs], Compression::Plain), None).unwrap_err().to_string();
        assert!(error.contains("\"..\""), "{error}");
    }
}
