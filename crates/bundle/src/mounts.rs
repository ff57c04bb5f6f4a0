//! What is mounted in a container.

use std::path::{Component, Path};
use std::str::FromStr;

use crate::Error;
use crate::spec::Mount;

/// The option by which runtimes fill a tmpfs with what the image has there.
pub(crate) const COPIED_UP: &str = "tmpcopyup";

/// More volumes than any image has: each is a mount, and is compared with the others.
pub(crate) const VOLUMES_MAX: usize = 512;

/// A directory or file of the host's, mounted in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The path on the host, as it was given.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Whether nothing can be written to it.
    pub read_only: bool,
    /// Whether it is a file, which whoever looks at the host finds out.
    pub is_file: bool,
}

/// A filesystem in memory, mounted in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// The path in the container.
    pub target: String,
    /// Options of tmpfs(5), and mount options.
    pub options: Vec<String>,
}

/// A mount that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// Not of the form.
    #[error("{0:?} is no volume: it has to be SOURCE:TARGET[:ro]")]
    Volume(String),
    /// Neither absolute nor beginning with a dot.
    #[error("{0:?} is a name, and there are no named volumes: the source has to be a path, as ./{0}")]
    Named(String),
    /// Options that are not known.
    #[error("{option:?} is no option of the volume {volume:?}: there are ro and rw")]
    Option {
        /// The option.
        option: String,
        /// The whole volume.
        volume: String,
    },
    /// Not of the form.
    #[error("{0:?} is no tmpfs: it has to be TARGET[:OPTION,…], with options as size=64m and mode=0700")]
    Tmpfs(String),
    /// A target that is no place in a container.
    #[error("{0:?} is no place to mount on: it has to be an absolute path other than /, without ..")]
    Target(String),
}

impl FromStr for Volume {
    type Err = VolumeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || VolumeError::Volume(text.to_owned());
        let mut parts = text.split(':');
        let (source, target) = (parts.next().unwrap_or_default(), parts.next().ok_or_else(malformed)?);
        let options = parts.next();
        if source.is_empty() || source.contains('\0') || parts.next().is_some() {
            return Err(malformed());
        }
        if !source.starts_with(['/', '.']) {
            return Err(VolumeError::Named(source.to_owned()));
        }
        let mut read_only = false;
        for option in options.into_iter().flat_map(|options| options.split(',')) {
            match option {
                "ro" => read_only = true,
                "rw" => read_only = false,
                other => {
                    return Err(VolumeError::Option { option: other.to_owned(), volume: text.to_owned() });
                }
            }
        }
        let target = normal(target).ok_or_else(|| VolumeError::Target(target.to_owned()))?;
        Ok(Self { source: source.to_owned(), target, read_only, is_file: false })
    }
}

impl FromStr for Tmpfs {
    type Err = VolumeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let options: Vec<String> =
            options.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let is_known = |option: &String| {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "size" | "mode" | "uid" | "gid" | "nr_inodes" => !value.is_empty(),
                "ro" | "rw" | "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" => {
                    !option.contains('=')
                }
                _ => false,
            }
        };
        if !options.iter().all(is_known) {
            return Err(VolumeError::Tmpfs(text.to_owned()));
        }
        let target = normal(target).ok_or_else(|| VolumeError::Target(target.to_owned()))?;
        Ok(Self { target, options })
    }
}

/// An absolute path without `.`, doubled slashes and one at its end; `None` for `/`, for what is not absolute, or leads up.
pub(crate) fn normal(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains(['\0', '\n']) {
        return None;
    }
    let mut normal = String::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => normal.extend(["/", name.to_str()?]),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (!normal.is_empty()).then_some(normal)
}

/// What is to be mounted besides what every container has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The host's.
    pub(crate) volumes: &'a [Volume],
    /// In memory.
    pub(crate) tmpfs: &'a [Tmpfs],
    /// What the image's config names.
    pub(crate) of_image: &'a [String],
    /// Whether the root directory is read-only.
    pub(crate) read_only: bool,
}

/// All mounts of a container, those that lie below others behind them.
pub(crate) fn all(wanted: Wanted<'_>) -> Result<Vec<Mount>, Error> {
    let mut own: Vec<Mount> = wanted.volumes.iter().map(of_volume).collect();
    own.extend(wanted.tmpfs.iter().map(of_tmpfs));
    own.sort_by(|one, other| one.destination.cmp(&other.destination));
    if let Some(twice) = own.windows(2).find(|pair| pair[0].destination == pair[1].destination) {
        return Err(Error::MountedTwice(twice[0].destination.clone()));
    }
    let is_taken = |mounts: &[Mount], path: &str| mounts.iter().any(|mount| mount.destination == path);
    if wanted.of_image.len() > VOLUMES_MAX {
        return Err(Error::TooManyVolumes(wanted.of_image.len()));
    }
    let (usual, mut of_image) = (usual(), Vec::new());
    if wanted.read_only {
        // Where programs write whatever they are.
        for (path, mode) in [("/run", "mode=0755"), ("/tmp", "mode=1777"), ("/var/tmp", "mode=1777")] {
            of_image.push(in_memory(path, &["rw", "nosuid", "nodev", COPIED_UP, mode]));
        }
        for volume in wanted.of_image {
            let path = normal(volume).ok_or_else(|| Error::BadVolume(volume.clone()))?;
            // What every container has there is no part of the image already.
            if !is_taken(&of_image, &path) && !is_taken(&usual, &path) {
                of_image.push(in_memory(&path, &["rw", "nosuid", "nodev", COPIED_UP]));
            }
        }
        of_image.sort_by(|one, other| one.destination.cmp(&other.destination));
    }
    // What is wanted comes last: a link in the image may lead it into what the image has in memory.
    let mut mounts: Vec<Mount> =
        usual.into_iter().chain(of_image).filter(|mount| !is_taken(&own, &mount.destination)).collect();
    mounts.extend(own);
    Ok(mounts)
}

/// What every container has (OCI runtime specification, config-linux.md, "Default Filesystems", and those of engines).
fn usual() -> Vec<Mount> {
    let mount = |destination: &str, fs_type: &str, source: &str, options: &[&str]| Mount {
        destination: destination.to_owned(),
        fs_type: fs_type.to_owned(),
        source: source.to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        is_file: false,
    };
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

fn of_volume(volume: &Volume) -> Mount {
    let access = if volume.read_only { "ro" } else { "rw" };
    Mount {
        destination: volume.target.clone(),
        fs_type: "bind".to_owned(),
        source: volume.source.clone(),
        options: ["rbind", "rprivate", access].map(str::to_owned).to_vec(),
        is_file: volume.is_file,
    }
}

fn of_tmpfs(tmpfs: &Tmpfs) -> Mount {
    let mut mount = in_memory(&tmpfs.target, &["nosuid", "nodev"]);
    let is_opposite = |usual: &str, wanted: &str| usual.strip_prefix("no") == Some(wanted);
    mount.options.retain(|usual| !tmpfs.options.iter().any(|wanted| is_opposite(usual, wanted)));
    mount.options.extend(tmpfs.options.iter().cloned());
    mount
}

fn in_memory(path: &str, options: &[&str]) -> Mount {
    Mount {
        destination: path.to_owned(),
        fs_type: "tmpfs".to_owned(),
        source: "tmpfs".to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        is_file: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_a_path_on_each_side() {
        let volume: Volume = "/srv/data:/var//lib/data/:ro".parse().unwrap();
        assert_eq!((volume.source.as_str(), volume.target.as_str()), ("/srv/data", "/var/lib/data"));
        assert!(volume.read_only && !"./a:/b:rw".parse::<Volume>().unwrap().read_only);
        for (text, word) in [
            ("/a", "SOURCE:TARGET"),
            ("", "SOURCE:TARGET"),
            (":/a", "SOURCE:TARGET"),
            ("/a:/b:ro:x", "SOURCE:TARGET"),
            ("data:/b", "no named volumes"),
            ("/a:/b:z", "no option"),
            ("/a:b", "absolute path"),
            ("/a:/", "absolute path"),
            ("/a:/b/../c", "absolute path"),
            ("/a:", "absolute path"),
        ] {
            let error = text.parse::<Volume>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_tmpfs_keeps_programs_from_privileges_unless_that_is_wanted() {
        let options = |text: &str| of_tmpfs(&text.parse().unwrap()).options.join(",");
        assert_eq!(options("/scratch"), "nosuid,nodev");
        assert_eq!(options("/scratch:size=64m,mode=0700"), "nosuid,nodev,size=64m,mode=0700");
        assert_eq!(options("/scratch:dev,noexec"), "nosuid,dev,noexec");
        for text in ["", "scratch", "/", "/a:bind", "/a:size", "/a:ro=1", "/a:size="] {
            assert!(text.parse::<Tmpfs>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mount_of_ones_own_takes_the_place_of_a_usual_one_and_two_at_one_place_are_refused() {
        let volume = |text: &str| text.parse::<Volume>().unwrap();
        let tmpfs = ["/dev/shm:size=1g".parse::<Tmpfs>().unwrap()];
        let volumes = [volume("/a:/x/y"), volume("/b:/x")];
        let wanted = Wanted { volumes: &volumes, tmpfs: &tmpfs, of_image: &[], read_only: false };
        let mounts = all(wanted).unwrap();
        let places: Vec<_> = mounts.iter().map(|mount| mount.destination.as_str()).collect();
        assert_eq!(places[4..], ["/sys", "/sys/fs/cgroup", "/dev/shm", "/x", "/x/y"]);
        let volumes = [volume("/a:/dev/shm")];
        let twice = all(Wanted { volumes: &volumes, ..wanted });
        assert_eq!(twice, Err(Error::MountedTwice("/dev/shm".to_owned())));
    }

    #[test]
    fn what_has_to_be_writable_is_in_memory_where_the_root_is_not() {
        let of_image = ["/data/".to_owned(), "/tmp".to_owned()];
        let wanted = Wanted { volumes: &[], tmpfs: &[], of_image: &of_image, read_only: true };
        let places = |wanted| -> Vec<String> {
            all(wanted).unwrap().into_iter().skip(7).map(|mount| mount.destination).collect()
        };
        assert_eq!(places(wanted), ["/data", "/run", "/tmp", "/var/tmp"]);
        assert!(places(Wanted { read_only: false, ..wanted }).is_empty());
        let usual = ["/proc".to_owned(), "/dev/shm/".to_owned()];
        let with_usual = Wanted { of_image: &usual, ..wanted };
        assert_eq!(places(with_usual), ["/run", "/tmp", "/var/tmp"], "those are there already");
        let bad = ["data".to_owned()];
        assert_eq!(all(Wanted { of_image: &bad, ..wanted }), Err(Error::BadVolume("data".to_owned())));
        let many: Vec<String> = (0..100_000).map(|number| format!("/{number}")).collect();
        let many = all(Wanted { of_image: &many, ..wanted });
        assert_eq!(many, Err(Error::TooManyVolumes(100_000)), "and they are not compared with each other");
    }
}
