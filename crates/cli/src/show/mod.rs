//! What commands show of each kind of thing, as text for people and as JSON for machines.

pub(crate) mod composefs;
pub(crate) mod seal;
