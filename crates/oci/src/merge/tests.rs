use sealpack_format::tree::TreeError;

use super::*;
use sealpack_format::tree::{Content, Xattrs};

fn time(seconds: i64) -> Metadata {
    Metadata { permissions: 0o700, mtime: Time { seconds, nanoseconds: 5 }, ..Metadata::default() }
}

fn entry(path: &str, item: LayerItem) -> LayerEntry {
    LayerEntry { path: path.into(), item }
}

fn file(path: &str) -> LayerEntry {
    let content = Content::Inline(path.as_bytes().into());
    entry(path, LayerItem::Inode(time(1), LayerKind::Regular(content)))
}

fn dir(path: &str) -> LayerEntry {
    entry(path, LayerItem::Inode(time(2), LayerKind::Directory))
}

fn symlink(path: &str, target: &str) -> LayerEntry {
    entry(path, LayerItem::Inode(time(3), LayerKind::Symlink(target.into())))
}

fn link(path: &str, target: &str) -> LayerEntry {
    entry(path, LayerItem::HardLink(target.into()))
}

fn gone(path: &str) -> LayerEntry {
    entry(path, LayerItem::Whiteout)
}

fn opaque(path: &str) -> LayerEntry {
    entry(path, LayerItem::Opaque)
}

fn merge(layers: &[&[LayerEntry]]) -> Result<Tree, MergeError> {
    let mut merger = Merger::new(XattrRule::default(), Limits::USUAL);
    for layer in layers {
        merger.apply(|| Ok(layer.iter().cloned().map(Ok)))?;
    }
    Ok(merger.finish())
}

/// All paths, directories with a slash at the end.
fn paths(tree: &Tree) -> Vec<String> {
    let mut paths = Vec::new();
    let mut pending = vec![(InodeId::ROOT, String::new())];
    while let Some((directory, above)) = pending.pop() {
        for (name, id) in tree.entries(directory) {
            let path = format!("{above}{}", str::from_utf8(name).unwrap());
            if tree.inode(id).as_directory().is_some() {
                pending.push((id, format!("{path}/")));
                paths.push(format!("{path}/"));
            } else {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
}

fn problem(layers: &[&[LayerEntry]]) -> EntryProblem {
    match merge(layers).unwrap_err() {
        MergeError::Entry { problem, layer, .. } => {
            assert_eq!(layer, layers.len(), "the message names the layer");
            problem
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_whiteout_hides_what_is_below_and_nothing_of_its_own_layer() {
    let lower = [dir("a"), file("a/x"), file("a/y"), dir("a/z"), file("a/z/deep")];
    let tree = merge(&[&lower, &[file("a/x"), gone("a/x"), gone("a/z"), gone("a/never"), gone("no/where")]]);
    assert_eq!(paths(&tree.unwrap()), ["a/", "a/x", "a/y"]);
}

#[test]
fn an_opaque_directory_keeps_its_own_entries_wherever_the_marker_stands() {
    let lower = [dir("a"), file("a/old"), dir("a/sub"), file("a/sub/old")];
    for upper in [
        [opaque("a"), dir("a"), file("a/new"), dir("a/sub"), file("a/sub/new")],
        [dir("a"), file("a/new"), dir("a/sub"), file("a/sub/new"), opaque("a")],
    ] {
        let tree = merge(&[&lower, &upper]).unwrap();
        assert_eq!(paths(&tree), ["a/", "a/new", "a/sub/", "a/sub/new"]);
    }
    let tree = merge(&[&lower, &[opaque("")]]).unwrap();
    assert_eq!(paths(&tree), [""; 0]);
}

#[test]
fn a_later_layer_replaces_what_is_there_but_keeps_a_directorys_entries() {
    let lower = [dir("a"), file("a/x"), file("b"), dir("c"), file("c/x")];
    let upper = [entry("a", LayerItem::Inode(time(9), LayerKind::Directory)), dir("b"), file("c")];
    let tree = merge(&[&lower, &upper]).unwrap();
    assert_eq!(paths(&tree), ["a/", "a/x", "b/", "c"]);
    assert_eq!(tree.inode(tree.lookup(b"a").unwrap()).metadata.mtime.seconds, 9);
}

#[test]
fn hard_links_reach_across_layers() {
    let tree = merge(&[&[file("a")], &[link("b", "a"), gone("a")], &[link("c", "b")]]);
    // The whiteout comes first, so the link of its layer has lost its target.
    assert!(matches!(tree, Err(MergeError::Entry { layer: 2, problem: EntryProblem::LinkToNothing(_), .. })));
    let tree =
        merge(&[&[file("a")], &[link("b", "a")], &[gone("a"), link("c", "b"), link("c", "b")]]).unwrap();
    assert_eq!(paths(&tree), ["b", "c"]);
    assert_eq!(tree.lookup(b"b"), tree.lookup(b"c"));
    assert_eq!(tree.inode(tree.lookup(b"b").unwrap()).names(), 2);
}

#[test]
fn entries_below_a_link_go_where_it_leads_and_never_out_of_the_tree() {
    let lower = [dir("usr"), dir("usr/lib"), symlink("lib", "usr/lib"), symlink("up", "../../../usr/./lib")];
    let tree = merge(&[&lower, &[file("lib/a"), file("up/b"), link("lib/c", "up/b")]]).unwrap();
    assert_eq!(paths(&tree), ["lib", "up", "usr/", "usr/lib/", "usr/lib/a", "usr/lib/b", "usr/lib/c"]);
    let tree = merge(&[&lower, &[file("lib/a")], &[gone("lib/a"), opaque("up")]]).unwrap();
    assert_eq!(paths(&tree), ["lib", "up", "usr/", "usr/lib/"]);
    // What is missing behind a link, and not in its target, is implied as elsewhere.
    let tree = merge(&[&lower, &[file("lib/new/file")]]).unwrap();
    assert_eq!(paths(&tree), ["lib", "up", "usr/", "usr/lib/", "usr/lib/new/", "usr/lib/new/file"]);
    let loops = [symlink("a", "b"), symlink("b", "a"), symlink("n", "nowhere")];
    assert!(matches!(problem(&[&loops, &[file("a/x")]]), EntryProblem::BelowDanglingLink(_)));
    assert!(matches!(problem(&[&loops, &[file("n/x")]]), EntryProblem::BelowDanglingLink(_)));
}

/// Forty links of long targets each once made one entry take 65,000 names, and an image
/// of a few kilobytes minutes.
#[test]
fn short_entries_cannot_take_ways_without_end() {
    let mut layer = vec![dir("d"), symlink("l0", &"d/../".repeat(800))];
    layer.extend((1..40).map(|n| symlink(&format!("l{n}"), &format!("{}l{}", "d/../".repeat(800), n - 1))));
    layer.push(file("l39/x"));
    assert!(matches!(problem(&[&layer]), EntryProblem::BelowDanglingLink(_)));
}

#[test]
fn attributes_that_cost_the_tar_nothing_are_bounded() {
    let value = vec![0; 60_000];
    let xattrs = Xattrs::from_iter([(&b"security.capability"[..], &value[..])]);
    let metadata = Metadata { xattrs, ..time(1) };
    let layer: Vec<_> = (0..4500)
        .map(|n| entry(&format!("{n}"), LayerItem::Inode(metadata.clone(), LayerKind::Fifo)))
        .collect();
    assert_eq!(problem(&[&layer]), EntryProblem::TooManyXattrs);
}

#[test]
fn missing_directories_are_implied() {
    let tree = merge(&[&[file("a/b/c")]]).unwrap();
    assert_eq!(paths(&tree), ["a/", "a/b/", "a/b/c"]);
    assert_eq!(tree.inode(tree.lookup(b"a/b").unwrap()).metadata, implied_directory());
}

#[test]
fn entries_without_a_place_are_refused() {
    assert_eq!(problem(&[&[file("a"), file("a/b")]]), EntryProblem::BelowFile(b"a".to_vec()));
    assert_eq!(problem(&[&[link("a", "b")]]), EntryProblem::LinkToNothing(b"b".to_vec()));
    assert_eq!(problem(&[&[link("a", "")]]), EntryProblem::LinkToNothing(Vec::new()));
    assert_eq!(problem(&[&[link("a", "a")]]), EntryProblem::LinkToNothing(b"a".to_vec()));
    assert_eq!(problem(&[&[dir("d"), link("a", "d")]]), EntryProblem::LinkToDirectory(b"d".to_vec()));
    // A link in place of a directory that holds its target would be a link to nothing.
    let inside = [dir("d"), file("d/x"), link("d", "d/x")];
    assert_eq!(problem(&[&inside]), EntryProblem::LinkToNothing(b"d/x".to_vec()));
    assert_eq!(problem(&[&[file("")]]), EntryProblem::Root);
    assert!(matches!(problem(&[&[file(&"x".repeat(256))]]), EntryProblem::Tree(TreeError::Name { .. })));
}

#[test]
fn the_root_takes_the_metadata_of_usr_and_run_is_emptied() {
    let tree = merge(&[&[dir(""), dir("run"), file("run/secret"), file("usr/x")]]).unwrap();
    assert_eq!(paths(&tree), ["run/", "usr/", "usr/x"]);
    assert_eq!(tree.root().metadata, implied_directory());
    let usr = entry("usr", LayerItem::Inode(time(77), LayerKind::Directory));
    let tree = merge(&[&[dir("run"), file("run/secret"), usr]]).unwrap();
    assert_eq!(tree.root().metadata, time(77));
    let run = &tree.inode(tree.lookup(b"run").unwrap()).metadata;
    assert_eq!((run.mtime, run.permissions), (time(77).mtime, 0o700));
}

#[test]
fn without_usr_the_root_stays_as_it_is() {
    let root = entry("", LayerItem::Inode(time(42), LayerKind::Directory));
    let tree = merge(&[&[root, file("init")]]).unwrap();
    assert_eq!(tree.root().metadata, time(42));
}

#[test]
fn of_the_attributes_only_those_of_the_rule_stay() {
    let xattrs = [&b"security.capability"[..], b"security.selinux", b"user.note", b"trusted.overlay.opaque"]
        .map(|key| (key, &b"v"[..]));
    let metadata = Metadata { xattrs: Xattrs::from_iter(xattrs), ..time(1) };
    let layer = [entry("f", LayerItem::Inode(metadata, LayerKind::Fifo))];
    let kept = |rule| {
        let mut merger = Merger::new(rule, Limits::USUAL);
        merger.apply(|| Ok(layer.iter().cloned().map(Ok))).unwrap();
        let tree = merger.finish();
        tree.inode(tree.lookup(b"f").unwrap())
            .metadata
            .xattrs
            .iter()
            .map(|(key, _)| key.to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(XattrRule::Capabilities), [b"security.capability".to_vec()]);
    assert_eq!(
        kept(XattrRule::CapabilitiesAndUser),
        [b"security.capability".to_vec(), b"user.note".to_vec()]
    );
}
