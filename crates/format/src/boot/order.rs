//! Which modules a sealed host loads, in which order.

use std::collections::HashSet;
use std::fmt;

use super::{DevicePattern, DevicePatternError};

/// More than any host loads before its root is there.
const MODULES_MAX: usize = 512;
/// More than those of all drivers of disks.
const PATTERNS_MAX: usize = 16_384;
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

/// Modules that are loaded together, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleGroup {
    /// Only where a device has such a name; without any, always.
    pub devices: Vec<DevicePattern>,
    /// The modules, the first to be loaded first. One may be in several groups; its first time counts.
    pub modules: Vec<Module>,
}

/// The file `modules/ORDER`: a line for each module, its file's name and, after a space, its parameters. In front of an
/// optional one is `-`. A line in brackets begins a group, with the patterns of its devices, separated by spaces: `[]` one
/// that is always loaded, as is what stands before the first.
///
/// Drivers can find devices for which others are, so that groups for devices are gone through until nothing changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleOrder {
    groups: Vec<ModuleGroup>,
}

impl ModuleOrder {
    /// The groups in this order.
    ///
    /// # Errors
    /// More modules than 512 in all, or more patterns than 16,384; a file twice in a group.
    pub fn new(groups: Vec<ModuleGroup>) -> Result<Self, OrderError> {
        let count = |each: fn(&ModuleGroup) -> usize| groups.iter().map(each).fold(0, usize::saturating_add);
        let (modules, patterns) = (count(|group| group.modules.len()), count(|group| group.devices.len()));
        if modules > MODULES_MAX {
            return Err(OrderError::TooMany(modules));
        }
        if patterns > PATTERNS_MAX {
            return Err(OrderError::TooManyPatterns(patterns));
        }
        for group in &groups {
            let mut files = HashSet::new();
            if let Some(again) = group.modules.iter().find(|module| !files.insert(&module.file)) {
                return Err(OrderError::Twice(again.file.clone()));
            }
        }
        Ok(Self { groups })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// A line that is not as [`Module::new`] wants it, or a pattern that is none; a line that does not end; what
    /// [`new`](Self::new) refuses.
    pub fn parse(text: &[u8]) -> Result<Self, OrderError> {
        let mut groups: Vec<ModuleGroup> = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let lossy = || String::from_utf8_lossy(line).chars().take(100).collect();
            let line = line.strip_suffix(b"\n").ok_or_else(|| OrderError::Unfinished(lossy()))?;
            let line = str::from_utf8(line).map_err(|_| OrderError::File(lossy()))?;
            if let Some(patterns) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                groups.push(ModuleGroup { devices: patterns_of(patterns)?, modules: Vec::new() });
                continue;
            }
            if groups.is_empty() {
                groups.push(ModuleGroup::default());
            }
            if let Some(group) = groups.last_mut() {
                group.modules.push(module_of(line)?);
            }
        }
        Self::new(groups)
    }

    /// The groups, the first to be loaded first.
    #[must_use]
    pub fn groups(&self) -> &[ModuleGroup] {
        &self.groups
    }

    /// All modules, in their order; one that is in several groups is there as often.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.groups.iter().flat_map(|group| &group.modules)
    }
}

fn patterns_of(line: &str) -> Result<Vec<DevicePattern>, OrderError> {
    if line.is_empty() {
        return Ok(Vec::new());
    }
    line.split(' ').map(|pattern| Ok(pattern.parse::<DevicePattern>()?)).collect()
}

fn module_of(line: &str) -> Result<Module, OrderError> {
    let (line, is_optional) = match line.strip_prefix(OPTIONAL) {
        Some(line) => (line, true),
        None => (line, false),
    };
    let module = match line.split_once(' ') {
        Some((file, "")) => return Err(OrderError::Parameters(file.chars().take(100).collect())),
        Some((file, parameters)) => Module::new(file, parameters)?,
        None => Module::new(line, "")?,
    };
    Ok(Module { is_optional, ..module })
}

impl fmt::Display for ModuleOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.groups.iter().enumerate() {
            // What stands before the first line in brackets is a group too, if it is not empty.
            if index > 0 || !group.devices.is_empty() || group.modules.is_empty() {
                let patterns: Vec<String> = group.devices.iter().map(ToString::to_string).collect();
                writeln!(f, "[{}]", patterns.join(" "))?;
            }
            group.modules.iter().try_for_each(|module| write_module(f, module))?;
        }
        Ok(())
    }
}

fn write_module(f: &mut fmt::Formatter<'_>, module: &Module) -> fmt::Result {
    if module.is_optional {
        write!(f, "{OPTIONAL}")?;
    }
    match module.parameters.as_str() {
        "" => writeln!(f, "{}", module.file),
        parameters => writeln!(f, "{} {parameters}", module.file),
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
    /// More devices than there are.
    #[error("{0} patterns for devices are more than {PATTERNS_MAX}")]
    TooManyPatterns(usize),
    /// No pattern.
    #[error(transparent)]
    Pattern(#[from] DevicePatternError),
}
