//! What was verified, and what came of it.

use std::fmt::Display;
use std::path::PathBuf;

use sealpack_format::{BlobDigest, ObjectId};
use sealpack_mount::LiveDevice;
use sealpack_store::ObjectForm;

use crate::gate::Judgement;

/// What was looked at of an image, and what came of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// What was judged: the image's name in the store, or the source that has it.
    pub name: String,
    /// The name that its seal is judged for first.
    pub pulled_as: String,
    /// The image's manifest.
    pub manifest: BlobDigest,
    /// Its platform, as records have it.
    pub platform: String,
    /// What the store has of it, if it is in the store.
    pub stored: Option<StoredImage>,
    /// Whether all root hashes were computed from bytes.
    pub root_hashes_computed: bool,
    /// What the trust store says of its seals, for each name, where they were judged.
    pub judgements: Option<Vec<Judgement>>,
    /// Where it is mounted, where that could be found out.
    pub mounts: Option<Vec<PathBuf>>,
    /// Its devices in the kernel, where these were looked at.
    pub devices: Option<Vec<LiveDevice>>,
    /// All that was looked at, in this order.
    pub findings: Vec<Finding>,
}

/// What the store says of an image in it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StoredImage {
    /// Its metadata image's fs-verity digest.
    pub metadata_image: ObjectId,
    /// How its contents are kept.
    pub kept_in: ObjectForm,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What.
    pub what: String,
    /// Whether it is a part of the last one that is not.
    pub is_part: bool,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of looking at something, with a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Good(String),
    /// Neither good nor bad, but worth knowing.
    Note(String),
    /// It is not.
    Bad(String),
}

impl Report {
    pub(super) const fn new(
        name: String,
        pulled_as: String,
        manifest: BlobDigest,
        platform: String,
        stored: Option<StoredImage>,
    ) -> Self {
        Self {
            name,
            pulled_as,
            manifest,
            platform,
            stored,
            root_hashes_computed: false,
            judgements: None,
            mounts: None,
            devices: None,
            findings: Vec::new(),
        }
    }

    /// What is wrong, each as a sentence; nothing where all is good.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let failure = |finding: &Finding| match &finding.outcome {
            Outcome::Bad(problem) => Some(format!("{}: {problem}", finding.what)),
            Outcome::Good(_) | Outcome::Note(_) => None,
        };
        self.findings.iter().filter_map(failure).collect()
    }

    pub(super) fn good(&mut self, what: impl Display, how: impl Display) {
        self.add(what, Outcome::Good(how.to_string()));
    }

    pub(super) fn note(&mut self, what: impl Display, text: impl Display) {
        self.add(what, Outcome::Note(text.to_string()));
    }

    pub(super) fn bad(&mut self, what: impl Display, problem: impl Display) {
        self.add(what, Outcome::Bad(problem.to_string()));
    }

    /// Good with what `result` has, or bad with its error. Answers with what it has.
    pub(super) fn look<T, E: Display>(
        &mut self,
        what: impl Display,
        result: Result<T, E>,
        how: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.good(what, how(&value));
                Some(value)
            }
            Err(error) => {
                self.bad(what, error);
                None
            }
        }
    }

    /// What begins with two spaces is a part of what came before.
    fn add(&mut self, what: impl Display, outcome: Outcome) {
        let what = what.to_string();
        let part = what.strip_prefix("  ").map(str::to_owned);
        let is_part = part.is_some();
        self.findings.push(Finding { what: part.unwrap_or(what), is_part, outcome });
    }
}

/// A number of things: `1 layer`, `2 layers`.
pub(super) fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}
