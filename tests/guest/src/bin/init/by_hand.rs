//! The system calls of a mount and nothing else, for figures: what is mounted is neither looked at nor checked.
//!
//! `sealpack-guest-init by-hand erofs|verity LOWERS TARGET` mounts the filesystems that the JSON file `LOWERS` lists, the metadata
//! image first, from loop devices alone or from signed dm-verity devices on them, and an overlay of them.

use crate::device::{activate_table, mount};
use anyhow::{Context, Result, bail};
use sealpack_kernel::Kernel;
use sealpack_kernel::dm::{DeviceNumber, VerityTable};
use sealpack_kernel::mount::{DetachedMount, MountAttributes};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A filesystem, and what its signed device is made of.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lower {
    pub(crate) data: PathBuf,
    /// The same file for a pack.
    pub(crate) hashes: PathBuf,
    pub(crate) data_blocks: u64,
    pub(crate) hash_start_block: u64,
    pub(crate) root_hash: String,
    pub(crate) signature: Vec<u8>,
}

pub(crate) fn run(words: &[String]) -> ExitCode {
    match mount_all(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn mount_all(words: &[String]) -> Result<()> {
    let [kind, lowers, target] = words else { bail!("by-hand erofs|verity LOWERS TARGET") };
    let lowers: Vec<Lower> = serde_json::from_slice(&fs::read(lowers)?)?;
    let kernel = Kernel::new();
    let mounts: Vec<DetachedMount> = lowers
        .iter()
        .enumerate()
        .map(|(number, lower)| match kind.as_str() {
            "verity" => verity(&kernel, lower, number),
            _ => erofs(&kernel, &lower.data),
        })
        .collect::<Result<_>>()?;
    let context = kernel.fsopen("overlay")?;
    context.set_flag("ro")?;
    context.set_string("metacopy", "on")?;
    context.set_string("redirect_dir", "on")?;
    for (number, mount) in mounts.iter().enumerate() {
        context.set_fd(if number == 0 { "lowerdir+" } else { "datadir+" }, mount.as_fd())?;
    }
    context.create()?;
    let overlay = context.mount(ATTRIBUTES)?;
    Ok(kernel.attach(&overlay, &File::open(target)?)?)
}

const ATTRIBUTES: MountAttributes =
    MountAttributes { read_only: true, nosuid: false, nodev: true, noexec: false };

fn erofs(kernel: &Kernel, image: &Path) -> Result<DetachedMount> {
    let file = File::open(image).with_context(|| format!("cannot open {}", image.display()))?;
    let device = kernel.attach_loop(file.as_fd())?;
    let context = kernel.fsopen("erofs")?;
    context.set_flag("ro")?;
    context.set_string("source", device.path())?;
    context.create()?;
    Ok(context.mount(ATTRIBUTES)?)
}

fn verity(kernel: &Kernel, lower: &Lower, number: usize) -> Result<DetachedMount> {
    let data = kernel.attach_loop(File::open(&lower.data)?.as_fd())?;
    let hashes = match lower.hashes == lower.data {
        true => None,
        false => Some(kernel.attach_loop(File::open(&lower.hashes)?.as_fd())?),
    };
    let name = format!("by-hand-{number}");
    let table = VerityTable {
        data: DeviceNumber::of_open(&data)?,
        hashes: DeviceNumber::of_open(hashes.as_ref().unwrap_or(&data))?,
        data_blocks: lower.data_blocks,
        hash_start_block: lower.hash_start_block,
        root_hash: lower.root_hash.parse()?,
        signature_key: Some(name.clone()),
    };
    let mapper = kernel.device_mapper()?;
    let device = activate_table(kernel, &mapper, &name.parse()?, &table, Some(&lower.signature))?;
    mount(kernel, &device)
}
