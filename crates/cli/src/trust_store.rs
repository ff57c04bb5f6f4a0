//! The trust store on the disk: `docs/formats/trust-store.md`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sealpack_trust::anchors::{AnchorName, Anchors, Revocations, Rules, Use};

use crate::context::Context;
use crate::error::CommandError;
use crate::signing::read_certificate;

/// Where the machine's trust store is.
const SYSTEM: &str = "/etc/sealpack/trust.d";

/// The largest `rules.toml` or `revoked.toml` that is read.
const TOML_MAX_BYTES: u64 = 1024 * 1024;

/// The most certificates of one use in one directory.
const CERTIFICATES_MAX: usize = 1000;

/// The directories of the trust store, all of which count: the one that was named, or the machine's and, for who is
/// not root, the user's.
pub(crate) fn directories(context: &Context) -> Vec<PathBuf> {
    if let Some(named) = &context.trust {
        return vec![named.clone()];
    }
    let system = PathBuf::from(SYSTEM);
    if rustix::process::geteuid().is_root() {
        return vec![system];
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    [Some(system), config.map(|config| config.join("sealpack/trust.d"))].into_iter().flatten().collect()
}

/// Reads the trust store. One that is not there has no certificates and no rules, unless it was named.
pub(crate) fn load(context: &Context) -> Result<Anchors, CommandError> {
    let directories = directories(context);
    if let Some(named) = context.trust.as_ref().filter(|named| !named.is_dir()) {
        return Err(CommandError::failed(format_args!("there is no trust store at {}", named.display())));
    }
    let mut revocations = Revocations::default();
    let mut rules: Option<(PathBuf, Rules)> = None;
    for directory in &directories {
        let path = directory.join("revoked.toml");
        if let Some(bytes) = read(&path)? {
            revocations.extend(Revocations::parse(&bytes).map_err(|error| in_file(&path, error))?);
        }
        let path = directory.join("rules.toml");
        let Some(bytes) = read(&path)? else { continue };
        let parsed = Rules::parse(&bytes).map_err(|error| in_file(&path, error))?;
        if let Some((other, _)) = rules.replace((path.clone(), parsed)) {
            return Err(CommandError::failed(format_args!(
                "there are rules in {} and in {}, and only one of them can hold",
                other.display(),
                path.display()
            )));
        }
    }
    let mut anchors = Anchors::new(revocations, rules.map(|(_, rules)| rules).unwrap_or_default());
    for directory in &directories {
        for of in Use::ALL {
            add_certificates(&mut anchors, of, &directory.join(of.name()))?;
        }
    }
    Ok(anchors)
}

fn add_certificates(anchors: &mut Anchors, of: Use, directory: &Path) -> Result<(), CommandError> {
    let failed = |error| {
        CommandError::failed(format_args!("cannot read the trust store's {}: {error}", directory.display()))
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension() == Some(OsStr::new("crt")) {
            paths.push(path);
        }
        if paths.len() > CERTIFICATES_MAX {
            return Err(CommandError::failed(format_args!(
                "{} has more than {CERTIFICATES_MAX} certificates",
                directory.display()
            )));
        }
    }
    paths.sort();
    for path in paths {
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let name: AnchorName = name.parse().map_err(|error| in_file(&path, error))?;
        anchors.add(of, name, read_certificate(&path)?).map_err(|error| in_file(&path, error))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, CommandError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TOML_MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(in_file(path, error)),
        Ok(size) if size as u64 > TOML_MAX_BYTES => Err(in_file(path, "it has more than 1 MiB")),
        Ok(_) => Ok(Some(bytes)),
    }
}

fn in_file(path: &Path, problem: impl std::fmt::Display) -> CommandError {
    CommandError::failed(format_args!("{}: {problem}", path.display()))
}
