//! The kernel's log, through `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg).

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, Kernel};

const DEVICE: &str = "/dev/kmsg";

/// More than any record: the kernel makes them at most 1024 bytes, and each escaped byte takes four.
const RECORD_MAX_BYTES: usize = 8192;

/// More records than any log has. New ones come while it is read.
const RECORDS_MAX: usize = 1 << 20;

impl Kernel {
    /// What the kernel itself has logged and not forgotten: lines without their prefixes and with
    /// their bytes as they were logged. Lines that programs wrote are left out.
    ///
    /// # Errors
    /// `EPERM` or `EACCES` without `CAP_SYSLOG` where `dmesg_restrict` is set.
    pub fn log(&self) -> Result<Vec<u8>, Error> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let arguments = || format!("{DEVICE:?}, O_RDONLY | O_NONBLOCK");
        let device = self.call("open", arguments, || rustix::fs::open(DEVICE, flags, Mode::empty()))?;
        let mut log = Vec::new();
        let mut buffer = vec![0; RECORD_MAX_BYTES];
        for _ in 0..RECORDS_MAX {
            let arguments = || format!("{DEVICE:?}, {RECORD_MAX_BYTES} bytes");
            match self.call("read", arguments, || rustix::io::read(&device, &mut buffer)) {
                Ok(0) => break,
                Ok(length) => add_record(&mut log, buffer.get(..length).unwrap_or_default()),
                // It was overwritten before it was read; the next one is there.
                Err(error) if error.errno() == Errno::PIPE => {}
                Err(error) if error.errno() == Errno::AGAIN => break,
                Err(error) => return Err(error),
            }
        }
        Ok(log)
    }
}

/// Adds the line of a record such as `5,1234,5678901,-;text` to `log`, if the kernel wrote it:
/// its facility, the number's higher bits, is 0. What follows the first line is a dictionary.
fn add_record(log: &mut Vec<u8>, record: &[u8]) {
    let line = record.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(end) = line.iter().position(|byte| *byte == b';') else { return };
    let (prefix, text) = line.split_at(end);
    let number = prefix.split(|byte| *byte == b',').next().and_then(|word| str::from_utf8(word).ok());
    if number.and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number >> 3 == 0) {
        unescape(log, text.get(1..).unwrap_or_default());
        log.push(b'\n');
    }
}

/// Adds `text` with `\xNN` turned back into bytes. A line end among them stays as it is.
fn unescape(log: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.strip_prefix(b"x").filter(|_| *first == b'\\').and_then(|after| {
            let (digits, after) = after.split_at_checked(2)?;
            let byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
            (byte != b'\n').then_some((byte, after))
        });
        let (byte, after) = escaped.unwrap_or((*first, after));
        log.push(byte);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_kernel_are_lines_without_prefix_and_escapes() {
        let mut log = Vec::new();
        for record in [
            &b"5,1,12,-;audit: comm=\"a\\x5cb\" \\xc3\\xa9 \\xzz \\x0a\n SUBSYSTEM=x\n"[..],
            b"13,2,12,-;a program wrote this",
            b"30,2,12,-;and a daemon this",
            b"no record",
            b"4,3,12,c,more=1;end\\",
        ] {
            add_record(&mut log, record);
        }
        assert_eq!(String::from_utf8(log).unwrap(), "audit: comm=\"a\\b\" é \\xzz \\x0a\nend\\\n");
    }

    #[test]
    fn a_log_that_ends_is_read_to_its_end_though_some_of_it_was_overwritten() {
        let errors = std::sync::Mutex::new(vec![Errno::AGAIN, Errno::PIPE]);
        let kernel = Kernel::with_hook(move |call| match call.name {
            "read" => errors.lock().unwrap().pop(),
            _ => None,
        });
        match kernel.log() {
            Ok(log) => assert_eq!(log, b""),
            Err(error) => {
                let refused = [Errno::PERM, Errno::ACCESS, Errno::NOENT].contains(&error.errno());
                assert!(refused, "{error}");
                println!("skipped: {error}");
            }
        }
    }
}
