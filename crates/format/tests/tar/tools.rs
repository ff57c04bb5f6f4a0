//! Archives that GNU tar and Python write, against the files they were made of and against what
//! Python reads.

use std::ffi::{CString, OsStr};
use std::fs::{self, File, FileTimes, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{Mode, XattrFlags};
use sealpack_format::tar::{Member, MemberKind};
use sealpack_format::tree::Xattrs;
use sha2::{Digest, Sha256};

use crate::builder::{self, Piece, read};

/// Which files an archive is made of, by what a format can hold.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Contents {
    /// Names below 100 bytes; regular files, directories, links.
    V7,
    /// Names below 256 bytes, fifos and devices.
    Ustar,
    /// Names of any length and all numbers.
    All,
}

/// A directory with something of everything in it. What only root can make is there for root only.
fn make_source(root: &Path, contents: Contents) {
    for size in [0, 1, 511, 512, 513, 100_000] {
        let bytes: Vec<u8> = (0..size).map(|n: usize| (n.wrapping_mul(7919) >> 3) as u8).collect();
        let path = root.join(format!("size-{size}"));
        fs::write(&path, bytes).unwrap();
        set_mtime(&path, 1_234_567_890 + size as i64, 123_456_789);
    }
    fs::write(root.join(OsStr::from_bytes(b"not utf-8 \xff\xfe\n")), b"x").unwrap();
    fs::create_dir_all(root.join("dir/below/it")).unwrap();
    fs::write(root.join("dir/below/it/file"), b"text").unwrap();
    // What nobody may read, only root can put into an archive.
    let least = if is_root() { 0 } else { 0o400 };
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2751), ("least", least), ("all", 0o777)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(root.join("dir/below"), fs::Permissions::from_mode(0o1770)).unwrap();
    fs::hard_link(root.join("size-513"), root.join("dir/link")).unwrap();
    symlink("../no/such/file", root.join("dir/symlink")).unwrap();
    if contents >= Contents::Ustar {
        let directory = root.join("d".repeat(90)).join("e".repeat(50));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("f".repeat(90)), b"needs a prefix").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), rustix::fs::FileType::Fifo, Mode::RWXU, 0)
            .unwrap();
        if is_root() {
            make_device(&root.join("null"), rustix::fs::FileType::CharacterDevice, 1, 3);
            make_device(&root.join("disk"), rustix::fs::FileType::BlockDevice, 259, 65_536);
            chown(root.join("all"), Some(70_000), Some(2_000_000)).unwrap();
        }
    }
    if contents >= Contents::All {
        let mut directory = root.join("long");
        directory.extend((0..4).map(|n| format!("{n}").repeat(200)));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("file"), b"far down").unwrap();
        fs::hard_link(directory.join("file"), root.join("long/hard link")).unwrap();
        symlink("../".repeat(300), root.join("long/symlink")).unwrap();
        fs::write(root.join("before 1970"), b"x").unwrap();
        set_mtime(&root.join("before 1970"), -2, 750_000_000);
        if is_root() {
            chown(root.join("before 1970"), Some(3_000_000_000), Some(4_000_000_000)).unwrap();
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn make_device(path: &Path, kind: rustix::fs::FileType, major: u32, minor: u32) {
    let number = rustix::fs::makedev(major, minor);
    match rustix::fs::mknodat(rustix::fs::CWD, path, kind, Mode::from_raw_mode(0o640), number) {
        Ok(()) => {}
        Err(error) => println!("skipped in part: no device {major}:{minor} in the archives: {error}"),
    }
}

fn set_mtime(path: &Path, seconds: i64, nanoseconds: u32) {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
    let time = whole + Duration::from_nanos(nanoseconds.into());
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Whether `program --version` says `name`; says so when it does not.
fn has(program: &str, name: &str) -> bool {
    let output = Command::new(program).arg("--version").output();
    let found = output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(name));
    if !found {
        println!("skipped: there is no {name} called {program} on this machine");
    }
    found
}

/// Runs GNU tar over all that is in `root`.
fn gnu_tar(root: &Path, archive: &Path, options: &[&str]) {
    let status = Command::new("tar")
        .args(["--create", "--sort=name", "--file"])
        .arg(archive)
        .args(options)
        .arg("--directory")
        .arg(root)
        .arg(".")
        .env("LC_ALL", "C")
        .status();
    assert!(status.unwrap().success(), "tar {options:?}");
}

/// Every path below `root`, itself included, as GNU tar writes it, without slash at the end.
fn paths_below(root: &Path) -> Vec<Vec<u8>> {
    let mut found = vec![b".".to_vec()];
    let mut directories = vec![PathBuf::from(".")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root.join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            found.push(path.as_os_str().as_bytes().to_vec());
            if entry.file_type().unwrap().is_dir() {
                directories.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Checks that `archive` holds all that is below `root` and nothing else. Returns the bytes of holes.
fn compare(root: &Path, archive: &Path, options: &[&str]) -> u64 {
    let files = read(&fs::read(archive).unwrap()).unwrap();
    let mut paths: Vec<Vec<u8>> = files
        .iter()
        .map(|file| file.member.path.strip_suffix(b"/").unwrap_or(&file.member.path).to_vec())
        .collect();
    paths.sort();
    assert_eq!(paths, paths_below(root), "{options:?}");
    let mut holes = 0;
    for file in &files {
        let shown = format!("{} in {options:?}", file.path());
        let path = root.join(OsStr::from_bytes(&file.member.path));
        let path = Path::new(OsStr::from_bytes(
            path.as_os_str().as_bytes().strip_suffix(b"/").unwrap_or(path.as_os_str().as_bytes()),
        ));
        let metadata = fs::symlink_metadata(path).unwrap();
        compare_metadata(&file.member, &metadata, options.contains(&"--format=posix"), &shown);
        compare_kind(&file.member, root, path, &metadata, &shown);
        if file.member.kind == MemberKind::Regular {
            assert_eq!(file.member.size, metadata.len(), "{shown}");
            assert!(file.content() == fs::read(path).unwrap(), "content of {shown}");
        }
        if options.contains(&"--xattrs") {
            assert_eq!(file.member.xattrs, xattrs_of(path), "{shown}");
        }
        holes += file
            .pieces
            .iter()
            .map(|piece| if let Piece::Hole(count) = piece { *count } else { 0 })
            .sum::<u64>();
    }
    holes
}

fn compare_metadata(member: &Member, metadata: &Metadata, nanoseconds: bool, shown: &str) {
    assert_eq!(u32::from(member.permissions), metadata.mode() & 0o7777, "{shown}");
    assert_eq!((member.uid, member.gid), (metadata.uid(), metadata.gid()), "{shown}");
    assert_eq!(member.mtime.seconds, metadata.mtime(), "{shown}");
    let expected = if nanoseconds { metadata.mtime_nsec() } else { 0 };
    assert_eq!(i64::from(member.mtime.nanoseconds), expected, "{shown}");
}

fn compare_kind(member: &Member, root: &Path, path: &Path, metadata: &Metadata, shown: &str) {
    let kind = metadata.file_type();
    let device = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    let same = match &member.kind {
        MemberKind::Regular => kind.is_file(),
        MemberKind::Directory => kind.is_dir(),
        MemberKind::Fifo => kind.is_fifo(),
        MemberKind::Symlink(target) => {
            kind.is_symlink() && fs::read_link(path).unwrap().as_os_str().as_bytes() == target
        }
        MemberKind::HardLink(target) => {
            let target = fs::symlink_metadata(root.join(OsStr::from_bytes(target))).unwrap();
            target.ino() == metadata.ino()
        }
        MemberKind::CharDevice { major, minor } => kind.is_char_device() && (*major, *minor) == device,
        MemberKind::BlockDevice { major, minor } => kind.is_block_device() && (*major, *minor) == device,
    };
    assert!(same, "{shown} is {:?}", member.kind);
}

fn xattrs_of(path: &Path) -> Xattrs {
    let mut names = vec![0; 64 * 1024];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut xattrs = Xattrs::default();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 * 1024];
        let length =
            rustix::fs::lgetxattr(path, CString::new(name).unwrap().as_c_str(), &mut value[..]).unwrap();
        xattrs.insert(name, &value[..length]);
    }
    xattrs
}

#[test]
fn what_gnu_tar_writes_in_any_format_is_what_was_there() {
    if !has("tar", "GNU tar") {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let archive = temporary.path().join("archive.tar");
    for (contents, formats) in [
        (Contents::V7, &["v7"][..]),
        (Contents::Ustar, &["ustar"]),
        (Contents::All, &["oldgnu", "gnu", "posix"]),
    ] {
        let root = temporary.path().join(formats[0]);
        fs::create_dir(&root).unwrap();
        make_source(&root, contents);
        for format in formats {
            let options = [format!("--format={format}")];
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            gnu_tar(&root, &archive, &options);
            assert_eq!(compare(&root, &archive, &options), 0);
        }
    }
}

#[test]
fn sparse_files_of_gnu_tar_have_the_contents_that_were_there() {
    if !has("tar", "GNU tar") {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let (root, archive) = (temporary.path().join("root"), temporary.path().join("archive.tar"));
    fs::create_dir(&root).unwrap();
    for (name, regions, size) in [
        ("only a hole", 0, 1 << 20),
        ("starts with data", 1, 1 << 20),
        ("ends with data", 3, 2 * 131_072 + 4096),
        ("ends in a block", 3, 2 * 131_072 + 100),
        ("many regions", 200, 200 * 131_072),
    ] {
        let file = File::create(root.join(name)).unwrap();
        for region in 0..regions {
            file.write_all_at(&[region as u8 + 1; 4096], region * 131_072).unwrap();
        }
        file.set_len(size).unwrap();
    }
    fs::create_dir_all(root.join("d".repeat(150))).unwrap();
    File::create(root.join("d".repeat(150)).join("with a long name")).unwrap().set_len(100_000).unwrap();
    for options in [
        &["--format=oldgnu"][..],
        &["--format=gnu"],
        &["--format=gnu", "--hole-detection=raw"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
        &["--format=posix", "--sparse-version=1.0", "--hole-detection=raw"],
    ] {
        let options = [options, &["--sparse"]].concat();
        gnu_tar(&root, &archive, &options);
        let holes = compare(&root, &archive, &options);
        assert!(holes > 200 * 120_000, "{options:?}: {holes} bytes of holes");
    }
}

#[test]
fn extended_attributes_of_gnu_tar_are_those_that_were_there() {
    if !has("tar", "GNU tar") {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let (root, archive) = (temporary.path().join("root"), temporary.path().join("archive.tar"));
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), b"x").unwrap();
    let mut attributes: Vec<(&str, &[u8])> = vec![
        ("user.plain", b"value"),
        ("user.empty", b""),
        ("user.binary", b"\0\xff\n=\n12 a=b\n"),
        ("user.a=b%c", b"with signs in its name"),
    ];
    if is_root() {
        attributes.push(("security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
        attributes.push(("trusted.something", b"for root"));
    }
    for (name, value) in attributes {
        if let Err(error) = rustix::fs::setxattr(root.join("file"), name, value, XattrFlags::empty()) {
            println!("skipped: no extended attributes in {}: {error}", root.display());
            return;
        }
    }
    let options = ["--format=posix", "--xattrs", "--xattrs-include=*"];
    gnu_tar(&root, &archive, &options);
    compare(&root, &archive, &options);
}

/// Writes archives of its own into the directory that is its first argument, then prints what it
/// reads in them and in the archives that are its other arguments, a line for each member.
const PYTHON: &str = r#"
import hashlib, io, math, os, sys, tarfile

def member(name, kind=tarfile.REGTYPE, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, len(data), 1234567890
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data

BINARY = "caf\udce9/" + "n" * 120
PLAIN = [
    member("file", data=b"x" * 1000, mode=0o4755, uid=1000, gid=100),
    member("dir", tarfile.DIRTYPE, mode=0o1777),
    member("dir/hard", tarfile.LNKTYPE, linkname="file"),
    member("dir/soft", tarfile.SYMTYPE, linkname="../file"),
    member("fifo", tarfile.FIFOTYPE),
    member("char", tarfile.CHRTYPE, devmajor=1, devminor=3),
    member("block", tarfile.BLKTYPE, devmajor=8, devminor=17),
    member("cont", tarfile.CONTTYPE, data=b"contiguous"),
    member("p" * 100 + "/" + "n" * 90, data=b"prefix"),
]
ODD = [
    member("l" * 90 + "/" + "o" * 300, data=b"long"),
    member("long link", tarfile.SYMTYPE, linkname="t" * 400),
    member("d" * 200, tarfile.DIRTYPE),
    member(BINARY, data=b"bytes"),
    member("owner", uid=3000000000, gid=4294967295),
    member("before", mtime=-86400),
    member("far", mtime=1 << 40),
]
PAX = [
    member("times", mtime=-1.25),
    member("later", mtime=1234567890.5),
    member("attributes", data=b"y", pax_headers={"SCHILY.xattr.user.a": "value", "SCHILY.xattr.user.b": "c=\nd"}),
    member("comment", pax_headers={"comment": "nothing", "VENDOR.key": "z" * 2000}),
]

def write(path, form, members, **options):
    with tarfile.open(path, "w", format=form, errors="surrogateescape", encoding="utf-8", **options) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path

def show(path):
    with tarfile.open(path, errors="surrogateescape", encoding="utf-8") as tar:
        for info in tar:
            kind = "0" if info.isreg() else info.type.decode()
            link = os.fsencode(info.linkname).hex() if info.issym() or info.islnk() else ""
            size, digest = 0, ""
            if info.isreg():
                size, digest = info.size, hashlib.sha256(tar.extractfile(info).read()).hexdigest()
            device = "%d:%d" % (info.devmajor, info.devminor) if info.isdev() and not info.isfifo() else ""
            prefix = "SCHILY.xattr."
            xattrs = sorted((os.fsencode(key[len(prefix):]).hex(), os.fsencode(value).hex())
                            for key, value in info.pax_headers.items() if key.startswith(prefix))
            fields = [os.fsencode(info.name).hex(), kind, "%o" % (info.mode & 0o7777), info.uid, info.gid,
                      math.floor(info.mtime), size, link, device, digest,
                      ",".join(key + "=" + value for key, value in xattrs)]
            print(os.path.basename(path), *fields, sep="\t")

directory = sys.argv[1]
written = [
    write(directory + "/ustar.tar", tarfile.USTAR_FORMAT, PLAIN),
    write(directory + "/gnu.tar", tarfile.GNU_FORMAT, PLAIN + ODD),
    write(directory + "/pax.tar", tarfile.PAX_FORMAT, PLAIN + ODD + PAX),
    write(directory + "/global.tar", tarfile.PAX_FORMAT, PLAIN + PAX,
          pax_headers={"gid": "77", "comment": "for all", "mtime": "99.5"}),
]
for path in written + sys.argv[2:]:
    show(path)
"#;

/// The line that Python prints for `file`.
fn line(archive: &str, file: &builder::File) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let member = &file.member;
    let (kind, link, device) = match &member.kind {
        MemberKind::Regular => ("0", &b""[..], String::new()),
        MemberKind::HardLink(target) => ("1", &target[..], String::new()),
        MemberKind::Symlink(target) => ("2", &target[..], String::new()),
        MemberKind::CharDevice { major, minor } => ("3", &b""[..], format!("{major}:{minor}")),
        MemberKind::BlockDevice { major, minor } => ("4", &b""[..], format!("{major}:{minor}")),
        MemberKind::Directory => ("5", &b""[..], String::new()),
        MemberKind::Fifo => ("6", &b""[..], String::new()),
    };
    let digest = if kind == "0" { hex(&Sha256::digest(file.content())) } else { String::new() };
    let xattrs: Vec<String> =
        member.xattrs.iter().map(|(key, value)| format!("{}={}", hex(key), hex(value))).collect();
    let path = member.path.strip_suffix(b"/").unwrap_or(&member.path);
    format!(
        "{archive}\t{}\t{kind}\t{:o}\t{}\t{}\t{}\t{}\t{}\t{device}\t{digest}\t{}",
        hex(path),
        member.permissions,
        member.uid,
        member.gid,
        member.mtime.seconds,
        member.size,
        hex(link),
        xattrs.join(",")
    )
}

#[test]
fn python_and_this_reader_see_the_same_in_every_archive() {
    if !has("python3", "Python 3") {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().join("root");
    fs::create_dir(&root).unwrap();
    let mut archives = ["ustar", "gnu", "pax", "global"]
        .map(|name| temporary.path().join(name).with_extension("tar"))
        .to_vec();
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON]).arg(temporary.path());
    if has("tar", "GNU tar") {
        make_source(&root, Contents::All);
        File::create(root.join("sparse")).unwrap().set_len(1 << 20).unwrap();
        for (name, options) in [
            ("from-gnu.tar", &["--format=gnu", "--sparse", "--label=a label"][..]),
            ("from-posix-0.tar", &["--format=posix", "--sparse", "--sparse-version=0.1", "--label=a label"]),
            (
                "from-posix-1.tar",
                &["--format=posix", "--sparse", "--pax-option=globexthdr.name=g,comment=hello"],
            ),
        ] {
            archives.push(temporary.path().join(name));
            gnu_tar(&root, &temporary.path().join(name), options);
            command.arg(temporary.path().join(name));
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ours: Vec<String> = archives
        .iter()
        .flat_map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let files = read(&fs::read(path).unwrap()).unwrap();
            files.iter().map(|file| line(name, file)).collect::<Vec<_>>()
        })
        .collect();
    let theirs = String::from_utf8(output.stdout).unwrap();
    // Python makes a member of the label of a volume.
    let theirs: Vec<&str> = theirs.lines().filter(|line| !line.contains("\tV\t")).collect();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}
