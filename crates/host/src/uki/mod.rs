//! What firmware starts on a sealed host: one signed file with systemd's stub, the kernel, the initramfs and the command
//! line ([uki.md](../../../../docs/formats/uki.md)).
//!
//! [`build`] makes it of an image in the store, without a signature: the same inputs give the same bytes.
//! [`signing`](crate::signing) signs it.

mod error;
mod file;
mod init;
mod kernel;
mod release;
mod sealed;

use std::collections::BTreeSet;
use std::path::PathBuf;

use sealpack_format::RootHash;
use sealpack_format::boot::{BootParameters, CommandLine, DataLabel, Deadline, Etc, Hardening, Module};
use sealpack_format::pe::{Image, NewSection, append_sections};
use sealpack_node::policy::GivenPolicy;
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::key::Certificate;

pub use error::UkiError;
pub use file::{NotUki, OtherImage, UkiFile, release_of};
pub use kernel::{Configuration, Kernel, KernelError};
pub use release::Release;

use crate::image::ImageFiles;
use crate::initramfs::{self, Contents};
use crate::modules::{Choice, FILES, Index, ModulesError};
use crate::systemd::FirmwareProgram;
use sealed::SealedImage;

/// Where an image has systemd's stub.
const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
/// Where an image has Sealpack's first process.
const INIT: &str = "/usr/lib/sealpack/init";
/// Where an image says what it is; the first that is there counts (os-release(5)).
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// A file that is taken in place of the image's.
#[derive(Debug)]
pub struct GivenFile {
    /// Where it is, for messages.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What a UKI is made of besides the image.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// The policy that the host starts with.
    pub policy: &'a GivenPolicy,
    /// Who may have signed it.
    pub policy_signers: &'a [Certificate],
    /// Who may have signed packs.
    pub pack_signers: &'a [Certificate],
    /// The kernel's version, where it is not the newest of the image.
    pub kernel: Option<&'a str>,
    /// The stub, where it is not the image's.
    pub stub: Option<GivenFile>,
    /// The first process, where it is not the image's.
    pub init: Option<GivenFile>,
    /// Modules that are loaded besides.
    pub modules: &'a [String],
    /// Words that the command line has besides.
    pub words: &'a [String],
    /// The label of the data partition.
    pub data_label: DataLabel,
    /// What `/etc` writes to.
    pub etc: Etc,
    /// Hardenings that are left out.
    pub off: BTreeSet<Hardening>,
    /// How long the start may take.
    pub deadline: Deadline,
}

/// A UKI that is not signed.
#[derive(Debug)]
pub struct Uki {
    /// The file.
    pub bytes: Vec<u8>,
    /// The root hash that the image's device has to have.
    pub root_hash: RootHash,
    /// The epoch of the image's seal, the version that boot loaders order it by.
    pub epoch: u64,
    /// The kernel's version.
    pub kernel: String,
    /// The command line.
    pub command_line: CommandLine,
    /// The length of the initramfs, in bytes.
    pub initramfs_bytes: u64,
    /// The files of the modules that the initramfs has.
    pub modules: Vec<String>,
    /// Whether the stub had signatures, which are of no use to what it became.
    pub stub_was_signed: bool,
}

impl Uki {
    /// The name that it should have on the ESP: `sealed_EPOCH.efi`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("sealed_{}.efi", self.epoch)
    }
}

/// Makes the UKI that starts an image.
///
/// # Errors
/// [`UkiError`]: what the image, its seal, its kernel, the policy or a part that was given lacks.
pub fn build(store: &Store, record: &ImageRecord, mut recipe: Recipe<'_>) -> Result<Uki, UkiError> {
    check_certificates(recipe.pack_signers)?;
    let sealed = SealedImage::check(store, record, recipe.pack_signers)?;
    let policy = sealed.check_policy(recipe.policy, recipe.policy_signers)?;
    let files = ImageFiles::open(store, record)?;
    let stub = given_or_own(recipe.stub.take(), STUB, &files)?;
    let init = given_or_own(recipe.init.take(), INIT, &files)?;
    let stub_image = stub_image(&stub)?;
    init::check(&init.bytes, &init.path.display().to_string(), stub_image.machine())?;
    let kernel = Kernel::find(&files, recipe.kernel)?;
    let kernel_bytes = kernel.read(&files)?;
    check_machine(&kernel, &kernel_bytes, &stub_image)?;
    let choice = choice(&files, &kernel, recipe.modules)?;
    let command_line = command_line(record, sealed.root_hash, &recipe, &choice)?;
    check_configuration(&files, &kernel, &choice, &command_line)?;
    let text = command_line.to_string();
    let contents = Contents {
        init: &init.bytes,
        command_line: &text,
        policy,
        certificates: &recipe.pack_signers.iter().map(Certificate::der).collect::<Vec<_>>(),
        order: &choice.order,
        modules: &modules(&files, &kernel, &choice)?,
    };
    let initramfs = initramfs::make(&contents).map_err(UkiError::Initramfs)?;
    let release = os_release(&files, record, sealed.epoch)?;
    let version = kernel.version();
    let bytes = append_sections(&stub_image, &sections(&release, &text, version, &initramfs, &kernel_bytes))
        .map_err(|source| UkiError::Stub { stub: stub.path.display().to_string(), source })?;
    Ok(Uki {
        bytes,
        root_hash: sealed.root_hash,
        epoch: sealed.epoch,
        kernel: version.to_owned(),
        initramfs_bytes: initramfs.len() as u64,
        modules: choice.paths.into_keys().collect(),
        stub_was_signed: !stub_image.signatures().is_empty(),
        command_line,
    })
}

/// What stands behind the stub's own sections.
fn sections<'a>(
    release: &'a [u8],
    command_line: &'a str,
    version: &'a str,
    initramfs: &'a [u8],
    kernel: &'a [u8],
) -> [NewSection<'a>; 5] {
    let section = |name, content| NewSection { name, content, is_code: false };
    [
        section(".osrel", release),
        section(".cmdline", command_line.as_bytes()),
        section(".uname", version.as_bytes()),
        section(".initrd", initramfs),
        NewSection { name: ".linux", content: kernel, is_code: true },
    ]
}

/// The command line of the host.
fn command_line(
    record: &ImageRecord,
    root_hash: RootHash,
    recipe: &Recipe<'_>,
    choice: &Choice,
) -> Result<CommandLine, UkiError> {
    let boot = BootParameters {
        data_label: recipe.data_label.clone(),
        etc: recipe.etc,
        off: recipe.off.clone(),
        deadline: recipe.deadline,
        ..BootParameters::new(record.metadata_image, root_hash)
    };
    let words = choice.words.iter().chain(recipe.words).map(String::as_str);
    Ok(CommandLine::new(boot, words)?)
}

/// What boot loaders show of it.
fn os_release(files: &ImageFiles<'_>, record: &ImageRecord, epoch: u64) -> Result<Vec<u8>, UkiError> {
    let own = OS_RELEASE.iter().find_map(|path| files.find(path).transpose()).transpose()?;
    Ok(release::os_release(&own.unwrap_or_default(), last_name(&record.name), epoch))
}

fn given_or_own(given: Option<GivenFile>, path: &str, files: &ImageFiles<'_>) -> Result<GivenFile, UkiError> {
    match given {
        Some(given) => Ok(given),
        None => Ok(GivenFile { path: path.into(), bytes: files.read(path)? }),
    }
}

/// That the kernel takes the certificates into its keyrings.
fn check_certificates(certificates: &[Certificate]) -> Result<(), UkiError> {
    certificates.iter().try_for_each(|certificate| {
        let subject = certificate.subject().to_owned();
        certificate.check_kernel().map_err(|source| UkiError::Certificate { subject, source })
    })
}

/// The stub, which becomes a UKI and is none yet.
fn stub_image(stub: &GivenFile) -> Result<Image<'_>, UkiError> {
    let name = || stub.path.display().to_string();
    let no_stub = |problem| UkiError::NoStub { stub: name(), problem };
    let image = Image::parse(&stub.bytes).map_err(|source| UkiError::Stub { stub: name(), source })?;
    if !image.is_efi_application() {
        return Err(no_stub("is no program for firmware"));
    }
    if image.section(".linux").is_some() {
        return Err(no_stub("has a kernel in it already: it is a UKI"));
    }
    FirmwareProgram::Stub.check(&image).map_err(|source| UkiError::UnfitStub { stub: name(), source })?;
    // Without it, no list of revoked versions (SBAT) could name it.
    if image.section(".sbat").is_none() {
        return Err(no_stub("has no section .sbat, by which firmware is told of bad versions"));
    }
    Ok(image)
}

fn check_machine(kernel: &Kernel, bytes: &[u8], stub: &Image<'_>) -> Result<(), UkiError> {
    let found = Image::parse(bytes).map(|image| image.machine());
    let found = found.expect("the kernel was read as an image");
    if found != stub.machine() {
        let what = format!("the kernel {}", kernel.version());
        return Err(UkiError::OtherMachine { what, found, stub: stub.machine() });
    }
    Ok(())
}

/// Which modules the host loads.
fn choice(files: &ImageFiles<'_>, kernel: &Kernel, more: &[String]) -> Result<Choice, UkiError> {
    let path = |file: &str| format!("{}/{file}", kernel.modules());
    let [dependencies, others @ ..] = FILES;
    let path_of_dependencies = path(dependencies);
    let dependencies = files.find(&path_of_dependencies)?;
    let dependencies = dependencies.ok_or(UkiError::NoDependencies { path: path_of_dependencies })?;
    let mut contents = [Vec::new(), Vec::new(), Vec::new()];
    for (content, file) in contents.iter_mut().zip(others) {
        *content = files.find(&path(file))?.unwrap_or_default();
    }
    let [built_in, soft, aliases] = &contents;
    let index = Index::parse([&dependencies, built_in, soft, aliases]);
    let choice = index.and_then(|index| Choice::of(&index, more));
    choice.map_err(|source| of_modules(kernel, source))
}

fn check_configuration(
    files: &ImageFiles<'_>,
    kernel: &Kernel,
    choice: &Choice,
    command_line: &CommandLine,
) -> Result<(), UkiError> {
    let Some(configuration) = kernel.configuration(files)? else { return Ok(()) };
    let are_compressed = choice.order.modules().any(Module::is_compressed);
    let names_modules = command_line.others().iter().any(|word| word.starts_with("lsm="));
    Ok(configuration.check(are_compressed, names_modules)?)
}

/// The files of the modules that are loaded, by their names.
fn modules<'c>(
    files: &ImageFiles<'_>,
    kernel: &Kernel,
    choice: &'c Choice,
) -> Result<Vec<(&'c str, Vec<u8>)>, UkiError> {
    let read = |(file, path): (&'c String, &String)| {
        Ok((file.as_str(), files.read(&format!("{}/{path}", kernel.modules()))?))
    };
    choice.paths.iter().map(read).collect()
}

fn of_modules(kernel: &Kernel, source: ModulesError) -> UkiError {
    UkiError::Modules { kernel: kernel.version().to_owned(), source }
}

/// The last part of an image's repository: `host` of `registry.example/site/host:3`.
fn last_name(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split(':').next().unwrap_or(last)
}
