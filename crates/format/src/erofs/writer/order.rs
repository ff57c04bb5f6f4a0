//! The order of inodes in an image: breadth first, children sorted bytewise, each inode at its
//! first name, the root's stubs among its children.

use std::array;
use std::iter::{Chain, Copied, Peekable};
use std::slice;

use super::WriteError;
use crate::erofs::overlay::STUB_NAMES;
use crate::names::{FirstNames, first_names};
use crate::tree::{Entries, InodeId, Kind, Tree};

/// An inode of the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// The inode of the tree; none for a stub.
    pub(super) id: Option<InodeId>,
    /// The place of the directory that has its first name.
    pub(super) parent: u32,
    /// Where the inode lies, in slots of 32 bytes; set by the layout.
    pub(super) nid: u32,
    /// Whole blocks of data; set by the layout.
    pub(super) blocks: u32,
    /// Bytes of data behind the inode; set by the layout.
    pub(super) tail_bytes: u16,
    /// Whether the inode has the compact form; set by the layout.
    pub(super) compact: bool,
    /// Whether it is a directory in which a whiteout has its first name.
    pub(super) has_whiteouts: bool,
}

impl Slot {
    const fn new(id: Option<InodeId>, parent: u32) -> Self {
        Self { id, parent, nid: 0, blocks: 0, tail_bytes: 0, compact: false, has_whiteouts: false }
    }
}

/// A name that is not the tree's, and the place of its inode.
type Added = (&'static [u8], u32);

/// All inodes of an image in their order.
#[derive(Debug)]
pub(super) struct Order<'t> {
    pub(super) tree: &'t Tree,
    pub(super) slots: Vec<Slot>,
    /// The place of each inode of the tree, by [`InodeId::index`].
    places: Vec<u32>,
    /// The stubs that the root does not have itself.
    stubs: Vec<Added>,
}

impl<'t> Order<'t> {
    pub(super) fn of(tree: &'t Tree) -> Result<Self, WriteError> {
        let first_names = first_names(tree);
        let mut order = Self {
            tree,
            slots: Vec::with_capacity(tree.len().saturating_add(STUB_NAMES.len())),
            places: vec![0; tree.capacity()],
            stubs: Vec::new(),
        };
        order.slots.push(Slot::new(Some(InodeId::ROOT), 0));
        order.add_root_children(&first_names)?;
        let mut place = 1;
        while let Some(slot) = order.slots.get(to_usize(place)).copied() {
            if let Some(id) = slot.id {
                for (name, child) in tree.entries(id) {
                    order.add_child(place, id, name, child, &first_names)?;
                }
            }
            place = place.saturating_add(1);
        }
        Ok(order)
    }

    /// The children of the root, stubs among them in the order of names.
    fn add_root_children(&mut self, first_names: &FirstNames<'t>) -> Result<(), WriteError> {
        let mut stubs = STUB_NAMES.iter().map(<[u8; 2]>::as_slice).peekable();
        for (name, child) in self.tree.entries(InodeId::ROOT) {
            while let Some(stub) = stubs.next_if(|stub| *stub < name) {
                self.add_stub(stub)?;
            }
            stubs.next_if(|stub| *stub == name);
            self.add_child(0, InodeId::ROOT, name, child, first_names)?;
        }
        stubs.try_for_each(|stub| self.add_stub(stub))
    }

    fn add_stub(&mut self, name: &'static [u8]) -> Result<(), WriteError> {
        let place = self.push(Slot::new(None, 0))?;
        self.stubs.push((name, place));
        Ok(())
    }

    /// Adds the inode `child` unless `name` is a further name of it.
    fn add_child(
        &mut self,
        parent: u32,
        parent_id: InodeId,
        name: &[u8],
        child: InodeId,
        first_names: &FirstNames<'t>,
    ) -> Result<(), WriteError> {
        if first_names.get(&child).is_some_and(|first| *first != (parent_id, name)) {
            return Ok(());
        }
        let place = self.push(Slot::new(Some(child), parent))?;
        if let Some(own) = self.places.get_mut(child.index()) {
            *own = place;
        }
        if self.tree.inode(child).kind == Kind::CharDevice(0)
            && let Some(slot) = self.slots.get_mut(to_usize(parent))
        {
            slot.has_whiteouts = true;
        }
        Ok(())
    }

    fn push(&mut self, slot: Slot) -> Result<u32, WriteError> {
        let place = u32::try_from(self.slots.len())
            .map_err(|_| WriteError::TooLarge("it has more than 2^32 inodes"))?;
        self.slots.push(slot);
        Ok(place)
    }

    /// The entries of the directory at `place`, in order, with the places of their inodes.
    pub(super) fn children(&self, place: u32, slot: &Slot) -> Children<'_> {
        let own = slot.id.and_then(|id| self.tree.inode(id).as_directory());
        let stubs = if place == 0 { self.stubs.as_slice() } else { &[] };
        let dots: [Added; 2] = [(b".", place), (b"..", slot.parent)];
        Children {
            own: own.map(|directory| directory.iter().peekable()),
            added: dots.into_iter().chain(stubs.iter().copied()).peekable(),
            places: &self.places,
        }
    }

    /// The path of the inode at `place`, for an error message.
    pub(super) fn path(&self, place: u32) -> String {
        const SHOWN_BYTES: usize = 500;
        let mut names: Vec<&[u8]> = Vec::new();
        let mut place = place;
        while let (true, Some(slot)) = (place != 0, self.slots.get(to_usize(place))) {
            let parent = self.slots.get(to_usize(slot.parent)).and_then(|parent| parent.id);
            let mut entries = parent.into_iter().flat_map(|parent| self.tree.entries(parent));
            names.push(entries.find(|(_, id)| Some(*id) == slot.id).map_or(b"?", |(name, _)| name));
            place = slot.parent;
        }
        let path: Vec<u8> = names.into_iter().rev().flat_map(|name| [b"/", name].concat()).collect();
        match (path.get(..SHOWN_BYTES), path.len().checked_sub(SHOWN_BYTES)) {
            _ if path.is_empty() => "/".into(),
            (Some(start), Some(cut)) if cut > SHOWN_BYTES => {
                format!("{}...{}", start.escape_ascii(), path.get(cut..).unwrap_or_default().escape_ascii())
            }
            _ => path.escape_ascii().to_string(),
        }
    }
}

/// The names of a directory in the image with the places of their inodes, sorted.
pub(super) struct Children<'a> {
    own: Option<Peekable<Entries<'a>>>,
    added: Peekable<Chain<array::IntoIter<Added, 2>, Copied<slice::Iter<'a, Added>>>>,
    places: &'a [u32],
}

impl<'a> Iterator for Children<'a> {
    type Item = (&'a [u8], u32);

    fn next(&mut self) -> Option<Self::Item> {
        let own = self.own.as_mut().and_then(Peekable::peek);
        let added_first = match (own, self.added.peek()) {
            (Some((own, _)), Some((added, _))) => added < own,
            (None, _) => true,
            (_, None) => false,
        };
        if added_first {
            return self.added.next();
        }
        let (name, id) = self.own.as_mut()?.next()?;
        Some((name, self.places.get(id.index()).copied().unwrap_or_default()))
    }
}

/// A place as an index.
pub(super) fn to_usize(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
