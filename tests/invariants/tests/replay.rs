//! The corpus of every fuzz target, and copies of it with a few changes, with the ordinary toolchain.

#![expect(clippy::print_stdout, reason = "what a failure is looked at with")]

use anyhow::{Context, Result, ensure};
use sealpack_invariants::TARGETS;
use std::fs;
use std::path::{Path, PathBuf};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// A byte that belongs to the number, the same in every run.
fn noise(number: u64) -> u64 {
    let mut value = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value ^= value >> 29;
    value.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (value >> 32)
}

/// `bytes` with one to four bytes changed, or cut, by the number.
fn changed(bytes: &[u8], number: u64) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    let at = |salt: u64| usize::try_from(noise(number ^ salt)).unwrap_or(usize::MAX) % bytes.len().max(1);
    if number.is_multiple_of(8) {
        copy.truncate(at(1));
    }
    for salt in 0..=number % 4 {
        if let Some(byte) = copy.get_mut(at(salt + 2)) {
            *byte = match noise(number + salt) % 4 {
                0 => 0,
                1 => 0xff,
                2 => *byte ^ (1 << (noise(salt) % 8)),
                _ => noise(number ^ salt).to_le_bytes()[0],
            };
        }
    }
    copy
}

/// More than this and a parser takes what it is told to take.
fn limit_memory() -> Result<()> {
    let limit = rustix::process::Rlimit { current: Some(2 << 30), maximum: Some(2 << 30) };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).context("cannot limit the memory")
}

fn replay(name: &str) -> Result<()> {
    limit_memory()?;
    let dir = corpus(name);
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    ensure!(!files.is_empty(), "{} has no files", dir.display());
    for file in files {
        let bytes = fs::read(&file)?;
        println!("{}", file.display());
        sealpack_invariants::check(name, &bytes);
        // So that large files do not take all the time.
        let copies = (2_000_000 / bytes.len().max(1)).clamp(16, 400);
        for number in 0..copies {
            println!("  changed by {number}");
            sealpack_invariants::check(name, &changed(&bytes, u64::try_from(number)?));
        }
    }
    Ok(())
}

macro_rules! replays {
    ($($name:ident),*) => {
        $(#[test] fn $name() -> Result<()> { replay(stringify!($name)) })*

        #[test]
        fn every_target_is_replayed() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

replays!(audit, blob, boot, broker, dump, erofs, ext4, layer, pack, pe, pkcs7, policy, rules, seal, tar);
