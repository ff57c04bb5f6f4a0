use std::fs;

use sealpack_store::Store;
use tempfile::TempDir;

use super::*;
use crate::error::Code;

struct Machine {
    directory: TempDir,
    snapshotter: Option<Snapshotter>,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut machine = Self { directory, snapshotter: None };
        assert_eq!(machine.restart(), []);
        machine
    }

    fn store(&self) -> Store {
        Store::open_or_create(self.directory.path().join("store"), None).unwrap()
    }

    /// As after a kill: what is in memory is gone.
    fn restart(&mut self) -> Vec<Notice> {
        self.snapshotter = None;
        let (snapshotter, notices) = Snapshotter::open(&self.store()).unwrap();
        self.snapshotter = Some(snapshotter);
        notices
    }

    fn upper_of(mounts: &[Mount]) -> PathBuf {
        let [mount] = mounts else { panic!("one mount: {mounts:?}") };
        match mount.options.iter().find_map(|option| option.strip_prefix("upperdir=")) {
            Some(upper) => upper.into(),
            None => mount.source.clone().into(),
        }
    }

    fn committed(&self, name: &str, parent: &str) {
        let mounts = self.prepare("tmp", parent, Labels::new()).unwrap();
        fs::write(Self::upper_of(&mounts).join(name), name).unwrap();
        self.commit(name, "tmp", Labels::new(), "").unwrap();
    }
}

impl std::ops::Deref for Machine {
    type Target = Snapshotter;

    fn deref(&self) -> &Snapshotter {
        self.snapshotter.as_ref().unwrap()
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    result.unwrap_err().code()
}

#[test]
fn what_is_written_to_an_active_snapshot_is_below_those_that_are_based_on_it() {
    let machine = Machine::new();
    machine.committed("a", "");
    machine.committed("b", "a");
    let mounts = machine.prepare("top", "b", Labels::new()).unwrap();
    let [mount] = mounts.as_slice() else { panic!("{mounts:?}") };
    assert_eq!(mount.fs_type, "overlay");
    let lowers = mount.options.iter().find_map(|option| option.strip_prefix("lowerdir=")).unwrap();
    let names: Vec<bool> = lowers
        .split(':')
        .zip(["b", "a"])
        .map(|(lower, name)| fs::read_to_string(Path::new(lower).join(name)).unwrap() == name)
        .collect();
    assert_eq!(names, [true, true]);
    assert_eq!(machine.mounts("top").unwrap(), mounts);
    let view = machine.view("view", "a", Labels::new()).unwrap();
    assert_eq!((view[0].fs_type, view[0].options[0].as_str()), ("bind", "ro"));
}

#[test]
fn each_refusal_has_the_code_that_containerd_wants() {
    let machine = Machine::new();
    machine.committed("a", "");
    machine.prepare("active", "a", Labels::new()).unwrap();
    let none = Labels::new;
    assert_eq!(code(machine.prepare("active", "", none())), Code::AlreadyExists);
    assert_eq!(code(machine.prepare("new", "missing", none())), Code::NotFound);
    assert_eq!(code(machine.prepare("new", "active", none())), Code::FailedPrecondition);
    assert_eq!(code(machine.prepare("", "", none())), Code::InvalidArgument);
    assert_eq!(code(machine.mounts("a")), Code::FailedPrecondition);
    assert_eq!(code(machine.mounts("missing")), Code::NotFound);
    assert_eq!(code(machine.stat("missing")), Code::NotFound);
    assert_eq!(code(machine.usage("missing")), Code::NotFound);
    assert_eq!(code(machine.commit("a", "active", none(), "")), Code::AlreadyExists);
    assert_eq!(code(machine.commit("b", "missing", none(), "")), Code::NotFound);
    assert_eq!(code(machine.commit("b", "a", none(), "")), Code::FailedPrecondition);
    assert_eq!(code(machine.commit("b", "active", none(), "other")), Code::FailedPrecondition);
    assert_eq!(code(machine.remove("missing")), Code::NotFound);
    let refusal = machine.remove("a").unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.to_string().contains("remove"), "containerd's suite looks for the word: {refusal}");
    assert_eq!(code(machine.update("a", &none(), &["parent".to_owned()])), Code::InvalidArgument);
}

#[test]
fn a_commit_has_the_labels_that_it_was_given_and_a_time_of_its_own() {
    let machine = Machine::new();
    machine.prepare("key", "", labels(&[("a", "1")])).unwrap();
    machine.commit("name", "key", labels(&[("b", "2")]), "").unwrap();
    let info = machine.stat("name").unwrap();
    assert_eq!((info.kind, &info.labels), (Kind::Committed, &labels(&[("b", "2")])));
    assert_eq!(info.created, info.updated);
    assert_eq!(code(machine.stat("key")), Code::NotFound);
    assert_eq!(machine.usage("name").unwrap().inodes, 1);
}

#[test]
fn a_snapshot_that_was_prepared_without_a_parent_can_get_one_when_it_is_committed() {
    let machine = Machine::new();
    machine.committed("base", "");
    machine.prepare("key", "", Labels::new()).unwrap();
    assert_eq!(code(machine.commit("top", "key", Labels::new(), "missing")), Code::NotFound);
    machine.commit("top", "key", Labels::new(), "base").unwrap();
    assert_eq!(machine.stat("top").unwrap().parent, "base");
    assert_eq!(code(machine.remove("base")), Code::FailedPrecondition);
}

#[test]
fn labels_are_changed_one_by_one_or_all_at_once() {
    let machine = Machine::new();
    machine.prepare("key", "", labels(&[("a", "1"), ("b.c/d", "2")])).unwrap();
    let update = |new: &[(&str, &str)], fields: &[&str]| {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        machine.update("key", &labels(new), &fields).unwrap().labels
    };
    assert_eq!(
        update(&[("b.c/d", "3"), ("e", "no")], &["labels.b.c/d"]),
        labels(&[("a", "1"), ("b.c/d", "3")])
    );
    assert_eq!(update(&[], &["labels.a"]), labels(&[("b.c/d", "3")]));
    assert_eq!(update(&[("x", "y")], &[]), labels(&[("x", "y")]));
    assert_eq!(machine.stat("key").unwrap().labels, labels(&[("x", "y")]));
}

#[test]
fn a_list_has_what_its_filters_ask_for() {
    let machine = Machine::new();
    machine.committed("a", "");
    machine.prepare("k", "a", labels(&[("containerd.io/snapshot.ref", "sha256:x")])).unwrap();
    let names = |filters: &[&str]| {
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let found = machine.list(&Filters::parse(&filters).unwrap());
        found.into_iter().map(|info| info.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["a", "k"]);
    assert_eq!(names(&["kind==committed"]), ["a"]);
    assert_eq!(names(&[r#"labels."containerd.io/snapshot.ref"==sha256:x,parent==a"#]), ["k"]);
    assert_eq!(names(&["parent"]), ["k"]);
}

#[test]
fn the_root_of_what_is_added_has_owner_and_mode_of_its_parents() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new();
    let mounts = machine.prepare("key", "", Labels::new()).unwrap();
    let base = Machine::upper_of(&mounts);
    fs::set_permissions(&base, fs::Permissions::from_mode(0o1711)).unwrap();
    machine.commit("base", "key", Labels::new(), "").unwrap();
    let mounts = machine.prepare("top", "base", Labels::new()).unwrap();
    let mode = fs::metadata(Machine::upper_of(&mounts)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o1711);
}

#[test]
fn what_a_kill_leaves_is_swept_and_what_was_answered_is_there() {
    let mut machine = Machine::new();
    machine.committed("a", "");
    let kept = Machine::upper_of(&machine.prepare("k", "a", Labels::new()).unwrap());
    let gone = Machine::upper_of(&machine.prepare("gone", "a", Labels::new()).unwrap());
    machine.remove("gone").unwrap();
    assert!(!gone.exists());
    // Killed after the directory was made, or before it was removed.
    let orphan = kept.parent().unwrap().with_file_name("99");
    fs::create_dir_all(orphan.join("fs/deep")).unwrap();
    assert_eq!(machine.restart(), []);
    assert!(!orphan.exists());
    assert!(kept.exists() && machine.stat("a").is_ok() && machine.stat("k").is_ok());
    fs::create_dir_all(orphan.join("fs")).unwrap();
    machine.sweep().unwrap();
    assert!(!orphan.exists() && kept.exists());
}

#[test]
fn nobody_has_the_snapshots_twice() {
    let machine = Machine::new();
    let error = Snapshotter::open(&machine.store()).unwrap_err();
    assert!(matches!(error, Error::StateInUse(_)), "{error}");
}

#[test]
fn a_store_whose_path_overlayfs_cannot_be_told_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(directory.path().join("a:b"), None).unwrap();
    assert!(matches!(Snapshotter::open(&store), Err(Error::Path(_))));
}

#[test]
fn snapshots_of_many_threads_get_directories_of_their_own() {
    let machine = Machine::new();
    machine.committed("base", "");
    let snapshotter: &Snapshotter = &machine;
    let uppers: std::collections::BTreeSet<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn(move || {
                    let mounts = snapshotter.prepare(&format!("k{number}"), "base", Labels::new()).unwrap();
                    Machine::upper_of(&mounts)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(uppers.len(), 8);
}

#[test]
fn the_store_takes_the_directory_for_its_own() {
    let machine = Machine::new();
    machine.committed("a", "");
    let (options, objects_of) = (sealpack_store::FsckOptions::default(), &sealpack_store::objects_of_image);
    let report = machine.store().fsck(&options, objects_of, &|_| Vec::new(), &()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}
