//! Images and containers through containerd, as three releases of Debian have it.

mod commits;
mod full;
mod kills;
mod pods;
mod refused;
mod served;
mod snapshotter;
mod stock;
mod together;
mod units;

use anyhow::Result;
use sealpack_tests::containerd::images;
use sealpack_tests::paths;
use sealpack_tests::registry::Registry;
use sealpack_tests::skip;

/// Whether containerd can be run here; says so if not.
pub(crate) fn can_run() -> bool {
    let why_not = sealpack_tests::containerd::why_not();
    if let Some(why) = &why_not {
        skip(why);
    }
    why_not.is_none()
}

/// A registry with `shell:1` and the image that pods are kept by.
pub(crate) fn registry() -> Result<Registry> {
    let registry = Registry::start(&paths::fixtures())?;
    registry.push(&images::shell()?, "shell:1")?;
    registry.push(&images::pause()?, images::PAUSE)?;
    Ok(registry)
}
