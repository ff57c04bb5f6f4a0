//! The scripts that dpkg runs: what debhelper would write for these units.

/// The units of a package.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// Those that can be enabled and are not, unless somebody does: `name.service`, `name.timer`.
    pub(super) off: Vec<String>,
    /// Those that are enabled when the package is installed.
    pub(super) on: Vec<String>,
    /// What of the rest is removed with its configuration.
    pub(super) purged: &'static str,
}

impl Units {
    /// The scripts of the package `name`, by their names.
    pub(super) fn scripts(&self, name: &str) -> Vec<(&'static str, String)> {
        let (off, on) = (self.off.join(" "), self.on.join(" "));
        let all = [off.as_str(), on.as_str()].join(" ").trim().to_owned();
        let filled = |text: &str| {
            let header = format!("#!/bin/sh\n# Of the package {name}.\nset -e\n\n");
            let body = text.replace("OFF", &off).replace("ALL", &all).replace("PURGED", self.purged);
            header + &body.replace(" ON;", &format!(" {on};"))
        };
        let mut scripts = vec![("postrm", filled(POSTRM))];
        if !all.is_empty() {
            let enable = if on.is_empty() { "" } else { ENABLE };
            let postinst = POSTINST.replace("ENABLE\n", enable);
            scripts.extend([("postinst", filled(&postinst)), ("prerm", filled(PRERM))]);
        }
        scripts
    }
}

const POSTINST: &str = r#"case "$1" in
configure | abort-upgrade | abort-deconfigure | abort-remove)
    for unit in OFF; do
        # A mask is of this package's removal; whoever had enabled a unit before that has it enabled again.
        if deb-systemd-helper debian-installed "$unit"; then
            deb-systemd-helper unmask "$unit" >/dev/null || true
            if deb-systemd-helper --quiet was-enabled "$unit"; then
                deb-systemd-helper enable "$unit" >/dev/null || true
            fi
        fi
        # For links that this version has and the one before had not.
        deb-systemd-helper update-state "$unit" >/dev/null || true
    done
ENABLE
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if [ -n "$2" ]; then
            deb-systemd-invoke try-restart ALL >/dev/null || true
        fi
    fi
    ;;
esac
"#;

const ENABLE: &str = r#"    for unit in ON; do
        deb-systemd-helper unmask "$unit" >/dev/null || true
        # So it is at the first installation, too.
        if deb-systemd-helper --quiet was-enabled "$unit"; then
            deb-systemd-helper enable "$unit" >/dev/null || true
        else
            deb-systemd-helper update-state "$unit" >/dev/null || true
        fi
    done
"#;

const PRERM: &str = r#"if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop ALL >/dev/null || true
fi
"#;

const POSTRM: &str = r#"if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = purge ]; then
    for unit in ALL; do
        deb-systemd-helper purge "$unit" >/dev/null || true
    done
    PURGED
fi
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Result;
    use sealpack_tests::command::run;
    use std::process::Command;

    #[test]
    fn each_script_is_one_that_sh_takes_and_nothing_is_left_of_the_pattern() -> Result<()> {
        let units = |off: &[&str], on: &[&str]| Units {
            off: off.iter().map(|unit| (*unit).to_owned()).collect(),
            on: on.iter().map(|unit| (*unit).to_owned()).collect(),
            purged: "rm -f /etc/x",
        };
        for (off, on) in [(&["a.timer"][..], &["b.service"][..]), (&["a.timer"], &[]), (&[], &["b.service"])]
        {
            for (name, script) in units(off, on).scripts("x") {
                run(Command::new("sh").args(["-n", "-c", &script]))?;
                for word in ["OFF", "ALL", "ENABLE", "ON;", "PURGED"] {
                    assert!(!script.contains(word), "{name}: {script}");
                }
                for unit in off.iter().chain(on) {
                    assert!(script.contains(unit), "{name}: {script}");
                }
            }
        }
        assert_eq!(units(&[], &[]).scripts("x").len(), 1);
        Ok(())
    }
}
