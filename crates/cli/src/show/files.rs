//! Files of an image as lines and as JSON.

use sealpack_format::tree::{Content, Inode, InodeId, Kind, Time, Tree, device_major_minor, shown};
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::Output;

/// The type's word for machines.
pub(crate) const fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Directory(_) => "directory",
        Kind::Regular(_) => "file",
        Kind::Symlink(_) => "symlink",
        Kind::CharDevice(_) => "character device",
        Kind::BlockDevice(_) => "block device",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    }
}

/// A line as `ls -l` has it, times in UTC.
fn long_line(path: &[u8], inode: &Inode) -> String {
    let metadata = &inode.metadata;
    let size = match &inode.kind {
        Kind::CharDevice(number) | Kind::BlockDevice(number) => {
            let (major, minor) = device_major_minor(*number);
            format!("{major},{minor}")
        }
        kind => size_of(kind).to_string(),
    };
    let target = match &inode.kind {
        Kind::Symlink(target) => format!(" -> {}", shown(target)),
        _ => String::new(),
    };
    format!(
        "{} {:>3} {:>5} {:>5} {:>10} {} {}{target}",
        mode(inode),
        inode.names(),
        metadata.uid,
        metadata.gid,
        size,
        date(metadata.mtime),
        shown(path)
    )
}

/// Shows files of an image, with all that is known of them where that is wanted.
pub(crate) fn list(output: Output, tree: &Tree, found: &[(Vec<u8>, InodeId)], long: bool) -> CommandResult {
    if output.json {
        let files: Vec<Value> = found.iter().map(|(path, id)| json_of(path, tree.inode(*id))).collect();
        return output.result(&json!({ "files": files }), String::new);
    }
    let mut text = String::new();
    for (path, id) in found {
        text += &if long { long_line(path, tree.inode(*id)) } else { shown(path) };
        text.push('\n');
    }
    output.text(&text)
}

/// All that is known of a file.
fn json_of(path: &[u8], inode: &Inode) -> Value {
    let metadata = &inode.metadata;
    let more = json!({
        "type": kind_name(&inode.kind),
        "mode": format!("{:04o}", metadata.permissions),
        "uid": metadata.uid,
        "gid": metadata.gid,
        "mtime": parts::time(metadata.mtime),
        "links": inode.names(),
    });
    let mut value = parts::with(parts::path(path), more);
    match &inode.kind {
        Kind::Regular(content) => {
            value["size_bytes"] = content.size_bytes().into();
            match content {
                Content::Inline(_) => value["inline"] = true.into(),
                Content::Object { id, .. } => value["fsverity_digest"] = json!(id),
                Content::External { path, .. } => value["external"] = shown(path).into(),
            }
        }
        Kind::Symlink(target) => value["target"] = String::from_utf8_lossy(target).into(),
        Kind::CharDevice(number) | Kind::BlockDevice(number) => {
            let (major, minor) = device_major_minor(*number);
            value["device_number"] = json!({ "major": major, "minor": minor });
        }
        Kind::Directory(_) | Kind::Fifo | Kind::Socket => {}
    }
    if !metadata.xattrs.is_empty() {
        let xattrs = metadata.xattrs.iter().map(|(key, bytes)| (shown(key), Value::from(parts::hex(bytes))));
        value["xattrs_hex"] = Value::Object(xattrs.collect());
    }
    value
}

fn size_of(kind: &Kind) -> u64 {
    match kind {
        Kind::Regular(content) => content.size_bytes(),
        Kind::Symlink(target) => target.len() as u64,
        _ => 0,
    }
}

/// `drwxr-xr-x`, with setuid, setgid and sticky where `ls` puts them.
fn mode(inode: &Inode) -> String {
    let bits = inode.metadata.permissions;
    let kind = match inode.kind {
        Kind::Directory(_) => 'd',
        Kind::Regular(_) => '-',
        Kind::Symlink(_) => 'l',
        Kind::CharDevice(_) => 'c',
        Kind::BlockDevice(_) => 'b',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let three = bits >> shift;
        text.push(if three & 4 == 0 { '-' } else { 'r' });
        text.push(if three & 2 == 0 { '-' } else { 'w' });
        text.push(match (bits & special != 0, three & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, false) => letter.to_ascii_uppercase(),
            (true, true) => letter,
        });
    }
    text
}

/// `2026-11-23 22:15:00`, or the bare seconds where no calendar reaches.
pub(crate) fn date(time: Time) -> String {
    match time::OffsetDateTime::from_unix_timestamp(time.seconds) {
        Ok(at) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ),
        Err(_) => format!("@{}", time.seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpack_format::tree::Metadata;

    fn with_mode(permissions: u16, kind: Kind) -> Inode {
        Inode::new(Metadata { permissions, ..Metadata::default() }, kind)
    }

    #[test]
    fn modes_read_as_ls_writes_them() {
        assert_eq!(mode(&with_mode(0o4755, Kind::Fifo)), "prwsr-xr-x");
        assert_eq!(mode(&with_mode(0o7000, Kind::Socket)), "s--S--S--T");
        assert_eq!(mode(&with_mode(0o1777, Kind::Directory(Default::default()))), "drwxrwxrwt");
    }

    #[test]
    fn times_before_1970_and_beyond_calendars_have_a_text() {
        let at = |seconds| date(Time { seconds, nanoseconds: 0 });
        assert_eq!(at(0), "1970-01-01 00:00:00");
        assert_eq!(at(-1), "1969-12-31 23:59:59");
        assert_eq!(at(i64::MAX), format!("@{}", i64::MAX));
    }
}
