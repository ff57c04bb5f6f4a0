//! What programs have that the kernel itself starts: core_pattern's, modprobe, request-key. They are no children of
//! this process, and none of what it gives up is taken from them otherwise (kernel/umh.c).

use std::path::Path;

use crate::start::failure::Failure;
use crate::start::files;

const BOUNDING: &str = "/proc/sys/kernel/usermodehelper/bset";
const INHERITABLE: &str = "/proc/sys/kernel/usermodehelper/inheritable";

/// `CAP_SYS_MODULE` and `CAP_DAC_OVERRIDE`, which modprobe needs: the lower and the upper 32 bits.
const KEPT: [u32; 2] = [1 << 16 | 1 << 1, 0];

/// Leaves them what modprobe needs. Capabilities only go.
pub(super) fn confine() -> Result<(), Failure> {
    confine_at(Path::new(INHERITABLE), [0, 0])?;
    confine_at(Path::new(BOUNDING), KEPT)
}

fn confine_at(path: &Path, [low, high]: [u32; 2]) -> Result<(), Failure> {
    files::set(path, &format!("{low} {high}"))?;
    let shown = files::read_text(path)?;
    let numbers: Vec<u32> = shown.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if numbers == [low, high] {
        return Ok(());
    }
    Err(Failure::new(format!("{} says {shown:?} after it was set to {low} {high}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_shows_afterwards_counts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        confine_at(file.path(), KEPT).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "65538 0");
        std::fs::write(file.path(), "4294967295\t511 more than is written\n").unwrap();
        let failure = confine_at(file.path(), [0, 0]).unwrap_err();
        assert!(failure.why.contains("after it was set to 0 0"), "{}", failure.why);
    }
}
