//! OCI images: where they come from, and what becomes of their layers.
//!
//! A [`source::Source`] is read from the command line and opened as a [`transport::ImageSource`];
//! [`image::resolve`] finds the image of a platform in it, everything but the layers' bytes verified.
#![doc = include_str!("../README.md")]

pub mod archive;
pub mod artifact;
pub mod budget;
pub mod composefs;
pub mod copy;
pub mod credentials;
pub mod environment;
pub mod error;
pub mod hash;
pub mod image;
pub mod ingest;
mod json;
pub mod layout;
pub mod manifest;
pub mod media_type;
pub mod merge;
pub mod platform;
pub mod pull;
pub mod referrers;
pub mod registry;
mod room;
pub mod source;
pub mod target;
mod text;
pub mod transport;

pub use error::{Error, Result};
