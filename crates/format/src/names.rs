//! Which of an inode's names is its first: the others are its hard links.

use std::collections::HashMap;

use crate::tree::{InodeId, Tree};

/// For each inode with several names: directory and name of the first.
pub(crate) type FirstNames<'t> = HashMap<InodeId, (InodeId, &'t [u8])>;

/// The first names of the inodes of `tree` that have several: what was said of them
/// ([`Tree::set_first_name`]), otherwise the first in depth-first order.
pub(crate) fn first_names(tree: &Tree) -> FirstNames<'_> {
    let several = |id: &InodeId| tree.inode(*id).names() > 1;
    let mut first = FirstNames::new();
    let mut unsaid: usize = 0;
    for (id, _) in tree.inodes().filter(|(id, _)| several(id)) {
        match tree.first_name(id) {
            Some(name) => _ = first.insert(id, name),
            None => unsaid = unsaid.saturating_add(1),
        }
    }
    let mut stack = vec![(InodeId::ROOT, tree.inode(InodeId::ROOT).as_directory().map(|root| root.iter()))];
    while unsaid > 0
        && let Some((directory, entries)) = stack.last_mut()
    {
        let directory = *directory;
        let Some((name, id)) = entries.as_mut().and_then(Iterator::next) else {
            stack.pop();
            continue;
        };
        if let Some(below) = tree.inode(id).as_directory() {
            stack.push((id, Some(below.iter())));
        } else if several(&id) && !first.contains_key(&id) {
            first.insert(id, (directory, name));
            unsaid = unsaid.saturating_sub(1);
        }
    }
    first
}
