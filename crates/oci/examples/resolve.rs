//! The image that a source has for this machine, everything but its layers' bytes verified: `resolve SOURCE`, where a
//! source is a reference, or `oci:DIRECTORY` and the like.

use std::error::Error;
use std::fmt::Write;

use sealpack_oci::environment::Environment;
use sealpack_oci::image;
use sealpack_oci::platform::Platform;
use sealpack_oci::registry::ClientOptions;
use sealpack_oci::source::Source;

/// The image's manifest and layers, a line each.
fn resolve(source: &str, environment: &Environment) -> Result<String, Box<dyn Error>> {
    let source: Source = source.parse()?;
    let opened = source.open(&ClientOptions::default(), environment)?;
    let image = image::resolve(&*opened, &Platform::host())?;
    let mut text = format!("manifest {}\n", image.manifest.digest);
    for layer in &image.layers {
        writeln!(
            text,
            "layer {} ({} bytes) as {}",
            layer.diff_id, layer.descriptor.size_bytes, layer.descriptor.digest
        )?;
    }
    Ok(text)
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let [_, source] = std::env::args().collect::<Vec<_>>().try_into().map_err(|_| "usage: resolve SOURCE")?;
    print!("{}", resolve(&source, &Environment::of_process(std::env::var_os))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpack_tests::layer_tar;
    use sealpack_tests::layout::{Layout, Packing};

    #[test]
    fn the_layers_of_an_image_in_a_layout_are_told_and_a_tag_that_is_not_there_is_an_error()
    -> Result<(), Box<dyn Error>> {
        let place = tempfile::tempdir()?;
        let layout = Layout::create(place.path())?;
        let layer = layout.add_layer(&layer_tar::end()[..], Packing::Plain)?;
        layout.add_image("latest", std::slice::from_ref(&layer))?;
        let source = format!("oci:{}", place.path().display());
        let environment = Environment::of_process(|_| None);

        let told = resolve(&source, &environment)?;
        assert!(told.contains(&format!("layer {} (1024 bytes)", layer.diff_id)), "{told}");
        assert!(resolve(&format!("{source}:other"), &environment).is_err());
        Ok(())
    }
}
