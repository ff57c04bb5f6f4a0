//! Signatures as the kernel takes them: PKCS#7 (CMS) without attributes and certificates.
