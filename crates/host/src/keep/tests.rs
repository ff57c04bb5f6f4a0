use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use sealpack_format::Algorithm;
use sealpack_format::boot::keep::FILE_MAX_BYTES;
use sealpack_format::tree::{Content, Inode, Kind, Metadata};
use sealpack_format::verity::fsverity_digest;

use super::*;

/// A directory with `etc` and, once something is kept, `data/etc`.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.etc("")).unwrap();
        place
    }

    fn etc(&self, path: &str) -> PathBuf {
        self.0.path().join("etc").join(path)
    }

    fn kept(&self, path: &str) -> PathBuf {
        self.0.path().join("data").join(path)
    }

    fn write(&self, path: &str, content: &str, mode: u32) {
        let path = self.etc(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn keep_with(&self, list: &str, image: Option<&Tree>) -> Result<Kept, KeepError> {
        let list = KeepList::parse(list.as_bytes()).unwrap();
        let (etc, kept) = (self.etc(""), self.kept(""));
        keep(&Keeping { etc: &etc, kept: &kept, list: &list, image })
    }

    fn keep(&self, list: &str) -> Kept {
        self.keep_with(list, None).unwrap()
    }
}

fn texts(paths: &[EtcPath]) -> Vec<String> {
    paths.iter().map(ToString::to_string).collect()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

const LIST: &str = "/etc/machine-id\n/etc/ssh/ssh_host_key\n/etc/app/\n";

#[test]
fn files_are_kept_with_their_modes_and_directories_and_once_only() {
    let place = Place::new();
    place.write("machine-id", "1234\n", 0o444);
    place.write("ssh/ssh_host_key", "secret", 0o600);
    place.write("ssh/other", "not named", 0o600);
    place.write("app/a", "a", 0o640);
    place.write("app/deep/er/b", "b", 0o4755);
    fs::set_permissions(place.etc("app/deep"), fs::Permissions::from_mode(0o750)).unwrap();
    let kept = place.keep(LIST);
    let expected = ["/etc/app/a", "/etc/app/deep/er/b", "/etc/machine-id", "/etc/ssh/ssh_host_key"];
    assert_eq!(texts(&kept.written), expected);
    assert_eq!((kept.unchanged.len(), kept.removed.len(), kept.passed_over.len()), (0, 0, 0));
    assert_eq!(fs::read_to_string(place.kept("ssh/ssh_host_key")).unwrap(), "secret");
    assert_eq!((mode(place.kept("machine-id")), mode(place.kept("ssh/ssh_host_key"))), (0o444, 0o600));
    assert_eq!(mode(place.kept("app/deep/er/b")), 0o755, "it gives nobody rights");
    assert_eq!((mode(place.kept("app/deep")), mode(place.kept(""))), (0o750, 0o700));
    assert!(!place.kept("ssh/other").exists());

    let again = place.keep(LIST);
    assert_eq!((again.written.len(), again.unchanged.len()), (0, 4));
    fs::set_permissions(place.etc("app/a"), fs::Permissions::from_mode(0o600)).unwrap();
    place.write("machine-id", "5678\n", 0o444);
    assert_eq!(texts(&place.keep(LIST).written), ["/etc/app/a", "/etc/machine-id"]);
    assert_eq!(fs::read_to_string(place.kept("machine-id")).unwrap(), "5678\n");
}

#[test]
fn what_is_gone_goes_and_what_the_list_does_not_name_stays() {
    let place = Place::new();
    for name in ["machine-id", "app/a", "app/deep/b"] {
        place.write(name, name, 0o600);
    }
    place.keep(LIST);
    fs::create_dir_all(place.kept("other")).unwrap();
    fs::write(place.kept("other/older-images"), "x").unwrap();
    fs::write(place.kept("app/.sealpack-keep.new"), "half").unwrap();
    fs::remove_dir_all(place.etc("app/deep")).unwrap();
    fs::remove_file(place.etc("machine-id")).unwrap();
    let kept = place.keep(LIST);
    let mut removed = texts(&kept.removed);
    removed.sort();
    assert_eq!(removed, ["/etc/app/deep/b", "/etc/machine-id"]);
    assert!(!place.kept("app/deep").exists() && place.kept("app/a").exists());
    assert!(!place.kept("app/.sealpack-keep.new").exists(), "what a killed run left goes");
    assert!(place.kept("other/older-images").exists());
}

#[test]
fn links_devices_and_what_says_what_is_run_are_passed_over() {
    let place = Place::new();
    place.write("app/real", "x", 0o600);
    place.write("app/x-generators/run", "x", 0o755);
    place.write("secret", "secret", 0o600);
    symlink("../secret", place.etc("app/link")).unwrap();
    symlink("app", place.etc("linked")).unwrap();
    fs::create_dir(place.etc("machine-id")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.etc("app/socket")).unwrap();
    let kept = place.keep("/etc/app/\n/etc/machine-id\n/etc/linked/real\n/etc/linked/\n");
    assert_eq!(texts(&kept.written), ["/etc/app/real"]);
    let why: Vec<(&str, &Why)> =
        kept.passed_over.iter().map(|passed| (passed.path.to_str().unwrap(), &passed.why)).collect();
    let expected = [
        ("app/link", &Why::Link),
        ("app/socket", &Why::Kind),
        ("app/x-generators", &Why::Never(EtcPathError::Runs)),
        ("machine-id", &Why::Kind),
        ("linked/real", &Why::Link),
        ("linked", &Why::Link),
    ];
    assert_eq!(why, expected);
    assert!(!kept.passed_over.iter().any(|passed| passed.why.is_failure()));
}

/// A link on the data partition would have root write wherever it leads.
#[test]
fn nothing_is_written_through_a_link_on_the_data_partition() {
    let place = Place::new();
    place.write("app/a", "a", 0o600);
    let elsewhere = place.0.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::create_dir(place.kept("")).unwrap();
    symlink(&elsewhere, place.kept("app")).unwrap();
    let error = place.keep_with(LIST, None).unwrap_err().to_string();
    assert!(error.contains("app/a") && error.contains("symbolic link"), "{error}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    fs::remove_file(place.kept("app")).unwrap();
    fs::create_dir(place.kept("app")).unwrap();
    symlink(elsewhere.join("target"), place.kept("app/a")).unwrap();
    place.keep(LIST);
    assert!(!elsewhere.join("target").exists());
    assert_eq!(fs::read_to_string(place.kept("app/a")).unwrap(), "a");
}

#[test]
fn a_file_that_is_too_large_is_named_and_what_was_kept_of_it_stays() {
    let place = Place::new();
    place.write("app/a", "a", 0o600);
    place.keep(LIST);
    let large = fs::File::options().write(true).open(place.etc("app/a")).unwrap();
    large.set_len(FILE_MAX_BYTES + 1).unwrap();
    let kept = place.keep(LIST);
    assert_eq!((kept.written.len(), kept.removed.len()), (0, 0));
    let [passed] = &kept.passed_over[..] else { panic!("{kept:?}") };
    assert!(passed.why.is_failure() && passed.why.to_string().contains("1048577 bytes"), "{passed:?}");
    assert_eq!(fs::read_to_string(place.kept("app/a")).unwrap(), "a");
    large.set_len(FILE_MAX_BYTES).unwrap();
    assert_eq!(texts(&place.keep(LIST).written), ["/etc/app/a"]);
}

#[test]
fn more_than_is_kept_changes_nothing() {
    let place = Place::new();
    place.write("app/a", "before", 0o600);
    place.keep(LIST);
    place.write("app/a", "after", 0o600);
    for number in 0..FILES_MAX {
        place.write(&format!("app/many/{number}"), "", 0o600);
    }
    let error = place.keep_with(LIST, None).unwrap_err();
    assert!(matches!(error, KeepError::TooMuch), "{error}");
    assert!(!place.kept("app/many").exists());
    assert_eq!(fs::read_to_string(place.kept("app/a")).unwrap(), "before");
    fs::remove_file(place.etc("app/many/0")).unwrap();
    assert_eq!(place.keep(LIST).written.len(), FILES_MAX);
}

/// An image with these files below `/etc`, all of this process's owner and mode 0644.
fn image(files: &[(&str, Content)]) -> Tree {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let metadata = |permissions| Metadata { permissions, uid: user, gid: group, ..Metadata::default() };
    let mut tree = Tree::new(metadata(0o755));
    let root = tree.lookup(b"/").unwrap();
    let directory = Inode::new(metadata(0o755), Kind::Directory(Default::default()));
    let etc = tree.insert(root, b"etc", directory).unwrap();
    for (name, content) in files {
        let file = Inode::new(metadata(0o644), Kind::Regular(content.clone()));
        tree.insert(etc, name.as_bytes(), file).unwrap();
    }
    tree
}

/// A kept `passwd` hides the accounts of a later image, so only one that somebody changed is kept.
#[test]
fn what_is_as_in_the_image_is_not_kept_and_goes_when_it_is_so_again() {
    let place = Place::new();
    let passwd = "root:x:0:0:root:/root:/bin/bash\n".repeat(10);
    let object = Content::Object {
        size: passwd.len() as u64,
        id: fsverity_digest(Algorithm::Sha256, passwd.as_bytes()),
    };
    let tree = image(&[
        ("passwd", object),
        ("machine-id", Content::Inline(b"uninitialized\n"[..].into())),
        ("hostname", Content::Inline(b"host\n"[..].into())),
    ]);
    let list = "/etc/passwd\n/etc/machine-id\n/etc/hostname\n";
    place.write("passwd", &passwd, 0o644);
    place.write("machine-id", "0123\n", 0o644);
    place.write("hostname", "host\n", 0o600);
    let kept = place.keep_with(list, Some(&tree)).unwrap();
    assert_eq!(texts(&kept.written), ["/etc/hostname", "/etc/machine-id"], "the mode is another one");
    place.write("passwd", &passwd.replacen("bash", "dash", 1), 0o644);
    assert_eq!(texts(&place.keep_with(list, Some(&tree)).unwrap().written), ["/etc/passwd"]);
    place.write("passwd", &passwd, 0o644);
    assert_eq!(texts(&place.keep_with(list, Some(&tree)).unwrap().removed), ["/etc/passwd"]);
    // Nobody knows what the image has: nothing is lost by keeping it.
    assert_eq!(texts(&place.keep(list).written), ["/etc/passwd"]);
}
