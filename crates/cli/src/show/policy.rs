//! Policies, and what was done with them.

use std::path::Path;

use sealpack_node::policy::{Done, GivenPolicy, KernelPolicies, Loaded, Origin};
use sealpack_trust::policy::profile::Profile;
use sealpack_trust::policy::{Operation, Policy, Remark, Rule};
use serde_json::{Value, json};

use crate::error::CommandResult;
use crate::output::{Output, count, table};

/// Says what is odd about a policy.
pub(crate) fn remarks(output: Output, remarks: &[Remark]) {
    for remark in remarks {
        output.remark(&format!("note: {remark}"));
    }
}

/// Shows a policy, and what is odd about it.
pub(crate) fn policy(output: Output, given: &GivenPolicy) -> CommandResult {
    remarks(output, &given.remarks());
    output.result(&json_of(given), || {
        let note = match &given.origin {
            Origin::Text => String::new(),
            Origin::Signed { signer, .. } => format!("# signed by {signer}; not verified\n"),
            Origin::Kernel { active: true } => "# the kernel's active policy\n".to_owned(),
            Origin::Kernel { active: false } => "# loaded into the kernel, not active\n".to_owned(),
        };
        note + &given.policy.to_string()
    })
}

/// Shows which policies the kernel has.
pub(crate) fn of_kernel(output: Output, kernel: &KernelPolicies) -> CommandResult {
    let KernelPolicies { enforcing, policies } = kernel;
    let values: Vec<Value> = policies
        .iter()
        .map(|policy| json!({ "policy": policy.name, "policy_version": policy.version.to_string(), "active": policy.active }))
        .collect();
    output.result(&json!({ "enforcing": enforcing, "policies": values }), || {
        if policies.is_empty() {
            return "the kernel has no policies".to_owned();
        }
        let state = |active| match (active, enforcing) {
            (true, true) => "active",
            (true, false) => "active, not enforcing",
            (false, _) => "-",
        };
        let rows: Vec<Vec<String>> = policies
            .iter()
            .map(|policy| {
                vec![policy.name.clone(), policy.version.to_string(), state(policy.active).to_owned()]
            })
            .collect();
        table(&["NAME", "VERSION", "STATE"], &rows)
    })
}

/// Shows a policy that was written, to `file` or to nowhere else.
pub(crate) fn made(
    output: Output,
    profile: Profile,
    policy: &Policy,
    text: &[u8],
    file: Option<&Path>,
) -> CommandResult {
    let (name, version) = (policy.name(), policy.version());
    let value = json!({
        "policy": name.to_string(),
        "policy_version": version.to_string(),
        "profile": profile.name(),
        "rules": rules(policy),
        "file": file,
        "text": String::from_utf8_lossy(text),
    });
    output.result(&value, || match file {
        Some(path) => {
            let rules = count(policy.rules().len() as u64, "rule");
            format!("{}: policy {name} version {version}, {rules}", path.display())
        }
        None => String::from_utf8_lossy(text).into_owned(),
    })
}

/// Shows a policy whose signed form went to `file`.
pub(crate) fn signed(
    output: Output,
    policy: &Policy,
    file: &Path,
    signed_bytes: usize,
    signer: &str,
) -> CommandResult {
    let (name, version) = (policy.name().to_string(), policy.version().to_string());
    let value = json!({
        "policy": name,
        "policy_version": version,
        "file": file,
        "signed_size_bytes": signed_bytes,
        "signer": signer,
    });
    output
        .result(&value, || format!("{}: policy {name} version {version}, signed by {signer}", file.display()))
}

/// Shows a policy that the kernel has taken, and where it is kept for the next boot, if it is.
pub(crate) fn loaded(output: Output, loaded: &Loaded, kept: Option<&Path>) -> CommandResult {
    let Loaded { name, version, done, active, enforcing } = loaded;
    let (word, done) = match done {
        Done::Loaded => ("loaded", "loaded"),
        Done::Updated => ("updated", "updated"),
        Done::WasThere => ("was_there", "there already"),
    };
    let value = json!({
        "policy": name, "policy_version": version, "done": word, "active": active, "enforcing": enforcing,
        "kept_as": kept,
    });
    output.result(&value, || {
        let state = match (active, enforcing) {
            (true, true) => "active and enforced",
            (true, false) => "active; IPE is not enforcing, so it denies nothing",
            (false, _) => "not active",
        };
        let kept = kept.map(|path| format!("\nkept for the next boot as {}", path.display()));
        format!("policy {name} version {version}: {done}, {state}{}", kept.unwrap_or_default())
    })
}

/// Shows a policy that decides from now on.
pub(crate) fn activated(output: Output, name: &str, enforcing: bool) -> CommandResult {
    output.result(&json!({ "policy": name, "active": true, "enforcing": enforcing }), || {
        let state = if enforcing { "enforced" } else { "IPE is not enforcing, so it denies nothing" };
        format!("policy {name}: active, {state}")
    })
}

fn json_of(given: &GivenPolicy) -> Value {
    let GivenPolicy { policy, origin, .. } = given;
    let remarks: Vec<String> = given.remarks().iter().map(ToString::to_string).collect();
    let mut value = json!({
        "policy": policy.name().to_string(),
        "policy_version": policy.version().to_string(),
        "defaults": defaults(policy),
        "rules": rules(policy),
        "denies_execute_by_default": policy.denies_execute_by_default(),
        "remarks": remarks,
        "text": policy.to_string(),
    });
    match origin {
        Origin::Text => value["form"] = "text".into(),
        Origin::Signed { signer, der, .. } => {
            value["form"] = "signed".into();
            value["signer"] = signer.clone().into();
            value["signed_size_bytes"] = der.len().into();
        }
        Origin::Kernel { active } => {
            value["form"] = "kernel".into();
            value["active"] = (*active).into();
        }
    }
    value
}

/// What happens where no rule matches, for each operation.
fn defaults(policy: &Policy) -> Value {
    let of =
        |operation: Operation| (operation.name().to_owned(), policy.default_action(operation).name().into());
    Value::Object(Operation::ALL.into_iter().map(of).collect())
}

fn rules(policy: &Policy) -> Vec<Value> {
    let rule = |rule: &Rule| {
        json!({
            "op": rule.operation.name(),
            "properties": rule.properties.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "action": rule.action.name(),
            "text": rule.to_string(),
        })
    };
    policy.rules().iter().map(rule).collect()
}
