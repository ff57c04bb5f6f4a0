//! What must hold whatever bytes a parser is given: it neither panics nor takes memory without bound, and what it
//! accepts can be written again and is then the same.
//!
//! Each function here is the body of a target in `fuzz/`, and `tests/replay.rs` runs it over the corpus there and
//! over changed copies of it, with the ordinary toolchain.

mod blob;
mod boot;
mod broker;
mod dump;
mod erofs;
mod ext4;
mod layer;
mod pack;
mod pe;
mod tar;
mod trust;

/// Something that takes any bytes, and panics if what must hold does not.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of the fuzz target and of its corpus.
    pub name: &'static str,
    /// Looks at the bytes.
    pub check: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "audit", check: trust::audit },
    Target { name: "blob", check: blob::check },
    Target { name: "boot", check: boot::check },
    Target { name: "broker", check: broker::check },
    Target { name: "dump", check: dump::check },
    Target { name: "erofs", check: erofs::check },
    Target { name: "ext4", check: ext4::check },
    Target { name: "layer", check: layer::check },
    Target { name: "pack", check: pack::check },
    Target { name: "pe", check: pe::check },
    Target { name: "pkcs7", check: trust::pkcs7 },
    Target { name: "policy", check: trust::policy },
    Target { name: "rules", check: trust::rules },
    Target { name: "seal", check: trust::seal },
    Target { name: "tar", check: tar::check },
];

/// Looks at `bytes` with the target of that name.
///
/// # Panics
/// If there is no such target, or if what must hold does not.
pub fn check(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("there is no target {name}")).check)(bytes);
}
