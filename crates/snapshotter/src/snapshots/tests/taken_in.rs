//! Layers that containerd unpacked itself.

use super::*;

#[test]
fn what_containerd_unpacked_itself_becomes_a_layer_of_the_store_afterwards() {
    let mut machine = Machine::new();
    let layers = [tar("base", &[1; 5000]), tar("top", &[2; 5000])];
    let lower = unpacked(&machine, "", &layers[0]);
    let upper = unpacked(&machine, &lower, &layers[1]);
    // Killed before it had the time.
    machine.restart();
    assert_eq!(machine.unpacked(), [lower.as_str()], "the lowest first");
    assert_eq!(machine.take_in_unpacked(&lower, &Has(Vec::new())).unwrap(), TakenIn::NoBlob);
    let has = Has(layers.to_vec());
    assert_eq!(machine.take_in_unpacked(&lower, &has).unwrap(), TakenIn::Done);
    assert_eq!(machine.unpacked(), [upper.as_str()]);
    assert_eq!(machine.take_in_unpacked(&upper, &has).unwrap(), TakenIn::Done);
    assert_eq!((machine.unpacked(), directories(&machine)), (vec![], 0));
    assert!(machine.usage(&upper).unwrap().size_bytes >= 5000);
    assert_eq!(machine.store().held_chains().unwrap().len(), 2);
    machine.restart();
    assert_eq!(directories(&machine), 0);
    // It is known to whoever asks for it, and containerd has no blob of it any more.
    machine.remove(&upper).unwrap();
    let again = unpacked(&machine, &lower, &layers[1]);
    assert_eq!(machine.take_in_unpacked(&again, &Has(Vec::new())).unwrap(), TakenIn::Done);
}

#[test]
fn a_directory_stays_for_the_snapshots_that_are_mounted_with_it() {
    let mut machine = Machine::new();
    let layer = tar("base", &[1; 5000]);
    let name = unpacked(&machine, "", &layer);
    let mounts = machine.view("ns/3/old", &name, Labels::new()).unwrap();
    assert_eq!(machine.take_in_unpacked(&name, &Has(vec![layer])).unwrap(), TakenIn::Done);
    let content = Path::new(&mounts[0].source).join("unpacked");
    assert!(content.exists());
    machine.restart();
    machine.sweep().unwrap();
    assert!(content.exists());
    machine.remove("ns/3/old").unwrap();
    machine.sweep().unwrap();
    assert!(!content.exists());
    assert_eq!(directories(&machine), 0);
}

#[test]
fn the_mount_below_a_directory_stays_for_the_snapshots_that_are_mounted_with_both() {
    let machine = Machine::new();
    let layers = [tar("base", &[1; 5000]), tar("top", &[2; 5000])];
    let lower = unpacked(&machine, "", &layers[0]);
    let upper = unpacked(&machine, &lower, &layers[1]);
    let has = Has(layers.to_vec());
    assert_eq!(machine.take_in_unpacked(&lower, &has).unwrap(), TakenIn::Done);
    {
        let mut state = machine.state();
        let row = Row::new(state.new_id(), Kind::Active, upper.clone(), Labels::new());
        state.change(Change::default().put("ns/9/container", row)).unwrap();
    }
    let chain = |name: &str| unpacked::chain_of_name(name).unwrap();
    let mounted = || layers::mounted(&machine.state());
    assert_eq!(machine.take_in_unpacked(&upper, &has).unwrap(), TakenIn::Done);
    assert_eq!(mounted(), [chain(&lower), chain(&upper)].into());
    machine.remove("ns/9/container").unwrap();
    assert_eq!(mounted(), [chain(&upper)].into());
}

#[test]
fn a_blob_that_is_another_layer_than_containerd_says_leaves_the_directory() {
    struct Lies(Vec<u8>, Vec<u8>);
    impl Blobs for Lies {
        fn layers(&self, _: &str) -> std::io::Result<Vec<(sealpack_format::DiffId, Blob)>> {
            Ok(vec![(blob(&self.0).digest.to_string().parse().unwrap(), blob(&self.1))])
        }
        fn open(
            &self,
            _: &str,
            _: &sealpack_format::BlobDigest,
        ) -> std::io::Result<Box<dyn std::io::Read + Send>> {
            Ok(Box::new(std::io::Cursor::new(self.1.clone())))
        }
    }
    let machine = Machine::new();
    let layer = tar("base", &[1; 5000]);
    let name = unpacked(&machine, "", &layer);
    let error = machine.take_in_unpacked(&name, &Lies(layer, tar("other", &[2; 5000]))).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert_eq!((machine.unpacked(), directories(&machine)), (vec![name], 1));
    assert_eq!(machine.store().held_chains().unwrap(), []);
}
