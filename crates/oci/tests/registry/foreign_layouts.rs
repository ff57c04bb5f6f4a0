//! Root that writes to a layout of another user (docs/registries.md).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sealpack_oci::copy::copy;
use sealpack_oci::layout::LayoutTarget;
use tempfile::TempDir;

use super::copying::usual;
use super::*;

/// A user whom no machine has in its files.
const USER: u32 = 54321;

struct Place {
    directory: TempDir,
}

impl Place {
    /// With `secret/`, which only root may use; `None`, said, without root.
    #[expect(clippy::print_stdout, reason = "the runner keeps what tests print")]
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can write to other users' directories");
            return None;
        }
        let directory = TempDir::new().unwrap();
        mode(directory.path(), 0o755);
        fs::create_dir(directory.path().join("secret")).unwrap();
        mode(&directory.path().join("secret"), 0o700);
        for name in ["secret/index.json", "secret/file"] {
            fs::write(directory.path().join(name), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
            mode(&directory.path().join(name), 0o600);
        }
        Some(Self { directory })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The names in `secret/` and what is in its files.
    fn secret(&self) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(self.at("secret"))
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let text = fs::read_to_string(&path).unwrap_or_default();
                (path.file_name().unwrap().to_string_lossy().into_owned(), text)
            })
            .collect();
        found.sort();
        found
    }

    /// A user's layout with an image in it.
    fn layout(&self) -> PathBuf {
        let layout = self.at("layout");
        copy_to(&layout).unwrap();
        give(&layout);
        layout
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives everything in a directory to the user.
fn give(path: &Path) {
    std::os::unix::fs::lchown(path, Some(USER), Some(USER)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

fn owners(path: &Path, owners: &mut Vec<(PathBuf, u32)>) {
    owners.push((path.to_owned(), path.symlink_metadata().unwrap().uid()));
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| self::owners(&entry.unwrap().path(), owners));
    }
}

fn copy_to(layout: &Path) -> Result<(), String> {
    let target = LayoutTarget::open(layout, None).map_err(|error| error.to_string())?;
    copy(&source(&registry_with_image(), "app:1"), &target, &usual(), &())
        .map(drop)
        .map_err(|error| error.to_string())
}

#[test]
fn what_root_copies_into_a_users_layout_is_the_users() {
    let Some(place) = Place::new() else { return };
    fs::create_dir(place.at("home")).unwrap();
    chown(place.at("home"), Some(USER), Some(USER)).unwrap();
    copy_to(&place.at("home/new/layout")).unwrap();
    fs::create_dir(place.at("home/empty")).unwrap();
    give(&place.at("home/empty"));
    copy_to(&place.at("home/empty")).unwrap();
    let mut found = Vec::new();
    owners(&place.at("home"), &mut found);
    assert!(found.len() > 10 && found.iter().all(|(_, owner)| *owner == USER), "{found:?}");
}

/// Each was once written to, or emptied, as root.
#[test]
fn a_users_layout_leads_root_nowhere() {
    for name in ["oci-layout", "index.json", "blobs", "blobs/sha256", "a blob"] {
        for hard in [false, true] {
            let Some(place) = Place::new() else { return };
            let layout = place.layout();
            let blobs = layout.join("blobs/sha256");
            let path = match name {
                "a blob" => fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().path(),
                name => layout.join(name),
            };
            let is_directory = path.is_dir();
            if is_directory {
                fs::remove_dir_all(&path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            if hard && is_directory {
                continue;
            }
            let before = place.secret();
            if hard {
                fs::hard_link(place.at("secret/file"), &path).unwrap();
            } else {
                let target = if is_directory { place.at("secret") } else { place.at("secret/file") };
                symlink(target, &path).unwrap();
                std::os::unix::fs::lchown(&path, Some(USER), Some(USER)).unwrap();
            }
            let copied = copy_to(&layout);
            assert!(copied.is_err(), "{name} {hard}");
            assert_eq!(place.secret(), before, "{name} {hard}");
            assert_eq!(place.at("secret/file").metadata().unwrap().uid(), 0);
        }
    }
}

/// The layout itself, or a directory in it, is exchanged for a link all the time.
#[test]
fn a_layout_that_is_exchanged_for_links_meanwhile_leads_root_nowhere() {
    for name in ["layout", "layout/blobs", "layout/blobs/sha256"] {
        let Some(place) = Place::new() else { return };
        fs::create_dir(place.at("home")).unwrap();
        fs::rename(place.layout(), place.at("home/layout")).unwrap();
        let exchanged = place.at("home").join(name);
        let link = exchanged.with_extension("link");
        // Outside of the layout, which has no room for other names.
        let link = place.at("home").join(link.file_name().unwrap());
        symlink(place.at("secret"), &link).unwrap();
        give(&place.at("home"));
        let (before, done) = (place.secret(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                while !done.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(rustix::fs::CWD, &exchanged, rustix::fs::CWD, &link, flags)
                        .unwrap();
                }
            });
            for _ in 0..30 {
                // It may work or not.
                _ = copy_to(&place.at("home/layout"));
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(place.secret(), before, "{name}");
    }
}

/// Every user may open a layout that all may read, and lock what can be opened.
#[test]
fn locks_that_anybody_can_take_on_a_layout_keep_nobody_from_writing_to_it() {
    let directory = TempDir::new().unwrap();
    let layout = directory.path().join("layout");
    copy_to(&layout).unwrap();
    for name in [".", "oci-layout", "index.json"] {
        let foreign = fs::File::open(layout.join(name)).unwrap();
        rustix::fs::flock(&foreign, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let path = layout.clone();
        std::thread::spawn(move || sender.send(copy_to(&path)));
        receiver.recv_timeout(std::time::Duration::from_secs(20)).expect("it does not wait").unwrap();
    }
    let left: Vec<_> = fs::read_dir(&layout).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}
