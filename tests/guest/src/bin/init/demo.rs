//! What `cargo xtask demo` shows in the guest: under the final policy, what runs from sealed images and what does
//! not run otherwise, with the kernel's own words and what `sealpack policy explain` makes of them.

use crate::checks::enforcement::{ATTACKED, PROGRAM, Went, attack, execute, execute_in};
use crate::checks::images::{self, Mounted, Store};
use crate::checks::preload;
use crate::kernel_log::KernelLog;
use crate::stages;
use anyhow::{Context, Result};
use sealpack_guest::checks::Stage;
use sealpack_guest::disk::PYTHON;
use sealpack_guest::images::{INLINE_SAYS, OTHER_SCRIPT_SAYS, SCRIPT_SAYS};
use sealpack_guest::report::{Line, Row};
use sealpack_kernel::Errno;
use sealpack_tests::command::run_with_input;
use serde_json::Value;
use std::fs;
use std::io::{Seek, Write};

/// How something went, and what has to stay mounted until that is explained.
type Tried = (Went, Vec<Mounted>);

/// Something that is tried.
struct Step<'a> {
    what: &'static str,
    run: Box<dyn Fn() -> Result<Tried> + 'a>,
}

fn step<'a>(what: &'static str, run: impl Fn() -> Result<Went> + 'a) -> Step<'a> {
    Step { what, run: Box::new(move || Ok((run()?, Vec::new()))) }
}

fn step_with<'a>(what: &'static str, run: impl Fn() -> Result<Tried> + 'a) -> Step<'a> {
    Step { what, run: Box::new(run) }
}

/// Tries everything, and reports a row for each.
pub(crate) fn run(report: &mut impl Write) -> Result<()> {
    stages::enter(Stage::Final)?;
    // Otherwise records in quick succession are left out.
    fs::write("/proc/sys/kernel/printk_ratelimit", "0")?;
    let (one, two) = (images::signed("one")?, images::signed("two")?);
    let python = python()?;
    for step in allowed(&one, &two, python.as_ref()) {
        try_out(&step, report)?;
    }
    let (writable, unsigned) =
        (images::writable("one")?, images::unsigned("one", &images::target("unsigned")?)?);
    fs::copy(one.path("bin/program"), writable.path("bin/copy"))?;
    for step in denied(&one, &writable, &unsigned) {
        try_out(&step, report)?;
    }
    Ok(())
}

/// The image that was pulled right before, or the one of the checks, where the demo's end is all that is run.
fn python() -> Result<Option<Mounted>> {
    if Store::Pulled.path().exists() {
        let target = images::target("pulled")?;
        return Store::Pulled.mount(PYTHON, &target, "enforced").map(Some);
    }
    match images::why_no_python() {
        None => images::signed("python").map(Some),
        Some(why) => {
            println!("no python3: {why}");
            Ok(None)
        }
    }
}

fn allowed<'a>(one: &'a Mounted, two: &'a Mounted, python: Option<&'a Mounted>) -> Vec<Step<'a>> {
    let mut steps = vec![
        step("a program with its libraries, from a sealed image", || {
            execute_in(one.root(), &["/bin/busybox", "echo", "it runs"], "it runs")
        }),
        step("a script of it", || execute_in(one.root(), &["/bin/script"], SCRIPT_SAYS)),
        step("a script of 37 bytes, inside the metadata image", || {
            execute_in(one.root(), &["/bin/inline"], INLINE_SAYS)
        }),
        step("a second image on the same base, at the same time", || {
            execute_in(two.root(), &["/bin/script"], OTHER_SCRIPT_SAYS)
        }),
    ];
    if let Some(python) = python {
        steps.push(step(
            "Debian's python3, from the image that came with its seal, importing modules in C",
            || {
                let words = ["/usr/bin/python3", "-c", "import _ssl, _sqlite3; print('sealed')"];
                execute_in(python.root(), &words, "sealed")
            },
        ));
    }
    steps
}

fn denied<'a>(one: &'a Mounted, writable: &'a Mounted, unsigned: &'a Mounted) -> Vec<Step<'a>> {
    vec![
        step("the same image, mounted without a signature", || {
            execute(unsigned.path("bin/program"), ATTACKED)
        }),
        step_with("another unsigned image, mounted over the sealed one", || {
            let over = images::unsigned_over("two", one.root())?;
            Ok((execute_in(one.root(), &["/bin/script"], OTHER_SCRIPT_SAYS)?, over.into()))
        }),
        step_with("a foreign program bound over a sealed one", || {
            let over = images::bind(PROGRAM, one.path("bin/busybox"))?;
            Ok((execute(one.path("bin/busybox"), ATTACKED)?, vec![over]))
        }),
        step("a copy in the image's writable layer", || execute(writable.path("bin/copy"), ATTACKED)),
        step("a foreign library through LD_PRELOAD", || preload(writable)),
        step("a foreign file mapped as code", || attack(&["map", PROGRAM])),
        step("a program that is in memory only", || attack(&["in-memory", PROGRAM])),
    ]
}

fn try_out(step: &Step<'_>, report: &mut impl Write) -> Result<()> {
    let mut log = KernelLog::from_now_on()?;
    let (went, mounted) = (step.run)().with_context(|| step.what.to_owned())?;
    let (said, explained) = match went {
        Went::Through => ("runs".to_owned(), String::new()),
        Went::Refused(errno) => (said(errno), explained(&log.records("type=1420")?)?),
    };
    let row = Row { tried: step.what.to_owned(), said, explained };
    drop(mounted);
    println!("{row:?}");
    Ok(writeln!(report, "{}", Line::Row(row))?)
}

fn said(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    if errno == Errno::ACCESS { format!("EACCES: {text}") } else { text.to_owned() }
}

/// What the last of the records means.
fn explained(records: &[String]) -> Result<String> {
    let Some(record) = records.last() else {
        return Ok("the kernel logged nothing".into());
    };
    let mut input = tempfile::tempfile_in("/tmp")?;
    writeln!(input, "{record}")?;
    input.rewind()?;
    let mut explain = Store::Sealed.sealpack(["--json", "policy", "explain", "-"]);
    let output = run_with_input(&mut explain, input)?;
    let explained: Value = serde_json::from_slice(&output.stdout).context("what policy explain prints")?;
    let explained = &explained["records"][0];
    let text = |key: &str| explained[key].as_str().map(str::to_owned);
    let (what, why) = (text("what"), text("why"));
    Ok(what.zip(why).map_or_else(|| record.clone(), |(what, why)| format!("{what}: {why}")))
}
