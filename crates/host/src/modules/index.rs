//! What depmod knows of a kernel's modules.

use std::collections::{BTreeMap, BTreeSet};

use sealpack_format::boot::DevicePattern;

use super::ModulesError;

/// The files that are read, in the order in which [`Index::parse`] takes them. Only the first has to be there.
pub const FILES: [&str; 4] = ["modules.dep", "modules.builtin", "modules.softdep", "modules.alias"];

/// How the names of devices begin that are there as soon as their bus is, and by which a driver can be chosen: the first
/// process reads these.
const BUSES: [&str; 7] = ["acpi", "cpu:", "of:", "pci:", "virtio:", "vmbus:", "xen:"];

/// A module with the others that it needs. Names have `_` where files may have `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The file, below the kernel's directory.
    pub(super) path: String,
    /// All modules that it needs, those first that are loaded last.
    pub(super) depends: Vec<String>,
}

/// A kernel's modules.
#[derive(Debug, Default)]
pub struct Index {
    pub(super) modules: BTreeMap<String, Entry>,
    built_in: BTreeSet<String>,
    /// For each module those to be loaded before it, where there are such.
    soft: BTreeMap<String, Vec<String>>,
    /// Other names of modules.
    aliases: BTreeMap<String, Vec<String>>,
    /// For each module the patterns of its devices, where there are such.
    devices: BTreeMap<String, Vec<DevicePattern>>,
}

impl Index {
    /// Reads the contents of [`FILES`].
    ///
    /// # Errors
    /// A line of `modules.dep` that is none. In the other files, lines that are not understood are passed over, as
    /// modprobe does.
    pub fn parse(contents: [&[u8]; 4]) -> Result<Self, ModulesError> {
        let [dependencies, built_in, soft, aliases] = contents.map(String::from_utf8_lossy);
        let mut index = Self { built_in: built_in.lines().map(name_of).collect(), ..Self::default() };
        for (number, line) in dependencies.lines().enumerate() {
            let wrong = || ModulesError::Line {
                file: FILES[0],
                line: number + 1,
                text: line.chars().take(100).collect(),
            };
            let (path, depends) = line.split_once(':').filter(|(path, _)| is_path(path)).ok_or_else(wrong)?;
            let depends = depends.split_whitespace().map(name_of).collect();
            index.modules.insert(name_of(path), Entry { path: path.to_owned(), depends });
        }
        for line in soft.lines() {
            index.add_soft(line);
        }
        for line in aliases.lines() {
            let mut words = line.split_whitespace();
            if let (Some("alias"), Some(alias), Some(module)) = (words.next(), words.next(), words.next()) {
                index.add_alias(alias, canonical(module));
            }
        }
        Ok(index)
    }

    fn add_alias(&mut self, alias: &str, module: String) {
        let is_device = BUSES.iter().any(|bus| alias.starts_with(bus));
        match alias.parse::<DevicePattern>() {
            Ok(pattern) if is_device => self.devices.entry(module).or_default().push(pattern),
            _ => self.aliases.entry(canonical(alias)).or_default().push(module),
        }
    }

    /// `softdep NAME pre: NAME … post: NAME …`
    fn add_soft(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some("softdep"), Some(name)) = (words.next(), words.next()) else { return };
        let before = words.skip_while(|word| *word != "pre:").skip(1).take_while(|word| *word != "post:");
        self.soft.entry(canonical(name)).or_default().extend(before.map(canonical));
    }

    /// Whether the kernel has it without a module.
    #[must_use]
    pub fn is_built_in(&self, name: &str) -> bool {
        self.built_in.contains(&canonical(name))
    }

    /// The modules that `name` means: that one, or those that have it as another name.
    pub(super) fn meant<'n>(&'n self, name: &str) -> Vec<&'n str> {
        let name = canonical(name);
        if let Some((name, _)) = self.modules.get_key_value(&name) {
            return vec![name];
        }
        let others = self.aliases.get(&name).into_iter().flatten();
        others.filter_map(|name| Some(self.modules.get_key_value(name)?.0.as_str())).collect()
    }

    /// The patterns of the devices that the module `name` is for; none where it is for no devices, or nobody knows.
    pub(super) fn devices(&self, name: &str) -> Vec<DevicePattern> {
        self.devices.get(name).cloned().unwrap_or_default()
    }

    /// What is to be loaded before the module `name`, where there is such.
    pub(super) fn soft_of(&self, name: &str) -> &[String] {
        self.soft.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// A path that stays below the kernel's directory.
fn is_path(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|name| !matches!(name, "" | "." | ".."))
}

/// The name of the module in a file.
pub(super) fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    canonical(file.split_once(".ko").map_or(file, |(stem, _)| stem))
}

fn canonical(name: &str) -> String {
    name.replace('-', "_")
}
