//! Pulls of what is there.

use anyhow::{Result, ensure};
use sealpack_test_registry::{Image, ImageLayer, Registry};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::architecture;
use sealpack_tests::program::Sealpack;

/// Each request costs a round trip: what has the digest that is wanted is taken from the store, and lists that do not depend on
/// the type of what is looked for are asked for once.
#[test]
fn a_known_image_costs_one_request_for_its_name_and_one_or_two_for_what_refers_to_it() -> Result<()> {
    let (node, registry) = (Sealpack::new()?, Registry::start());
    let file = Entry::new("file", Member::File(vec![7; 100]));
    let image = Image::new(&format!("linux/{}", architecture()), vec![ImageLayer::gzip(&archive(&[file]))]);
    registry.put_image("app", "1", &image);
    registry.set_referrers_api(false);
    let name = format!("{}/app:1", registry.host());
    let pull = |form: &str| -> Result<Vec<String>> {
        let before = registry.requests().len();
        node.run(["pull", "--objects", form, &name])?;
        Ok(registry.requests()[before..].iter().map(|request| request.target.clone()).collect())
    };
    pull("packs")?;
    let asked = pull("packs")?;
    let [manifest, api, tag] = asked.as_slice() else { anyhow::bail!("it asked for {asked:?}") };
    ensure!(manifest == "/v2/app/manifests/1", "{manifest}");
    ensure!(api.starts_with("/v2/app/referrers/sha256:"), "{api}");
    ensure!(tag.starts_with("/v2/app/manifests/sha256-"), "{tag}");
    Ok(())
}
