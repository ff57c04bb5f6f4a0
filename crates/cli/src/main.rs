//! The `sealpack` command.

mod args;
mod commands;
mod compat;
mod complete;
mod container;
mod containerd;
mod context;
#[cfg(test)]
mod documented;
mod error;
mod hint;
mod journal;
mod man;
mod mount_helper;
mod output;
mod progress;
mod show;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::context::Context;
use crate::output::Output;

/// Pull ordinary OCI images, seal them, and mount them so that the kernel decides what may execute.
///
/// Images come from registries, OCI layouts and archives as they are. Names are image
/// references: `debian:12` means `docker.io/library/debian:12`.
#[derive(Debug, Parser)]
#[command(name = "sealpack", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused: verification failed, or a required level was not reached."
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: commands::Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The store [default: /var/lib/sealpack for root, else $XDG_DATA_HOME/sealpack, which is
    /// ~/.local/share/sealpack where it is not set].
    #[arg(long, global = true, value_name = "DIR", env = "SEALPACK_STORE")]
    store: Option<std::path::PathBuf>,
    /// The trust store: whose seals count, and what may be pulled [default: /etc/sealpack/trust.d, and for others than root
    /// $XDG_CONFIG_HOME/sealpack/trust.d too].
    #[arg(long, global = true, value_name = "DIR", env = "SEALPACK_TRUST")]
    trust: Option<std::path::PathBuf>,
    /// Print results as JSON on standard output, progress and errors as JSON lines on standard error.
    #[arg(long, global = true)]
    json: bool,
    /// Print results and errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more about what is done.
    #[arg(short, long, global = true)]
    verbose: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let argv0 = arguments.next().unwrap_or_default();
    if let Some(tool) = compat::Tool::called_as(&argv0) {
        return tool.run(argv0, arguments);
    }
    complete::answer();
    if cfg!(target_feature = "crt-static") {
        // Where it could not be said, hosts are looked for as the machine has it.
        _ = sealpack_kernel::hosts::by_files_and_dns();
    }
    if mount_helper::is_called(&argv0) {
        return ExitCode::from(run_as_mount_helper(&arguments.collect::<Vec<_>>()));
    }
    ExitCode::from(run(std::env::args_os().collect()))
}

/// Does what mount(8) asks for, and answers with the status that it understands.
fn run_as_mount_helper(arguments: &[OsString]) -> u8 {
    match mount_helper::command_line(arguments) {
        Ok(Some(words)) => mount_helper::status_for_mount(run(words)),
        Ok(None) => 0,
        Err(problem) => {
            // Nobody is left to tell when standard error is closed.
            _ = writeln!(std::io::stderr().lock(), "mount.sealpack: {}", output::visible(&problem));
            mount_helper::MISUSED
        }
    }
}

/// Does what a command line says, and answers with the exit status.
fn run(words: Vec<OsString>) -> u8 {
    let mut command = Arguments::command();
    if wants_all_verbs(&command, words.iter().cloned()) {
        command.build();
    }
    let parsed = command.try_get_matches_from(&words).and_then(|matches| {
        let trust_by_variable = matches.value_source("trust") == Some(ValueSource::EnvVariable);
        Ok((Arguments::from_arg_matches(&matches)?, verb_of(&matches), trust_by_variable))
    });
    let (arguments, verb, trust_by_variable) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return misused(error, &words),
    };
    let Global { store, trust, json, quiet, verbose } = arguments.global;
    let output = Output { json, quiet, verbose, verb: verb.leak() };
    let settings = std::env::var_os("SEALPACK_CONFIG").map(Into::into);
    let context = Context { store, trust, trust_by_variable, settings, output };
    match context.with_settings().and_then(|context| arguments.command.run(&context)) {
        Ok(()) => 0,
        Err(error) => {
            output.error(&error);
            error.exit_status()
        }
    }
}

/// The verb that was asked for, with those above it.
fn verb_of(matches: &clap::ArgMatches) -> String {
    let mut words = Vec::new();
    let mut below = matches.subcommand();
    while let Some((verb, matches)) = below {
        words.push(verb);
        below = matches.subcommand();
    }
    words.join(" ")
}

/// Says what is wrong with the command line, or what was asked for of it: help, the version.
fn misused(mut error: clap::Error, line: &[OsString]) -> u8 {
    if !error.use_stderr() {
        error.exit();
    }
    // The usage that an error brings has everything in it that was given, what variables say included, as if it were
    // required.
    let words: Vec<String> = line.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if error.get(ContextKind::Usage).is_some() {
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage_of(&words)));
    }
    if let Some(tip) = tip_for(&error, &words) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    let text = error.render().to_string();
    if wants_json(line.iter().cloned()) {
        let (message, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
        let message = message.trim().trim_start_matches("error: ");
        let hint = Some(rest.trim()).filter(|rest| !rest.is_empty());
        Output::json_line(Output::error_line("usage", message, hint));
        return 2;
    }
    // What was given may be somebody else's text.
    _ = write!(std::io::stderr().lock(), "{}", output::visible(&text));
    u8::try_from(error.exit_code()).unwrap_or(2)
}

/// Other engines take a container's command without dashes before it.
fn tip_for(error: &clap::Error, words: &[String]) -> Option<String> {
    let given = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(word) if error.kind() == ErrorKind::UnknownArgument => word,
        _ => return None,
    };
    let runs = || usage_of(words).to_string().contains("[-- <COMMAND>...]");
    (!given.starts_with('-') && runs())
        .then(|| format!("the container's command comes behind --: `-- {given} …`"))
}

/// How the verb among `words` is used.
fn usage_of(words: &[String]) -> clap::builder::StyledStr {
    let mut command = Arguments::command();
    command.build();
    let mut verb = &mut command;
    for word in words {
        // What is no verb is an option, or an argument of the verb before it.
        if verb.find_subcommand(word).is_some() {
            verb = verb.find_subcommand_mut(word).expect("it was there a moment ago");
        }
    }
    verb.render_usage()
}

/// Whether the answer may list the verbs, with what each does: help does, and what is said to who names no verb.
fn wants_all_verbs(command: &clap::Command, arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let words: Vec<_> = arguments.skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let is_help = |word: &String| {
        let is_short = word.starts_with('-') && !word.starts_with("--");
        word == "help" || word == "--help" || is_short && word.contains('h')
    };
    let is_verb = |word: &String| command.find_subcommand(word).is_some();
    words.iter().any(is_help) || !words.iter().any(|word| is_verb(word) || word == "--version")
}

/// Whether machines read the answer, though the command line cannot be understood.
fn wants_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    arguments.skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn verbs_are_put_together_only_where_they_are_listed_or_used() {
        let wants = |line: &str| {
            super::wants_all_verbs(&super::Arguments::command(), line.split(' ').map(Into::into))
        };
        assert!(wants("sealpack") && wants("sealpack frobnicate") && wants("sealpack --help"));
        assert!(
            wants("sealpack mount --help") && wants("sealpack mount -qh") && wants("sealpack help mount")
        );
        assert!(!wants("sealpack --version") && !wants("sealpack --store x mount a b"));
        // Neither shows in what is said then.
        let mut all = super::Arguments::command();
        all.build();
        let mount = |command: &mut clap::Command| {
            let mut matches = command.try_get_matches_from_mut(["sealpack", "mount", "a"]).unwrap_err();
            matches.remove(clap::error::ContextKind::Usage);
            matches.to_string()
        };
        assert_eq!(mount(&mut all), mount(&mut super::Arguments::command()));
    }

    #[test]
    fn machines_are_told_from_the_words_of_a_line_that_is_wrong() {
        let wants = |line: &str| super::wants_json(line.split(' ').map(Into::into));
        assert!(wants("sealpack frobnicate --json") && wants("sealpack --json pull"));
        assert!(!wants("sealpack pull") && !wants("sealpack cat -- --json"));
    }

    #[test]
    fn who_forgets_the_dashes_before_a_containers_command_is_told() {
        let tip = |line: &str| {
            let words: Vec<String> = line.split(' ').skip(1).map(str::to_owned).collect();
            let error = super::Arguments::command().try_get_matches_from(line.split(' ')).unwrap_err();
            super::tip_for(&error, &words)
        };
        assert!(tip("sealpack run debian:12 cat /x").is_some_and(|tip| tip.ends_with("`-- cat …`")));
        assert!(tip("sealpack bundle debian:12 place sh").is_some());
        assert!(tip("sealpack run --no-such x").is_none() && tip("sealpack images run").is_none());
    }

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }

    #[test]
    fn the_usage_of_a_verb_is_found_among_its_options() {
        let usage = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            super::usage_of(&words).to_string()
        };
        let pull = "Usage: sealpack pull [OPTIONS] <SOURCE>...|--list <FILE>";
        assert_eq!(usage(&["--store", "/s", "pull", "-q"]), pull);
        assert!(usage(&["policy", "--json", "new"]).starts_with("Usage: sealpack policy new [OPTIONS] "));
        assert!(usage(&["nonsense"]).starts_with("Usage: sealpack [OPTIONS] <COMMAND>"));
    }
}
