//! What happens, for systemd's journal: entries with fields that programs can ask for, and with identifiers that a catalogue
//! explains (`contrib/catalog/sealpack.catalog`).
//!
//! The protocol is systemd's "Native Journal Protocol" (docs/JOURNAL_NATIVE_PROTOCOL.md there): a datagram for each entry. One
//! that were too large for a datagram would have to go by a file in memory; texts are cut instead.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where systemd's journal takes entries.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// The longest text of a field, in bytes: an entry has a few of them, and a datagram takes some 200 KB.
const TEXT_MAX_BYTES: usize = 16 * 1024;

/// A kind of entry. What there is of identifiers is for ever: catalogues and people's filters have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Happening {
    /// An image came in, or was there already.
    Pulled,
    /// Something was refused: by the rules, a signature, a digest, or a level that was required.
    Refused,
    /// An image was mounted.
    Mounted,
    /// An image is mounted no more.
    Unmounted,
    /// The kernel has a policy, or a newer version of it.
    PolicyLoaded,
    /// Another policy decides.
    PolicyActivated,
}

impl Happening {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Pulled,
        Self::Refused,
        Self::Mounted,
        Self::Unmounted,
        Self::PolicyLoaded,
        Self::PolicyActivated,
    ];

    /// Its `MESSAGE_ID`: 128 random bits.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Pulled => "03fc888aff3e4aa88f513e847d3b0a02",
            Self::Refused => "7ddcf3821b864a4b86baec9948eba836",
            Self::Mounted => "db0358c7b35e464eac03404ab4f365c0",
            Self::Unmounted => "ec11611456df44d19d939ed0ad8ae32e",
            Self::PolicyLoaded => "2d4d20580242401fa2fe8f801248d150",
            Self::PolicyActivated => "793b5870ccca48b78d10275b0ffc06ab",
        }
    }

    /// How much it matters, as syslog counts: 4 is a warning, 5 is worth noting, 6 is for information.
    #[must_use]
    pub const fn priority(self) -> u8 {
        match self {
            Self::Refused => 4,
            Self::PolicyLoaded | Self::PolicyActivated => 5,
            Self::Pulled | Self::Mounted | Self::Unmounted => 6,
        }
    }
}

/// Something that happened, with what there is to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    happening: Happening,
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Entry {
    /// With a sentence for people.
    #[must_use]
    pub fn new(happening: Happening, message: impl Into<String>) -> Self {
        Self { happening, message: message.into(), fields: Vec::new() }
    }

    /// With one more field: what follows `SEALPACK_` in its name, in capitals.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl ToString) -> Self {
        self.fields.push((field, value.to_string()));
        self
    }

    /// The datagram.
    fn bytes(&self, identifier: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        field(&mut bytes, "MESSAGE", &self.message);
        field(&mut bytes, "MESSAGE_ID", self.happening.id());
        field(&mut bytes, "PRIORITY", &self.happening.priority().to_string());
        field(&mut bytes, "SYSLOG_IDENTIFIER", identifier);
        for (name, value) in &self.fields {
            field(&mut bytes, &format!("SEALPACK_{name}"), value);
        }
        bytes
    }
}

/// A field with its length in front of the text, since that may have lines.
fn field(bytes: &mut Vec<u8>, name: &str, text: &str) {
    let end = text.floor_char_boundary(TEXT_MAX_BYTES);
    let text = text.get(..end).unwrap_or_default();
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(b'\n');
}

/// A journal that takes entries of one program.
#[derive(Debug, Clone)]
pub struct Journal {
    socket: PathBuf,
    identifier: &'static str,
}

impl Journal {
    /// The one behind a socket.
    #[must_use]
    pub fn at(socket: &Path, identifier: &'static str) -> Self {
        Self { socket: socket.to_owned(), identifier }
    }

    /// Sends an entry. Nobody is waited for.
    ///
    /// # Errors
    /// Where there is no such socket, or who listens takes nothing now. That is no reason for anything to fail.
    pub fn send(&self, entry: &Entry) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to(&entry.bytes(self.identifier), &self.socket).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_entry_is_a_datagram_of_fields_with_lengths() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("socket");
        let journald = UnixDatagram::bind(&path).expect("nobody has it");
        let entry = Entry::new(Happening::Mounted, "a\nb").with("LEVEL", "signed");
        Journal::at(&path, "sealpack").send(&entry).expect("somebody listens");
        let mut bytes = vec![0; 4096];
        let size = journald.recv(&mut bytes).expect("it came");
        let expected = b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n\
            MESSAGE_ID\n\x20\0\0\0\0\0\0\0db0358c7b35e464eac03404ab4f365c0\n\
            PRIORITY\n\x01\0\0\0\0\0\0\x006\n\
            SYSLOG_IDENTIFIER\n\x08\0\0\0\0\0\0\0sealpack\n\
            SEALPACK_LEVEL\n\x06\0\0\0\0\0\0\0signed\n";
        assert_eq!(String::from_utf8_lossy(&bytes[..size]), String::from_utf8_lossy(expected));
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_fit_a_datagram() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("socket");
        let journald = UnixDatagram::bind(&path).expect("nobody has it");
        let long = "ä".repeat(1_000_000);
        let entry = Entry::new(Happening::Refused, format!("x{long}"))
            .with("IMAGE", &long)
            .with("VERB", &long)
            .with("TARGET", &long);
        Journal::at(&path, "sealpack").send(&entry).expect("it fits");
        let mut bytes = vec![0; 1 << 20];
        let size = journald.recv(&mut bytes).expect("it came");
        let head = [&b"MESSAGE\n"[..], &(TEXT_MAX_BYTES as u64 - 1).to_le_bytes()].concat();
        assert!(size < 5 * TEXT_MAX_BYTES && bytes.starts_with(&head));
    }

    #[test]
    fn where_nobody_listens_or_reads_it_is_said_at_once() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("socket");
        let entry = Entry::new(Happening::Pulled, "a");
        let journal = Journal::at(&path, "sealpack");
        assert_eq!(journal.send(&entry).expect_err("no socket").kind(), io::ErrorKind::NotFound);
        let _journald = UnixDatagram::bind(&path).expect("nobody has it");
        let full = (0..100_000).find_map(|_| journal.send(&entry).err());
        assert_eq!(full.map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn identifiers_are_of_one_kind_each() {
        let ids: BTreeSet<_> = Happening::ALL.into_iter().map(Happening::id).collect();
        assert_eq!(ids.len(), Happening::ALL.len());
        let is_id = |id: &&str| id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(ids.iter().all(is_id), "{ids:?}");
    }
}
