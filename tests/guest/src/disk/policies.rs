//! The IPE policies of the checks.

use crate::checks::Stage;
use crate::keys::Key;
use anyhow::Result;
use std::fs;
use std::path::Path;

/// Writes them, each as `NAME.txt` and signed as `NAME.p7b`.
///
/// `first` and `second` are two versions of one policy that allows everything, `older` is another such policy with
/// a lower version; `unknown.p7b` is `first`, signed by the unknown key. The others belong to the
/// [stages](Stage), with versions that rise.
pub(super) fn write(target: &Path) -> Result<()> {
    let (trusted, unknown) = (Key::trusted()?, Key::unknown()?);
    let write = |file: &str, text: &str| -> Result<()> {
        let source = target.join(format!("{file}.txt"));
        fs::write(&source, text)?;
        trusted.sign_embedded(&source, &target.join(format!("{file}.p7b")))
    };
    for (file, name, version) in [
        ("first", "sealpack-test", "1.0.0"),
        ("second", "sealpack-test", "1.0.1"),
        ("older", "sealpack-older", "0.9.0"),
    ] {
        write(file, &format!("policy_name={name} policy_version={version}\nDEFAULT action=ALLOW\n"))?;
    }
    unknown.sign_embedded(&target.join("first.txt"), &target.join("unknown.p7b"))?;
    for (major, stage) in (2..).zip(Stage::ALL) {
        if let Some(name) = stage.policy() {
            let early =
                if stage == Stage::Early { "op=EXECUTE boot_verified=TRUE action=ALLOW\n" } else { "" };
            let strict = if stage == Stage::Strict {
                "DEFAULT op=KMODULE action=DENY\nop=KMODULE dmverity_signature=TRUE action=ALLOW\n"
            } else {
                ""
            };
            let head = format!("policy_name={name} policy_version={major}.0.0\nDEFAULT action=ALLOW\n");
            let deny = "DEFAULT op=EXECUTE action=DENY\n";
            write(
                name,
                &format!("{head}{deny}{strict}{early}op=EXECUTE dmverity_signature=TRUE action=ALLOW\n"),
            )?;
        }
    }
    Ok(())
}
