//! Copies of a process, and signals to it, in one that has a single thread.

use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Signal, getpid, kill_process};
use sealpack_kernel::{Errno, Forked, Kernel, interrupt};

fn main() {
    let mut arguments = Arguments::from_args();
    // In this very thread.
    arguments.test_threads = Some(1);
    let tests = vec![
        Trial::test("a_copy_goes_on_from_the_same_place_and_is_waited_for", copy),
        // It starts a thread, and so comes last.
        Trial::test("signals_that_are_passed_on_do_nothing_to_the_process_itself", signals),
    ];
    libtest_mimic::run(&arguments, tests).exit();
}

fn copy() -> Result<(), Failed> {
    let kernel = Kernel::new();
    let before = String::from("21");
    let child = match kernel.fork()? {
        Forked::Child => std::process::exit(before.parse()?),
        Forked::Parent { child } => child,
    };
    let status = kernel.wait_for(child, false)?.ok_or("it was to be waited for")?;
    assert_eq!(status.exit_status(), Some(21));
    let again = kernel.wait_for(child, true).expect_err("it is gone");
    assert_eq!(again.errno(), Errno::CHILD);
    Ok(())
}

fn signals() -> Result<(), Failed> {
    let (heard, hear) = mpsc::channel();
    interrupt::instead_of_ending(move |signal| _ = heard.send(signal))?;
    for signal in [Signal::TERM, Signal::USR1, Signal::WINCH, Signal::TERM] {
        kill_process(getpid(), signal)?;
        assert_eq!(hear.recv_timeout(Duration::from_secs(30)), Ok(signal.as_raw()));
    }
    // What is started hears them, though this process does not.
    let blocked = |command: &mut Command| -> Result<String, Failed> {
        let output = command.args(["SigBlk", "/proc/self/status"]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    };
    let none = format!("SigBlk:\t{:016x}", 0);
    let mut grep = Command::new("grep");
    interrupt::hears_all(&mut grep);
    assert_eq!(blocked(&mut grep)?, none);
    assert_ne!(
        blocked(&mut Command::new("grep"))?,
        none,
        "others inherit what this process keeps from itself"
    );
    Ok(())
}
