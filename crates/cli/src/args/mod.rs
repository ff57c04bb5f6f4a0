//! Options that several commands take.

mod gate;
mod limits;

pub(crate) use gate::GateArgs;
pub(crate) use limits::{LimitArgs, option_of};
