//! Whose seals count on the host.

use super::files::Files;
use super::{Finding, Requirement};

/// Where `sealpack` looks on a host: of `/etc`, which is the image's, this is not kept.
const STATEMENTS: &str = "/etc/sealpack/trust.d/statements";

pub(super) fn check<F: Files>(files: &F, findings: &mut Vec<Finding>) {
    let is_there = files.names(STATEMENTS).iter().any(|name| name.ends_with(".crt"));
    findings.push(if is_there {
        Finding::good(Requirement::TrustStore, STATEMENTS)
    } else {
        Finding::lacking(
            Requirement::TrustStore,
            STATEMENTS,
            "has no certificate: what is pulled on the host counts as not sealed, and no host starts from that",
            "have a trust store in the image, with the certificates of who seals",
        )
    });
}
