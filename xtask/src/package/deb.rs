//! A Debian package, written by dpkg-deb.

use super::tree::{self, Entry, Node};
use super::{Release, scripts};
use anyhow::{Context, Result};
use sealpack_tests::command::run;
use sealpack_tests::files;
use std::fs;
use std::path::Path;
use std::process::Command;
use time::format_description::well_known::Rfc2822;

/// Who is named as the maintainer: whoever makes packages for others puts a name here.
const MAINTAINER: &str = "Sealpack <packages@sealpack.invalid>";

/// One package.
pub(super) struct Deb {
    pub(super) name: &'static str,
    pub(super) architecture: &'static str,
    /// In a line.
    pub(super) summary: &'static str,
    /// What it is for, in paragraphs.
    pub(super) description: &'static str,
    /// Lines of the control file about other packages.
    pub(super) relations: Vec<(&'static str, String)>,
    pub(super) entries: Vec<Entry>,
    /// Files that the administrator may change.
    pub(super) conffiles: &'static [&'static str],
    pub(super) units: scripts::Units,
}

impl Deb {
    /// Writes it into `output`, with `work` as its directory meanwhile.
    pub(super) fn write(&self, release: &Release, work: &Path, output: &Path) -> Result<()> {
        tree::write(work, &self.entries)?;
        tree::write(work, &self.documents(release)?)?;
        let sums = sums(work)?;
        let size_kib = size_kib(work)?;
        let control = work.join("DEBIAN");
        fs::create_dir(&control)?;
        let file =
            |name: &str, content: &str| tree::write(&control, &[(name.into(), Node::File(content.into()))]);
        file("control", &self.control(release, size_kib))?;
        file("md5sums", &sums)?;
        if !self.conffiles.is_empty() {
            file("conffiles", &self.conffiles.iter().map(|path| format!("{path}\n")).collect::<String>())?;
        }
        for (name, script) in self.units.scripts(self.name) {
            file(name, &script)?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(control.join(name), mode)?;
        }
        let name = format!("{}_{}_{}.deb", self.name, release.version.debian(), self.architecture);
        let mut dpkg = Command::new("dpkg-deb");
        // What xz writes depends on its threads.
        dpkg.args(["--root-owner-group", "-Zxz", release.compression, "--threads-max=1", "--build"])
            .arg(work)
            .arg(output.join(name));
        dpkg.env("SOURCE_DATE_EPOCH", release.version.seconds().to_string());
        run(&mut dpkg).with_context(|| format!("the package {} was not made", self.name)).map(drop)
    }

    fn control(&self, release: &Release, size_kib: u64) -> String {
        let mut text = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\nInstalled-Size: {size_kib}\n",
            self.name,
            release.version.debian(),
            self.architecture
        );
        for (field, value) in &self.relations {
            text.push_str(&format!("{field}: {value}\n"));
        }
        text.push_str(&format!("Section: admin\nPriority: optional\nDescription: {}\n", self.summary));
        for line in self.description.lines() {
            text.push_str(&if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") });
        }
        text
    }

    /// What each package says about itself.
    fn documents(&self, release: &Release) -> Result<Vec<Entry>> {
        let directory = format!("usr/share/doc/{}", self.name);
        let workspace = sealpack_tests::paths::workspace();
        let changes = fs::read(workspace.join("CHANGELOG.md"))?;
        let what = release
            .version
            .commit()
            .map_or("made without a commit".to_owned(), |name| format!("commit {name}"));
        let packaged = format!(
            "{} ({}) unstable; urgency=medium\n\n  * Packages of {what}.\n\n -- {MAINTAINER}  {}\n",
            self.name,
            release.version.debian(),
            release.version.time()?.format(&Rfc2822)?
        );
        Ok(vec![
            (format!("{directory}/copyright"), Node::File(super::licences::copyright()?.into_bytes())),
            (format!("{directory}/third-party.gz"), Node::Compressed(release.notices.clone())),
            (format!("{directory}/changelog.gz"), Node::Compressed(changes)),
            (format!("{directory}/changelog.Debian.gz"), Node::Compressed(packaged.into_bytes())),
        ])
    }
}

/// What dpkg compares files with.
fn sums(work: &Path) -> Result<String> {
    let mut names: Vec<String> = files::below(work)?
        .iter()
        .filter(|path| !path.is_symlink())
        .map(|path| Ok(path.strip_prefix(work)?.display().to_string()))
        .collect::<Result<_>>()?;
    names.retain(|name| !name.starts_with("etc/"));
    names.sort();
    let said = run(Command::new("md5sum").arg("--").args(names).current_dir(work))?;
    Ok(String::from_utf8(said.stdout)?)
}

/// As Debian's policy has it: each file's size, and one for whatever is no file.
fn size_kib(directory: &Path) -> Result<u64> {
    let mut size = 1;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        size += if meta.is_dir() {
            size_kib(&entry.path())?
        } else if meta.is_file() {
            meta.len().div_ceil(1024)
        } else {
            1
        };
    }
    Ok(size)
}
