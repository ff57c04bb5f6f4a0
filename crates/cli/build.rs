//! How the program is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |what: &str, value: &str| {
        let found = std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
        found.split(',').any(|one| one == value)
    };
    // A twentieth of the size, and read at each start. glibc knows the form from 2.36 on, and an older one says so.
    if is("OS", "linux") && is("ENV", "gnu") && !is("FEATURE", "crt-static") {
        println!("cargo::rustc-link-arg-bin=sealpack=-Wl,-z,pack-relative-relocs");
    }
}
