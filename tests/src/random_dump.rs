//! Random trees as composefs dumps, with everything that has ever made a difference: names of any byte, deep and
//! wide directories, attributes of every prefix, shared ones, ACLs, whiteouts, overlayfs's own attributes, hard links,
//! sizes around every limit, owners and times that need large inodes and those that do not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Begins with `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `times`.
    pub const fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.below(choices.len() as u64) as usize;
        choices[index]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// The dump of the tree number `seed`.
#[must_use]
pub fn dump(seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut generator = Generator::new(&mut random);
    generator.line(b"/", "40755");
    generator.fill_root();
    generator.link();
    generator.text
}

struct Generator<'r> {
    random: &'r mut Random,
    text: String,
    /// Files by their paths, for hard links.
    files: Vec<(Vec<u8>, String)>,
    /// Directories with the names in them.
    directories: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    /// Attributes that several files have.
    shared: Vec<String>,
    /// Whether all times are the same second, or even the same.
    same_second: bool,
    same_time: bool,
    base_time: i64,
}

impl<'r> Generator<'r> {
    fn new(random: &'r mut Random) -> Self {
        let base_time = match random.below(4) {
            0 => 0,
            1 => 1_700_000_000,
            2 => -5_000_000,
            _ => random.below(1 << 35) as i64 - (1 << 34),
        };
        let (same_second, same_time) = (random.once_in(2), random.once_in(3));
        let mut generator = Self {
            random,
            text: String::new(),
            files: Vec::new(),
            directories: BTreeMap::from([(Vec::new(), BTreeSet::new())]),
            shared: Vec::new(),
            same_second,
            same_time,
            base_time,
        };
        for _ in 0..generator.random.below(6) {
            let xattr = generator.new_xattr();
            generator.shared.push(xattr);
        }
        generator
    }

    fn fill_root(&mut self) {
        let shape = self.random.below(20);
        let count = match shape {
            0 => 0,
            1 => 200 + self.random.below(400),
            _ => 1 + self.random.below(30),
        };
        let mut deepest = Vec::new();
        for _ in 0..count {
            let parent = if shape == 2 { deepest.clone() } else { self.parent() };
            let is_directory = shape == 2 || self.random.once_in(5);
            let path = self.entry(&parent, is_directory);
            if self.directories.contains_key(&path) {
                deepest = path;
            }
        }
    }

    /// A directory that is there.
    fn parent(&mut self) -> Vec<u8> {
        let index = self.random.below(self.directories.len() as u64) as usize;
        self.directories.keys().nth(index).cloned().unwrap_or_default()
    }

    /// Adds a directory, or a file of any type, below `parent`.
    fn entry(&mut self, parent: &[u8], is_directory: bool) -> Vec<u8> {
        let name = self.name();
        let path = [parent, b"/", &name].concat();
        let names = self.directories.entry(parent.to_vec()).or_default();
        if !names.insert(name) {
            return parent.to_vec();
        }
        let permissions = self.random.one_of(&[0o644, 0o755, 0o4711, 0o7777, 0, 0o600]);
        if is_directory {
            self.directories.insert(path.clone(), BTreeSet::new());
            self.line(&path, &format!("4{:04o}", permissions & 0o7777));
            return path;
        }
        let file_type = self.random.one_of(&["10", "10", "10", "10", "12", "2", "2", "6", "1", "14"]);
        let mode = format!("{file_type}{permissions:04o}");
        self.line(&path, &mode);
        self.files.push((path.clone(), mode));
        path
    }

    fn name(&mut self) -> Vec<u8> {
        let mut name = match self.random.below(12) {
            0 => self.random.bytes(255),
            1 => vec![b'x'; self.random.one_of(&[1, 2, 100, 254, 255])],
            2 => format!("{:02x}", self.random.below(256)).into_bytes(),
            3 => self
                .random
                .one_of(&[&b"..."[..], b".a", b" ", b"-", b"\\", b"\n", b"=", b"\xff", b"\x01"])
                .to_vec(),
            4..8 => {
                let length = 1 + self.random.below(12) as usize;
                self.random.bytes(length)
            }
            _ => format!("file{}", self.random.below(1000)).into_bytes(),
        };
        for byte in &mut name {
            if matches!(byte, 0 | b'/') {
                *byte = b'_';
            }
        }
        if name == b"." || name == b".." { b"dots".to_vec() } else { name }
    }

    /// Adds the line of an inode.
    fn line(&mut self, path: &[u8], mode: &str) {
        let is = |file_type| mode.len() == format!("{file_type}0000").len() && mode.starts_with(file_type);
        let (mut size, mut rdev) = (0_u64, 0_u32);
        let (mut payload, mut content, mut digest) = ("-".to_owned(), "-".to_owned(), "-".to_owned());
        if is("10") {
            if self.random.once_in(2) {
                let length = self
                    .random
                    .one_of(&[0, 1, 63, 64, 65, 2047, 2048, 2049, 4032, 4095, 4096, 4097, 4999, 5000]);
                size = length as u64;
                if size > 0 {
                    content = escaped(&self.random.bytes(length), true);
                }
            } else {
                let power = 1_u64 << self.random.below(54);
                size = self.random.one_of(&[power - 1, power, power + 1]).clamp(1, 1 << 53);
                let hex: String = self.random.bytes(32).iter().map(|byte| format!("{byte:02x}")).collect();
                if !self.random.once_in(5) {
                    payload = self.payload(&hex);
                }
                if !self.random.once_in(4) {
                    digest = hex;
                }
            }
        } else if is("12") {
            let length = self.random.one_of(&[1, 2, 60, 1000, 2048, 2049, 4000, 4095]);
            let target: Vec<u8> = self.random.bytes(length).into_iter().map(|byte| byte.max(1)).collect();
            size = length as u64;
            payload = escaped(&target, true);
        } else if is("2") || is("6") {
            rdev = self.random.one_of(&[0, 0, 1, 259, u32::MAX]);
        }
        let (uid, gid) = (self.owner(), self.owner());
        let links = self.random.one_of(&[1, 1, 1, 1, 2, 0, 65_535, 65_536, u32::MAX]);
        let (path, time, xattrs) = (escaped(path, false), self.time(), self.xattrs());
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.text,
            "{path} {size} {mode} {links} {uid} {gid} {rdev} {time} {payload} {content} {digest}{xattrs}"
        );
    }

    /// A path that C reads back as it was: it takes two bytes behind it too, which have to be padding.
    fn payload(&mut self, hex: &str) -> String {
        match self.random.below(4) {
            0 => "p".repeat(self.random.one_of(&[1, 5, 61, 1001, 4093])),
            _ => format!("{}/{}", &hex[..2], &hex[2..]),
        }
    }

    fn owner(&mut self) -> u32 {
        self.random.one_of(&[0, 0, 0, 1000, 65_535, 65_536, u32::MAX])
    }

    fn time(&mut self) -> String {
        let later =
            if self.same_second || self.random.once_in(3) { 0 } else { self.random.below(1 << 33) as i64 };
        let nanoseconds =
            if self.same_time || self.random.once_in(2) { 0 } else { self.random.below(1_000_000_000) };
        format!("{}.{nanoseconds}", self.base_time + later)
    }

    fn xattrs(&mut self) -> String {
        let mut fields = BTreeMap::new();
        let count = if self.random.once_in(2) { 0 } else { self.random.below(5) };
        for _ in 0..count {
            let xattr = if !self.shared.is_empty() && self.random.once_in(2) {
                let index = self.random.below(self.shared.len() as u64) as usize;
                self.shared[index].clone()
            } else {
                self.new_xattr()
            };
            if let Some((key, value)) = xattr.split_once('=') {
                fields.insert(key.to_owned(), value.to_owned());
            }
        }
        // Not in order: whoever writes the image has to sort them.
        let backwards = self.random.once_in(2);
        let mut fields: Vec<String> = fields.iter().map(|(key, value)| format!(" {key}={value}")).collect();
        if backwards {
            fields.reverse();
        }
        let text = fields.concat();
        // A line holds no more than 65535 bytes of them, and a file no more than 32767.
        if text.len() > 30_000 { fields.first().cloned().unwrap_or_default() } else { text }
    }

    fn new_xattr(&mut self) -> String {
        let names = [
            "user.a",
            "user.b",
            "user.",
            "security.selinux",
            "security.capability",
            "trusted.x",
            "trusted.overlay.opaque",
            "trusted.overlay.redirect",
            "trusted.overlay.metacopy",
            "trusted.overlay.whiteout",
            "trusted.overlay.whiteouts",
            "trusted.overlay.overlay.opaque",
            "trusted.overlay.",
            "trusted.overlayx",
            "user.overlay.opaque",
            "user.overlay.whiteout",
            "user.overlay.whiteouts",
            "user.overlay.x",
            "system.posix_acl_access",
            "system.posix_acl_default",
            "system.posix_acl_accessory",
            "lustre.lov",
            "system.nfs4_acl",
            "nothing",
        ];
        let key = match self.random.below(12) {
            0 => format!("user.{}", "n".repeat(self.random.one_of(&[1, 3, 200, 249, 250]))),
            1 => format!("user.{}", escaped(&nonzero(self.random.bytes(6)), true)),
            _ => self.random.one_of(&names).to_owned(),
        };
        let length = match self.random.below(20) {
            0 => self.random.one_of(&[255, 256, 2000, 4000, 4080, 7000]),
            1 => 0,
            _ => self.random.below(40) as usize,
        };
        // C does not read an entry back that has neither a name behind its prefix nor a value.
        let is_bare = ["user.", "system.posix_acl_access", "system.posix_acl_default"].contains(&&*key);
        let value = self.random.bytes(if is_bare { length.max(1) } else { length });
        format!("{key}={}", escaped(&value, true))
    }

    /// Adds hard links to some files.
    fn link(&mut self) {
        if self.files.is_empty() || !self.random.once_in(3) {
            return;
        }
        for _ in 0..1 + self.random.below(4) {
            let index = self.random.below(self.files.len() as u64) as usize;
            let (target, mode) = self.files[index].clone();
            let parent = self.parent();
            let name = self.name();
            if !self.directories.entry(parent.clone()).or_default().insert(name.clone()) {
                continue;
            }
            let path = [&parent[..], b"/", &name].concat();
            let _ = writeln!(
                self.text,
                "{} 0 @{mode} 1 0 0 0 0.0 {} - -",
                escaped(&path, false),
                escaped(&target, false)
            );
        }
    }
}

fn nonzero(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().map(|byte| byte.max(1)).collect()
}

/// `bytes` as a field; with `all`, what means something in other fields is escaped as well.
fn escaped(bytes: &[u8], all: bool) -> String {
    let mut text = String::new();
    for byte in bytes {
        let is_plain = byte.is_ascii_graphic() && *byte != b'\\' && !(all && matches!(byte, b'=' | b'-'));
        if is_plain {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_dump_and_another_one_another() {
        assert_eq!(dump(7), dump(7));
        assert_ne!(dump(7), dump(8));
        assert!((0..50).all(|seed| dump(seed).starts_with("/ 0 40755 ")));
    }
}
