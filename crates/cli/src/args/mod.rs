//! Options that several commands take.

mod age;
mod assume;
mod container;
mod fields;
mod gate;
mod limits;
mod list;
mod registry;
mod signing;
mod statement;

pub(crate) use age::parse_age;
pub(crate) use assume::Assume;
pub(crate) use container::{ContainerArgs, SeccompFile};
pub(crate) use fields::{Filter, Template};
pub(crate) use gate::GateArgs;
pub(crate) use limits::{LimitArgs, option_of, parse_size};
pub(crate) use list::{Line, read_list};
pub(crate) use registry::RegistryArgs;
pub(crate) use signing::{BootSigningArgs, KeyArgs, SealSigningArgs, SigningArgs, StatementSigningArgs};
pub(crate) use statement::{StatementArgs, given_date, source_date};
