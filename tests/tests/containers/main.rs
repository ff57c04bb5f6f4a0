//! Containers, run by the runtimes that are installed, from images that are mounted. These need the superuser.

mod bundles;
mod ending;
mod image;
mod limits;
mod page;
mod refusals;
mod support;
mod terminal;
mod writing;
