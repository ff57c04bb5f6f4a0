//! Changes of what the firmware trusts, signed by who may, as root of a running host hands them to it.

use crate::keys::{Key, OWNER};
use anyhow::Result;
use sealpack_tests::command::run;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What is in front of a variable's value in efivarfs: kept, for boot services and at run time, changed by who may sign that
/// (UEFI specification, 8.2.6).
const ATTRIBUTES: u32 = 0x27;

/// The same, adding to what is there.
const APPEND: u32 = 0x40;

/// Writes a change of the variable that takes these keys' certificates, in the place of what is there or beside it.
///
/// # Errors
/// If efitools fail.
pub(super) fn write_change(
    variable: &str,
    keys: &[&Key],
    append: bool,
    signer: &Key,
    target: &Path,
) -> Result<()> {
    let work = tempfile::tempdir()?;
    let file = |name: &str| work.path().join(name);
    let mut lists = Vec::new();
    for key in keys {
        let mut to_list = Command::new("cert-to-efi-sig-list");
        run(to_list.args(["-g", OWNER]).arg(key.certificate()).arg(file("list")))?;
        lists.extend(fs::read(file("list"))?);
    }
    fs::write(file("lists"), lists)?;
    let mut sign = Command::new("sign-efi-sig-list");
    if append {
        sign.arg("-a");
    }
    sign.args(["-g", OWNER, "-k"]).arg(signer.key()).arg("-c").arg(signer.certificate());
    run(sign.arg(variable).arg(file("lists")).arg(file("auth")))?;
    let attributes = if append { ATTRIBUTES | APPEND } else { ATTRIBUTES };
    let mut bytes = attributes.to_le_bytes().to_vec();
    bytes.extend(fs::read(file("auth"))?);
    Ok(fs::write(target, bytes)?)
}
