//! What the store or the database has lost.

use super::*;

/// Removes what is kept of a layer: whoever holds it does not notice.
fn lose_chain_records(machine: &Machine) {
    for entry in fs::read_dir(machine.directory.path().join("store/chains")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[test]
fn chains_that_the_store_lost_are_held_again_and_layers_that_are_gone_are_named() {
    let mut machine = Machine::new();
    let opened = std::cell::Cell::new(0);
    let (lower, _) = pulled(&machine, "", &tar("base", &[1; 5000]), &opened);
    let (upper, _) = pulled(&machine, &lower, &tar("top", &[2; 5000]), &opened);
    lose_chain_records(&machine);
    assert_eq!(machine.restart(), []);
    assert_eq!(machine.store().held_chains().unwrap().len(), 2);
    // A record that is damaged is written again.
    let first = fs::read_dir(machine.directory.path().join("store/chains")).unwrap().next().unwrap();
    fs::write(first.unwrap().path(), "{").unwrap();
    assert_eq!(machine.restart(), []);
    machine.prepare("ns/9/c", &upper, Labels::new()).unwrap();
    machine.remove("ns/9/c").unwrap();
    // The store has nothing left of the layers.
    lose_chain_records(&machine);
    let store = machine.store();
    store.gc(&sealpack_store::GcOptions::default(), &sealpack_store::objects_of_image, &()).unwrap();
    let notices = machine.restart();
    let text: Vec<String> = notices.iter().map(ToString::to_string).collect();
    assert_eq!(notices.len(), 2, "{text:?}");
    assert!(text.iter().any(|text| text.contains(&upper) && text.contains("pull it again")), "{text:?}");
    assert_eq!(code(machine.prepare("ns/9/c", &upper, Labels::new())), Code::DataLoss);
    machine.committed("other", "");
}

#[test]
fn layers_that_are_gone_come_back_from_the_blobs_that_containerd_has() {
    let mut machine = Machine::new();
    let opened = std::cell::Cell::new(0);
    let layers = [tar("base", &[1; 5000]), tar("top", &[2; 5000])];
    let (lower, _) = pulled(&machine, "", &layers[0], &opened);
    let (upper, _) = pulled(&machine, &lower, &layers[1], &opened);
    assert_eq!(machine.lost(), [""; 0]);
    // While nobody looks, as a disk loses them: the chains' records stay.
    let packs = machine.directory.path().join("store/packs/sha256");
    for entry in fs::read_dir(&packs).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let (sender, heard) = std::sync::mpsc::channel();
    machine.tell_of_layers(sender);
    assert_eq!(code(machine.prepare("ns/9/c", &upper, Labels::new())), Code::DataLoss);
    heard.try_recv().unwrap();
    assert_eq!(machine.lost(), [upper.as_str()]);
    let top: sealpack_format::DiffId = blob(&layers[1]).digest.to_string().parse().unwrap();
    let only_base = Has(layers[..1].to_vec());
    assert_eq!(machine.recover(&upper, &only_base).unwrap(), Recovered::NoBlob(top));
    let has = Has(layers.to_vec());
    assert_eq!(machine.recover(&upper, &has).unwrap(), Recovered::Done);
    assert_eq!(machine.lost(), [""; 0]);
    machine.prepare("ns/9/c", &upper, Labels::new()).unwrap();
    machine.remove("ns/9/c").unwrap();
    // All of them, found at the next start; and a snapshot whose name has no namespace.
    let target = |chain: &str| labels(&[("containerd.io/snapshot.ref", chain)]);
    let chain = lower.rsplit('/').next().unwrap().to_owned();
    assert_eq!(code(machine.prepare("other/1/extract-2 y", "", target(&chain))), Code::AlreadyExists);
    lose_chain_records(&machine);
    let store = machine.store();
    store.gc(&sealpack_store::GcOptions::default(), &sealpack_store::objects_of_image, &()).unwrap();
    assert_eq!(machine.restart().len(), 2);
    for name in machine.lost() {
        assert_eq!(machine.recover(&name, &has).unwrap(), Recovered::Done, "{name}");
    }
    assert_eq!((machine.lost(), machine.restart()), (vec![], vec![]));
    machine.prepare("ns/9/c", &upper, Labels::new()).unwrap();
    // One that goes is not looked for any more.
    machine.remove("ns/9/c").unwrap();
    lose_chain_records(&machine);
    store.gc(&sealpack_store::GcOptions::default(), &sealpack_store::objects_of_image, &()).unwrap();
    assert_eq!(code(machine.view("ns/9/v", &upper, Labels::new())), Code::DataLoss);
    machine.remove(&upper).unwrap();
    assert_eq!(machine.lost(), [""; 0]);
    assert_eq!(code(machine.recover(&upper, &has)), Code::NotFound);
}

#[test]
fn a_row_that_is_lost_or_damaged_is_made_again_from_its_name() {
    let mut machine = Machine::new();
    let opened = std::cell::Cell::new(0);
    let (lower, _) = pulled(&machine, "", &tar("base", &[1; 5000]), &opened);
    let (upper, _) = pulled(&machine, &lower, &tar("top", &[2; 5000]), &opened);
    let upper_dir = Machine::upper_of(&machine.prepare("ns/7/container", &upper, Labels::new()).unwrap());
    fs::write(upper_dir.join("precious"), "of a container").unwrap();
    machine.state().damage(&upper);
    let notices = machine.restart();
    assert_eq!(notices.last(), Some(&Notice::Restored { name: upper.clone() }), "{notices:?}");
    machine.prepare("ns/8/c", &upper, Labels::new()).unwrap();
    // The whole database.
    machine.snapshotter = None;
    fs::remove_file(machine.store().snapshotter_path().join("state.redb")).unwrap();
    assert_eq!(machine.restart(), [Notice::Forgotten { directories: 2, chains: 2 }]);
    assert_eq!(machine.restart(), []);
    machine.sweep().unwrap();
    assert!(upper_dir.join("precious").exists(), "nobody knows whose it is");
    assert_eq!(machine.stat(&lower).unwrap().kind, Kind::Committed);
    let mounts = machine.prepare("ns/9/c", &upper, Labels::new()).unwrap();
    assert_ne!(Machine::upper_of(&mounts), upper_dir, "no number is given twice");
    assert_eq!(code(machine.stat(&format!("ns/2/sha256:{}", "ab".repeat(32)))), Code::NotFound);
    // As usual from then on.
    for name in ["ns/9/c", &upper, &lower] {
        machine.remove(name).unwrap();
    }
    machine.sweep().unwrap();
    assert_eq!(machine.store().held_chains().unwrap(), []);
}

/// The number of such a directory was given again, and what was there, perhaps a running container's, was removed when it could not
/// be made.
#[test]
fn a_directory_of_which_no_row_tells_any_more_is_nobody_elses() {
    let mut machine = Machine::new();
    let upper = Machine::upper_of(&machine.prepare("running", "", Labels::new()).unwrap());
    fs::write(upper.join("data"), "precious").unwrap();
    machine.state().damage_all("running");
    assert!(matches!(&machine.restart()[..], [Notice::Broken { name, .. }] if name == "running"));
    let other = Machine::upper_of(&machine.prepare("other", "", Labels::new()).unwrap());
    assert_ne!(other, upper);
    assert_eq!(fs::read_to_string(upper.join("data")).unwrap(), "precious");
    // Nor is it removed where something of that number is to be made all the same.
    let id = machine.directories.snapshot_of(&upper).unwrap();
    assert!(machine.directories.make(id, None).unwrap_err().to_string().contains("File exists"));
    assert_eq!(fs::read_to_string(upper.join("data")).unwrap(), "precious");
}

#[test]
fn a_directory_that_two_rows_have_stays_with_the_other_when_one_goes() {
    let mut machine = Machine::new();
    let upper = Machine::upper_of(&machine.prepare("running", "", Labels::new()).unwrap());
    machine.prepare("damaged", "", Labels::new()).unwrap();
    fs::write(upper.join("data"), "precious").unwrap();
    machine.state().give_directory_of("running", "damaged");
    assert_eq!(machine.restart(), []);
    machine.remove("damaged").unwrap();
    assert_eq!(fs::read_to_string(upper.join("data")).unwrap(), "precious");
    machine.remove("running").unwrap();
    assert!(!upper.exists());
}
