//! What has to be true of an image and a policy before a host is made of them.

use sealpack_format::{ObjectId, RootHash};
use sealpack_node::policy::{GivenPolicy, Origin};
use sealpack_node::seals::{self, NotItsSeal, SealingError};
use sealpack_store::{ImageRecord, ObjectForm, Store};
use sealpack_trust::key::Certificate;
use sealpack_trust::pkcs7::{verify_detached, verify_embedded};
use sealpack_trust::policy::{Action, Dmverity, FileFacts, Fsverity, Operation};
use sealpack_trust::seal::{Seal, signer_of};

use super::UkiError;

/// A sealed image, whose devices a kernel with some certificates accepts.
#[derive(Debug)]
pub(super) struct SealedImage {
    /// The root hash of its metadata image.
    pub(super) root_hash: RootHash,
    /// The epoch of its seal.
    pub(super) epoch: u64,
    /// All its devices, with what messages call them.
    devices: Vec<(String, RootHash)>,
}

impl SealedImage {
    /// The image's seal, its packs, and the signatures of each by one of `certificates`.
    pub(super) fn check(
        store: &Store,
        record: &ImageRecord,
        certificates: &[Certificate],
    ) -> Result<Self, UkiError> {
        let name = || record.name.clone();
        if record.objects != ObjectForm::Packs {
            return Err(UkiError::NotInPacks { image: name() });
        }
        let seal = seals::read(store, record)?.ok_or_else(|| UkiError::NotSealed { image: name() })?;
        let root_hash = store.metadata_image_root_hash(&record.metadata_image)?;
        let packs = seals::packs_of(store, record)?;
        let checked = seal.statement().check(&seals::devices(record, root_hash, &packs));
        checked.map_err(|mismatch| SealingError::Kept {
            path: seals::path_of(store, record),
            name: name(),
            problem: NotItsSeal::from(mismatch),
        })?;
        let mut devices = vec![("the metadata image".to_owned(), root_hash)];
        for pack in packs {
            let (root_hash, path) = (pack.sealed.root_hash, store.pack_path(&pack.sealed.root_hash));
            if !path.exists() {
                return Err(
                    SealingError::PackMissing { name: name(), path, layers: pack.sealed.layers }.into()
                );
            }
            devices.push((format!("the pack {root_hash}"), root_hash));
        }
        for (what, root_hash) in &devices {
            check_signed(&seal, what, root_hash, certificates)?;
        }
        Ok(Self { root_hash, epoch: seal.statement().epoch(), devices })
    }

    /// That a policy is one that a sealed host can start with: signed by one of `signers`, denying execution by default and
    /// of what root can make, and allowing it from all devices of the image. Answers with its signed form.
    pub(super) fn check_policy<'p>(
        &self,
        given: &'p GivenPolicy,
        signers: &[Certificate],
    ) -> Result<&'p [u8], UkiError> {
        let path = || given.path.clone();
        let Origin::Signed { der, .. } = &given.origin else {
            return Err(UkiError::PolicyNotSigned { path: path() });
        };
        verify_embedded(der, signers).map_err(|source| UkiError::PolicySigner { path: path(), source })?;
        if !given.policy.denies_execute_by_default() {
            return Err(UkiError::PolicyAllows { path: path() });
        }
        for (what, facts) in of_root() {
            let decision = given.policy.evaluate(Operation::Execute, &facts);
            if decision.action == Action::Allow {
                return Err(UkiError::PolicyTrusts { path: path(), what, rule: decision.rule_text() });
            }
        }
        for (device, root_hash) in &self.devices {
            let decision = given.policy.executes_from(Dmverity { root_hash: Some(*root_hash), signed: true });
            if decision.action == Action::Deny {
                return Err(UkiError::PolicyDenies {
                    path: path(),
                    device: device.clone(),
                    rule: decision.rule_text(),
                });
            }
        }
        Ok(der)
    }
}

/// What a policy can trust, and root on the host can make: files on the initramfs, which stays writable, and files with
/// signatures by keys in `.fs-verity`, a keyring that nobody closes (Documentation/filesystems/fsverity.rst).
fn of_root() -> [(&'static str, FileFacts); 2] {
    let fsverity = Fsverity { digest: ObjectId::sha256([0; 32]), signed: true };
    [
        ("what is on the initramfs", FileFacts { boot_verified: true, ..FileFacts::default() }),
        (
            "what any key in the keyring .fs-verity signed",
            FileFacts { fsverity: Some(fsverity), ..FileFacts::default() },
        ),
    ]
}

/// That one of the signatures of `root_hash` is by one of `certificates`.
fn check_signed(
    seal: &Seal,
    what: &str,
    root_hash: &RootHash,
    certificates: &[Certificate],
) -> Result<(), UkiError> {
    let (text, signatures) = (root_hash.to_string(), seal.signatures(root_hash));
    if signatures.iter().any(|der| verify_detached(der, text.as_bytes(), certificates).is_ok()) {
        return Ok(());
    }
    let mut signers: Vec<String> = signatures.iter().map(|der| signer_of(der)).collect();
    signers.dedup();
    Err(UkiError::PackSigner { device: what.to_owned(), signers, given: certificates.len() })
}
