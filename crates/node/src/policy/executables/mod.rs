//! What in an image can be executed, or loaded by the kernel, and what a policy makes of it.

mod error;
mod lints;
mod mounting;
mod shape;
mod stored;

use std::collections::HashMap;

use sealpack_format::ObjectId;
use sealpack_format::tree::{Content, Inode, InodeId, Kind, Tree};
use sealpack_format::walk;
use sealpack_trust::policy::Operation;

pub use error::ExecutablesError;
pub use lints::{Lint, lints};
pub use mounting::{AsMounted, Assumption, BytesIn, JudgedAs, SignedBy};
pub use shape::{Elf, HEAD_BYTES, Script, Shape};
pub use stored::StoredObjects;

/// Reads how objects begin.
pub trait Heads {
    /// The first [`HEAD_BYTES`] bytes of an object, or all of a smaller one.
    ///
    /// # Errors
    /// If the object is not there, cannot be read, or is not what its digest says.
    fn head(&self, id: &ObjectId) -> Result<Vec<u8>, ExecutablesError>;
}

/// A file of an image that a policy is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its absolute path in the image. A file with several names is there under each.
    pub path: Vec<u8>,
    /// Its inode in the image's tree.
    pub inode: InodeId,
    /// What would be done with it.
    pub operation: Operation,
    /// What it is by how it begins.
    pub shape: Shape,
    /// Whether anybody has the execute permission.
    pub executable_bit: bool,
}

/// All files of an image that can be executed (with an executable bit, ELF programs and libraries
/// without one too, scripts) and those that the kernel loads: modules and firmware. By path.
///
/// # Errors
/// The first object whose beginning cannot be read.
pub fn candidates(tree: &Tree, heads: &dyn Heads) -> Result<Vec<Candidate>, ExecutablesError> {
    let mut known = HashMap::new();
    let mut found = Vec::new();
    for (path, id) in walk::walk(tree, InodeId::ROOT, b"/", true) {
        let inode = tree.inode(id);
        let Kind::Regular(content) = &inode.kind else { continue };
        let shape = shape_of(content, heads, &mut known)?;
        let executable_bit = inode.metadata.permissions & 0o111 != 0;
        if let Some(operation) = operation(&path, inode, &shape) {
            found.push(Candidate { path, inode: id, operation, shape, executable_bit });
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// The file that the kernel would start for `shape` first: the interpreter of a script, or the
/// dynamic loader of a program. Its path as stated, and its inode if the image has it.
#[must_use]
pub fn interpreter<'s>(tree: &Tree, shape: &'s Shape) -> Option<(&'s [u8], Option<InodeId>)> {
    let path = match shape {
        Shape::Script(script) => script.interpreter.as_slice(),
        Shape::Elf(Elf { loader: Some(loader), .. }) => loader.as_slice(),
        Shape::Elf(_) | Shape::Other => return None,
    };
    // A relative interpreter is looked for in the working directory, which is nobody's guess.
    let inode = if path.starts_with(b"/") { walk::follow(tree, path) } else { None };
    let is_file = |id: &InodeId| matches!(tree.inode(*id).kind, Kind::Regular(_));
    Some((path, inode.filter(is_file)))
}

fn shape_of(
    content: &Content,
    heads: &dyn Heads,
    known: &mut HashMap<ObjectId, Shape>,
) -> Result<Shape, ExecutablesError> {
    match content {
        Content::Inline(bytes) => Ok(Shape::of(bytes)),
        Content::Object { id, .. } => match known.get(id) {
            Some(shape) => Ok(shape.clone()),
            None => {
                let shape = Shape::of(&heads.head(id)?);
                known.insert(*id, shape.clone());
                Ok(shape)
            }
        },
        // Only foreign images have such files, and a store has none of those.
        Content::External { .. } => Ok(Shape::Other),
    }
}

/// What would be done with a file, `None` where nothing would that IPE decides on.
fn operation(path: &[u8], inode: &Inode, shape: &Shape) -> Option<Operation> {
    let is_below = |top: &[u8]| path.starts_with(top);
    let ends = |end: &&[u8]| path.ends_with(end);
    if is_below(b"/lib/firmware/") || is_below(b"/usr/lib/firmware/") {
        return Some(Operation::Firmware);
    }
    if [&b".ko"[..], b".ko.xz", b".ko.zst", b".ko.gz"].iter().any(ends) {
        return Some(Operation::KernelModule);
    }
    // The kernel starts only what has the bit; libraries are mapped without it.
    let is_code = matches!(shape, Shape::Elf(elf) if elf.is_mapped);
    (is_code || inode.metadata.permissions & 0o111 != 0).then_some(Operation::Execute)
}

#[cfg(test)]
mod tests;
