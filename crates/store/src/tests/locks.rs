use std::time::{Duration, Instant};

use super::*;
use crate::{Error, LockKind};

#[test]
fn gc_waits_for_a_staging_only_as_long_as_told_and_names_who_has_the_store() {
    let fixture = fixture();
    let staging = fixture.stage().unwrap();
    staging.add_bytes(&id_of(&fixture, "x"), &content("x")).unwrap();
    staging.commit().unwrap();
    let options = GcOptions { wait: Duration::from_millis(120), ..GcOptions::default() };
    let start = Instant::now();
    let error = fixture.gc(&options, &objects_of, &()).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(120));
    let Error::Locked(lock) = &error else { panic!("{error}") };
    // The table is the kernel's; where it is hidden, nobody can be named.
    if std::fs::read_to_string("/proc/locks").is_ok_and(|locks| !locks.is_empty()) {
        assert_eq!(lock.holders.len(), 1);
        assert_eq!(lock.holders[0].pid, std::process::id());
        assert!(
            error.to_string().contains(&format!("in use by process {} (", std::process::id())),
            "{error}"
        );
    } else {
        eprintln!("skipped in part: /proc/locks cannot be read");
    }
    assert_eq!(fixture.check_object(&id_of(&fixture, "x")).unwrap(), crate::ObjectState::Good);
    drop(staging);
    assert_eq!(gc(&fixture).objects.count, 1);
}

#[test]
fn a_lock_that_is_released_in_time_is_got() {
    let fixture = fixture();
    let exclusive = fixture.lock(LockKind::Exclusive, Duration::ZERO).unwrap();
    assert!(matches!(fixture.lock(LockKind::Shared, Duration::ZERO), Err(Error::Locked(_))));
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| fixture.lock(LockKind::Shared, Duration::from_secs(60)).map(|lock| lock.kind()));
        std::thread::sleep(Duration::from_millis(30));
        drop(exclusive);
        assert_eq!(waiting.join().unwrap().unwrap(), LockKind::Shared);
    });
}

#[test]
fn names_cannot_change_while_things_are_collected() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[&["x"]]);
    let store = Store::open(fixture.path()).unwrap().with_lock_wait(Duration::ZERO);
    let _lock = fixture.lock(LockKind::Exclusive, Duration::ZERO).unwrap();
    assert!(matches!(store.set_image(&record), Err(Error::Locked(_))));
    assert!(matches!(store.remove_image("a"), Err(Error::Locked(_))));
    assert!(matches!(store.stage().map(drop), Err(Error::Locked(_))));
    assert!(matches!(store.convert(&record, ObjectForm::Packs, &()).map(drop), Err(Error::Locked(_))));
    assert!(matches!(write_seal(&store, &record, b"{}"), Err(Error::Locked(_))));
    assert!(matches!(store.ensure_hash_area(&record.metadata_image), Err(Error::Locked(_))));
}

#[test]
fn a_download_belongs_to_one_and_is_resumed_by_the_next() {
    let fixture = fixture();
    let (digest, _) = blob_of("layer");
    let mut first = fixture.partial(&digest).unwrap().unwrap();
    assert!(fixture.partial(&digest).unwrap().is_none());
    assert!(fixture.partial(&blob_of("other").0).unwrap().is_some());
    first.append(b"lay").unwrap();
    drop(first);

    let mut second = fixture.partial(&digest).unwrap().unwrap();
    assert_eq!(second.length_bytes(), 3);
    let mut bytes = Vec::new();
    second.reader().unwrap().read_to_end(&mut bytes).unwrap();
    second.append(b"er").unwrap();
    second.reader().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"laylayer");
    second.clear().unwrap();
    assert_eq!(second.length_bytes(), 0);
    second.append(b"x").unwrap();
    second.remove().unwrap();
    assert_eq!(fixture.partial(&digest).unwrap().unwrap().length_bytes(), 0);
}

#[test]
fn leftovers_of_the_dead_go_and_stagings_of_the_living_stay() {
    let fixture = fixture();
    let living = fixture.stage().unwrap();
    living.add_bytes(&id_of(&fixture, "x"), &content("x")).unwrap();
    let tmp = fixture.path().join("tmp");
    let dead = tmp.join("stage-1-99");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("0"), "half an obj").unwrap();
    drop(fixture.stage().unwrap());
    assert!(!dead.exists());
    living.commit().unwrap();
    drop(living);
    assert_eq!(std::fs::read_dir(tmp).unwrap().count(), 0);
}

/// One staging once removed the directory that another one had just made and was about to lock.
#[test]
fn stagings_that_begin_at_the_same_time_leave_each_other_alone() {
    let fixture = fixture();
    let (done, start) = (std::sync::atomic::AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        let (store, done) = (&fixture.store, &done);
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..100 {
                    let text = format!("{thread} {round}");
                    let staging = store.stage().unwrap();
                    staging.add_bytes(&id_of(store, &text), &content(&text)).unwrap();
                }
                done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            });
        }
        for _ in 0..4 {
            scope.spawn(move || {
                let going = || done.load(std::sync::atomic::Ordering::Relaxed) < 4;
                while going() && start.elapsed() < Duration::from_secs(60) {
                    store.remove_dead_stagings().unwrap();
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(fixture.path().join("tmp")).unwrap().count(), 0);
}
