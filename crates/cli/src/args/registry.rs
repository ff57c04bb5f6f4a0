//! How registries are talked to.

use std::path::PathBuf;

use sealpack_oci::registry::{ClientOptions, Mirror};
use sealpack_oci::source::Source;

use crate::output::Output;
use crate::progress;

/// Options of commands that ask registries.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RegistryArgs {
    /// Speak plain HTTP to the registry. A registry on a loopback address needs no leave.
    #[arg(long)]
    plain_http: bool,
    /// Trust the certificate authorities in this PEM file too.
    #[arg(long = "ca", value_name = "FILE")]
    ca_files: Vec<PathBuf>,
    /// Take credentials from this file only.
    #[arg(long = "authfile", value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// Ask this registry first for images of the source's registry; may be given several times.
    #[arg(long = "mirror", value_name = "HOST[/PREFIX]")]
    mirrors: Vec<Mirror>,
}

impl RegistryArgs {
    /// The client's settings for `source`.
    pub(crate) fn client_options(&self, source: &Source, output: Output) -> ClientOptions {
        let mut options = self.without_mirrors(output);
        if let (Source::Registry(reference), false) = (source, self.mirrors.is_empty()) {
            options.mirrors.insert(reference.registry().to_owned(), self.mirrors.clone());
        }
        options
    }

    /// The client's settings for what is written: only registries themselves are.
    pub(crate) fn without_mirrors(&self, output: Output) -> ClientOptions {
        ClientOptions {
            plain_http: self.plain_http,
            ca_files: self.ca_files.clone(),
            auth_files: self.auth_file.iter().cloned().collect(),
            watch: progress::client_watch(output),
            ..ClientOptions::default()
        }
    }
}
