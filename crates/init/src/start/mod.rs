//! From the kernel's start to the system's own first process, step by step.
//!
//! The order is what makes it safe. The policy is enforced before anything is mounted that was not signed with the UKI.
//! The image is mounted when it is enforced; what may change it, or the enforcement, is given up before anything of the
//! image is executed. A failure anywhere ends in a reboot, which an older UKI may survive.

mod broker;
mod command_line;
mod data;
mod deadline;
mod etc;
mod failure;
mod files;
mod hardening;
mod image;
mod keyring;
mod modules;
mod mounts;
mod policy;
mod progress;
mod refusal;
mod report;
mod state;
mod step;
mod switch;
mod updates;

use std::convert::Infallible;
use std::path::Path;

use sealpack_format::boot::{self, BootParameters, Started};
use sealpack_kernel::Kernel;
use sealpack_kernel::directory::Directory;

use crate::kernel_log::{self, Matters};
use failure::Failure;
use progress::Progress;
use refusal::Refusal;
use step::Step;

/// The initramfs.
const INITRAMFS: &str = "/";
/// What the kernel has of devices.
const SYSFS: &str = "/sys";
/// Where the image is mounted until it is the root.
const IMAGE: &str = "/sysroot";

/// Starts the system, or the machine again.
pub(crate) fn start() -> ! {
    let kernel = Kernel::new();
    refusal::take_panics();
    match run(&kernel) {
        Ok(never) => match never {},
        Err(refusal) => refusal::refuse(&kernel, &refusal),
    }
}

fn run(kernel: &Kernel) -> Result<Infallible, Refusal> {
    let (initramfs, image) = (Path::new(INITRAMFS), Path::new(IMAGE));
    let mut progress = Progress::new();
    progress.step(Step::Mounts, || mounts::mount(kernel))?;
    let parameters = progress.step(Step::CommandLine, || command_line::read(initramfs))?;
    // What came so far touches no device.
    let watched = progress.step(Step::Deadline, || {
        deadline::Watched::start(kernel, parameters.deadline, &started(&parameters))
    })?;
    progress.watch(watched);
    progress.step(Step::Modules, || {
        modules::load(kernel, initramfs, Path::new(SYSFS), || data::is_there(&parameters.data_label))
    })?;
    progress.step(Step::Keyring, || keyring::fill(kernel, initramfs))?;
    let policy = progress.step(Step::Policy, || policy::activate(kernel, initramfs))?;

    let data = progress.step(Step::Data, || {
        let data = data::mount(kernel, &parameters.data_label)?;
        refusal::record_at(again(&data.root)?, started(&parameters));
        Ok(data)
    })?;
    let policy = progress.step(Step::PolicyUpdates, || {
        updates::offer(kernel, in_data(&data.root, boot::data::POLICIES)?.as_ref(), policy)
    })?;
    progress.step(Step::Image, || {
        let store = Path::new(boot::data::MOUNTED_AT).join(boot::data::STORE);
        image::mount(kernel, &parameters, &store, image)
    })?;
    progress.step(Step::Etc, || etc::mount(kernel, parameters.etc, &data.root, image))?;
    progress.step(Step::State, || state::bind(kernel, &data.root, image))?;

    hardening::before_others(&mut progress, &parameters.off)?;
    progress.step(Step::Broker, || broker::start_broker(kernel, &policy.name))?;
    hardening::complete(&mut progress, kernel, &parameters.off)?;
    for hardening in &parameters.off {
        let text = format!("{hardening} is off, as was signed: root is not kept from {}", hardening.stops());
        kernel_log::write(Matters::Warning, &text);
    }
    report::write(&progress, &parameters, &data.device, &policy)
        .map_err(|failure| Refusal { step: Step::Switch, failure })?;
    progress.step(Step::Switch, || switch::enter(kernel, image))?;
    // Said once more: what was told before that it is over does not execute anything.
    progress.step(Step::Switch, || Err(switch::execute()))
}

/// What is started, for the record of a refusal.
fn started(parameters: &BootParameters) -> Started {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Started { image: parameters.image, root_hash: parameters.root_hash, release }
}

/// The same directory once more.
fn again(directory: &Directory) -> Result<Directory, Failure> {
    mounts::open(directory.path())
}

/// A directory of the data partition; `None` where it is not there.
fn in_data(root: &Directory, name: &str) -> Result<Option<Directory>, Failure> {
    root.sub(name).map_err(|error| Failure::at(&root.path().join(name), &error))
}
