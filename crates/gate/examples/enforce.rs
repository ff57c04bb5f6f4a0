//! Pulls an image by the rules of the trust store, verifies all of it, and mounts it where the kernel decides what
//! executes: `cargo run --package sealpack-gate --example enforce REFERENCE DIRECTORY`, as root.

use std::error::Error;
use std::time::Duration;

use sealpack_gate::{Demand, pull, verify};
use sealpack_kernel::Kernel;
use sealpack_mount::{Broker, Level, Plan};
use sealpack_node::{mounting, place::StorePlace, trust_store::TrustStore};
use sealpack_oci::{environment::Environment, registry::ClientOptions};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let [_, image, target] =
        std::env::args().collect::<Vec<_>>().try_into().map_err(|_| "REFERENCE DIRECTORY")?;
    let place = StorePlace::new("/var/lib/sealpack".into(), Duration::from_secs(60));
    let trust = TrustStore::new(Some("/etc/sealpack/trust.d".into()), 0, |_| None);
    let (client, environment) = (ClientOptions::default(), Environment::of_process(std::env::var_os));
    let demand = Demand { sealed: true, ..Demand::default() };
    let mut say = |remark: sealpack_gate::Remark| eprintln!("{remark}");

    let wanted = pull::Wanted::new(image.parse()?, demand);
    let admitted = pull::pull(&wanted, &place, &trust, (&client, &environment), &(), &mut say)?;

    let (_lock, store) = place.open_for_reading()?;
    let record = &admitted.pulled().record;
    let report = verify::stored(&store, record, (None, demand), &trust, &mut say)?;
    if let [first, ..] = report.failures().as_slice() {
        return Err(first.as_str().into());
    }

    let options = mounting::Options::read_only(target.into(), Level::Enforced);
    let plan = Plan::new(mounting::request(&store, record, options)?)?;
    let achieved = sealpack_mount::apply_with(&Kernel::default(), &plan, Some(&Broker::default()))?;
    println!("{}: {}", achieved.target.display(), achieved.assurance);
    Ok(())
}
