//! Whether a start is good, as systemd has it: what `boot-complete.target` requires has come up (systemd.special(7)). Units of
//! the administrator's extend that. Of a start that is not good it is told why, before the machine starts again.

mod units;

use std::path::Path;
use std::process::Command;

use sealpack_format::boot::{BOOT_COMPLETE, RefusedBoot, Started};

use crate::status::Status;
pub use units::Unit;

/// The target that a good start reaches.
pub const TARGET: &str = "boot-complete.target";

/// The boot loader's variable that is there where the tries of what was started are counted, with its vendor (systemd's
/// Boot Loader Interface).
pub const COUNTED: &str = "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// The most units that are told of.
const UNITS_MAX: usize = 8;

/// Why nothing can be said of a start.
#[derive(Debug, thiserror::Error)]
pub enum AssessError {
    /// The program that asks systemd does not run.
    #[error("cannot ask systemd ({program}): {source}")]
    Systemd {
        /// Which program.
        program: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// It says no.
    #[error("cannot ask systemd ({program}): {said}")]
    SystemdSays {
        /// Which program.
        program: &'static str,
        /// What it says.
        said: String,
    },
}

/// How this start is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assessed {
    /// The target is reached.
    Good,
    /// It is not: the units that have failed, or that it waits for.
    NotGood(Vec<Unit>),
}

/// Whether the tries of what runs are counted, as the firmware's variables below `variables` say.
#[must_use]
pub fn is_counted(variables: &Path) -> bool {
    variables.join(COUNTED).exists()
}

/// Asks systemd.
///
/// # Errors
/// It does not answer.
pub fn assess() -> Result<Assessed, AssessError> {
    let required = systemctl(&["show", "--property=Requires,Requisite,BindsTo", "--value", TARGET])?;
    let failed = systemctl(&["list-units", "--state=failed", "--plain", "--no-legend", "--full"])?;
    let mut names = vec![TARGET.to_owned()];
    names.extend(required.split_ascii_whitespace().map(str::to_owned));
    names.extend(failed.lines().filter_map(|line| line.split_ascii_whitespace().next()).map(str::to_owned));
    let mut show = vec!["show", "--property=Id,ActiveState,Result,ExecMainStatus"];
    show.extend(names.iter().map(String::as_str));
    let units = units::parse(&systemctl(&show)?);
    if units.iter().any(|unit| unit.name == TARGET && unit.is_active()) {
        return Ok(Assessed::Good);
    }
    let mut units = units::lacking(units);
    units.truncate(UNITS_MAX);
    for unit in &mut units {
        unit.said = said(&unit.name);
    }
    Ok(Assessed::NotGood(units))
}

/// The record of a start that is not good.
#[must_use]
pub fn refusal(units: &[Unit], status: &Status) -> RefusedBoot {
    let why: Vec<String> = units.iter().map(ToString::to_string).collect();
    let why = match why.is_empty() {
        true => format!("{TARGET} was not reached"),
        false => why.join("; "),
    };
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let started = Started { image: status.boot.image, root_hash: status.boot.root_hash, release };
    RefusedBoot {
        step: BOOT_COMPLETE.to_owned(),
        why,
        advice: "mend the image, and publish another one".to_owned(),
        started: Some(started),
    }
}

fn systemctl(arguments: &[&str]) -> Result<String, AssessError> {
    ask("systemctl", arguments)
}

/// The last line that a unit's processes have said; nothing where there is no journal to ask.
fn said(unit: &str) -> Option<String> {
    let of_unit = format!("_SYSTEMD_UNIT={unit}");
    let journal =
        ask("journalctl", &["--boot", "--quiet", "--no-pager", "--output=cat", "--lines=1", &of_unit])
            .ok()?;
    journal.lines().last().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned)
}

fn ask(program: &'static str, arguments: &[&str]) -> Result<String, AssessError> {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output();
    let output = output.map_err(|source| AssessError::Systemd { program, source })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(AssessError::SystemdSays { program, said })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_counted_where_the_boot_loader_says_so() {
        let variables = tempfile::tempdir().unwrap();
        assert!(!is_counted(variables.path()));
        std::fs::write(variables.path().join(COUNTED), "x").unwrap();
        assert!(is_counted(variables.path()));
    }
}
