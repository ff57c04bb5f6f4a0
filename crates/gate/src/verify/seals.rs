//! What the trust store says of the seals of an image.

use sealpack_trust::judge::{Refusal, Verdict};

use super::report::Report;
use crate::gate::Judgement;

/// Reports on all seals. `must_count` when each of them has to be one that counts: the store has only one.
pub(super) fn report_on(report: &mut Report, judgements: Vec<Judgement>, must_count: bool) {
    for judgement in &judgements {
        let is_used = judgement.seals.iter().any(|(_, seal)| seal.as_ref().is_ok_and(Verdict::is_acceptable));
        let mut failures = 0;
        for (label, seal) in &judgement.seals {
            let reasons = match seal {
                Ok(verdict) if verdict.is_acceptable() => {
                    accepted(report, label, verdict);
                    continue;
                }
                Ok(verdict) => verdict.failures.iter().map(ToString::to_string).collect(),
                Err(problem) => vec![problem.clone()],
            };
            for reason in reasons {
                if must_count || !is_used {
                    report.bad(format!("seal {label}"), reason);
                    failures += 1;
                } else {
                    report.note(format!("seal {label}"), format!("not used: {reason}"));
                }
            }
        }
        match &judgement.refusal {
            // What it says of the seals is said above.
            Some(Refusal::NotSealed { .. } | Refusal::Stripped { .. }) if failures > 0 => {}
            Some(refusal) => report.bad(format!("rules for {}", judgement.name), refusal),
            None if judgement.seals.is_empty() => {
                report.note("seal", format!("none, and none is demanded of {}", judgement.name));
            }
            None => report.good(format!("rules for {}", judgement.name), "kept"),
        }
    }
    report.judgements = Some(judgements);
}

fn accepted(report: &mut Report, label: &str, verdict: &Verdict) {
    let signers: Vec<_> = verdict.statement_signers.iter().map(ToString::to_string).collect();
    let name = verdict.name.as_ref().map(ToString::to_string).unwrap_or_default();
    report.good(
        format!("seal {label}"),
        format!("as {name}, epoch {}, the statement signed by {}", verdict.epoch, signers.join(", ")),
    );
    for (root_hash, signers) in &verdict.root_hash_signers {
        let signers: Vec<_> = signers.iter().map(ToString::to_string).collect();
        report.good("  root hash", format!("{root_hash}, signed by {}", signers.join(", ")));
    }
}
