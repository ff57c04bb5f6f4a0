//! Where a policy comes from: a file, signed or not, or the kernel.

use std::fs;
use std::path::Path;

use sealpack_kernel::Kernel;
use sealpack_kernel::ipe::Ipe;
use sealpack_node::limited::read_at_most;
use sealpack_trust::pkcs7::{Form, Message};
use sealpack_trust::policy::audit::{KernelRefusal, Step, refusal};
use sealpack_trust::policy::{Policy, Remark};

use crate::error::CommandError;
use crate::output::Output;

/// As much as no policy has, comments included.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A policy with where it is from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) policy: Policy,
    pub(super) text: Vec<u8>,
    pub(super) origin: Origin,
}

#[derive(Debug)]
pub(super) enum Origin {
    /// A file with the text.
    Text,
    /// A file with the signed form, and whom it names as its signer. Nothing is verified.
    Signed { der: Vec<u8>, signer: String },
    /// The kernel; whether it is the policy that decides.
    Kernel { active: bool },
}

/// The policy that `name` means: a file, or else a policy of the kernel's.
pub(super) fn find(kernel: &Kernel, name: &Path) -> Result<Source, CommandError> {
    match read_file(name) {
        Ok(bytes) => from_file(name, bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let missing = || CommandError::failed(format_args!("there is no file {}", name.display()));
            let Some(ipe) = kernel.ipe() else { return Err(missing()) };
            let policies = ipe.policies().map_err(CommandError::failed)?;
            let loaded = policies.into_iter().find(|policy| Path::new(&policy.name) == name);
            let loaded = loaded.ok_or_else(|| {
                CommandError::failed(format_args!(
                    "there is no file {0}, and the kernel has no policy called {0}",
                    name.display()
                ))
            })?;
            let text = loaded.text.into_bytes();
            Ok(Source { policy: parse(name, &text)?, text, origin: Origin::Kernel { active: loaded.active } })
        }
        Err(error) => Err(CommandError::failed(format_args!("cannot read {}: {error}", name.display()))),
    }
}

/// The policy in a file that must be there.
pub(super) fn read(path: &Path) -> Result<Source, CommandError> {
    let failed = |error| CommandError::failed(format_args!("cannot read {}: {error}", path.display()));
    from_file(path, read_file(path).map_err(failed)?)
}

/// IPE, or why there is none.
pub(super) fn ipe(kernel: &Kernel) -> Result<Ipe<'_>, CommandError> {
    kernel.ipe().ok_or_else(|| {
        CommandError::failed("the kernel's IPE is not there").hint(
            "it needs Linux 6.12 or later with CONFIG_SECURITY_IPE, `ipe` among the security modules (lsm= on the \
             kernel's command line) and securityfs mounted on /sys/kernel/security; `sealpack doctor` tells which",
        )
    })
}

/// What the kernel refused, with what it means and what to do.
pub(super) fn refused(step: Step, what: &str, error: &sealpack_kernel::Error) -> CommandError {
    match refusal(step, error.errno().raw_os_error()) {
        Some(KernelRefusal { errno, meaning, advice }) => {
            let is_verification = matches!(errno, "ENOKEY" | "EKEYREJECTED" | "EKEYREVOKED" | "ESTALE");
            let message = format_args!("the kernel refuses {what} ({errno}): {meaning}").to_string();
            CommandError::classed(message, is_verification).hint(advice)
        }
        None => CommandError::failed(error),
    }
}

/// Says what is odd about a policy.
pub(super) fn remark(output: Output, remarks: &[Remark]) {
    for remark in remarks {
        output.remark(&format!("note: {remark}"));
    }
}

/// All that is odd about it.
pub(super) fn remarks(source: &Source) -> Vec<Remark> {
    let mut remarks = source.policy.remarks();
    if !matches!(source.origin, Origin::Kernel { .. }) {
        remarks.extend(Policy::remarks_on_text(&source.text));
    }
    remarks
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    read_at_most(fs::File::open(path)?, FILE_MAX_BYTES)
}

/// A signed policy begins as DER does, with a SEQUENCE; no text of a policy can.
fn from_file(path: &Path, bytes: Vec<u8>) -> Result<Source, CommandError> {
    if bytes.first() != Some(&0x30) {
        return Ok(Source { policy: parse(path, &bytes)?, text: bytes, origin: Origin::Text });
    }
    let failed =
        |error| CommandError::failed(format_args!("{} is no signed policy: {error}", path.display()));
    let message = Message::parse(&bytes, Form::Embedded).map_err(failed)?;
    let text = message.content().unwrap_or_default().to_vec();
    let signer = message.signer().to_string();
    let policy = parse(path, &text)?;
    Ok(Source { policy, text, origin: Origin::Signed { der: bytes, signer } })
}

fn parse(path: &Path, text: &[u8]) -> Result<Policy, CommandError> {
    Policy::parse(text).map_err(|error| {
        let errno = error.problem.kernel_errno();
        CommandError::failed(format_args!("{}, {error}", path.display()))
            .hint(format_args!("the kernel would refuse this policy with {errno}"))
    })
}
