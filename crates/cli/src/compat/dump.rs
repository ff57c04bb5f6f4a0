//! `composefs-dump`: reads a metadata image and writes it again, in the same format version.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sealpack_format::erofs::{Image, Layout};

use super::image::{self, Target};
use super::{Program, ToolResult};

pub(super) fn run(program: &Program, arguments: &[OsString]) -> ToolResult {
    let usage = [b"usage: ", program.argv0.as_bytes(), b" SRC DEST\n"].concat();
    let (source, target) = match arguments {
        [] => return Err(program.misused("No source path specified", &usage)),
        [_] => return Err(program.misused("No destination path specified", &usage)),
        [source, target, ..] => (Path::new(source), target),
    };
    let bytes = image::read(program, source)?;
    let failed = |error| program.failed(format_args!("Failed to load '{}': {error}", source.display()));
    let image = Image::open(&bytes).map_err(failed)?;
    let tree = image.to_tree().map_err(failed)?;
    let layout = Layout::of(&tree, image.header().version)
        .map_err(|error| program.failed(format_args!("cannot write file: {error}")))?;
    Target::File(target.into()).write(program, &layout, None)
}
