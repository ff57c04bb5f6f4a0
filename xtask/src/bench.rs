#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    Pull,
}
pub(crate) fn run(_: &Bench) -> anyhow::Result<()> {
    Ok(())
}
