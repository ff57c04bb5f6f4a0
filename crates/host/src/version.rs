//! Versions, as far as they are compared here.

/// The numbers at the beginning of a version: `257`, `13` of `257.13-1~deb13u1`.
pub(crate) fn numbers(version: &str) -> Vec<u32> {
    let numbers = version.split(['.', '-', '~', '+']).map_while(|part| part.parse().ok());
    numbers.collect()
}

/// Whether a version is at least this one, as far as that one goes.
pub(crate) fn is_at_least(version: &str, least: &[u32]) -> bool {
    numbers(version).as_slice() >= least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_number_by_number() {
        for (version, least, is) in [
            ("257.13-1~deb13u1", &[257][..], true),
            ("252.38-1~deb12u1", &[257], false),
            ("1.21", &[1, 21], true),
            ("1.8.1-1+deb12u1", &[1, 21], false),
            ("6.12.118+deb13-cloud-amd64", &[6, 12], true),
            ("6.1.0-43-cloud-amd64", &[6, 12], false),
            ("7.0~rc1", &[6, 12], true),
            ("unknown", &[1], false),
        ] {
            assert_eq!(is_at_least(version, least), is, "{version}");
        }
    }
}
