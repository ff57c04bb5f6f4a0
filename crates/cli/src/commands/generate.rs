use std::path::PathBuf;

use clap::CommandFactory;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};

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
    /// Write a man page for each command into a directory, which must exist, and that of rules.toml, which belongs
    /// into section 5.
    Man {
        /// The directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// The name and the text of the page about the rules of a trust store.
const RULES_PAGE: (&str, &str) = ("sealpack-rules.toml.5", include_str!("../../man/sealpack-rules.toml.5"));

impl Generate {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let mut command = crate::Arguments::command();
        match self.what {
            What::Man { directory } => clap_mangen::generate_to(command, &directory)
                .and_then(|()| std::fs::write(directory.join(RULES_PAGE.0), RULES_PAGE.1))
                .map_err(|error| {
                    CommandError::failed(format_args!(
                        "cannot write man pages to {}: {error}",
                        directory.display()
                    ))
                }),
            What::Completions { shell } => {
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut command, "sealpack", &mut text);
                context.output.raw(&text)
            }
        }
    }
}
