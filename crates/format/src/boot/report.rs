//! What a sealed host's first process says of the start: a file that who looks at the host reads.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::{Etc, Hardening};
use crate::{ObjectId, RootHash};

/// The most steps that are read.
const STEPS_MAX: usize = 256;

/// How the host was started. Its text is one `key=value` a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootReport {
    /// `image`: the fs-verity digest of the metadata image that is the root.
    pub image: ObjectId,
    /// `root`: the root hash of its device.
    pub root_hash: RootHash,
    /// `etc`: what `/etc` writes to.
    pub etc: Etc,
    /// `off`: the hardenings that were left out, separated by commas.
    pub off: BTreeSet<Hardening>,
    /// `data`: the device of the data partition.
    pub data_device: String,
    /// `policy`: the name of IPE's policy.
    pub policy: String,
    /// `policy_version`: its version when the system was started; later updates are not here.
    pub policy_version: String,
    /// `policy_update`: the file of the data partition that this version came from, if it was not the UKI's.
    pub policy_update: Option<String>,
    /// `started_ms`: when the first process began, in milliseconds since the kernel did.
    pub started_ms: u64,
    /// `handed_over_ms`: when it was done.
    pub handed_over_ms: u64,
    /// `step.NAME`: how long each step took, in milliseconds, in their order.
    pub steps_ms: Vec<(String, u64)>,
}

/// What is no such report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A line has no `=`.
    #[error("the line {0:?} of a boot's report has no key")]
    Line(String),
    /// A key is not there.
    #[error("a boot's report does not say {0}")]
    Missing(&'static str),
    /// A key has a value that it cannot have.
    #[error("in a boot's report, {key} cannot be {value:?}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
}

impl fmt::Display for BootReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off: Vec<&str> = self.off.iter().map(|hardening| hardening.name()).collect();
        writeln!(f, "image={}\nroot={}\netc={}", self.image, self.root_hash, self.etc.name())?;
        writeln!(f, "off={}\ndata={}", off.join(","), self.data_device)?;
        writeln!(f, "policy={}\npolicy_version={}", self.policy, self.policy_version)?;
        if let Some(update) = &self.policy_update {
            writeln!(f, "policy_update={update}")?;
        }
        writeln!(f, "started_ms={}\nhanded_over_ms={}", self.started_ms, self.handed_over_ms)?;
        self.steps_ms.iter().try_for_each(|(name, took_ms)| writeln!(f, "step.{name}={took_ms}"))
    }
}

impl FromStr for BootReport {
    type Err = ReportError;

    /// Reads the text. Keys that are not known are passed over: who writes may be newer than who reads.
    fn from_str(text: &str) -> Result<Self, ReportError> {
        let mut fields = Vec::new();
        for line in text.lines() {
            fields.push(line.split_once('=').ok_or_else(|| ReportError::Line(shown(line)))?);
        }
        let fields = Fields(fields);
        let steps = fields.0.iter().filter_map(|(key, value)| Some((key.strip_prefix("step.")?, *value)));
        let steps = steps.take(STEPS_MAX).map(|(name, value)| Ok((name.to_owned(), parsed("step", value)?)));
        let off = fields.need("off")?.split(',').filter(|name| !name.is_empty());
        Ok(Self {
            image: fields.parse("image")?,
            root_hash: fields.parse("root")?,
            etc: fields.parse("etc")?,
            off: off.map(|name| parsed("off", name)).collect::<Result<_, _>>()?,
            data_device: fields.need("data")?.to_owned(),
            policy: fields.need("policy")?.to_owned(),
            policy_version: fields.need("policy_version")?.to_owned(),
            policy_update: fields.get("policy_update").map(str::to_owned),
            started_ms: fields.parse("started_ms")?,
            handed_over_ms: fields.parse("handed_over_ms")?,
            steps_ms: steps.collect::<Result<_, _>>()?,
        })
    }
}

/// Keys and values, in their order.
struct Fields<'t>(Vec<(&'t str, &'t str)>);

impl<'t> Fields<'t> {
    fn get(&self, key: &str) -> Option<&'t str> {
        self.0.iter().find(|(other, _)| *other == key).map(|(_, value)| *value)
    }

    fn need(&self, key: &'static str) -> Result<&'t str, ReportError> {
        self.get(key).ok_or(ReportError::Missing(key))
    }

    fn parse<T: FromStr>(&self, key: &'static str) -> Result<T, ReportError> {
        parsed(key, self.need(key)?)
    }
}

fn parsed<T: FromStr>(key: &'static str, value: &str) -> Result<T, ReportError> {
    value.parse().map_err(|_| ReportError::Value { key, value: shown(value) })
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> BootReport {
        BootReport {
            image: "ab".repeat(32).parse().unwrap(),
            root_hash: "cd".repeat(32).parse().unwrap(),
            etc: Etc::Persistent,
            off: BTreeSet::from([Hardening::Kexec, Hardening::DeviceMapper]),
            data_device: "/dev/vda2".to_owned(),
            policy: "host".to_owned(),
            policy_version: "1.0.2".to_owned(),
            policy_update: Some("host-1.0.2.p7b".to_owned()),
            started_ms: 1200,
            handed_over_ms: 1900,
            steps_ms: vec![("mounts".to_owned(), 12), ("modules".to_owned(), 200)],
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = report();
        assert_eq!(report.to_string().parse(), Ok(report.clone()));
        let plain = BootReport { off: BTreeSet::new(), policy_update: None, etc: Etc::Tmpfs, ..report };
        assert_eq!(plain.to_string().parse(), Ok(plain));
    }

    #[test]
    fn what_is_no_report_says_where() {
        let text = report().to_string();
        let error = |text: String| text.parse::<BootReport>().unwrap_err().to_string();
        assert_eq!(error(text.replace("policy=host\n", "")), "a boot's report does not say policy");
        assert!(error(text.replace("etc=persistent", "etc=ram")).contains("etc cannot be \"ram\""));
        assert!(error(text.replace("=1200", "=soon")).contains("started_ms cannot be \"soon\""));
        assert!(error(text + "and so on\n").contains("\"and so on\""));
    }

    #[test]
    fn a_newer_report_is_read_as_far_as_it_is_known() {
        let text = format!("weather=fine\n{}", report());
        assert_eq!(text.parse(), Ok(report()));
    }
}
