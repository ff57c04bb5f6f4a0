//! What containerd is to mount for a snapshot.

use std::path::{Path, PathBuf};

/// A mount, as containerd makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `bind` or `overlay`.
    pub fs_type: &'static str,
    /// What is mounted.
    pub source: String,
    /// Options, as mount(8) takes them.
    pub options: Vec<String>,
}

/// The two directories of what can be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upper {
    /// Has the changes.
    pub upper: PathBuf,
    /// overlayfs's own.
    pub work: PathBuf,
}

/// Options that belong on every overlay, views included: without `metacopy` a program that is renamed in a container is
/// copied up whole and is no longer the image's, and what one mount has written with them another must read with them.
const EVERYWHERE: [&str; 2] = ["metacopy=on", "redirect_dir=on"];

/// The mount of directories that lie over each other, the highest first, with or without one to write to above them.
///
/// One directory alone is bind-mounted: overlayfs wants two, and there is nothing to combine.
#[must_use]
pub fn of(lowers: &[PathBuf], upper: Option<&Upper>, alone: &Path) -> Mount {
    match (lowers, upper) {
        ([], Some(upper)) => bind(&upper.upper, "rw"),
        ([], None) => bind(alone, "ro"),
        ([lower], None) => bind(lower, "ro"),
        (lowers, upper) => overlay(lowers, upper),
    }
}

fn bind(directory: &Path, access: &str) -> Mount {
    let options = vec![access.to_owned(), "rbind".to_owned()];
    Mount { fs_type: "bind", source: text(directory), options }
}

fn overlay(lowers: &[PathBuf], upper: Option<&Upper>) -> Mount {
    let mut options: Vec<String> = EVERYWHERE.map(str::to_owned).into();
    if let Some(Upper { upper, work }) = upper {
        options.push(format!("workdir={}", text(work)));
        options.push(format!("upperdir={}", text(upper)));
    }
    let lowers: Vec<String> = lowers.iter().map(|lower| text(lower)).collect();
    options.push(format!("lowerdir={}", lowers.join(":")));
    Mount { fs_type: "overlay", source: "overlay".to_owned(), options }
}

/// The directories are ours, below ones that were checked when they were given.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn one_directory_is_bound_and_several_are_an_overlay() {
        let upper = Upper { upper: "/u".into(), work: "/w".into() };
        let options = |lowers: &[&str], upper: Option<&Upper>| {
            let mount = of(&paths(lowers), upper, Path::new("/empty"));
            format!("{} {} {}", mount.fs_type, mount.source, mount.options.join(","))
        };
        assert_eq!(options(&[], Some(&upper)), "bind /u rw,rbind");
        assert_eq!(options(&[], None), "bind /empty ro,rbind");
        assert_eq!(options(&["/a"], None), "bind /a ro,rbind");
        assert_eq!(
            options(&["/a"], Some(&upper)),
            "overlay overlay metacopy=on,redirect_dir=on,workdir=/w,upperdir=/u,lowerdir=/a"
        );
        assert_eq!(
            options(&["/b", "/a"], None),
            "overlay overlay metacopy=on,redirect_dir=on,lowerdir=/b:/a"
        );
    }
}
