use sealpack_format::boot::OrderError;

/// Why it is not known what to load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModulesError {
    /// A line that depmod does not write.
    #[error("line {line} of {file} is not as depmod writes it: {text:?}")]
    Line {
        /// The file's name.
        file: &'static str,
        /// Counted from 1.
        line: usize,
        /// The line, or its beginning.
        text: String,
    },
    /// The kernel has not what every host needs.
    #[error("the kernel has no {name}, neither as a module nor built in, and no host starts without it")]
    Missing {
        /// The module.
        name: &'static str,
    },
    /// The kernel has not what was asked for.
    #[error("the kernel has no module {name:?}")]
    Unknown {
        /// As it was asked for.
        name: String,
    },
    /// Modules that depend on each other without an end.
    #[error("the module {name} depends on too many others, one behind the other")]
    TooDeep {
        /// One of them.
        name: String,
    },
    /// They make no list.
    #[error(transparent)]
    Order(#[from] OrderError),
}
