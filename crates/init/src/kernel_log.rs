//! The kernel's log, which is what there is before a system runs.

use std::fs::File;
use std::io::{self, Write};

/// The longest line, in bytes: the kernel cuts what is longer than a record (kernel/printk/printk.c, `PRINTKRB_RECORD_MAX`).
const LINE_MAX_BYTES: usize = 900;

/// How much a line matters (`KERN_ALERT` and so on). What is refused has to be on the console whatever its level is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matters {
    /// The boot ends here.
    Alert = 1,
    /// Something is not as it should be, and the boot goes on.
    Warning = 4,
    /// What was done.
    Notice = 5,
}

/// Writes a line to the kernel's log, or where there is none yet, to the console.
pub(crate) fn write(matters: Matters, text: &str) {
    // Opened for each line: the kernel limits how many come by one descriptor (printk_devkmsg).
    write_to(open().ok().as_ref(), matters, text);
}

/// The kernel's log, for a process that will not find it by its name any more.
///
/// # Errors
/// There is none yet.
pub(crate) fn open() -> io::Result<File> {
    File::options().write(true).open("/dev/kmsg")
}

/// Writes a line to a log that is [open](open), or without one to the console. By one descriptor ten lines come within 5 s.
pub(crate) fn write_to(log: Option<&File>, matters: Matters, text: &str) {
    let line = line(text);
    let logged = log.map(|mut log| log.write_all(format!("<{}>{line}\n", matters as u8).as_bytes()));
    if !matches!(logged, Some(Ok(()))) {
        // With nowhere to say it, nobody hears it.
        _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// One line whatever is in the text: control characters would begin another, or be the console's.
fn line(text: &str) -> String {
    let mut line = String::from("sealpack: ");
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if line.len() + character.len_utf8() > LINE_MAX_BYTES {
            line.push('…');
            break;
        }
        line.push(character);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_to_the_log_that_was_kept_with_its_level() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write_to(Some(file.as_file()), Matters::Alert, "one\ntwo");
        write_to(Some(file.as_file()), Matters::Notice, "three");
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "<1>sealpack: one two\n<5>sealpack: three\n");
    }

    #[test]
    fn a_text_is_one_line_and_not_too_long() {
        assert_eq!(line("two\nlines\u{1b}[2J"), "sealpack: two lines [2J");
        let long = line(&"é".repeat(1000));
        assert!(long.len() <= LINE_MAX_BYTES + 3 && long.ends_with("é…"));
    }
}
