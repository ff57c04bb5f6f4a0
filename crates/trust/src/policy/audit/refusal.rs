//! Why the kernel refuses a policy, by error number.

/// What was asked of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A new policy.
    Load,
    /// Another version of a policy.
    Update,
    /// Making a policy the active one.
    Activate,
}

/// What a refusal means and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelRefusal {
    /// The error's name.
    pub errno: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub advice: &'static str,
}

/// Linux's numbers (include/uapi/asm-generic/errno.h); the same on x86, Arm, RISC-V, POWER, s390.
mod number {
    pub(super) const EPERM: i32 = 1;
    pub(super) const ENOENT: i32 = 2;
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const EACCES: i32 = 13;
    pub(super) const EEXIST: i32 = 17;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const ERANGE: i32 = 34;
    pub(super) const ENAMETOOLONG: i32 = 36;
    pub(super) const EBADMSG: i32 = 74;
    pub(super) const EMSGSIZE: i32 = 90;
    pub(super) const ESTALE: i32 = 116;
    pub(super) const ENOKEY: i32 = 126;
    pub(super) const EKEYREVOKED: i32 = 128;
    pub(super) const EKEYREJECTED: i32 = 129;
}

/// What it means that the kernel refused `step` with the positive error number `errno`, `None`
/// where nothing more is known. Sources: security/ipe/fs.c, policy_fs.c, policy.c and
/// crypto/asymmetric_keys/pkcs7_{parser,trust,verify}.c.
#[must_use]
pub const fn refusal(step: Step, errno: i32) -> Option<KernelRefusal> {
    let (errno, meaning, advice) = match (errno, step) {
        (number::EPERM, _) => (
            "EPERM",
            "the process lacks CAP_MAC_ADMIN",
            "run it as root in the initial user namespace, before the capability is dropped",
        ),
        (number::EINVAL, Step::Activate) => (
            "EINVAL",
            "the active policy has a higher version; the kernel compares versions whatever the names",
            "give the new policy at least the active one's version (`sealpack policy show` lists them) and sign it again",
        ),
        (number::ENOENT, _) => (
            "ENOENT",
            "the kernel has no policy of this name, or it was deleted meanwhile",
            "load it first: `sealpack policy load FILE`",
        ),
        (_, Step::Activate) => return None,
        (number::EINVAL, Step::Update) => (
            "EINVAL",
            "the text is a policy of another name, or a number or digest in it cannot be read",
            "keep the name over all versions; `sealpack policy show FILE` says what is wrong with a text",
        ),
        (number::EINVAL, Step::Load) => (
            "EINVAL",
            "a version number or a digest in the text cannot be read",
            "`sealpack policy show FILE` says where",
        ),
        (number::ESTALE, _) => (
            "ESTALE",
            "the kernel has this version of the policy or a higher one, and never goes back",
            "give the text a higher policy_version and sign it again",
        ),
        (number::EEXIST, _) => (
            "EEXIST",
            "the kernel has a policy of this name",
            "update it, with a higher policy_version: `sealpack policy load --update FILE`",
        ),
        (number::EBADMSG, _) => (
            "EBADMSG",
            "it is not PKCS#7 in DER with the text in it, or the text is not a policy",
            "`sealpack policy show FILE` says what is wrong; `sealpack policy sign` makes the right form",
        ),
        (number::ENOKEY, _) => (
            "ENOKEY",
            "the kernel trusts no certificate of the signer",
            "put it where the kernel looks for policies: the firmware's db (.platform), the machine owner keys, or \
             the kernel's built-in and secondary keyrings; `sealpack doctor` lists what they hold",
        ),
        (number::EKEYREJECTED, _) => (
            "EKEYREJECTED",
            "the signature does not fit the text, or the signer's certificate may not sign",
            "sign the text again; a certificate for policies needs the key usage digitalSignature",
        ),
        (number::EKEYREVOKED, _) => {
            ("EKEYREVOKED", "the signer's certificate is on the kernel's blacklist", "sign with another key")
        }
        (number::EMSGSIZE, _) => (
            "EMSGSIZE",
            "the signed policy has more than 65535 bytes, which the kernel's decoder does not take",
            "sign it without its comments, have fewer digest rules, or seal the images into packs: one rule allows \
             them all",
        ),
        (number::ERANGE, _) => (
            "ERANGE",
            "a number in the version is above 65535",
            "give it a version that fits and sign it again",
        ),
        (number::EACCES, _) => (
            "EACCES",
            "securityfs cannot have a directory of the policy's name, or another security module forbids it",
            "use a name without slashes; look for denials of the other security modules in the log",
        ),
        (number::ENAMETOOLONG, _) => {
            ("ENAMETOOLONG", "the policy's name has more than 255 bytes", "give it a shorter one")
        }
        (number::ENOMEM, _) => ("ENOMEM", "the kernel has no memory for it", "free memory, or try again"),
        _ => return None,
    };
    Some(KernelRefusal { errno, meaning, advice })
}
