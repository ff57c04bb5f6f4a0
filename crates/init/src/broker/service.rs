//! The broker of a host that is not sealed: `init broker --socket PATH`, a service; with `--stay`, a process that lives as
//! long as the machine, as on a sealed host, for whoever starts it before the system.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

use sealpack_kernel::Kernel;

use super::rights::Life;
use super::{BrokerError, Opened, Server, become_broker, fork};

const KERNEL_LOG: &str = "/dev/kmsg";

/// Why the service was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// Another command line than it takes.
    #[error("usage: init broker --socket PATH [--stay]")]
    Usage,
    /// See there.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    socket: PathBuf,
    stays: bool,
}

/// Serves until it is ended, with the arguments behind `broker`; with `--stay`, returns once another process serves. What
/// it has to say goes to the standard error stream, or to the kernel's log, each line with a level before it.
///
/// # Errors
/// Why it does not serve.
pub(crate) fn run(arguments: &[OsString]) -> Result<(), ServiceError> {
    let Asked { socket, stays } = asked(arguments)?;
    let kernel = Kernel::new();
    // A policy that becomes active later is updated in the ordinary way: whoever may activate one may do that.
    let policy = active_policy(&kernel)?;
    let opened = Opened::new(&kernel, &socket, policy.as_deref(), log(stays)?)?;
    let begun = if stays {
        fork(&kernel, opened)
    } else {
        become_broker(&kernel, Server { opened, says: None }, Life::OfAService).map(|never| match never {})
    };
    begun.map_err(|error| {
        // Nobody serves there. From the broker's own place it cannot be reached, and the next one replaces it.
        let _ = std::fs::remove_file(&socket);
        error.into()
    })
}

/// Where lines go.
fn log(stays: bool) -> Result<File, BrokerError> {
    let (opened, path) = if stays {
        (File::options().write(true).open(KERNEL_LOG), KERNEL_LOG)
    } else {
        (std::io::stderr().as_fd().try_clone_to_owned().map(File::from), "(standard error)")
    };
    opened.map_err(|error| BrokerError::Io { what: "the log", path: path.into(), error })
}

fn asked(arguments: &[OsString]) -> Result<Asked, ServiceError> {
    let (socket, stays) = match arguments {
        [option, path] if option == "--socket" => (path, false),
        [option, path, stay] if option == "--socket" && stay == "--stay" => (path, true),
        _ => return Err(ServiceError::Usage),
    };
    if socket.is_empty() {
        return Err(ServiceError::Usage);
    }
    Ok(Asked { socket: PathBuf::from(socket), stays })
}

/// The name of the policy that decides, where IPE is there and one does.
fn active_policy(kernel: &Kernel) -> Result<Option<String>, BrokerError> {
    let Some(ipe) = kernel.ipe() else { return Ok(None) };
    let policy = ipe.active_policy().map_err(BrokerError::call("looking for the active policy"))?;
    Ok(policy.map(|policy| policy.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_one_socket() {
        let socket = |words: &[&str]| asked(&words.iter().map(OsString::from).collect::<Vec<_>>()).ok();
        let to = |stays| Some(Asked { socket: "/run/x".into(), stays });
        assert_eq!(socket(&["--socket", "/run/x"]), to(false));
        assert_eq!(socket(&["--socket", "/run/x", "--stay"]), to(true));
        for bad in [&[][..], &["--socket"], &["--socket", ""], &["--socket", "a", "b"], &["-s", "a"]] {
            assert_eq!(socket(bad), None, "{bad:?}");
        }
    }

    const UNIT: &str = include_str!("../../../../contrib/systemd/sealpack-broker.service");

    /// The words of a line of the unit's.
    fn of_unit(key: &str) -> Vec<&'static str> {
        let line = UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.expect("the unit has that").split_whitespace().collect()
    }

    #[test]
    fn the_unit_starts_it_where_it_is_looked_for_and_leaves_it_what_it_needs() {
        let words: Vec<_> =
            of_unit("ExecStart").into_iter().skip_while(|word| *word != "broker").skip(1).collect();
        let words: Vec<_> = words.iter().map(OsString::from).collect();
        let Asked { socket, stays } = asked(&words).expect("it takes these");
        assert_eq!((socket.to_str(), stays), (Some(sealpack_format::broker::SOCKET), false));
        let left = of_unit("CapabilityBoundingSet");
        for (name, _) in super::super::rights::KEPT.iter_names() {
            assert!(left.contains(&format!("CAP_{name}").as_str()), "{name}");
        }
        // To give the others up.
        assert!(left.contains(&"CAP_SETPCAP"));
    }

    #[test]
    fn systemd_understands_the_unit() {
        let directory = tempfile::tempdir().unwrap();
        let unit = directory.path().join("sealpack-broker.service");
        // The program need not be installed here.
        let program = std::env::current_exe().unwrap();
        let text = UNIT.replace("/usr/lib/sealpack/init", &program.to_string_lossy());
        std::fs::write(&unit, text).unwrap();
        let mut verify = std::process::Command::new("systemd-analyze");
        match verify.args(["verify", "--man=no"]).arg(&unit).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                // What it says of other units is not about this one.
                let about = said.lines().filter(|line| line.contains("sealpack-broker"));
                assert_eq!(about.collect::<Vec<_>>(), [""; 0], "{said}");
            }
            Err(error) => eprintln!("skipped: systemd-analyze: {error}"),
        }
    }
}
