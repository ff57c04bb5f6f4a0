use std::path::{Path, PathBuf};

use clap::CommandFactory;
use sealpack_node::new_files::{self, NewFile};

use crate::complete;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::man;

/// Write man pages or shell completions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack generate man /usr/local/share/man/man1
  mv /usr/local/share/man/man1/*.5 /usr/local/share/man/man5/
  sealpack generate completions bash > /etc/bash_completion.d/sealpack")]
pub(crate) struct Generate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Write a man page for each command into a directory, which must exist, and those of rules.toml and sealpack.toml,
    /// which belong into section 5.
    Man {
        /// The directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print completions for a shell: of verbs, options, and names of images in the store.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// The name and the text of the page about the rules of a trust store.
const RULES_PAGE: (&str, &str) = ("sealpack-rules.toml.5", include_str!("../../man/sealpack-rules.toml.5"));

impl Generate {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self.what {
            What::Man { directory } => {
                let mut command = crate::Arguments::command().disable_help_subcommand(true);
                command.build();
                let mut pages = vec![
                    (directory.join(RULES_PAGE.0), RULES_PAGE.1.as_bytes().to_vec()),
                    (directory.join(man::SETTINGS.file_name()), man::SETTINGS.roff().into_bytes()),
                ];
                render(&command, &directory, &mut pages).map_err(CommandError::failed)?;
                let page = |(path, bytes)| NewFile { path, bytes, mode: 0o644 };
                let files: Vec<_> = pages.iter().map(|(path, bytes)| page((path, bytes))).collect();
                let written = new_files::write_all(&files, true).map_err(CommandError::from);
                written.map_err(|error| match directory.exists() {
                    true => error,
                    false => error.hint("the directory has to be there: `mkdir -p DIR` makes it"),
                })
            }
            What::Completions { shell } => {
                let text = complete::script(shell).map_err(CommandError::failed)?;
                context.output.raw(&text)
            }
        }
    }
}

/// The man pages of a command and of those below it, as `clap_mangen::generate_to` would write them.
fn render(
    command: &clap::Command,
    directory: &Path,
    pages: &mut Vec<(PathBuf, Vec<u8>)>,
) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        render(below, directory, pages)?;
    }
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text)?;
    pages.push((directory.join(page.get_filename()), text));
    Ok(())
}
