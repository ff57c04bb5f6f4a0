//! Reading and writing image files.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use sealpack_format::ObjectId;
use sealpack_format::erofs::Layout;
use sealpack_format::verity::FsVerityHasher;
use sealpack_kernel::directory::Directory;

use super::{Exit, Program, reason};

/// All bytes of a file.
pub(super) fn read(program: &Program, path: &Path) -> Result<Vec<u8>, Exit> {
    let open =
        |error| program.failed(format_args!("Failed to open '{}': {}", path.display(), reason(&error)));
    let mut file = File::open(path).map_err(open)?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut file, &mut bytes).map_err(|error| {
        program.failed(format_args!("Failed to load '{}': {}", path.display(), reason(&error)))
    })?;
    Ok(bytes)
}

/// Where an image goes.
pub(super) enum Target {
    Nowhere,
    Stdout,
    File(PathBuf),
}

impl Target {
    /// The target that `name` means; `-` is standard output, which must not be a terminal.
    pub(super) fn of(program: &Program, name: PathBuf) -> Result<Self, Exit> {
        if name.as_os_str() != "-" {
            return Ok(Self::File(name));
        }
        if io::stdout().is_terminal() {
            return Err(program.failed("stdout is a tty.  Refusing to use it"));
        }
        Ok(Self::Stdout)
    }

    /// Writes the image of `layout`. A file that cannot be written completely is removed.
    pub(super) fn write(
        &self,
        program: &Program,
        layout: &Layout<'_>,
        hasher: Option<&mut FsVerityHasher>,
    ) -> Result<(), Exit> {
        let failed = |error: io::Error| program.failed(format_args!("cannot write file: {}", reason(&error)));
        match self {
            Self::Nowhere => layout.write(&mut Hashing { sink: io::sink(), hasher }).map_err(failed),
            Self::Stdout => {
                let mut sink = Hashing { sink: io::stdout().lock(), hasher };
                layout
                    .write(&mut sink)
                    .and_then(|()| sink.sink.flush())
                    .map_err(|error| program.unwritten(&error))
            }
            Self::File(path) => {
                let opened =
                    |error| program.failed(format_args!("failed to open output file: {}", reason(&error)));
                let (file, new) = create(path).map_err(opened)?;
                let written = layout.write(&mut Hashing { sink: file, hasher });
                match new {
                    None => written.map_err(failed),
                    Some(new) => written.and_then(|()| new.place()).map_err(failed),
                }
            }
        }
    }
}

/// A new file that has its name when it is whole. Dropped before, it goes.
struct NewImage {
    directory: Directory,
    temporary: OsString,
    name: OsString,
}

impl NewImage {
    fn place(self) -> io::Result<()> {
        self.directory.rename(&self.temporary, &self.directory, &self.name)
    }
}

impl Drop for NewImage {
    fn drop(&mut self) {
        // Where it has its name, there is nothing. A file that is left would be told of by whoever meets it.
        _ = self.directory.unlink(&self.temporary);
    }
}

/// Opens what an image is written to: a new file for a name that is free or a regular file's, otherwise what has the
/// name. With no more rights than the owner of the directory has.
fn create(path: &Path) -> io::Result<(File, Option<NewImage>)> {
    use rustix::fs::FileType;
    let (directory, name) = Directory::of_file(path)?;
    let found = directory.stat(&name)?;
    match found.map(|stat| (FileType::from_raw_mode(stat.st_mode), stat.st_uid)) {
        None | Some((FileType::RegularFile, _)) => {
            let mut temporary = OsString::from(".");
            temporary.push(&name);
            temporary.push(format!(".{}.new", std::process::id()));
            let file = directory.create(&temporary, 0o666)?;
            Ok((file, Some(NewImage { directory, temporary, name })))
        }
        // Such as /dev/stdout: whoever made the link might as well have given the name that it leads to.
        Some((FileType::Symlink, owner))
            if directory.acting_as().is_none()
                && (owner == 0 || owner == rustix::process::geteuid().as_raw()) =>
        {
            Ok((File::create(path)?, None))
        }
        Some((FileType::Symlink, _)) => {
            Err(io::Error::other("a symbolic link of another user, which is not followed to write"))
        }
        Some(_) => Ok((directory.open_to_write(&name)?, None)),
    }
}

/// The hex digits of a digest.
pub(super) fn hex(id: &ObjectId) -> String {
    id.to_string()
}

/// Passes bytes on, and hashes them if asked to.
struct Hashing<'h, W> {
    sink: W,
    hasher: Option<&'h mut FsVerityHasher>,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.sink.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..length]);
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
