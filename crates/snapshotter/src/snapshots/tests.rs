use std::fs;

use sealpack_store::Store;
use tempfile::TempDir;

use super::*;
use crate::chains::held;
use crate::error::Code;

mod deep;
mod losses;
mod names;
mod parallel;
mod taken_in;

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
        let (snapshotter, notices) = self.open().unwrap();
        self.snapshotter = Some(snapshotter);
        notices
    }

    fn open(&self) -> Result<(Snapshotter, Vec<Notice>), Error> {
        Snapshotter::open(self.store(), rules(&self.directory), &self.directory.path().join("m"))
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

/// Those of a trust store that a test may write to.
fn rules(directory: &TempDir) -> Rules {
    let trust = directory.path().join("trust.d");
    fs::create_dir_all(&trust).unwrap();
    let trust = sealpack_node::trust_store::TrustStore::new(Some(trust), 0, |_| None);
    let environment = sealpack_oci::environment::Environment::empty(directory.path());
    Rules::new(trust, sealpack_oci::registry::ClientOptions::default(), environment)
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
    assert_eq!(names(&["parent"]), ["a", "k"]);
    assert_eq!(names(&[r#"parent=="""#]), ["a"], "the lowest layer's snapshot is asked for like that");
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
    let error = machine.open().unwrap_err();
    assert!(matches!(error, Error::StateInUse(_)), "{error}");
}

#[test]
fn a_store_whose_path_overlayfs_cannot_be_told_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(directory.path().join("a:b"), None).unwrap();
    let mounts = directory.path().join("m");
    assert!(matches!(Snapshotter::open(store, rules(&directory), &mounts), Err(Error::Path(_))));
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

/// A tar stream with one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

fn blob(bytes: &[u8]) -> Blob {
    let digest = sealpack_oci::hash::blob_digest(sealpack_format::Algorithm::Sha256, bytes);
    let media_type = sealpack_oci::media_type::OCI_LAYER.to_owned();
    Blob { digest, size_bytes: bytes.len() as u64, media_type }
}

/// As a pull does it, in containerd's own words.
fn pulled(
    machine: &Machine,
    parent: &str,
    layer: &[u8],
    opened: &std::cell::Cell<usize>,
) -> (String, String) {
    let key = "ns/1/extract-1 x";
    let mounts = machine.prepare(key, parent, Labels::new()).unwrap();
    let given: Vec<Given<'_>> =
        mounts.iter().map(|it| Given { source: &it.source, options: &it.options }).collect();
    let target = machine.target(&given, &blob(layer)).unwrap();
    assert_eq!(target.namespace(), "ns");
    let open = || {
        opened.set(opened.get() + 1);
        Ok(layer)
    };
    let applied = machine.apply(&target, &blob(layer), open).unwrap();
    // It is not compressed.
    assert_eq!(applied.layer.to_string(), blob(layer).digest.to_string());
    let below = machine.state().rows().find(|(name, _)| *name == parent).and_then(|(_, row)| row.layered);
    let chain =
        below.map_or_else(|| applied.layer.to_string(), |below| below.chain.with(&applied.layer).to_string());
    let name = format!("ns/2/{chain}");
    machine.commit(&name, key, Labels::new(), "").unwrap();
    (name, chain)
}

#[test]
fn an_applied_layer_is_the_stores_and_known_to_whoever_asks_for_its_chain() {
    let mut machine = Machine::new();
    let (base, top) = (tar("base", &[1; 5000]), tar("top", &[2; 5000]));
    let opened = std::cell::Cell::new(0);
    let (lower, lowest_chain) = pulled(&machine, "", &base, &opened);
    let (upper, chain) = pulled(&machine, &lower, &top, &opened);
    assert_eq!(opened.get(), 2);
    assert_eq!(fs::read_dir(machine.store().snapshotter_path().join("s")).unwrap().count(), 0);
    assert!(machine.usage(&upper).unwrap().size_bytes >= 5000);
    machine.restart();
    // Another client, which says what it wants.
    let target = |chain: &str| labels(&[("containerd.io/snapshot.ref", chain)]);
    let known = |parent: &str, chain: &str| {
        let error = machine.prepare("other/1/extract-2 y", parent, target(chain)).unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists);
        let filter = format!(r#"labels."containerd.io/snapshot.ref"=={chain},parent=={parent:?}"#);
        let found = machine.list(&Filters::parse(&[filter]).unwrap());
        let [found] = found.as_slice() else { panic!("one of each chain and parent: {found:?}") };
        assert_eq!((found.kind, found.parent.as_str()), (Kind::Committed, parent));
        found.name.clone()
    };
    let theirs = known("", &lowest_chain);
    let top_of_theirs = known(&theirs, &chain);
    assert_eq!(known(&theirs, &chain), top_of_theirs, "and no second one");
    assert_eq!(machine.usage(&top_of_theirs).unwrap(), Usage::default(), "it is counted once");
    // What no snapshot needs any more is let go.
    for name in [&upper, &lower, &top_of_theirs] {
        machine.remove(name).unwrap();
    }
    machine.sweep().unwrap();
    assert_eq!(machine.store().held_chains().unwrap().len(), 1);
    machine.remove(&theirs).unwrap();
    machine.sweep().unwrap();
    assert_eq!(machine.store().held_chains().unwrap(), []);
}

#[test]
fn the_image_of_an_images_highest_layer_is_made_before_anybody_asks() {
    let machine = Machine::new();
    let opened = std::cell::Cell::new(0);
    let (hears, committed) = std::sync::mpsc::channel();
    machine.tell_of_committed(hears);
    let (lower, _) = pulled(&machine, "", &tar("base", &[1; 5000]), &opened);
    let (upper, chain) = pulled(&machine, &lower, &tar("top", &[2; 5000]), &opened);
    for name in committed.try_iter() {
        machine.make_ready(&name).unwrap();
    }
    let store = machine.store();
    let chains = store.held_chains().unwrap();
    let ready: Vec<String> = chains
        .iter()
        .filter(|id| held(&store, id).unwrap().metadata_image.is_some())
        .map(ToString::to_string)
        .collect();
    assert_eq!(ready, [chain]);
    machine.remove(&upper).unwrap();
    assert_eq!(code(machine.make_ready(&upper)), Code::NotFound);
}

#[test]
fn an_image_takes_no_more_than_its_limits_however_many_layers_it_has() {
    let mut machine = Machine::new();
    machine.snapshotter.as_mut().unwrap().bases.limits.members = 2;
    let opened = std::cell::Cell::new(0);
    let (first, _) = pulled(&machine, "", &tar("1", &[1; 5000]), &opened);
    let (second, _) = pulled(&machine, &first, &tar("2", &[2; 5000]), &opened);
    machine.make_ready(&second).unwrap();
    let (third, _) = pulled(&machine, &second, &tar("3", &[3; 5000]), &opened);
    for refused in [machine.make_ready(&third), machine.prepare("ns/9/c", &third, Labels::new()).map(drop)] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.to_string().contains("limit of 2"), "{refused}");
    }
    machine.prepare("ns/9/c", &second, Labels::new()).unwrap();
}

#[test]
fn gc_keeps_the_layers_of_snapshots() {
    let machine = Machine::new();
    let opened = std::cell::Cell::new(0);
    let layer = tar("base", &[1; 5000]);
    let (name, _) = pulled(&machine, "", &layer, &opened);
    let gc = || {
        let store = machine.store();
        store
            .gc(&sealpack_store::GcOptions::default(), &sealpack_store::objects_of_image, &())
            .unwrap()
            .total()
            .count
    };
    assert_eq!(gc(), 0);
    // The second client has it converted already.
    let key = "ns/9/extract-9 z";
    machine.prepare(key, "", Labels::new()).unwrap();
    let (again, _) = pulled_again(&machine, &layer);
    assert_eq!(again, 0);
    machine.remove(key).unwrap();
    machine.remove(&name).unwrap();
    machine.sweep().unwrap();
    assert!(gc() > 0);
}

/// How often a layer is read that another client has brought, and what came of it.
fn pulled_again(machine: &Machine, layer: &[u8]) -> (usize, Applied) {
    let mounts = machine.mounts("ns/9/extract-9 z").unwrap();
    let given = [Given { source: &mounts[0].source, options: &mounts[0].options }];
    let target = machine.target(&given, &blob(layer)).unwrap();
    let mut opened = 0;
    let applied = machine.apply(&target, &blob(layer), || {
        opened += 1;
        Ok(layer)
    });
    (opened, applied.unwrap())
}

#[test]
fn a_store_that_another_program_has_to_itself_is_named_and_nothing_is_left() {
    let machine = Machine::new();
    let opened = std::cell::Cell::new(0);
    let (name, _) = pulled(&machine, "", &tar("base", &[1; 5000]), &opened);
    let store = machine.store();
    let lock = store.lock(sealpack_store::LockKind::Exclusive, std::time::Duration::ZERO).unwrap();
    let error = machine.view("ns/9/v", &name, Labels::new()).unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.to_string().contains(store.path().to_str().unwrap()), "{error}");
    assert_eq!(directories(&machine), 0);
    drop(lock);
    machine.view("ns/9/v", &name, Labels::new()).unwrap();
}

#[test]
fn a_layer_that_is_not_what_was_said_leaves_nothing() {
    let machine = Machine::new();
    let mounts = machine.prepare("ns/1/extract-1 x", "", Labels::new()).unwrap();
    let given = [Given { source: &mounts[0].source, options: &mounts[0].options }];
    let (right, wrong) = (tar("a", &[1; 5000]), tar("a", &[2; 5000]));
    let target = machine.target(&given, &blob(&right)).unwrap();
    let error = machine.apply(&target, &blob(&right), || Ok(wrong.as_slice())).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    assert!(error.to_string().contains(&blob(&right).digest.to_string()), "{error}");
    let unreadable = machine.apply(&target, &blob(&right), || Err::<&[u8], _>(std::io::Error::other("gone")));
    assert_eq!(unreadable.unwrap_err().code(), Code::Unavailable);
    assert_eq!(machine.store().held_chains().unwrap(), []);
    let mut encrypted = blob(&right);
    encrypted.media_type.push_str("+encrypted");
    assert_eq!(code(machine.target(&given, &encrypted)), Code::FailedPrecondition);
    let others = [Given { source: "/elsewhere/s/1/fs", options: &[] }];
    assert_eq!(code(machine.target(&others, &blob(&right))), Code::Unimplemented);
    // Whoever tries again has the right one.
    machine.apply(&target, &blob(&right), || Ok(right.as_slice())).unwrap();
}

#[test]
fn what_containerd_writes_besides_a_layer_stays_a_directory() {
    let machine = Machine::new();
    let layer = tar("a", &[1; 5000]);
    let mounts = machine.prepare("ns/1/extract-1 x", "", Labels::new()).unwrap();
    let given = [Given { source: &mounts[0].source, options: &mounts[0].options }];
    let target = machine.target(&given, &blob(&layer)).unwrap();
    machine.apply(&target, &blob(&layer), || Ok(layer.as_slice())).unwrap();
    fs::write(Machine::upper_of(&mounts).join("more"), "more").unwrap();
    machine.commit("name", "ns/1/extract-1 x", Labels::new(), "").unwrap();
    let view = machine.view("view", "name", Labels::new()).unwrap();
    assert_eq!(fs::read(Path::new(&view[0].source).join("more")).unwrap(), b"more");
    // Nothing can be a layer on top of it.
    let mounts = machine.prepare("ns/3/extract-3 x", "name", Labels::new()).unwrap();
    let given = [Given { source: &mounts[0].source, options: &mounts[0].options }];
    assert_eq!(code(machine.target(&given, &blob(&layer))), Code::Unimplemented);
}

#[test]
fn what_the_rules_are_against_is_refused_with_the_reason() {
    let machine = Machine::new();
    machine.committed("base", "");
    let rules = |text: &str| fs::write(machine.directory.path().join("trust.d/rules.toml"), text).unwrap();
    let of = |image: &str| {
        let manifest = format!("sha256:{}", "ab".repeat(32));
        labels(&[
            ("containerd.io/snapshot/cri.image-ref", image),
            ("containerd.io/snapshot/cri.manifest-digest", &manifest),
        ])
    };
    rules("[[namespace]]\nprefix = \"docker.io/bad/\"\nrequire = \"refuse\"\n");
    let refused = machine.prepare("ns/1/extract-1 x", "", of("docker.io/bad/thing:1")).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.to_string().contains("docker.io/bad/thing:1"), "{refused}");
    machine.prepare("ns/1/extract-1 x", "", of("docker.io/good/thing:1")).unwrap();
    machine.commit("layer", "ns/1/extract-1 x", Labels::new(), "").unwrap();
    machine.prepare("ns/1/container", "layer", Labels::new()).unwrap();
    // The rules of the moment count, for containers of what is there too.
    rules("[[namespace]]\nprefix = \"docker.io/good/\"\nrequire = \"refuse\"\n");
    assert_eq!(code(machine.prepare("ns/1/other", "layer", Labels::new())), Code::FailedPrecondition);
    assert_eq!(code(machine.view("ns/1/view", "layer", Labels::new())), Code::FailedPrecondition);
    machine.prepare("ns/1/third", "base", Labels::new()).unwrap();
    rules("default = \"sealed\"\n");
    let refused = machine.prepare("ns/1/fourth", "base", Labels::new()).unwrap_err();
    assert!(matches!(refused, Error::Nameless), "{refused}");
}

/// A containerd that has these layers, none of them compressed.
struct Has(Vec<Vec<u8>>);

impl Blobs for Has {
    fn layers(&self, namespace: &str) -> std::io::Result<Vec<(sealpack_format::DiffId, Blob)>> {
        assert_eq!(namespace, "ns");
        let layer = |bytes: &Vec<u8>| (blob(bytes).digest.to_string().parse().unwrap(), blob(bytes));
        Ok(self.0.iter().map(layer).collect())
    }

    fn open(
        &self,
        _: &str,
        wanted: &sealpack_format::BlobDigest,
    ) -> std::io::Result<Box<dyn std::io::Read + Send>> {
        let found = self.0.iter().find(|bytes| blob(bytes).digest == *wanted).unwrap();
        Ok(Box::new(std::io::Cursor::new(found.clone())))
    }
}

/// As containerd 1.6 pulls: it unpacks `layer` itself. Answers with the snapshot's name.
fn unpacked(machine: &Machine, parent: &str, layer: &[u8]) -> String {
    let key = "ns/1/extract-1 x";
    let mounts = machine.prepare(key, parent, Labels::new()).unwrap();
    fs::write(Machine::upper_of(&mounts).join("unpacked"), layer).unwrap();
    let id: sealpack_format::DiffId = blob(layer).digest.to_string().parse().unwrap();
    let chain = match parent.rsplit('/').next().and_then(|name| name.parse::<sealpack_store::ChainId>().ok())
    {
        Some(below) => below.with(&id),
        None => sealpack_store::ChainId::of(&[id]).unwrap(),
    };
    let name = format!("ns/2/{chain}");
    machine.commit(&name, key, Labels::new(), "").unwrap();
    name
}

fn directories(machine: &Machine) -> usize {
    fs::read_dir(machine.store().snapshotter_path().join("s")).unwrap().count()
}
