//! A small writer of tar layers made by hand: the members that no package manager would produce.
//!
//! It is deliberately apart from the project's own tar code, so that a mistake cannot hide on both sides.

/// What a member is.
#[derive(Clone, Debug)]
pub enum Member {
    /// A regular file.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(String),
    /// Another name of an earlier member.
    HardLink(String),
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One member with its metadata. The defaults: owner 0:0, mtime [`MTIME`], no xattrs.
#[derive(Clone, Debug)]
pub struct Entry {
    path: String,
    member: Member,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: String,
    xattrs: Vec<(String, Vec<u8>)>,
}

/// The modification time of members that set none, in seconds.
pub const MTIME: &str = "1700000000";

impl Entry {
    /// A member with the usual mode of its kind.
    pub fn new(path: impl Into<String>, member: Member) -> Self {
        let mode = match member {
            Member::Directory => 0o755,
            Member::Symlink(_) => 0o777,
            _ => 0o644,
        };
        let (mtime, xattrs) = (MTIME.to_owned(), Vec::new());
        Self { path: path.into(), member, mode, uid: 0, gid: 0, mtime, xattrs }
    }

    /// With these permission bits (setuid and the like included).
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// With this owner and group; numbers past 2,097,151 go to a PAX record.
    #[must_use]
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// With this time in seconds, as a decimal number; one with a fraction goes to a PAX record.
    #[must_use]
    pub fn mtime(mut self, seconds: &str) -> Self {
        seconds.clone_into(&mut self.mtime);
        self
    }

    /// With this extended attribute, in a PAX record.
    #[must_use]
    pub fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.xattrs.push((name.to_owned(), value.to_vec()));
        self
    }
}

/// A tar archive of `entries`, with its two end blocks.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        append(&mut out, entry);
    }
    out.extend(end());
    out
}

/// The two blocks that end an archive.
pub fn end() -> [u8; 1024] {
    [0; 1024]
}

/// The header of a regular file whose data, padded to 512 bytes, its caller puts behind it.
pub fn header_of_file(path: &str, size_bytes: u64) -> [u8; 512] {
    header(b'0', path, "", 0o644, [0, 0], 1_700_000_000, size_bytes, (0, 0))
}

/// Appends one member to an archive that its caller ends with [`end`].
pub fn append(out: &mut Vec<u8>, entry: &Entry) {
    let pax = pax_records(entry);
    if !pax.is_empty() {
        out.extend(header(b'x', "pax", "", 0o644, [0, 0], 0, pax.len() as u64, (0, 0)));
        append_padded(out, &pax);
    }
    let (kind, link, device, data): (u8, &str, (u32, u32), &[u8]) = match &entry.member {
        Member::File(data) => (b'0', "", (0, 0), data),
        Member::HardLink(target) => (b'1', target, (0, 0), &[]),
        Member::Symlink(target) => (b'2', target, (0, 0), &[]),
        Member::Character(major, minor) => (b'3', "", (*major, *minor), &[]),
        Member::Block(major, minor) => (b'4', "", (*major, *minor), &[]),
        Member::Directory => (b'5', "", (0, 0), &[]),
        Member::Fifo => (b'6', "", (0, 0), &[]),
    };
    let seconds = entry.mtime.split('.').next().unwrap_or_default().parse().unwrap_or(0);
    let owner = [entry.uid, entry.gid];
    out.extend(header(kind, &entry.path, link, entry.mode, owner, seconds, data.len() as u64, device));
    append_padded(out, data);
}

/// A ustar header. What does not fit its field is cut: the PAX records before it have the whole of it.
#[expect(clippy::too_many_arguments, reason = "one for each field of the header, at two places")]
fn header(
    kind: u8,
    path: &str,
    link: &str,
    mode: u32,
    owner: [u64; 2],
    mtime: u64,
    size_bytes: u64,
    device: (u32, u32),
) -> [u8; 512] {
    let mut block = [0; 512];
    text(&mut block[..100], path);
    octal(&mut block[100..108], mode.into());
    octal(&mut block[108..116], owner[0].min(0o7_777_777));
    octal(&mut block[116..124], owner[1].min(0o7_777_777));
    octal(&mut block[124..136], size_bytes);
    octal(&mut block[136..148], mtime);
    block[148..156].fill(b' ');
    block[156] = kind;
    text(&mut block[157..257], link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], device.0.into());
    octal(&mut block[337..345], device.1.into());
    let sum: u64 = block.iter().copied().map(u64::from).sum();
    octal(&mut block[148..155], sum);
    block
}

fn text(field: &mut [u8], value: &str) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value.as_bytes()[..length]);
}

/// `value` in octal digits with a NUL behind them.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    text(field, &format!("{value:0digits$o}"));
    field[digits] = 0;
}

fn append_padded(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
}

fn pax_records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |key: &str, value: &[u8]| records.extend(pax_record(key, value));
    if entry.path.len() > 100 {
        add("path", entry.path.as_bytes());
    }
    if let Member::Symlink(target) | Member::HardLink(target) = &entry.member
        && target.len() > 100
    {
        add("linkpath", target.as_bytes());
    }
    if entry.mtime.contains(['.', '-']) {
        add("mtime", entry.mtime.as_bytes());
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if id > 0o7_777_777 {
            add(key, id.to_string().as_bytes());
        }
    }
    for (name, value) in &entry.xattrs {
        add(&format!("SCHILY.xattr.{name}"), value);
    }
    records
}

/// "LENGTH KEY=VALUE\n", where the length counts its own digits.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pax_record_counts_its_own_length() {
        for length in [0, 85, 86, 87, 88, 89, 980, 985, 990] {
            let record = pax_record("key", &vec![b'v'; length]);
            let text = String::from_utf8(record).unwrap();
            assert_eq!(text.split_once(' ').unwrap().0, text.len().to_string(), "{length}");
        }
    }
}
