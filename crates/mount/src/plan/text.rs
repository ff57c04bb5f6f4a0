//! A plan as text: the system calls.

use std::fmt;

use super::{Filesystem, Layer, Lower, Plan, Setting};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for lower in &self.lowers {
            writeln!(f, "open({:?}, O_RDONLY): {}", lower.path, lower.layer)?;
        }
        let id = self.image_id;
        writeln!(f, "ioctl([image], FS_IOC_MEASURE_VERITY), or all of it read: must be {id}")?;
        if self.files_have_verity.is_none() && !self.packs_are_complete {
            writeln!(f, "read the names in the packs: must have all objects of [image]")?;
        }
        writeln!(f, "open({:?}, O_PATH|O_DIRECTORY): the target", self.target)?;
        for lower in &self.lowers {
            lower.fmt_device(f)?;
            self.lower.fmt_of(f, Some(lower))?;
        }
        writeln!(f, "    where the kernel takes no file: the same with a loop device of the file")?;
        self.overlay.fmt_of(f, None)?;
        if self.suid_if_signed && self.lowers.iter().all(Lower::can_be_signed) {
            writeln!(f, "    without nosuid if the kernel accepted signatures of all devices")?;
        }
        writeln!(
            f,
            "    where the kernel takes no descriptors: the same by path in a mount namespace of its own"
        )?;
        writeln!(f, "move_mount([overlay], \"\", [target], \"\")")?;
        write!(f, "result: at best {}; required: {}", self.best, self.required)
    }
}

impl Lower {
    fn can_be_signed(&self) -> bool {
        self.device.as_ref().is_some_and(|device| !device.signatures.is_empty())
    }

    fn fmt_device(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(device) = &self.device else { return Ok(()) };
        let is_signed = !device.signatures.is_empty();
        let name = device.name(is_signed, 1);
        writeln!(f, "device {name}, shared if there is one of the same files")?;
        let hashes = match &device.tree {
            Some(path) => {
                writeln!(f, "    open({path:?}, O_RDONLY): [tree]")?;
                "[loop of the tree]"
            }
            None => "[loop]",
        };
        writeln!(f, "    LOOP_CONFIGURE(READ_ONLY|AUTOCLEAR|DIRECT_IO, 4096) of {}", self.layer)?;
        writeln!(f, "    DM_DEV_CREATE, read-only")?;
        if is_signed {
            writeln!(f, "    add_key(\"user\", \"{name}\", a signature, @t), until the kernel accepts one")?;
        }
        let (blocks, start) = (device.data_blocks, device.hash_start_block());
        write!(f, "    DM_TABLE_LOAD 0 {} verity 1 [loop] {hashes} 4096 4096 ", blocks.saturating_mul(8))?;
        write!(f, "{blocks} {start} sha256 {} -", device.root_hash)?;
        if is_signed {
            write!(f, " 2 root_hash_sig_key_desc {name}")?;
        }
        writeln!(f, "\n    open, DM_DEV_REMOVE deferred, resume")
    }
}

impl Filesystem {
    fn fmt_of(&self, f: &mut fmt::Formatter<'_>, lower: Option<&Lower>) -> fmt::Result {
        writeln!(f, "fsopen({:?})", self.fs_type)?;
        for setting in &self.settings {
            match (setting, lower) {
                (Setting::Source, Some(Lower { device: Some(_), .. })) => {
                    writeln!(f, "    fsconfig(SET_STRING, \"source\", the path of the device)")?;
                }
                (Setting::Source, Some(lower)) => {
                    writeln!(f, "    fsconfig(SET_STRING, \"source\", the path of {})", lower.layer)?;
                }
                _ => writeln!(f, "    fsconfig({setting})")?,
            }
        }
        writeln!(f, "    fsconfig(CMD_CREATE)")?;
        match lower {
            Some(lower) => writeln!(f, "    fsmount({}): {} mounted", self.attributes, lower.layer),
            None => writeln!(f, "    fsmount({}): [{}]", self.attributes, self.fs_type),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "SET_FLAG, {key:?}"),
            Self::Text(key, value) => write!(f, "SET_STRING, {key:?}, {value:?}"),
            Self::Source => write!(f, "SET_STRING, \"source\", the path of a descriptor"),
            Self::Layer(key, layer) => write!(f, "SET_FD, {key:?}, {layer}"),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata => f.write_str("[image]"),
            Self::Pack(index) => write!(f, "[pack {index}]"),
            Self::Directory(path) => write!(f, "[{}]", path.display()),
        }
    }
}
