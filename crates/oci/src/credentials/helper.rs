//! docker's credential helpers: `docker-credential-NAME get`, the registry on standard input,
//! JSON on standard output.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sealpack_kernel::conversation::{self as kernel, Conversation};
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
        let mut command = Command::new(self.find()?);
        let conversation = Conversation {
            timeout: self.timeout,
            answer_max_bytes: ANSWER_MAX_BYTES,
            // What it starts is killed with it.
            has_own_group: true,
        };
        let answer = conversation.with(command.arg("get").stderr(Stdio::piped()), server.as_bytes());
        let kernel::Answer { output, errors, status } =
            answer.map_err(|error| self.failed(error.to_string()))?;
        // Before its exit status: nobody read on, which may be what it failed for.
        if output.len() as u64 > ANSWER_MAX_BYTES {
            return Err(self.failed(format!("answered with more than {} KiB", ANSWER_MAX_BYTES >> 10)));
        }
        let said = String::from_utf8_lossy(if output.is_empty() { &errors } else { &output });
        if !status.success() {
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
