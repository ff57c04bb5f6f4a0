//! What a container starts, and where in the image it is.

use sealpack_format::tree::{Kind, Tree};
use sealpack_format::walk;

use crate::environment::value_of;
use crate::spec::{Mount, Process};
use crate::{Error, image::Settings};

/// The words that are started: the entrypoint, then the command, each the image's unless another one is wanted. Another
/// entrypoint makes the image's command meaningless.
pub(crate) fn words(
    image: &Settings,
    entrypoint: Option<&[String]>,
    command: &[String],
) -> Result<Vec<String>, Error> {
    let rest = match (command, entrypoint) {
        ([], None) => image.cmd.as_slice(),
        (command, _) => command,
    };
    let words: Vec<String> = entrypoint.unwrap_or(&image.entrypoint).iter().chain(rest).cloned().collect();
    let program = words.first().ok_or(Error::NoCommand)?;
    match words.iter().find(|word| word.contains('\0')).or((program.is_empty()).then_some(program)) {
        Some(bad) => Err(Error::BadProgram(bad.clone())),
        None => Ok(words),
    }
}

/// Where the program is that a process starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Executable {
    /// In the image, at this path, links as they are.
    At(String),
    /// There is a file in the image, which nobody may execute, or something that is no file.
    NotExecutable(String),
    /// Nowhere; the places that were looked at, in order.
    Nowhere(Vec<String>),
    /// Perhaps in what is mounted, which is not looked at.
    Unknown,
}

/// Looks for the program of `process` in the image's tree, as execvp(3) does in the container: along `PATH` where it is
/// a mere name, from the working directory where it is a relative path. Links are followed inside the image; of users
/// and their rights nothing is looked at.
#[must_use]
pub fn find(tree: &Tree, process: &Process, mounts: &[Mount]) -> Executable {
    let program = process.args.first().map(String::as_str).unwrap_or_default();
    let places = places(program, process);
    let is_mounted = |path: &String| {
        let below = |mount: &&Mount| {
            path.starts_with(&format!("{}/", mount.destination)) || *path == mount.destination
        };
        mounts.iter().any(|mount| below(&mount))
    };
    let mut unusable = None;
    for place in &places {
        if is_mounted(place) {
            return Executable::Unknown;
        }
        let Some(id) = walk::follow(tree, place.as_bytes()) else { continue };
        let inode = tree.inode(id);
        if matches!(inode.kind, Kind::Regular(_)) && inode.metadata.permissions & 0o111 != 0 {
            return Executable::At(place.clone());
        }
        unusable = unusable.or_else(|| Some(place.clone()));
    }
    match unusable {
        Some(place) => Executable::NotExecutable(place),
        // A link out of what is known here may lead into what is mounted.
        None if mounts.iter().any(|mount| mount.fs_type == "bind") && program.contains('/') => {
            Executable::Unknown
        }
        None => Executable::Nowhere(places),
    }
}

fn places(program: &str, process: &Process) -> Vec<String> {
    let below = |directory: &str| match directory {
        "" => below_directory(&process.cwd, program),
        directory if directory.starts_with('/') => below_directory(directory, program),
        directory => below_directory(&below_directory(&process.cwd, directory), program),
    };
    if program.starts_with('/') {
        return vec![program.to_owned()];
    }
    if program.contains('/') {
        return vec![below("")];
    }
    value_of(&process.env, "PATH").unwrap_or_default().split(':').map(below).collect()
}

fn below_directory(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_command_is_the_images_unless_another_one_is_wanted() {
        let image = |entrypoint: &[&str], cmd: &[&str]| Settings {
            entrypoint: owned(entrypoint),
            cmd: owned(cmd),
            ..Settings::default()
        };
        let both = image(&["/init"], &["serve", "--all"]);
        let said = |settings: &Settings, entrypoint: Option<&[&str]>, command: &[&str]| {
            let entrypoint = entrypoint.map(owned);
            words(settings, entrypoint.as_deref(), &owned(command)).map(|words| words.join(" "))
        };
        assert_eq!(said(&both, None, &[]), Ok("/init serve --all".to_owned()));
        assert_eq!(said(&both, None, &["check"]), Ok("/init check".to_owned()));
        assert_eq!(said(&both, Some(&["sh"]), &[]), Ok("sh".to_owned()));
        assert_eq!(said(&both, Some(&["sh"]), &["-c", "id"]), Ok("sh -c id".to_owned()));
        assert_eq!(said(&image(&[], &["sh"]), None, &[]), Ok("sh".to_owned()));
        assert_eq!(said(&image(&[], &[]), None, &[]), Err(Error::NoCommand));
        assert_eq!(said(&both, Some(&[]), &[]), Err(Error::NoCommand));
        assert_eq!(said(&image(&[], &[""]), None, &[]), Err(Error::BadProgram(String::new())));
    }
}
