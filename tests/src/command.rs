//! Running programs, with errors that show the whole call.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The command as one line that a shell would take.
pub fn display(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// `word`, in single quotes where a shell would otherwise take it apart.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs `command` to its end, without standard input, and returns what it printed.
///
/// # Errors
/// If it cannot be started, or does not exit with 0: the message has the call and all that it printed.
pub fn run(command: &mut Command) -> Result<Output> {
    run_with_input(command, Stdio::null())
}

/// As [`run`], with this standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: impl Into<Stdio>) -> Result<Output> {
    let output =
        command.stdin(input).output().with_context(|| format!("cannot start {}", display(command)))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}\n{}{}",
            display(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}

/// Like [`run`], but the exit status is the caller's to judge.
///
/// # Errors
/// If the program cannot be started.
pub fn attempt(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null());
    command.output().with_context(|| format!("cannot start {}", display(command)))
}

/// What `command` printed on standard output, without the last line's end.
///
/// # Errors
/// As [`run`], or if it is not UTF-8.
pub fn stdout(command: &mut Command) -> Result<String> {
    let output = run(command)?;
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("{} printed something that is not UTF-8", display(command)))?;
    Ok(text.trim_end().to_owned())
}

/// The path of `program` in `$PATH` or in the directories for the superuser's programs.
pub fn find(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program.as_ref()))
        .find(|candidate| candidate.is_file())
}

/// Whether this process runs as the superuser.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_given_to_a_shell() -> Result<()> {
        let mut command = Command::new("printf");
        command.args(["%s|", "plain/word", "two words", "it's", "", "$HOME"]);
        let said = stdout(Command::new("sh").args(["-c", &display(&command)]))?;
        assert_eq!(said, "plain/word|two words|it's||$HOME|");
        Ok(())
    }

    #[test]
    fn a_failed_command_is_reported_with_what_it_printed() {
        let error =
            run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("out\n") && error.contains("err\n"),
            "{error}"
        );
    }
}
