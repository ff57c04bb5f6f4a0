//! Layers with what real images seldom have.

use crate::command::run;
use crate::layer_tar::{Entry, Member, archive};
use anyhow::{Context, Result};
use std::process::Command;

/// A layer with a static busybox: [`busybox_program`].
///
/// # Errors
/// If apt cannot fetch it.
pub fn busybox() -> Result<Vec<u8>> {
    let program = busybox_program()?;
    let mut entries = vec![
        // The root's own metadata, unlike every default, so that it shows whether it was kept.
        Entry::new("./", Member::Directory).mode(0o751).owner(7, 9).mtime("1600000001"),
        Entry::new("./bin/", Member::Directory),
        Entry::new("./bin/busybox", Member::File(program)).mode(0o755),
        Entry::new("./etc/", Member::Directory),
        Entry::new("./etc/passwd", Member::File(b"root:x:0:0:root:/:/bin/sh\n".to_vec())),
        Entry::new("./run/", Member::Directory).mtime("1600000002"),
        Entry::new("./run/left-by-the-build", Member::File(b"0".to_vec())),
    ];
    for name in ["sh", "ls", "cat", "id"] {
        entries.push(Entry::new(format!("./bin/{name}"), Member::Symlink("busybox".to_owned())));
    }
    entries.push(Entry::new("./bin/ash", Member::HardLink("./bin/busybox".to_owned())));
    Ok(archive(&entries))
}

/// A static busybox, from Debian's package, which is fetched but not installed.
///
/// # Errors
/// If apt cannot fetch it.
pub fn busybox_program() -> Result<Vec<u8>> {
    let dir = tempfile::tempdir()?;
    // apt gives the download to a user of its own, who must be able to write here.
    rustix::fs::chmod(dir.path(), rustix::fs::Mode::from_raw_mode(0o755))?;
    run(Command::new("apt-get").args(["download", "--quiet", "busybox-static"]).current_dir(dir.path()))?;
    let package = std::fs::read_dir(dir.path())?.next().context("apt-get download left no file")??.path();
    let root = dir.path().join("root");
    run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root))?;
    let program =
        ["bin/busybox", "usr/bin/busybox"].iter().find_map(|path| std::fs::read(root.join(path)).ok());
    program.context("the package busybox-static has no busybox")
}

/// Four layers, bottom first: the files, whiteouts, opaque directories, and changes of kind and metadata.
pub fn oddities() -> [Vec<u8>; 4] {
    [archive(&files()), archive(&whiteouts()), archive(&opaque_directories()), archive(&changes())]
}

fn directory(path: &str) -> Entry {
    Entry::new(path, Member::Directory)
}

fn file(path: &str, data: impl Into<Vec<u8>>) -> Entry {
    Entry::new(path, Member::File(data.into()))
}

/// Bytes that neither repeat nor compress much, the same each time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64.wrapping_add(length as u64);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(length.div_ceil(8)).flatten().collect();
    bytes.truncate(length);
    bytes
}

/// `VFS_CAP_REVISION_2` with cap_net_raw, effective.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn files() -> Vec<Entry> {
    let mut entries = vec![
        directory("./").mode(0o700).mtime("1"),
        directory("usr/").mode(0o755).owner(0, 0).mtime("1650000000"),
        directory("usr/bin/"),
        directory("run/").mtime("1650000001"),
        directory("run/lock/"),
        file("run/lock/left-by-the-build", "0"),
        directory("sizes/"),
    ];
    // Around what is inline, one block, and one level of the hash tree.
    for length in [0, 1, 63, 64, 65, 4095, 4096, 4097, 128 * 4096, 128 * 4096 + 1, 3 * 1024 * 1024 + 17] {
        entries.push(file(&format!("sizes/{length}"), noise(length)));
        entries.push(file(&format!("sizes/{length}-zeros"), vec![0; length]));
    }
    entries.extend([
        file("usr/bin/ping", noise(70_000)).mode(0o755).xattr("security.capability", CAPABILITY),
        file("usr/bin/small-with-capability", "#!/bin/sh\n")
            .mode(0o755)
            .xattr("security.capability", CAPABILITY),
        file("usr/bin/su", noise(5000)).mode(0o4755),
        file("usr/bin/wall", noise(5001)).mode(0o2755).owner(0, 5),
        file("with-user-xattr", "kept or not, by the rules for OCI images")
            .xattr("user.note", b"a note")
            .xattr("trusted.overlay.opaque", b"y")
            .xattr("security.selinux", b"system_u:object_r:usr_t:s0\0"),
        directory("tmp/").mode(0o1777),
        file("fractions", "a time with nanoseconds").mtime("1650000000.123456789"),
        file("at-the-epoch", "the least time").mtime("0"),
        file("large-ids", noise(100)).owner(4_000_000_000, 3_000_000_000),
        directory("hard/"),
        file("hard/link", noise(9000)),
        Entry::new("hard/same", Member::HardLink("hard/link".to_owned())),
        Entry::new("another-name", Member::HardLink("./hard/link".to_owned())),
        file("hard/tiny", "inline"),
        Entry::new("hard/tiny-too", Member::HardLink("hard/tiny".to_owned())),
        directory("dev/"),
        Entry::new("dev/null", Member::Character(1, 3)).mode(0o666),
        Entry::new("dev/large", Member::Character(4000, 1_000_000)).mode(0o600),
        Entry::new("dev/sda", Member::Block(8, 0)).mode(0o660).owner(0, 6),
        Entry::new("dev/fifo", Member::Fifo).mode(0o620),
        Entry::new("a-link", Member::Symlink("usr/bin".to_owned())),
        Entry::new("a-long-link", Member::Symlink(format!("{}/end", "very-long/".repeat(120)))),
        Entry::new("to-nowhere", Member::Symlink("/no/such/file".to_owned())),
    ]);
    entries.extend(names());
    entries
}

/// Names at the limits, and of bytes that are not ASCII.
fn names() -> Vec<Entry> {
    let mut entries = vec![
        directory("names/"),
        file(&format!("names/{}", "n".repeat(255)), "a name of 255 bytes"),
        file("names/größe-大きさ", "UTF-8"),
        file("names/with space\tand tab", "blanks"),
        file("names/back\\slash", "not an escape"),
        file("names/equals=sign", "not a key"),
    ];
    let mut deep = String::new();
    for level in 0..60 {
        deep.push_str(&format!("level-{level}/"));
        entries.push(directory(&deep));
    }
    entries.push(file(&format!("{deep}bottom"), "far down"));
    entries
}

/// A layer with files in directories that no member names.
pub fn gaps() -> Vec<u8> {
    archive(&[directory("usr/"), file("usr/lib/deep/file", "found"), file("other/file", "found too")])
}

fn whiteouts() -> Vec<Entry> {
    vec![
        directory("sizes/"),
        file("sizes/.wh.65-zeros", ""),
        file("hard/.wh.link", ""),
        file(".wh.to-nowhere", ""),
        file("names/.wh.never-existed", ""),
        file("run/.wh.lock", ""),
        // Removed and made anew in the same layer.
        file("tmp/.wh.again", ""),
        file("tmp/again", "again"),
        directory("to-be-hidden/"),
        file("to-be-hidden/one", noise(200)),
        directory("to-be-hidden/below/"),
        file("to-be-hidden/below/two", noise(201)),
        directory("to-be-emptied/"),
        file("to-be-emptied/one", noise(202)),
    ]
}

fn opaque_directories() -> Vec<Entry> {
    vec![
        directory("to-be-hidden/").mode(0o711),
        file("to-be-hidden/.wh..wh..opq", ""),
        file("to-be-hidden/three", noise(203)),
        directory("to-be-hidden/below/"),
        directory("to-be-emptied/"),
        file("to-be-emptied/.wh..wh..opq", ""),
    ]
}

/// A directory with a file, and over it the same directory, opaque, with another file.
pub fn opaque(marker_first: bool) -> [Vec<u8>; 2] {
    let lower = [directory("usr/"), directory("hidden/"), file("hidden/old", noise(400))];
    let mut upper =
        vec![directory("hidden/"), file("hidden/.wh..wh..opq", ""), file("hidden/new", noise(401))];
    if !marker_first {
        upper.swap(1, 2);
    }
    [archive(&lower), archive(&upper)]
}

fn changes() -> Vec<Entry> {
    vec![
        // A file instead of a directory, a directory instead of a file, a link instead of both.
        file("to-be-emptied", noise(300)),
        directory("fractions/"),
        file("fractions/inside", noise(301)),
        Entry::new("a-link", Member::Symlink("sizes".to_owned())),
        // Metadata only.
        directory("hard/").mode(0o750).owner(1000, 1000).mtime("1660000000"),
        directory("usr/").mode(0o711).owner(3, 4).mtime("1660000001"),
        file("usr/bin/su", noise(5000)).mode(0o755),
        // A later member of the same name wins.
        file("once", noise(302)),
    ]
}
