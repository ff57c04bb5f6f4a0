mod trust;

use sealpack_kernel::Kernel;
use sealpack_kernel::probe::{Feature, Purpose, Status, System, probe};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::CommandResult;
use trust::Trust;

/// Say what this machine can do, and what to do about what it cannot.
///
/// Also which levels mounts can reach, which certificates the kernel trusts, and what IPE enforces.
///
/// Everything is found out by trying; nothing is left behind. The exit status is 0 whatever
/// is found: --json is for those who decide by it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack doctor
  sealpack doctor --json | jq .can
  sealpack doctor --json | jq .levels.signed")]
pub(crate) struct Doctor {}

/// What the machine is asked for, with the words for it.
const PURPOSES: [(Purpose, &str, &str); 7] = [
    (Purpose::Mount, "mount", "mount images"),
    (Purpose::MountWell, "mount_well", "mount them in the best way"),
    (Purpose::Verified, "verified", "verified mounts: bytes are checked when they are read"),
    (Purpose::Signed, "signed", "signed mounts: the kernel accepted signatures"),
    (Purpose::Enforced, "enforced", "enforced mounts: nothing else is executed"),
    (Purpose::Hardening, "hardening", "keep enforcement from being undone"),
    (Purpose::Rootless, "rootless", "use without root"),
];

impl Doctor {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let store = context.store_path()?;
        let (kernel, system) = (Kernel::new(), System::this());
        let report = probe(&kernel, &system, &store);
        let trust = Trust::find_out(&kernel, &system, &report);
        let can = PURPOSES.map(|(purpose, key, _)| (key.to_owned(), Value::from(report.can(purpose))));
        let mut value = json!({
            "kernel": report.release,
            "store": store,
            "can": Value::Object(can.into_iter().collect()),
            "features": report.features.iter().map(json_of).collect::<Vec<_>>(),
        });
        for (name, part) in trust.json() {
            value[name] = part;
        }
        context.output.result(&value, || {
            let mut text = format!("kernel {}, store {}\n", report.release, store.display());
            for (purpose, _, title) in PURPOSES {
                let of_purpose =
                    || report.features.iter().filter(move |feature| feature.id.purpose() == purpose);
                if of_purpose().next().is_some() {
                    let verdict = if report.can(purpose) { "yes" } else { "no" };
                    text += &format!("\n{title}: {verdict}\n");
                    of_purpose().for_each(|feature| text += &text_of(feature));
                }
            }
            text + &trust.text()
        })
    }
}

fn text_of(feature: &Feature) -> String {
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

fn json_of(feature: &Feature) -> Value {
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
