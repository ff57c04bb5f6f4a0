//! Another program that is told something on its standard input, and answers on its standard output in time.

use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::interrupt;

/// How often it is looked whether a program has ended that has said all.
const LOOKED_EVERY: Duration = Duration::from_millis(5);

/// How one talks to a program.
#[derive(Debug, Clone, Copy)]
pub struct Conversation {
    /// How long it may take in all. Then it is killed.
    pub timeout: Duration,
    /// How much of what it says is read.
    pub answer_max_bytes: u64,
    /// Whether it is a group of its own, so that what it starts is killed with it. One that asks at the terminal must be in the
    /// group of whoever is asked.
    pub has_own_group: bool,
}

/// What a program said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its standard output, or one byte more of it than is read.
    pub output: Vec<u8>,
    /// Its standard error likewise, where the command has a pipe for that.
    pub errors: Vec<u8>,
    /// How it ended.
    pub status: ExitStatus,
}

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConversationError {
    /// There is no such program, or it may not be executed.
    #[error("cannot be started: {0}")]
    Start(io::Error),
    /// It took too long.
    #[error("did not answer within {} s and was killed", .0.as_secs())]
    Late(Duration),
    /// The system does not say how it ended.
    #[error("cannot be waited for: {0}")]
    Wait(io::Error),
}

impl Conversation {
    /// Starts a program, tells it `told`, and reads what it says until it ends.
    ///
    /// # Errors
    /// [`ConversationError`]. It does not run any more then.
    pub fn with(&self, command: &mut Command, told: &[u8]) -> Result<Answer, ConversationError> {
        interrupt::hears_all(command);
        if self.has_own_group {
            command.process_group(0);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(ConversationError::Start)?;
        let answer = self.talk(&mut child, told);
        if answer.is_err() {
            self.kill(&mut child);
        }
        answer
    }

    fn talk(&self, child: &mut Child, told: &[u8]) -> Result<Answer, ConversationError> {
        let deadline = Instant::now() + self.timeout;
        let output = self.read_aside(child.stdout.take());
        let errors = self.read_aside(child.stderr.take());
        if let Some(mut input) = child.stdin.take() {
            let told = told.to_vec();
            // It may read when it likes. One that does not read its input has closed it: its answer tells why.
            thread::spawn(move || input.write_all(&told));
        }
        let remaining = || deadline.saturating_duration_since(Instant::now());
        let late = || ConversationError::Late(self.timeout);
        let output = output.recv_timeout(remaining()).map_err(|_| late())?;
        let errors = errors.recv_timeout(remaining()).map_err(|_| late())?;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(Answer { output, errors, status }),
                Ok(None) if remaining().is_zero() => return Err(late()),
                Ok(None) => thread::sleep(LOOKED_EVERY),
                Err(error) => return Err(ConversationError::Wait(error)),
            }
        }
    }

    /// Reads on a thread of its own, which ends when the pipe does.
    fn read_aside(&self, pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
        let (sender, receiver) = mpsc::channel();
        let limit = self.answer_max_bytes + 1;
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(pipe) = pipe {
                // What was read before an error is judged like a short answer.
                _ = pipe.take(limit).read_to_end(&mut bytes);
            }
            _ = sender.send(bytes);
        });
        receiver
    }

    fn kill(&self, child: &mut Child) {
        if self.has_own_group
            && let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
        {
            // It may have ended meanwhile, which is as good.
            _ = kill_process_group(group, Signal::KILL);
        }
        _ = child.kill();
        _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Conversation =
        Conversation { timeout: Duration::from_secs(60), answer_max_bytes: 1024, has_own_group: true };

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn it_is_told_all_and_its_answer_and_its_end_are_heard() {
        let told = vec![b'x'; 1 << 20];
        let answer = USUAL.with(shell("wc -c; echo no >&2; exit 3").stderr(Stdio::piped()), &told).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.output).trim(), "1048576");
        assert_eq!((answer.errors.as_slice(), answer.status.code()), (&b"no\n"[..], Some(3)));
    }

    #[test]
    fn one_that_does_not_listen_is_heard_all_the_same() {
        let answer = USUAL.with(&mut shell("exec <&-; echo yes"), &vec![0; 1 << 20]).unwrap();
        assert_eq!(answer.output, b"yes\n");
    }

    #[test]
    fn of_one_that_says_too_much_one_byte_more_is_read() {
        let answer = USUAL.with(&mut shell("head -c 100000 /dev/zero 2>/dev/null; true"), b"").unwrap();
        assert_eq!(answer.output.len(), 1025);
    }

    #[test]
    fn one_that_takes_too_long_is_killed_with_what_it_has_started() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("late");
        let brief = Conversation { timeout: Duration::from_millis(300), ..USUAL };
        let script = format!("(sleep 2; : > {}) & sleep 100", file.display());
        let began = Instant::now();
        let error = brief.with(&mut shell(&script), b"").unwrap_err();
        assert!(matches!(error, ConversationError::Late(_)), "{error}");
        assert!(began.elapsed() < Duration::from_secs(50));
        thread::sleep(Duration::from_secs(3));
        assert!(!file.exists(), "what it started goes on");
    }

    #[test]
    fn one_that_is_not_there_is_an_error() {
        let error = USUAL.with(&mut Command::new("/no/such/program"), b"").unwrap_err();
        assert_eq!(error.to_string(), "cannot be started: No such file or directory (os error 2)");
    }
}
