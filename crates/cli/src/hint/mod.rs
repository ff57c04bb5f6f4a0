//! What to do about an error, as far as it can be known from the error alone: all advice that names a command or an
//! option of this program is here, or with the command whose mistake it is.

mod carrying;
mod host;
mod kept;
mod older;

use std::error::Error;

use sealpack_gate::publish::PublishError;
use sealpack_gate::rollback::RollbackError;
use sealpack_node::Remark;
use sealpack_node::find::FindError;
use sealpack_node::keys::KeyFileError;
use sealpack_node::new_files::{FileKind, NewFileError};
use sealpack_node::policy::PolicyError;
use sealpack_node::policy::executables::{ExecutablesError, JudgedAs, SignedBy};
use sealpack_node::seals::SealingError;
use sealpack_node::standing::Lack;
use sealpack_node::trust_store::TrustStoreError;
use sealpack_oci::pull::PullError;
use sealpack_trust::judge::{PassedOver, Refusal};
use sealpack_trust::key::KeyError;
use sealpack_trust::policy::SIGNED_MAX_BYTES;
use sealpack_trust::policy::profile::RecipeError;
use sealpack_trust::seal::SealSigningError;

use carrying::{of_pull, of_way};
pub(crate) use kept::{OF_RECORD, of_store};
pub(crate) use older::{TakesOlder, of_older};

/// The advice for an error of a library's.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<sealpack_oci::Error>() {
        return of_way(error);
    }
    if let Some(error) = error.downcast_ref::<PullError>() {
        return of_pull(error);
    }
    if let Some(error) = error.downcast_ref::<sealpack_store::Error>() {
        return of_store(error).map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<sealpack_mount::Error>() {
        return of_mount(error).map(str::to_owned);
    }
    if let Some(sealpack_mount::PlanError::Level { .. }) = error.downcast_ref() {
        return Some(OF_LEVEL.to_owned());
    }
    if let Some(error) = error.downcast_ref::<sealpack_gate::Error>() {
        return of_gate(error);
    }
    if let Some(error) = error.downcast_ref::<sealpack_host::uki::UkiError>() {
        return host::of_uki(error);
    }
    if let Some(error) = error.downcast_ref::<sealpack_host::upgrade::UpgradeError>() {
        return host::of_upgrade(error).map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<sealpack_host::disk::DiskError>() {
        return host::of_disk(error);
    }
    if let Some(error) = error.downcast_ref::<sealpack_host::image::ImageFileError>() {
        return host::of_image_file(error);
    }
    if let Some(error) = error.downcast_ref::<sealpack_host::signing::ProgramSigningError>() {
        return host::of_signing(error).map(str::to_owned);
    }
    let hint = match error.downcast_ref::<sealpack_node::Error>()? {
        sealpack_node::Error::Find(FindError::Missing { similar, .. }) if !similar.is_empty() => {
            return Some(format!("is {} meant? `sealpack images` lists what it has", similar.join(" or ")));
        }
        sealpack_node::Error::Revoked(_) => Some(carrying::REVOKED),
        sealpack_node::Error::Find(error) => return of_find(error).map(str::to_owned),
        sealpack_node::Error::Sealing(error) => return of_sealing(error),
        sealpack_node::Error::Naming(_) => {
            return Some(
                "--allow-rollback of `sealpack tag` and `sealpack pull` takes it all the same, on purpose"
                    .to_owned(),
            );
        }
        sealpack_node::Error::KeyFile(error) => of_key_file(error),
        sealpack_node::Error::NewFile(error) => of_new_file(error),
        sealpack_node::Error::TrustStore(error) => of_trust_store(error),
        sealpack_node::Error::Policy(error) => return of_policy(error),
        sealpack_node::Error::Store(error) => of_store(error),
        _ => None,
    };
    hint.map(str::to_owned)
}

/// What to do where a mount does not reach the level that is required.
const OF_LEVEL: &str = "`sealpack seal` signs an image; `sealpack doctor` says what this machine lacks";

const fn of_mount(error: &sealpack_mount::Error) -> Option<&'static str> {
    use sealpack_mount::Error;
    match error {
        Error::Level { .. } | Error::NotEnforced { .. } => Some(OF_LEVEL),
        Error::Busy { .. } => Some("`sealpack umount --lazy` takes it out of sight at once"),
        Error::Privilege(_) => {
            Some("where sealpack-broker.service runs, ordinary users can mount sealed images")
        }
        Error::NoNamespace => {
            Some("`unshare --map-root-user --mount` starts a shell that has both: mount there")
        }
        Error::OnlySigned { .. } => {
            Some("`sealpack seal` signs an image; `sealpack doctor` says whose signatures the kernel accepts")
        }
        Error::WritableByBroker(_) => {
            Some("mount it read-only, and another overlay over it, with the option userxattr")
        }
        _ => None,
    }
}

/// What the trust store's refusals mean, and what lies below.
fn of_gate(error: &sealpack_gate::Error) -> Option<String> {
    match error {
        sealpack_gate::Error::Node(sealpack_node::Error::Store(error)) => of(error),
        sealpack_gate::Error::Node(sealpack_node::Error::Mount(error)) => of(error),
        sealpack_gate::Error::Node(error) => of(error),
        sealpack_gate::Error::Oci(error) => of(error),
        sealpack_gate::Error::Pull(error) => of(error),
        sealpack_gate::Error::SealRevoked { .. } => Some(carrying::REVOKED.to_owned()),
        sealpack_gate::Error::Refused(refusal) => Some(of_refusal(refusal).to_owned()),
        sealpack_gate::Error::NoName { .. } => Some("--name gives it one".to_owned()),
        sealpack_gate::Error::NameUnsaid { .. } => Some("--name says what the seal is for".to_owned()),
        sealpack_gate::Error::NoSeal { .. } => {
            Some("`sealpack seal IMAGE --key KEY --cert CERT` makes one".to_owned())
        }
        sealpack_gate::Error::NoSealedName { .. } => Some("pull it under a name, and verify that".to_owned()),
        sealpack_gate::Error::Rollback(error) => of_rollback(error).map(str::to_owned),
        sealpack_gate::Error::Publish(error) => of_publish(error).map(str::to_owned),
        _ => None,
    }
}

const fn of_rollback(error: &RollbackError) -> Option<&'static str> {
    match error {
        RollbackError::NoName { .. } => Some("`sealpack images` lists what it has"),
        RollbackError::Digits { .. } => Some("`sealpack history` shows the digests"),
        RollbackError::Several { .. } => Some("give more of the digest"),
        RollbackError::NotThere { .. } => Some(
            "`sealpack history` lists what is; `sealpack gc` keeps only the newest, unless told otherwise",
        ),
        RollbackError::NoneBefore { .. } => {
            Some("`sealpack history` lists what is; --to takes any of it that has a seal")
        }
        RollbackError::Incomplete { .. } => {
            Some("`sealpack fsck` names what is; pulling the image by its digest brings it back")
        }
        _ => None,
    }
}

const fn of_publish(error: &PublishError) -> Option<&'static str> {
    match error {
        PublishError::NoImage { .. } => {
            Some("`sealpack copy` brings the image there; --to names another place")
        }
        PublishError::Stale { .. } => Some(
            "`sealpack seal --pull` seals the other one; --stale publishes the seal of the one that the store has all the \
             same",
        ),
        _ => None,
    }
}

/// What can be done about a refusal of the trust store's.
fn of_refusal(refusal: &Refusal) -> &'static str {
    if let Some(advice) = older::of_refusal(refusal, TakesOlder::Rollback) {
        return advice;
    }
    match refusal {
        Refusal::NotSealed { seals, .. } if seals.is_empty() => {
            "`sealpack seal --push` publishes a seal beside the image, and `sealpack copy` takes seals along; rules.toml in \
             the trust store says which names need one"
        }
        Refusal::NotSealed { seals, .. } if seals.iter().any(is_for_other_names) => {
            "`sealpack seal --name` seals an image for more names; [mirrors] in rules.toml has seals count elsewhere"
        }
        Refusal::NotSealed { .. } => {
            "`sealpack trust list` shows whose seals count; rules.toml in the trust store says which names need one"
        }
        Refusal::Artifacts { .. } => {
            "`cosign attest --key KEY --type TYPE --predicate FILE NAME@DIGEST` puts one beside the image, which has to be pulled \
             again then; keys are in artifacts/NAME.pub in the trust store, and rules.toml there says which count"
        }
        _ => "rules.toml in the trust store says so",
    }
}

/// Whether a seal is passed over for its names alone.
fn is_for_other_names(seal: &PassedOver) -> bool {
    seal.reasons.iter().all(|reason| reason.starts_with("it may be used for"))
}

/// Whether an error of a library's is of something that was asked for wrongly.
pub(crate) fn is_usage(error: &(dyn Error + 'static)) -> bool {
    use sealpack_node::Error;
    if let Some(error) = error.downcast_ref::<sealpack_gate::Error>() {
        return match error {
            sealpack_gate::Error::NoName { .. }
            | sealpack_gate::Error::PacksNeedSha256
            | sealpack_gate::Error::NameUnsaid { .. }
            | sealpack_gate::Error::NoSealedName { .. }
            | sealpack_gate::Error::Rollback(RollbackError::Digits { .. }) => true,
            sealpack_gate::Error::Node(error) => is_usage(error),
            _ => false,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return matches!(error, sealpack_mount::PlanError::Contradiction { .. });
    }
    let error = error.downcast_ref::<Error>();
    error.is_some_and(|error| match error {
        Error::Find(error) => matches!(error, FindError::Reference(_) | FindError::NoDigest(_)),
        Error::Sealing(error) => matches!(error, SealingError::NameWithDigest(_)),
        Error::Policy(error) => {
            matches!(error, PolicyError::IsSigned { .. } | PolicyError::NotSigned { .. })
        }
        Error::NewFile(error) => matches!(error, NewFileError::NoName { .. }),
        _ => false,
    })
}

/// A remark of a library's, with what the command line knows to do about it.
pub(crate) fn with_remark(remark: &Remark) -> String {
    match remark {
        Remark::ExecutablesInside { .. } => format!("{remark}; `sealpack policy check` lists them"),
        _ => remark.to_string(),
    }
}

/// What to do where a machine lacks something that is no feature of its kernel.
pub(crate) const fn of_lack(lack: Lack) -> &'static str {
    match lack {
        Lack::OwnCertificate => {
            "enroll your certificate: in the firmware's db (.platform), with the boot loader (mokutil, .machine), or \
             with Linux 7.0 in .dm-verity"
        }
        Lack::Policy => "`sealpack policy` makes, signs, loads and activates one",
    }
}

/// What to do where a policy would deny something of an image that was judged so.
pub(crate) const fn of_denial(judged_as: JudgedAs) -> &'static str {
    match judged_as {
        JudgedAs::Packs(SignedBy::Nobody) => "`sealpack seal` the image, or see what --assume sealed gives",
        JudgedAs::Packs(_) => "pull a newer version of the image, or change the rule that denies them",
        JudgedAs::FilesWithoutVerity => {
            "digest rules need a store on a filesystem with fs-verity; or `sealpack seal` the image, which puts it \
             into packs; --assume shows what either gives"
        }
        JudgedAs::FilesWithVerity | JudgedAs::FilesTakenToHaveVerity => {
            "allow the files' digests with `sealpack policy new --digests`, or keep the image in packs and seal it; \
             --assume shows what either gives"
        }
    }
}

fn of_policy(error: &PolicyError) -> Option<String> {
    let hint = match error {
        PolicyError::Text { source, .. } => {
            let errno = source.problem.kernel_errno();
            return Some(format!("the kernel would refuse this policy with {errno}"));
        }
        PolicyError::IsSigned { .. } => "give the text; `sealpack policy show` prints it",
        PolicyError::SignedForm { .. } => {
            "give the text that was signed; `sealpack policy show` prints it, without its comments"
        }
        PolicyError::NotSigned { .. } => "the kernel takes signed policies only: `sealpack policy sign` it",
        PolicyError::SignedTooLong { signed_bytes, spare_bytes }
            if signed_bytes.saturating_sub(*spare_bytes) <= SIGNED_MAX_BYTES =>
        {
            "--without-comments makes it fit"
        }
        PolicyError::SignedTooLong { .. } => {
            "have fewer rules, or seal the images into packs: one rule allows them all"
        }
        PolicyError::OnlyUpdates => "--update gives it a higher version of that",
        PolicyError::NoDevices { .. } => {
            "`sealpack convert IMAGE --to packs` keeps it so, and `sealpack seal` signs its devices"
        }
        PolicyError::Recipe(RecipeError::AllowsNothing) => {
            "leave out --no-signed-devices, or name images with --digests"
        }
        PolicyError::Recipe(RecipeError::TooLong { .. }) => {
            "take what is needed with --only, leave the rest out with --except (such as \
             /usr/lib/x86_64-linux-gnu/gconv), or seal the images into packs: one rule allows them all"
        }
        PolicyError::NoIpe => {
            "it needs Linux 6.12 or later with CONFIG_SECURITY_IPE, `ipe` among the security modules (lsm= on the \
             kernel's command line) and securityfs mounted on /sys/kernel/security; `sealpack doctor` tells which"
        }
        PolicyError::Refused { refusal, .. } => refusal.advice,
        PolicyError::Executables(error) => return of_executables(error).map(str::to_owned),
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The advice for files of an image that cannot be read.
const fn of_executables(error: &ExecutablesError) -> Option<&'static str> {
    match error {
        ExecutablesError::Missing { .. } => Some("pull the image again"),
        ExecutablesError::Pack { .. } => {
            Some("`sealpack fsck --repair` sets aside what is damaged; pull the image again then")
        }
        ExecutablesError::Store(error) => of_store(error),
        _ => None,
    }
}

const fn of_find(error: &FindError) -> Option<&'static str> {
    match error {
        FindError::Reference(_) => None,
        FindError::NoDigest(_) => {
            Some("`sealpack inspect` shows the digests of an image; those of SHA-512 go without sha512:")
        }
        FindError::Missing { .. } => Some("`sealpack images` lists what it has; `sealpack pull` brings more"),
        FindError::SeveralImages(_) => Some("give more of the digest, or a name"),
        FindError::SeveralNames { .. } => Some("give the names that are meant"),
        FindError::Beginning(_) => Some("give a name, or the whole digest: `sealpack inspect` shows it"),
        _ => None,
    }
}

fn of_sealing(error: &SealingError) -> Option<String> {
    let hint = match error {
        SealingError::Kept { .. } => {
            "`sealpack seal --replace` makes a new one; `sealpack mount --at-most verified` does without"
        }
        SealingError::PackMissing { .. } => "pull the image again",
        SealingError::Epoch { .. } => {
            "another signature is over the same statement: leave --epoch out; or --replace makes a new seal, \
             without the signatures of others"
        }
        SealingError::Names { sealed, .. } => {
            return Some(format!(
                "`--name {}` adds a signature to it; --replace makes a new seal, without the signatures of others, for \
                 each --name that is given",
                sealed.join(" --name ")
            ));
        }
        SealingError::NoTag(_) => "give a name with --name",
        SealingError::NotForImage { .. } => "--replace makes a new one",
        SealingError::AnotherStatement { .. } => "--replace puts this seal in the place of that one",
        SealingError::Prepared { .. } => "the file must be as `sealpack seal prepare` wrote it",
        SealingError::SignatureMissing { .. } => "sign all files; the README beside them says how",
        SealingError::Signing(SealSigningError::Seal(_)) => "--replace makes a new one",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn of_key_file(error: &KeyFileError) -> Option<&'static str> {
    match error {
        KeyFileError::Content { source: KeyError::Kernel { .. }, .. } => Some(
            "it will do for statements, which are nothing for the kernel (`--for statements` in `trust add`)",
        ),
        KeyFileError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Some("`sealpack key new --key KEY --cert CERT` makes a key and its certificate")
        }
        KeyFileError::NoTokens { .. } => {
            Some("build it with `cargo build --package sealpack --features pkcs11`")
        }
        _ => None,
    }
}

const fn of_new_file(error: &NewFileError) -> Option<&'static str> {
    match error {
        NewFileError::NotEmpty { .. } => Some("give a directory that is not there"),
        NewFileError::IsThere { .. } => Some("choose another name, or replace it with --force"),
        NewFileError::Kind { what, .. } => Some(match what {
            FileKind::Directory => "name a file in it",
            FileKind::Link => "name the file that it leads to",
            FileKind::Device | FileKind::SocketOrPipe => "name a file",
        }),
        _ => None,
    }
}

fn of_trust_store(error: &TrustStoreError) -> Option<&'static str> {
    match error {
        TrustStoreError::Missing { .. } => Some("`sealpack trust add` makes one"),
        TrustStoreError::Conflict { .. } => {
            Some("remove one of the two with `sealpack trust remove`, or give one another name")
        }
        TrustStoreError::Toml { .. } => {
            Some("sealpack-rules.toml(5), which `sealpack generate man` writes, says what may be there")
        }
        TrustStoreError::Certificate(error) => of_key_file(error),
        TrustStoreError::NewFile(error) => of_new_file(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_not_write_where_the_store_would_be_is_told_how_to_name_another_place() {
        let denied =
            || sealpack_store::Error::Permission { call: "open", path: "/root/.local/share/sealpack".into() };
        let advice = of_store(&denied()).unwrap();
        assert!(advice.contains("--store DIR"), "{advice}");
        assert_eq!(of(&PullError::Store(denied())).as_deref(), Some(advice));
        assert_eq!(of(&sealpack_node::Error::Store(denied())).as_deref(), Some(advice));
        assert_eq!(of(&denied()).as_deref(), Some(advice));
    }
}
