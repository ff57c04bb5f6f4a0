use std::path::{Path, PathBuf};

use sealpack_format::boot::{DataLabel, Deadline, Etc, Hardening};
use sealpack_host::signing;
use sealpack_host::uki::{self, GivenFile, Recipe, Uki};
use sealpack_node::keys::{SigningKey, read_certificates};
use sealpack_node::new_files::{self, NewFile};
use sealpack_node::policy::GivenPolicy;
use sealpack_trust::key::{Certificate, PublicKeyKind};

use super::input;
use super::push::PublishArgs;
use crate::args::BootSigningArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Make what firmware starts, a UKI, of a sealed image.
///
/// In it are the image's kernel with the modules that it needs to find its disk, the signed policy, the certificates of
/// who may sign packs, and a command line with the image's digest and root hash. Kernel, systemd's stub and Sealpack's
/// first process are those of the image. The same inputs give the same file, but for an ECDSA signature.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host build host:3 -o . --policy p.p7b --policy-cert policy.crt \\
      --certificate packs.crt --key boot.key --cert boot.crt --push
  sealpack host build host:3 -o unsigned.efi --policy p.p7b --policy-cert policy.crt \\
      --certificate packs.crt --unsigned
  sbsign --key boot.key --cert boot.crt --output sealed_3.efi unsigned.efi")]
pub(crate) struct Build {
    /// The image: a name, or a whole digest. It has to be sealed.
    image: String,
    /// Where the UKI goes; in a directory that is there, as sealed_EPOCH.efi, by the epoch of the image's seal.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The policy that the host starts with, signed by a key that the firmware knows.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Who may have signed the policy, where it is none of --certificate and --cert: certificates, PEM or DER.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    policy_cert: Vec<PathBuf>,
    /// Who may sign packs on the host: certificates, PEM or DER. From Linux 7.0 on they go into .dm-verity; before that
    /// the firmware has to know them.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    certificate: Vec<PathBuf>,
    /// Leave the UKI unsigned, to sign it elsewhere (with sbsign, or by `host attach`).
    #[arg(long)]
    unsigned: bool,
    #[command(flatten)]
    signing: BootSigningArgs,
    /// The kernel's version [default: the newest in the image].
    #[arg(long, value_name = "VERSION")]
    kernel: Option<String>,
    /// systemd's stub, of systemd 257 or later [default: /usr/lib/systemd/boot/efi/linuxx64.efi.stub of the image].
    #[arg(long, value_name = "FILE")]
    stub: Option<PathBuf>,
    /// Sealpack's first process, a static program [default: /usr/lib/sealpack/init of the image].
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Load this module too, before the disk is looked for: for hardware that is not common.
    #[arg(long, value_name = "NAME")]
    module: Vec<String>,
    /// Add these words to the command line, such as console=ttyS0.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Leave a hardening out: device-mapper, written-mappings, kexec, ptrace, mac-admin, kernel-helpers, lockdown or
    /// foreign-abi.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    off: Vec<Hardening>,
    /// What /etc writes to: memory (tmpfs), or the data partition (persistent), where whoever was root once can stay it.
    #[arg(long, value_name = "WHAT", default_value = "tmpfs")]
    etc: Etc,
    /// The label of the data partition.
    #[arg(long, value_name = "LABEL", default_value_t)]
    data: DataLabel,
    /// How long the start may take until systemd is started, in seconds (10 to 3600): then the machine starts again.
    #[arg(long, value_name = "SECONDS", default_value_t)]
    deadline: Deadline,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// Publish the UKI beside the image, where hosts find it.
    #[arg(long, conflicts_with = "unsigned")]
    push: bool,
    #[command(flatten)]
    publish: PublishArgs,
}

impl Build {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find_whole(&store, &self.image)?;
        let policy = GivenPolicy::read(&self.policy)?;
        show::policy::remarks(context.output, &policy.remarks());
        let pack_signers = certificates(&self.certificate)?;
        let key = self.signing.signer(context.output)?;
        if let Some(key) = &key {
            remark_on(key, context);
        }
        let mut policy_signers = certificates(&self.policy_cert)?;
        policy_signers.extend(pack_signers.iter().cloned());
        policy_signers.extend(key.iter().map(|key| key.certificate.clone()));
        let words: Vec<String> =
            self.append.iter().flat_map(|words| words.split_whitespace()).map(str::to_owned).collect();
        let recipe = Recipe {
            policy: &policy,
            policy_signers: &policy_signers,
            pack_signers: &pack_signers,
            kernel: self.kernel.as_deref(),
            stub: given(self.stub.as_deref())?,
            init: given(self.init.as_deref())?,
            modules: &self.module,
            words: &words,
            data_label: self.data.clone(),
            etc: self.etc,
            off: self.off.iter().copied().collect(),
            deadline: self.deadline,
        };
        let uki = uki::build(&store, &record, recipe)?;
        if uki.stub_was_signed {
            context.output.remark("note: the stub's own signature is left out: it is not one of the UKI");
        }
        let signed = key.as_ref().map(|key| signing::sign(&uki.bytes, key)).transpose()?;
        let bytes = signed.as_ref().unwrap_or(&uki.bytes);
        let path = self.place(&uki);
        new_files::write_all(&[NewFile { path: &path, bytes, mode: 0o644 }], self.force)?;
        let signer = key.as_ref().map(|key| key.certificate.subject());
        let publish = || self.publish.publish(context, &store, &record, &path, bytes);
        let published = self.push.then(publish).transpose()?;
        let file = show::uki::File { path: &path, size_bytes: bytes.len(), signer };
        show::uki::built(context.output, &record, &uki, &file, published.as_ref())
    }

    /// Where the UKI goes.
    fn place(&self, uki: &Uki) -> PathBuf {
        match self.output.is_dir() {
            true => self.output.join(uki.file_name()),
            false => self.output.clone(),
        }
    }
}

/// Firmware is older than what it starts.
fn remark_on(key: &SigningKey, context: &Context) {
    let kind = key.certificate.public_key().kind();
    if !matches!(kind, PublicKeyKind::Rsa { .. }) {
        context.output.remark(&format!(
            "note: the key is {kind}; much firmware starts only what an RSA key signed (OVMF of 2022 among it)"
        ));
    }
}

fn certificates(files: &[PathBuf]) -> Result<Vec<Certificate>, CommandError> {
    let mut all = Vec::new();
    for file in files {
        all.extend(read_certificates(file)?);
    }
    Ok(all)
}

fn given(path: Option<&Path>) -> Result<Option<GivenFile>, CommandError> {
    path.map(|path| Ok(GivenFile { path: path.to_owned(), bytes: input::read(path)? })).transpose()
}
