use sealpack_format::reference::Reference;
use sealpack_node::find::missing;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show::image::{Past, past};

/// List the images that had a name, the newest first.
///
/// The first line is the image that has it now. The epochs are those of the seals that the store has. `sealpack gc` keeps the one before, and as many as
/// --keep-previous says; `sealpack rm` drops the history with the name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack history debian:12
  sealpack history --json debian:12 | jq -r '.earlier[0].manifest'")]
pub(crate) struct History {
    /// The name.
    name: Reference,
}

impl History {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let name = self.name.to_string();
        let (current, earlier) = (store.image(&name)?, store.history(&name)?);
        let remembered = store.epoch(&name)?;
        if current.is_none() && earlier.is_empty() && remembered.is_none() {
            let missing = CommandError::from(missing(&store, name.clone())?);
            let hint = missing.hint_text().unwrap_or("`sealpack images` lists the names that it has");
            return Err(CommandError::failed(format_args!("the store knows nothing of {name}")).hint(hint));
        }
        past(context.output, &store, &Past { name, current, earlier, remembered })
    }
}
