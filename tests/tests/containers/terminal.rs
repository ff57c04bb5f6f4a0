//! Containers with a terminal.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, quote};
use sealpack_tests::skip;

use crate::support::{Desk, RUNTIMES, can_run};

#[test]
fn a_container_has_a_terminal_though_the_command_has_none() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    for runtime in RUNTIMES {
        let said = desk.says(&[
            "--runtime",
            runtime,
            "-t",
            "box",
            "--",
            "sh",
            "-c",
            "tty; echo $TERM; test -t 2 && echo all",
        ])?;
        let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
        ensure!(lines[0].starts_with("/dev/") && lines[1..] == ["xterm", "all"], "{runtime}: {said:?}");
    }
    let output = desk.attempt(&["-t", "box", "--", "sh", "-c", "exit 9"])?;
    ensure!(output.status.code() == Some(9), "{output:?}");
    // What comes in from elsewhere ends as what is typed does.
    let mut child = desk
        .command(&["-ti", "box", "--", "wc", "-l"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("it has input")?.write_all(b"one\ntwo\n")?;
    let output = child.wait_with_output()?;
    ensure!(String::from_utf8_lossy(&output.stdout).trim_end().ends_with('2'), "{output:?}");
    desk.has_nothing_left()
}

/// In a terminal of util-linux's `script`, which has the size that it is given.
#[test]
fn a_containers_terminal_is_as_large_as_the_commands_and_passes_on_keys() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    if find("script").is_none() {
        skip("script (of bsdutils) is not installed");
        return Ok(());
    }
    let desk = Desk::new()?;
    for runtime in RUNTIMES {
        let words = [
            "--runtime",
            runtime,
            "-ti",
            "box",
            "--",
            "sh",
            "-c",
            "stty size; trap 'echo interrupted; exit 4' INT; echo ready; while true; do sleep 0.1; done",
        ];
        let command = desk.command(&words);
        let words: Vec<String> = [command.get_program()]
            .into_iter()
            .chain(command.get_args())
            .map(|word| quote(&word.to_string_lossy()))
            .collect();
        let line = format!("stty rows 31 columns 97; {}; stty -a | grep -o ' echo '", words.join(" "));
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = script.spawn()?;
        let mut keys = child.stdin.take().context("it has input")?;
        let mut output = std::io::BufReader::new(child.stdout.take().context("it has output")?);
        let (mut text, mut line) = (String::new(), String::new());
        while !text.contains("ready") {
            line.clear();
            ensure!(std::io::BufRead::read_line(&mut output, &mut line)? > 0, "{runtime}: {text}");
            text += &line;
        }
        // Ctrl-C is a key for the container's own terminal, which makes a signal of it.
        keys.write_all(&[3])?;
        std::io::Read::read_to_string(&mut output, &mut text)?;
        child.wait()?;
        ensure!(text.contains("31 97") && text.contains("interrupted"), "{runtime}: {text}");
        ensure!(text.trim_end().ends_with("echo"), "{runtime}: the terminal is not as it was: {text}");
    }
    desk.has_nothing_left()
}
