//! What the kernel says of the devices that there are.

use sealpack_format::digest::RootHash;
use sealpack_kernel::Kernel;
use sealpack_kernel::dm::{DeviceName, Target};

use super::leftovers::root_hash_of;
use crate::error::Error;

/// The option of a table with the key that has the root hash's signature
/// (Documentation/admin-guide/device-mapper/verity.rst).
const SIGNATURE_OPTION: &str = "root_hash_sig_key_desc";

/// A dm-verity device of ours, as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveDevice {
    /// Its name.
    pub name: DeviceName,
    /// The root hash that the kernel checks it against.
    pub root_hash: RootHash,
    /// Whether the kernel has accepted a signature of that.
    pub signed: bool,
    /// Whether all blocks that were read so far were the right ones.
    pub intact: bool,
    /// What is not as it should be, if anything: another table than mounts make.
    pub problem: Option<String>,
}

/// The devices with any of these root hashes in the names that mounts give.
///
/// # Errors
/// [`Error::Call`]; without `CAP_SYS_ADMIN` the kernel tells nothing.
pub fn live_devices(kernel: &Kernel, root_hashes: &[RootHash]) -> Result<Vec<LiveDevice>, Error> {
    if !kernel.has_device_mapper() {
        return Ok(Vec::new());
    }
    let call = |error| Error::call("looking at the devices in use", error);
    let mapper = kernel.device_mapper().map_err(call)?;
    let mut live = Vec::new();
    for (name, _) in mapper.devices().map_err(call)? {
        let Some(named) = root_hash_of(&name).filter(|hash| root_hashes.contains(hash)) else { continue };
        let Ok(name) = name.parse::<DeviceName>() else { continue };
        // It may have gone meanwhile.
        let Some(table) = mapper.table(&name).map_err(call)? else { continue };
        let Some(status) = mapper.target_status(&name).map_err(call)? else { continue };
        live.push(describe(name, named, &table, &status));
    }
    Ok(live)
}

/// A device whose name has the root hash `named`.
fn describe(name: DeviceName, named: RootHash, table: &[Target], status: &[Target]) -> LiveDevice {
    let words: Vec<&str> = match table {
        [only] if only.name == "verity" => only.parameters.split_whitespace().collect(),
        _ => Vec::new(),
    };
    // version, data, hashes, two block sizes, blocks, start, algorithm, root hash, salt, options
    let root_hash = words.get(8).and_then(|word| word.parse::<RootHash>().ok());
    let options = words.get(11..).unwrap_or_default();
    let others = options.chunks(2).any(|option| option.first() != Some(&SIGNATURE_OPTION));
    let problem = match root_hash {
        None => Some("its table is not one dm-verity target".to_owned()),
        Some(other) if other != named => Some(format!("it is checked against root hash {other}")),
        Some(_) if others => Some(format!("its table has options: {}", options.join(" "))),
        Some(_) => None,
    };
    LiveDevice {
        signed: options.first() == Some(&SIGNATURE_OPTION),
        // Later kernels say behind it how many blocks error correction has mended.
        intact: matches!(status, [only] if only.parameters.split_whitespace().next() == Some("V")),
        root_hash: root_hash.unwrap_or(named),
        name,
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "2 root_hash_sig_key_desc sealpack:1";

    fn target(name: &str, parameters: String) -> Vec<Target> {
        vec![Target { first_sector: 0, sectors: 80, name: name.to_owned(), parameters }]
    }

    fn described(hash: &str, options: &str, status: &str) -> LiveDevice {
        let named: RootHash = "ab".repeat(32).parse().unwrap();
        let name = format!("sealpack-s-{named}").parse().unwrap();
        let table = format!("1 7:0 7:1 4096 4096 10 1 sha256 {hash} - {options}");
        describe(name, named, &target("verity", table), &target("verity", status.to_owned()))
    }

    #[test]
    fn a_table_says_whether_a_device_is_signed_and_its_status_whether_it_is_intact() {
        let hash = "ab".repeat(32);
        let signed = described(&hash, SIGNED, "V");
        assert_eq!((signed.signed, signed.intact, signed.problem), (true, true, None));
        assert!(described(&hash, SIGNED, "V -").intact, "as Linux 7 has it");
        let plain = described(&hash, "", "C");
        assert_eq!((plain.signed, plain.intact, plain.problem), (false, false, None));
    }

    #[test]
    fn what_is_not_as_mounts_make_it_is_told() {
        let other = "cd".repeat(32);
        let problem = |device: LiveDevice| device.problem.unwrap();
        assert_eq!(
            problem(described(&other, SIGNED, "V")),
            format!("it is checked against root hash {other}")
        );
        let lenient = described(&"ab".repeat(32), "1 ignore_corruption", "V");
        assert_eq!(problem(lenient), "its table has options: ignore_corruption");
        let named: RootHash = "ab".repeat(32).parse().unwrap();
        let name: DeviceName = format!("sealpack-u-{named}").parse().unwrap();
        let linear = describe(name, named, &target("linear", "7:0 0".to_owned()), &[]);
        assert!(!linear.intact && linear.problem.is_some());
    }
}
