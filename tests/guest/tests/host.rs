//! Each check of sealed hosts on each kernel as a test. The first one of a run boots the hosts; all share these boots.

use libtest_mimic::{Arguments, Failed, Trial};
use sealpack_guest::host::{checks, run};
use sealpack_guest::kernels::Generation;

fn main() {
    let arguments = Arguments::from_args();
    let trials = Generation::ALL
        .into_iter()
        .flat_map(|generation| checks::names_for(generation).into_iter().map(move |name| (generation, name)))
        .map(|(generation, name)| {
            Trial::test(format!("linux {}::{name}", generation.name()), move || result_of(generation, name))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn result_of(generation: Generation, name: &str) -> Result<(), Failed> {
    let results = run::shared(generation).map_err(|error| format!("{error:#}"))?;
    sealpack_guest::run::judged(&results, name).map_err(Failed::from)
}
