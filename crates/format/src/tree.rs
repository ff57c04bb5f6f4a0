//! A filesystem tree in memory: what layers merge into and metadata images are made of.
//!
//! Inodes live in one arena and are named by [`InodeId`]; a directory holds a sorted
//! map from names to ids, so a hard link is a second name of one id. Contents are
//! not here: a file of more than a few bytes refers to an object.

use std::collections::{BTreeMap, HashSet, btree_map};
use std::sync::Arc;

use crate::digest::ObjectId;

/// The longest name in a directory, in bytes (NAME_MAX of Linux).
pub const NAME_MAX_BYTES: usize = 255;

/// The longest target of a symbolic link, in bytes (PATH_MAX of Linux without its NUL).
pub const SYMLINK_MAX_BYTES: usize = 4095;

/// A point in time, as seconds since 1970 (before it: negative) and nanoseconds after that second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds, 0 to 999,999,999, always counted forwards.
    pub nanoseconds: u32,
}

/// Extended attributes, sorted by key, keys unique. Equal sets may be shared between inodes
/// ([`XattrPool`]), and equal keys and values between sets.
///
/// An inode without any costs eight bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Xattrs(Option<Arc<Vec<XattrPair>>>);

/// Key and value of an attribute, which other sets may have too.
pub type XattrPair = (Arc<[u8]>, Arc<[u8]>);

impl Xattrs {
    /// The value of `key` (its full name, such as `security.capability`).
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let pairs = self.0.as_ref()?;
        let place = pairs.binary_search_by(|(other, _)| other.as_ref().cmp(key)).ok()?;
        pairs.get(place).map(|(_, value)| value.as_ref())
    }

    /// Sets `key` to `value`; a former value is replaced.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.insert_shared(key.into(), value.into());
    }

    /// Sets `key` to `value`, where the bytes may be those of other sets too.
    pub fn insert_shared(&mut self, key: Arc<[u8]>, value: Arc<[u8]>) {
        let pairs = Arc::make_mut(self.0.get_or_insert_default());
        match pairs.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(place) => {
                if let Some(pair) = pairs.get_mut(place) {
                    pair.1 = value;
                }
            }
            Err(place) => pairs.insert(place, (key, value)),
        }
    }

    /// Keeps the attributes for which `keep(key, value)` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let Some(pairs) = &mut self.0 else { return };
        Arc::make_mut(pairs).retain(|(key, value)| keep(key, value));
        if pairs.is_empty() {
            self.0 = None;
        }
    }

    /// The attributes in the order of their keys' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().flat_map(|pairs| pairs.iter()).map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// The number of attributes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |pairs| pairs.len())
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for Xattrs {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], &'a [u8])>>(pairs: I) -> Self {
        let mut xattrs = Self::default();
        pairs.into_iter().for_each(|(key, value)| xattrs.insert(key, value));
        xattrs
    }
}

/// Lets inodes with equal attributes share them in memory: most trees have a handful of
/// different sets (a SELinux label for each kind of file, say).
#[derive(Debug, Default)]
pub struct XattrPool(HashSet<Xattrs>);

impl XattrPool {
    /// The set of the pool that is equal to `xattrs`, which is added if there is none.
    pub fn share(&mut self, xattrs: Xattrs) -> Xattrs {
        if xattrs.is_empty() {
            return xattrs;
        }
        match self.0.get(&xattrs) {
            Some(known) => known.clone(),
            None => {
                self.0.insert(xattrs.clone());
                xattrs
            }
        }
    }
}

/// What an inode has beside its type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777. The file type is in [`Kind`].
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Time,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory(Directory),
    /// A regular file.
    Regular(Content),
    /// A symbolic link with its target, as it stands.
    Symlink(Box<[u8]>),
    /// A character device with its number in the kernel's 32-bit encoding ([`device_number`]).
    /// Number 0 is an overlayfs whiteout.
    CharDevice(u32),
    /// A block device with its number in the kernel's 32-bit encoding.
    BlockDevice(u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// The contents of a regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes themselves; empty files are such too.
    Inline(Box<[u8]>),
    /// An object: a file's content, named by its fs-verity digest.
    Object {
        /// Size in bytes.
        size: u64,
        /// The object, found under [`ObjectId::object_path`].
        id: ObjectId,
    },
    /// Contents outside the image under a path that is not an object's, or without
    /// a digest. Only dumps and foreign images have such files.
    External {
        /// Size in bytes.
        size: u64,
        /// Path below the data-only layer, without a leading slash.
        path: Box<[u8]>,
        /// The fs-verity digest that the contents must have, if one is stated.
        digest: Option<ObjectId>,
    },
}

impl Content {
    /// Contents of `size` bytes outside the image: an object if `path` is its digest's.
    #[must_use]
    pub fn outside(size: u64, path: Box<[u8]>, digest: Option<ObjectId>) -> Self {
        match digest {
            Some(id) if id.has_object_path(&path) => Self::Object { size, id },
            _ => Self::External { size, path, digest },
        }
    }

    /// The size of the file in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Inline(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Object { size, .. } | Self::External { size, .. } => *size,
        }
    }
}

/// A device number in the kernel's 32-bit encoding (`new_encode_dev`, include/linux/kdev_t.h):
/// the minor's low 8 bits, 12 bits of major, the rest of the minor. `None` beyond 12 and 20 bits.
#[must_use]
pub fn device_number(major: u32, minor: u32) -> Option<u32> {
    (major < 1 << 12 && minor < 1 << 20).then_some((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

/// Major and minor of a device number in the kernel's 32-bit encoding.
#[must_use]
pub const fn device_major_minor(number: u32) -> (u32, u32) {
    ((number & 0x000f_ff00) >> 8, (number & 0xff) | ((number >> 12) & 0x000f_ff00))
}

/// A file, directory or other thing in a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Permissions, owner, time, attributes.
    pub metadata: Metadata,
    /// Type, with what belongs to it.
    pub kind: Kind,
    /// The link count that a dump states, where it is not the number of names in the tree.
    /// Never set on directories.
    pub stated_links: Option<u32>,
    names: u32,
}

impl Inode {
    /// An inode that has no name yet.
    #[must_use]
    pub const fn new(metadata: Metadata, kind: Kind) -> Self {
        Self { metadata, kind, stated_links: None, names: 0 }
    }

    /// The number of names that the inode has in its tree.
    #[must_use]
    pub const fn names(&self) -> u32 {
        self.names
    }

    /// The directory that this inode is, if it is one.
    #[must_use]
    pub const fn as_directory(&self) -> Option<&Directory> {
        match &self.kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }
}

/// The entries of a directory, sorted by the names' bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory(BTreeMap<Box<[u8]>, InodeId>);

impl Directory {
    /// The inode called `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<InodeId> {
        self.0.get(name).copied()
    }

    /// Names and inodes in the order of the names' bytes.
    #[must_use]
    pub fn iter(&self) -> Entries<'_> {
        Entries(self.0.iter())
    }

    /// The number of entries, `.` and `..` not among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Iterator over a directory's names and inodes, in the order of the names' bytes.
#[derive(Debug, Clone)]
pub struct Entries<'a>(btree_map::Iter<'a, Box<[u8]>, InodeId>);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], InodeId);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, id)| (name.as_ref(), *id))
    }
}

impl<'a> IntoIterator for &'a Directory {
    type Item = (&'a [u8], InodeId);
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.iter()
    }
}

/// Names an inode of one [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId(u32);

impl InodeId {
    /// The root directory of every tree.
    pub const ROOT: Self = Self(0);

    /// A number below [`Tree::capacity`], for tables beside the tree.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// What a tree does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A name is empty, `.`, `..`, too long, or has a slash or NUL in it.
    #[error("{name:?} cannot be a file name: {why}")]
    Name {
        /// The name, with odd bytes escaped, cut after 64 bytes.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An entry was to go below something that is not a directory.
    #[error("{name:?} cannot be put below something that is not a directory")]
    NotADirectory {
        /// The name of the entry.
        name: String,
    },
    /// The name is taken.
    #[error("there is already a file called {name:?} in the directory")]
    Exists {
        /// The name of the entry.
        name: String,
    },
    /// A directory cannot have a second name.
    #[error("{name:?} cannot be a hard link to a directory")]
    LinkToDirectory {
        /// The name of the entry.
        name: String,
    },
    /// The tree is full.
    #[error("the tree has more than {} inodes", u32::MAX)]
    TooManyInodes,
}

/// A name for an error message: odd bytes escaped, cut after 64 bytes.
fn cut(name: &[u8]) -> String {
    name.get(..64).unwrap_or(name).escape_ascii().to_string()
}

/// Checks that `name` can stand in a directory.
///
/// # Errors
/// [`TreeError::Name`] when it is empty, `.`, `..`, longer than [`NAME_MAX_BYTES`]
/// or contains a slash or NUL.
pub fn check_name(name: &[u8]) -> Result<(), TreeError> {
    let why = match name {
        b"" => "it is empty",
        b"." | b".." => "it is reserved",
        _ if name.len() > NAME_MAX_BYTES => "it is longer than 255 bytes",
        _ if name.contains(&b'/') => "it has a slash",
        _ if name.contains(&0) => "it has a NUL byte",
        _ => return Ok(()),
    };
    Err(TreeError::Name { name: cut(name), why })
}

/// A filesystem tree.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The arena; freed places are `None` and listed in `free`.
    inodes: Vec<Option<Inode>>,
    free: Vec<InodeId>,
    /// Which name of an inode with several is its first, where that was said.
    first_names: BTreeMap<InodeId, (InodeId, Box<[u8]>)>,
}

impl Tree {
    /// A tree of one empty root directory.
    #[must_use]
    pub fn new(root: Metadata) -> Self {
        let mut inode = Inode::new(root, Kind::Directory(Directory::default()));
        inode.names = 1;
        Self { inodes: vec![Some(inode)], free: Vec::new(), first_names: BTreeMap::new() }
    }

    /// The number of inodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inodes.len().saturating_sub(self.free.len())
    }

    /// Never: a tree has a root.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// One more than the highest [`InodeId::index`].
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.inodes.len()
    }

    /// The inode `id`.
    ///
    /// # Panics
    /// When `id` was removed or is of another tree: a mistake of the caller's.
    #[must_use]
    pub fn inode(&self, id: InodeId) -> &Inode {
        self.inodes
            .get(id.index())
            .and_then(Option::as_ref)
            .expect("the id is of a living inode of this tree")
    }

    /// The inode `id`, to change. See [`inode`](Self::inode).
    ///
    /// # Panics
    /// When `id` was removed or is of another tree.
    pub fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        self.inodes
            .get_mut(id.index())
            .and_then(Option::as_mut)
            .expect("the id is of a living inode of this tree")
    }

    /// The metadata of the root directory.
    #[must_use]
    pub fn root(&self) -> &Inode {
        self.inode(InodeId::ROOT)
    }

    /// The entries of directory `id`; none if it is not a directory.
    pub fn entries(&self, id: InodeId) -> impl Iterator<Item = (&[u8], InodeId)> {
        self.inode(id).as_directory().into_iter().flatten()
    }

    /// The inode called `name` in directory `parent`.
    #[must_use]
    pub fn child(&self, parent: InodeId, name: &[u8]) -> Option<InodeId> {
        self.inode(parent).as_directory()?.get(name)
    }

    /// The inode at `path`: names separated by slashes, empty ones and `.` skipped,
    /// symbolic links and `..` not followed.
    #[must_use]
    pub fn lookup(&self, path: &[u8]) -> Option<InodeId> {
        path.split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .try_fold(InodeId::ROOT, |directory, name| self.child(directory, name))
    }

    /// Puts `inode` into directory `parent` as `name`. A directory must come empty.
    ///
    /// # Errors
    /// An unfit or taken name; a `parent` that is not a directory.
    pub fn insert(&mut self, parent: InodeId, name: &[u8], inode: Inode) -> Result<InodeId, TreeError> {
        let id = match self.free.last() {
            Some(id) => *id,
            None => InodeId(u32::try_from(self.inodes.len()).map_err(|_| TreeError::TooManyInodes)?),
        };
        self.vacancy(parent, name)?.insert(id);
        let inode = Inode { names: 1, ..inode };
        match self.inodes.get_mut(id.index()) {
            Some(place) => {
                *place = Some(inode);
                self.free.pop();
            }
            None => self.inodes.push(Some(inode)),
        }
        Ok(id)
    }

    /// Gives `target` a further name: a hard link.
    ///
    /// # Errors
    /// An unfit or taken name; a `parent` that is not a directory; a `target` that is one.
    pub fn link(&mut self, parent: InodeId, name: &[u8], target: InodeId) -> Result<(), TreeError> {
        if self.inode(target).as_directory().is_some() {
            return Err(TreeError::LinkToDirectory { name: cut(name) });
        }
        self.vacancy(parent, name)?.insert(target);
        let inode = self.inode_mut(target);
        inode.names = inode.names.saturating_add(1);
        Ok(())
    }

    /// Says that of the names of `id`, that in directory `parent` called `name` is the first: the
    /// one that is not a hard link where a format tells them apart (dumps), or where an image
    /// has the inode. Ignored unless it is a name of `id`; forgotten when a name of `id` is
    /// removed. Where nothing is said, it is the first in depth-first order.
    pub fn set_first_name(&mut self, id: InodeId, parent: InodeId, name: &[u8]) {
        if self.child(parent, name) == Some(id) {
            self.first_names.insert(id, (parent, name.into()));
        }
    }

    /// What [`set_first_name`](Self::set_first_name) said of `id`: directory and name.
    #[must_use]
    pub fn first_name(&self, id: InodeId) -> Option<(InodeId, &[u8])> {
        self.first_names.get(&id).map(|(parent, name)| (*parent, name.as_ref()))
    }

    /// All inodes, in no particular order.
    pub fn inodes(&self) -> impl Iterator<Item = (InodeId, &Inode)> {
        (0..).zip(&self.inodes).filter_map(|(number, inode)| Some((InodeId(number), inode.as_ref()?)))
    }

    /// Removes `name` from directory `parent`, and with a directory all below it.
    /// Returns whether it was there.
    pub fn remove(&mut self, parent: InodeId, name: &[u8]) -> bool {
        let Kind::Directory(directory) = &mut self.inode_mut(parent).kind else { return false };
        let Some(id) = directory.0.remove(name) else { return false };
        self.unlink(id);
        true
    }

    /// Removes everything from directory `id`.
    pub fn clear(&mut self, id: InodeId) {
        if let Kind::Directory(directory) = &mut self.inode_mut(id).kind {
            let children = std::mem::take(&mut directory.0);
            children.into_values().for_each(|child| self.unlink(child));
        }
    }

    /// Takes one name off `id`; what has none left is freed, with all below it.
    /// Works on a list, not by recursion: hostile trees are deep.
    fn unlink(&mut self, id: InodeId) {
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            self.first_names.remove(&id);
            let inode = self.inode_mut(id);
            inode.names = inode.names.saturating_sub(1);
            if inode.names > 0 {
                continue;
            }
            if let Kind::Directory(directory) = &mut inode.kind {
                pending.extend(std::mem::take(&mut directory.0).into_values());
            }
            if let Some(place) = self.inodes.get_mut(id.index()) {
                *place = None;
            }
            self.free.push(id);
        }
    }

    /// The free place for `name` in directory `parent`.
    fn vacancy(
        &mut self,
        parent: InodeId,
        name: &[u8],
    ) -> Result<btree_map::VacantEntry<'_, Box<[u8]>, InodeId>, TreeError> {
        check_name(name)?;
        let Kind::Directory(directory) = &mut self.inode_mut(parent).kind else {
            return Err(TreeError::NotADirectory { name: cut(name) });
        };
        match directory.0.entry(name.into()) {
            btree_map::Entry::Vacant(place) => Ok(place),
            btree_map::Entry::Occupied(_) => Err(TreeError::Exists { name: cut(name) }),
        }
    }
}

/// A path's bytes for people: what is not printable ASCII or UTF-8 is escaped.
#[must_use]
pub fn shown(path: &[u8]) -> String {
    match str::from_utf8(path) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => path.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fifo() -> Inode {
        Inode::new(Metadata::default(), Kind::Fifo)
    }

    fn directory() -> Inode {
        Inode::new(Metadata::default(), Kind::Directory(Directory::default()))
    }

    #[test]
    fn hard_links_live_until_their_last_name_goes() {
        let mut tree = Tree::new(Metadata::default());
        let a = tree.insert(InodeId::ROOT, b"a", fifo()).unwrap();
        let dir = tree.insert(InodeId::ROOT, b"dir", directory()).unwrap();
        tree.link(dir, b"b", a).unwrap();
        assert_eq!(tree.inode(a).names(), 2);
        assert!(tree.remove(InodeId::ROOT, b"a"));
        assert_eq!(tree.lookup(b"/dir/./b"), Some(a));
        assert!(tree.remove(InodeId::ROOT, b"dir"));
        assert_eq!(tree.len(), 1);
        tree.insert(InodeId::ROOT, b"again", fifo()).unwrap();
        assert_eq!((tree.len(), tree.capacity()), (2, 3));
    }

    #[test]
    fn the_first_name_of_an_inode_is_forgotten_with_any_of_its_names() {
        let mut tree = Tree::new(Metadata::default());
        let a = tree.insert(InodeId::ROOT, b"a", fifo()).unwrap();
        tree.link(InodeId::ROOT, b"b", a).unwrap();
        tree.set_first_name(a, InodeId::ROOT, b"c");
        assert_eq!(tree.first_name(a), None);
        tree.set_first_name(a, InodeId::ROOT, b"b");
        assert_eq!(tree.first_name(a), Some((InodeId::ROOT, &b"b"[..])));
        tree.remove(InodeId::ROOT, b"b");
        assert_eq!(tree.first_name(a), None);
    }

    #[test]
    fn attributes_are_sorted_and_unique_and_equal_sets_are_one() {
        let mut xattrs =
            Xattrs::from_iter([(&b"user.b"[..], &b"1"[..]), (b"user.a", b"2"), (b"user.b", b"3")]);
        assert_eq!(xattrs.iter().collect::<Vec<_>>(), [(&b"user.a"[..], &b"2"[..]), (b"user.b", b"3")]);
        assert_eq!(xattrs.get(b"user.b"), Some(&b"3"[..]));
        let mut pool = XattrPool::default();
        let first = pool.share(xattrs.clone());
        let second = pool.share(Xattrs::from_iter(xattrs.iter()));
        assert!(first.0.zip(second.0).is_some_and(|(first, second)| Arc::ptr_eq(&first, &second)));
        xattrs.retain(|_, _| false);
        assert!(xattrs.is_empty());
        assert_eq!(pool.share(Xattrs::default()), Xattrs::default());
    }

    #[test]
    fn what_a_directory_cannot_hold_is_refused() {
        let mut tree = Tree::new(Metadata::default());
        let file = tree.insert(InodeId::ROOT, b"file", fifo()).unwrap();
        let dir = tree.insert(InodeId::ROOT, b"dir", directory()).unwrap();
        for name in [b"".as_slice(), b".", b"..", b"a/b", b"nul\0", &[b'x'; 256]] {
            assert!(matches!(tree.insert(dir, name, fifo()), Err(TreeError::Name { .. })));
        }
        assert!(matches!(tree.insert(file, b"below", fifo()), Err(TreeError::NotADirectory { .. })));
        assert!(matches!(tree.insert(InodeId::ROOT, b"file", fifo()), Err(TreeError::Exists { .. })));
        assert!(matches!(tree.link(InodeId::ROOT, b"l", dir), Err(TreeError::LinkToDirectory { .. })));
        assert_eq!(tree.len(), 3);
    }

    #[test]
    fn a_deep_tree_is_removed_without_recursion() {
        let mut tree = Tree::new(Metadata::default());
        let mut parent = InodeId::ROOT;
        for _ in 0..200_000 {
            parent = tree.insert(parent, b"d", directory()).unwrap();
        }
        tree.remove(InodeId::ROOT, b"d");
        assert_eq!(tree.len(), 1);
    }

    #[test]
    fn device_numbers_are_encoded_as_the_kernel_does() {
        assert_eq!(device_number(1, 3), Some(0x103));
        assert_eq!(device_major_minor(device_number(4095, 0xf_ffff).unwrap()), (4095, 0xf_ffff));
        assert_eq!(device_number(4096, 0), None);
    }

    #[test]
    fn odd_names_do_not_reach_the_terminal() {
        assert_eq!(shown("/größe".as_bytes()), "/größe");
        assert_eq!(shown(b"/a\x1b[31m"), "/a\\x1b[31m");
        assert_eq!(shown(b"/\xff"), "/\\xff");
    }
}
