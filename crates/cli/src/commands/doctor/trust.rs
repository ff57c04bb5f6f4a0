//! Whom the kernel trusts, what it enforces, and which levels mounts can reach because of it.

use sealpack_kernel::Kernel;
use sealpack_kernel::keyring::{Key, TrustedKeyring};
use sealpack_kernel::probe::{FeatureId, Purpose, Report, Status, System, VerityParameters};
use sealpack_mount::{ActivePolicy, Level};
use sealpack_trust::policy::Policy;
use serde_json::{Value, json};

/// What was found out.
pub(super) struct Trust {
    keyrings: Vec<(TrustedKeyring, Keys)>,
    parameters: VerityParameters,
    ipe: Result<Ipe, String>,
    levels: Vec<Reach>,
}

/// What a keyring holds.
enum Keys {
    /// Descriptions of certificates and names of keyrings.
    Held(Vec<Key>),
    Absent,
    Unreadable(String),
}

struct Ipe {
    enforcing: bool,
    policy: Option<ActivePolicy>,
}

/// Whether mounts can be of a level.
struct Reach {
    level: Level,
    /// With what, or why not.
    how: Result<String, String>,
    advice: Option<&'static str>,
}

impl Trust {
    pub(super) fn find_out(kernel: &Kernel, system: &System, report: &Report) -> Self {
        let keyrings: Vec<_> = TrustedKeyring::ALL.map(|which| (which, keys_of(kernel, which))).into();
        let parameters = VerityParameters::of(system);
        let ipe = ipe(kernel);
        let levels = levels(report, &keyrings, sealpack_mount::enforcement_in_force(kernel));
        Self { keyrings, parameters, ipe, levels }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::from("\nlevels that mounts can reach:\n");
        for Reach { level, how, advice } in &self.levels {
            let (mark, how) = match how {
                Ok(how) => ("yes", how),
                Err(why) => ("no ", why),
            };
            text += &format!("  {mark}  {level:<8}  {how}\n");
            text += &advice.map(|advice| format!("                 {advice}\n")).unwrap_or_default();
        }
        text += "\ncertificates that the kernel trusts:\n";
        for (which, keys) in &self.keyrings {
            text += &format!("  {:<23}  {}\n", which.name(), keys.summary(*which, &self.parameters));
            if let Keys::Held(keys) = keys {
                for key in keys {
                    let what = if key.key_type == "keyring" { "includes " } else { "" };
                    text += &format!("    {what}{}\n", key.description);
                }
            }
        }
        text += &format!("\ndm-verity: {}\n", self.parameters_text());
        text + &format!("IPE: {}\n", self.ipe_text())
    }

    fn parameters_text(&self) -> &'static str {
        match self.parameters.require_signatures {
            Some(true) => "devices without a signature are refused (dm_verity.require_signatures is set)",
            Some(false) => {
                "devices without a signature are accepted (dm_verity.require_signatures is not set)"
            }
            None => "not loaded, or built without the check of signatures",
        }
    }

    fn ipe_text(&self) -> String {
        let ipe = match &self.ipe {
            Ok(ipe) => ipe,
            Err(why) => return why.clone(),
        };
        let enforcing = if ipe.enforcing { "enforcing" } else { "only logging what it would deny" };
        match &ipe.policy {
            None => format!("{enforcing}, but no policy is active"),
            Some(policy) => {
                let denies = match &policy.parsed {
                    Ok(parsed) if parsed.denies_execute_by_default() => {
                        "which denies execution by default".to_owned()
                    }
                    Ok(_) => "which does not deny execution by default".to_owned(),
                    Err(why) => format!("which cannot be read: {why}"),
                };
                format!("{enforcing}; the policy {policy} is active, {denies}")
            }
        }
    }

    /// What goes into the report for machines, by its names.
    pub(super) fn json(&self) -> [(&'static str, Value); 4] {
        let keyrings = self.keyrings.iter().map(|(which, keys)| keys.json(*which));
        let level = |reach: &Reach| {
            let value = json!({
                "reachable": reach.how.is_ok(),
                "with": reach.how.as_ref().ok(),
                "why_not": reach.how.as_ref().err(),
                "advice": reach.advice,
            });
            (reach.level.name().to_owned(), value)
        };
        let parameters = json!({
            "require_signatures": self.parameters.require_signatures,
            "keyring_unsealed": self.parameters.keyring_unsealed,
        });
        let ipe = match &self.ipe {
            Ok(ipe) => json!({
                "enforcing": ipe.enforcing,
                "active_policy": ipe.policy.as_ref().map(|policy| json!({
                    "name": policy.name,
                    "version": policy.version.to_string(),
                    "denies_execute_by_default": policy.parsed.as_ref().ok().map(Policy::denies_execute_by_default),
                })),
            }),
            Err(why) => json!({ "unavailable": why }),
        };
        [
            ("levels", Value::Object(self.levels.iter().map(level).collect())),
            ("keyrings", keyrings.collect()),
            ("dm_verity", parameters),
            ("ipe", ipe),
        ]
    }
}

impl Keys {
    fn summary(&self, which: TrustedKeyring, parameters: &VerityParameters) -> String {
        match self {
            Self::Absent => "not in this kernel".to_owned(),
            Self::Unreadable(why) => format!("cannot be read: {why}"),
            Self::Held(keys) => {
                let certificates = keys.iter().filter(|key| key.key_type != "keyring").count();
                let mut text = crate::output::count(certificates as u64, "certificate");
                if which == TrustedKeyring::DmVerity {
                    text += match parameters.keyring_unsealed {
                        Some(true) => {
                            "; open since the boot (keyring_unsealed): they count only once it is restricted"
                        }
                        Some(false) => {
                            "; sealed since the boot (dm_verity.keyring_unsealed=1 leaves it open)"
                        }
                        None => "",
                    };
                }
                text
            }
        }
    }

    fn json(&self, which: TrustedKeyring) -> Value {
        let of_kind = |keys: &[Key], is_keyring: bool| -> Vec<String> {
            let of_kind = keys.iter().filter(|key| (key.key_type == "keyring") == is_keyring);
            of_kind.map(|key| key.description.clone()).collect()
        };
        match self {
            Self::Held(keys) => json!({
                "name": which.name(),
                "present": true,
                "certificates": of_kind(keys, false),
                "includes": of_kind(keys, true),
            }),
            Self::Absent => json!({ "name": which.name(), "present": false }),
            Self::Unreadable(why) => json!({ "name": which.name(), "present": null, "error": why }),
        }
    }

    fn has_certificates(&self) -> bool {
        matches!(self, Self::Held(keys) if keys.iter().any(|key| key.key_type != "keyring"))
    }
}

fn keys_of(kernel: &Kernel, which: TrustedKeyring) -> Keys {
    match kernel.trusted_keyring(which) {
        Ok(Some(keyring)) => Keys::Held(keyring.keys),
        Ok(None) => Keys::Absent,
        Err(error) => Keys::Unreadable(error.to_string()),
    }
}

fn ipe(kernel: &Kernel) -> Result<Ipe, String> {
    let ipe = kernel.ipe().ok_or("not active in this kernel, or securityfs is not mounted")?;
    let enforcing = ipe.is_enforcing().map_err(|error| error.to_string())?;
    let policy = ActivePolicy::read(&ipe).map_err(|error| error.to_string())?;
    Ok(Ipe { enforcing, policy })
}

/// Each level needs what the one before it needs, and more.
fn levels(
    report: &Report,
    keyrings: &[(TrustedKeyring, Keys)],
    enforcement: Result<(), String>,
) -> Vec<Reach> {
    let reach = |level, how, advice| Reach { level, how, advice };
    if !report.can(Purpose::Mount) {
        let why = "this machine cannot mount images".to_owned();
        return [Level::Plain, Level::Verified, Level::Signed, Level::Enforced]
            .map(|level| reach(level, Err(why.clone()), None))
            .into();
    }
    let holders = holders(keyrings);
    let signed = signed(report, &holders);
    let enforced = signed.clone().and_then(|_| enforcement.map(|()| "what is signed".to_owned()));
    // The kernel's own keyring has the key that its modules were signed with, which nobody else has.
    let is_own_only = holders.iter().all(|name| *name == TrustedKeyring::Builtin.name());
    let (enroll, load) = (is_own_only.then_some(ENROLL), enforced.is_err().then_some(LOAD));
    vec![
        reach(Level::Plain, Ok("all images".to_owned()), None),
        reach(Level::Verified, verified(report), None),
        reach(Level::Signed, signed, enroll),
        reach(Level::Enforced, enforced, load),
    ]
}

const ENROLL: &str = "enroll your certificate: in the firmware's db (.platform), with the boot loader (mokutil, \
                      .machine), or with Linux 7.2 in .dm-verity";
const LOAD: &str = "`sealpack policy` makes, signs, loads and activates one";

/// The names of those features that the machine does not have, for `no …`; `None` when it has all.
fn missing(report: &Report, ids: &[FeatureId]) -> Option<String> {
    let has = |id| report.feature(id).is_some_and(|feature| feature.status == Status::Available);
    let missing: Vec<&str> = ids.iter().filter(|id| !has(**id)).map(|id| id.name()).collect();
    (!missing.is_empty()).then(|| format!("no {}", missing.join(", ")))
}

fn missing_for_packs(report: &Report) -> Option<String> {
    missing(report, &[FeatureId::LoopDevices, FeatureId::DmVerity])
}

fn verified(report: &Report) -> Result<String, String> {
    let files = missing(report, &[FeatureId::FsVerity, FeatureId::OverlayVerity]);
    match (files, missing_for_packs(report)) {
        (None, None) => Ok("images in files (fs-verity) and images in packs (dm-verity)".to_owned()),
        (None, Some(packs)) => Ok(format!("images in files; for packs: {packs}")),
        (Some(files), None) => Ok(format!("images in packs; for files: {files}")),
        (Some(files), Some(packs)) => Err(format!("{files}; {packs}")),
    }
}

fn signed(report: &Report, holders: &[&str]) -> Result<String, String> {
    if let Some(packs) = missing_for_packs(report) {
        return Err(packs);
    }
    if let Some(check) = missing(report, &[FeatureId::DmVeritySignatures]) {
        return Err(check);
    }
    if holders.is_empty() {
        return Err("the kernel has no certificates, or only root sees them".to_owned());
    }
    Ok(format!("images in packs, sealed by a key with a certificate in {}", holders.join(", ")))
}

/// The keyrings with certificates that count for dm-verity.
fn holders(keyrings: &[(TrustedKeyring, Keys)]) -> Vec<&'static str> {
    keyrings
        .iter()
        .filter(|(which, keys)| *which != TrustedKeyring::FsVerity && keys.has_certificates())
        .map(|(which, _)| which.name())
        .collect()
}
