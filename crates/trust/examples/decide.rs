//! What an IPE policy decides on executing from a dm-verity device, and why: `decide POLICY ROOT-HASH signed|unsigned`.

use std::error::Error;

use sealpack_trust::policy::{Dmverity, Policy};

/// The decision on files of the device with that root hash, in a sentence.
fn decide(policy: &[u8], root_hash: &str, signed: bool) -> Result<String, Box<dyn Error>> {
    let policy = Policy::parse(policy)?;
    let decision = policy.executes_from(Dmverity { root_hash: Some(root_hash.parse()?), signed });
    Ok(format!("{} by `{}`: {}", decision.action, decision.rule_text(), decision.reason()))
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: decide POLICY ROOT-HASH signed|unsigned";
    let [_, policy, root_hash, signed] =
        std::env::args().collect::<Vec<_>>().try_into().map_err(|_| usage)?;
    let signed = match signed.as_str() {
        "signed" => true,
        "unsigned" => false,
        _ => return Err(usage.into()),
    };
    println!("{}", decide(&std::fs::read(policy)?, &root_hash, signed)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "policy_name=example policy_version=1.0.0\n\
                          DEFAULT action=ALLOW\n\
                          DEFAULT op=EXECUTE action=DENY\n\
                          op=EXECUTE dmverity_signature=TRUE action=ALLOW\n";

    #[test]
    fn what_is_signed_executes_and_nothing_else() -> Result<(), Box<dyn Error>> {
        let root_hash = "ab".repeat(32);
        let signed = decide(POLICY.as_bytes(), &root_hash, true)?;
        assert!(signed.starts_with("ALLOW by `op=EXECUTE dmverity_signature=TRUE action=ALLOW`"), "{signed}");
        let unsigned = decide(POLICY.as_bytes(), &root_hash, false)?;
        assert!(unsigned.starts_with("DENY by `DEFAULT op=EXECUTE action=DENY`"), "{unsigned}");
        assert!(decide(POLICY.as_bytes(), "ab", true).is_err());
        Ok(())
    }
}
