//! How containers end, and what is left of them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{CONTAINERS, Desk, RUNTIMES, can_run, containers};

/// A container that has said its first line.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().context("it has output")?;
        let mut running = Self { child, lines: BufReader::new(stdout) };
        let first = running.line()?;
        ensure!(first == "ready", "{first}");
        Ok(running)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn send(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("a number")?;
        Ok(kill_process(pid, signal)?)
    }
}

#[test]
fn the_status_is_that_of_what_ran() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    for runtime in RUNTIMES {
        for (script, status) in
            [("exit 0", 0), ("exit 3", 3), ("exit 125", 125), ("kill -9 $$; sleep 9", 137)]
        {
            // What is the first process of a container ends by no signal of its own.
            let script = if script.starts_with("kill") { "sh -c 'kill -9 $$'; exit $?" } else { script };
            let output = desk.attempt(&["--runtime", runtime, "box", "--", "sh", "-c", script])?;
            ensure!(output.status.code() == Some(status), "{runtime} {script}: {output:?}");
            ensure!(
                output.stderr.iter().all(|byte| byte.is_ascii()) && !output.stderr.starts_with(b"error"),
                "{output:?}"
            );
        }
    }
    desk.has_nothing_left()
}

#[test]
fn both_streams_and_the_input_are_passed_on_whole() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let output = desk.attempt(&["box", "--", "sh", "-c", "echo out; echo err >&2; wc -c"])?;
    ensure!(
        output.stdout == b"out\n0\n" && output.stderr == b"err\n",
        "without -i it has no input: {output:?}"
    );
    let mut child = desk
        .command(&["-i", "box", "--", "sh", "-c", "wc -c; seq 200000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("it has input")?;
    input.write_all(&vec![b'x'; 3_000_000])?;
    drop(input);
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.starts_with("3000000\n1\n2\n") && text.ends_with("\n200000\n"), "{} bytes", text.len());
    Ok(())
}

#[test]
fn signals_are_passed_on_and_the_request_to_end_is_the_images_own() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::with(&serde_json::json!({ "Env": ["PATH=/bin"], "StopSignal": "SIGUSR2" }))?;
    let script = "trap 'echo hup' HUP; trap 'echo int' INT; trap 'echo stop; exit 7' USR2; echo ready; \
                  while true; do sleep 0.1; done";
    for runtime in RUNTIMES {
        let mut running =
            Running::start(desk.command(&["--runtime", runtime, "box", "--", "sh", "-c", script]))?;
        for (signal, word) in [(Signal::HUP, "hup"), (Signal::INT, "int"), (Signal::TERM, "stop")] {
            running.send(signal)?;
            let line = running.line()?;
            ensure!(line == word, "{runtime}: {line}");
        }
        ensure!(running.child.wait()?.code() == Some(7));
    }
    desk.has_nothing_left()
}

#[test]
fn who_does_not_heed_the_request_to_end_is_killed_in_time() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    // A shell that is interrupted between the two would end by itself.
    let script = "trap '' INT TERM USR2; echo ready; exec sleep 600";
    let deaf = ["--stop-timeout", "1", "box", "--", "sh", "-c", script];
    let mut running = Running::start(desk.command(&deaf))?;
    let begun = Instant::now();
    running.send(Signal::TERM)?;
    ensure!(running.child.wait()?.code() == Some(137) && begun.elapsed() > Duration::from_millis(900));
    let mut running = Running::start(desk.command(&deaf))?;
    // Those that come while one is waiting are the same one.
    for _ in 0..100 {
        if running.child.try_wait()?.is_some() {
            break;
        }
        running.send(Signal::INT)?;
        std::thread::sleep(Duration::from_millis(300));
    }
    let status = running.child.wait()?;
    ensure!(status.code() == Some(137), "the third interrupt ends it: {status}");
    desk.has_nothing_left()
}

/// The container of a command: that of the only directory which its process made.
fn container_of(child: &Child) -> Result<String> {
    for name in containers()? {
        let process = fs::read_to_string(format!("{CONTAINERS}/{name}/process")).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{}/status", process.trim())).unwrap_or_default();
        if status.lines().any(|line| line.strip_prefix("PPid:\t") == Some(&child.id().to_string())) {
            return Ok(name);
        }
    }
    anyhow::bail!("no container is of process {}", child.id())
}

#[test]
fn what_a_command_that_was_killed_leaves_the_next_one_removes() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    for (runtime, sweeping) in [("runc", &["run", "box"][..]), ("crun", &["run", "box"]), ("runc", &["gc"])] {
        let words = ["--runtime", runtime, "box", "--", "sh", "-c", "echo ready; touch /made; sleep 600"];
        let mut running = Running::start(desk.command(&words))?;
        let name = container_of(&running.child)?;
        let process = fs::read_to_string(format!("{CONTAINERS}/{name}/process"))?;
        running.send(Signal::KILL)?;
        running.child.wait()?;
        let of_container = format!("/proc/{}", process.trim());
        ensure!(fs::metadata(&of_container).is_ok(), "the container goes on");
        ensure!(desk.has_nothing_left().is_err(), "what it wrote is there");
        desk.sealpack.run(sweeping)?;
        ensure!(!containers()?.contains(&name), "{runtime}: {name} is still there");
        let state = fs::read_to_string(format!("{of_container}/stat")).unwrap_or_default();
        ensure!(state.is_empty() || state.contains(") Z "), "{runtime}: it still runs: {state}");
        desk.has_nothing_left()?;
        for cgroups in
            ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/systemd"]
        {
            ensure!(fs::metadata(format!("{cgroups}/sealpack-{name}")).is_err(), "{cgroups} still has it");
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    ensure!(!mounts.contains(CONTAINERS), "{mounts}");
    Ok(())
}

#[test]
fn containers_of_commands_that_go_on_are_left_alone() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let mut running = Running::start(desk.command(&[
        "box",
        "--",
        "sh",
        "-c",
        "trap 'exit 5' TERM; echo ready; while true; do sleep 0.1; done",
    ]))?;
    desk.sealpack.run(["gc"])?;
    ensure!(desk.attempt(&["box", "--", "test", "-e", "/bin/sh"])?.status.success());
    ensure!(running.child.try_wait()?.is_none(), "it was ended");
    running.send(Signal::TERM)?;
    ensure!(running.child.wait()?.code() == Some(5));
    desk.has_nothing_left()
}

/// One directory was open for each that a container had made below another: beyond what a process may have open, nothing of the
/// container was ever removed, by `gc` neither, and its own end was reported as a failure.
#[test]
fn a_container_that_made_directories_without_end_is_removed() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let script = "i=0; while [ $i -lt 600 ]; do mkdir d && cd d || exit 9; i=$((i+1)); done; exit 7";
    let run = desk.command(&["-w", "/tmp", "box", "--", "sh", "-c", script]);
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -n 256; exec \"$0\" \"$@\""]).arg(run.get_program()).args(run.get_args());
    run.get_envs().for_each(|(name, value)| {
        match value {
            Some(value) => few.env(name, value),
            None => few.env_remove(name),
        };
    });
    let output = few.output()?;
    ensure!(output.status.code() == Some(7), "{output:?}");
    desk.has_nothing_left()
}
