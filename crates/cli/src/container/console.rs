//! A container's terminal, and this command's own.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::OwnedFd;

use sealpack_kernel::Kernel;
use sealpack_kernel::terminal::Settings;

use super::signals::Passing;
use super::streams::{Copying, pass};
use crate::error::CommandError;

/// What a terminal takes for the end of what is typed (termios(3), `VEOF` as it is in a new one).
const END_OF_INPUT: u8 = 4;

/// This command's terminal, which passes on every byte until this is dropped.
pub(crate) struct Raw(Option<Settings>);

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            // A terminal that is gone needs no settings.
            _ = Kernel::default().restore(io::stdin(), settings);
        }
    }
}

/// Joins the container's terminal with this command's input and output: what is typed goes there, if the container is to
/// have input, and what it shows comes here. Where the input is a terminal, it passes on every byte meanwhile.
pub(crate) fn join(
    kernel: &Kernel,
    terminal: OwnedFd,
    has_input: bool,
    passing: &Passing,
) -> Result<(Raw, Copying), CommandError> {
    passing.keep_size_of(terminal.try_clone()?);
    let terminal = File::from(terminal);
    let mut raw = Raw(None);
    if has_input {
        if io::stdin().is_terminal() {
            let settings = kernel.make_raw(io::stdin());
            raw.0 =
                Some(settings.map_err(|error| CommandError::failed(format_args!("this terminal: {error}")))?);
        }
        let mut to = terminal.try_clone()?;
        let feed = move || {
            // Whoever reads from the terminal in there waits for more, unless told that there is none.
            if pass(&mut io::stdin().lock(), &mut to) {
                _ = to.write_all(&[END_OF_INPUT]);
            }
        };
        std::thread::Builder::new().name("input".to_owned()).spawn(feed)?;
    }
    let mut from = terminal;
    // Reading fails when nobody has the terminal open in there any more.
    let show = move || _ = pass(&mut from, &mut io::stdout());
    let shown = std::thread::Builder::new().name("output".to_owned()).spawn(show)?;
    Ok((raw, Copying::of(shown)))
}
