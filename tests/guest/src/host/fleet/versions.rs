//! The images that the host goes through: the usual one with one layer more, which is all that differs.

use super::super::image::{directory, unit};
use super::{COMPLAINT, VERSION_FILE};
use crate::host::page;
use anyhow::{Context, Result};
use sealpack_tests::layer_tar::{Entry, Member};
use std::fs;
use std::path::Path;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// What the host is made of.
    First,
    /// Its first update.
    Second,
    /// An image of another name.
    Other,
    /// One whose start is not good.
    Bad,
}

impl Version {
    /// What [`VERSION_FILE`] says.
    pub const fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::Other => "other",
            Self::Bad => "bad",
        }
    }

    /// Its layer.
    pub(super) fn layer(self) -> Vec<Entry> {
        // Larger than what is kept inside the metadata image.
        let version = format!("{}\n{}\n", self.word(), "#".repeat(5000));
        let check = match self {
            Self::Bad => format!("#!/bin/sh\necho '{COMPLAINT}'\nexit 7\n"),
            _ => "#!/bin/sh\nexit 0\n".to_owned(),
        };
        let file =
            |path: &str, text: String| Entry::new(path.trim_start_matches('/'), Member::File(text.into()));
        let units = "usr/lib/systemd/system";
        let mut entries: Vec<Entry> =
            ["usr/", "usr/lib/", "usr/lib/site/", "usr/lib/systemd/"].map(directory).into();
        entries.push(file(VERSION_FILE, version));
        entries.push(file("usr/lib/site/check", check).mode(0o755));
        entries.push(directory(&format!("{units}/")));
        entries.push(file(&format!("{units}/site-check.service"), page::site_check().to_owned()));
        let wanted = format!("{units}/boot-complete.target.requires");
        entries.push(directory(&format!("{wanted}/")));
        let link = Member::Symlink(format!("/{units}/site-check.service"));
        entries.push(Entry::new(format!("{wanted}/site-check.service"), link));
        if self == Self::Bad {
            // Nobody looks at it from inside.
            entries.extend(["etc/", "etc/systemd/", "etc/systemd/system/"].map(directory));
            let masked = Member::Symlink("/dev/null".to_owned());
            entries.push(Entry::new("etc/systemd/system/sealpack-probe.service", masked));
        }
        entries
    }
}

/// What all of them have besides: the way to the registry, and whose seals count.
pub(super) fn setup(certificates: &[(&str, &Path)]) -> Result<Vec<Entry>> {
    let file = |path: &str, text: &str| Entry::new(path, Member::File(text.into()));
    let units = "usr/lib/systemd/system";
    let mut entries = unit("registry.socket", include_str!("../containers/registry.socket"));
    entries.push(file(&format!("{units}/registry.service"), include_str!("../containers/registry.service")));
    entries.push(directory("etc/systemd/network/"));
    entries
        .push(file("etc/systemd/network/registry.network", include_str!("../containers/registry.network")));
    let wanted = "etc/systemd/system/multi-user.target.wants/systemd-networkd.service";
    entries.push(Entry::new(wanted, Member::Symlink(format!("/{units}/systemd-networkd.service"))));
    let trust = "etc/sealpack/trust.d";
    entries.extend(["etc/sealpack/".to_owned(), format!("{trust}/")].map(|path| directory(&path)));
    for uses in ["packs", "statements"] {
        entries.push(directory(&format!("{trust}/{uses}/")));
        for (name, certificate) in certificates {
            let content = fs::read(certificate).with_context(|| format!("no {}", certificate.display()))?;
            entries.push(Entry::new(format!("{trust}/{uses}/{name}.crt"), Member::File(content)));
        }
    }
    Ok(entries)
}
