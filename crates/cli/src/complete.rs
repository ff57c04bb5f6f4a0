//! What a shell offers: verbs and options, and the names of images that the store has.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::env::{Elvish, EnvCompleter, Fish, Powershell, Zsh};
use clap_complete::{ArgValueCompleter, CompleteEnv, CompletionCandidate, Shell};
use sealpack_store::Store;

use crate::context::Context;
use crate::output::Output;

/// The variable by which a shell's script asks for completions, with the shell's name.
const VARIABLE: &str = "SEALPACK_COMPLETE";

/// bash takes words apart at colons, which the script of clap does not mend.
const FOR_BASH: &str = include_str!("../completions/sealpack.bash");

/// The arguments that take the name of an image of the store, by the verbs that have them: of the others some are names of
/// new images, or of other things.
const IMAGES: [(&str, &[&str]); 20] = [
    ("inspect", &["image"]),
    ("convert", &["image"]),
    ("tag", &["image"]),
    ("history", &["name"]),
    ("rollback", &["name"]),
    ("rm", &["images"]),
    ("seal", &["image"]),
    ("verify", &["image"]),
    ("report", &["images"]),
    ("mount", &["image"]),
    ("run", &["image"]),
    ("bundle", &["image"]),
    ("ls", &["image"]),
    ("cat", &["image"]),
    ("diff", &["first", "second"]),
    ("pull", &["sources"]),
    ("copy", &["source"]),
    ("save", &["images"]),
    ("policy check", &["image"]),
    ("policy new", &["image", "digests"]),
];

/// Answers a shell that asks what could come next, and is done then. Whatever is wrong, nothing is said: the shell would
/// print it into the line.
pub(crate) fn answer() {
    if std::env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(command).var(VARIABLE).bin("sealpack").completer("sealpack").complete();
    }
}

/// What a shell reads to complete the commands.
pub(crate) fn script(shell: Shell) -> std::io::Result<Vec<u8>> {
    let clap: &dyn EnvCompleter = match shell {
        Shell::Bash => return Ok(FOR_BASH.into()),
        Shell::Elvish => &Elvish,
        Shell::Fish => &Fish,
        Shell::PowerShell => &Powershell,
        Shell::Zsh => &Zsh,
        other => return Err(std::io::Error::other(format!("there are no completions for {other}"))),
    };
    let mut text = Vec::new();
    clap.write_registration(VARIABLE, "sealpack", "sealpack", "sealpack", &mut text)?;
    Ok(text)
}

/// The command line, with what is offered for the arguments that are images.
fn command() -> clap::Command {
    let mut command = crate::Arguments::command();
    command.build();
    with_images(command, "")
}

fn with_images(command: clap::Command, above: &str) -> clap::Command {
    command.mut_subcommands(|below| {
        let verb = format!("{above}{}", below.get_name());
        let taken = IMAGES.iter().find(|(name, _)| *name == verb).map_or(&[][..], |(_, ids)| *ids);
        let below = with_images(below, &format!("{verb} "));
        below.mut_args(|argument| match taken.contains(&argument.get_id().as_str()) {
            true => argument.add(ArgValueCompleter::new(images)),
            false => argument,
        })
    })
}

/// The images of the store whose names go on as `begun` does.
fn images(begun: &OsStr) -> Vec<CompletionCandidate> {
    let Some(begun) = begun.to_str() else { return Vec::new() };
    let names = names(std::env::args_os().collect()).unwrap_or_default();
    offered(&names, begun).map(CompletionCandidate::new).collect()
}

/// Whole names, or, where none begins so, those that mean one on Docker Hub.
fn offered<'n>(names: &'n [String], begun: &str) -> impl Iterator<Item = &'n str> {
    let is_whole = names.iter().any(|name| name.starts_with(begun));
    let shown = move |name: &'n String| match is_whole {
        true => name.as_str(),
        false => ["docker.io/library/", "docker.io/"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name),
    };
    names.iter().map(shown).filter(move |name| name.starts_with(begun))
}

/// The names in the store that the line is about.
fn names(line: Vec<OsString>) -> Option<Vec<String>> {
    let context = Context {
        store: store_of(&line),
        trust: None,
        trust_by_variable: false,
        settings: std::env::var_os("SEALPACK_CONFIG").map(Into::into),
        output: Output { json: false, quiet: true, verbose: false, verb: "" },
    };
    let store = Store::open(context.with_settings().ok()?.store_path().ok()?).ok()?;
    Some(store.images().ok()?.records.into_iter().map(|record| record.name).collect())
}

/// What the line or the environment says of the store.
fn store_of(line: &[OsString]) -> Option<PathBuf> {
    let behind = |option: usize| line.get(option + 1).map(PathBuf::from);
    let named = line.iter().enumerate().find_map(|(at, word)| match word.to_str()? {
        "--store" => behind(at),
        word => word.strip_prefix("--store=").map(PathBuf::from),
    });
    named.or_else(|| std::env::var_os("SEALPACK_STORE").map(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A verb or an argument that is called otherwise by now would silently be left without images.
    #[test]
    fn each_argument_that_images_are_offered_for_is_there() {
        let mut whole = crate::Arguments::command();
        whole.build();
        for (verb, arguments) in IMAGES {
            let command = verb.split(' ').fold(&whole, |above, word| {
                above.find_subcommand(word).unwrap_or_else(|| panic!("there is no {verb}"))
            });
            for argument in arguments {
                assert!(
                    command.get_arguments().any(|found| found.get_id() == argument),
                    "{verb}: {argument}"
                );
            }
        }
    }

    #[test]
    fn short_names_are_offered_where_no_whole_one_begins_so() {
        let names =
            ["docker.io/library/debian:12", "docker.io/prom/node:1", "example.org/app:1"].map(str::to_owned);
        let offered = |begun: &str| offered(&names, begun).collect::<Vec<_>>();
        assert_eq!(offered("").len(), 3);
        assert_eq!(offered("do"), ["docker.io/library/debian:12", "docker.io/prom/node:1"]);
        assert_eq!(offered("deb"), ["debian:12"]);
        assert_eq!(offered("prom"), ["prom/node:1"]);
        assert_eq!(offered("x"), [""; 0]);
    }

    #[test]
    fn the_store_is_the_one_that_the_line_names() {
        let store = |line: &str| store_of(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(store("sealpack -- sealpack --store /a mount x"), Some("/a".into()));
        assert_eq!(store("sealpack -- sealpack mount --store=/b x"), Some("/b".into()));
    }
}
