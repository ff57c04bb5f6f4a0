//! Dumps: what each mode takes, and what errors say.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they skip"
)]

use proptest::prelude::*;
use sealpack_format::dump::{self, Builder, Mode};
use sealpack_format::tree::{Content, InodeId, Kind, Time, Tree};

const ROOT: &str = "/ 4096 40755 2 0 0 0 0.0 - - -\n";

fn parse(lines: &str, mode: Mode) -> Result<Tree, String> {
    dump::parse(format!("{ROOT}{lines}").as_bytes(), mode).map_err(|error| error.to_string())
}

/// The error in both modes.
fn error(lines: &str) -> String {
    let strict = parse(lines, Mode::Strict).expect_err(lines);
    assert_eq!(strict, parse(lines, Mode::Lenient).expect_err(lines));
    strict
}

/// The error of the strict mode on what the lenient mode takes, and the tree of that.
fn only_lenient(lines: &str) -> (String, Tree) {
    let tree = parse(lines, Mode::Lenient).unwrap_or_else(|error| panic!("{lines}: {error}"));
    (parse(lines, Mode::Strict).expect_err(lines), tree)
}

fn lookup<'t>(tree: &'t Tree, path: &str) -> &'t sealpack_format::tree::Inode {
    tree.inode(tree.lookup(path.as_bytes()).unwrap())
}

#[test]
fn the_example_of_the_manual_is_read() {
    let digest = "35d02f81325122d77ec1d11baba655bc9bf8a891ab26119a41c50fa03ddfb408";
    let object = format!("{}/{}", &digest[..2], &digest[2..]);
    let tree = parse(
        &format!(
            "/a\\x20dir 27 40755 2 1000 1000 0 1694598852.869646118 - - - user.x=a\\x3db user.y=c=d\n\
             /a\\x20dir/file 259 100644 2 1000 1000 0 -5.1 {object} - {digest}\n\
             /link 259 @100644 2 1000 1000 0 1.1 /a\\x20dir/file - {digest}\n\
             /inline.txt 10 100644 1 0 0 0 0.0 - some-text\\n -\n\
             /dash 1 120777 1 0 0 0 0.0 \\x2d - -\n\
             /elsewhere 9 100644 7 0 0 0 0.0 some/path - -\n"
        ),
        Mode::Strict,
    )
    .unwrap();
    let file = lookup(&tree, "/a dir/file");
    assert!(
        matches!(&file.kind, Kind::Regular(Content::Object { size: 259, id }) if id.to_string() == digest)
    );
    assert_eq!((file.names(), file.stated_links), (2, None));
    assert_eq!(file.metadata.mtime, Time { seconds: -5, nanoseconds: 1 });
    assert_eq!(tree.lookup(b"link"), tree.lookup(b"a dir/file"));
    let dir = lookup(&tree, "a dir");
    assert_eq!(dir.metadata.xattrs.get(b"user.x"), Some(&b"a=b"[..]));
    assert_eq!(dir.metadata.xattrs.get(b"user.y"), Some(&b"c=d"[..]));
    assert_eq!(lookup(&tree, "dash").kind, Kind::Symlink((*b"-").into()));
    assert_eq!(lookup(&tree, "inline.txt").kind, Kind::Regular(Content::Inline((*b"some-text\n").into())));
    let elsewhere = lookup(&tree, "elsewhere");
    let external = Content::External { size: 9, path: (*b"some/path").into(), digest: None };
    assert_eq!((&elsewhere.kind, elsewhere.stated_links), (&Kind::Regular(external), Some(7)));
}

#[test]
fn hard_links_may_come_before_their_targets_and_lead_over_others() {
    let tree = parse(
        "/a 0 @100644 1 0 0 0 0.0 /b - -\n/b 0 @100644 1 0 0 0 0.0 /dir/c - -\n\
         /dir 0 40755 2 0 0 0 0.0 - - -\n/dir/c 0 100644 3 0 0 0 0.0 - - -\n",
        Mode::Strict,
    )
    .unwrap();
    let id = tree.lookup(b"dir/c").unwrap();
    assert_eq!((tree.lookup(b"a"), tree.lookup(b"b")), (Some(id), Some(id)));
    assert_eq!(tree.first_name(id), Some((tree.lookup(b"dir").unwrap(), &b"c"[..])));
    assert_eq!(tree.inode(id).stated_links, None);
    // The line of the first name counts, whatever the others say.
    let tree =
        parse("/a 0 100644 1 0 0 0 0.0 - - -\n/b 0 @100644 9 0 0 0 0.0 /a - -\n", Mode::Strict).unwrap();
    assert_eq!(lookup(&tree, "b").stated_links, Some(1));
}

#[test]
fn errors_name_the_line_and_what_is_wrong_with_it() {
    let file = |rest: &str| error(&format!("/a 0 40755 2 0 0 0 0.0 - - -\n{rest}\n"));
    for (line, words) in [
        ("", "line 3: the path must"),
        ("/f 0 100644 1 0 0 0 0.0 - \\q -", "the field CONTENT has a bad escape at position 0"),
        ("/\0 0 100644 1 0 0 0 0.0 - - -", "a NUL byte at position 1"),
        ("/f x 100644 1 0 0 0 0.0 - - -", "the field SIZE must be a number, not \"x\""),
        ("/f 0 100648 1 0 0 0 0.0 - - -", "the field MODE must be a number"),
        ("/f 0 644 1 0 0 0 0.0 - - -", "the mode 644 has no known file type"),
        ("/f 0 100644 1 0 0 0 0 - - -", "the field MTIME must be a number of seconds, a dot"),
        ("/f 0 100644 1 0 0 0 0.1000000000 - - -", "up to 999999999 nanoseconds"),
        ("/f 3 100644 1 0 0 0 0.0 - ab -", "the inline content has 2 bytes, but the size is 3"),
        ("/f 3 100644 1 0 0 0 0.0 - - 00ff", "the digest must have 64 or 128 hex digits"),
        ("/f 4294967296 10644 1 0 0 0 0.0 - - -", "too large for something that has no content"),
        ("/f 0 100644 1 0 0 0 0.0 - - - user.x", "the attribute \"user.x\" has no ="),
        ("/f 0 100644 1 0 0 0 0.0 - - -  user.x=", "the attribute \"\" has no ="),
        ("/f 0 100644 1 0 0 0 0.0 - - - =x", "must have 1 to 255 bytes, not 0"),
        ("/ 0 40755 2 0 0 0 0.0 - - -", "there is a second root"),
        ("/a 0 100644 1 0 0 0 0.0 - - -", "already a file called \"a\""),
        ("/a/b/c 0 100644 1 0 0 0 0.0 - - -", "the directory \"a/b\" must come before"),
        ("/a/.. 0 40755 2 0 0 0 0.0 - - -", "\"..\" cannot be a file name"),
        ("/l 0 @40755 1 0 0 0 0.0 /a - -", "a directory cannot be a hard link"),
        ("/l 0 @100644 1 0 0 0 0.0 /a - -", "line 3: a directory cannot be a hard link"),
        ("/l 0 @100644 1 0 0 0 0.0 / - -", "a directory cannot be a hard link"),
        ("/l 0 @100644 1 0 0 0 0.0 - - -", "a hard link needs its target"),
        ("/l 0 @100644 1 0 0 0 0.0 /x - -", "there is no \"/x\" to be a hard link to"),
        ("/l 0 @100644 1 0 0 0 0.0 /a/x/y - -", "there is no \"/a/x/y\""),
        ("/l 0 @100644 1 0 0 0 0.0 /l - -", "leads back to itself"),
        (
            "/l 0 @100644 1 0 0 0 0.0 /m - -\n/m 0 @100644 1 0 0 0 0.0 /l - -",
            "line 3: the hard link to \"/m\"",
        ),
        (
            "/l 0 @100644 1 0 0 0 0.0 /f - -\n/l 0 @100644 1 0 0 0 0.0 /f - -\n/f 0 10644 1 0 0 0 0.0 - - -",
            "line 4: ",
        ),
    ] {
        let message = file(line);
        assert!(message.starts_with("line ") && message.contains(words), "{line:?}: {message}");
    }
    let below = error("/f 0 100644 1 0 0 0 0.0 - - -\n/f/g 0 100644 1 0 0 0 0.0 - - -\n");
    assert_eq!(below, "line 3: \"f\" is not a directory");
    for mode in [Mode::Strict, Mode::Lenient] {
        let message = |bytes: &[u8]| dump::parse(bytes, mode).unwrap_err().to_string();
        assert_eq!(message(b""), "line 1: the dump has no entries");
        assert_eq!(
            message(b"/a 0 40755 2 0 0 0 0.0 - - -\n"),
            "line 1: the root directory / must come first"
        );
        assert_eq!(message(b"/ 0 100644 2 0 0 0 0.0 - - -\n"), "line 1: the root / must be a directory");
        assert_eq!(message(b"/ 0 @100644 2 0 0 0 0.0 / - -\n"), "line 1: the root / must be a directory");
    }
}

#[test]
fn the_lenient_mode_takes_what_c_takes() {
    for (line, words) in [
        ("/s 99 120777 1 0 0 0 0.0 target - -\n", "must be that of its target, 6, not 99"),
        ("/s 1 120777 1 0 0 0 0.0 t x -\n", "a symbolic link cannot have content"),
        ("/s 1 120777 1 0 0 7 0.0 t - -\n", "only devices can have a device number"),
        ("//s 1 120777 1 0 0 0 0.0 t - -\n", "must start with a slash and have no empty names"),
        ("s 1 120777 1 0 0 0 0.0 t - -\n", "must start with a slash and have no empty names"),
        ("/s\\x00rest 1 120777 1 0 0 0 0.0 t - -\n", "the field PATH has a NUL byte"),
        ("/s +1 120777 1 0 0 0 0.0 t - -\n", "the field SIZE must be a number"),
        ("/s 1 120777 1 4294967296 0 0 0.0 t - -\n", "UID must be a number up to 4294967295"),
        ("/s 1 120777 1 0 0 0 0.0 t - -", "the newline at the end is missing"),
        ("/s 1 120777 1 0 0 0 0.0 t -\n", "the field DIGEST is missing"),
    ] {
        let (message, tree) = only_lenient(line);
        assert!(message.contains(words), "{line:?}: {message}");
        assert!(matches!(lookup(&tree, "s").kind, Kind::Symlink(_)), "{line:?}");
    }
    let (_, tree) =
        only_lenient("/s 1 120777 -1 4294967297 99999999999999999999 0 18446744073709551615.0 t - -\n");
    let inode = lookup(&tree, "s");
    assert_eq!((inode.stated_links, inode.metadata.uid), (Some(u32::MAX), 1));
    assert_eq!((inode.metadata.gid, inode.metadata.mtime.seconds), (u32::MAX, -1));
}

#[test]
fn attributes_are_limited_as_composefs_counts_them() {
    // 12 for the first, and 7 for each beside name and value.
    let file = |value: usize| format!("/f 0 100644 1 0 0 0 0.0 - - - a={}\n", "x".repeat(value));
    assert!(parse(&file(32_767 - 12 - 7 - 1), Mode::Strict).is_ok());
    assert!(error(&file(32_767 - 12 - 7)).contains("more than 32767 bytes together"));
    let twice = |value: usize| {
        let value = "x".repeat(value);
        format!("/f 0 100644 1 0 0 0 0.0 - - - a={value} a={value} b=1\n")
    };
    assert!(parse(&twice(30_000), Mode::Strict).is_ok());
    let tree = parse("/f 0 100644 1 0 0 0 0.0 - - - a=1 b=2 a=3\n", Mode::Strict).unwrap();
    assert_eq!(lookup(&tree, "f").metadata.xattrs.get(b"a"), Some(&b"3"[..]));
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let mut builder = Builder::new(Mode::Lenient);
    let piece = vec![b'x'; 1 << 20];
    let refused = (0..17).find_map(|_| builder.push(&piece).err()).unwrap();
    assert_eq!(refused.to_string(), "line 1: the line has more than 16 MiB");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_of_any_size_make_the_same_tree(cuts in prop::collection::vec(0..200_usize, 0..6)) {
        let text = format!("{ROOT}/a 0 40755 2 0 0 0 0.0 - - -\n/a/b 3 100644 1 0 0 0 0.0 - abc - user.x=y\n/a/c 0 10644 1 0 0 0 0.0 - - -\n");
        let mut builder = Builder::new(Mode::Strict);
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            builder.push(piece).unwrap();
            rest = more;
        }
        builder.push(rest).unwrap();
        let tree = builder.finish().unwrap();
        prop_assert_eq!(tree.len(), 4);
        prop_assert!(tree.child(tree.child(InodeId::ROOT, b"a").unwrap(), b"c").is_some());
    }

    #[test]
    fn arbitrary_text_gives_a_tree_or_an_error(
        lines in prop::collection::vec("(/[ab.]{0,2}){1,3} [0-9]{1,3} @?(4|10|12|2|1)0[0-7]{3} [0-9-]{1,2} [0-9] [0-9] [0-9] [0-9-]{1,2}\\.[0-9] (-|/a|/b|\\\\x2d|\\\\n) (-|x|) (-|00)( [ab]?=?[\\\\xa0-9]{0,3}){0,2}", 0..6),
        strict in any::<bool>(),
    ) {
        let mode = if strict { Mode::Strict } else { Mode::Lenient };
        if let Ok(tree) = parse(&(lines.join("\n") + "\n"), mode) {
            let mut text = Vec::new();
            dump::write(&tree, &mut text).unwrap();
            let again = dump::parse(&text, Mode::Strict).unwrap();
            let mut second = Vec::new();
            dump::write(&again, &mut second).unwrap();
            prop_assert_eq!(text, second);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for mode in [Mode::Strict, Mode::Lenient] {
            drop(dump::parse(&bytes, mode));
            drop(dump::parse(&[ROOT.as_bytes(), &bytes].concat(), mode));
        }
    }
}
