use std::path::PathBuf;

use sealpack_format::boot::{CommandLineError, DataLabelError};
use sealpack_format::pe::{Machine, PeError};
use sealpack_node::seals::SealingError;
use sealpack_trust::key::KeyError;
use sealpack_trust::pkcs7::VerifyError;

use super::KernelError;
use crate::image::ImageFileError;
use crate::modules::ModulesError;
use crate::systemd::UnfitProgram;

/// Why there is no UKI.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UkiError {
    /// The image's objects are files, which are on no device.
    #[error(
        "{image} is not kept in packs, so that no kernel can check it before it executes something of it"
    )]
    NotInPacks {
        /// The image's name.
        image: String,
    },
    /// The image has no seal.
    #[error("{image} is not sealed: no kernel would execute anything of it")]
    NotSealed {
        /// The image's name.
        image: String,
    },
    /// Nobody who is given signed a device.
    #[error(
        "{device} is signed by {}, which is none of the {given} {} given: the host would refuse it",
        if signers.is_empty() { "nobody".to_owned() } else { signers.join(" and ") },
        if *given == 1 { "certificate" } else { "certificates" }
    )]
    PackSigner {
        /// Which device.
        device: String,
        /// Who signed it.
        signers: Vec<String>,
        /// How many certificates there are.
        given: usize,
    },
    /// The policy is text.
    #[error("{} is not signed, and the kernel takes signed policies only", path.display())]
    PolicyNotSigned {
        /// The policy's file.
        path: PathBuf,
    },
    /// The policy is not by whom it should be.
    #[error("{}: {source}", path.display())]
    PolicySigner {
        /// The policy's file.
        path: PathBuf,
        /// What is wrong with the signature.
        source: VerifyError,
    },
    /// The policy lets everything run.
    #[error("{} does not deny execution by default: a host with it would not be sealed", path.display())]
    PolicyAllows {
        /// The policy's file.
        path: PathBuf,
    },
    /// The policy lets something run that root on the host can make.
    #[error("{} lets {what} be executed, by {rule}: a host with it would not be sealed", path.display())]
    PolicyTrusts {
        /// The policy's file.
        path: PathBuf,
        /// What it lets run.
        what: &'static str,
        /// The rule that decides.
        rule: String,
    },
    /// The policy lets nothing run of the image.
    #[error("{} denies executing what is on {device}, by {rule}: the host would not start", path.display())]
    PolicyDenies {
        /// The policy's file.
        path: PathBuf,
        /// Which device.
        device: String,
        /// The rule that decides.
        rule: String,
    },
    /// A certificate that the kernel would not take.
    #[error("the certificate of \"{subject}\": {source}")]
    Certificate {
        /// Whose it is.
        subject: String,
        /// Why.
        source: KeyError,
    },
    /// The stub is none.
    #[error("the stub {stub}: {source}")]
    Stub {
        /// Its path, in the image or here.
        stub: String,
        /// What is wrong with it.
        source: PeError,
    },
    /// The stub is a UKI already, or something else.
    #[error("the stub {stub} {problem}")]
    NoStub {
        /// Its path, in the image or here.
        stub: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The stub is another program, or too old.
    #[error("the stub {stub} {source}")]
    UnfitStub {
        /// Its path, in the image or here.
        stub: String,
        /// What it is.
        source: UnfitProgram,
    },
    /// Parts of different machines.
    #[error("{what} is for {}, and the stub for {}", machine_name(*found), machine_name(*stub))]
    OtherMachine {
        /// The kernel, or the first process.
        what: String,
        /// Its machine.
        found: Machine,
        /// The stub's.
        stub: Machine,
    },
    /// The first process is no program that can be one.
    #[error("{init} cannot be a host's first process: {problem}")]
    Init {
        /// Its path, in the image or here.
        init: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The kernel is none, or cannot do it.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// depmod was not run for the kernel.
    #[error("the image has no {path}: without it nobody knows what the kernel's modules depend on")]
    NoDependencies {
        /// `modules.dep`.
        path: String,
    },
    /// The modules.
    #[error("kernel {kernel}: {source}")]
    Modules {
        /// Its version.
        kernel: String,
        /// What is wrong.
        source: ModulesError,
    },
    /// The command line.
    #[error(transparent)]
    CommandLine(#[from] CommandLineError),
    /// The label of the data partition.
    #[error(transparent)]
    Label(#[from] DataLabelError),
    /// A file of the image.
    #[error(transparent)]
    File(#[from] ImageFileError),
    /// The image's seal.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// The store, or what is in it.
    #[error(transparent)]
    Node(#[from] sealpack_node::Error),
    /// The initramfs.
    #[error("the initramfs cannot be made: {0}")]
    Initramfs(std::io::Error),
}

impl UkiError {
    /// Whether something is not what a digest or a signature says, rather than that it could not be done.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::PackSigner { .. } | Self::PolicySigner { .. } => true,
            Self::Sealing(error) => error.is_verification(),
            Self::Node(error) => error.is_verification(),
            Self::File(error) | Self::Kernel(KernelError::File(error)) => error.is_verification(),
            _ => false,
        }
    }
}

impl From<sealpack_store::Error> for UkiError {
    fn from(error: sealpack_store::Error) -> Self {
        Self::Node(error.into())
    }
}

fn machine_name(machine: Machine) -> String {
    match machine {
        Machine::X86_64 => "x86-64".to_owned(),
        Machine::Aarch64 => "AArch64".to_owned(),
        Machine::Other(number) => format!("the machine {number:#x}"),
    }
}
