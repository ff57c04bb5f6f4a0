//! A containerd with one of the snapshotters that are compared.

use super::super::setting::Setting;
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::run as run_command;
use sealpack_tests::containerd::{
    Containerd, Enclosure, Engine, Served, Setting as Configuration, images, served,
};
use sealpack_tests::images::Image;
use sealpack_tests::program;
use std::path::{Path, PathBuf};

/// The only one that has an EROFS snapshotter.
pub(super) const ENGINE: Engine = Engine::V2;

/// A containerd with a snapshotter of its own, or with ours.
pub(super) enum Side {
    Stock { containerd: Containerd, snapshotter: &'static str },
    Ours(Served),
}

impl Side {
    pub(super) fn overlayfs(setting: &Setting) -> Result<Self> {
        Self::stock(setting, "overlayfs", Configuration::stock("overlayfs"))
    }

    pub(super) fn erofs(setting: &Setting) -> Result<Self> {
        Self::stock(setting, "erofs", Configuration::erofs()?)
    }

    fn stock(setting: &Setting, snapshotter: &'static str, configuration: Configuration) -> Result<Self> {
        let containerd = Containerd::start_in(enclosure(setting)?, ENGINE, configuration)?;
        Ok(Self::Stock { containerd, snapshotter })
    }

    /// With layers in packs.
    pub(super) fn ours(setting: &Setting) -> Result<Self> {
        Ok(Self::Ours(Served::start_in(enclosure(setting)?, ENGINE, images::PAUSE)?))
    }

    /// With layers as files: they are in a store with SHA-512, which this image makes.
    pub(super) fn ours_in_files(setting: &Setting, first: &Image) -> Result<Self> {
        let enclosure = enclosure(setting)?;
        let mut pull = setting.sealpack(&served::store(&enclosure));
        run_command(pull.args(["pull", "--digest", "sha512", "--objects", "files"]).arg(first.source()))?;
        Ok(Self::Ours(Served::start_in(enclosure, ENGINE, images::PAUSE)?))
    }

    pub(super) fn containerd(&self) -> &Containerd {
        match self {
            Self::Stock { containerd, .. } => containerd,
            Self::Ours(served) => served.containerd(),
        }
    }

    pub(super) const fn snapshotter(&self) -> &'static str {
        match self {
            Self::Stock { snapshotter, .. } => snapshotter,
            Self::Ours(_) => "sealpack",
        }
    }

    /// Where layers are when they are unpacked, or packed.
    pub(super) fn data(&self) -> PathBuf {
        match self {
            Self::Stock { containerd, snapshotter } => {
                containerd.enclosure().data(&format!("root/io.containerd.snapshotter.v1.{snapshotter}"))
            }
            Self::Ours(served) => served.store(),
        }
    }

    /// Removes an image with all that was made of it, so that the next pull brings everything.
    pub(super) fn forget(&self, sealpack: &Path, image: &str) -> Result<()> {
        let containerd = self.containerd();
        if containerd.said(["images", "list", "--quiet"])?.lines().any(|name| name == image) {
            containerd.said(["images", "remove", "--sync", image])?;
        }
        if let Self::Ours(served) = self {
            let mut collect = program::start(sealpack);
            run_command(collect.arg("--store").arg(served.store()).args(["--quiet", "gc"]))?;
        }
        let left = containerd.snapshots()?;
        ensure!(left.is_empty(), "the next pull would not bring everything: {left:?}");
        let left = containerd.said(["content", "list", "--quiet"])?;
        ensure!(left.is_empty(), "the next pull would not fetch everything: {left}");
        Ok(())
    }

    /// The snapshot that containers of the only image are made on.
    pub(super) fn top(&self) -> Result<String> {
        let listed = self.containerd().said(["snapshots", "--snapshotter", self.snapshotter(), "list"])?;
        let rows: Vec<Vec<&str>> =
            listed.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        let is_parent =
            |key: &str| rows.iter().any(|row| row.len() == 3 && row[1] == key && row[2] == "Committed");
        let top = rows.iter().find(|row| row.last() == Some(&"Committed") && !is_parent(row[0]));
        Ok((*top.context("there is no snapshot")?.first().context("a row is empty")?).to_owned())
    }
}

/// Where files can be measured that are made.
fn enclosure(setting: &Setting) -> Result<Enclosure> {
    Enclosure::new_in(setting.working_place())
}
