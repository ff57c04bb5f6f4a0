//! What the host was told, if it is what was signed.

use std::path::Path;

use sealpack_format::boot::{self, BootParameters, COMMAND_LINE_MAX_BYTES, CommandLine, initramfs};

use super::failure::Failure;
use super::files;

/// What the kernel was started with.
const RUNNING: &str = "/proc/cmdline";

/// Reads the command line of the initramfs, below `root`, and requires that the kernel runs with that one.
///
/// # Errors
/// Words were added or are missing; it has words that a sealed host refuses.
pub(super) fn read(root: &Path) -> Result<BootParameters, Failure> {
    let signed = files::read(&root.join(initramfs::COMMAND_LINE), COMMAND_LINE_MAX_BYTES)?;
    // With the kernel's newline, and room for what was added.
    let running = files::read(Path::new(RUNNING), 64 * 1024)?;
    parse(&signed, &running)
}

fn parse(signed: &[u8], running: &[u8]) -> Result<BootParameters, Failure> {
    boot::check_unchanged(signed, running)?;
    Ok(CommandLine::parse(signed)?.boot().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signed_command_line_is_taken() {
        let (image, root) = ("ab".repeat(32), "cd".repeat(32));
        let signed = format!("audit=1 sealpack.image={image} sealpack.root={root}");
        let running = format!("{signed}\n");
        assert_eq!(parse(signed.as_bytes(), running.as_bytes()).unwrap().root_hash.to_string(), root);
        let added = format!("{signed} ipe.enforce=0\n");
        let failure = parse(signed.as_bytes(), added.as_bytes()).unwrap_err();
        assert!(failure.why.ends_with("it has besides \"ipe.enforce=0\""), "{}", failure.why);
        // A word that is unknown is refused though it was signed.
        let failure = parse(added.trim_end().as_bytes(), added.as_bytes()).unwrap_err();
        assert!(failure.why.contains("ipe.enforce=0"), "{}", failure.why);
    }
}
