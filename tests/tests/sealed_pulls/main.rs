//! Seals that travel: what a pull does with those that it finds, and what it refuses.

mod accepted;
mod artifacts;
mod composefs;
mod forged;
mod market;
mod names;
mod older;
mod refused;
mod verify;
