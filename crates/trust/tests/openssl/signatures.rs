use anyhow::{Result, ensure};
use sealpack_trust::pkcs7;

use crate::support::{Bench, KINDS};

/// A root hash as dm-verity has it signed: 64 digits and no line break.
const ROOT_HASH: &[u8] = b"5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

const POLICY: &[u8] = b"policy_name=sealed policy_version=0.0.1\nDEFAULT action=ALLOW\n\
    DEFAULT op=EXECUTE action=DENY\nop=EXECUTE dmverity_signature=TRUE action=ALLOW\n";

const DETACHED: &[&str] = &[
    "smime", "-sign", "-binary", "-noattr", "-nocerts", "-outform", "der", "-signer", "it.crt", "-inkey",
    "it.key",
];

const EMBEDDED: &[&str] = &[
    "smime",
    "-sign",
    "-binary",
    "-noattr",
    "-nodetach",
    "-nosmimecap",
    "-nocerts",
    "-outform",
    "der",
    "-signer",
    "it.crt",
    "-inkey",
    "it.key",
];

#[test]
fn rsa_signatures_are_byte_for_byte_those_of_openssl() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    bench.write("hash", ROOT_HASH)?;
    bench.write("policy", POLICY)?;
    for (kind, genpkey) in KINDS.into_iter().filter(|(kind, _)| kind.starts_with("RSA")) {
        bench.make("it", genpkey)?;
        let (key, certificate) = bench.load("it")?;
        let theirs = bench.openssl(&[DETACHED, &["-in", "hash"]].concat())?;
        let ours = pkcs7::sign_detached(&key, &certificate, ROOT_HASH)?;
        ensure!(ours == theirs, "{kind}: detached signatures differ");
        let theirs = bench.openssl(&[EMBEDDED, &["-in", "policy"]].concat())?;
        let ours = pkcs7::sign_embedded(&key, &certificate, POLICY)?;
        ensure!(ours == theirs, "{kind}: embedded signatures differ");
    }
    Ok(())
}
