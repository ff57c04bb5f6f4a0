use std::io::{self, Write};

use sealpack_format::tree::{Content, Kind};
use sealpack_format::walk;
use sealpack_store::VerifiedObject;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Print a file of an image.
///
/// The file's content is hashed first: nothing is printed that is not what the image says. Its bytes are printed as they
/// are, on a terminal too, which may act upon them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack cat debian:12 /etc/os-release")]
pub(crate) struct Cat {
    /// The image: a name or a digest.
    image: String,
    /// A path in the image; symbolic links are followed inside it.
    path: String,
}

impl Cat {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let tree = store.tree(&record)?;
        let inode = walk::follow(&tree, self.path.as_bytes()).map(|id| tree.inode(id)).ok_or_else(|| {
            CommandError::failed(format_args!("{} has no file {:?}", self.image, self.path))
        })?;
        let Kind::Regular(content) = &inode.kind else {
            let kind = show::files::kind_name(&inode.kind);
            return Err(CommandError::failed(format_args!("{:?} is a {kind}, not a file", self.path)));
        };
        match content {
            Content::Inline(bytes) => context.output.raw(bytes),
            Content::Object { id, .. } => {
                let object = store.object_of_image(&record, id)?.ok_or_else(|| {
                    CommandError::failed(format_args!("the store has no object {id} ({:?})", self.path))
                        .hint("pull the image again")
                })?;
                copy(object)
            }
            Content::External { .. } => {
                Err(CommandError::failed(format_args!("{:?} is kept outside the store", self.path)))
            }
        }
    }
}

fn copy(content: VerifiedObject) -> CommandResult {
    let mut stdout = io::stdout().lock();
    match content.copy_to(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::failed(format_args!("cannot copy the file to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
