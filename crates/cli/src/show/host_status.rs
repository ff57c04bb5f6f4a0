//! What a sealed host is.

use sealpack_host::status::{HardeningState, NotSealed, RunningImage, Shown, Status};
use sealpack_node::standing::{IpeState, Keyrings};
use serde_json::{Value, json};

use super::standing::{ipe_json, ipe_text, keyring_json};
use super::{boots, parts, refused};
use crate::error::CommandResult;
use crate::output::{Output, count};

/// A host, with what its kernel says.
pub(crate) struct State<'s> {
    pub(crate) status: Result<&'s Status, &'s NotSealed>,
    pub(crate) running: Option<&'s RunningImage>,
    /// What the store knows of the image whose boot was refused last.
    pub(crate) refused: Option<&'s RunningImage>,
    /// What the ESP has, of a sealed host.
    pub(crate) boots: Option<&'s boots::Seen>,
    /// The version of the broker, if there is one; in words, why it does not answer.
    pub(crate) broker: &'s Result<Option<String>, String>,
    pub(crate) ipe: &'s Result<IpeState, String>,
    pub(crate) keyrings: &'s Keyrings,
}

/// Shows what a host is. Of one that is not sealed there is nothing to show to people.
pub(crate) fn shown(output: Output, state: &State<'_>) -> CommandResult {
    output.result(&json_of(state), || state.status.map(|status| text_of(status, state)).unwrap_or_default())
}

fn text_of(status: &Status, state: &State<'_>) -> String {
    let names = match state.running {
        Some(running) => running.names.join(", "),
        None => "an image that no name means here".to_owned(),
    };
    let mut text = format!("sealed host, booted from {names}\n");
    for (what, value) in facts(status, state) {
        text += &format!("  {what:<15} {value}\n");
    }
    text += "\nhardening:\n";
    status.hardenings.iter().for_each(|state| text += &hardening_text(state));
    text += "\ncertificates that the kernel trusts:\n";
    for (which, contents) in state.keyrings.iter() {
        let certificates: Vec<&str> = contents.certificates().collect();
        if !certificates.is_empty() {
            let number = count(certificates.len() as u64, "certificate");
            text += &format!("  {:<23}  {number}: {}\n", which.name(), certificates.join("; "));
        }
    }
    text
}

/// What there is to say in a line each.
fn facts(status: &Status, state: &State<'_>) -> Vec<(&'static str, String)> {
    let boot = &status.boot;
    let mut facts =
        vec![("metadata image", boot.image.to_string()), ("root hash", boot.root_hash.to_string())];
    if let Some(running) = state.running {
        facts.extend(running.manifests.iter().map(|manifest| ("manifest", manifest.to_string())));
        let epoch = running.epoch.map_or("the store has no seal of it".to_owned(), |epoch| epoch.to_string());
        facts.push(("epoch", epoch));
    }
    let secure_boot = match status.secure_boot {
        Some(true) => "on",
        Some(false) => "off: the firmware starts whatever it finds",
        None => "the firmware does not tell",
    };
    facts.push(("Secure Boot", secure_boot.to_owned()));
    facts.push(("IPE", ipe_text(state.ipe)));
    if let Some(update) = status.report.as_ref().and_then(|report| report.policy_update.as_ref()) {
        facts.push(("policy from", format!("{update}, in the place of the UKI's")));
    }
    let kept: Vec<String> = status.kept_policies.iter().map(ToString::to_string).collect();
    if !kept.is_empty() {
        facts.push(("kept policies", kept.join(", ")));
    }
    let broker = match state.broker {
        Ok(Some(version)) => format!("answers, version {version}"),
        Ok(None) => {
            "is not there: no more enforced mounts, and no updates of the policy, until the next boot"
                .to_owned()
        }
        Err(why) => why.clone(),
    };
    facts.push(("broker", broker));
    facts.push(("/etc", format!("writes to {}", boot.etc.name())));
    facts.extend(state.boots.into_iter().flat_map(boots::lines));
    facts.push(("last refused", refused_text(status, state.refused)));
    facts
}

/// The boot that was refused last: why, and what was started, in a line each.
fn refused_text(status: &Status, image: Option<&RunningImage>) -> String {
    let Some(refused) = status.refused() else {
        return status.last_refused.clone().unwrap_or_else(|| "no boot".to_owned());
    };
    let started = refused.started.as_ref().map(|started| match image {
        Some(image) => format!("\n  {:<15} {}, Linux {}", "", image.names.join(", "), started.release),
        None => format!("\n  {:<15} {started}", ""),
    });
    format!("{refused}{}", started.unwrap_or_default())
}

/// A hardening; where it is not in force, what root can do.
fn hardening_text(state: &HardeningState) -> String {
    let HardeningState { hardening, switched_off, shown, evidence } = state;
    let mark = match shown {
        Shown::On => "on     ",
        Shown::Off => "OFF    ",
        Shown::Unknown => "unknown",
    };
    let mut text = format!("  {mark}  {:<16}  {evidence}\n", hardening.name());
    if let Some(consequence) = consequence(state) {
        text += &format!("           {consequence}\n");
    }
    if *switched_off && *shown == Shown::On {
        text += "           though the signed command line switches it off\n";
    }
    text
}

/// What it means that a hardening is not in force.
pub(crate) fn consequence(state: &HardeningState) -> Option<String> {
    let stops = state.hardening.stops();
    match (state.shown, state.switched_off) {
        (Shown::On, _) => None,
        (_, true) => Some(format!("switched off by the signed command line; it stops {stops}")),
        (Shown::Off, false) => Some(format!("not as the signed command line says; it stops {stops}")),
        (Shown::Unknown, false) => Some(format!("it stops {stops}")),
    }
}

fn json_of(state: &State<'_>) -> Value {
    json!({
        "sealed": state.status.is_ok(),
        "why_not": state.status.err().map(ToString::to_string),
        "host": state.status.ok().map(|status| {
            let mut host = parts::with(host_json(status), image_json(state.running));
            if let Some(seen) = state.boots {
                host = parts::with(host, json!({ "boots": boots::json_of(seen) }));
            }
            if let Some(refused) = host["refused"].as_object_mut() {
                refused.insert("names".to_owned(), json!(state.refused.map(|image| &image.names)));
            }
            host
        }),
        "broker": {
            "broker_version": state.broker.as_ref().ok(),
            "problem": state.broker.as_ref().err(),
        },
        "ipe": ipe_json(state.ipe),
        "keyrings": state.keyrings.iter().map(|(which, contents)| keyring_json(which, contents)).collect::<Vec<_>>(),
    })
}

/// What the store knows of the image, or that it knows nothing.
fn image_json(running: Option<&RunningImage>) -> Value {
    json!({
        "names": running.map(|running| running.names.clone()).unwrap_or_default(),
        "manifest_digests": running.map(|running| running.manifests.iter().collect::<Vec<_>>()).unwrap_or_default(),
        "epoch": running.and_then(|running| running.epoch),
    })
}

/// What a host is, without what its store knows.
pub(crate) fn host_json(status: &Status) -> Value {
    let kept: Vec<String> = status.kept_policies.iter().map(ToString::to_string).collect();
    json!({
        "metadata_image": parts::metadata_image(&status.boot.image, None),
        "root_hash": status.boot.root_hash,
        "etc": status.boot.etc.name(),
        "secure_boot": status.secure_boot,
        "hardening": status.hardenings.iter().map(hardening_json).collect::<Vec<_>>(),
        "policy_update": status.report.as_ref().and_then(|report| report.policy_update.as_ref()),
        "kept_policies": kept,
        "last_refused": status.last_refused,
        "refused": status.refused().as_ref().map(refused::json_of),
    })
}

fn hardening_json(state: &HardeningState) -> Value {
    json!({
        "name": state.hardening.name(),
        "on": match state.shown {
            Shown::On => Some(true),
            Shown::Off => Some(false),
            Shown::Unknown => None,
        },
        "switched_off": state.switched_off,
        "stops": state.hardening.stops(),
        "evidence": state.evidence,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use sealpack_format::boot::{BootParameters, Hardening, RefusedBoot, Started};
    use sealpack_format::{ObjectId, RootHash};

    use super::*;

    fn hardening(hardening: Hardening, shown: Shown, switched_off: bool) -> HardeningState {
        HardeningState { hardening, switched_off, shown, evidence: "as the kernel says".to_owned() }
    }

    fn status() -> Status {
        Status {
            boot: BootParameters::new(ObjectId::sha256([0xab; 32]), RootHash::new([0xcd; 32])),
            hardenings: vec![
                hardening(Hardening::Lockdown, Shown::On, false),
                hardening(Hardening::Kexec, Shown::Off, true),
                hardening(Hardening::Ptrace, Shown::Off, false),
                hardening(Hardening::MacAdmin, Shown::Unknown, false),
                hardening(Hardening::ForeignAbi, Shown::On, true),
            ],
            secure_boot: Some(false),
            last_refused: Some(refused().text().trim_end().to_owned()),
            refused_unix_seconds: Some(1_796_046_120),
            report: None,
            kept_policies: ["host-0.0.2.p7b"].iter().filter_map(|name| name_of(name)).collect(),
        }
    }

    /// A start that a unit of the administrator's found bad.
    pub(in crate::show) fn refused() -> RefusedBoot {
        RefusedBoot {
            step: "boot-complete".to_owned(),
            why: "site.service has failed".to_owned(),
            advice: "mend it".to_owned(),
            started: Some(Started {
                image: ObjectId::sha256([0xef; 32]),
                root_hash: RootHash::new([0x12; 32]),
                release: "6.12.1".to_owned(),
            }),
        }
    }

    fn name_of(name: &str) -> Option<sealpack_format::boot::KeptPolicy> {
        sealpack_format::boot::KeptPolicy::parse(name)
    }

    fn with_state<T>(look: impl FnOnce(&Status, &State<'_>) -> T) -> T {
        let running = RunningImage {
            names: vec!["site/host:3".to_owned()],
            manifests: BTreeSet::new(),
            epoch: Some(3),
        };
        let (status, keyrings) = (status(), Keyrings::read(&sealpack_kernel::Kernel::new()));
        let (ipe, broker) = (Err("not active".to_owned()), Ok(None));
        let state = State {
            status: Ok(&status),
            running: Some(&running),
            refused: Some(&running),
            boots: Some(&Err("no ESP".to_owned())),
            broker: &broker,
            ipe: &ipe,
            keyrings: &keyrings,
        };
        look(&status, &state)
    }

    #[test]
    fn people_are_told_what_root_can_do_where_a_hardening_is_off() {
        let text = with_state(text_of);
        for words in [
            "sealed host, booted from site/host:3\n",
            "  Secure Boot     off: the firmware starts whatever it finds\n",
            "  last refused    boot refused, boot-complete: site.service has failed. To do: mend it\n                  site/host:3, Linux 6.12.1\n",
            "  kept policies   host-0.0.2\n",
            "  broker          is not there: no more enforced mounts",
            "  on       lockdown          as the kernel says\n  OFF",
            "  OFF      kexec             as the kernel says\n           switched off by the signed command line; it stops starting",
            "  OFF      ptrace            as the kernel says\n           not as the signed command line says; it stops reaching",
            "  unknown  mac-admin         as the kernel says\n           it stops switching",
            "  on       foreign-abi       as the kernel says\n           though the signed command line switches it off\n",
        ] {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
    }

    /// No test elsewhere has a sealed host to ask but those in the guest.
    #[test]
    fn machines_get_the_fields_that_the_schema_has() {
        let schema: Value = serde_json::from_str(include_str!("../../../../docs/json.schema.json"))
            .expect("the schema is JSON");
        let names = |value: &Value| -> BTreeSet<String> {
            value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
        };
        let value = with_state(|_, state| json_of(state));
        let definition = &schema["$defs"]["sealed_host"];
        assert_eq!(names(&value["host"]), names(&definition["properties"]));
        assert_eq!(
            names(&value["host"]["refused"]),
            names(&schema["$defs"]["refused_boot"]["properties"]),
            "{value:#}"
        );
        assert_eq!(value["host"]["refused"]["names"], json!(["site/host:3"]));
        assert_eq!(names(&value["host"]["boots"]), names(&definition["properties"]["boots"]["properties"]));
        let of_hardening = &definition["properties"]["hardening"]["items"]["properties"];
        assert_eq!(names(&value["host"]["hardening"][0]), names(of_hardening));
        let on: Vec<&Value> =
            value["host"]["hardening"].as_array().into_iter().flatten().map(|state| &state["on"]).collect();
        assert_eq!(on, [&json!(true), &json!(false), &json!(false), &Value::Null, &json!(true)]);
        assert_eq!((&value["sealed"], &value["host"]["epoch"]), (&json!(true), &json!(3)));
    }
}
