//! Other users of the machine and the store.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::Mode;

use super::*;
use crate::{Error, LockKind, ProblemKind, loose_mode};

/// A user whom no machine has in its files.
const USER: u32 = 54321;

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// All directories of a store.
fn directories(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(directories(&entry.path()));
        }
    }
    found
}

/// A store as an early version left it in a directory that was there, with an image in each form.
fn loose() -> Fixture {
    let fixture = fixture();
    pull(&fixture, "a", &[&["x"]]);
    for directory in directories(fixture.path()) {
        set_mode(&directory, 0o755);
    }
    fixture
}

#[test]
fn a_store_that_others_can_get_into_is_closed_when_it_is_opened_and_fsck_says_so() {
    let fixture = loose();
    set_mode(&fixture.path().join("lock"), 0o666);
    assert_eq!(loose_mode(fixture.path()), Some(0o755));
    let store = Store::open(fixture.path()).unwrap();
    for directory in directories(fixture.path()) {
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
    }
    assert_eq!(mode(&fixture.path().join("lock")), 0o600);
    assert_eq!(loose_mode(fixture.path()), None);
    let report = fsck(&store, false);
    let [problem] = &report.problems[..] else { panic!("{report:?}") };
    assert_eq!(problem.kind, ProblemKind::LooseMode);
    assert!(problem.what.contains("its mode was 0755"), "{problem}");
    assert!(problem.what.ends_with("it is 0700 now"), "{problem}");
    assert_clean(&Store::open(fixture.path()).unwrap());
}

#[test]
fn nothing_in_a_store_is_open_to_others_whatever_the_umask() {
    let directory = tempfile::tempdir().unwrap();
    // Of the whole process, which is this test's own.
    let before = rustix::process::umask(Mode::empty());
    let store = Store::create(directory.path().join("a/store"), Algorithm::Sha256).unwrap();
    pull(&store, "a", &[&["x"]]);
    drop(store.partial(&blob_of("x").0).unwrap());
    rustix::process::umask(before);
    for directory in directories(store.path()) {
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
    }
    for lock in ["lock", "names.lock", "making.lock"] {
        assert_eq!(mode(&store.path().join(lock)), 0o600, "{lock}");
    }
    assert_eq!(mode(store.path().parent().unwrap()), 0o755);
}

/// A process of another user with a lock on `path`.
fn foreign_lock(path: &Path) -> Option<Child> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can start programs of other users");
        return None;
    }
    // The lock is the file's, which the process gets opened: who is in a directory already may open what is in it.
    let file = File::open(path).unwrap();
    let mut flock = Command::new("sh");
    flock.args(["-c", "flock -x 0 && echo locked && exec sleep 60"]).stdin(file).stdout(Stdio::piped());
    let mut child = flock.uid(USER).gid(USER).spawn().unwrap();
    let mut line = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    Some(child)
}

#[test]
fn another_users_lock_on_a_directory_of_the_store_keeps_nobody_from_changing_it() {
    for name in ["refs", "."] {
        let fixture = loose();
        set_mode(fixture.directory.path(), 0o755);
        let Some(mut child) = foreign_lock(&fixture.path().join(name)) else { return };
        let store = Store::open(fixture.path()).unwrap().with_lock_wait(Duration::from_secs(5));
        let start = Instant::now();
        let mut record = store.image("a").unwrap().unwrap();
        record.name = "b".to_owned();
        store.set_image(&record).unwrap();
        store.remember_epoch(&epoch_for("b", 1), &record).unwrap();
        assert!(start.elapsed() < Duration::from_secs(4), "{name}");
        // The same of the owner's counts: earlier versions lock nothing else.
        child.kill().unwrap();
        child.wait().unwrap();
        let own = File::open(fixture.path().join("refs")).unwrap();
        own.lock().unwrap();
        let store = store.with_lock_wait(Duration::ZERO);
        assert!(matches!(store.set_image(&record), Err(Error::Locked(_))));
    }
}

#[test]
fn names_and_features_change_under_locks_that_only_the_owner_can_open() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[&["x"]]);
    let lock = File::options().append(true).open(fixture.path().join("names.lock")).unwrap();
    lock.lock().unwrap();
    let store = Store::open(fixture.path()).unwrap().with_lock_wait(Duration::ZERO);
    assert!(matches!(store.set_image(&record), Err(Error::Locked(_))));
    drop(store.lock(LockKind::Shared, Duration::ZERO).unwrap());
}

#[test]
fn no_store_of_root_is_made_where_another_user_decides() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can write to other users' directories");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [home, secret] = ["home", "secret"].map(|name| directory.path().join(name));
    for path in [&home, &secret] {
        std::fs::create_dir(path).unwrap();
    }
    std::os::unix::fs::chown(&home, Some(USER), Some(USER)).unwrap();
    let error = Store::open_or_create(home.join("store"), None).unwrap_err();
    assert!(matches!(error, Error::Place { owner: USER, user: 0, .. }), "{error}");
    for (link, target) in [("to", "../secret"), ("below", "../secret/new"), ("up", "..")] {
        std::os::unix::fs::symlink(target, home.join(link)).unwrap();
        std::os::unix::fs::lchown(home.join(link), Some(USER), Some(USER)).unwrap();
        for path in [home.join(link), home.join(link).join("store")] {
            Store::open_or_create(&path, None).unwrap_err();
        }
    }
    assert_eq!(std::fs::read_dir(&secret).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    // What root put there itself, root may use.
    std::fs::create_dir(home.join("own")).unwrap();
    Store::open_or_create(home.join("own"), None).unwrap();
}
