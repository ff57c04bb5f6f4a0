//! The record of the last boot that was refused, on a sealed host's data partition.

use std::io::{self, Write};

use sealpack_format::boot::{RefusedBoot, data};
use sealpack_kernel::directory::Directory;

/// The largest record, in bytes.
const RECORD_MAX_BYTES: usize = 4096;

/// Keeps a record in the place of that of an earlier boot, whole or not at all. `data` is the partition's root.
///
/// # Errors
/// What the system says: no room, a read-only filesystem.
pub fn keep(data: &Directory, refused: &RefusedBoot) -> io::Result<()> {
    let text = refused.text();
    let (directory, name) = data::REFUSED.split_once('/').ok_or(io::ErrorKind::InvalidInput)?;
    let directory = data.make_sub(directory, 0o755)?;
    let temporary = format!("{name}.new");
    directory.remove_all(&temporary)?;
    let mut file = directory.create(&temporary, 0o644)?;
    file.write_all(&text.as_bytes()[..text.floor_char_boundary(RECORD_MAX_BYTES)])?;
    file.sync_all()?;
    directory.rename(&temporary, &directory, name)?;
    directory.sync()?;
    data.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(why: &str) -> RefusedBoot {
        RefusedBoot { step: "image".to_owned(), why: why.to_owned(), advice: "x".to_owned(), started: None }
    }

    #[test]
    fn a_record_replaces_the_one_before_and_is_bounded() {
        let place = tempfile::tempdir().unwrap();
        let data = Directory::open(place.path()).unwrap();
        // What a power cut left.
        std::fs::create_dir(place.path().join("boot")).unwrap();
        std::fs::write(place.path().join("boot/refused.new"), "half").unwrap();
        keep(&data, &refused("first")).unwrap();
        let read = || std::fs::read_to_string(place.path().join("boot/refused")).unwrap();
        assert_eq!(read(), refused("first").text());
        keep(&data, &refused(&"é".repeat(4000))).unwrap();
        assert!(read().ends_with('é') && (4094..=4096).contains(&read().len()), "{}", read().len());
        assert_eq!(std::fs::read_dir(place.path().join("boot")).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_place_of_the_record_is_replaced_and_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("target");
        std::fs::write(&target, "theirs").unwrap();
        let boot = place.path().join("boot");
        std::fs::create_dir(&boot).unwrap();
        for name in ["refused", "refused.new"] {
            std::os::unix::fs::symlink(&target, boot.join(name)).unwrap();
        }
        keep(&Directory::open(place.path()).unwrap(), &refused("ours")).unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "theirs");
        assert!(std::fs::symlink_metadata(boot.join("refused")).unwrap().is_file());
    }
}
