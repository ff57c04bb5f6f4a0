//! What is demanded of seals.

use sealpack_gate::Demand;

/// What is demanded of seals.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GateArgs {
    /// Take only an image that is sealed as the trust store wants it, whatever the rules allow.
    #[arg(long, value_name = "WHAT", value_parser = ["sealed"])]
    require: Option<String>,
    /// Take an older image than the name stood for before, or one without a seal where there was one. What is
    /// remembered of the name stays.
    #[arg(long)]
    allow_rollback: bool,
}

impl GateArgs {
    pub(crate) const fn demand(&self) -> Demand {
        // There is only one value of --require.
        Demand { sealed: self.require.is_some(), allow_rollback: self.allow_rollback }
    }
}
