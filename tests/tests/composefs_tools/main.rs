//! The program as `mkcomposefs`, `composefs-info`, `composefs-dump` and `mount.composefs`.

mod differential;
mod info;
mod mkcomposefs;
mod mount;

use anyhow::Result;
use sealpack_tests::composefs::Tools;
use std::process::Output;

/// What a run ended with: exit status, standard output, standard error.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// As [`told`] of a tool of ours with these arguments, its own path in messages cut to its name.
fn ours(name: &str, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    let tools = Tools::ours()?;
    let (status, out, err) = told(&tools.attempt(name, arguments)?);
    let directory = format!("{}/", tools.directory().display());
    Ok((status, out, err.replace(&directory, "")))
}
