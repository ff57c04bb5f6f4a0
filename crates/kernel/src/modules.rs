//! Kernel modules (finit_module(2)).

use std::ffi::{CString, OsStr, c_int};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, Kernel};

/// `MODULE_INIT_COMPRESSED_FILE` (include/uapi/linux/module.h; from Linux 5.17).
const COMPRESSED_FILE: c_int = 4;

/// What the names of modules end in that the kernel itself is to decompress.
const COMPRESSED: [&str; 3] = ["xz", "zst", "gz"];

impl Kernel {
    /// Loads the module in the file at `path`, `NAME.ko` or what is compressed as `NAME.ko.xz`, `.zst` or `.gz`, with
    /// parameters such as `keyring_unsealed=1`. Answers `false` where the kernel has it already.
    ///
    /// # Errors
    /// The file cannot be opened; `EOPNOTSUPP` for a compression that the kernel was not built for, `ENOEXEC` for what
    /// is no module of this kernel, `ENOENT` for one that needs others first, `EKEYREJECTED` and `ENOKEY` for its
    /// signature, each with [what it means](Error::meaning).
    pub fn load_module(&self, path: &Path, parameters: &str) -> Result<bool, Error> {
        let file = self.call(
            "open",
            || format!("{path:?}, O_RDONLY"),
            || rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(File::from),
        )?;
        let flags = if is_compressed(path) { COMPRESSED_FILE } else { 0 };
        let loaded = self.call(
            "finit_module",
            || {
                let flags = if flags == 0 { "0" } else { "MODULE_INIT_COMPRESSED_FILE" };
                format!("{path:?}, {parameters:?}, {flags}")
            },
            || {
                let parameters = CString::new(parameters).map_err(|_| Errno::INVAL)?;
                rustix::system::finit_module(&file, &parameters, flags)
            },
        );
        match loaded {
            Ok(()) => Ok(true),
            Err(error) if error.errno() == Errno::EXIST => Ok(false),
            Err(error) => Err(error.meaning_of(meaning)),
        }
    }
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| COMPRESSED.iter().any(|known| OsStr::new(known) == ending))
        && path.file_stem().is_some_and(|stem| stem.as_bytes().ends_with(b".ko"))
}

/// kernel/module/main.c, decompress.c and signing.c
fn meaning(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::OPNOTSUPP => Some("this kernel cannot decompress modules that are compressed in this way"),
        Errno::NOEXEC => Some("this is not a module of this kernel"),
        Errno::NOENT => {
            Some("it needs modules that have to be loaded before it, or a parameter is not one of its own")
        }
        Errno::NOKEY | Errno::KEYREJECTED => {
            Some("its signature is by no key that the kernel trusts for modules")
        }
        Errno::ACCESS => Some("the active policy does not allow modules from there"),
        Errno::PERM => {
            Some("CAP_SYS_MODULE is not effective, or the kernel is locked down and the module not signed")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_given_to_the_kernel_as_it_is_compressed() {
        let directory = tempfile::tempdir().unwrap();
        for (name, flags) in [
            ("loop.ko", "0"),
            ("loop.ko.xz", "MODULE_INIT_COMPRESSED_FILE"),
            ("loop.ko.zst", "MODULE_INIT_COMPRESSED_FILE"),
            ("loop.xz", "0"),
        ] {
            let path = directory.path().join(name);
            std::fs::write(&path, "").unwrap();
            let kernel = Kernel::with_hook(|call| (call.name == "finit_module").then_some(Errno::OPNOTSUPP));
            let error = kernel.load_module(&path, "a=1").unwrap_err();
            let call = format!("finit_module({path:?}, \"a=1\", {flags}): EOPNOTSUPP");
            assert!(error.to_string().starts_with(&call), "{error}");
            assert!(error.meaning().unwrap().contains("cannot decompress"));
        }
    }

    #[test]
    fn a_module_that_is_there_already_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kernel = Kernel::with_hook(|call| (call.name == "finit_module").then_some(Errno::EXIST));
        assert_eq!(kernel.load_module(file.path(), ""), Ok(false));
    }

    #[test]
    fn a_module_that_is_not_there_is_named() {
        let error = Kernel::new().load_module(Path::new("/nowhere/loop.ko"), "").unwrap_err();
        assert!(error.to_string().starts_with("open(\"/nowhere/loop.ko\", O_RDONLY): ENOENT"), "{error}");
    }
}
