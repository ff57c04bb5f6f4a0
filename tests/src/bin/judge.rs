//! Judges a seal again and again, for measuring that alone.
//!
//! `sealpack-judge SEAL CERTIFICATE`: SEAL is a file of a store's `seals/`, and CERTIFICATE the one that signed it.
//! Prints the median time of reading and judging it, in microseconds, and the bytes of its statement and of its
//! signatures.

use anyhow::{Context, Result, ensure};
use sealpack_trust::anchors::{Anchors, Requirement, Use};
use sealpack_trust::judge::{Question, judge};
use sealpack_trust::key::Certificate;
use sealpack_trust::seal::Seal;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

/// An odd number, so that one is in the middle.
const RUNS: usize = 201;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let mut next = || arguments.next().context("usage: sealpack-judge SEAL CERTIFICATE");
    let (seal, certificate) = (next()?, next()?);
    let read =
        |path: PathBuf| std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
    let (seal, certificate) = (Seal::parse(&read(seal)?)?, Certificate::parse(&read(certificate)?)?);
    let mut anchors = Anchors::default();
    for of in [Use::Packs, Use::Statements] {
        anchors.add(of, "signer".parse()?, certificate.clone())?;
    }
    // As they come from a registry.
    let (statement, bundle) = (seal.statement().bytes().to_vec(), seal.bundle());
    let mut micros = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started = Instant::now();
        judge_once(&statement, &bundle, &anchors)?;
        micros.push(started.elapsed().as_micros());
    }
    micros.sort_unstable();
    Ok(writeln!(std::io::stdout(), "{} {} {}", micros[RUNS / 2], statement.len(), bundle.len())?)
}

fn judge_once(statement: &[u8], bundle: &[u8], anchors: &Anchors) -> Result<()> {
    let seal = Seal::from_parts(statement, bundle)?;
    let statement = seal.statement();
    let name = statement.names().first().context("a seal without names")?.reference();
    let question = Question {
        name: &name,
        manifest: statement.manifest(),
        index: None,
        platform: statement.platform(),
        now: SystemTime::now(),
        remembered: BTreeMap::new(),
        given: None,
        allow_rollback: false,
        require: Requirement::Sealed,
    };
    let verdict = judge(&seal, anchors, &question);
    ensure!(verdict.is_acceptable(), "the seal must not be used: {:?}", verdict.failures);
    Ok(())
}
