use std::path::PathBuf;

use sealpack_kernel::Kernel;
use sealpack_trust::policy::{Operation, Policy};
use serde_json::{Value, json};

use super::source::{self, Origin, Source};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::table;

/// Show a policy as the kernel understands it, and what is odd about it.
///
/// Of a signed policy, nothing is verified: the kernel does that when it is loaded.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy show sealed.policy
  sealpack policy show sealed.p7b
  sealpack policy show               # the kernel's policies
  sealpack policy show sealed        # one of them")]
pub(crate) struct Show {
    /// A file with a policy, signed or not, or the name of a policy that the kernel has. Without it, the
    /// kernel's policies are listed.
    #[arg(value_name = "FILE|NAME")]
    policy: Option<PathBuf>,
}

impl Show {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let kernel = Kernel::default();
        let Some(name) = &self.policy else { return list(&kernel, context) };
        let source = source::find(&kernel, name)?;
        source::remark(context.output, &source::remarks(&source));
        context.output.result(&json_of(&source), || {
            let note = match &source.origin {
                Origin::Text => String::new(),
                Origin::Signed { signer, .. } => format!("# signed by {signer}; not verified\n"),
                Origin::Kernel { active: true } => "# the kernel's active policy\n".to_owned(),
                Origin::Kernel { active: false } => "# loaded into the kernel, not active\n".to_owned(),
            };
            note + &source.policy.to_string()
        })
    }
}

fn list(kernel: &Kernel, context: &Context) -> CommandResult {
    let ipe = source::ipe(kernel)?;
    let policies = ipe.policies().map_err(CommandError::failed)?;
    let enforcing = ipe.is_enforcing().map_err(CommandError::failed)?;
    let values: Vec<Value> = policies
        .iter()
        .map(|policy| json!({ "name": policy.name, "version": policy.version.to_string(), "active": policy.active }))
        .collect();
    context.output.result(&json!({ "enforcing": enforcing, "policies": values }), || {
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

fn json_of(source: &Source) -> Value {
    let Source { policy, origin, .. } = source;
    let remarks: Vec<String> = source::remarks(source).iter().map(ToString::to_string).collect();
    let mut value = json!({
        "name": policy.name().to_string(),
        "version": policy.version().to_string(),
        "defaults": defaults(policy),
        "rules": policy.rules().iter().map(|rule| json!({
            "op": rule.operation.name(),
            "properties": rule.properties.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "action": rule.action.name(),
            "text": rule.to_string(),
        })).collect::<Vec<_>>(),
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
