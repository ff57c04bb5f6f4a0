use serde_json::json;

use crate::compat::Tool;
use crate::context::Context;
use crate::error::CommandResult;
use crate::output::table;

/// List the composefs tools that this program is when it is called by their names.
///
/// A link of one of these names that leads to `sealpack` takes the options of the C tool,
/// prints what it prints, and ends with its exit status.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack compat
  ln -s sealpack /usr/local/bin/mkcomposefs
  ln -s /usr/local/bin/sealpack /sbin/mount.composefs    # for mount -t composefs")]
pub(crate) struct Compat {}

impl Compat {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let tools: Vec<_> =
            Tool::ALL.iter().map(|tool| json!({ "name": tool.name(), "purpose": tool.purpose() })).collect();
        context.output.result(&json!({ "tools": tools }), || {
            let rows = Tool::ALL.map(|tool| vec![tool.name().to_owned(), tool.purpose().to_owned()]);
            table(&["NAME", "PURPOSE"], &rows)
        })
    }
}
