//! What a policy would decide on the files of an image.

use std::collections::HashSet;

use sealpack_format::digest::RootHash;
use sealpack_format::tree::{InodeId, Kind, Tree};
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::policy::{Action, Decision, Operation, Policy};

use super::PolicyError;
use super::executables::{
    AsMounted, Assumption, BytesIn, Candidate, ExecutablesError, JudgedAs, Lint, StoredObjects, candidates,
    interpreter, lints,
};
use crate::{Error, seals};

/// What a policy does to an image.
#[derive(Debug)]
pub struct Checked<'p> {
    /// As what the image was judged.
    pub judged_as: JudgedAs,
    /// All its files that a policy is asked about, by path.
    pub files: Vec<FileDecision<'p>>,
    /// What no policy can help with.
    pub lints: Vec<Lint>,
}

/// A file with what would become of it.
#[derive(Debug)]
pub struct FileDecision<'p> {
    /// The file.
    pub file: Candidate,
    /// Where its bytes are.
    pub bytes_in: BytesIn,
    /// What the policy says.
    pub decision: Decision<'p>,
    /// What the kernel would start first, for a file that can be started.
    pub interpreter: Option<Interpreter>,
}

/// The interpreter or loader that a file states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// Its path, as stated.
    pub path: Vec<u8>,
    /// What would become of it; `None` where the image has no such file.
    pub action: Option<Action>,
}

impl Checked<'_> {
    /// How many files would be denied.
    #[must_use]
    pub fn denied(&self) -> usize {
        self.files.iter().filter(|file| file.decision.action == Action::Deny).count()
    }
}

/// Has a policy decide on everything in an image that can be executed or loaded: as the store has the image, with the
/// signatures that its seal has, or as it is assumed to be.
///
/// # Errors
/// If a file of the image cannot be read, or its seal is not its own.
pub fn check<'p>(
    policy: &'p Policy,
    store: &Store,
    record: &ImageRecord,
    assumption: Option<Assumption>,
) -> Result<Checked<'p>, Error> {
    let tree = store.tree(record)?;
    let objects = StoredObjects::open(store, record).map_err(PolicyError::from)?;
    let sealed = if assumption.is_some() { HashSet::new() } else { sealed(store, record)? };
    let mounted = AsMounted::new(store, record, &objects, assumption, sealed).map_err(PolicyError::from)?;
    let files = candidates(&tree, &objects).map_err(PolicyError::from)?;
    let lints = lints(&tree, &files);
    let files = judge(policy, &tree, &mounted, files).map_err(PolicyError::from)?;
    Ok(Checked { judged_as: mounted.judged_as(), files, lints })
}

/// The root hashes that the image's seal has signatures of.
fn sealed(store: &Store, record: &ImageRecord) -> Result<HashSet<RootHash>, Error> {
    let Some(seal) = seals::read(store, record)? else { return Ok(HashSet::new()) };
    seals::check(store, record, &seal)?;
    Ok(seal.statement().root_hashes().copied().collect())
}

fn judge<'p>(
    policy: &'p Policy,
    tree: &Tree,
    mounted: &AsMounted<'_>,
    files: Vec<Candidate>,
) -> Result<Vec<FileDecision<'p>>, ExecutablesError> {
    let decide = |operation: Operation, inode: InodeId| {
        let Kind::Regular(content) = &tree.inode(inode).kind else { return Ok(None) };
        let (bytes_in, facts) = mounted.of(content)?;
        Ok::<_, ExecutablesError>(Some((bytes_in, policy.evaluate(operation, &facts))))
    };
    let mut judged = Vec::new();
    for file in files {
        let Some((bytes_in, decision)) = decide(file.operation, file.inode)? else { continue };
        let started = interpreter(tree, &file.shape).filter(|_| file.executable_bit);
        let interpreter = match started {
            Some((path, inode)) => {
                let decided = inode.map(|inode| decide(Operation::Execute, inode)).transpose()?.flatten();
                let action = decided.map(|(_, decision)| decision.action);
                Some(Interpreter { path: path.to_vec(), action })
            }
            None => None,
        };
        judged.push(FileDecision { file, bytes_in, decision, interpreter });
    }
    Ok(judged)
}
