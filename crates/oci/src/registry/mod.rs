//! A registry as a source and as a target (OCI distribution-spec 1.1, and Docker's before it).

mod access;
mod answer;
mod ask;
mod auth;
mod blob;
mod challenge;
mod client;
mod coding;
pub(crate) mod error;
mod failure;
mod http;
mod options;
mod pages;
mod proxy;
mod referrers;
mod repository;
mod retry;
mod source;
mod tags;
mod target;
mod tls;
mod upload;
mod url;
mod watch;

pub use error::RegistryError;
pub use options::{ClientOptions, Mirror, MirrorError, RetryPolicy, Timeouts};
pub use source::RegistrySource;
pub use target::RegistryTarget;
pub use watch::{ClientEvent, ClientWatcher, Watch};
