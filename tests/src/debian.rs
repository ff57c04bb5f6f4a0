//! The Debian packages that the tests, the demo and the benchmarks need.

use crate::command::{self, run};
use anyhow::{Context, Result};
use std::process::{Command, Stdio};

/// A Debian package, and the program whose presence shows that it is there.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// The package's name.
    pub name: &'static str,
    /// A program in it, found in `$PATH`, or the whole path of another file in it.
    pub program: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
}

/// What the tests and the demo need.
pub const FOR_TESTS: &[Package] = &[
    Package { name: "mmdebstrap", program: "mmdebstrap", purpose: "builds the Debian images" },
    Package { name: "docker-registry", program: "docker-registry", purpose: "a real registry to pull from" },
    Package { name: "skopeo", program: "skopeo", purpose: "pushes to the registry, converts images" },
    Package { name: "libcap2-bin", program: "setcap", purpose: "gives a program a capability, as an xattr" },
    Package { name: "erofs-utils", program: "fsck.erofs", purpose: "a second opinion on EROFS images" },
    Package { name: "openssl", program: "openssl", purpose: "certificates, keys and signatures" },
    Package { name: "sbsigntool", program: "sbverify", purpose: "a second opinion on what firmware takes" },
    Package { name: "binutils", program: "objdump", purpose: "tells which libraries a program needs" },
    Package { name: "cpio", program: "cpio", purpose: "a second opinion on an initramfs" },
    Package { name: "softhsm2", program: "softhsm2-util", purpose: "a token to keep keys in" },
    Package { name: "runc", program: "/usr/sbin/runc", purpose: "makes containers" },
    Package { name: "crun", program: "crun", purpose: "makes containers, too" },
    Package { name: "podman", program: "podman", purpose: "runs containers of mounted images" },
    Package {
        name: "golang-github-containers-common",
        program: "/usr/share/containers/seccomp.json",
        purpose: "which system calls containers may make",
    },
    Package { name: "opensc", program: "pkcs11-tool", purpose: "makes keys in it" },
    Package { name: "chromium", program: "chromium", purpose: "reads the page of a report" },
];

/// What the tests in a booted kernel need. Some releases have one or another in their backports only.
pub const FOR_GUEST: &[Package] = &[
    Package { name: "qemu-system-x86", program: "qemu-system-x86_64", purpose: "boots the guest" },
    Package { name: "ovmf", program: "/usr/share/OVMF/OVMF_CODE_4M.fd", purpose: "the guest's firmware" },
    Package {
        name: "python3-virt-firmware",
        program: "virt-fw-vars",
        purpose: "has the firmware trust a key (bookworm: of its backports)",
    },
    Package { name: "cryptsetup-bin", program: "veritysetup", purpose: "formats dm-verity devices" },
    Package { name: "erofs-utils", program: "mkfs.erofs", purpose: "makes filesystems on them" },
    Package { name: "e2fsprogs", program: "mkfs.ext4", purpose: "makes the guest's disk" },
    Package { name: "openssl", program: "openssl", purpose: "keys and signatures" },
    Package { name: "busybox-static", program: "busybox", purpose: "the guest's shell" },
    Package { name: "xz-utils", program: "xz", purpose: "unpacks kernel modules" },
    Package { name: "libc6-dev", program: "/usr/include/stdlib.h", purpose: "static programs" },
    Package {
        name: "docker-registry",
        program: "docker-registry",
        purpose: "where the guest's images come from",
    },
];

/// What the tests of containers need besides. containerd itself is unpacked, not installed.
pub const FOR_CONTAINERS: &[Package] = &[
    Package {
        name: "patchelf",
        program: "patchelf",
        purpose: "has programs use libraries of their own release",
    },
    Package { name: "util-linux", program: "nsenter", purpose: "namespaces for containerd to run in" },
    Package { name: "curl", program: "curl", purpose: "reads the snapshotter's metrics" },
    Package {
        name: "systemd",
        program: "systemd-socket-activate",
        purpose: "starts the snapshotter with its socket, and reads its units",
    },
];

/// What the tests of sealed hosts need besides.
pub const FOR_HOST: &[Package] = &[
    Package { name: "mmdebstrap", program: "mmdebstrap", purpose: "builds the Debian images" },
    Package {
        name: "ovmf",
        program: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
        purpose: "firmware with Secure Boot",
    },
    Package { name: "sbsigntool", program: "sbsign", purpose: "a second opinion on signed programs" },
    Package { name: "mtools", program: "mcopy", purpose: "changes files on EFI system partitions" },
    Package { name: "dosfstools", program: "fsck.fat", purpose: "checks them" },
    Package { name: "efitools", program: "sign-efi-sig-list", purpose: "keys for firmware that has none" },
    Package { name: "fdisk", program: "sfdisk", purpose: "a second opinion on partition tables" },
    Package { name: "qemu-utils", program: "qemu-io", purpose: "writes what a log of writes is tried with" },
    Package { name: "kmod", program: "depmod", purpose: "lists kernel modules" },
];

/// What `cargo xtask test --all` needs besides.
pub const FOR_ALL_TESTS: &[Package] =
    &[Package { name: "qemu-user", program: "qemu-aarch64", purpose: "runs programs for 64-bit ARM" }];

/// What building composefs-rs's command line needs.
pub const FOR_ORACLE: &[Package] = &[
    Package { name: "gcc", program: "cc", purpose: "links, and compiles the C parts of dependencies" },
    Package { name: "libc6-dev", program: "/usr/include/stdlib.h", purpose: "C headers" },
    Package { name: "pkg-config", program: "pkg-config", purpose: "finds the two libraries below" },
    Package {
        name: "libssl-dev",
        program: "/usr/include/openssl/ssl.h",
        purpose: "its fs-verity signatures",
    },
    Package { name: "zlib1g-dev", program: "/usr/include/zlib.h", purpose: "its gzip" },
];

/// What the benchmarks need.
pub const FOR_BENCH: &[Package] = &[
    Package { name: "binutils", program: "strip", purpose: "shows how large the program is without symbols" },
    Package { name: "cryptsetup-bin", program: "veritysetup", purpose: "makes dm-verity hash trees" },
];

/// What the benchmarks compare with where it is installed, besides what they need.
pub const PEERS: &[Package] = &[
    Package { name: "umoci", program: "umoci", purpose: "unpacks images" },
    Package { name: "podman", program: "podman", purpose: "pulls images" },
    Package { name: "fsverity", program: "fsverity", purpose: "computes fs-verity digests" },
];

/// Those of `packages` that are not installed.
pub fn missing(packages: &[Package]) -> Vec<Package> {
    packages.iter().filter(|package| command::find(package.program).is_none()).copied().collect()
}

/// The line that installs `packages`.
pub fn install_line(packages: &[Package]) -> String {
    let names: Vec<_> = packages.iter().map(|package| package.name).collect();
    format!("apt-get install --yes --no-install-recommends {}", names.join(" "))
}

/// Installs `packages`; the package lists are fetched first if apt does not know one of them.
///
/// # Errors
/// If this machine has no apt-get, or apt-get fails; its own message is on standard error.
pub fn install(packages: &[Package]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let known = |package: &Package| {
        let shown = command::attempt(Command::new("apt-cache").args(["show", package.name]));
        shown.is_ok_and(|output| output.status.success())
    };
    if !packages.iter().all(known) {
        apt_get(["update", "--quiet"])?;
    }
    let names = packages.iter().map(|package| package.name);
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"].into_iter().chain(names);
    apt_get(install.clone()).or_else(|_| {
        // A list that is there may be too old for the archive.
        apt_get(["update", "--quiet"])?;
        apt_get(install)
    })
}

/// Installs packages of this release or of its backports, without removing any.
///
/// # Errors
/// If this machine is no Debian, or apt-get fails; its own message is on standard error.
pub fn install_with_backports(packages: &[Package]) -> Result<()> {
    let names: Vec<_> = packages.iter().map(|package| package.name).collect();
    crate::apt::Archive::of_host_with_backports()?.install(&names)
}

fn apt_get<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(std::io::stderr());
    let status = command.status().with_context(|| format!("cannot start {}", command::display(&command)))?;
    anyhow::ensure!(status.success(), "{} ended with {status}", command::display(&command));
    Ok(())
}

/// The host's release by codename ("bookworm"), which is the release of the images built on it.
///
/// # Errors
/// If the host is not a Debian.
pub fn codename() -> Result<String> {
    let text = std::fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    anyhow::ensure!(
        value("ID") == Some("debian"),
        "the images are built on a Debian host, which this is not"
    );
    let name = value("VERSION_CODENAME").context("/etc/os-release has no VERSION_CODENAME")?;
    Ok(name.trim_matches('"').to_owned())
}

/// The archives that apt is set up to use for the host's release, as lines of a sources.list.
///
/// Third-party archives are left out, and so are other releases: the images are to be plain Debian.
///
/// # Errors
/// If apt has no list of a Debian archive for this release.
pub fn sources() -> Result<String> {
    let lines = source_lines()?;
    Ok(lines.join("\n") + "\n")
}

/// Where apt on this machine gets the host's release from.
///
/// # Errors
/// As [`sources`].
pub fn archive_uri() -> Result<String> {
    let codename = codename()?;
    let uri = |line: &String| {
        let mut words = line.split_whitespace().skip(1);
        let uri = words.next()?;
        (words.next()?.trim_end_matches('/') == codename).then(|| uri.to_owned())
    };
    let lines = source_lines()?;
    lines.iter().find_map(uri).with_context(|| format!("apt has no archive of {codename} itself"))
}

fn source_lines() -> Result<Vec<String>> {
    let codename = codename()?;
    let ask = || -> Result<Vec<String>> {
        let format = "$(ORIGIN)|$(CODENAME)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)";
        let targets = command::stdout(Command::new("apt-get").args([
            "indextargets",
            "--format",
            format,
            "Created-By: Packages",
        ]))?;
        Ok(targets.lines().filter_map(|line| source_of(line, &codename)).collect())
    };
    let mut lines = ask()?;
    if lines.is_empty() && command::is_root() {
        apt_get(["update", "--quiet"])?;
        lines = ask()?;
    }
    anyhow::ensure!(
        !lines.is_empty(),
        "apt knows no Debian archive for {codename}; try `apt-get update`, or add one to its sources"
    );
    Ok(lines)
}

/// The line for sources.list in one line of `apt-get indextargets`, if it is Debian's for `codename`.
fn source_of(target: &str, codename: &str) -> Option<String> {
    let mut parts = target.splitn(3, '|');
    let (origin, suite, line) = (parts.next()?, parts.next()?, parts.next()?);
    let of_release =
        suite.strip_prefix(codename).is_some_and(|suffix| ["", "-updates", "-security"].contains(&suffix));
    (origin == "Debian" && of_release).then(|| line.to_owned())
}

/// How apt on this host reaches its archives (proxies, time-outs, checks of dates), in apt's own syntax.
///
/// # Errors
/// If apt-config fails.
pub fn acquire_options() -> Result<String> {
    let dump = run(Command::new("apt-config").args(["dump", "Acquire"]))?;
    let text = String::from_utf8(dump.stdout).context("apt-config printed something that is not UTF-8")?;
    let wanted = ["http", "https", "Retries", "Check-", "ForceIPv"];
    let kept = text.lines().filter(|line| {
        line.strip_prefix("Acquire::").is_some_and(|key| wanted.iter().any(|prefix| key.starts_with(prefix)))
    });
    Ok(kept.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debians_own_archives_for_the_release_are_used() {
        let line = "deb http://mirror.invalid/debian bookworm main";
        for suite in ["bookworm", "bookworm-updates", "bookworm-security"] {
            assert_eq!(source_of(&format!("Debian|{suite}|{line}"), "bookworm").as_deref(), Some(line));
        }
        for target in ["Debian|trixie|", "Debian|bookworm-backports|", "Elsewhere|bookworm|", "||"] {
            assert_eq!(source_of(&format!("{target}{line}"), "bookworm"), None, "{target}");
        }
    }
}
