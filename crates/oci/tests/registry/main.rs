//! The registry client against a registry in this process, with everything that can go wrong.
#![allow(clippy::unwrap_used, reason = "the whole crate is a test, its helpers included")]

mod as_it_is;
mod auth;
mod blobs;
mod copying;
mod foreign_layouts;
mod manifests;
mod network;
mod pushing;
mod referrers;
mod tags;
mod uploads;

use std::io::Read as _;
use std::time::Duration;

use sealpack_oci::environment::Environment;
use sealpack_oci::error::{Error, Result};
use sealpack_oci::image::{ResolvedImage, resolve};
use sealpack_oci::platform::Platform;
use sealpack_oci::registry::{ClientOptions, RegistryError, RegistrySource, RetryPolicy, Timeouts};
use sealpack_oci::transport::ImageSource as _;
use sealpack_test_registry::{Image, ImageLayer, Registry};

/// Settings that wait for nothing longer than a test may.
fn options() -> ClientOptions {
    ClientOptions {
        retry: RetryPolicy {
            retries: 3,
            first_delay: Duration::from_millis(2),
            longest_delay: Duration::from_millis(10),
            longest_retry_after: Duration::from_secs(2),
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(5),
            stall: Duration::from_millis(200),
            helper: Duration::from_secs(5),
        },
        ..ClientOptions::default()
    }
}

fn nowhere() -> Environment {
    Environment::empty("/nonexistent")
}

/// The source for `name` in `registry`.
fn source_with(
    registry: &Registry,
    name: &str,
    options: &ClientOptions,
    environment: &Environment,
) -> RegistrySource {
    let reference = format!("{}/{name}", registry.host()).parse().unwrap();
    RegistrySource::new(reference, options, environment)
}

fn source(registry: &Registry, name: &str) -> RegistrySource {
    source_with(registry, name, &options(), &nowhere())
}

fn platform() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// 600 KiB that do not compress, so that positions in the blob mean something.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..75 * 1024).flat_map(next).collect()
}

fn image() -> Image {
    Image::new("linux/amd64", vec![ImageLayer::plain(&noise()), ImageLayer::gzip(b"second")])
}

/// A registry with one image at `app:1`.
fn registry_with_image() -> Registry {
    let registry = Registry::start();
    registry.put_image("app", "1", &image());
    registry
}

/// Resolves `app:1` and reads its first layer from `offset`.
fn read_layer(source: &RegistrySource, offset: u64) -> Result<Vec<u8>> {
    let image = resolve(source, &platform())?;
    read_blob(source, &image, offset)
}

fn read_blob(source: &RegistrySource, image: &ResolvedImage, offset: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut reader = source.open(&image.layers[0].descriptor, offset)?;
    match reader.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Error::from_read(error).unwrap()),
    }
}

/// Part of the path of the first layer's blob.
fn layer_path() -> String {
    format!("blobs/{}", sealpack_test_registry::digest_of(&image().layers[0].blob))
}

fn registry_error(error: Error) -> RegistryError {
    match error {
        Error::Registry(error) => *error,
        other => panic!("not an error of the registry: {other}"),
    }
}
