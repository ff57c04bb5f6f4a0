use std::fs;
use std::path::{Path, PathBuf};

use sealpack_trust::seal::{Signed, Statement};
use serde_json::json;

use super::draft;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::sealing::StatementArgs;
use sealpack_node::new_files::{self, NewFile, directory_of};

/// Write what is to be signed, for a key that is somewhere else.
///
/// The directory gets the bytes to be signed, exactly: the statement as statement.json, and each root hash as
/// ROOT-HASH.txt, with a README that has the lines for openssl. Each signature goes beside it, with .p7s added to its
/// name; then `sealpack seal attach` takes them. An image that is sealed already gets its statement written again,
/// for another signer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack seal prepare debian:12 --out to-be-signed
  sealpack seal prepare debian:12 --name registry.lan/debian:12 --epoch 17 --out to-be-signed")]
pub(crate) struct Prepare {
    /// The image: a name or a digest.
    image: String,
    /// The directory, which must not be there or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    statement: StatementArgs,
    /// Prepare a new seal, though the image has one.
    #[arg(long)]
    replace: bool,
}

impl Prepare {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        check_is_free(&self.out)?;
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let (record, draft) = draft(context, &store, record, &self.statement, self.replace)?;
        let statement = draft.statement();
        let mut files = vec![("README".to_owned(), README.as_bytes().to_vec())];
        files.extend(statement.to_be_signed().map(|(signed, content)| (file_name(signed), content)));
        write_directory(&self.out, &files)?;
        let value = json!({
            "name": record.name,
            "manifest": record.manifest,
            "directory": self.out,
            "to_be_signed": files.iter().skip(1).map(|(name, _)| name).collect::<Vec<_>>(),
            "names": statement.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "epoch": statement.epoch(),
        });
        context.output.result(&value, || {
            format!(
                "{}: {} files to be signed in {}, with a README; then: sealpack seal attach {} {} --cert CERT",
                record.name,
                files.len() - 1,
                self.out.display(),
                self.image,
                self.out.display()
            )
        })
    }
}

/// The file with the bytes of something that is to be signed.
pub(super) fn file_name(signed: Signed) -> String {
    match signed {
        Signed::Statement => "statement.json".to_owned(),
        Signed::RootHash(root_hash) => format!("{root_hash}.txt"),
    }
}

/// The statement in such a directory.
pub(super) fn read_statement(directory: &Path) -> Result<Statement, CommandError> {
    let path = directory.join(file_name(Signed::Statement));
    let bytes = sealpack_node::keys::read(&path)?;
    let read = Statement::parse(&bytes);
    read.map_err(|error| {
        CommandError::refused(format_args!("{}: {error}", path.display()))
            .hint("the file must be as `sealpack seal prepare` wrote it")
    })
}

const README: &str = "\
These files are to be signed, each as it is, for `sealpack seal attach`. The signature of FILE goes into FILE.p7s:
PKCS#7, detached, by one signer, without certificates and attributes, in DER or PEM. With OpenSSL, in this directory:

    for file in statement.json *.txt; do
        openssl smime -sign -binary -noattr -nocerts -outform der \\
            -signer CERT -inkey KEY -in \"$file\" -out \"$file.p7s\"
    done

With a key on P-384 add `-md sha384`. The statement may be signed by another key than the root hashes.
What is signed: statement.json says which image this is, and for which names it may be used. Read it first.
";

fn check_is_free(directory: &Path) -> CommandResult {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CommandError::failed(format_args!("cannot use {}: {error}", directory.display()))),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(CommandError::failed(format_args!("{} is not empty", directory.display()))
                .hint("give a directory that is not there")),
        },
    }
}

/// Makes a directory with these files, which is there with all of them or not at all.
fn write_directory(directory: &Path, files: &[(String, Vec<u8>)]) -> CommandResult {
    let failed = |error: std::io::Error| {
        CommandError::failed(format_args!("cannot write {}: {error}", directory.display()))
    };
    let name = directory.file_name().ok_or_else(|| {
        CommandError::usage(format_args!("{} is not the name of a new directory", directory.display()))
    })?;
    let temporary = format!(".{}.{}.new", name.to_string_lossy(), std::process::id());
    let temporary = directory_of(directory).join(temporary);
    fs::create_dir(&temporary).map_err(failed)?;
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| temporary.join(name)).collect();
    let new = files.iter().zip(&paths).map(|((_, bytes), path)| NewFile { path, bytes, mode: 0o644 });
    let written = new_files::write_all(&new.collect::<Vec<_>>(), false)
        .map_err(CommandError::from)
        .and_then(|()| fs::rename(&temporary, directory).map_err(failed));
    if written.is_err() {
        // What is left of it is under a name that nobody looks at; the error says what went wrong.
        _ = fs::remove_dir_all(&temporary);
    }
    written
}
