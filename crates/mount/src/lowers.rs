//! The lower layers: the metadata image and the packs, opened and checked, then mounted.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use sealpack_kernel::dm::{Device, DeviceName};
use sealpack_kernel::mount::{DetachedMount, fd_path};
use sealpack_kernel::{Errno, Kernel};

use crate::devices::{Active, Broker, Client, Files, Handed, Lowered, Verity};
use crate::error::Error;
use crate::level::{Assurance, Level};
use crate::metadata::CheckedImage;
use crate::packs::{check_objects, open_pack, open_tree, wants_bytes};
use crate::plan::{Filesystem, Layer, Lower, Plan, Setting, asked_for};

/// What the kernel reads a mounted metadata image or pack from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// The file itself.
    File,
    /// A loop device, which goes away with the mount.
    Loop(PathBuf),
    /// A dm-verity device, which goes away with the last mount of it.
    Device(DeviceName),
    /// A dm-verity device that the broker made and has not named.
    Broker,
}

/// The metadata image and the packs, open and checked.
pub(crate) struct OpenLowers<'p> {
    lowers: Vec<OpenLower<'p>>,
    image_has_verity: bool,
}

struct OpenLower<'p> {
    lower: &'p Lower,
    data: File,
    tree: Option<File>,
}

/// A metadata image or pack, mounted and attached nowhere.
#[derive(Debug)]
pub(crate) struct Mounted {
    pub(crate) mount: DetachedMount,
    pub(crate) backing: Backing,
    /// What its device, if it has one, is good for.
    assurance: Assurance,
}

/// The metadata image and the packs, mounted and attached nowhere.
#[derive(Debug)]
pub(crate) struct MountedLowers {
    /// The metadata image first.
    pub(crate) mounted: Vec<Mounted>,
    pub(crate) assurance: Assurance,
}

impl<'p> OpenLowers<'p> {
    /// Opens everything that will be mounted, and checks it as far as that goes without reading
    /// contents.
    pub(crate) fn open(kernel: &Kernel, plan: &'p Plan) -> Result<Self, Error> {
        let mut lowers = Vec::new();
        let (mut objects, mut image) = (HashSet::new(), None);
        let looks = plan.files_have_verity.is_none() && !plan.packs_are_complete;
        for lower in &plan.lowers {
            let device = lower.device.as_ref();
            let (data, tree) = match lower.layer {
                Layer::Pack(_) => (open_pack(&lower.path, device, looks.then_some(&mut objects))?, None),
                Layer::Metadata | Layer::Directory(_) => {
                    let tree = device.and_then(|device| Some((device, device.tree.as_ref()?)));
                    let kept = looks || tree.is_some_and(|(device, _)| wants_bytes(device, &plan.image_id));
                    let checked = CheckedImage::open(kernel, &lower.path, &plan.image_id, kept)?;
                    let tree = tree.map(|(device, path)| open_tree(path, device, &plan.image_id, &checked));
                    image = Some((&lower.path, checked.bytes, checked.has_verity));
                    (checked.file, tree.transpose()?)
                }
            };
            lowers.push(OpenLower { lower, data, tree });
        }
        let image_has_verity = image.as_ref().is_some_and(|(_, _, has_verity)| *has_verity);
        if let (true, Some((path, Some(bytes), _))) = (looks, &image) {
            check_objects(path, bytes, &objects)?;
        }
        Ok(Self { lowers, image_has_verity })
    }

    /// Mounts all of it.
    ///
    /// # Errors
    /// Among others when the result would be good for less than `plan` requires, as soon as that
    /// is known.
    pub(crate) fn mount(self, kernel: &Kernel, plan: &Plan, way: &Way<'_>) -> Result<MountedLowers, Error> {
        let files = plan.files_have_verity.map(|have| Assurance::of_files(self.image_has_verity, have));
        let enough = |assurance: &Assurance| match plan.required.min(Level::Signed) <= assurance.level {
            true => Ok(()),
            false => Err(Error::Level { required: plan.required, actual: assurance.clone() }),
        };
        if let Some(files) = &files {
            enough(files)?;
        } else if let Way::None(why) = way {
            enough(&Assurance::new(Level::Plain, why.clone()))?;
        }
        let mut mounted = Vec::new();
        let handed = match way {
            Way::Broker(client) => {
                let devices: Vec<_> = self.lowers.iter().filter_map(OpenLower::for_broker).collect();
                client.mounts(&devices)?
            }
            Way::Own(_) | Way::None(_) => Vec::new(),
        };
        let mut handed = handed.into_iter();
        for open in self.lowers {
            let handed = if open.lower.device.is_some() { handed.next() } else { None };
            let lower = open.mount(kernel, way, handed, &plan.lower)?;
            if files.is_none() {
                enough(&lower.assurance)?;
            }
            mounted.push(lower);
        }
        let parts: Vec<_> = mounted.iter().map(|lower: &Mounted| lower.assurance.clone()).collect();
        let assurance = files.unwrap_or_else(|| Assurance::of_parts(&parts));
        Ok(MountedLowers { mounted, assurance: assurance.at_most(plan.at_most, asked_for) })
    }

    /// All of it, as the broker is asked for it; `None` where a part of it has no device.
    pub(crate) fn for_broker(&self) -> Option<Vec<Lowered<'_>>> {
        self.lowers.iter().map(OpenLower::for_broker).collect()
    }
}

/// How devices come about.
pub(crate) enum Way<'k> {
    /// This process makes them.
    Own(Verity<'k>),
    /// The broker does.
    Broker(Client<'k>),
    /// There are none, for a reason.
    None(String),
}

impl<'k> Way<'k> {
    /// The way for `plan`: by this process's own rights if it has them, else by those of `broker`, if one is there.
    pub(crate) fn find(kernel: &'k Kernel, plan: &Plan, broker: Option<&Broker>) -> Result<Self, Error> {
        if plan.lowers.iter().all(|lower| lower.device.is_none()) {
            return Ok(Self::None(asked_for()));
        }
        let own = Verity::open(kernel);
        let Some(broker) = broker else { return own.map(Self::of) };
        let may = match &own {
            Ok(Ok(verity)) => verity.may_make()?,
            Ok(Err(_)) | Err(Error::Privilege(_)) => false,
            Err(Error::Call { error, .. }) => error.errno() != Errno::ACCESS,
            Err(_) => true,
        };
        if may {
            return own.map(Self::of);
        }
        match broker.connect(kernel)? {
            Some(client) => Ok(Self::Broker(client)),
            None => own.map(Self::of).map_err(Error::for_want_of_privilege),
        }
    }

    fn of(own: Result<Verity<'k>, String>) -> Self {
        own.map_or_else(Self::None, Self::Own)
    }
}

impl MountedLowers {
    /// The mounts, the metadata image's first.
    pub(crate) fn mounts(&self) -> Vec<&DetachedMount> {
        self.mounted.iter().map(|lower| &lower.mount).collect()
    }
}

impl OpenLower<'_> {
    const fn what(&self) -> &'static str {
        self.lower.layer.what()
    }

    /// Mounts it; `handed` is what the broker mounted, if it was asked.
    fn mount(
        self,
        kernel: &Kernel,
        way: &Way<'_>,
        handed: Option<Handed>,
        filesystem: &Filesystem,
    ) -> Result<Mounted, Error> {
        let Some(device) = &self.lower.device else {
            return self.mount_file(kernel, filesystem, asked_for());
        };
        let why = match way {
            Way::Own(verity) => {
                let files = Files { data: &self.data, tree: self.tree.as_ref() };
                match verity.activate(self.what(), device, &files)? {
                    Ok(active) => return self.mount_device(kernel, verity, filesystem, active),
                    Err(why) => why,
                }
            }
            Way::Broker(_) => match handed {
                Some(Ok((mount, name))) => {
                    let assurance = Assurance::new(Level::Signed, "");
                    return Ok(Mounted { mount, backing: Backing::Device(name), assurance });
                }
                Some(Err(why)) => format!("the broker makes no unsigned devices, and {why}"),
                None => asked_for(),
            },
            Way::None(why) => why.clone(),
        };
        self.mount_file(kernel, filesystem, why)
    }

    fn for_broker(&self) -> Option<Lowered<'_>> {
        let device = self.lower.device.as_ref()?;
        let files = Files { data: &self.data, tree: self.tree.as_ref() };
        Some(Lowered { what: self.what(), path: &self.lower.path, device, files })
    }

    fn mount_device(
        &self,
        kernel: &Kernel,
        verity: &Verity<'_>,
        filesystem: &Filesystem,
        active: Active,
    ) -> Result<Mounted, Error> {
        let Active { device, name, why_unsigned } = active;
        let mounted = mount_from_device(kernel, filesystem, &device);
        let mount = mounted.map_err(|error| {
            if verity.is_corrupted(&name) {
                return Error::Corrupted { what: self.what(), path: self.lower.path.clone(), error };
            }
            explained(self.doing(), filesystem.fs_type, error)
        })?;
        let assurance = match why_unsigned {
            None => Assurance::new(Level::Signed, ""),
            Some(why) => Assurance::new(Level::Verified, why),
        };
        Ok(Mounted { mount, backing: Backing::Device(name), assurance })
    }

    /// Mounts the file, or where the kernel refuses that, a loop device of it.
    fn mount_file(
        &self,
        kernel: &Kernel,
        filesystem: &Filesystem,
        why_plain: String,
    ) -> Result<Mounted, Error> {
        let assurance = Assurance::new(Level::Plain, why_plain);
        let first = match mount_from(kernel, filesystem, &fd_path(&self.data)) {
            Ok(mount) => return Ok(Mounted { mount, backing: Backing::File, assurance }),
            Err(error) if refuses_files(error.errno()) => error,
            Err(error) => return Err(explained(self.doing(), filesystem.fs_type, error)),
        };
        let doing = self.doing();
        match self.mount_loop(kernel, filesystem) {
            Ok((mount, path)) => Ok(Mounted { mount, backing: Backing::Loop(path), assurance }),
            Err(error) => {
                let second = Box::new(explained(doing, filesystem.fs_type, error));
                Err(Error::BothWays { doing, first, other_way: "a loop device", second })
            }
        }
    }

    fn mount_loop(
        &self,
        kernel: &Kernel,
        filesystem: &Filesystem,
    ) -> Result<(DetachedMount, PathBuf), sealpack_kernel::Error> {
        let device = kernel.attach_loop(self.data.as_fd())?;
        let mount = mount_from(kernel, filesystem, &fd_path(&device))?;
        Ok((mount, device.path().to_owned()))
    }

    fn doing(&self) -> &'static str {
        match self.lower.layer {
            Layer::Pack(_) => "mounting a pack",
            Layer::Metadata | Layer::Directory(_) => "mounting the metadata image",
        }
    }
}

/// The error for a call with the filesystem `fs_type`, with what to do where that is known.
pub(crate) fn explained(doing: &'static str, fs_type: &'static str, error: sealpack_kernel::Error) -> Error {
    match (error.call().name, error.errno()) {
        ("fsopen", Errno::NODEV) => Error::NoFilesystem { filesystem: fs_type, error },
        _ => Error::call(doing, error),
    }
}

/// Mounts what is on a device, and looks whether that is what was mounted.
pub(crate) fn mount_from_device(
    kernel: &Kernel,
    filesystem: &Filesystem,
    device: &Device,
) -> Result<DetachedMount, sealpack_kernel::Error> {
    let mount = mount_from(kernel, filesystem, &kernel.source_path(device)?)?;
    kernel.require_mount_of(&mount, device.number())?;
    Ok(mount)
}

fn mount_from(
    kernel: &Kernel,
    filesystem: &Filesystem,
    source: &Path,
) -> Result<DetachedMount, sealpack_kernel::Error> {
    let context = kernel.fsopen(filesystem.fs_type)?;
    for setting in &filesystem.settings {
        match setting {
            Setting::Flag(key) => context.set_flag(key)?,
            Setting::Text(key, value) => context.set_string(key, value)?,
            Setting::Source | Setting::Layer(..) => context.set_string("source", source)?,
        }
    }
    context.create()?;
    context.mount(filesystem.attributes)
}

/// Whether an error of mounting a file may mean that it has to be a block device: `ENOTBLK`
/// before Linux 6.12, and later where the file's filesystem cannot serve (tmpfs); `EINVAL` and
/// `EOPNOTSUPP` where it can not either, for other reasons. A broken image is `EINVAL` too, and
/// fails again then.
fn refuses_files(errno: Errno) -> bool {
    matches!(errno, Errno::NOTBLK | Errno::INVAL | Errno::OPNOTSUPP)
}
