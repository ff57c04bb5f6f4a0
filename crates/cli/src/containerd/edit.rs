//! What is put into containerd's configuration. What else is in the file stays as it is, comments too.

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

use super::Version;

/// The snapshotter's name in containerd.
const SNAPSHOTTER: &str = "sealpack";

/// The differ's: both are in one table.
const DIFFER: &str = "sealpack-diff";

/// What is to be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Which containerd it is for.
    pub(crate) version: Version,
    /// The snapshotter's socket.
    pub(crate) socket: &'a str,
    /// The store.
    pub(crate) root: &'a str,
    /// The machine's platform, as containerd calls it: `linux/amd64`.
    pub(crate) platform: &'a str,
    /// The image that pods are kept by, if it is to be another one.
    pub(crate) pause: Option<&'a str>,
}

/// Why a file is left alone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    /// A version that names plugins as nobody does any more.
    #[error("it is of version {0}; `containerd config migrate` makes a newer one of it")]
    OldFile(i64),
    /// A version that containerd does not read.
    #[error("it is of version {file}, which containerd {containerd} does not read")]
    NewFile {
        /// The file's.
        file: i64,
        /// containerd's.
        containerd: Version,
    },
    /// Something has the name of a table, or of a list.
    #[error("{0} is not what containerd takes there")]
    Kind(String),
}

/// A new file.
pub(crate) fn new(wanted: Wanted<'_>) -> String {
    let mut document = DocumentMut::new();
    edit(&mut document, wanted).expect("nothing is in it");
    document.to_string()
}

/// Has a file say what is wanted.
pub(crate) fn edit(document: &mut DocumentMut, wanted: Wanted<'_>) -> Result<(), EditError> {
    let file = file_version(document, wanted.version)?;
    proxies(document, wanted)?;
    if wanted.version.has_differs() {
        differs(document)?;
    }
    if wanted.version.is_second() {
        transfer(document, wanted)?;
    }
    if wanted.version.is_second() {
        // In a file of version 2, too: of that, 2.x takes the next one over only where there are runtimes in it.
        let images = table(document, &["plugins", "io.containerd.cri.v1.images"])?;
        set(images, "snapshotter", SNAPSHOTTER);
        if let Some(pause) = wanted.pause {
            set(
                table(document, &["plugins", "io.containerd.cri.v1.images", "pinned_images"])?,
                "sandbox",
                pause,
            );
        }
    }
    if file < 3 {
        let cri = table(document, &["plugins", "io.containerd.grpc.v1.cri", "containerd"])?;
        set(cri, "snapshotter", SNAPSHOTTER);
        set(cri, "disable_snapshot_annotations", false);
        if let Some(pause) = wanted.pause {
            set(table(document, &["plugins", "io.containerd.grpc.v1.cri"])?, "sandbox_image", pause);
        }
    }
    Ok(())
}

/// The version of the file, which an empty one gets.
fn file_version(document: &mut DocumentMut, containerd: Version) -> Result<i64, EditError> {
    let newest = containerd.newest_file();
    if document.is_empty() {
        // What is asked for here is the same in files of version 4.
        let new = newest.min(3);
        document.insert("version", value(new));
        return Ok(new);
    }
    let file = match document.get("version") {
        Some(version) => version.as_integer().ok_or_else(|| EditError::Kind("version".to_owned()))?,
        None => 1,
    };
    match file {
        old if old < 2 => Err(EditError::OldFile(old)),
        new if new > newest => Err(EditError::NewFile { file: new, containerd }),
        known => Ok(known),
    }
}

fn proxies(document: &mut DocumentMut, wanted: Wanted<'_>) -> Result<(), EditError> {
    let proxy = table(document, &["proxy_plugins", SNAPSHOTTER])?;
    set(proxy, "type", "snapshot");
    set(proxy, "address", wanted.socket);
    if wanted.version.takes_layers_as_they_are() {
        capable(proxy)?;
    }
    if !wanted.version.has_differs() {
        return Ok(());
    }
    let exports = table(document, &["proxy_plugins", SNAPSHOTTER, "exports"])?;
    set(exports, "root", wanted.root);
    set(exports, "enable_remote_snapshot_annotations", "true");
    let proxy = table(document, &["proxy_plugins", DIFFER])?;
    set(proxy, "type", "diff");
    set(proxy, "address", wanted.socket);
    Ok(())
}

/// A layer's parent need not be known before it is committed.
fn capable(proxy: &mut dyn TableLike) -> Result<(), EditError> {
    const KEY: &str = "capabilities";
    let Some(item) = proxy.get_mut(KEY) else {
        proxy.insert(KEY, value(Array::from_iter(["rebase"])));
        return Ok(());
    };
    let kind = || EditError::Kind(format!("proxy_plugins.{SNAPSHOTTER}.{KEY}"));
    let capabilities = item.as_array_mut().ok_or_else(kind)?;
    if !capabilities.iter().any(|capability| capability.as_str() == Some("rebase")) {
        capabilities.push("rebase");
    }
    Ok(())
}

/// Layers are applied by sealpack, and by containerd where that says that they are not its own.
fn differs(document: &mut DocumentMut) -> Result<(), EditError> {
    const PATH: [&str; 2] = ["plugins", "io.containerd.service.v1.diff-service"];
    let service = table(document, &PATH)?;
    let Some(item) = service.get_mut("default") else {
        service.insert("default", value(Array::from_iter([DIFFER, "walking"])));
        return Ok(());
    };
    let default =
        item.as_array_mut().ok_or_else(|| EditError::Kind(format!("{}.default", PATH.join("."))))?;
    if !default.iter().any(|name| name.as_str() == Some(DIFFER)) {
        default.insert(0, DIFFER);
        // The one that was the first may stand right behind the bracket.
        let next =
            default.get_mut(1).filter(|next| next.decor().prefix().and_then(|it| it.as_str()) == Some(""));
        if let Some(next) = next {
            next.decor_mut().set_prefix(" ");
        }
    }
    Ok(())
}

/// Each snapshotter that the transfer service is to unpack for has an entry.
fn transfer(document: &mut DocumentMut, wanted: Wanted<'_>) -> Result<(), EditError> {
    const PATH: [&str; 2] = ["plugins", "io.containerd.transfer.v1.local"];
    const KEY: &str = "unpack_config";
    let entries = [(SNAPSHOTTER, DIFFER), ("overlayfs", "walking")];
    let service = table(document, &PATH)?;
    match service.get_mut(KEY) {
        None => {
            // What containerd has by itself goes with the first entry of one's own.
            let tables = entries.map(|(snapshotter, differ)| entry::<Table>(wanted, snapshotter, differ));
            service.insert(KEY, Item::ArrayOfTables(ArrayOfTables::from_iter(tables)));
        }
        Some(Item::ArrayOfTables(tables)) => {
            let ours = tables.iter().position(|table| is_ours(table));
            match ours.and_then(|at| tables.get_mut(at)) {
                Some(ours) => set(ours, "differ", DIFFER),
                None => tables.push(entry(wanted, SNAPSHOTTER, DIFFER)),
            }
        }
        Some(Item::Value(Value::Array(array))) => {
            let ours =
                array.iter().position(|item| item.as_inline_table().is_some_and(|table| is_ours(table)));
            match ours.and_then(|at| array.get_mut(at)?.as_inline_table_mut()) {
                Some(ours) => set(ours, "differ", DIFFER),
                None => array.push(entry::<InlineTable>(wanted, SNAPSHOTTER, DIFFER)),
            }
        }
        Some(_) => return Err(EditError::Kind(format!("{}.{KEY}", PATH.join(".")))),
    }
    Ok(())
}

fn is_ours(entry: &dyn TableLike) -> bool {
    entry.get("snapshotter").and_then(Item::as_str) == Some(SNAPSHOTTER)
}

fn entry<T: TableLike + Default>(wanted: Wanted<'_>, snapshotter: &str, differ: &str) -> T {
    let mut entry = T::default();
    set(&mut entry, "platform", wanted.platform);
    set(&mut entry, "snapshotter", snapshotter);
    set(&mut entry, "differ", differ);
    entry
}

/// The table with that path, which is made.
fn table<'a>(document: &'a mut DocumentMut, path: &[&str]) -> Result<&'a mut dyn TableLike, EditError> {
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for (depth, key) in path.iter().enumerate() {
        let mut made = Table::new();
        made.set_implicit(depth + 1 < path.len());
        table = table
            .entry(key)
            .or_insert(Item::Table(made))
            .as_table_like_mut()
            .ok_or_else(|| EditError::Kind(path[..=depth].join(".")))?;
    }
    Ok(table)
}

/// Sets a value; what is written around the one that was there stays.
fn set(table: &mut dyn TableLike, key: &str, new: impl Into<Value>) {
    let mut new: Value = new.into();
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        _ => drop(table.insert(key, Item::Value(new))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(version: &str) -> Wanted<'static> {
        Wanted {
            version: Version::of_output(&format!("containerd x {version}.0 y")).unwrap(),
            socket: "/run/s.sock",
            root: "/var/lib/sealpack",
            platform: "linux/amd64",
            pause: None,
        }
    }

    fn edited(text: &str, version: &str) -> Result<String, EditError> {
        let mut document: DocumentMut = text.parse().unwrap();
        edit(&mut document, wanted(version))?;
        let once = document.to_string();
        edit(&mut document, wanted(version))?;
        assert_eq!(document.to_string(), once, "the second time changes nothing");
        Ok(once)
    }

    #[test]
    fn each_version_gets_what_it_understands() {
        let old = new(wanted("1.6"));
        assert!(
            old.starts_with("version = 2\n") && !old.contains("diff") && !old.contains("exports"),
            "{old}"
        );
        let middle = new(wanted("1.7"));
        assert!(
            middle.contains("[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"sealpack\""),
            "{middle}"
        );
        assert!(
            middle.contains("default = [\"sealpack-diff\", \"walking\"]") && !middle.contains("transfer"),
            "{middle}"
        );
        let old_file = edited("version = 2\n", "2.1").unwrap();
        assert!(old_file.contains("grpc.v1.cri") && old_file.contains("cri.v1.images"), "{old_file}");
        let second = new(wanted("2.1"));
        assert!(second.starts_with("version = 3\n") && !second.contains("grpc.v1.cri"), "{second}");
        assert_eq!(
            second.matches("[[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]").count(),
            2
        );
        for version in ["2.1", "2.3"] {
            assert!(!new(wanted(version)).contains("rebase"), "{version} fetches what is known then");
        }
        let newest = new(wanted("2.4"));
        assert!(
            newest.contains("capabilities = [\"rebase\"]") && newest.starts_with("version = 3\n"),
            "{newest}"
        );
        let has_some = "version = 4\n[proxy_plugins.sealpack]\ncapabilities = [\"other\"]\n";
        let has_both = edited(has_some, "2.4").unwrap();
        assert!(has_both.contains("capabilities = [\"other\", \"rebase\"]"), "{has_both}");
        assert!(matches!(edited(has_some, "2.2"), Err(EditError::NewFile { file: 4, .. })));
    }

    #[test]
    fn the_image_that_pods_are_kept_by_is_named_where_each_version_looks_for_it() {
        let with_pause = |version| new(Wanted { pause: Some("r.example/pause:1"), ..wanted(version) });
        let old = with_pause("1.7");
        assert!(
            old.contains("[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"r.example/pause:1\""),
            "{old}"
        );
        let second = with_pause("2.1");
        let pinned =
            "[plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox = \"r.example/pause:1\"";
        assert!(second.contains(pinned), "{second}");
        assert!(!new(wanted("1.7")).contains("sandbox") && !new(wanted("2.1")).contains("sandbox"));
    }

    #[test]
    fn what_is_there_stays() {
        let text = "# Mine.\nversion = 2\nroot = \"/r\" # a disk\n\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"p\"\n\
                    [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"overlayfs\" # for now\n\
                    [plugins.\"io.containerd.service.v1.diff-service\"]\n  default = [\"other\", \"walking\"]\n\
                    [proxy_plugins.other]\n  type = \"diff\"\n";
        let edited = edited(text, "1.7").unwrap();
        for kept in ["# Mine.", "root = \"/r\" # a disk", "sandbox_image = \"p\"", "[proxy_plugins.other]"] {
            assert!(edited.contains(kept), "{kept} is missing in {edited}");
        }
        assert!(edited.contains("snapshotter = \"sealpack\" # for now"), "{edited}");
        assert!(edited.contains("[\"sealpack-diff\", \"other\", \"walking\"]"), "{edited}");
    }

    #[test]
    fn entries_of_other_snapshotters_stay() {
        let tables = "version = 3\n[[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]\n  platform = \"linux/amd64\"\n  \
                      snapshotter = \"erofs\"\n  differ = \"erofs\"\n";
        let inline = "version = 3\n[plugins.\"io.containerd.transfer.v1.local\"]\nunpack_config = [{snapshotter = \"erofs\"}]\n";
        for text in [tables, inline] {
            let edited = edited(text, "2.1").unwrap();
            assert!(edited.contains("\"erofs\"") && edited.contains("\"sealpack-diff\""), "{edited}");
            assert!(!edited.contains("overlayfs"), "{edited}");
        }
    }

    #[test]
    fn files_that_cannot_be_edited_are_named_and_left() {
        assert_eq!(edited("root = \"/r\"\n", "1.7"), Err(EditError::OldFile(1)));
        assert!(matches!(edited("version = 3\n", "1.7"), Err(EditError::NewFile { file: 3, .. })));
        assert_eq!(edited("version = 2\nplugins = 1\n", "1.7"), Err(EditError::Kind("plugins".to_owned())));
    }
}
