//! What the words `sealpack.…` of a command line say.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::command_line::name_and_value;
use super::error::{CommandLineError, shown};
use super::{DataLabel, Deadline, Hardening};
use crate::digest::DigestParseError;
use crate::{ObjectId, RootHash};

/// What is ours begins with this.
pub(super) const PREFIX: &str = "sealpack.";

/// What a sealed host's `/etc` writes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Etc {
    /// Memory: the image's files and those that are kept by name, at each boot.
    #[default]
    Tmpfs,
    /// The data partition. Whoever was root once can stay it: units and scripts there survive.
    Persistent,
}

impl Etc {
    /// The value of `sealpack.etc`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tmpfs => "tmpfs",
            Self::Persistent => "persistent",
        }
    }
}

impl FromStr for Etc {
    type Err = CommandLineError;

    fn from_str(value: &str) -> Result<Self, CommandLineError> {
        let known = [Self::Tmpfs, Self::Persistent].into_iter().find(|etc| etc.name() == value);
        known.ok_or_else(|| CommandLineError::Etc(shown(value)))
    }
}

/// What the words `sealpack.…` of a command line say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootParameters {
    /// `sealpack.image`: the fs-verity digest of the metadata image that becomes the root.
    pub image: ObjectId,
    /// `sealpack.root`: the root hash that its device has to have.
    pub root_hash: RootHash,
    /// `sealpack.data`: the label of the data partition.
    pub data_label: DataLabel,
    /// `sealpack.etc`.
    pub etc: Etc,
    /// `sealpack.off`: the hardenings that are left out.
    pub off: BTreeSet<Hardening>,
    /// `sealpack.deadline`: how long the start may take.
    pub deadline: Deadline,
}

impl BootParameters {
    /// Those of this image, and for the rest what holds unless it is said otherwise.
    #[must_use]
    pub fn new(image: ObjectId, root_hash: RootHash) -> Self {
        let (data_label, etc, deadline) = (DataLabel::default(), Etc::default(), Deadline::default());
        Self { image, root_hash, data_label, etc, off: BTreeSet::new(), deadline }
    }

    /// What these words `sealpack.…` say; each is there once.
    pub(super) fn parse(ours: &[String]) -> Result<Self, CommandLineError> {
        let (mut image, mut root_hash) = (None, None);
        let (mut data_label, mut etc, mut off) = (DataLabel::default(), Etc::default(), BTreeSet::new());
        let mut deadline = Deadline::default();
        for word in ours {
            let (name, value) = name_and_value(word);
            let value = value.unwrap_or_default();
            match name.strip_prefix(PREFIX).unwrap_or_default() {
                "image" => image = Some(value.parse().map_err(|why| digest("sealpack.image", why))?),
                "root" => root_hash = Some(value.parse().map_err(|why| digest("sealpack.root", why))?),
                "data" => data_label = value.parse::<DataLabel>()?,
                "etc" => etc = value.parse()?,
                "off" => off = parse_off(value)?,
                "deadline" => deadline = value.parse::<Deadline>()?,
                _ => return Err(CommandLineError::Unknown(shown(word))),
            }
        }
        let image = image.ok_or(CommandLineError::Missing("sealpack.image"))?;
        let root_hash = root_hash.ok_or(CommandLineError::Missing("sealpack.root"))?;
        Ok(Self { image, root_hash, data_label, etc, off, deadline })
    }
}

impl fmt::Display for BootParameters {
    /// The words, in one order, without those that say what holds anyway.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}image={} {PREFIX}root={}", self.image, self.root_hash)?;
        if self.data_label != DataLabel::default() {
            write!(f, " {PREFIX}data={}", self.data_label)?;
        }
        if self.etc != Etc::default() {
            write!(f, " {PREFIX}etc={}", self.etc.name())?;
        }
        for (index, hardening) in self.off.iter().enumerate() {
            match index {
                0 => write!(f, " {PREFIX}off={hardening}")?,
                _ => write!(f, ",{hardening}")?,
            }
        }
        if self.deadline != Deadline::default() {
            write!(f, " {PREFIX}deadline={}", self.deadline)?;
        }
        Ok(())
    }
}

fn digest(word: &'static str, why: DigestParseError) -> CommandLineError {
    CommandLineError::Digest { word, why }
}

fn parse_off(value: &str) -> Result<BTreeSet<Hardening>, CommandLineError> {
    let mut off = BTreeSet::new();
    for name in value.split(',') {
        if !off.insert(name.parse::<Hardening>()?) {
            return Err(CommandLineError::OffTwice(shown(name)));
        }
    }
    Ok(off)
}
