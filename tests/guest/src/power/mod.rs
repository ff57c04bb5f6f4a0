//! What a power cut leaves of a disk, for every instant of a machine's run: QEMU keeps a [`log`] of all writes with what the
//! guest flushed, and a [`replay`] of that makes the disk as it would be at a [`cut`]. What is then on it is judged from
//! outside, by the tools of its filesystems ([`esp`], [`data`]).

pub mod cut;
pub mod data;
pub mod esp;
pub mod log;
pub mod replay;
