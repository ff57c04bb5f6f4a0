//! What a policy would do to images.

use std::collections::HashSet;
use std::path::Path;

use sealpack_kernel::Kernel;
use sealpack_node::policy::executables::Assumption;
use sealpack_node::policy::{self, GivenPolicy, Origin, PolicyError, check, revoked};
use sealpack_page::{Checked, File, Note, Reason};
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::policy::profile::{AllowedDevices, Profile, Recipe};
use sealpack_trust::policy::{Action, Policy, PolicyName, Version};

use crate::context::Context;
use crate::error::CommandError;

/// What decides, and as what images are judged.
pub(super) struct Judge {
    policy: Policy,
    origin: String,
    assumption: Option<Assumption>,
}

impl Judge {
    /// The policy that is given; else the one that a new one would be.
    pub(super) fn new(
        context: &Context,
        kernel: &Kernel,
        given: Option<&Path>,
        assumption: Option<Assumption>,
    ) -> Result<Self, CommandError> {
        let (policy, origin) = match given {
            Some(name) => {
                let given = GivenPolicy::find(kernel, name)?;
                let origin = match given.origin {
                    Origin::Text => format!("from the file {}", name.display()),
                    Origin::Signed { signer, .. } => {
                        format!("signed by {signer}, from the file {}", name.display())
                    }
                    Origin::Kernel { active: true } => "which decides in this kernel".to_owned(),
                    Origin::Kernel { active: false } => {
                        "which this kernel has, and which does not decide".to_owned()
                    }
                };
                (given.policy, origin)
            }
            None => (usual(context)?, "as `sealpack policy new final` writes it".to_owned()),
        };
        Ok(Self { policy, origin, assumption })
    }

    /// What becomes of an image's files; or in words why that is not known, which is remarked, too.
    pub(super) fn judge(
        &self,
        context: &Context,
        store: &Store,
        record: &ImageRecord,
    ) -> Result<Checked, String> {
        match check(&self.policy, store, record, self.assumption) {
            Ok(checked) => Ok(self.told(&checked)),
            Err(error) => {
                let problem =
                    format!("warning: {}: what a policy would do is not known: {error}", record.name);
                context.output.remark(&problem);
                Err(error.to_string())
            }
        }
    }

    fn told(&self, checked: &policy::Checked<'_>) -> Checked {
        let mut reasons: Vec<Reason> = Vec::new();
        let mut rules: Vec<HashSet<String>> = Vec::new();
        let mut files = Vec::with_capacity(checked.files.len());
        for policy::FileDecision { file, decision, .. } in &checked.files {
            let (allows, why) = (decision.action == Action::Allow, decision.reason());
            let is_it = |known: &Reason| known.allows == allows && known.why == why;
            let reason = reasons.iter().position(is_it).unwrap_or(reasons.len());
            if reason == reasons.len() {
                reasons.push(Reason {
                    allows,
                    rule: decision.rule_text(),
                    more_rules: 0,
                    why: why.to_owned(),
                });
                rules.push(HashSet::new());
            }
            rules[reason].insert(decision.rule_text());
            let (kind, operation) = (file.shape.name(), file.operation.name().to_owned());
            files.push(File { path: file.path.clone(), reason, kind, operation });
        }
        for (reason, rules) in reasons.iter_mut().zip(rules) {
            reason.more_rules = rules.len() - 1;
        }
        let notes = checked.lints.iter().map(|lint| Note {
            kind: lint.kind,
            path: lint.path.clone(),
            text: lint.text.clone(),
        });
        Checked {
            policy: format!("{} {}", self.policy.name(), self.policy.version()),
            origin: self.origin.clone(),
            judged_as: checked.judged_as.to_string(),
            reasons,
            files,
            notes: notes.collect(),
        }
    }
}

/// The policy that `policy new final` writes: with what the trust store has revoked.
fn usual(context: &Context) -> Result<Policy, CommandError> {
    let name: PolicyName = "sealed".parse().expect("a letter begins it, and there are only letters");
    let version: Version = "0.0.1".parse().expect("three small numbers");
    let recipe = Recipe {
        profile: Profile::Final,
        name,
        version,
        devices: AllowedDevices::Signed,
        files: Vec::new(),
        revoked: revoked(&context.trust_store().revocations()?, Vec::new()),
    };
    Ok(recipe.policy().map_err(PolicyError::from)?)
}
