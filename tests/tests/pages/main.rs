//! What README.md and docs/rollout.md have people type, typed: on machines that are directories, with a registry on loopback.

mod page;
mod rollout;
mod site;
