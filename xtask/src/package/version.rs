//! The version of what is made: the workspace's, and which commit of it.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::stdout;
use sealpack_tests::paths;
use std::process::Command;
use time::OffsetDateTime;

/// A version of Debian's kind, and the time that files in packages have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    upstream: String,
    /// What was built, for the changelog.
    commit: Option<String>,
    seconds: i64,
}

impl Version {
    /// The one that was asked for, or that of the commit: `0.1.0+20261130191100.8c0c7bc`, which sorts behind 0.1.0 and by the
    /// time of the commit, with `.changed` behind it where files are not as the commit has them.
    ///
    /// `$SOURCE_DATE_EPOCH` takes the place of the commit's time, and makes do without a commit.
    pub(super) fn new(asked: Option<&str>) -> Result<Self> {
        let said = std::env::var("SOURCE_DATE_EPOCH").ok();
        let said = said
            .map(|text| text.parse().with_context(|| format!("SOURCE_DATE_EPOCH is no number: {text}")))
            .transpose()?;
        let commit = git(&["log", "-1", "--format=%ct %h", "--abbrev=12"]);
        let (seconds, commit) = match (said, commit) {
            (None, Err(error)) => {
                return Err(error
                    .context("there is no commit to tell the version of; SOURCE_DATE_EPOCH does without"));
            }
            (Some(seconds), commit) => (seconds, commit.ok()),
            (None, Ok(commit)) => {
                let (seconds, _) = commit.split_once(' ').context("git tells no time")?;
                (seconds.parse()?, Some(commit))
            }
        };
        let name = commit.and_then(|commit| commit.split_once(' ').map(|(_, name)| name.to_owned()));
        let name = match name {
            Some(name) if git(&["status", "--porcelain"])?.is_empty() => Some(name),
            name => name.map(|name| format!("{name}.changed")),
        };
        let upstream = match asked {
            Some(asked) => checked(asked)?,
            None => upstream(env!("CARGO_PKG_VERSION"), seconds, name.as_deref())?,
        };
        Ok(Self { upstream, commit: name, seconds })
    }

    /// Without Debian's own part.
    pub(super) fn upstream(&self) -> &str {
        &self.upstream
    }

    /// As packages have it.
    pub(super) fn debian(&self) -> String {
        format!("{}-1", self.upstream)
    }

    /// When it was committed, in seconds since 1970.
    pub(super) fn seconds(&self) -> i64 {
        self.seconds
    }

    /// The same, for people and for machines.
    pub(super) fn time(&self) -> Result<OffsetDateTime> {
        Ok(OffsetDateTime::from_unix_timestamp(self.seconds)?)
    }

    /// Which commit.
    pub(super) fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }
}

fn upstream(workspace: &str, seconds: i64, commit: Option<&str>) -> Result<String> {
    let time = OffsetDateTime::from_unix_timestamp(seconds)?;
    let (date, of_day) = (time.date(), time.time());
    let stamp = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        of_day.hour(),
        of_day.minute(),
        of_day.second()
    );
    let commit = commit.map(|commit| format!(".{commit}")).unwrap_or_default();
    checked(&format!("{workspace}+{stamp}{commit}"))
}

/// What dpkg takes, and what is a file's name too.
fn checked(version: &str) -> Result<String> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || ".+~".contains(c);
    ensure!(
        version.starts_with(|c: char| c.is_ascii_digit()) && version.chars().all(is_fit),
        "{version:?} is no version: it begins with a digit, and has letters, digits, '.', '+' and '~'"
    );
    Ok(version.to_owned())
}

fn git(arguments: &[&str]) -> Result<String> {
    stdout(Command::new("git").args(arguments).current_dir(paths::workspace()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpack_tests::command::attempt;

    #[test]
    fn versions_sort_by_the_time_of_their_commits_and_between_those_without() -> Result<()> {
        let of = |seconds, commit| upstream("0.1.0", seconds, Some(commit));
        let (first, second) = (of(1_796_065_871, "ffffff")?, of(1_796_065_872, "000000")?);
        assert_eq!(first, "0.1.0+20261130191111.ffffff");
        let order = [
            "0.1.0",
            &first,
            &format!("{first}.changed"),
            &second,
            &upstream("0.1.0", 1_796_152_272, None)?,
            "0.1.1",
        ];
        if sealpack_tests::command::find("dpkg").is_none() {
            sealpack_tests::skip("dpkg, which compares versions, is not installed");
            return Ok(());
        }
        for pair in order.windows(2) {
            let mut dpkg = Command::new("dpkg");
            let status = attempt(dpkg.args(["--compare-versions", pair[0], "lt", pair[1]]))?.status;
            assert!(status.success(), "{pair:?}");
        }
        Ok(())
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "one", "1.0-1", "1/..", "1 0"] {
            assert!(checked(text).is_err(), "{text:?}");
        }
    }
}
