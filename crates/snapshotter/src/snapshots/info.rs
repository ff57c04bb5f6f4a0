//! What is told of a snapshot.

use std::time::SystemTime;

use crate::filter::Fields;
use crate::state::{Kind, Labels, Row};

/// What is told of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its name, or key while it is not committed.
    pub name: String,
    /// That of its parent; empty without one.
    pub parent: String,
    /// What it is.
    pub kind: Kind,
    /// When it became that.
    pub created: SystemTime,
    /// When it was changed last.
    pub updated: SystemTime,
    /// Labels.
    pub labels: Labels,
}

impl Info {
    pub(super) fn of(name: &str, row: &Row) -> Self {
        Self {
            name: name.to_owned(),
            parent: row.parent.clone(),
            kind: row.kind,
            created: row.created(),
            updated: row.updated(),
            labels: row.labels.clone(),
        }
    }
}

/// The fields that containerd's snapshotters have (its `snapshots/storage`).
impl Fields for (&str, &Row) {
    fn field(&self, path: &[String]) -> Option<&str> {
        let (name, row) = self;
        match (path.first()?.as_str(), &path[1..]) {
            ("name", []) => Some(name),
            ("kind", []) => Some(row.kind.name()),
            // An empty one is there, too: by that containerd asks for the snapshot of a lowest layer.
            ("parent", []) => Some(&row.parent),
            ("labels", key) => row.labels.get(&key.join(".")).map(String::as_str),
            _ => None,
        }
    }
}
