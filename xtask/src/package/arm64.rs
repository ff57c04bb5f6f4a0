//! Programs for 64-bit ARM: static ones, which a Debian with a compiler and libraries for it makes. That Debian is the testing one:
//! stable's Rust is too old.

use super::programs::Static;
use anyhow::{Context, Result};
use sealpack_tests::command::run;
use sealpack_tests::program::cargo_home;
use sealpack_tests::{bootstrap, images, paths};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const RELEASE: &str = "testing";
const ARCHITECTURES: &[&str] = &["amd64", "arm64"];
const PACKAGES: &[&str] = &["cargo", "crossbuild-essential-arm64", "libstd-rust-dev:arm64", "rustc"];

/// Where everything is in the chroot, whatever it is called here: no program tells where it was built.
const SOURCES: &str = "/usr/src/sealpack";
const CARGO: &str = "/usr/src/cargo";
const BUILT: &str = "/usr/src/built";

/// Started with the root directory, and what of this machine is to be in it, in the order of [`BUILD`]'s variables.
const ENTER: &str = r#"
    mkdir -p "$1$SOURCES" "$1$CARGO/registry" "$1$BUILT"
    mount --rbind /proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount --bind "$2" "$1$SOURCES"
    mount --bind "$3" "$1$CARGO/registry"
    mount --bind "$4" "$1$BUILT"
    exec chroot "$1" sh -euc "$BUILD"
"#;

/// What is typed there. What is linked, and how, is decided by the last flags of each: all else is built once.
const BUILD: &str = r#"
    cd "$SOURCES"
    build() {
        cargo rustc --quiet --offline --locked --target aarch64-unknown-linux-gnu --profile "$1" --package "$2" --bin "$2" -- \
            -Ctarget-feature=+crt-static -Clink-arg=-Wl,--build-id=none
        aarch64-linux-gnu-objcopy --strip-all "$BUILT/aarch64-unknown-linux-gnu/$1/$2" "$BUILT/$2"
    }
    build release sealpack
    build init sealpack-init
"#;

/// Builds them. The first time, half a gigabyte of packages is fetched.
pub(super) fn fixed() -> Result<Static> {
    let root = chroot()?;
    let built = paths::target().join("arm64");
    fs::create_dir_all(&built)?;
    // What is for this architecture only may not be here yet.
    let mut fetch = Command::new("cargo");
    run(fetch.args(["fetch", "--quiet", "--locked"]).current_dir(paths::workspace()))?;
    let mut build = Command::new("unshare");
    build
        .args(["--mount", "--propagation", "private", "sh", "-euc", ENTER, "sh"])
        .args([&root, &paths::workspace(), &cargo_home()?.join("registry"), &built])
        .env_clear()
        .envs([
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
            ("LC_ALL", "C.UTF-8"),
            ("SOURCES", SOURCES),
            ("CARGO", CARGO),
            ("CARGO_HOME", CARGO),
            ("BUILT", BUILT),
            ("CARGO_TARGET_DIR", BUILT),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc"),
            ("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc"),
            ("AR_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-ar"),
            ("BUILD", BUILD),
        ]);
    run(&mut build).context("the programs for 64-bit ARM were not built")?;
    Ok(Static { sealpack: built.join("sealpack"), init: built.join("sealpack-init") })
}

/// The Debian that builds them, kept between runs.
fn chroot() -> Result<PathBuf> {
    let stamp = format!("1 {RELEASE} {ARCHITECTURES:?} {PACKAGES:?}");
    let kept = images::cached("arm64", &stamp, |dir| {
        let tidy = "rm -rf /var/cache/apt/* /var/lib/apt/lists/*";
        bootstrap::release_for(RELEASE, ARCHITECTURES, PACKAGES, tidy, &dir.join("root"))
    })?;
    Ok(kept.dir().join("root"))
}
