//! Options that several commands take.

mod gate;

pub(crate) use gate::GateArgs;
