//! How a static program finds hosts.

/// Has this process look hosts up in `/etc/hosts` and by DNS, whatever `/etc/nsswitch.conf` says.
///
/// For programs that are linked statically to glibc: what nsswitch.conf names besides, such as systemd's `resolve`, is a library
/// of the machine's own C library, which may be another version, and loading it can crash. glibc has the two itself
/// (`nss/nss_database.c`, `nss_files` and `nss_dns` since 2.34). Elsewhere this does nothing.
///
/// Returns whether it is so now. Has to be called before anything is looked up, and before there are threads.
pub fn by_files_and_dns() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: both are strings that end with a NUL and live as long as the program; glibc copies what it needs of them.
        unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) == 0 }
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    /// Of `nss.h`.
    fn __nss_configure_lookup(
        database: *const std::ffi::c_char,
        services: *const std::ffi::c_char,
    ) -> std::ffi::c_int;
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs;

    #[test]
    fn hosts_are_still_found() {
        assert!(super::by_files_and_dns() || cfg!(not(target_env = "gnu")));
        assert!(
            ("localhost", 1)
                .to_socket_addrs()
                .is_ok_and(|mut found| found.any(|address| address.ip().is_loopback()))
        );
    }
}
