use std::path::{Path, PathBuf};

use sealpack_host::disk::{BOOT_LOADER, NewDisk, Tools};
use sealpack_host::image::ImageFiles;
use sealpack_host::signing::sign;
use sealpack_host::uki::GivenFile;
use sealpack_store::{ImageRecord, Store};

use super::input;
use crate::args::{BootSigningArgs, parse_size};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// How large the disk is unless somebody says.
const SIZE: &str = "8GiB";

/// Make a disk that boots: with boot loader, UKIs, and a store that has the images which these start.
///
/// On it are an EFI system partition with systemd-boot, taken from the first image and signed with --key, and the UKIs, of
/// which the one with the highest number is started, and an older one where it does not come up in three tries; and a
/// data partition, ext4 with fs-verity, with the images in packs, their seals, and directories for /var, /home and what
/// is kept of /etc. Every byte of the images is verified. The file is sparse; nobody has to be root, and everything
/// on the disk is root's.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host disk host:1 --uki sealed_1.efi -o disk.img --key boot.key --cert boot.crt
  sealpack host disk host:1 host:2 --uki sealed_1.efi --uki sealed_2.efi -o disk.img --boot-loader signed.efi")]
pub(crate) struct Disk {
    /// The images: names or digests, sealed and in packs.
    #[arg(required = true)]
    images: Vec<String>,
    /// A signed UKI that `sealpack host build` made of one of the images.
    #[arg(long = "uki", value_name = "FILE", required = true)]
    ukis: Vec<PathBuf>,
    /// Where the disk goes.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How large the disk is.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = SIZE)]
    size: u64,
    /// A boot loader that is signed already, in the place of the image's. Without it, --key and --cert sign that.
    // By this name the key knows that nothing is to be signed.
    #[arg(long, id = "unsigned", value_name = "FILE")]
    boot_loader: Option<PathBuf>,
    /// A directory with PK.auth, KEK.auth and db.auth, which systemd-boot gives to firmware that has no keys yet.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    signing: BootSigningArgs,
}

impl Disk {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        context
            .output
            .when_interrupted("no disk was made; the next one that is made there removes what was begun");
        let (_lock, store) = context.open_for_reading()?;
        let images = self.images.iter().map(|name| context.find_whole(&store, name));
        let images: Vec<ImageRecord> = images.collect::<Result<_, _>>()?;
        let tools = Tools::find(&tool_directories())?;
        let boot_loader = self.boot_loader(context, &store, &images)?;
        let disk = NewDisk {
            store: &store,
            images,
            ukis: self.ukis,
            boot_loader,
            keys: self.keys,
            size_bytes: self.size,
        };
        let made = disk.write(&tools, &self.output, self.force)?;
        show::host_disk::made(context.output, &made, &self.output)
    }

    /// The one that was given, or that of the first image, signed.
    fn boot_loader(
        &self,
        context: &Context,
        store: &Store,
        images: &[ImageRecord],
    ) -> Result<GivenFile, CommandError> {
        if let Some(path) = &self.boot_loader {
            return Ok(GivenFile { path: path.clone(), bytes: input::read(path)? });
        }
        let Some(key) = self.signing.signer(context.output)? else {
            return Err(CommandError::usage(
                "the boot loader needs a signature: give --key and --cert, or a signed one",
            ));
        };
        let first = images.first().ok_or_else(|| CommandError::usage("no image is given"))?;
        let unsigned = ImageFiles::open(store, first)?.read(BOOT_LOADER)?;
        Ok(GivenFile { path: BOOT_LOADER.into(), bytes: sign(&unsigned, &key)? })
    }
}

/// Where e2fsprogs may be: ordinary users have the directories of the superuser's programs not in their path.
fn tool_directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let superusers = ["/usr/sbin", "/sbin"].map(|directory| Path::new(directory).to_owned());
    std::env::split_paths(&path).chain(superusers).collect()
}
