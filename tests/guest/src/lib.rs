//! Tests of Sealpack in a booted stock kernel: unmodified Debian cloud kernels in QEMU, emulated, with firmware
//! that trusts a test key.
//!
//! [`run`] boots a kernel and has it run named [`checks`]; the guest's first process, `sealpack-guest-init`, is
//! this package's program, and reports with the lines of [`report`]. What a boot needs, in its order: [`kernels`]
//! from Debian's archive, [`keys`] and firmware, [`programs`] of this workspace, the [`initramfs`] and the
//! [`disk`]. All of it is below `target/guest`.

pub mod attacks;
pub mod attempt;
pub mod checks;
pub mod disk;
#[cfg(test)]
mod documented;
pub mod emulator;
pub mod figures;
pub mod host;
pub mod images;
pub mod initramfs;
pub mod kernels;
pub mod keys;
pub mod machine;
pub mod modules;
pub mod power;
pub mod processes;
pub mod programs;
pub mod report;
pub mod root;
pub mod run;

use std::path::PathBuf;

/// Where everything about the guest is kept.
pub fn place() -> PathBuf {
    sealpack_tests::paths::target().join("guest")
}
