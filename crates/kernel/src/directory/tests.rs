use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use super::*;

/// A user whom no machine has in its files.
const USER: u32 = 54321;

/// A directory that everybody may search, with `users/` of a user and `secret/` that only root may use; `None`, said,
/// without root.
fn place() -> Option<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can act as other users");
        return None;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["users", "secret"] {
        fs::create_dir(place.path().join(name)).unwrap();
    }
    fs::set_permissions(place.path().join("secret"), fs::Permissions::from_mode(0o700)).unwrap();
    chown(place.path().join("users"), Some(USER), Some(USER)).unwrap();
    Some(place)
}

fn users_link(target: &Path, link: &Path) {
    symlink(target, link).unwrap();
    std::os::unix::fs::lchown(link, Some(USER), Some(USER)).unwrap();
}

#[test]
fn what_root_makes_in_a_users_directory_is_the_users() {
    let Some(place) = place() else { return };
    let users = Directory::open(&place.path().join("users")).unwrap();
    assert_eq!(users.acting_as(), Some(USER));
    users.create("file", 0o644).unwrap().write_all(b"x").unwrap();
    let below = users.make_sub("below", 0o755).unwrap();
    below.create("file", 0o600).unwrap();
    let deep = place.path().join("users/a/b");
    Directory::open_or_make(&deep, 0o755).unwrap().create("file", 0o644).unwrap();
    for name in ["file", "below", "below/file", "a", "a/b", "a/b/file"] {
        let found = place.path().join("users").join(name).metadata().unwrap();
        assert_eq!((found.uid(), found.gid()), (USER, USER), "{name}");
    }
    fs::write(place.path().join("own"), "").unwrap();
    assert_eq!(place.path().join("own").metadata().unwrap().uid(), 0);
}

#[test]
fn a_users_directory_is_written_without_roots_rights_and_groups() {
    let Some(place) = place() else { return };
    let own = Identity::User { user: USER, group: USER };
    let secret = place.path().join("secret/file");
    fs::write(&secret, "x").unwrap();
    fs::write(place.path().join("groups"), "x").unwrap();
    fs::set_permissions(place.path().join("groups"), fs::Permissions::from_mode(0o640)).unwrap();
    // On a thread of its own, as groups may be given to this one only.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            rustix::thread::set_thread_groups(&[rustix::fs::Gid::ROOT, rustix::fs::Gid::from_raw(7)])
                .unwrap();
            let acting = own.assume().unwrap();
            assert!(fs::read(&secret).is_err());
            assert!(fs::read(place.path().join("groups")).is_err());
            assert!(rustix::process::getgroups().unwrap().is_empty());
            // Others do not notice.
            let others = std::process::id();
            let status = fs::read_to_string(format!("/proc/{others}/status")).unwrap();
            assert!(status.contains("Uid:\t0\t0\t0\t0"), "{status}");
            drop(acting);
            assert_eq!(fs::read(&secret).unwrap(), b"x");
            assert_eq!(rustix::process::getgroups().unwrap().len(), 2);
        });
    });
}

#[test]
fn no_link_below_a_directory_is_followed() {
    let Some(place) = place() else { return };
    let secret = place.path().join("secret");
    for root in ["users", "."] {
        let path = place.path().join(root);
        let directory = Directory::open(&path).unwrap();
        symlink(&secret, path.join("link")).unwrap();
        fs::write(secret.join("file"), "x").unwrap();
        symlink(secret.join("file"), path.join("read")).unwrap();
        for error in [
            directory.sub("link").unwrap_err(),
            directory.make_sub("link", 0o755).unwrap_err(),
            directory.read("read").unwrap_err(),
        ] {
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
        for error in [
            directory.create("read", 0o644).unwrap_err(),
            directory.lock_file("read").unwrap_err(),
            directory.create("link/file", 0o644).unwrap_err(),
            directory.create("..", 0o644).unwrap_err(),
        ] {
            assert!(error.raw_os_error().is_some(), "{error}");
        }
        // What is removed is the link.
        directory.remove_all("link").unwrap();
        assert!(!path.join("link").is_symlink());
        assert_eq!(fs::read(secret.join("file")).unwrap(), b"x");
    }
}

#[test]
fn a_users_link_leads_only_to_where_the_user_may_write() {
    let Some(place) = place() else { return };
    let users = place.path().join("users");
    users_link(&place.path().join("secret"), &users.join("link"));
    users_link(Path::new("../secret/below"), &users.join("below"));
    let error = Directory::open(&users.join("link")).unwrap_err();
    assert!(error.to_string().contains(&format!("user {USER}")), "{error}");
    assert!(Directory::open_or_make(&users.join("below/new"), 0o755).is_err());
    assert_eq!(fs::read_dir(place.path().join("secret")).unwrap().count(), 0);
    // To a directory of root that all may look into, it leads without root's rights.
    users_link(place.path(), &users.join("up"));
    let up = Directory::open(&users.join("up")).unwrap();
    assert_eq!(up.acting_as(), Some(USER));
    assert!(up.create("file", 0o644).is_err());
    // A sticky directory of root has the same from anybody.
    users_link(&users, &place.path().join("other"));
    assert_eq!(Directory::open(&place.path().join("other")).unwrap().acting_as(), Some(USER));
    // Root's own links are root's business.
    symlink(place.path().join("secret"), place.path().join("mine")).unwrap();
    assert_eq!(Directory::open(&place.path().join("mine")).unwrap().acting_as(), None);
}

#[test]
fn a_hard_link_to_what_only_root_may_read_is_not_read_for_a_user() {
    let Some(place) = place() else { return };
    let (secret, users) = (place.path().join("secret/file"), place.path().join("users"));
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&secret, users.join("file")).unwrap();
    let directory = Directory::open(&users).unwrap();
    assert_eq!(directory.read("file").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(directory.lock_file("file").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    directory.create("new", 0o644).unwrap().write_all(b"y").unwrap();
    directory.rename("new", &directory, "file").unwrap();
    assert_eq!(fs::read(&secret).unwrap(), b"x");
}

#[test]
fn who_may_write_to_a_directory_and_nobody_else_can_open_its_lock() {
    let place = tempfile::tempdir().unwrap();
    for (directory, lock) in [(0o755, 0o600), (0o700, 0o600), (0o775, 0o660), (0o777, 0o666)] {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(directory)).unwrap();
        Directory::open(place.path()).unwrap().lock_file("lock").unwrap();
        // One that was there with a looser mode.
        fs::set_permissions(place.path().join("lock"), fs::Permissions::from_mode(0o666)).unwrap();
        Directory::open(place.path()).unwrap().lock_file("lock").unwrap();
        let found = place.path().join("lock").metadata().unwrap();
        assert_eq!(found.permissions().mode() & 0o777, lock, "{directory:o}");
        fs::remove_file(place.path().join("lock")).unwrap();
    }
}

/// The path is walked while its owner changes it: whatever is met, nothing gets to where the owner may not write.
#[test]
fn a_directory_that_is_exchanged_for_a_link_in_a_loop_leads_nowhere() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let Some(place) = place() else { return };
    let users = place.path().join("users");
    fs::create_dir_all(users.join("a/b")).unwrap();
    fs::create_dir(place.path().join("secret/b")).unwrap();
    users_link(&place.path().join("secret"), &users.join("link"));
    for name in ["a", "a/b"] {
        chown(users.join(name), Some(USER), Some(USER)).unwrap();
    }
    let done = AtomicBool::new(false);
    let is_in = |name: &str| place.path().join(name).read_dir().unwrap().count();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let directory = fs::File::open(&users).unwrap();
            while !done.load(Ordering::Relaxed) {
                let exchange = RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&directory, "a", &directory, "link", exchange).unwrap();
            }
        });
        for number in 0..2000 {
            let Ok(directory) = Directory::open_or_make(&users.join("a/b"), 0o755) else { continue };
            assert_eq!(directory.acting_as(), Some(USER));
            _ = directory.create(format!("file-{number}"), 0o644);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!((is_in("secret"), is_in("secret/b")), (1, 0));
}
