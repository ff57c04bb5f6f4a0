//! Which modules a sealed host loads, in which order.

use std::collections::HashSet;
use std::fmt;

/// More than any host loads before its root is there.
const MODULES_MAX: usize = 512;
/// As the kernel's limit for a name in a directory.
const FILE_MAX_BYTES: usize = 255;
/// More than any parameters that are known.
const PARAMETERS_MAX_BYTES: usize = 1024;
/// How files of modules end; those of all but the first are compressed, and the kernel takes them as they are
/// (`MODULE_INIT_COMPRESSED_FILE`).
const ENDINGS: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// In front of a module that is for hardware which need not be there.
const OPTIONAL: char = '-';

/// One module: its file, and what it is loaded with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    file: String,
    parameters: String,
    is_optional: bool,
}

impl Module {
    /// A module in the file `file`, a name without directories, with parameters as `finit_module` takes them.
    ///
    /// # Errors
    /// A name that is none of a module's file; parameters that do not fit in a line.
    pub fn new(file: &str, parameters: &str) -> Result<Self, OrderError> {
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let stem = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending));
        let good = stem.is_some_and(|stem| !stem.is_empty() && !stem.starts_with(['.', OPTIONAL]));
        if !good || file.len() > FILE_MAX_BYTES || !file.bytes().all(in_name) {
            return Err(OrderError::File(file.chars().take(100).collect()));
        }
        let in_parameters = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if parameters.len() > PARAMETERS_MAX_BYTES
            || parameters.trim() != parameters
            || !parameters.bytes().all(in_parameters)
        {
            return Err(OrderError::Parameters(file.to_owned()));
        }
        Ok(Self { file: file.to_owned(), parameters: parameters.to_owned(), is_optional: false })
    }

    /// The same, for hardware that need not be there: it may refuse to be loaded, and what depends on it too.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    /// Whether the host starts without it.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        self.is_optional
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The parameters, or nothing.
    #[must_use]
    pub fn parameters(&self) -> &str {
        &self.parameters
    }

    /// Whether the file is compressed, of which the kernel wants to be told.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        !self.file.ends_with(".ko")
    }
}

/// The file `modules/ORDER`: a line for each module, its file's name and, after a space, its parameters. In front of an
/// optional one is `-`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleOrder {
    modules: Vec<Module>,
}

impl ModuleOrder {
    /// The modules in this order.
    ///
    /// # Errors
    /// More than 512; a file twice.
    pub fn new(modules: Vec<Module>) -> Result<Self, OrderError> {
        if modules.len() > MODULES_MAX {
            return Err(OrderError::TooMany(modules.len()));
        }
        let mut files = HashSet::new();
        if let Some(again) = modules.iter().find(|module| !files.insert(&module.file)) {
            return Err(OrderError::Twice(again.file.clone()));
        }
        Ok(Self { modules })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// A line that is not as [`Module::new`] wants it, or does not end; a file twice; more than 512.
    pub fn parse(text: &[u8]) -> Result<Self, OrderError> {
        let mut modules = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if modules.len() == MODULES_MAX {
                return Err(OrderError::TooMany(MODULES_MAX.saturating_add(1)));
            }
            let lossy = || String::from_utf8_lossy(line).chars().take(100).collect();
            let line = line.strip_suffix(b"\n").ok_or_else(|| OrderError::Unfinished(lossy()))?;
            let line = str::from_utf8(line).map_err(|_| OrderError::File(lossy()))?;
            let (line, is_optional) = match line.strip_prefix(OPTIONAL) {
                Some(line) => (line, true),
                None => (line, false),
            };
            let module = match line.split_once(' ') {
                Some((file, "")) => return Err(OrderError::Parameters(file.chars().take(100).collect())),
                Some((file, parameters)) => Module::new(file, parameters)?,
                None => Module::new(line, "")?,
            };
            modules.push(Module { is_optional, ..module });
        }
        Self::new(modules)
    }

    /// The modules, the first to be loaded first.
    #[must_use]
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }
}

impl fmt::Display for ModuleOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Module { file, parameters, is_optional } in &self.modules {
            if *is_optional {
                write!(f, "{OPTIONAL}")?;
            }
            match parameters.as_str() {
                "" => writeln!(f, "{file}")?,
                _ => writeln!(f, "{file} {parameters}")?,
            }
        }
        Ok(())
    }
}

/// What is no list of modules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// No name of a module's file.
    #[error("{0:?} is not the name of a module's file: it ends in {endings}", endings = ENDINGS.join(", "))]
    File(String),
    /// Parameters that would not come back as they are.
    #[error(
        "the parameters of {0} are not up to {PARAMETERS_MAX_BYTES} characters of printable ASCII, or have spaces around them"
    )]
    Parameters(String),
    /// The last line has no newline.
    #[error("the line {0:?} does not end")]
    Unfinished(String),
    /// A file that is there already.
    #[error("{0} is in the list of modules twice")]
    Twice(String),
    /// More than anybody loads.
    #[error("{0} modules are more than {MODULES_MAX}")]
    TooMany(usize),
}
