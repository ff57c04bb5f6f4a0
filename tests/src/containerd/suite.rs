//! containerd's own tests of snapshotters.
