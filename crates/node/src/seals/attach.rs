//! Seals whose signatures are made elsewhere: a directory with what is to be signed, and the signatures beside it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealpack_kernel::directory::Directory;
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::key::Certificate;
use sealpack_trust::pkcs7;
use sealpack_trust::seal::{Seal, Signed, Statement};

use super::draft::{check_is_of, devices_of, in_packs};
use super::{SealingError, keep, read};
use crate::Error;
use crate::keys::{self, KeyFileError};
use crate::new_files::NewFileError;
use crate::remark::{Remark, Remarks};
use crate::revoked;
use crate::trust_store::TrustStore;

/// The file with the bytes of something that is to be signed.
fn file_name(signed: Signed) -> String {
    match signed {
        Signed::Statement => "statement.json".to_owned(),
        Signed::RootHash(root_hash) => format!("{root_hash}.txt"),
    }
}

/// That a directory can get what is to be signed: it is not there, or empty.
///
/// # Errors
///
/// [`NewFileError`].
pub fn check_is_free(directory: &Path) -> Result<(), NewFileError> {
    let used = |source| NewFileError::Use { path: directory.to_owned(), source };
    match Directory::open(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        opened => match opened.and_then(|opened| opened.entries()).map_err(used)?.is_empty() {
            true => Ok(()),
            false => Err(NewFileError::NotEmpty { path: directory.to_owned() }),
        },
    }
}

/// Writes what is to be signed of a statement into a new directory, with `readme`, a text that says how. The directory is there
/// with all of it, or not at all. Answers with the names of the files to be signed.
///
/// # Errors
///
/// [`NewFileError`].
pub fn write_prepared(
    directory: &Path,
    statement: &Statement,
    readme: &str,
) -> Result<Vec<String>, NewFileError> {
    let mut files = vec![("README".to_owned(), readme.as_bytes().to_vec())];
    files.extend(statement.to_be_signed().map(|(signed, content)| (file_name(signed), content)));
    let failed = |source| NewFileError::Write { path: directory.to_owned(), source };
    if directory.file_name().is_none() {
        return Err(NewFileError::NoName { path: directory.to_owned() });
    }
    let (parent, name) = Directory::of_file(directory).map_err(failed)?;
    let temporary = format!(".{}.{}.new", name.to_string_lossy(), std::process::id());
    parent.make(&temporary, 0o755).map_err(failed)?;
    let written = parent
        .sub(&temporary)
        .and_then(|below| below.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
        .and_then(|below| {
            for (name, bytes) in &files {
                let mut file = below.create(name, 0o644)?;
                file.write_all(bytes)?;
                file.sync_all()?;
            }
            below.sync()?;
            parent.rename(&temporary, &parent, &name)
        });
    if let Err(error) = written {
        // What is left of it is under a name that nobody looks at; the error says what went wrong.
        _ = parent.remove_all(&temporary);
        return Err(failed(error));
    }
    // It is there; what is asked for now is that a power cut does not take it.
    _ = parent.sync();
    Ok(files.into_iter().skip(1).map(|(name, _)| name).collect())
}

/// The certificates in files, each fit for signing code.
///
/// # Errors
///
/// [`KeyFileError`].
pub fn certificates(paths: &[PathBuf], remarks: Remarks<'_>) -> Result<Vec<Certificate>, KeyFileError> {
    let mut certificates = Vec::new();
    for path in paths {
        let certificate = keys::read_certificate(path)?;
        let content = |source| KeyFileError::Content { path: path.clone(), source };
        certificate.check_usage().map_err(content)?;
        if !certificate.is_valid_at(SystemTime::now()) {
            remarks(Remark::NotValidNow { path: path.clone() });
        }
        certificates.push(certificate);
    }
    Ok(certificates)
}

/// What was signed elsewhere, with the signatures, all of them verified.
pub struct Attached {
    directory: PathBuf,
    statement: Statement,
    signatures: Vec<(Signed, Vec<u8>)>,
}

impl Attached {
    /// Reads a directory that [`write_prepared`] wrote, and the signatures beside its files.
    ///
    /// # Errors
    ///
    /// [`SealingError`] and [`KeyFileError`], with the file.
    pub fn read(directory: &Path, certificates: &[Certificate]) -> Result<Self, Error> {
        let path = directory.join(file_name(Signed::Statement));
        let statement = Statement::parse(&keys::read(&path)?)
            .map_err(|source| SealingError::Prepared { path, source })?;
        let mut signatures = Vec::new();
        for (signed, content) in statement.to_be_signed() {
            signatures.push((signed, signature(directory, signed, &content, certificates)?));
        }
        Ok(Self { directory: directory.to_owned(), statement, signatures })
    }

    /// Has the image sealed so: with these signatures alone, or, where it has a seal of the same statement and
    /// `replace` does not say that it goes, with these besides.
    ///
    /// # Errors
    ///
    /// [`SealingError`]; of the store and the trust store.
    pub fn attach(
        self,
        store: &Store,
        record: ImageRecord,
        replace: bool,
        trust: &TrustStore,
        remarks: Remarks<'_>,
    ) -> Result<(ImageRecord, Seal), Error> {
        let record = in_packs(store, record, &mut *remarks)?;
        revoked::check(store, &record, &trust.revocations_so_far()?)?;
        check_is_of(&self.statement, &devices_of(store, &record)?, &record)?;
        let before = if replace { None } else { read(store, &record)? };
        let refused = |source| SealingError::Assemble { name: record.name.clone(), source };
        let seal = match before {
            None => Seal::assemble(self.statement, self.signatures).map_err(refused)?,
            Some(mut seal) if seal.statement() == &self.statement => {
                seal.attach(self.signatures).map_err(refused)?;
                seal
            }
            Some(_) => {
                let (name, directory) = (record.name.clone(), self.directory);
                return Err(SealingError::AnotherStatement { name, directory }.into());
            }
        };
        let record = keep(store, &record, &seal, trust, remarks)?;
        Ok((record, seal))
    }
}

/// The signature of something, verified: PKCS#7 in DER.
fn signature(
    directory: &Path,
    signed: Signed,
    content: &[u8],
    certificates: &[Certificate],
) -> Result<Vec<u8>, Error> {
    let path = directory.join(file_name(signed) + ".p7s");
    if !path.exists() {
        return Err(SealingError::SignatureMissing { signed, path }.into());
    }
    let der = pkcs7::read_file(&keys::read(&path)?)
        .map_err(|source| SealingError::NoSignature { path: path.clone(), source })?;
    let signer = pkcs7::verify_detached(&der, content, certificates)
        .map_err(|source| SealingError::Signature { path: path.clone(), source })?;
    if matches!(signed, Signed::RootHash(_)) {
        signer.check_kernel().map_err(|source| SealingError::Signer { path, source })?;
    }
    Ok(der)
}
