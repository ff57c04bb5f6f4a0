//! What is said of an image when it is sealed.

use std::time::{SystemTime, UNIX_EPOCH};

use sealpack_format::reference::Reference;
use sealpack_node::seals::Wanted;
use sealpack_trust::timestamp::Timestamp;

use crate::error::CommandError;

/// What is said of an image besides its devices.
#[derive(Debug, clap::Args)]
pub(crate) struct StatementArgs {
    /// A name that the seal may be used for, a whole reference such as docker.io/library/debian:12; may be given
    /// several times [default: the name that the image was pulled under]. Must be given for what is from no registry
    /// and not in the store.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<Reference>,
    /// The number that tells an earlier seal of a name from a later one [default: the seconds since 1970, of this time;
    /// $SOURCE_DATE_EPOCH is the time that the seal says it was made, and never the default of this].
    #[arg(long, value_name = "NUMBER")]
    epoch: Option<u64>,
}

impl StatementArgs {
    /// Whether names were given.
    pub(crate) const fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// What is wanted of a statement that is made now.
    pub(crate) fn wanted(&self) -> Result<Wanted, CommandError> {
        Ok(Wanted { names: self.names.clone(), epoch: self.epoch, now: now()?, created: source_date()? })
    }
}

/// This time, or the one that builds are to use in its stead.
pub(crate) fn source_date() -> Result<Timestamp, CommandError> {
    given_date()?.map_or_else(now, Ok)
}

/// The time that builds are to use in the stead of this one, where there is one (reproducible-builds.org,
/// SOURCE_DATE_EPOCH).
pub(crate) fn given_date() -> Result<Option<Timestamp>, CommandError> {
    const VARIABLE: &str = "SOURCE_DATE_EPOCH";
    let given = std::env::var_os(VARIABLE);
    given.map(|text| timestamp(text.to_str().and_then(|text| text.parse().ok()), VARIABLE)).transpose()
}

fn now() -> Result<Timestamp, CommandError> {
    timestamp(SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()), "the clock")
}

fn timestamp(seconds: Option<u64>, from: &str) -> Result<Timestamp, CommandError> {
    seconds.and_then(Timestamp::from_unix_seconds).ok_or_else(|| {
        CommandError::failed(format_args!("{from} is not at a number of seconds between 1970 and 9999"))
    })
}
