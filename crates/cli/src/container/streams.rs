//! A container's input and output, where it has no terminal: pipes, so that nothing of this command's own terminal is in
//! its hands.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use crate::error::CommandError;

/// The command's ends of a container's pipes.
pub(crate) struct Streams {
    input: Option<PipeWriter>,
    output: PipeReader,
    errors: PipeReader,
}

/// What copies a container's output.
pub(crate) struct Copying(Vec<JoinHandle<()>>);

impl Streams {
    /// Gives `command`, and what it starts, pipes; its input is empty unless there is to be one.
    pub(crate) fn give(command: &mut Command, has_input: bool) -> Result<Self, CommandError> {
        let ((output, its_output), (errors, its_errors)) = (io::pipe()?, io::pipe()?);
        command.stdout(its_output).stderr(its_errors);
        let input = match has_input {
            true => {
                let (its_input, input) = io::pipe()?;
                command.stdin(its_input);
                Some(input)
            }
            false => {
                command.stdin(Stdio::null());
                None
            }
        };
        Ok(Self { input, output, errors })
    }

    /// Copies from and to those of this command, until the container's ends are closed.
    pub(crate) fn copy(self) -> Result<Copying, CommandError> {
        if let Some(input) = self.input {
            // It may wait for ever for what is never typed, and ends with the command.
            std::thread::Builder::new().name("input".to_owned()).spawn(move || feed(input))?;
        }
        let (output, errors) = (self.output, self.errors);
        let output = std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || drain(output, io::stdout()))?;
        let errors = std::thread::Builder::new()
            .name("errors".to_owned())
            .spawn(move || drain(errors, io::stderr()))?;
        Ok(Copying(vec![output, errors]))
    }
}

impl Copying {
    /// One more to wait for.
    pub(crate) fn of(thread: JoinHandle<()>) -> Self {
        Self(vec![thread])
    }

    /// Waits until all that the container wrote is written.
    pub(crate) fn finish(self) {
        for thread in self.0 {
            // What could not be written is lost with whoever was to read it.
            _ = thread.join();
        }
    }
}

fn feed(mut input: PipeWriter) {
    pass(&mut io::stdin().lock(), &mut input);
}

/// Copies what a container writes. When nobody reads it here any more, the container gets to know by its next write.
fn drain(mut from: PipeReader, mut to: impl Write) {
    pass(&mut from, &mut to);
}

/// Copies as it comes, each piece at once, until there is no more or nobody takes it; answers whether there is no more.
pub(crate) fn pass(from: &mut impl Read, to: &mut impl Write) -> bool {
    let mut buffer = [0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return true,
            Ok(length) => {
                if to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_err() {
                    return false;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_passed_on_until_there_is_no_more_or_nobody_takes_it() {
        let mut taken = Vec::new();
        assert!(pass(&mut &b"one, two"[..], &mut taken));
        assert_eq!(taken, b"one, two");
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        assert!(!pass(&mut &b"three"[..], &mut writer));
    }
}
