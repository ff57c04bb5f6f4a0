//! Words that may not be on a sealed host's command line, whoever signed it.

/// Why the parameter `name` with this value, as the kernel reads it, is refused.
pub(super) fn why_refused(name: &str, value: Option<&str>) -> Option<&'static str> {
    // The kernel takes - and _ for the same (parameq, kernel/params.c).
    let name = name.replace('-', "_");
    let lists_ipe = |list: &str| list.split(',').any(|module| module == "ipe");
    match name.as_str() {
        "__" => Some("what follows it would go to the system's first process"),
        "init" | "rdinit" => Some("the first process is that of the initramfs"),
        "initrd" | "initrdmem" => Some("the initramfs is that of the UKI"),
        "bootconfig" => Some("it takes further words from the end of the initramfs"),
        "lsm" if !value.is_some_and(lists_ipe) => Some("it leaves IPE out"),
        _ if name == "ipe" || name.starts_with("ipe.") => Some("it is one of IPE's switches"),
        _ => None,
    }
}
