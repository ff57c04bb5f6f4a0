//! The system calls that mount a composefs image, without doing them: `plan IMAGE OBJECTS TARGET`.

use std::error::Error;
use std::path::PathBuf;

use sealpack_format::Algorithm;
use sealpack_format::verity::fsverity_digest;
use sealpack_mount::{Level, Objects, Plan, Request};

/// What would be done to mount `image`, whose contents are in the directory `objects`, on `target`.
fn plan(image: PathBuf, objects: PathBuf, target: PathBuf, required: Level) -> Result<Plan, Box<dyn Error>> {
    let image_id = fsverity_digest(Algorithm::Sha256, &std::fs::read(&image)?);
    let objects = Objects::Files { directories: vec![objects], have_verity: true };
    let request = Request { required, ..Request::read_only(image, image_id, objects, target) };
    Ok(Plan::new(request)?)
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let [_, image, objects, target] =
        std::env::args().collect::<Vec<_>>().try_into().map_err(|_| "usage: plan IMAGE OBJECTS TARGET")?;
    println!("{}", plan(image.into(), objects.into(), target.into(), Level::Plain)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_has_the_digest_of_the_image_and_a_level_out_of_reach_has_no_plan()
    -> Result<(), Box<dyn Error>> {
        let place = tempfile::tempdir()?;
        let image = place.path().join("image");
        std::fs::write(&image, [7; 4096])?;
        let of = |required| plan(image.clone(), "/objects".into(), "/mnt".into(), required);
        let text = of(Level::Verified)?.to_string();
        let digest = fsverity_digest(Algorithm::Sha256, &[7; 4096]).to_string();
        assert!(text.contains(&digest) && text.contains("/objects"), "{text}");
        // Files have no signatures.
        assert!(of(Level::Signed).is_err());
        Ok(())
    }
}
