//! What to do about what is in a store, or is not.

use sealpack_store::Error;

/// Where the record of a name cannot be used.
pub(crate) const OF_RECORD: &str = "`sealpack fsck --repair` sets it aside";

/// The advice for an error of the store's.
pub(crate) const fn of_store(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NoSpace { .. } | Error::NoRoom { .. } => {
            "make room on that filesystem (`sealpack gc` removes what no image needs) and try again"
        }
        Error::Permission { .. } => {
            "--store DIR or $SEALPACK_STORE names another place; without them $XDG_DATA_HOME and $HOME do"
        }
        Error::ImageIncomplete { .. } => "pull the image again",
        Error::BlobDamaged { .. } | Error::RefDamaged(_) => OF_RECORD,
        Error::ImageDamaged { .. } | Error::LayerDamaged { .. } | Error::PackRecordDamaged { .. } => {
            "`sealpack fsck --repair` sets it aside, and pulling the image again brings it back"
        }
        Error::PackDamaged { .. } => {
            "`sealpack fsck --repair` sets aside what is damaged, and pulling the image again brings it back"
        }
        Error::PackUnknown(_) => "`sealpack convert IMAGE --to packs` makes them",
        Error::RootUnreadable { .. } => {
            "`sealpack fsck` names what is damaged, `sealpack fsck --repair` sets it aside"
        }
        _ => return None,
    })
}
