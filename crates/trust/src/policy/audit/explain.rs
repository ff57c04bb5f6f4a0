//! Records as sentences.

use super::super::{Action, Operation};
use super::{Access, AccessedFile, Activation, Enforcing, Load, PolicyLabel, Record, Step, refusal};

/// What a record means to people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Explanation {
    /// What happened.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do, where there is something.
    pub advice: Option<String>,
}

/// What is known of a record's file from the images that are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOfImage {
    /// The image's name, or its metadata image's digest.
    pub image: String,
    /// Where it is mounted, for people.
    pub target: String,
    /// The path in the image.
    pub path: Box<[u8]>,
    /// Whose file it is.
    pub relation: Relation,
}

/// How a file that is seen in a mounted image belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is the image's.
    Image,
    /// It is in the upper directory: added or changed.
    Upper,
    /// It is of another filesystem, mounted or bound over the image.
    Foreign,
}

impl Explanation {
    /// Explains `record`; `file` is what is known of its file.
    #[must_use]
    pub fn of(record: &Record, file: Option<&FileOfImage>) -> Self {
        match record {
            Record::Access(access) => of_access(access, file),
            Record::Activation(activation) => of_activation(activation),
            Record::Load(load) => of_load(load),
            Record::Enforcing(enforcing) => of_enforcing(enforcing),
        }
    }
}

fn of_access(access: &Access, file: Option<&FileOfImage>) -> Explanation {
    let Access { pid, rule, .. } = access;
    let who = format!("{} (process {pid})", shown(&access.command));
    let did = deed(access, file);
    let what = match (access.action, access.enforcing) {
        (Action::Deny, true) => format!("{who} was kept from {did}"),
        (Action::Deny, false) => {
            format!("{who} was not kept from {did}, because IPE is not enforcing: the policy would deny it")
        }
        (Action::Allow, _) => format!("{who} was allowed {did}"),
    };
    let why = if rule.starts_with("DEFAULT") {
        format!("no rule of the active policy matches, so `{rule}` decided")
    } else {
        format!("the active policy has `{rule}`, the first rule that matches")
    };
    let advice = (access.action == Action::Deny).then(|| advice(access, file));
    Explanation { what, why, advice }
}

/// What somebody was about to do.
fn deed(access: &Access, file: Option<&FileOfImage>) -> String {
    let name = match (&access.file, file) {
        (Some(_), Some(known)) => named_in_image(known),
        (Some(file), None) => named(file),
        (None, _) => "memory that is no file".to_owned(),
    };
    match (access.hook.as_str(), Operation::from_name(access.operation.as_bytes())) {
        ("BPRM_CHECK", _) => format!("executing {name}"),
        ("BPRM_CREDS_FOR_EXEC", _) => format!("interpreting {name} (it asked first whether it may)"),
        ("MMAP", _) if access.file.is_none() => "mapping new executable memory that is no file".to_owned(),
        ("MMAP", _) => format!("mapping {name} as code"),
        ("MPROTECT", _) => format!("making {name} executable that was mapped as data"),
        ("KERNEL_READ", Some(operation)) => format!("having the kernel load {name} as {}", role(operation)),
        ("KERNEL_LOAD", Some(operation)) => {
            format!("handing the kernel {} from memory, not from a file", role(operation))
        }
        _ => format!("{} of {name}", access.operation),
    }
}

const fn role(operation: Operation) -> &'static str {
    match operation {
        Operation::Execute => "a program",
        Operation::Firmware => "firmware",
        Operation::KernelModule => "a module",
        Operation::KexecImage => "a kernel for kexec",
        Operation::KexecInitramfs => "an initramfs for kexec",
        Operation::Policy => "a policy",
        Operation::X509Certificate => "a certificate",
    }
}

fn named_in_image(known: &FileOfImage) -> String {
    let FileOfImage { image, target, .. } = known;
    let path = shown(&known.path);
    match known.relation {
        Relation::Image => format!("{path} of image {image} at {target}"),
        Relation::Upper => format!("{path} in the writable layer over image {image} at {target}"),
        Relation::Foreign => {
            format!("{path} below {target}, which is not the file of image {image} but one mounted over it")
        }
    }
}

fn named(file: &AccessedFile) -> String {
    let AccessedFile { path, device, inode } = file;
    let place = if device.is_empty() { String::new() } else { format!(" on {}", shown(device)) };
    match path {
        Some(path) => format!("{}{place}", shown(path)),
        None => format!("inode {inode}{place} (its path is too long to be logged)"),
    }
}

fn advice(access: &Access, file: Option<&FileOfImage>) -> String {
    let operation = Operation::from_name(access.operation.as_bytes());
    let path = access.file.as_ref().and_then(|file| file.path.as_deref()).unwrap_or_default();
    let device = access.file.as_ref().map(|file| file.device.as_ref()).unwrap_or_default();
    let advice = match (operation, &access.file, file) {
        _ if access.rule.contains("dmverity_roothash=") => {
            "its device was revoked by root hash: pull and mount a newer version of the image"
        }
        _ if !access.rule.starts_with("DEFAULT") => {
            "if that is not meant, put a rule that allows it before this one, raise policy_version, sign and update"
        }
        (Some(Operation::Execute) | None, None, _) => {
            "a just-in-time compiler or a libffi closure does this, and no property can vouch for it: switch the \
             compiler off in the program, or use a build that does without"
        }
        (Some(Operation::Execute), Some(_), _) if path.starts_with(b"/memfd:") => {
            "a program was put into anonymous memory (memfd_create) to be executed: if it is wanted, have it as a \
             file of a sealed image"
        }
        (Some(Operation::Execute), _, Some(FileOfImage { relation: Relation::Upper, .. })) => {
            "nothing in a writable layer is signed: put the file into the image, seal it again and mount that"
        }
        (Some(Operation::Execute), _, Some(FileOfImage { relation: Relation::Foreign, .. })) => {
            "find out who mounted it (findmnt) and unmount it; if it is wanted, put the file into the image and seal it again"
        }
        (Some(Operation::Execute), _, Some(_)) => {
            "the image's devices are not signed in the kernel's eyes: `sealpack seal` the image with a key that the \
             kernel trusts and mount it with --require signed; for the files form, allow its digests \
             (`sealpack policy new --digests`). `sealpack policy check` predicts the outcome"
        }
        (Some(Operation::Execute), _, None) if matches!(device, b"rootfs" | b"ramfs") => {
            "the initramfs is allowed by early policies only (boot_verified=TRUE): execute from a signed device"
        }
        (Some(Operation::Execute), _, None) => {
            "it is on no signed device, nor allowed by digest: put the file into an image, `sealpack seal` it and run \
             it from there, or allow its fs-verity digest"
        }
        (Some(Operation::KernelModule), None, _) => {
            "load modules from their files (finit_module, as insmod and modprobe do), from a signed device"
        }
        _ => "have the file on a signed device, or allow its fs-verity digest for this operation",
    };
    advice.to_owned()
}

fn of_activation(activation: &Activation) -> Explanation {
    let what = format!("policy {} became the active one", label(&activation.new));
    let before = match &activation.old {
        Some(old) => format!("{} decided until then", label(old)),
        None => "no policy was active until then".to_owned(),
    };
    Explanation { what, why: before + &by(activation.login_uid), advice: None }
}

fn of_load(load: &Load) -> Explanation {
    match &load.outcome {
        Ok(policy) => Explanation {
            what: format!("policy {} was loaded", label(policy)),
            why: format!("its signed form has sha256 {}{}", policy.digest, by(load.login_uid)),
            advice: Some(
                "unless it replaced the active policy, it decides nothing before it is activated".to_owned(),
            ),
        },
        Err(errno) => {
            let known = errno.and_then(|errno| refusal(Step::Update, errno));
            let who = by(load.login_uid);
            let why = match (known, errno) {
                (Some(known), _) => format!("{}: {}{who}", known.errno, known.meaning),
                (None, Some(errno)) => format!("error {errno}{who}"),
                (None, None) => format!("the kernel does not say why{who}"),
            };
            let advice = known.map(|known| known.advice.to_owned());
            Explanation { what: "a policy was refused".to_owned(), why, advice }
        }
    }
}

fn of_enforcing(enforcing: &Enforcing) -> Explanation {
    let who = by(enforcing.login_uid);
    if enforcing.new {
        let what = "IPE was set to enforcing".to_owned();
        return Explanation { what, why: format!("denials deny from now on{who}"), advice: None };
    }
    Explanation {
        what: "IPE was set to permissive".to_owned(),
        why: format!("denials are logged only from now on{who}"),
        advice: Some(
            "if nobody meant it: write 1 to /sys/kernel/security/ipe/enforce, and drop CAP_MAC_ADMIN after boot so \
             that root cannot do it again"
                .to_owned(),
        ),
    }
}

fn label(policy: &PolicyLabel) -> String {
    format!("{} version {}", shown(&policy.name), policy.version)
}

fn by(login_uid: Option<u32>) -> String {
    login_uid.map(|uid| format!(" (by login {uid})")).unwrap_or_default()
}

/// Bytes for people: what is not printable is escaped.
fn shown(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}
