use std::time::{Duration, SystemTime};

use sealpack_trust::key::{CommonName, Validity};

use crate::error::CommandError;

/// What a new certificate says.
#[derive(Debug, clap::Args)]
pub(crate) struct SubjectArgs {
    /// Whose key it is: the certificate's common name, which the kernel shows in its list of keys.
    #[arg(long, value_name = "NAME", default_value = "Sealpack signing key")]
    pub(crate) subject: CommonName,
    /// For how many days the certificate is valid, from now on. The kernel does not look at that.
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
}

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

impl SubjectArgs {
    /// From `now` on.
    pub(crate) fn validity(&self, now: SystemTime) -> Result<Validity, CommandError> {
        let duration = Duration::from_secs(u64::from(self.days) * SECONDS_PER_DAY);
        Validity::starting(now, duration).map_err(CommandError::failed)
    }
}
