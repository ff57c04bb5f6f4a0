//! `mount.composefs`, which mount(8) calls for `-t composefs`.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sealpack_compat::mount::{MountOptions, OptionError, mount};
use sealpack_kernel::Kernel;

use super::getopt::{Getopt, Known, Problem};
use super::{Program, ToolResult, base_name};

#[derive(Clone, Copy)]
enum Key {
    Help,
    Type,
    Options,
}

const KNOWN: [Known<Key>; 3] = [
    Known { name: "h", takes_value: false, key: Key::Help },
    Known { name: "t", takes_value: true, key: Key::Type },
    Known { name: "o", takes_value: true, key: Key::Options },
];

pub(super) fn run(program: &Program, arguments: Vec<OsString>) -> ToolResult {
    let mut text = OsString::new();
    let mut getopt = Getopt::new(&program.argv0, &KNOWN, arguments);
    while let Some(option) = getopt.next() {
        match option {
            Ok((Key::Help, _)) => {
                // As with the C tool, on standard error; nobody is left to tell when it is closed.
                _ = io::stderr().lock().write_all(&usage(program));
                return Ok(());
            }
            Ok((Key::Type, value)) if value != "composefs" => {
                return Err(program.failed(format_args!("Unsupported fs type '{}'", value.display())));
            }
            Ok((Key::Type, _)) => {}
            Ok((Key::Options, value)) => text = value,
            Err(Problem::NoValue(problem) | Problem::Other(problem)) => {
                return Err(program.misused(&problem, &usage(program)));
            }
        }
    }
    let operands = getopt.operands();
    let (image, target) = match &operands[..] {
        [] => return Err(program.misused("No source path specified", &usage(program))),
        [_] => return Err(program.misused("No mount path specified", &usage(program))),
        [image, target, ..] => (Path::new(image), Path::new(target)),
    };
    let options = parse(program, &text)?;
    mount(&Kernel::default(), image, target, &options).map_err(|error| {
        program.failed(format_args!("Failed to mount composefs {}: {error}", image.display()))
    })
}

fn parse(program: &Program, text: &OsStr) -> Result<MountOptions, super::Exit> {
    MountOptions::parse(text).map_err(|error| match error {
        OptionError::NoObjects => program.misused(&error.to_string(), &usage(program)),
        error => program.failed(error),
    })
}

fn usage(program: &Program) -> Vec<u8> {
    let name = base_name(&program.argv0).as_bytes();
    [
        b"usage: ",
        name,
        b" [-t type] [-o opt[,opts..]] IMAGE MOUNTPOINT\nExample:\n  ",
        name,
        b" -o basedir=/composefs/objects exampleimage.cfs /mnt/exampleimage
or, as a mount helper:
  mount -t composefs -o basedir=/composefs/objects exampleimage.cfs /mnt/exampleimage

Supported options:
  basedir=PATH[:PATH]    Specify location of basedir(s)
  digest=DIGEST          Specify required image digest
  idmap=PATH             Specify path to a user namespace whose ID mapping should be used
  verity                 Require all files to have specified and valid fs-verity digests
  tryverity              If supported by kernel, require fs-verity
  ro                     Read only
  rw                     Read/write
  upperdir               Overlayfs upperdir
  workdir                Overlayfs workdir
  nosuid, nodev, noexec  Set-user-ID bits, devices, programs have no effect
",
    ]
    .concat()
}
