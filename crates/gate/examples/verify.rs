//! Verifies an image in a store, every byte of it and its seal by the trust store: `verify STORE TRUST-STORE IMAGE`.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use sealpack_gate::{Demand, Remark, verify};
use sealpack_node::find::{Digests, find};
use sealpack_node::place::StorePlace;
use sealpack_node::trust_store::TrustStore;

/// What is wrong with the image, each as a sentence; nothing where all is well.
fn failures(store: &Path, trust: &Path, image: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let place = StorePlace::new(store.into(), Duration::from_secs(60));
    let trust = TrustStore::new(Some(trust.into()), 0, |_| None);
    let (_lock, store) = place.open_for_reading()?;
    let record = find(&store, image, Digests::Whole)?;
    let mut say = |_: Remark| {};
    let report = verify::stored(&store, &record, (None, Demand::default()), &trust, &mut say)?;
    Ok(report.failures())
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let [_, store, trust, image] = std::env::args()
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: verify STORE TRUST-STORE IMAGE")?;
    match failures(store.as_ref(), trust.as_ref(), &image)?.as_slice() {
        [] => println!("{image}: all of it is as its digests say"),
        failures => return Err(failures.join("\n").into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpack_gate::pull;
    use sealpack_oci::{environment::Environment, registry::ClientOptions};
    use sealpack_tests::layer_tar::{Entry, Member, archive};
    use sealpack_tests::layout::{Layout, Packing};

    #[test]
    fn a_pulled_image_is_verified_and_one_with_another_byte_is_not() -> Result<(), Box<dyn Error>> {
        let place = tempfile::tempdir()?;
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir(at("trust.d"))?;
        let layout = Layout::create(&at("layout"))?;
        let tar = archive(&[Entry::new("file", Member::File(vec![b'x'; 100]))]);
        let layer = layout.add_layer(&tar[..], Packing::Plain)?;
        layout.add_image("latest", &[layer])?;

        let source = format!("oci:{}", at("layout").display()).parse()?;
        let mut wanted = pull::Wanted::new(source, Demand::default());
        wanted.name = Some("example.org/app:1".parse()?);
        let (client, environment) = (ClientOptions::default(), Environment::of_process(|_| None));
        let trust = TrustStore::new(Some(at("trust.d")), 0, |_| None);
        let store = StorePlace::new(at("store"), Duration::from_secs(1));
        pull::pull(&wanted, &store, &trust, (&client, &environment), &(), &mut |_| {})?;

        let judged = || failures(&at("store"), &at("trust.d"), "example.org/app:1");
        assert_eq!(judged()?, Vec::<String>::new());
        let objects = std::fs::read_dir(at("store/objects"))?.next().expect("one object")?.path();
        let object = std::fs::read_dir(objects)?.next().expect("one object")?.path();
        std::fs::remove_file(&object)?;
        std::fs::write(&object, [b'y'; 100])?;
        assert!(!judged()?.is_empty());
        assert!(failures(&at("store"), &at("trust.d"), "example.org/other:1").is_err());
        Ok(())
    }
}
