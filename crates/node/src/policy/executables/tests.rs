use std::collections::HashMap;

use sealpack_format::tree::{Directory, Metadata, Xattrs, shown};

use super::*;

/// Objects by their digests.
#[derive(Default)]
struct Contents(HashMap<ObjectId, Vec<u8>>);

impl Heads for Contents {
    fn head(&self, id: &ObjectId) -> Result<Vec<u8>, ExecutablesError> {
        self.0
            .get(id)
            .cloned()
            .ok_or_else(|| ExecutablesError::Missing { image: String::new(), what: id.to_string() })
    }
}

/// A little-endian 64-bit ELF file of a type, with a loader if one is given.
fn elf(kind: u8, loader: Option<&[u8]>) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[16] = kind;
    file[32] = 64;
    file[54] = 56;
    file[56] = 2;
    let mut headers = vec![0; 112];
    headers[0] = 6;
    if let Some(loader) = loader {
        headers[56] = 3;
        headers[56 + 8] = 176;
        headers[56 + 32] = u8::try_from(loader.len() + 1).unwrap();
        headers.extend_from_slice(loader);
        headers.push(0);
    }
    [file, headers].concat()
}

/// The same as 32-bit big-endian.
fn elf_32_big_endian(loader: &[u8]) -> Vec<u8> {
    let mut file = [0; 52];
    file[..6].copy_from_slice(b"\x7fELF\x01\x02");
    file[17] = 3;
    file[31] = 52;
    file[43] = 32;
    file[45] = 1;
    let mut header = vec![0; 32];
    header[3] = 3;
    header[7] = 84;
    header[19] = u8::try_from(loader.len() + 1).unwrap();
    [&file[..], &header, loader, b"\0"].concat()
}

#[test]
fn elf_files_are_known_with_their_loaders() {
    let loader_of = |head: &[u8]| match Shape::of(head) {
        Shape::Elf(elf) => elf.loader,
        other => panic!("{other:?}"),
    };
    assert_eq!(loader_of(&elf(3, Some(b"/lib64/ld.so"))), Some(b"/lib64/ld.so".to_vec()));
    assert_eq!(loader_of(&elf(2, None)), None);
    assert_eq!(loader_of(&elf_32_big_endian(b"/lib/ld.so.1")), Some(b"/lib/ld.so.1".to_vec()));
    for (kind, is_mapped) in [(1, false), (2, true), (3, true), (4, false)] {
        assert!(matches!(Shape::of(&elf(kind, None)), Shape::Elf(elf) if elf.is_mapped == is_mapped));
    }
    // This machine's own shell is one.
    let own = std::fs::read("/bin/sh").unwrap();
    assert!(matches!(Shape::of(&own[..4096]), Shape::Elf(Elf { is_mapped: true, .. })));
}

#[test]
fn damaged_elf_headers_are_no_more_than_what_can_be_read() {
    let whole = elf(3, Some(b"/lib64/ld.so"));
    for length in 0..whole.len() {
        _ = Shape::of(&whole[..length]);
    }
    for position in 4..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[position] = value;
            _ = Shape::of(&damaged);
        }
    }
    assert_eq!(Shape::of(b"\x7fELF\x02"), Shape::Other);
}

#[test]
fn scripts_are_read_as_the_kernel_does() {
    let script = |head: &[u8]| match Shape::of(head) {
        Shape::Script(script) => Some((script.interpreter, script.argument)),
        _ => None,
    };
    let expected = |interpreter: &str, argument: Option<&str>| {
        Some((interpreter.as_bytes().to_vec(), argument.map(|argument| argument.as_bytes().to_vec())))
    };
    assert_eq!(script(b"#!/bin/sh\necho"), expected("/bin/sh", None));
    assert_eq!(script(b"#! \t/usr/bin/env  python3 -s \nx"), expected("/usr/bin/env", Some("python3 -s")));
    assert_eq!(script(b"#!/bin/sh"), expected("/bin/sh", None));
    assert_eq!(script(b"#!/bin/sh\0\n"), expected("/bin/sh", None));
    assert_eq!(script(b"#!\n/bin/sh"), None);
    assert_eq!(script(b"#!   "), None);
    assert_eq!(script(b" #!/bin/sh"), None);
    assert_eq!(script(b""), None);
    // A path that the kernel's 256 bytes cut is refused; an argument that they cut is taken.
    assert_eq!(script(&[b"#!/", &[b'x'; 300][..], b"\n"].concat()), None);
    let long = [b"#!/bin/sh ", &[b'x'; 300][..], b"\n"].concat();
    assert_eq!(script(&long), expected("/bin/sh", Some(&"x".repeat(246))));
}

struct Image {
    tree: Tree,
    contents: Contents,
}

impl Image {
    fn new() -> Self {
        Self { tree: Tree::new(Metadata::default()), contents: Contents::default() }
    }

    fn add(&mut self, path: &str, permissions: u16, content: &[u8]) -> InodeId {
        let number = u8::try_from(self.tree.len()).unwrap();
        let content = if content.len() > 64 {
            let id = ObjectId::sha256([number; 32]);
            self.contents.0.insert(id, content.to_vec());
            Content::Object { size: content.len() as u64, id }
        } else {
            Content::Inline(content.into())
        };
        let metadata = Metadata { permissions, ..Metadata::default() };
        let (directory, name) = self.parent(path);
        self.tree.insert(directory, name, Inode::new(metadata, Kind::Regular(content))).unwrap()
    }

    fn parent<'p>(&mut self, path: &'p str) -> (InodeId, &'p [u8]) {
        let (directories, name) = path.trim_start_matches('/').rsplit_once('/').unwrap_or(("", path));
        let mut here = InodeId::ROOT;
        for part in directories.split('/').filter(|part| !part.is_empty()) {
            here = match self.tree.child(here, part.as_bytes()) {
                Some(child) => child,
                None => {
                    let new = Inode::new(Metadata::default(), Kind::Directory(Directory::default()));
                    self.tree.insert(here, part.as_bytes(), new).unwrap()
                }
            };
        }
        (here, name.trim_start_matches('/').as_bytes())
    }

    fn candidates(&self) -> Vec<Candidate> {
        candidates(&self.tree, &self.contents).unwrap()
    }

    fn lints(&self) -> Vec<String> {
        let lints = lints(&self.tree, &self.candidates());
        lints
            .iter()
            .map(|lint| {
                let path = lint.path.as_ref().map(|path| shown(path)).unwrap_or_default();
                format!("{} {path}: {}", lint.kind, lint.text)
            })
            .collect()
    }
}

#[test]
fn what_can_be_executed_or_loaded_is_found_and_nothing_else() {
    let mut image = Image::new();
    image.add("/bin/tool", 0o755, &elf(3, Some(b"/lib/ld.so")));
    image.add("/lib/ld.so", 0o755, &elf(3, None));
    image.add("/lib/libc.so.6", 0o644, &elf(3, None));
    image.add("/lib/crt1.o", 0o644, &elf(1, None));
    image.add("/bin/script", 0o755, b"#!/bin/tool\n");
    image.add("/share/template", 0o644, b"#!/bin/tool\n");
    image.add("/bin/odd", 0o711, b"no program");
    image.add("/etc/passwd", 0o644, b"text");
    image.add("/empty", 0o755, b"");
    image.add("/usr/lib/modules/6.12/kernel/fs/erofs.ko.xz", 0o644, b"\xfd7zXZ");
    image.add("/usr/lib/firmware/vendor/blob.bin", 0o644, b"\x01\x02");
    let found: Vec<_> = image
        .candidates()
        .iter()
        .map(|file| (shown(&file.path), file.operation, file.shape.name()))
        .collect();
    let expected = [
        ("/bin/odd", Operation::Execute, "other"),
        ("/bin/script", Operation::Execute, "script"),
        ("/bin/tool", Operation::Execute, "program"),
        ("/empty", Operation::Execute, "other"),
        ("/lib/ld.so", Operation::Execute, "elf"),
        ("/lib/libc.so.6", Operation::Execute, "elf"),
        ("/usr/lib/firmware/vendor/blob.bin", Operation::Firmware, "other"),
        ("/usr/lib/modules/6.12/kernel/fs/erofs.ko.xz", Operation::KernelModule, "other"),
    ];
    assert_eq!(found, expected.map(|(path, operation, kind)| (path.to_owned(), operation, kind)));
}

#[test]
fn a_file_with_two_names_is_found_under_both() {
    let mut image = Image::new();
    let id = image.add("/bin/perl", 0o755, &elf(3, None));
    let (directory, name) = image.parent("/bin/perl5");
    image.tree.link(directory, name, id).unwrap();
    let paths: Vec<_> = image.candidates().iter().map(|file| shown(&file.path)).collect();
    assert_eq!(paths, ["/bin/perl", "/bin/perl5"]);
}

#[test]
fn an_object_that_cannot_be_read_is_an_error() {
    let mut image = Image::new();
    image.add("/bin/tool", 0o755, &elf(3, None));
    image.contents.0.clear();
    assert!(candidates(&image.tree, &image.contents).is_err());
}

#[test]
fn interpreters_are_found_through_links() {
    let mut image = Image::new();
    let shell = image.add("/usr/bin/dash", 0o755, &elf(3, None));
    let (bin, name) = image.parent("/usr/bin/sh");
    let link = |target: &[u8]| Inode::new(Metadata::default(), Kind::Symlink(target.into()));
    image.tree.insert(bin, name, link(b"dash")).unwrap();
    image.tree.insert(InodeId::ROOT, b"bin", link(b"usr/bin")).unwrap();
    assert_eq!(interpreter(&image.tree, &Shape::of(b"#!/bin/sh\n")), Some((&b"/bin/sh"[..], Some(shell))));
    for missing in [&b"#!/bin/bash\n"[..], b"#!bin/sh\n", b"#!/usr/bin\n"] {
        assert!(matches!(interpreter(&image.tree, &Shape::of(missing)), Some((_, None))));
    }
    assert_eq!(interpreter(&image.tree, &Shape::Other), None);
}

#[test]
fn what_policies_cannot_help_with_is_said() {
    let mut image = Image::new();
    image.add("/bin/broken", 0o755, b"#!/bin/none\n");
    image.add("/bin/relative", 0o755, b"#!tool\n");
    image.add("/lib/unused", 0o644, &elf(3, Some(b"/lib/none.so")));
    image.add("/lib/python3.11/_ctypes.cpython-311.so", 0o644, &elf(3, None));
    image.add("/lib/python3.11/_ctypes.py", 0o644, b"import x");
    image.add("/bin/node", 0o755, &elf(3, None));
    image.add("/bin/nodename", 0o755, &elf(3, None));
    image.add("/bin/python3.11", 0o755, &elf(3, None));
    image.add("/bin/pythonic", 0o755, &elf(3, None));
    image.add("/bin/su", 0o4755, &elf(3, None));
    let ping = image.add("/bin/ping", 0o755, &elf(3, None));
    image.tree.inode_mut(ping).metadata.xattrs =
        Xattrs::from_iter([(&b"security.capability"[..], &b"\x01"[..])]);
    let lints = image.lints();
    let starts: Vec<&str> = lints.iter().map(|lint| lint.split(':').next().unwrap()).collect();
    assert_eq!(
        starts,
        [
            "missing-interpreter /bin/broken",
            "missing-interpreter /bin/relative",
            "run-time-code /bin/node",
            "run-time-code /lib/python3.11/_ctypes.cpython-311.so",
            "privileges /bin/ping",
            "privileges /bin/su",
            "open-interpreters ",
        ]
    );
    assert!(lints[6].ends_with("the image has node, python3.11"), "{}", lints[6]);
    assert!(lints[0].contains("/bin/none, which the image does not have"));
    assert!(lints[1].contains("working directory"));
}
