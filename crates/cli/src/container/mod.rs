//! Containers: what of an image a runtime is told, and a runtime that is called with it.
//!
//! A container that `run` starts is in a directory of its own below [`place::ROOT`], with everything that its runtime
//! keeps; its mounts are in a mount namespace that only its processes and those of the command are in. Whatever becomes
//! of the command, the next one finds the directory and removes what is left.

mod console;
mod image;
mod network;
pub(crate) mod place;
mod runner;
pub(crate) mod runtime;
mod signals;
mod streams;

pub(crate) use image::ContainerImage;
pub(crate) use network::add_files;
pub(crate) use runner::{Manner, run};
pub(crate) use signals::Stopping;
