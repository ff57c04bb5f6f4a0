//! Tar members that have no place in a layer.

use crate::support::*;
use anyhow::Result;
use sealpack_test_registry::{ImageLayer, gzip};
use sealpack_tests::layer_tar::{Entry, Member, archive, header_of_file};
use sealpack_tests::refusal::Exit;

/// A layer with good members before and behind `bad`, packed with gzip.
fn around(bad: Vec<Entry>) -> Vec<u8> {
    let mut entries = vec![
        directory("etc/"),
        // The store has this one already.
        file("etc/motd", &text(1, 5000)),
        file("etc/new", &text(30, 5000)),
    ];
    entries.extend(bad);
    entries.push(file("etc/last", &text(31, 5000)));
    archive(&entries)
}

fn refuses(bad: Vec<Entry>, words: &[&str]) -> Result<()> {
    refuses_tar(around(bad), words)
}

fn refuses_tar(tar: Vec<u8>, words: &[&str]) -> Result<()> {
    let mut all = vec!["layer 2"];
    all.extend(words);
    Case::new()?.refuses_layer(Exit::Failed, ImageLayer::gzip(&tar), &all)
}

/// Pulls a layer that has to be taken, and answers with the image's paths.
fn accepts(entries: &[Entry]) -> Result<Vec<String>> {
    let case = Case::new()?;
    let source = case.layout(&image(vec![ImageLayer::gzip(&archive(entries))]))?;
    case.sealpack.run(["pull", &source, "--name", "odd"])?;
    case.sealpack.state()?;
    let listed = case.sealpack.run(["ls", "-R", "odd"])?.stdout;
    Ok(String::from_utf8(listed)?.lines().map(str::to_owned).collect())
}

#[test]
fn names_that_climb_are_refused() -> Result<()> {
    for name in ["..", "../etc/passwd", "etc/../../passwd", "etc/..", "./../x"] {
        refuses(vec![file(name, "x")], &[&format!("\"{name}\""), "at byte", "\"..\""])?;
    }
    refuses(vec![directory("../")], &["\"../\"", "\"..\""])
}

#[test]
fn absolute_names_that_climb_are_refused() -> Result<()> {
    for name in ["/..", "/../etc/passwd", "//etc/../../passwd", "/etc/.."] {
        refuses(vec![file(name, "x")], &[&format!("\"{name}\""), "at byte", "\"..\""])?;
    }
    refuses(vec![hard_link("/l", "/../x")], &["\"/l\"", "hard link", "\"..\""])
}

#[test]
fn names_of_ten_thousand_bytes_are_refused() -> Result<()> {
    let long = "long/".repeat(2000);
    refuses(vec![file(&format!("{long}x"), "x")], &["long/long/", "at byte", "10001 bytes"])?;
    refuses(vec![file(&"x".repeat(10_000), "x")], &["xxxx", "10000 bytes"])?;
    refuses(vec![link("l", &"x".repeat(10_000))], &["\"l\"", "symbolic link"])?;
    refuses(vec![hard_link("l", &"x/".repeat(5000))], &["\"l\"", "hard link", "10000 bytes"])
}

#[test]
fn parts_of_names_that_no_file_can_have_are_refused() -> Result<()> {
    refuses(vec![file(&format!("etc/{}", "n".repeat(256)), "x")], &["nnnn", "at byte", "255"])?;
    let nul = format!("etc/{}\0{}", "n".repeat(100), "x");
    refuses(vec![file(&nul, "x")], &["at byte", "path", "NUL"])
}

#[test]
fn hard_links_to_nowhere_are_refused() -> Result<()> {
    refuses(vec![hard_link("etc/l", "no/such/file")], &["etc/l", "hard link", "\"no/such/file\""])?;
    refuses(vec![hard_link("etc/l", "etc/l")], &["etc/l", "hard link"])?;
    refuses(vec![hard_link("etc/l", "../../etc/shadow")], &["etc/l", "hard link", "\"..\""])?;
    // It comes behind the link.
    refuses(vec![hard_link("etc/l", "etc/last")], &["etc/l", "hard link", "\"etc/last\""])
}

#[test]
fn hard_links_to_directories_are_refused() -> Result<()> {
    refuses(vec![hard_link("l", "etc")], &["\"l\"", "hard link", "\"etc\"", "directory"])
}

#[test]
fn members_below_a_file_are_refused() -> Result<()> {
    refuses(vec![file("etc/motd/below", "x")], &["etc/motd/below", "\"motd\"", "not a directory"])?;
    refuses(vec![directory("etc/motd/d/")], &["etc/motd/d", "not a directory"])?;
    refuses(vec![Entry::new("f", Member::Fifo), file("f/x", "x")], &["f/x", "not a directory"])?;
    // In another layer, and by way of a symbolic link.
    refuses(vec![file("usr/new/below", "x")], &["usr/new/below", "not a directory"])?;
    refuses(vec![link("l", "etc/motd"), file("l/x", "x")], &["l/x", "directory"])
}

#[test]
fn members_below_a_symbolic_link_to_nowhere_are_refused() -> Result<()> {
    refuses(vec![link("l", "/no/such/directory"), file("l/x", "x")], &["l/x", "symbolic link"])?;
    refuses(vec![link("l", "l"), file("l/x", "x")], &["l/x", "symbolic link"])
}

/// image-spec, layer.md: a layer must not have two entries for one path.
#[test]
fn a_second_member_of_the_same_path_is_refused() -> Result<()> {
    refuses(vec![file("etc/new", "another")], &["\"etc/new\"", "at byte", "already", "duplicate"])?;
    refuses(vec![file("./etc//new", "another")], &["\"./etc//new\"", "already"])?;
    refuses(vec![directory("etc/new/")], &["etc/new", "already"])?;
    refuses(vec![link("etc/new", "motd")], &["\"etc/new\"", "already"])?;
    refuses(vec![hard_link("etc/new", "etc/motd")], &["\"etc/new\"", "already"])?;
    refuses(vec![file("etc", "a file for the directory")], &["\"etc\"", "already"])
}

#[test]
fn a_directory_may_come_again_and_the_last_metadata_counts() -> Result<()> {
    let again =
        [directory("d/").mode(0o700), file("d/one", "1"), directory("./d").mode(0o711), file("d/two", "2")];
    assert_eq!(accepts(&again)?, ["/d", "/d/one", "/d/two"]);
    let case = Case::new()?;
    let source = case.layout(&image(vec![ImageLayer::gzip(&archive(&again))]))?;
    case.sealpack.run(["pull", &source, "--name", "odd"])?;
    let listed = case.sealpack.json(["ls", "odd"])?;
    assert_eq!(listed["files"][0]["mode"], "0711", "{listed}");
    Ok(())
}

#[test]
fn names_that_merely_look_odd_are_taken() -> Result<()> {
    let odd = [file("..x", "1"), file("x..", "2"), file("...", "3"), file("a\\..\\b", "4"), file("-r", "5")];
    assert_eq!(accepts(&odd)?.len(), odd.len());
    let longest = format!("{}/{}", "d".repeat(255), "f".repeat(255));
    assert!(accepts(&[file(&longest, "x")])?.contains(&format!("/{longest}")));
    Ok(())
}

#[test]
fn whiteouts_of_nothing_and_members_below_whiteouts_are_refused() -> Result<()> {
    refuses(vec![file("etc/.wh.", "")], &["etc/.wh.", "whiteout"])?;
    refuses(vec![file("etc/.wh...", "")], &["etc/.wh...", "whiteout"])?;
    refuses(vec![file("etc/.wh.motd/x", "")], &["etc/.wh.motd/x", "whiteout"])
}

#[test]
fn device_numbers_that_linux_does_not_have_are_refused() -> Result<()> {
    refuses(vec![Entry::new("dev", Member::Character(4096, 0))], &["\"dev\"", "4096:0"])?;
    refuses(vec![Entry::new("dev", Member::Block(8, 1_048_576))], &["\"dev\"", "8:1048576"])
}

#[test]
fn a_root_that_is_no_directory_is_refused() -> Result<()> {
    refuses(vec![file("./", "x")], &["root", "directory"])?;
    refuses(vec![link(".", "etc")], &["root", "directory"])
}

#[test]
fn symbolic_links_without_a_target_are_refused() -> Result<()> {
    refuses(vec![link("l", "")], &["\"l\"", "empty"])
}

/// A member in a tar of its own, with one field of its header changed and the checksum made right again.
fn with_field(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut tar = archive(&[file("odd", &text(32, 600))]);
    tar[at..at + bytes.len()].copy_from_slice(bytes);
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().copied().map(u32::from).sum();
    tar[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar
}

#[test]
fn headers_that_make_no_sense_are_refused() -> Result<()> {
    refuses_tar(with_field(156, b"Z"), &["\"odd\"", "at byte 0", "type 'Z'"])?;
    refuses_tar(with_field(124, b"not a size!\0"), &["\"odd\"", "size", "not a number"])?;
    refuses_tar(with_field(124, &[0xff; 12]), &["\"odd\"", "size", "out of range"])?;
    let mut damaged = with_field(156, b"0");
    damaged[3] ^= 1;
    refuses_tar(damaged, &["at byte 0", "checksum"])
}

#[test]
fn a_tar_that_ends_in_the_middle_of_a_member_is_refused() -> Result<()> {
    let whole = around(Vec::new());
    let end = whole.len() - 1024 - 2000;
    refuses_tar(whole[..end].to_vec(), &["\"etc/last\"", "ends in the middle", &format!("at byte {end}")])?;
    refuses_tar(header_of_file("alone", 10_000_000_000).to_vec(), &["\"alone\"", "ends in the middle"])?;
    refuses_tar(whole[..100].to_vec(), &["ends in the middle"])
}

/// A size is a promise of the archive, and costs nothing until it is kept.
#[test]
fn a_member_of_absurd_size_is_refused_for_being_incomplete() -> Result<()> {
    let mut tar = header_of_file("huge", 0o777_7777_7777).to_vec();
    tar.extend(vec![0; 100_000]);
    refuses_tar(tar, &["\"huge\"", "ends in the middle"])
}

#[test]
fn the_first_bad_member_is_the_one_that_is_named_when_layers_are_packed_in_pieces() -> Result<()> {
    let (first, second) = (around(vec![file("../first", "x")]), around(vec![file("../second", "x")]));
    let tar = [first, second].concat();
    let (one, other) = tar.split_at(700);
    let layer = ImageLayer { blob: [gzip(one), gzip(other)].concat(), ..ImageLayer::gzip(&tar) };
    Case::new()?.refuses_layer(Exit::Failed, layer, &["layer 2", "../first"])
}
