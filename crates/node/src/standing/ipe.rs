//! What the kernel enforces.

use sealpack_format::digest::RootHash;
use sealpack_kernel::Kernel;
use sealpack_mount::ActivePolicy;

/// IPE, where the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpeState {
    /// Whether it denies, rather than logs what it would deny.
    pub enforcing: bool,
    /// The policy that decides.
    pub policy: Option<ActivePolicy>,
}

impl IpeState {
    /// Asks the kernel.
    ///
    /// # Errors
    /// In words, why it is not known.
    pub fn read(kernel: &Kernel) -> Result<Self, String> {
        let ipe = kernel.ipe().ok_or("not active in this kernel, or securityfs is not mounted")?;
        let enforcing = ipe.is_enforcing().map_err(|error| error.to_string())?;
        let policy = ActivePolicy::read(&ipe).map_err(|error| error.to_string())?;
        Ok(Self { enforcing, policy })
    }
}

/// What the policy that decides says of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The policy's name and version.
    pub policy: String,
    /// Whether it denies all that is on the device.
    pub denies: bool,
}

/// Whether the policy that decides denies a device.
///
/// # Errors
/// In words, why that is not known.
pub fn denial(kernel: &Kernel, root_hash: &RootHash) -> Result<Denial, String> {
    let ipe = kernel.ipe().ok_or("IPE is not active in this kernel")?;
    let active = ActivePolicy::read(&ipe).map_err(|error| error.to_string())?;
    let active = active.ok_or("no IPE policy is active")?;
    let parsed = active.parsed.as_ref().map_err(|error| format!("policy {}: {error}", active.name))?;
    Ok(Denial { policy: active.to_string(), denies: parsed.denies_device(root_hash) })
}
