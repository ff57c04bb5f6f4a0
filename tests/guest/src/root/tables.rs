//! Device-mapper's devices, made by whoever is not the broker.

use super::{Tools, Tried, Went};
use anyhow::Result;

/// `DM_DEV_REMOVE`, as it should be.
const REMOVE: &str = "0xc138fd04";

/// Numbers that device-mapper takes for `DM_DEV_CREATE`: type and number are all that it looks at.
const CREATE: [(&str, &str); 6] = [
    ("0xc138fd03", "as it should be"),
    ("0xfd03", "without size and direction"),
    ("0x4138fd03", "written only"),
    ("0x8138fd03", "read only"),
    ("0xfffffd03", "of another size"),
    ("0xffffffffc138fd03", "with the upper half set"),
];

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    let mut tried = Vec::new();
    for (way, of) in [
        ("mapper", "a 64-bit ioctl"),
        ("mapper-int80", "a 32-bit ioctl"),
        ("mapper-x32", "x32's ioctl"),
        ("mapper-x32-native", "the 64-bit ioctl by x32"),
    ] {
        for (number, is) in CREATE {
            let made =
                tools.root(format!("{of} {number} ({is}) makes a device"), &[way, number, "attack"])?;
            if made.went == Went::Through {
                tools.root("", &["mapper", REMOVE, "attack"])?;
            }
            tried.push(Tried { may_be_missing: way.starts_with("mapper-"), ..made });
        }
    }
    for number in ["0xc138fd09", "0xfd09", "0x4138fd09", "0x8138fd09", "0xffffffffc138fd09"] {
        tried.push(tools.root(format!("an ioctl {number} loads a table"), &["load-table", number])?);
    }
    Ok(tried)
}
