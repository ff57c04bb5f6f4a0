//! What stays over a reboot besides some files of `/etc`: `/var` and `/home`.

use std::path::Path;

use sealpack_format::boot::data;
use sealpack_kernel::Kernel;
use sealpack_kernel::directory::Directory;

use super::failure::Failure;

/// Binds directories of the data partition over those of the image, which is mounted at `image`. What the image has
/// there is not seen.
///
/// # Errors
/// The image does not have the directories; there is no room to make them.
pub(super) fn bind(kernel: &Kernel, partition: &Directory, image: &Path) -> Result<(), Failure> {
    for name in [data::VAR, data::HOME] {
        let failed = |error| Failure::at(&partition.path().join(name), &error);
        let directory = partition.make_sub(name, 0o755).map_err(failed)?;
        kernel.attach(&kernel.clone_mount(&directory)?, in_image(image, name)?)?;
    }
    Ok(())
}

/// A directory of the image to mount something on.
///
/// # Errors
/// It is not there, is a link, or no directory.
pub(super) fn in_image(image: &Path, name: &str) -> Result<Directory, Failure> {
    let failed = |error| {
        let why = format!("the directory /{name} of the image: {error}");
        Failure::new(why).advised("put it into the image (sealpack host check)")
    };
    let root = Directory::open(image).map_err(failed)?;
    root.sub(name).and_then(|found| found.ok_or_else(|| std::io::ErrorKind::NotFound.into())).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_the_image_lacks_is_named() {
        let image = tempfile::tempdir().unwrap();
        let why = |name| in_image(image.path(), name).unwrap_err().why;
        assert!(why("data").starts_with("the directory /data of the image: "));
        std::os::unix::fs::symlink("/", image.path().join("var")).unwrap();
        assert!(why("var").ends_with("a symbolic link, which is not followed to write"));
        std::fs::create_dir(image.path().join("home")).unwrap();
        assert!(in_image(image.path(), "home").is_ok());
    }
}
