//! `composefs-info`: what images hold.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use sealpack_compat::listing::{self, ListingError};
use sealpack_format::ObjectId;
use sealpack_format::digest::Algorithm;
use sealpack_format::erofs::Image;
use sealpack_kernel::Kernel;
use sealpack_kernel::fsverity::{FileHasher, Measurement};

use super::getopt::{Getopt, Known, Problem};
use super::{Exit, Program, ToolResult, image, print, reason};

#[derive(Clone, Copy)]
enum Key {
    Basedir,
    Filter,
}

const KNOWN: [Known<Key>; 2] = [
    Known { name: "basedir", takes_value: true, key: Key::Basedir },
    Known { name: "filter", takes_value: true, key: Key::Filter },
];

/// What was asked for, beside the command.
#[derive(Default)]
struct Request {
    basedir: Option<PathBuf>,
    filter: Vec<OsString>,
}

pub(super) fn run(program: &Program, arguments: Vec<OsString>) -> ToolResult {
    let mut request = Request::default();
    let mut getopt = Getopt::new(&program.argv0, &KNOWN, arguments);
    while let Some(option) = getopt.next() {
        match option {
            Ok((Key::Basedir, value)) => request.basedir = Some(value.into()),
            Ok((Key::Filter, value)) if value.as_bytes().contains(&b'/') => {
                return Err(program.failed(format_args!("Filter must be a single name: {}", value.display())));
            }
            Ok((Key::Filter, value)) => request.filter.push(value),
            Err(Problem::NoValue(problem) | Problem::Other(problem)) => {
                return Err(program.misused(&problem, &usage(program)));
            }
        }
    }
    let operands = getopt.operands();
    let Some((command, paths)) = operands.split_first() else {
        return Err(program.misused("No command specified", &usage(program)));
    };
    match command.as_bytes() {
        b"measure-file" => measure_files(program, paths),
        b"ls" | b"dump" | b"objects" | b"missing-objects" => request.list(program, command, paths),
        _ => Err(program.failed(format_args!("Unknown command '{}'", command.display()))),
    }
}

impl Request {
    fn list(&self, program: &Program, command: &OsStr, paths: &[OsString]) -> ToolResult {
        let basedir = self.basedir.as_deref().map(|path| open_basedir(program, path)).transpose()?;
        if paths.is_empty() {
            return Err(program.misused("No image path specified", &usage(program)));
        }
        let filter: Vec<&[u8]> = self.filter.iter().map(|name| name.as_bytes()).collect();
        let only = (!filter.is_empty()).then_some(&filter[..]);
        let mut objects = BTreeSet::new();
        let mut out = io::stdout().lock();
        for path in paths.iter().map(Path::new) {
            let failed = |error: ListingError| match error {
                ListingError::Io(error) => program.unwritten(&error),
                error => program.failed(format_args!("Failed to load '{}': {error}", path.display())),
            };
            let bytes = image::read(program, path)?;
            let image = Image::open(&bytes).map_err(|error| failed(error.into()))?;
            match command.as_bytes() {
                b"ls" => listing::ls(&image, only, &mut out).map_err(failed)?,
                b"dump" => listing::dump(&image, only, &mut out).map_err(failed)?,
                _ => listing::objects(&image, only, &mut objects).map_err(failed)?,
            }
        }
        if command == "missing-objects" {
            objects.retain(|path| !basedir.as_ref().is_some_and(|basedir| has(basedir, path)));
        }
        let lines: Vec<u8> = objects.iter().flat_map(|path| [path, &b"\n"[..]].concat()).collect();
        out.write_all(&lines).and_then(|()| out.flush()).map_err(|error| program.unwritten(&error))
    }
}

fn open_basedir(program: &Program, path: &Path) -> Result<OwnedFd, Exit> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
        program.failed(format_args!("Can't open basedir `{}`: {}", path.display(), reason(&errno.into())))
    })
}

/// Whether there is something at `path` below `basedir`.
fn has(basedir: &OwnedFd, path: &[u8]) -> bool {
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    let relative = OsStr::from_bytes(&path[slashes..]);
    rustix::fs::statat(basedir, relative, AtFlags::EMPTY_PATH).is_ok()
}

/// Prints the fs-verity digests of files: as the kernel has them, or else computed.
fn measure_files(program: &Program, paths: &[OsString]) -> ToolResult {
    if paths.is_empty() {
        return Err(program.misused("No files specified", &usage(program)));
    }
    let kernel = Kernel::default();
    for path in paths.iter().map(Path::new) {
        let file = File::open(path).map_err(|error| {
            program.failed(format_args!("Failed to open '{}': {}", path.display(), reason(&error)))
        })?;
        let digest = measure(&kernel, &file)
            .map_err(|why| program.misused(&format!("failed to measure '{}': {why}", path.display()), b""))?;
        print(program, image::hex(&digest))?;
    }
    Ok(())
}

fn measure(kernel: &Kernel, file: &File) -> Result<ObjectId, String> {
    match kernel.measure_verity(file).map_err(|error| error.to_string())? {
        Measurement::Digest(digest) if digest.algorithm() == Algorithm::Sha256 => return Ok(digest),
        Measurement::Digest(_) | Measurement::ForeignAlgorithm(_) => {
            return Err("it has fs-verity with another algorithm than sha256".into());
        }
        Measurement::NotEnabled | Measurement::Unsupported => {}
    }
    let hashed = FileHasher::new(Algorithm::Sha256).hash(file);
    hashed.map(|(digest, _)| digest).map_err(|error| reason(&error))
}

fn usage(program: &Program) -> Vec<u8> {
    let argv0 = program.argv0.as_bytes();
    [b"usage: ", argv0, b" [--basedir=path] [ls|objects|dump|missing-objects|measure-file] IMAGES...\n"]
        .concat()
}
