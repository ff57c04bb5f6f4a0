use sealpack_format::tree::{InodeId, Kind, Tree};
use sealpack_format::walk;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// List files of an image.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack ls debian:12                 # the root directory
  sealpack ls -l debian:12 /usr/bin
  sealpack ls -R --json debian:12       # everything, for machines")]
pub(crate) struct Ls {
    /// The image: a name or a digest.
    image: String,
    /// A path in the image; symbolic links are followed inside it, the last one only without -l and -d,
    /// or with a slash behind it.
    #[arg(default_value = "/")]
    path: String,
    /// Show type, mode, links, owner, group, size and time (UTC).
    #[arg(short, long)]
    long: bool,
    /// List the path itself, not what is in it.
    #[arg(short, long, conflicts_with = "recursive")]
    directory: bool,
    /// List what is below directories too.
    #[arg(short = 'R', long)]
    recursive: bool,
}

impl Ls {
    /// The file at the path. As with `ls`, a link itself where its own properties are asked for.
    fn find(&self, tree: &Tree) -> Option<InodeId> {
        let path = self.path.as_bytes();
        if (self.long || self.directory) && !path.ends_with(b"/") {
            let slash = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let (above, name) = path.split_at(slash);
            let link = walk::follow(tree, above).and_then(|directory| tree.child(directory, name));
            if link.is_some_and(|id| matches!(tree.inode(id).kind, Kind::Symlink(_))) {
                return link;
            }
        }
        walk::follow(tree, path)
    }

    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let tree = store.tree(&context.find(&store, &self.image)?)?;
        let found = self.find(&tree);
        let top = found.ok_or_else(|| {
            CommandError::failed(format_args!("{} has no file {:?}", self.image, self.path))
        })?;
        let path = self.path.as_bytes();
        let found = match self.directory {
            true => vec![(path.to_vec(), top)],
            false => walk::walk(&tree, top, path, self.recursive),
        };
        show::files::list(context.output, &tree, &found, self.long)
    }
}
