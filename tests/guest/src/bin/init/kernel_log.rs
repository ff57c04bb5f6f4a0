//! The kernel's log, from a moment on.

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// How long records may take from what causes them into the log: the audit system writes them from a thread.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is logged after this was made.
pub(crate) struct KernelLog {
    file: File,
}

impl KernelLog {
    pub(crate) fn from_now_on() -> Result<Self> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits())?;
        let mut file = File::options()
            .read(true)
            .custom_flags(flags)
            .open("/dev/kmsg")
            .context("cannot open /dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file })
    }

    /// The records with `mark` in them: all that there are as soon as there are any, or none after a while.
    pub(crate) fn records(&mut self, mark: &str) -> Result<Vec<String>> {
        let (started, mut found) = (Instant::now(), Vec::new());
        while found.is_empty() && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(100));
            while let Some(record) = self.next()? {
                if record.contains(mark) {
                    found.push(record);
                }
            }
        }
        Ok(found)
    }

    /// The text of the next record; each read returns one, with a prefix that ends with a semicolon.
    fn next(&mut self) -> Result<Option<String>> {
        let mut bytes = [0; 8192];
        loop {
            match self.file.read(&mut bytes) {
                Ok(length) => {
                    let record = String::from_utf8_lossy(&bytes[..length]);
                    let text = record.split_once(';').map_or(&*record, |(_, text)| text);
                    return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // What was overwritten before it was read.
                Err(error) if error.raw_os_error() == Some(32) => {}
                Err(error) => return Err(error).context("cannot read /dev/kmsg"),
            }
        }
    }
}
