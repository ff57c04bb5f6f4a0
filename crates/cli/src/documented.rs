//! What docs/sealed-hosts.md tells people to type is understood.

use clap::CommandFactory;

const PAGE: &str = include_str!("../../../docs/sealed-hosts.md");

/// The commands of the page: lines of blocks ```console behind `$ ` or `# `, with those that a backslash continues.
fn commands() -> Vec<String> {
    let (mut commands, mut is_console, mut goes_on) = (Vec::<String>::new(), false, false);
    for line in PAGE.lines() {
        if line.starts_with("```") {
            is_console = line == "```console";
            continue;
        }
        let begun = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
        match (begun, commands.last_mut()) {
            (Some(command), _) if is_console && !goes_on => commands.push(command.to_owned()),
            (_, Some(command)) if is_console && goes_on => command.push_str(line.trim_start()),
            _ => continue,
        }
        let last = commands.last_mut().expect("one was added, or there before");
        goes_on = last.ends_with('\\');
        if goes_on {
            last.pop();
        }
    }
    commands
}

/// The words of a command as a shell has them, where it has no quotes but single ones.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut is_quoted) = (vec![String::new()], false);
    for character in command.chars() {
        match character {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            character => words.last_mut().expect("there is always one").push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_on_the_page_of_sealed_hosts_is_understood() {
    let ours: Vec<String> =
        commands().into_iter().filter(|command| command.starts_with("sealpack ")).collect();
    assert!(ours.len() > 15, "{ours:?}");
    for command in ours {
        // Where its output goes is for the shell.
        let command = command.split(" > ").next().expect("a text has a first part");
        let parsed = super::Arguments::command().try_get_matches_from(words(command));
        assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
    }
}

#[test]
fn commands_are_found_with_what_continues_them() {
    let all = commands();
    assert!(
        all.iter().any(|command| command.starts_with("qemu-system-x86_64 ") && command.contains("disk.img"))
    );
    assert!(all.iter().all(|command| !command.contains('\\') || command.contains("printf")), "{all:?}");
    assert_eq!(
        words("sealpack key new --subject 'a b' --x"),
        ["sealpack", "key", "new", "--subject", "a b", "--x"]
    );
}

/// Verbs in the middle of sentences are verbs: `sealpack policy new`, and `host build` too.
#[test]
fn every_verb_that_the_page_names_is_one() {
    let whole = super::Arguments::command();
    let mut found = 0;
    for text in PAGE.split('`').skip(1).step_by(2) {
        let mut command = &whole;
        let words = text.split(' ').skip_while(|word| *word == "sealpack");
        for word in words.take_while(|word| word.chars().all(char::is_lowercase)) {
            match command.find_subcommand(word) {
                Some(below) => command = below,
                None if !command.has_subcommands() || command.get_name() == whole.get_name() => break,
                None => panic!("{text}: {} has no {word}", command.get_name()),
            }
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
}
