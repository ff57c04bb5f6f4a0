//! Which packages of a distribution an image has, by what its package manager keeps in it.

use std::collections::{BTreeMap, BTreeSet};

use sealpack_format::tree::{Content, InodeId, Kind, Tree};
use sealpack_format::walk;
use sealpack_node::policy::executables::{ExecutablesError, StoredObjects};
use sealpack_page::PackageChange;
use sealpack_store::{ImageRecord, Store};

/// What dpkg and apk keep, and what images without a package manager have of dpkg's.
const DATABASES: [&str; 3] = ["/var/lib/dpkg/status", "/lib/apk/db/installed", "/usr/lib/apk/db/installed"];
const DPKG_DIRECTORY: &str = "/var/lib/dpkg/status.d";
/// More than any of them has; what is larger is passed over.
const DATABASE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Versions by packages.
type Packages = BTreeMap<String, String>;

/// The packages that are not the same in two images; nothing where neither has any.
///
/// # Errors
/// If what lists them cannot be read.
pub(super) fn changes(
    store: &Store,
    [before, now]: [(&ImageRecord, &Tree); 2],
) -> Result<Option<Vec<PackageChange>>, ExecutablesError> {
    let (before, now) = (packages(store, before)?, packages(store, now)?);
    if before.is_empty() && now.is_empty() {
        return Ok(None);
    }
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let changes = names.into_iter().filter(|name| before.get(*name) != now.get(*name));
    let change = |name: &String| PackageChange {
        name: name.clone(),
        before: before.get(name).cloned(),
        now: now.get(name).cloned(),
    };
    Ok(Some(changes.map(change).collect()))
}

fn packages(store: &Store, (record, tree): (&ImageRecord, &Tree)) -> Result<Packages, ExecutablesError> {
    let mut packages = Packages::new();
    let files: Vec<InodeId> = databases(tree);
    if files.is_empty() {
        return Ok(packages);
    }
    let objects = StoredObjects::open(store, record)?;
    for file in files {
        match &tree.inode(file).kind {
            Kind::Regular(Content::Inline(bytes)) => add(&mut packages, bytes),
            Kind::Regular(Content::Object { id, size }) if *size <= DATABASE_MAX_BYTES => {
                add(&mut packages, &objects.content(id)?);
            }
            _ => {}
        }
    }
    Ok(packages)
}

fn databases(tree: &Tree) -> Vec<InodeId> {
    let mut files: Vec<InodeId> =
        DATABASES.iter().filter_map(|path| walk::follow(tree, path.as_bytes())).collect();
    if let Some(directory) = walk::follow(tree, DPKG_DIRECTORY.as_bytes()) {
        files.extend(
            walk::walk(tree, directory, DPKG_DIRECTORY.as_bytes(), false).into_iter().map(|(_, id)| id),
        );
    }
    // One may be a link to another.
    files.sort_unstable();
    files.dedup();
    files
}

/// Adds what a database lists: paragraphs with a name and a version each, which dpkg and apk call otherwise. What was
/// removed but for its configuration is not there.
fn add(packages: &mut Packages, database: &[u8]) {
    let text = String::from_utf8_lossy(database);
    for paragraph in text.split("\n\n") {
        let field = |names: [&str; 2]| {
            let value =
                |line: &str| names.iter().find_map(|name| Some(line.strip_prefix(name)?.trim().to_owned()));
            paragraph.lines().find_map(value)
        };
        let is_there = field(["Status:", "Status:"]).is_none_or(|status| status.ends_with(" installed"));
        if let (Some(name), Some(version), true) =
            (field(["Package:", "P:"]), field(["Version:", "V:"]), is_there)
        {
            packages.insert(name, version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(database: &str) -> Vec<(String, String)> {
        let mut packages = Packages::new();
        add(&mut packages, database.as_bytes());
        packages.into_iter().collect()
    }

    #[test]
    fn what_is_installed_is_listed_with_its_version_and_what_was_removed_is_not() {
        let dpkg = "Package: bash\nStatus: install ok installed\nDescription: a shell\n Version: no\nVersion: 5.2-3\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        assert_eq!(read(dpkg), [("bash".to_owned(), "5.2-3".to_owned())]);
        let distroless = "Package: base-files\nVersion: 12.4\n";
        assert_eq!(read(distroless), [("base-files".to_owned(), "12.4".to_owned())]);
        let apk = "C:Q1=\nP:musl\nV:1.2.5-r0\nF:lib\n\nP:zlib\nV:1.3.1-r2\n\n";
        let expected = [("musl", "1.2.5-r0"), ("zlib", "1.3.1-r2")];
        assert_eq!(read(apk), expected.map(|(name, version)| (name.to_owned(), version.to_owned())));
        assert!(read("").is_empty() && read("\u{0}").is_empty());
    }
}
