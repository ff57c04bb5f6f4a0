//! What is known of sealed images, as one HTML page that needs nothing besides: no network, no other file, and nothing of
//! its script but a filter of tables.
//!
//! Pure: a [`Page`] goes in, a text comes out, the same for the same. What images, seals and policies choose of it (names,
//! paths, subjects) becomes text and never markup: [`Markup`](markup::Markup) takes names of elements and attributes from
//! the program only, and writes everything else by one function. A policy in the page (Content-Security-Policy) allows no
//! script, style or request but the ones in it, by their hashes.
#![forbid(unsafe_code)]

mod chain;
mod changes;
mod directories;
mod frame;
mod glance;
mod host;
mod markup;
mod model;
mod policy;
mod sharing;
mod table;
#[cfg(test)]
mod tests;
mod treemap;

pub use frame::page;
pub use model::{
    Attested, Certificate, Chain, Change, ChangedFile, Checked, Denial, Difference, File, Host, Image,
    Judged, Keyring, Layer, LevelReach, Mount, Note, PackageChange, Page, Pair, Reason, Sealed, Signature,
    Together, Totals,
};
