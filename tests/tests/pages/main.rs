//! What README.md, docs/ci.md, docs/everyday.md, docs/rollout.md and docs/kubernetes.md have people type, typed: on machines that are
//! directories or namespaces, with a registry on loopback. And that what the pages point at is there.

mod ci;
mod everyday;
mod kubernetes;
mod links;
mod not_run;
mod page;
mod readme;
mod rollout;
mod site;
