//! What README.md, docs/rollout.md and docs/kubernetes.md have people type, typed: on machines that are directories or
//! namespaces, with a registry on loopback.

mod kubernetes;
mod page;
mod rollout;
mod site;
