//! Which of the UKIs of an image a host takes.

use std::collections::BTreeSet;

use sealpack_format::boot::{BootParameters, CommandLine, Etc};
use sealpack_format::{ObjectId, RootHash};
use sealpack_trust::key::Certificate;

use super::error::NoChoice;
use super::firmware_keys::FirmwareKeys;
use crate::uki::{NotUki, UkiFile};

/// A UKI that was found beside an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What messages call it: the digest that it was found by.
    pub label: String,
    /// The PE file.
    pub bytes: Vec<u8>,
}

/// The image that is to be started: what its seal, which was judged, says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What messages call it.
    pub name: String,
    /// Its metadata image.
    pub image: ObjectId,
    /// The root hash of that.
    pub root_hash: RootHash,
    /// The epoch of its seal.
    pub epoch: u64,
}

/// What the host is that takes one: as it runs, or where nothing of it runs, as it would start next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its command line.
    pub command_line: Option<CommandLine>,
    /// The epoch of the image that it runs.
    pub epoch: Option<u64>,
    /// Who signed the UKI that it was started from: the firmware knows one of them.
    pub signers: Vec<Certificate>,
    /// Whom else it knows, as far as it tells.
    pub firmware: FirmwareKeys,
}

/// What somebody has asked for, which is refused otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Words on the command line that the host's has not.
    pub words: bool,
    /// An older version than that which runs.
    pub older: bool,
    /// One that nobody signed whom the firmware knows.
    pub signer: bool,
    /// The UKI of this label, whichever others there are.
    pub label: Option<String>,
}

/// A UKI that a host can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// What messages call it.
    pub label: String,
    /// The PE file.
    pub bytes: Vec<u8>,
    /// What it says of itself.
    pub uki: UkiFile,
    /// Words of the host's command line that it has not.
    pub without: Vec<String>,
    /// Whether nobody signed it who signed what runs, or whom the firmware says that it knows: then it is not known that
    /// the firmware starts it.
    pub is_by_others: bool,
}

/// Why a UKI is not taken: a phrase about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It is none.
    #[error(transparent)]
    NotUki(#[from] NotUki),
    /// It is not signed, or was changed since.
    #[error("it {0}")]
    Unsigned(#[from] crate::signing::UnsignedError),
    /// It starts something else.
    #[error(transparent)]
    Other(#[from] crate::uki::OtherImage),
    /// Its version is higher than that of the image: it is a later one's.
    #[error("it is of version {version}, and the image's seal has the epoch {epoch}")]
    Newer {
        /// What it says.
        version: u64,
        /// The seal's.
        epoch: u64,
    },
    /// It does not say its version, or not as a number.
    #[error("it does not say of which version it is (IMAGE_VERSION)")]
    NoVersion,
    /// An older one than runs.
    #[error("it is of version {version}, and this host runs {running}")]
    Older {
        /// What it says.
        version: u64,
        /// The one that runs.
        running: u64,
    },
    /// The firmware does not start it.
    #[error("the firmware knows nobody who signed it: {}", signers.join(" and "))]
    Stranger {
        /// Who did.
        signers: Vec<String>,
    },
    /// Who signed it did not sign what runs, and the firmware does not tell whom else it knows.
    #[error(
        "nobody signed it who signed what runs, and the firmware does not tell whom it knows: {}",
        shown(signers)
    )]
    OtherSigner {
        /// Who did, as far as that can be read.
        signers: Vec<String>,
    },
    /// Its command line says more.
    #[error("its command line has words that this host's has not: {}", words.join(" "))]
    Words {
        /// The words.
        words: Vec<String>,
    },
}

/// Takes one of the UKIs that were found beside an image: one that is signed, by somebody whom the firmware knows as far as it
/// tells, starts just this image, is no older than
/// what runs, and says nothing more on its command line than the host's does. Of several, the one is taken that somebody
/// signed who signed what runs.
///
/// # Errors
/// [`NoChoice`]: there is none, none is fit, or nothing says which.
pub fn choose(
    candidates: Vec<Candidate>,
    target: &Target,
    host: &Host,
    allowed: &Allowed,
) -> Result<Chosen, NoChoice> {
    if candidates.is_empty() {
        return Err(NoChoice::None { image: target.name.clone() });
    }
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for candidate in candidates {
        if allowed.label.as_ref().is_some_and(|label| *label != candidate.label) {
            continue;
        }
        match judge(&candidate.bytes, target, host, allowed) {
            Ok(Judged { uki, without, is_by_others }) => {
                let Candidate { label, bytes } = candidate;
                fit.push(Chosen { label, bytes, uki, without, is_by_others });
            }
            Err(why) => unfit.push((candidate.label, why)),
        }
    }
    // Who signed what runs is known for sure.
    let is_by_same = |chosen: &Chosen| chosen.uki.signers.iter().any(|it| host.signers.contains(it));
    if fit.iter().any(is_by_same) {
        fit.retain(is_by_same);
    }
    let image = target.name.clone();
    match (fit.len(), fit.pop()) {
        (1, Some(chosen)) => Ok(chosen),
        (0, _) | (_, None) => match (unfit.is_empty(), &allowed.label) {
            (true, Some(label)) => Err(NoChoice::NoSuch { image, label: label.clone() }),
            _ => Err(NoChoice::Unfit { image, unfit }),
        },
        (_, Some(last)) => {
            fit.push(last);
            Err(NoChoice::Several { image, ukis: fit.iter().map(named).collect() })
        }
    }
}

/// A UKI with who signed it.
fn named(chosen: &Chosen) -> String {
    let signers: Vec<&str> = chosen.uki.signers.iter().map(Certificate::subject).collect();
    format!("{} (signed by {})", chosen.label, signers.join(" and "))
}

/// What of a UKI that can be taken is not in the file.
struct Judged {
    uki: UkiFile,
    without: Vec<String>,
    is_by_others: bool,
}

fn judge(bytes: &[u8], target: &Target, host: &Host, allowed: &Allowed) -> Result<Judged, Unfit> {
    let uki = UkiFile::parse(bytes)?;
    uki.signed.clone()?;
    uki.check_starts(&target.image, &target.root_hash)?;
    let version = uki.epoch().ok_or(Unfit::NoVersion)?;
    if version > target.epoch {
        return Err(Unfit::Newer { version, epoch: target.epoch });
    }
    if let Some(running) = host.epoch.filter(|running| version < *running && !allowed.older) {
        return Err(Unfit::Older { version, running });
    }
    let differences = host.command_line.as_ref().map(|own| Differences::of(own, &uki.command_line));
    let Differences { more, without } = differences.unwrap_or_default();
    if !more.is_empty() && !allowed.words {
        return Err(Unfit::Words { words: more });
    }
    let is_by_others = is_by_others(&uki, host, allowed)?;
    Ok(Judged { uki, without, is_by_others })
}

/// Whether it is taken though it is not known that the firmware starts it.
fn is_by_others(uki: &UkiFile, host: &Host, allowed: &Allowed) -> Result<bool, Unfit> {
    let signers = || uki.signers.iter().map(|signer| signer.subject().to_owned()).collect();
    let takes = host.firmware.takes(&uki.signers);
    let is_known = takes.unwrap_or_else(|| uki.signers.iter().any(|signer| host.signers.contains(signer)));
    match (is_known || allowed.signer, takes) {
        (true, _) => Ok(!is_known),
        (false, Some(_)) => Err(Unfit::Stranger { signers: signers() }),
        // Such firmware may start whatever there is. Where nothing is known of what runs, there is nothing to compare with.
        (false, None) if host.signers.is_empty() => Ok(true),
        (false, None) => Err(Unfit::OtherSigner { signers: signers() }),
    }
}

fn shown(signers: &[String]) -> String {
    if signers.is_empty() {
        "its signature has a form that is not read".to_owned()
    } else {
        signers.join(" and ")
    }
}

/// How a command line differs from a host's, besides the image.
#[derive(Debug, Default)]
struct Differences {
    more: Vec<String>,
    without: Vec<String>,
}

impl Differences {
    fn of(own: &CommandLine, new: &CommandLine) -> Self {
        let words = |line: &CommandLine| -> Vec<String> {
            let ours = own_words(line.boot());
            ours.into_iter().chain(line.others().iter().cloned()).collect()
        };
        let (own, new) = (words(own), words(new));
        let lacking = |of: &[String], from: &[String]| -> Vec<String> {
            let from: BTreeSet<&String> = from.iter().collect();
            of.iter().filter(|word| !from.contains(word)).cloned().collect()
        };
        Self { more: lacking(&new, &own), without: lacking(&own, &new) }
    }
}

/// The words by which a host's start differs, one for each hardening that is left out. How long it may take is no such
/// thing.
fn own_words(boot: &BootParameters) -> Vec<String> {
    let mut words = vec![format!("sealpack.data={}", boot.data_label)];
    if boot.etc != Etc::Tmpfs {
        words.push(format!("sealpack.etc={}", boot.etc.name()));
    }
    words.extend(boot.off.iter().map(|hardening| format!("sealpack.off={hardening}")));
    words
}
