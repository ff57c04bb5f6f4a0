//! A small writer of tar layers, apart from the project's own tar code.

/// A member of a layer.
#[derive(Debug, Clone)]
pub(crate) enum Member {
    File(Vec<u8>),
    Directory,
    HardLink(String),
    Symlink(String),
    /// Data in pieces with their offsets, and the size: the rest is holes.
    Sparse(Vec<(u64, Vec<u8>)>, u64),
}

/// The archive of `members`, by their paths.
pub(crate) fn archive(members: &[(&str, Member)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, member) in members {
        append(&mut tar, path, member);
    }
    tar.extend([0; 1024]);
    tar
}

fn append(tar: &mut Vec<u8>, path: &str, member: &Member) {
    let data: Vec<u8> = match member {
        Member::File(data) => data.clone(),
        Member::Sparse(pieces, _) => pieces.iter().flat_map(|(_, data)| data.clone()).collect(),
        _ => Vec::new(),
    };
    let (kind, link) = match member {
        Member::File(_) => (b'0', ""),
        Member::HardLink(target) => (b'1', target.as_str()),
        Member::Symlink(target) => (b'2', target.as_str()),
        Member::Directory => (b'5', ""),
        Member::Sparse(..) => (b'S', ""),
    };
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, if kind == b'5' { "0000755" } else { "0000644" });
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", data.len()));
    put(136, "14524770400");
    put(157, link);
    put(257, if kind == b'S' { "ustar  " } else { "ustar\0" });
    if let Member::Sparse(pieces, size) = member {
        assert!(pieces.len() <= 4, "more need a further header");
        for (number, (offset, data)) in pieces.iter().enumerate() {
            put(386 + number * 24, &format!("{offset:011o}"));
            put(398 + number * 24, &format!("{:011o}", data.len()));
        }
        put(483, &format!("{size:011o}"));
    }
    header[156] = kind;
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar.extend(header);
    tar.extend(&data);
    tar.resize(tar.len().next_multiple_of(512), 0);
}
