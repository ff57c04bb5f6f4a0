//! Units as `systemctl show` has them.

use std::fmt;

/// How much of what a unit said is told, in bytes.
const SAID_MAX_BYTES: usize = 300;

/// A unit that a good start needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// systemd's word for its state: `failed`, `activating`, `inactive`.
    pub state: String,
    /// systemd's word for how it went: `exit-code`, `timeout`.
    pub result: String,
    /// What its main process ended with, or the signal that ended it; 0 where it has none.
    pub status: i32,
    /// The last line that it said.
    pub said: Option<String>,
}

impl Unit {
    pub(super) fn is_active(&self) -> bool {
        self.state == "active"
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, state, result, status, said } = self;
        match (state.as_str(), *status) {
            ("failed", 0) => write!(f, "{name} has failed ({result})")?,
            ("failed", status) => write!(f, "{name} has failed ({result}, status {status})")?,
            ("activating", _) => write!(f, "{name} has not come to its end")?,
            (state, _) => write!(f, "{name} is {state}")?,
        }
        match said {
            Some(said) => write!(f, ": {}", &said[..said.floor_char_boundary(SAID_MAX_BYTES)]),
            None => Ok(()),
        }
    }
}

/// Each unit once, in their order: blocks of `key=value` with an empty line between. One that is not loaded has no state of
/// its own, and is `inactive`.
pub(super) fn parse(shown: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for block in shown.split("\n\n") {
        let value = |key: &str| {
            let lines = block.lines().filter_map(|line| line.split_once('='));
            lines.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
        };
        let (Some(name), Some(state)) = (value("Id"), value("ActiveState")) else { continue };
        if units.iter().all(|unit| unit.name != name) {
            units.push(Unit {
                name,
                state,
                result: value("Result").unwrap_or_default(),
                status: value("ExecMainStatus").and_then(|status| status.parse().ok()).unwrap_or_default(),
                said: None,
            });
        }
    }
    units
}

/// Those that keep the target from being reached: what has failed or has not come to its end; where there is no such, what
/// is not active, among which may be units that have done their work and are gone.
pub(super) fn lacking(units: Vec<Unit>) -> Vec<Unit> {
    let (mut lacking, others): (Vec<_>, Vec<_>) = units
        .into_iter()
        .filter(|unit| unit.name != super::TARGET && !unit.is_active())
        .partition(|unit| matches!(unit.state.as_str(), "failed" | "activating"));
    if lacking.is_empty() {
        lacking = others;
    }
    lacking
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_with_how_they_went_and_what_they_said() {
        let shown = "Id=boot-complete.target\nActiveState=inactive\n\n\
                     Result=exit-code\nExecMainStatus=7\nId=site.service\nActiveState=failed\n\n\
                     Result=exit-code\nExecMainStatus=7\nId=site.service\nActiveState=failed\n\n\
                     Result=timeout\nExecMainStatus=0\nId=slow.service\nActiveState=failed\n\n\
                     Result=success\nExecMainStatus=0\nId=long.service\nActiveState=activating\n\n\
                     Result=success\nExecMainStatus=0\nId=good.service\nActiveState=active\n";
        let mut units = parse(shown);
        assert_eq!(units.iter().filter(|unit| unit.is_active()).count(), 1);
        units[1].said = Some("x".repeat(SAID_MAX_BYTES + 1));
        let texts: Vec<String> = units.iter().map(ToString::to_string).collect();
        let site = format!("site.service has failed (exit-code, status 7): {}", "x".repeat(SAID_MAX_BYTES));
        assert_eq!(
            texts[..4],
            [
                "boot-complete.target is inactive",
                &site,
                "slow.service has failed (timeout)",
                "long.service has not come to its end"
            ]
        );
    }

    #[test]
    fn what_has_failed_is_told_before_what_only_is_not_active() {
        let unit = |name: &str, state: &str| format!("Id={name}\nActiveState={state}\n\n");
        let names = |shown: &str| -> Vec<String> {
            lacking(parse(shown)).into_iter().map(|unit| unit.name).collect()
        };
        let (target, done) = (unit("boot-complete.target", "inactive"), unit("done.service", "inactive"));
        let others = [target, done, unit("good.service", "active")].concat();
        assert_eq!(names(&others), ["done.service"]);
        assert_eq!(names(&(others + &unit("bad.service", "failed"))), ["bad.service"]);
    }

    #[test]
    fn what_is_no_unit_is_passed_over() {
        assert_eq!(parse("nothing here"), []);
        assert_eq!(parse("Id=x.service"), []);
    }
}
