//! What README.md, docs/everyday.md and docs/rollout.md have people type, typed: on machines that are directories, with a registry
//! on loopback. And that what the pages point at is there.

mod everyday;
mod links;
mod not_run;
mod page;
mod readme;
mod rollout;
mod site;
