//! Where a machine stands.

use std::path::Path;

use sealpack_host::status::{HardeningState, Shown as InForce, Status as HostStatus};
use sealpack_kernel::keyring::TrustedKeyring;
use sealpack_kernel::probe::{Feature, Purpose, Report, Status, VerityParameters};
use sealpack_node::standing::{HeldKey, IpeState, KeyringContents, Reach, Standing};
use sealpack_store::loose_mode;
use sealpack_trust::policy::Policy;
use serde_json::{Value, json};

use super::{host_status, parts};
use crate::container::runtime::{Runtime, UnderPolicy};
use crate::error::CommandResult;
use crate::hint;
use crate::output::{Output, count};

/// What the machine is asked for, with the words for it.
const PURPOSES: [(Purpose, &str, &str); 7] = [
    (Purpose::Mount, "mount", "mount images"),
    (Purpose::MountWell, "mount_well", "mount them in the best way"),
    (Purpose::Verified, "verified", "verified mounts: bytes are checked when they are read"),
    (Purpose::Signed, "signed", "signed mounts: the kernel accepted signatures"),
    (Purpose::Enforced, "enforced", "enforced mounts: nothing else is executed"),
    (Purpose::Hardening, "hardening", "keep enforcement from being undone"),
    (Purpose::Rootless, "rootless", "user namespaces, for containers of users (mounting takes root)"),
];

/// What was found out of a machine.
pub(crate) struct Shown<'a> {
    /// What its kernel can do, and whom it trusts.
    pub(crate) standing: &'a Standing,
    /// What there is besides if it is a sealed host.
    pub(crate) host: Option<&'a HostStatus>,
    /// The container runtimes that are installed.
    pub(crate) runtimes: &'a [Runtime],
    /// Where the store is or would be.
    pub(crate) store: &'a Path,
}

/// Shows it.
pub(crate) fn standing(output: Output, shown: &Shown<'_>) -> CommandResult {
    let Shown { standing, host, runtimes, store } = shown;
    let further = json!({
        "host": host.map(host_status::host_json),
        "runtimes": runtimes.iter().map(runtime_json).collect::<Vec<_>>(),
    });
    output.result(&parts::with(json_of(standing, store), further), || {
        text_of(standing, store) + &runtimes_text(runtimes) + &host.map(host_text).unwrap_or_default()
    })
}

/// The container runtimes, and what they are worth where a policy is enforced.
fn runtimes_text(runtimes: &[Runtime]) -> String {
    let mut text = "\ncontainer runtimes:\n".to_owned();
    if runtimes.is_empty() {
        text += "  none: `sealpack run` needs crun or runc\n";
    }
    for runtime in runtimes {
        let verdict = match runtime.under_policy() {
            UnderPolicy::Works => "works where a policy is enforced",
            UnderPolicy::CopiesItself => {
                "does not work where a policy is enforced: it executes a copy of itself in memory; runc from 1.2 on does"
            }
            UnderPolicy::Unknown => "not known to work where a policy is enforced",
        };
        text += &format!("  {runtime}  {}: {verdict}\n", runtime.path.display());
    }
    text
}

fn runtime_json(runtime: &Runtime) -> Value {
    json!({
        "name": runtime.name,
        "runtime_version": runtime.version,
        "path": runtime.path,
        "works_enforced": match runtime.under_policy() {
            UnderPolicy::Works => Some(true),
            UnderPolicy::CopiesItself => Some(false),
            UnderPolicy::Unknown => None,
        },
    })
}

/// The hardenings of a sealed host that are not in force.
fn host_text(host: &HostStatus) -> String {
    let is_off = |state: &&HardeningState| state.shown != InForce::On;
    let off: Vec<&HardeningState> = host.hardenings.iter().filter(is_off).collect();
    let mut text = match off.is_empty() {
        true => "\nsealed host: every hardening is in force\n".to_owned(),
        false => "\nsealed host, without:\n".to_owned(),
    };
    for state in off {
        let why = host_status::consequence(state).unwrap_or_default();
        text += &format!("  {:<16}  {}\n{:20}{why}\n", state.hardening.name(), state.evidence, "");
    }
    text
}

fn text_of(standing: &Standing, store: &Path) -> String {
    let Standing { report, keyrings, verity_parameters, ipe, levels } = standing;
    let mut text = format!("kernel {}, store {}\n", report.release, store.display());
    if let Some(mode) = loose_mode(store) {
        text += &format!(
            "the store's mode is {mode:04o}: others can read what is in images, and hold its locks\n           \
             the next command that uses it makes that 0700, as `chmod 700` does\n"
        );
    }
    text += &features_text(report);
    text += "\nlevels that mounts can reach:\n";
    levels.iter().for_each(|reach| text += &reach_text(reach));
    text += "\ncertificates that the kernel trusts:\n";
    for (which, contents) in keyrings.iter() {
        text += &format!("  {:<23}  {}\n", which.name(), summary(which, contents, verity_parameters));
        for key in contents.keys() {
            text += &match key {
                HeldKey::Certificate(description) => format!("    {description}\n"),
                HeldKey::Keyring(name) => format!("    includes {name}\n"),
            };
        }
    }
    text += &format!("\ndm-verity: {}\n", parameters_text(verity_parameters));
    text + &format!("IPE: {}\n", ipe_text(ipe))
}

fn features_text(report: &Report) -> String {
    let mut text = String::new();
    for (purpose, _, title) in PURPOSES {
        let of_purpose = || report.features.iter().filter(move |feature| feature.id.purpose() == purpose);
        if of_purpose().next().is_some() {
            let verdict = if report.can(purpose) { "yes" } else { "no" };
            text += &format!("\n{title}: {verdict}\n");
            of_purpose().for_each(|feature| text += &feature_text(feature));
        }
    }
    text
}

fn feature_text(feature: &Feature) -> String {
    let mark = match feature.status {
        Status::Available => "ok     ",
        Status::Missing => "missing",
        Status::Unknown => "unknown",
    };
    let mut text = format!("  {mark}  {}: {}\n", feature.id.name(), feature.detail);
    if let Some(advice) = feature.advice() {
        text += &format!("           {advice}\n");
    }
    text
}

fn reach_text(Reach { level, how, lack }: &Reach) -> String {
    let (mark, how) = match how {
        Ok(with) => ("yes", with.to_string()),
        Err(obstacle) => ("no ", obstacle.to_string()),
    };
    let advice = lack.map(|lack| format!("                 {}\n", hint::of_lack(lack))).unwrap_or_default();
    format!("  {mark}  {level:<8}  {how}\n{advice}")
}

fn summary(which: TrustedKeyring, contents: &KeyringContents, parameters: &VerityParameters) -> String {
    match contents {
        KeyringContents::Absent => return "not in this kernel".to_owned(),
        KeyringContents::Unreadable(why) => return format!("cannot be read: {why}"),
        KeyringContents::Held(_) => {}
    }
    let state = match parameters.keyring_unsealed {
        Some(true) if which == TrustedKeyring::DmVerity => {
            "; open since the boot (keyring_unsealed): they count only once it is restricted"
        }
        Some(false) if which == TrustedKeyring::DmVerity => {
            "; sealed since the boot (dm_verity.keyring_unsealed=1 leaves it open)"
        }
        _ => "",
    };
    count(contents.certificates().count() as u64, "certificate") + state
}

const fn parameters_text(parameters: &VerityParameters) -> &'static str {
    match parameters.require_signatures {
        Some(true) => "devices without a signature are refused (dm_verity.require_signatures is set)",
        Some(false) => "devices without a signature are accepted (dm_verity.require_signatures is not set)",
        None => "not loaded, or built without the check of signatures",
    }
}

pub(crate) fn ipe_text(ipe: &Result<IpeState, String>) -> String {
    let ipe = match ipe {
        Ok(ipe) => ipe,
        Err(why) => return why.clone(),
    };
    let enforcing = if ipe.enforcing { "enforcing" } else { "only logging what it would deny" };
    let Some(policy) = &ipe.policy else { return format!("{enforcing}, but no policy is active") };
    let denies = match &policy.parsed {
        Ok(parsed) if parsed.denies_execute_by_default() => "which denies execution by default".to_owned(),
        Ok(_) => "which does not deny execution by default".to_owned(),
        Err(why) => format!("which cannot be read: {why}"),
    };
    format!("{enforcing}; the policy {policy} is active, {denies}")
}

fn json_of(standing: &Standing, store: &Path) -> Value {
    let Standing { report, keyrings, verity_parameters, ipe, levels } = standing;
    let can = PURPOSES.map(|(purpose, key, _)| (key.to_owned(), Value::from(report.can(purpose))));
    json!({
        "kernel": report.release,
        "store": store,
        "store_loose_mode": loose_mode(store).map(|mode| format!("{mode:04o}")),
        "can": Value::Object(can.into_iter().collect()),
        "features": report.features.iter().map(feature_json).collect::<Vec<_>>(),
        "levels": Value::Object(levels.iter().map(reach_json).collect()),
        "keyrings": keyrings.iter().map(|(which, contents)| keyring_json(which, contents)).collect::<Vec<_>>(),
        "dm_verity": {
            "require_signatures": verity_parameters.require_signatures,
            "keyring_unsealed": verity_parameters.keyring_unsealed,
        },
        "ipe": ipe_json(ipe),
    })
}

fn feature_json(feature: &Feature) -> Value {
    json!({
        "name": feature.id.name(),
        "status": match feature.status {
            Status::Available => "available",
            Status::Missing => "missing",
            Status::Unknown => "unknown",
        },
        "detail": feature.detail,
        "why": feature.id.why(),
        "advice": feature.advice(),
    })
}

fn reach_json(Reach { level, how, lack }: &Reach) -> (String, Value) {
    let value = json!({
        "reachable": how.is_ok(),
        "with": how.as_ref().ok().map(ToString::to_string),
        "why_not": how.as_ref().err().map(ToString::to_string),
        "advice": lack.map(hint::of_lack),
    });
    (level.name().to_owned(), value)
}

pub(super) fn keyring_json(which: TrustedKeyring, contents: &KeyringContents) -> Value {
    match contents {
        KeyringContents::Held(_) => json!({
            "name": which.name(),
            "present": true,
            "descriptions": contents.certificates().collect::<Vec<_>>(),
            "includes": contents.included().collect::<Vec<_>>(),
        }),
        KeyringContents::Absent => json!({ "name": which.name(), "present": false }),
        KeyringContents::Unreadable(why) => json!({ "name": which.name(), "present": null, "problem": why }),
    }
}

pub(super) fn ipe_json(ipe: &Result<IpeState, String>) -> Value {
    match ipe {
        Ok(ipe) => json!({
            "enforcing": ipe.enforcing,
            "active_policy": ipe.policy.as_ref().map(|policy| json!({
                "policy": policy.name,
                "policy_version": policy.version.to_string(),
                "denies_execute_by_default": policy.parsed.as_ref().ok().map(Policy::denies_execute_by_default),
            })),
        }),
        Err(why) => json!({ "problem": why }),
    }
}
