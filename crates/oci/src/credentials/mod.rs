//! The credentials that docker and podman keep: where they lie, and which one is for a registry.
//!
//! The files and their order are those of containers-auth.json(5), then docker's config.json.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::environment::Environment;

mod file;
mod helper;
mod secret;
#[cfg(test)]
mod tests;

pub use secret::{Credentials, CredentialsError, Secret};

use file::AuthFile;

/// How long a credential helper may take.
pub const HELPER_TIMEOUT: Duration = Duration::from_secs(30);

/// The files of credentials, in the order in which they are asked.
#[derive(Debug, Clone)]
pub struct CredentialStore {
    files: Vec<PathBuf>,
    /// Files that must exist, since the user named them.
    named: Vec<PathBuf>,
    /// The same, where it is not a variable that names one.
    given: Vec<PathBuf>,
    /// Helpers that are not looked for in `PATH`, by NAME.
    helpers: BTreeMap<String, PathBuf>,
    path_variable: Option<std::ffi::OsString>,
    helper_timeout: Duration,
}

impl CredentialStore {
    /// The files that docker and podman would use; with `named`, those files only.
    #[must_use]
    pub fn new(environment: &Environment, named: &[PathBuf]) -> Self {
        let given = named.to_vec();
        let mut named = given.clone();
        if named.is_empty() {
            named.extend(environment.path("REGISTRY_AUTH_FILE").map(Path::to_owned));
        }
        let mut files = Vec::new();
        if named.is_empty() {
            let home = environment.path("HOME");
            match environment.path("XDG_RUNTIME_DIR") {
                Some(directory) => files.push(directory.join("containers/auth.json")),
                None => {
                    let path = format!("/run/containers/{}/auth.json", environment.user_id());
                    files.push(environment.system(&path));
                }
            }
            let config = environment.path("XDG_CONFIG_HOME").map(Path::to_owned);
            files.extend(
                config
                    .or_else(|| home.map(|home| home.join(".config")))
                    .map(|dir| dir.join("containers/auth.json")),
            );
            let docker = environment.path("DOCKER_CONFIG").map(Path::to_owned);
            files.extend(
                docker.or_else(|| home.map(|home| home.join(".docker"))).map(|dir| dir.join("config.json")),
            );
        }
        Self {
            files,
            named,
            given,
            helpers: BTreeMap::new(),
            path_variable: environment.variable("PATH").map(ToOwned::to_owned),
            helper_timeout: HELPER_TIMEOUT,
        }
    }

    /// The same with programs for helpers, by the NAME that files have for them, in place of `docker-credential-NAME` from
    /// `PATH`.
    #[must_use]
    pub fn with_helpers(mut self, helpers: BTreeMap<String, PathBuf>) -> Self {
        self.helpers = helpers;
        self
    }

    /// The same with another limit to a helper's time.
    #[must_use]
    pub fn with_helper_timeout(mut self, timeout: Duration) -> Self {
        self.helper_timeout = timeout;
        self
    }

    /// The credentials for `repository` in `registry`, or `None` when no file has any.
    ///
    /// In each file a helper for the registry goes before the file's own entries, and an entry
    /// for a namespace before one for the whole registry.
    ///
    /// # Errors
    /// When a file that exists cannot be read or understood, or a helper that it names fails.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Credentials>, CredentialsError> {
        for path in self.named.iter().chain(&self.files) {
            let Some(file) = AuthFile::read(path, !self.named.is_empty())? else { continue };
            if let Some(program) = file.helper(registry) {
                let call = helper::Helper {
                    program,
                    path,
                    executable: self.helpers.get(program).map(PathBuf::as_path),
                    path_variable: self.path_variable.as_deref(),
                    timeout: self.helper_timeout,
                };
                if let Some(secret) = call.get(file::helper_key(registry))? {
                    let origin = format!("the helper {program} (named in {})", path.display());
                    return Ok(Some(Credentials { secret, origin }));
                }
            }
            if let Some(secret) = file.secret(registry, repository)? {
                return Ok(Some(Credentials { secret, origin: path.display().to_string() }));
            }
        }
        Ok(None)
    }

    /// That files which were asked for can be opened: that no registry wanted to know who asks is no reason to say nothing.
    ///
    /// # Errors
    /// When one cannot.
    pub fn check_given(&self) -> Result<(), CredentialsError> {
        self.given.iter().try_for_each(|path| AuthFile::read(path, true).map(drop))
    }

    /// The files that were, or would be, looked at.
    #[must_use]
    pub fn searched(&self) -> Vec<&Path> {
        self.named.iter().chain(&self.files).map(PathBuf::as_path).collect()
    }
}
