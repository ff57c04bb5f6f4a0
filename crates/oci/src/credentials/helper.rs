//! docker's credential helpers: `docker-credential-NAME get`, the registry on standard input,
//! JSON on standard output.

use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use sealpack_kernel::interrupt;
use serde::Deserialize;

use super::secret::{CredentialsError, Secret};
use crate::json;
use crate::text::clean;

/// Most that is read of what a helper says.
const ANSWER_MAX_BYTES: u64 = 256 * 1024;
/// The user name by which a helper marks an identity token.
const TOKEN_USER: &str = "<token>";

/// One call of a helper.
pub(super) struct Helper<'a> {
    /// NAME in `docker-credential-NAME`.
    pub(super) program: &'a str,
    /// The file that names it.
    pub(super) path: &'a Path,
    /// Its program, where that is known.
    pub(super) executable: Option<&'a Path>,
    /// `PATH`, to find it otherwise.
    pub(super) path_variable: Option<&'a OsStr>,
    /// When it is killed.
    pub(super) timeout: Duration,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", deserialize_with = "json::or_empty")]
    user: String,
    #[serde(rename = "Secret", deserialize_with = "json::or_empty")]
    secret: String,
}

impl Helper<'_> {
    /// The secret for `server`, or `None` when the helper knows none.
    pub(super) fn get(&self, server: &str) -> Result<Option<Secret>, CredentialsError> {
        let executable = self.find()?;
        let mut command = Command::new(executable);
        interrupt::hears_all(&mut command);
        let mut child = command
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that what it starts can be killed with it.
            .process_group(0)
            .spawn()
            .map_err(|error| self.failed(format!("cannot be started: {error}")))?;
        let answer = self.talk(&mut child, server);
        if answer.is_err() {
            kill(&mut child);
        }
        let (output, errors, success) = answer?;
        // Before its exit status: nobody read on, which may be what it failed for.
        if output.len() as u64 > ANSWER_MAX_BYTES {
            return Err(self.failed(format!("answered with more than {} KiB", ANSWER_MAX_BYTES >> 10)));
        }
        let said = String::from_utf8_lossy(if output.is_empty() { &errors } else { &output });
        if !success {
            // The protocol tells "none" only by this sentence.
            if said.contains("credentials not found") {
                return Ok(None);
            }
            return Err(self.failed(format!("failed for {server}{}", quoted(&said))));
        }
        let answer: Answer = serde_json::from_slice(&output)
            .map_err(|_| self.failed("did not answer with JSON that has Username and Secret".to_owned()))?;
        Ok(match answer.user.as_str() {
            _ if answer.secret.is_empty() => None,
            TOKEN_USER => Some(Secret::IdentityToken(answer.secret)),
            _ => Some(Secret::Password { user: answer.user, password: answer.secret }),
        })
    }

    fn talk(&self, child: &mut Child, server: &str) -> Result<(Vec<u8>, Vec<u8>, bool), CredentialsError> {
        let deadline = Instant::now() + self.timeout;
        let output = read_aside(child.stdout.take());
        let errors = read_aside(child.stderr.take());
        if let Some(mut input) = child.stdin.take() {
            // A helper that does not read its input has closed it: its answer tells why.
            let _ = input.write_all(server.as_bytes());
        }
        let late =
            || self.failed(format!("did not answer within {} s and was killed", self.timeout.as_secs()));
        let remaining = || deadline.saturating_duration_since(Instant::now());
        let output = output.recv_timeout(remaining()).map_err(|_| late())?;
        let errors = errors.recv_timeout(remaining()).map_err(|_| late())?;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok((output, errors, status.success())),
                Ok(None) if remaining().is_zero() => return Err(late()),
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                Err(error) => return Err(self.failed(format!("cannot be waited for: {error}"))),
            }
        }
    }

    fn find(&self) -> Result<PathBuf, CredentialsError> {
        if let Some(path) = self.executable {
            return match path.is_file() {
                true => Ok(path.to_owned()),
                false => Err(self.failed(format!("is not installed: there is no file {}", path.display()))),
            };
        }
        if self.program.contains('/') {
            return Err(self.failed("has a name with a slash".to_owned()));
        }
        let name = format!("docker-credential-{}", self.program);
        let directories = self.path_variable.map(std::env::split_paths).into_iter().flatten();
        directories
            .map(|directory| directory.join(&name))
            .find(|candidate| candidate.is_file())
            .ok_or_else(|| self.failed(format!("is not installed: {name} is not in PATH")))
    }

    fn failed(&self, problem: String) -> CredentialsError {
        CredentialsError::Helper { program: self.program.to_owned(), path: self.path.to_owned(), problem }
    }
}

/// What a helper says of its failure, for an error that gets into logs, and with containerd to whoever starts a pod: a
/// sentence. Where it is what helpers answer with, the secret is in it, whatever the helper failed for afterwards.
fn quoted(said: &str) -> String {
    let said = clean(said, 300);
    match said.contains(['{', '}']) || said.to_ascii_lowercase().contains("secret\"") {
        true => ", and what it said is kept back, since it may be the secret".to_owned(),
        false if said.is_empty() => " without a word".to_owned(),
        false => format!(": {said}"),
    }
}

/// Reads on a thread of its own, which ends when the pipe does.
fn read_aside(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What was read before an error is judged like a short answer.
            let _ = pipe.take(ANSWER_MAX_BYTES + 1).read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile, which is as good.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}
