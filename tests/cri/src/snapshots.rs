//! containerd's service of snapshots, without the start of a client's process for each call.

use crate::connection::{Connection, Empty, said};
use anyhow::Result;
use prost::Message;
use std::collections::HashMap;
use std::path::Path;

/// What containerd's collector leaves alone, whatever else refers to it.
const KEPT: (&str, &str) = ("containerd.io/gc.root", "tests");

#[derive(Clone, PartialEq, Message)]
struct Prepare {
    #[prost(string, tag = "1")]
    snapshotter: String,
    #[prost(string, tag = "2")]
    key: String,
    #[prost(string, tag = "3")]
    parent: String,
    #[prost(map = "string, string", tag = "4")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Remove {
    #[prost(string, tag = "1")]
    snapshotter: String,
    #[prost(string, tag = "2")]
    key: String,
}

/// The snapshots that a containerd has by one snapshotter, in one namespace.
pub struct Snapshots {
    connection: Connection,
    snapshotter: String,
}

impl Snapshots {
    /// Connects to a containerd that listens already.
    pub fn of(socket: &Path, namespace: &str, snapshotter: &str) -> Result<Self> {
        let connection = Connection::new(socket)?.in_namespace(namespace)?;
        Ok(Self { connection, snapshotter: snapshotter.to_owned() })
    }

    /// Makes an active snapshot, which stays until it is removed.
    pub fn prepare(&mut self, key: &str, parent: &str) -> Result<()> {
        let labels = HashMap::from([KEPT].map(|(name, value)| (name.to_owned(), value.to_owned())));
        let (key, parent) = (key.to_owned(), parent.to_owned());
        self.call("Prepare", Prepare { snapshotter: self.snapshotter.clone(), key, parent, labels })
    }

    /// Removes a snapshot.
    pub fn remove(&mut self, key: &str) -> Result<()> {
        self.call("Remove", Remove { snapshotter: self.snapshotter.clone(), key: key.to_owned() })
    }

    fn call(&mut self, method: &str, request: impl Message + 'static) -> Result<()> {
        let method = format!("containerd.services.snapshots.v1.Snapshots/{method}");
        self.connection.call::<_, Empty>(&method, request).map(drop).map_err(|status| said(&status))
    }
}
