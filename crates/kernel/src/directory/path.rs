//! From a path that somebody typed to an open directory, step by step.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

use super::Directory;
use super::identity::Identity;

/// How many links are followed, as many as the kernel does (`MAXSYMLINKS` of include/linux/namei.h).
const LINKS_MAX: usize = 40;

const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = PLACE.union(OFlags::DIRECTORY);

/// Opens the directory at `path`; with a mode, makes what is missing.
pub(super) fn open(path: &Path, make: Option<u32>) -> io::Result<Directory> {
    let mut walk = Walk::from(path)?;
    while let Some(step) = walk.steps.pop_front() {
        walk.step(&step, make)?;
    }
    let identity = walk.identity()?;
    let fd = {
        let _acting = identity.assume()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(&walk.place, ".", flags, Mode::empty()) {
            // One that may be written but not read.
            Err(Errno::ACCESS) if identity == Identity::Own => walk.place,
            fd => fd.map_err(|errno| identity.explain(errno))?,
        }
    };
    Ok(Directory { fd, path: path.to_owned(), identity })
}

struct Walk {
    place: OwnedFd,
    /// What the path has yet to go through.
    steps: VecDeque<OsString>,
    links: usize,
    /// The rights of the user who led here by a link, or this process's own.
    led_by: Identity,
}

impl Walk {
    fn from(path: &Path) -> io::Result<Self> {
        if path.as_os_str().is_empty() {
            return Err(Errno::NOENT.into());
        }
        let start = if path.is_absolute() { "/" } else { "." };
        let place = openat(CWD, start, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { place, steps: steps(path).collect(), links: 0, led_by: Identity::Own })
    }

    /// The rights for the directory where the walk is.
    fn identity(&self) -> io::Result<Identity> {
        self.led_by.below(&fstat(&self.place)?)
    }

    fn step(&mut self, name: &OsStr, make: Option<u32>) -> io::Result<()> {
        let open = |walk: &Self| {
            let _acting = walk.led_by.assume()?;
            openat(&walk.place, name, DIRECTORY, Mode::empty()).map_err(|errno| walk.led_by.explain(errno))
        };
        let opened = match (open(self), make) {
            (Err(error), Some(mode)) if error.kind() == io::ErrorKind::NotFound => {
                let identity = self.identity()?;
                let acting = identity.assume()?;
                match rustix::fs::mkdirat(&self.place, name, Mode::from_raw_mode(mode)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(identity.explain(errno)),
                }
                drop(acting);
                open(self)
            }
            (opened, _) => opened,
        };
        match opened {
            Ok(place) => self.place = place,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOTDIR) => self.follow(name)?,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Goes on where the link `name` leads.
    fn follow(&mut self, name: &OsStr) -> io::Result<()> {
        let acting = self.led_by.assume()?;
        let link = openat(&self.place, name, PLACE, Mode::empty())?;
        let stat = fstat(&link)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Err(Errno::NOTDIR.into());
        }
        let target = rustix::fs::readlinkat(&link, "", Vec::new())?;
        drop(acting);
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        self.led_by = self.led_by.below(&self.author(&stat)?)?;
        let target = OsString::from_vec(target.into_bytes());
        if target.as_bytes().starts_with(b"/") {
            let root = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            self.place = openat(CWD, "/", root, Mode::empty())?;
        }
        for step in steps(Path::new(&target)).collect::<Vec<_>>().into_iter().rev() {
            self.steps.push_front(step);
        }
        Ok(())
    }

    /// The status of what says who decided that this link is here: a link of root's in a user's directory may have been
    /// another name's before.
    fn author(&self, link: &Stat) -> io::Result<Stat> {
        if link.st_uid == 0 { Ok(fstat(&self.place)?) } else { Ok(*link) }
    }
}

fn steps(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}
