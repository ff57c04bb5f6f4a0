//! Processes that die, and disks that lose what was not flushed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::*;
use crate::Accepted;
use crate::facts::About;
use crate::fault::{Change, KILL_AT, recorded};

const PATH: &str = "SEALPACK_STORE_TEST_CRASH";
const OBJECTS: &str = "SEALPACK_STORE_TEST_OBJECTS";

const SEAL: &[u8] = b"{}";

const BASE: Layer<'static> = &["base", "a rather long name for an object"];

/// Starts a process that fills the store at `path` and prints what it has done, dying at change `kill_at`.
fn start(path: &Path, test: &str, kill_at: Option<u64>, objects: usize) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", test, "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .env(OBJECTS, objects.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    if let Some(number) = kill_at {
        command.env(KILL_AT, number.to_string());
    }
    command.spawn().unwrap()
}

/// What a process reports.
struct Reports(std::io::Lines<BufReader<ChildStdout>>);

impl Reports {
    fn of(child: &mut Child) -> Self {
        Self(BufReader::new(child.stdout.take().unwrap()).lines())
    }
}

/// Ends when the process has.
impl Iterator for Reports {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        // libtest writes before and after on the same line.
        self.0.by_ref().map_while(Result::ok).find_map(|line| Some(line.split_once("done: ")?.1.to_owned()))
    }
}

/// Expects the store to be sound and to have everything that was reported.
#[track_caller]
fn check(path: &Path, done: &[String]) {
    let store = match Store::open(path) {
        Ok(store) => store,
        Err(error) => {
            assert!(done.is_empty(), "{error}, after {done:?}");
            return;
        }
    };
    assert_clean(&store);
    for what in done {
        match what.split_once(' ').unwrap() {
            ("layer", diff_id) => {
                assert!(store.has_whole_layer(&diff_id.parse().unwrap()).unwrap(), "{what}")
            }
            ("packed-layer", diff_id) => {
                assert!(store.has_layer(&diff_id.parse().unwrap(), ObjectForm::Packs).unwrap(), "{what}")
            }
            ("seal", name) => {
                let record = store.image(name).unwrap().unwrap();
                assert_eq!(read_seal(&store, &record).unwrap().as_deref(), Some(SEAL), "{what}");
            }
            ("image", name) => {
                let record = store.image(name).unwrap().unwrap();
                store.verify_metadata_image(&record.metadata_image).unwrap();
                record.blobs().for_each(|digest| drop(store.blob(&digest).unwrap()));
                for layer in &record.layers {
                    assert!(store.has_layer(&layer.diff_id, record.objects).unwrap(), "{what}: {record:?}");
                }
            }
            ("before", name) => {
                let earlier = store.history(name).unwrap();
                assert_eq!(earlier.len(), 1, "{what}");
                store.verify_metadata_image(&earlier[0].metadata_image).unwrap();
                for layer in &earlier[0].layers {
                    assert!(
                        store.has_layer(&layer.diff_id, earlier[0].objects).unwrap(),
                        "{what}: {earlier:?}"
                    );
                }
            }
            ("epoch", epoch) => {
                assert_eq!(
                    store.epoch("two").unwrap().unwrap().epoch,
                    epoch.parse::<u64>().unwrap(),
                    "{what}"
                );
            }
            ("removed", name) => assert_eq!(store.image(name).unwrap(), None),
            other => panic!("{other:?}"),
        }
    }
}

/// Makes a store, pulls, removes and collects: every kind of change there is.
#[test]
#[ignore = "is killed by another test"]
fn short_life() {
    let store = Store::open_or_create(std::env::var_os(PATH).unwrap(), None).unwrap();
    let staging = store.stage().unwrap();
    println!("done: layer {}", add_layer(&staging, BASE));
    drop(staging);
    pull(&store, "one", &[BASE, &["1"]]);
    println!("done: image one");
    store.remember(&About::new().fact("a fact"));
    pull(&store, "two", &[BASE, &["2", "two"]]);
    println!("done: image two");
    store.remember(&About::new().fact("another"));
    store.remove_image("one").unwrap();
    println!("done: removed one");
    gc(&store);
}

/// Works with packs: pulls, converts both ways, seals, removes and collects.
#[test]
#[ignore = "is killed by another test"]
fn short_life_with_packs() {
    let store = Store::open_or_create(std::env::var_os(PATH).unwrap(), None).unwrap();
    let staging = store.stage().unwrap();
    println!("done: packed-layer {}", add_packed_layer(&staging, BASE));
    drop(staging);
    pull_as(ObjectForm::Packs, &store, "one", &[BASE, &["1"], &[]]);
    println!("done: image one");
    let two = pull(&store, "two", &[BASE, &["2", "two"]]);
    write_seal(&store, &two, SEAL).unwrap();
    println!("done: image two");
    println!("done: seal two");
    let two = store.convert(&two, ObjectForm::Packs, &()).unwrap().record;
    println!("done: image two");
    gc(&store);
    store.convert(&two, ObjectForm::Files, &()).unwrap();
    println!("done: image two");
    store.remove_image("one").unwrap();
    println!("done: removed one");
    gc(&store);
}

/// Gives a name to one image after the other, with seals and epochs, goes back, forgets and removes.
#[test]
#[ignore = "is killed by another test"]
fn short_life_with_history() {
    let store = Store::open_or_create(std::env::var_os(PATH).unwrap(), None).unwrap();
    let publish = |text: &str, epoch: u64| {
        let mut named = pull(&store, &format!("{text}-once"), &[BASE, &[text]]);
        named.name = "two".into();
        // Not lower than in an earlier life.
        let known = store.epoch("two").unwrap();
        let epoch = known.as_ref().map_or(epoch, |known| known.epoch.max(epoch));
        let before = known.iter().flat_map(|known| known.platforms.values());
        let created_unix_seconds = before.map(|image| image.created_unix_seconds + 1).max().unwrap_or(epoch);
        let accepted = Accepted {
            seal: Some(kept(SEAL)),
            epochs: vec![AcceptedEpoch { created_unix_seconds, ..epoch_for("two", epoch) }],
            ..Accepted::default()
        };
        let named = store.stage().unwrap().publish_with(&named, &accepted).unwrap();
        store.remove_image(&format!("{text}-once")).unwrap();
        named
    };
    let first = publish("1", 1);
    println!("done: image two");
    println!("done: seal two");
    publish("2", 2);
    println!("done: before two");
    gc(&store);
    println!("done: before two");
    store.set_image_with(&first, &Accepted { agreed: true, ..Accepted::default() }).unwrap();
    gc(&store);
    println!("done: before two");
    println!("done: epoch 2");
    pull(&store, "one", &[BASE, &["3"]]);
    pull(&store, "one", &[BASE, &["4"]]);
    store.remove_image("one").unwrap();
    println!("done: removed one");
    gc(&store);
}

/// Kills a process before change `number`. Answers whether it lived through.
fn kill_once(test: &str, number: u64) -> bool {
    // A killed process loses nothing that it has written, on no filesystem: the fastest will do.
    let memory = Path::new("/dev/shm");
    let directory =
        tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).expect("a directory for the store");
    let path = directory.path().join("store");
    let mut child = start(&path, test, Some(number), 0);
    let mut done: Vec<_> = Reports::of(&mut child).collect();
    let finished = child.wait().unwrap().success();
    if done.iter().any(|what| what == "image two") {
        // What comes then is to remove it, done perhaps without a report yet.
        done.retain(|what| what != "image one" && !what.starts_with("packed-layer"));
    }
    check(&path, &done);
    // Whatever was left does not hinder the next one, and is gone after it.
    let mut next = start(&path, test, None, 0);
    assert!(Reports::of(&mut next).count() >= 4);
    assert!(next.wait().unwrap().success());
    check(&path, &["image two".into(), "removed one".into()]);
    assert_eq!(std::fs::read_dir(path.join("tmp")).unwrap().count(), 0, "killed at {number}");
    finished
}

/// Kills processes before each of their changes, until one makes all of them and lives.
fn kill_at_each_change(test: &str) {
    let lived = |first: u64| (first..2000).step_by(4).find(|number| kill_once(test, *number));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|first| scope.spawn(move || lived(first))).collect();
        for thread in threads {
            let changes = thread.join().unwrap().unwrap();
            assert!((50..2000).contains(&changes), "{changes} changes");
        }
    });
}

#[test]
fn killed_before_any_change_a_process_leaves_a_sound_store_with_all_that_was_done() {
    kill_at_each_change("tests::crash::short_life");
}

#[test]
fn killed_before_any_change_a_process_that_packs_and_converts_leaves_a_sound_store() {
    kill_at_each_change("tests::crash::short_life_with_packs");
}

#[test]
fn killed_before_any_change_a_process_that_renames_leaves_a_sound_store_with_its_history() {
    kill_at_each_change("tests::crash::short_life_with_history");
}

/// Changes a name in a store as versions before there was a seal for each name left it.
#[test]
#[ignore = "is killed by another test"]
fn short_life_in_an_old_store() {
    let store = Store::open(std::env::var_os(PATH).unwrap()).unwrap();
    pull(&store, "new", &[BASE, &["new"]]);
    println!("done: image new");
}

#[test]
fn killed_before_any_change_a_process_that_moves_old_seals_leaves_each_name_its_own() {
    let kill_once = |number: u64| {
        let old = super::seals::OldStore::new();
        let mut child = start(&old.path, "tests::crash::short_life_in_an_old_store", Some(number), 0);
        let done: Vec<_> = Reports::of(&mut child).collect();
        let finished = child.wait().unwrap().success();
        check(&old.path, &done);
        old.check();
        let mut next = start(&old.path, "tests::crash::short_life_in_an_old_store", None, 0);
        assert_eq!(Reports::of(&mut next).count(), 1);
        assert!(next.wait().unwrap().success());
        old.check();
        old.check_moved();
        finished
    };
    let changes = (0..500).find(|number| kill_once(*number)).unwrap();
    assert!(changes > 30, "{changes} changes");
}

/// Pulls one image after the other with several threads until it is killed.
#[test]
#[ignore = "is killed by another test"]
fn long_life() {
    let store = Store::open_or_create(std::env::var_os(PATH).unwrap(), None).unwrap();
    let objects: usize = std::env::var(OBJECTS).unwrap().parse().unwrap();
    for image in 0..1000 {
        let staging = store.stage().unwrap();
        std::thread::scope(|scope| {
            for layer in 0..3 {
                let staging = &staging;
                // Layers of different images have objects in common.
                let texts: Vec<String> = (0..objects)
                    .map(|n| format!("{}", n * (layer + 1)).repeat(1 + n % 50) + &(image / 2).to_string())
                    .collect();
                scope.spawn(move || {
                    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                    println!("done: layer {}", add_layer(staging, &texts));
                });
            }
        });
        drop(staging);
        let name = format!("image-{}", image % 5);
        pull(&store, &name, &[&[&name]]);
        println!("done: image {name}");
    }
}

#[test]
fn killed_at_any_time_a_process_leaves_a_sound_store_with_all_that_was_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    // Set by `cargo xtask test --all`.
    let rounds = if std::env::var_os("SEALPACK_TESTS_ALL").is_some() { 240 } else { 12 };
    for round in 0..rounds {
        let mut child = start(&path, "tests::crash::long_life", None, 150);
        let mut reports = Reports::of(&mut child);
        let mut done: Vec<_> = reports.by_ref().take(round % 5).collect();
        std::thread::sleep(Duration::from_millis((round * 17 % 60) as u64));
        child.kill().unwrap();
        done.extend(reports);
        child.wait().unwrap();
        assert!(done.len() >= round % 5);
        check(&path, &done);
    }
}

#[test]
fn two_processes_adding_the_same_get_along() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut children: Vec<_> = (0..2).map(|_| start(&path, "tests::crash::long_life", None, 100)).collect();
    let mut reports: Vec<_> = children.iter_mut().map(Reports::of).collect();
    // Both run at least until both have finished an image.
    let mut done: Vec<_> = reports.iter_mut().flat_map(|reports| reports.take(5)).collect();
    assert_eq!(done.len(), 10);
    children.iter_mut().for_each(|child| child.kill().unwrap());
    done.extend(reports.into_iter().flatten());
    for child in &mut children {
        child.wait().unwrap();
    }
    check(&path, &done);
}

/// Replays the changes and flushes of a pull, and expects that whatever is renamed to where it counts, and
/// whatever it refers to, cannot be lost by a power cut any more at that time.
#[test]
fn nothing_is_referred_to_before_it_is_on_the_disk() {
    for extra in [0, 40] {
        let fixture = fixture();
        let texts: Vec<String> = (0..extra).map(|n| format!("extra {n}")).collect();
        let layer: Vec<&str> = BASE.iter().copied().chain(texts.iter().map(String::as_str)).collect();
        let changes = recorded(|| drop(pull(&fixture, "a", &[&layer, &["top"]])));
        let renames = Disk::new(fixture.path()).replay(&changes);
        assert!(renames > 7, "{changes:#?}");
    }
}

#[test]
fn nothing_is_referred_to_before_it_is_on_the_disk_with_packs() {
    for extra in [0, 40] {
        let fixture = fixture();
        let texts: Vec<String> = (0..extra).map(|n| format!("extra {n}")).collect();
        let layer: Vec<&str> = BASE.iter().copied().chain(texts.iter().map(String::as_str)).collect();
        let replay = |run: &dyn Fn()| Disk::new(fixture.path()).replay(&recorded(run));
        let renames = replay(&|| drop(pull_as(ObjectForm::Packs, &fixture, "a", &[&layer, &["top"]])));
        assert!(renames > 9, "{renames}");
        let convert = |to| {
            let record = fixture.image("a").unwrap().unwrap();
            fixture.convert(&record, to, &()).unwrap();
        };
        let renames = replay(&|| convert(ObjectForm::Files));
        assert!(renames > 3 + extra, "{renames}");
        gc(&fixture);
        let renames = replay(&|| convert(ObjectForm::Packs));
        // The packs are gone, what they were is known.
        assert!(renames >= 4, "{renames}");
    }
}

#[test]
fn a_name_changes_after_its_history_is_on_the_disk() {
    let fixture = fixture();
    pull(&fixture, "a", &[BASE]);
    let mut named = pull(&fixture, "b", &[BASE, &["top"]]);
    named.name = "a".into();
    let accepted =
        Accepted { seal: Some(kept(SEAL)), epochs: vec![epoch_for("a", 7)], ..Accepted::default() };
    let changes = recorded(|| drop(fixture.stage().unwrap().publish_with(&named, &accepted).unwrap()));
    // Seal, epoch, history and name, and the two features that they need.
    assert_eq!(Disk::new(fixture.path()).replay(&changes), 6);
}

/// What would survive a power cut.
struct Disk<'a> {
    root: &'a Path,
    /// Files whose content, and paths whose existence, is not durable.
    contents: BTreeSet<PathBuf>,
    entries: BTreeMap<PathBuf, PathBuf>,
}

impl<'a> Disk<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, contents: BTreeSet::new(), entries: BTreeMap::new() }
    }

    /// Answers how many files were renamed to places where they count.
    fn replay(mut self, changes: &[Change]) -> usize {
        let mut renames = 0;
        for change in changes {
            match change.what {
                "create" => drop(self.contents.insert(change.path.clone())),
                "mkdir" => self.entry(change.path.clone()),
                "rename" => {
                    renames += 1;
                    assert!(!self.contents.contains(&change.path), "{change:?} of what is not flushed");
                    let rank = self.rank(&change.to);
                    let early = self.entries.keys().find(|entry| self.rank(entry) < rank);
                    assert!(early.is_none(), "{change:?} while {early:?} is not flushed");
                    self.entry(change.to.clone());
                }
                "fsync" => {
                    self.contents.remove(&change.path);
                    self.entries.retain(|_, directory| *directory != change.path);
                }
                "syncfs" => {
                    self.contents.clear();
                    self.entries.clear();
                }
                "append" | "remove" | "hash" => {}
                other => panic!("unknown change {other}"),
            }
        }
        let lost: Vec<_> = self.entries.keys().filter(|entry| self.rank(entry) < 9).collect();
        assert!(lost.is_empty(), "reported as done, but not flushed: {lost:?}");
        renames
    }

    fn entry(&mut self, path: PathBuf) {
        let directory = path.parent().unwrap().to_owned();
        self.entries.insert(path, directory);
    }

    /// What has a higher rank refers to what has a lower one.
    fn rank(&self, path: &Path) -> u8 {
        let top = path.strip_prefix(self.root).unwrap().components().next();
        match top.and_then(|name| name.as_os_str().to_str()) {
            Some("objects" | "packs") => 0,
            Some("layers") if path.extension().is_some_and(|extension| extension == "pack") => 1,
            Some("layers" | "images" | "blobs") => 2,
            Some("seals" | "epochs" | "history") => 3,
            Some("refs") => 4,
            _ => 9,
        }
    }
}
