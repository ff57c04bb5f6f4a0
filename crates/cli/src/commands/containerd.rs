use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealpack_format::reference::Reference;
use sealpack_node::new_files::{NewFile, write_all};
use sealpack_node::settings::Settings;
use sealpack_store::location;
use toml_edit::DocumentMut;

use crate::containerd::{Version, Wanted, edit, new};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Images and containers of containerd, by sealpack-snapshotter.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack containerd configure
  sealpack containerd configure --write")]
pub(crate) struct Containerd {
    #[command(subcommand)]
    command: ContainerdCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ContainerdCommand {
    Configure(Configure),
}

impl Containerd {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self.command {
            ContainerdCommand::Configure(command) => command.run(context),
        }
    }
}

/// Print, or write, the configuration with which containerd uses sealpack-snapshotter.
///
/// It depends on the version of containerd that is installed, which is asked for it: 1.6, 1.7 and 2.x want different things.
/// What is printed is a whole file for a containerd that has no other configuration. With --write the file gets it, and
/// keeps whatever else is in it. containerd reads the result before it takes the place of the file, and uses it when it is started
/// anew.
///
/// The socket and the store are those of /etc/sealpack/sealpack.toml, or the usual ones.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack containerd configure
  sealpack containerd configure --write --pause registry.example.org/pause:1
  sealpack containerd configure --program /usr/local/bin/containerd --write --file /etc/containerd/config.toml")]
struct Configure {
    /// Edit the file.
    #[arg(long)]
    write: bool,
    /// containerd's configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/containerd/config.toml")]
    file: PathBuf,
    /// containerd.
    #[arg(long, value_name = "PROGRAM", default_value = "containerd")]
    program: PathBuf,
    /// Have pods kept by this pause image, such as a sealed one.
    #[arg(long, value_name = "IMAGE")]
    pause: Option<Reference>,
}

/// The snapshotter's socket, where the settings say nothing of it.
const SOCKET: &str = "/run/sealpack/snapshotter.sock";

/// The largest file that is edited.
const FILE_MAX_BYTES: u64 = 4 * 1024 * 1024;

impl Configure {
    fn run(self, context: &Context) -> CommandResult {
        let version = self.version()?;
        if !version.is_tried() {
            context.output.remark(&format!("note: containerd {version} was not tried with sealpack"));
        }
        let settings = Settings::read(context.settings.as_deref()).map_err(CommandError::failed)?;
        let socket = settings.snapshotter.socket.unwrap_or_else(|| SOCKET.into());
        let store = context.store.clone().or(settings.store).unwrap_or_else(|| location::SYSTEM.into());
        let (socket, root) = (text(&socket)?, text(&store)?);
        let platform = sealpack_oci::platform::Platform::host().to_string();
        let pause = self.pause.as_ref().map(ToString::to_string);
        let pause = pause.as_deref();
        let wanted = Wanted { version, socket: &socket, root: &root, platform: &platform, pause };
        if !self.write {
            return show::containerd::configuration(context.output, version, &new(wanted));
        }
        let changed = self.edit(wanted)?;
        show::containerd::written(context.output, version, &self.file, changed)
    }

    /// What the program says it is.
    fn version(&self) -> Result<Version, CommandError> {
        let said = self.ask(&["--version"])?;
        Version::of_output(&said).map_err(CommandError::failed)
    }

    fn ask(&self, arguments: &[&str]) -> Result<String, CommandError> {
        let program = self.program.display();
        let output = Command::new(&self.program).args(arguments).output().map_err(|error| {
            CommandError::failed(format_args!("cannot run {program}: {error}"))
                .hint("--program names containerd")
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(CommandError::failed(format_args!(
                "{program} {} ends with {}: {}",
                arguments.join(" "),
                output.status,
                said.trim()
            )));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Has the file say what is wanted. Answers whether it did not before.
    fn edit(&self, wanted: Wanted<'_>) -> Result<bool, CommandError> {
        let path = &self.file;
        let about =
            |error: &dyn std::fmt::Display| CommandError::failed(format_args!("{}: {error}", path.display()));
        let (old, mode) = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => (String::new(), 0o644),
            Err(error) => return Err(about(&error)),
            Ok(status) if status.len() > FILE_MAX_BYTES => {
                return Err(about(&"it is too large to be edited"));
            }
            Ok(status) => (fs::read_to_string(path).map_err(|error| about(&error))?, status.mode() & 0o7777),
        };
        let mut document: DocumentMut = old.parse().map_err(|error| about(&error))?;
        edit(&mut document, wanted).map_err(|error| about(&error))?;
        let new = document.to_string();
        if new == old {
            return Ok(false);
        }
        self.try_out(&new, mode)?;
        write_all(&[NewFile { path, bytes: new.as_bytes(), mode }], true)?;
        Ok(true)
    }

    /// Has containerd read it, under another name in the same directory: what it imports may be relative to that.
    fn try_out(&self, text: &str, mode: u32) -> CommandResult {
        let mut name = self.file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let path = self.file.with_file_name(name);
        write_all(&[NewFile { path: &path, bytes: text.as_bytes(), mode }], false)?;
        let path_text = path.to_string_lossy().into_owned();
        let read = self.ask(&["--config", &path_text, "config", "dump"]);
        // It is of no use any more; the first error is the one to tell.
        _ = fs::remove_file(&path);
        read.map(drop).map_err(|error| error.about("containerd does not take the new configuration"))
    }
}

fn text(path: &Path) -> Result<String, CommandError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        CommandError::failed(format_args!("{}: containerd takes paths in UTF-8 only", path.display()))
    })
}
