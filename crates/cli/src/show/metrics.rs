//! What a monitoring system gets: docs/metrics.md has the list.

use std::collections::BTreeMap;
use std::path::Path;

use sealpack_format::ObjectId;
use sealpack_format::exposition::{Family, text};
use sealpack_host::esp::{Boots, Entry};
use sealpack_host::status::{Shown, Status};
use sealpack_host::uki::UkiFile;
use sealpack_node::standing::IpeState;
use sealpack_store::Holdings;
use serde_json::json;

use super::exposition::json_of;
use crate::error::CommandResult;
use crate::output::{Output, visible};

/// What a machine has; `None` is what could not be looked at.
#[derive(Debug)]
pub(crate) struct State<'s> {
    pub(crate) store: Option<&'s StoreState>,
    /// How many mounts are of which level; those whose level is not known are at `unknown`.
    pub(crate) mounts: Option<&'s BTreeMap<&'static str, u64>>,
    /// Where the kernel has IPE, what it says.
    pub(crate) ipe: Option<Option<IpeState>>,
    /// Whether the kernel executes nothing that its policy does not allow.
    pub(crate) in_force: bool,
    /// Nothing inside where the machine is no sealed host.
    pub(crate) host: Option<Option<&'s HostState>>,
}

/// What a store has.
#[derive(Debug, Default)]
pub(crate) struct StoreState {
    pub(crate) names: u64,
    pub(crate) holdings: Holdings,
}

/// A sealed host.
#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) status: Status,
    /// The names of the image that runs.
    pub(crate) names: Vec<String>,
    /// The names of the image whose start was refused.
    pub(crate) refused_names: Vec<String>,
    pub(crate) boots: Option<Boots>,
    /// When each file on the ESP was written, in seconds since 1970.
    pub(crate) written: BTreeMap<String, u64>,
}

/// Prints them, or has `write` write the text to a file.
pub(crate) fn shown(
    output: Output,
    state: &State<'_>,
    file: Option<&Path>,
    write: impl FnOnce(&Path, &str) -> CommandResult,
) -> CommandResult {
    let families = families(state);
    if let Some(file) = file {
        write(file, &text(&families))?;
    }
    let shown = || if file.is_some() { String::new() } else { text(&families) };
    output.result(&json!({ "metrics": json_of(&families), "file": file }), shown)
}

fn families(state: &State<'_>) -> Vec<Family> {
    let mut families = vec![about_itself(), looked_at(state)];
    families.extend(state.store.into_iter().flat_map(of_store));
    families.extend(state.mounts.map(of_mounts));
    families.extend(of_kernel(state));
    if let Some(host) = state.host {
        families.push(flag(
            "sealpack_host_sealed",
            "Whether the machine was booted from a sealed image.",
            host.is_some(),
        ));
        families.extend(host.into_iter().flat_map(of_host));
    }
    families
}

fn flag(name: &'static str, help: &'static str, is_so: bool) -> Family {
    Family::gauge(name, help).with(Some(is_so.into()))
}

fn about_itself() -> Family {
    let mut family = Family::gauge("sealpack_build_info", "The version of the program.");
    family.add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    family
}

fn looked_at(state: &State<'_>) -> Family {
    let mut family =
        Family::gauge("sealpack_looked_at", "Whether this part of the machine could be looked at.");
    let is_ipe_read = state.ipe.as_ref().is_none_or(Option::is_some);
    let parts = [
        ("store", state.store.is_some()),
        ("mounts", state.mounts.is_some()),
        ("ipe", is_ipe_read),
        ("host", state.host.is_some()),
    ];
    parts.iter().for_each(|(part, is_so)| family.add(&[("part", part)], (*is_so).into()));
    if let Some(Some(host)) = state.host {
        family.add(&[("part", "esp")], host.boots.is_some().into());
    }
    family
}

fn of_store(store: &StoreState) -> [Family; 3] {
    let mut bytes = Family::gauge("sealpack_store_bytes", "Sizes of the files in a part of the store.");
    let mut files = Family::gauge("sealpack_store_files", "Files in a part of the store.");
    let Holdings { objects, packs, images, layers, blobs, seals, others } = &store.holdings;
    let parts = [
        ("objects", objects),
        ("packs", packs),
        ("metadata_images", images),
        ("layers", layers),
        ("blobs", blobs),
        ("seals", seals),
        ("others", others),
    ];
    for (part, counted) in parts {
        bytes.add(&[("part", part)], counted.bytes);
        files.add(&[("part", part)], counted.count);
    }
    let names = Family::gauge("sealpack_store_images", "Images in the store, each under each of its names.")
        .with(Some(store.names));
    [names, bytes, files]
}

fn of_mounts(levels: &BTreeMap<&'static str, u64>) -> Family {
    let mut family = Family::gauge(
        "sealpack_mounts",
        "Images that are mounted, by what the kernel guarantees of the mount now.",
    );
    levels.iter().for_each(|(level, count)| family.add(&[("level", level)], *count));
    family
}

fn of_kernel(state: &State<'_>) -> Vec<Family> {
    let mut families = vec![
        flag(
            "sealpack_ipe_active",
            "Whether the kernel has IPE among its security modules.",
            state.ipe.is_some(),
        ),
        flag(
            "sealpack_enforcement_in_force",
            "Whether the kernel executes only what its policy allows, which denies the rest.",
            state.in_force,
        ),
    ];
    if let Some(Some(ipe)) = &state.ipe {
        families.push(flag(
            "sealpack_ipe_enforcing",
            "Whether IPE denies, rather than logs what it would deny.",
            ipe.enforcing,
        ));
        let mut policy = Family::gauge("sealpack_ipe_policy_info", "The policy that decides.");
        if let Some(active) = &ipe.policy {
            policy.add(&[("name", &active.name), ("version", &active.version.to_string())], 1);
        }
        families.push(policy);
    }
    families
}

fn of_host(host: &HostState) -> Vec<Family> {
    let status = &host.status;
    let mut families = vec![
        Family::gauge(
            "sealpack_host_secure_boot",
            "Whether the firmware checks signatures of what it starts.",
        )
        .with(status.secure_boot.map(u64::from)),
    ];
    families.extend(of_hardenings(status));
    families.extend(of_boots(host));
    families.extend(of_refused(host));
    families
}

fn of_hardenings(status: &Status) -> [Family; 2] {
    let mut each =
        Family::gauge("sealpack_host_hardening", "Whether a hardening is in force, where the kernel tells.");
    for state in &status.hardenings {
        let is_on = match state.shown {
            Shown::On => 1,
            Shown::Off => 0,
            Shown::Unknown => continue,
        };
        each.add(&[("hardening", state.hardening.name())], is_on);
    }
    let lacking = Family::gauge("sealpack_host_hardenings_lacking", "Hardenings that are not shown to be in force, though the signed command line does not switch them off.").with(Some(status.lacking().count() as u64));
    [each, lacking]
}

/// What runs, what comes next, what is fallen back to.
fn of_boots(host: &HostState) -> Vec<Family> {
    let mut info = Family::gauge(
        "sealpack_host_boot_info",
        "The UKI that runs, that comes next, that is fallen back to.",
    );
    let mut epoch =
        Family::gauge("sealpack_host_boot_epoch", "The epoch of the image that it starts: its version.");
    let mut tries = Family::gauge(
        "sealpack_host_boot_tries_left",
        "How often it may still fail, where its tries are counted.",
    );
    let running = host.boots.as_ref().and_then(Boots::running);
    add_boot(&mut info, "running", running, Some((&host.status.boot.image, &host.names.join(" "))));
    let others = host.boots.iter().flat_map(|boots| [("next", boots.next()), ("fallback", boots.fallback())]);
    let others: Vec<(&str, Option<&Entry>)> = others.collect();
    for (boot, entry) in &others {
        add_boot(&mut info, boot, *entry, None);
    }
    for (boot, entry) in [("running", running)].into_iter().chain(others) {
        let Some(entry) = entry else { continue };
        let of_uki = entry.uki.as_ref().ok().and_then(UkiFile::epoch);
        of_uki.into_iter().for_each(|value| epoch.add(&[("boot", boot)], value));
        let left = entry.name.counter.map(|counter| counter.left);
        left.into_iter().for_each(|value| tries.add(&[("boot", boot)], value.into()));
    }
    let last = Family::gauge(
        "sealpack_host_last_upgrade_timestamp_seconds",
        "When the newest UKI was written to the EFI system partition.",
    )
    .with(host.written.values().max().copied());
    vec![info, epoch, tries, last]
}

/// Adds what is known of a UKI; of the one that runs its image too, though the file may have gone.
fn add_boot(family: &mut Family, boot: &str, entry: Option<&Entry>, runs: Option<(&ObjectId, &str)>) {
    if entry.is_none() && runs.is_none() {
        return;
    }
    let starts = entry.and_then(|entry| entry.uki.as_ref().ok()).map(|uki| uki.command_line.boot().image);
    let image = runs.map(|(image, _)| *image).or(starts).map(|image| image.to_string()).unwrap_or_default();
    let file = entry.map_or("", |entry| &entry.file_name);
    let labels = [("boot", boot), ("file", file), ("metadata_image", &image)];
    let names = runs.map(|(_, names)| ("names", names));
    family.add(&labels.into_iter().chain(names).collect::<Vec<_>>(), 1);
}

/// The start that was refused last.
fn of_refused(host: &HostState) -> Vec<Family> {
    let status = &host.status;
    let kept = status.last_refused.as_deref();
    let mut info =
        Family::gauge("sealpack_host_refused_start_info", "The start that was refused last, and why.");
    if let Some(text) = kept {
        let refused = status.refused();
        let started = refused.as_ref().and_then(|refused| refused.started.as_ref());
        let image = started.map(|started| started.image.to_string()).unwrap_or_default();
        let (step, reason) = refused.as_ref().map_or(("", text), |refused| (&refused.step, &refused.why));
        let names = host.refused_names.join(" ");
        let reason = visible(reason);
        let labels = [("step", step), ("reason", &reason), ("metadata_image", &image), ("names", &names)];
        info.add(&labels, 1);
    }
    vec![
        flag(
            "sealpack_host_refused_start",
            "Whether the record of a refused start is there.",
            kept.is_some(),
        ),
        info,
        Family::gauge(
            "sealpack_host_refused_start_timestamp_seconds",
            "When that was, by the clock of that start.",
        )
        .with(status.refused_unix_seconds),
    ]
}

#[cfg(test)]
mod tests {
    use sealpack_format::RootHash;
    use sealpack_format::boot::{BootParameters, Hardening, RefusedBoot};
    use sealpack_host::status::HardeningState;
    use sealpack_tests::exposition::Exposition;

    use super::*;

    fn hardening(hardening: Hardening, shown: Shown) -> HardeningState {
        HardeningState { hardening, switched_off: false, shown, evidence: String::new() }
    }

    /// A host that has fallen back, whose ESP has gone.
    fn host(last_refused: &str) -> HostState {
        let status = Status {
            boot: BootParameters::new(ObjectId::sha256([0xab; 32]), RootHash::new([0xcd; 32])),
            hardenings: vec![
                hardening(Hardening::Lockdown, Shown::On),
                hardening(Hardening::Kexec, Shown::Off),
                hardening(Hardening::MacAdmin, Shown::Unknown),
            ],
            secure_boot: None,
            last_refused: Some(last_refused.to_owned()),
            refused_unix_seconds: Some(1_796_046_120),
            report: None,
            kept_policies: Vec::new(),
        };
        let written = [("sealed_1.efi", 5), ("sealed_2+3.efi", 7)].map(|(file, at)| (file.to_owned(), at));
        HostState {
            status,
            names: vec!["site/host:1".to_owned()],
            refused_names: vec!["site/host:2".to_owned()],
            boots: None,
            written: written.into(),
        }
    }

    fn exposed(host: Option<&HostState>) -> Exposition {
        let state = State { store: None, mounts: None, ipe: None, in_force: false, host: Some(host) };
        Exposition::parse(&text(&families(&state))).expect("it is as Prometheus has it")
    }

    #[test]
    fn a_start_that_was_refused_is_there_with_its_reason() {
        let refused = RefusedBoot {
            why: "site.service said \"no\"".to_owned(),
            ..super::super::host_status::tests::refused()
        };
        let exposed = exposed(Some(&host(&refused.text())));
        let labels = [
            ("step", "boot-complete"),
            ("reason", "site.service said \"no\""),
            ("metadata_image", &"ef".repeat(32)),
            ("names", "site/host:2"),
        ];
        assert_eq!(exposed.value("sealpack_host_refused_start_info", &labels).unwrap(), 1.0);
        assert_eq!(exposed.value("sealpack_host_refused_start", &[]).unwrap(), 1.0);
        let at = exposed.value("sealpack_host_refused_start_timestamp_seconds", &[]).unwrap();
        assert_eq!(at, 1_796_046_120.0);
    }

    /// Older first processes left a text alone.
    #[test]
    fn a_reason_that_cannot_be_taken_apart_is_told_whole() {
        let exposed = exposed(Some(&host("something\u{1b}[2J else")));
        let reason = [("step", ""), ("reason", "something\\u{1b}[2J else"), ("metadata_image", "")];
        assert_eq!(exposed.value("sealpack_host_refused_start_info", &reason).unwrap(), 1.0);
    }

    #[test]
    fn what_is_not_known_of_a_host_is_left_out_and_the_rest_is_told() {
        let exposed = exposed(Some(&host("")));
        let value = |name: &str, labels: &[(&str, &str)]| exposed.value(name, labels).unwrap();
        assert_eq!(value("sealpack_looked_at", &[("part", "esp")]), 0.0);
        assert!(exposed.all("sealpack_host_secure_boot", &[]).is_empty());
        assert_eq!(value("sealpack_host_hardening", &[("hardening", "lockdown")]), 1.0);
        assert_eq!(value("sealpack_host_hardening", &[("hardening", "kexec")]), 0.0);
        assert!(exposed.all("sealpack_host_hardening", &[("hardening", "mac-admin")]).is_empty());
        assert_eq!(value("sealpack_host_hardenings_lacking", &[]), 2.0);
        let running = [("boot", "running"), ("names", "site/host:1"), ("file", "")];
        assert_eq!(value("sealpack_host_boot_info", &running), 1.0);
        assert_eq!(value("sealpack_host_last_upgrade_timestamp_seconds", &[]), 7.0);
    }

    #[test]
    fn a_machine_that_is_no_sealed_host_says_so_and_nothing_else_of_that() {
        let exposed = exposed(None);
        assert_eq!(exposed.value("sealpack_host_sealed", &[]).unwrap(), 0.0);
        assert!(exposed.all("sealpack_host_refused_start", &[]).is_empty());
    }
}
