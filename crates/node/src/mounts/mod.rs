//! Which images are mounted on the machine, and what each mount is good for now: what the kernel tells of it and of its
//! devices, and what was noted when it was made.

mod note;

use std::path::Path;

use sealpack_format::digest::RootHash;
use sealpack_kernel::Kernel;
use sealpack_mount::{Assurance, ExecutedDevice, Level, LiveDevice, Mounted};

use note::Part;
pub use note::{NOTES, Note};

use crate::Error;

/// A mount of an image.
#[derive(Debug, Clone)]
pub struct MountOf {
    /// As the kernel shows it.
    pub mounted: Mounted,
    /// A process that sees it, where the mount namespace of whoever asks does not have it.
    pub process: Option<u32>,
    /// What was noted when it was made, if that was.
    pub note: Option<Note>,
    /// What it is good for now; in words why that is not known.
    pub assurance: Result<Assurance, String>,
}

/// The mounts of images.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Mounts {
    /// Those that whoever asks sees first.
    pub mounts: Vec<MountOf>,
    /// The number of processes whose mounts could not be read.
    pub unreadable_processes: usize,
}

/// All mounts of images on the machine, with the notes below `notes`.
///
/// # Errors
/// [`Error::Mount`] when `/proc` cannot be read.
pub fn mounts(kernel: &Kernel, notes: &Path) -> Result<Mounts, Error> {
    let found = sealpack_mount::mounted_everywhere()?;
    let here = found.here.into_iter().map(|mounted| (None, mounted));
    let elsewhere = found.elsewhere.into_iter().map(|(process, mounted)| (Some(process), mounted));
    let noted: Vec<_> = here
        .chain(elsewhere)
        .map(|(process, mounted)| (process, Note::read(notes, &mounted), mounted))
        .collect();
    let notes = noted.iter().filter_map(|(_, note, _)| note.as_ref().ok()?.as_ref());
    let root_hashes: Vec<RootHash> =
        notes.flat_map(|note| note.parts.iter().filter_map(|part| part.root_hash)).collect();
    let live = if root_hashes.is_empty() {
        Ok(Vec::new())
    } else {
        sealpack_mount::live_devices(kernel, &root_hashes)
            .map_err(|error| format!("its devices cannot be looked at: {error}"))
    };
    let in_force = |devices: Vec<ExecutedDevice>| sealpack_mount::enforcement_in_force_for(kernel, devices);
    let judged = noted.into_iter().map(|(process, note, mounted)| {
        let assurance = match &note {
            Ok(Some(note)) => assurance_now(note, &mounted, &live, &in_force),
            Ok(None) => Err("nothing was noted when it was mounted".to_owned()),
            Err(why) => Err(format!("what was noted of it cannot be read: {why}")),
        };
        MountOf { mounted, process, note: note.ok().flatten(), assurance }
    });
    Ok(Mounts { mounts: judged.collect(), unreadable_processes: found.unreadable_processes })
}

/// What a mount is good for now. What was noted of it says which devices it is on, which never changes; the kernel says
/// what these are, and what its policy decides on them.
fn assurance_now(
    note: &Note,
    mounted: &Mounted,
    live: &Result<Vec<LiveDevice>, String>,
    in_force: &dyn Fn(Vec<ExecutedDevice>) -> Result<(), String>,
) -> Result<Assurance, String> {
    let level: Level = note.level.parse().map_err(|error| format!("what was noted of it: {error}"))?;
    let as_noted = Assurance { level, why_not_more: note.why_not_more.clone() };
    let has_devices = note.parts.iter().any(|part| part.device.is_some() || part.by_broker);
    if level == Level::Plain {
        return Ok(as_noted);
    }
    if !has_devices && level < Level::Signed {
        // Of files the overlay checks the contents.
        return match mounted.objects_checked {
            true => Ok(as_noted),
            false => Err("the kernel does not check its objects, though that was noted".to_owned()),
        };
    }
    let live = live.as_ref().map_err(Clone::clone)?;
    let mut devices = Vec::new();
    for (place, part) in note.parts.iter().enumerate() {
        let what = if place == 0 { "the metadata image" } else { "the pack" };
        if let Some(bad) = bad_device(part, live, level) {
            return Ok(Assurance { level: Level::Plain, why_not_more: format!("{what} {bad}") });
        }
        let Some(root_hash) = part.root_hash else {
            return Err(format!("what {what} is on was not noted"));
        };
        devices.push(ExecutedDevice { what, root_hash, signed: true });
    }
    if level < Level::Signed {
        return Ok(as_noted);
    }
    Ok(match in_force(devices) {
        Ok(()) => Assurance { level: Level::Enforced, why_not_more: String::new() },
        Err(why_not_more) => Assurance { level: Level::Signed, why_not_more },
    })
}

/// What is wrong with the device that a part is on, by what the kernel says of it now. Of what the broker made the name is not
/// known; it makes signed devices only, of that root hash.
fn bad_device(part: &Part, live: &[LiveDevice], level: Level) -> Option<String> {
    let name = match &part.device {
        Some(name) => name,
        None if part.by_broker => {
            let is_it = |device: &&LiveDevice| {
                Some(device.root_hash) == part.root_hash && device.signed && device.problem.is_none()
            };
            let found = live.iter().find(is_it);
            return found.is_none().then(|| "is on no signed device any more".to_owned());
        }
        None => return Some("is on no device".to_owned()),
    };
    let Some(device) = live.iter().find(|device| device.name.as_str() == name) else {
        return Some(format!("was on device {name}, which is gone"));
    };
    if let Some(problem) = &device.problem {
        return Some(format!("is on device {name}: {problem}"));
    }
    if Some(device.root_hash) != part.root_hash || level >= Level::Signed && !device.signed {
        return Some(format!("is on device {name}, which is not as it was"));
    }
    (!device.intact).then(|| format!("is on device {name}, which has read blocks that are not its own"))
}

#[cfg(test)]
mod tests {
    use super::note::tests::{mounted, note};
    use super::*;

    const HASH: [u8; 32] = [7; 32];

    fn part(device: Option<&str>, by_broker: bool) -> Part {
        Part { root_hash: Some(RootHash::new(HASH)), device: device.map(str::to_owned), by_broker }
    }

    fn name() -> String {
        format!("sealpack-s-{}", RootHash::new(HASH))
    }

    fn live(change: impl FnOnce(&mut LiveDevice)) -> Result<Vec<LiveDevice>, String> {
        let name = name().parse().expect("a name");
        let root_hash = RootHash::new(HASH);
        let mut device = LiveDevice { name, root_hash, signed: true, intact: true, problem: None };
        change(&mut device);
        Ok(vec![device])
    }

    fn level_of(
        level: &str,
        part: Part,
        live: &Result<Vec<LiveDevice>, String>,
        is_in_force: bool,
    ) -> Result<String, String> {
        let in_force = |_: Vec<ExecutedDevice>| if is_in_force { Ok(()) } else { Err("IPE logs".to_owned()) };
        let assurance = assurance_now(&note(9, level, vec![part]), &mounted(9), live, &in_force)?;
        Ok(assurance.to_string())
    }

    /// A mount said `enforced` when it was made; then the policy was set to log only.
    #[test]
    fn what_a_policy_does_now_counts_and_not_what_it_did_when_it_was_mounted() {
        let now = |level, is_in_force| {
            level_of(level, part(Some(&name()), false), &live(|_| ()), is_in_force).expect("it is known")
        };
        assert_eq!(now("enforced", false), "signed (IPE logs)");
        assert_eq!(now("signed", true), "enforced");
        assert_eq!(now("verified", true), "verified (why)", "its devices are not signed");
    }

    #[test]
    fn a_device_that_is_not_as_it_was_makes_a_mount_plain() {
        let of = |live| level_of("signed", part(Some(&name()), false), &live, true).expect("it is known");
        assert!(of(Ok(Vec::new())).contains("plain (the metadata image was on device sealpack-s-"));
        assert!(of(live(|device| device.signed = false)).contains("which is not as it was"));
        assert!(of(live(|device| device.intact = false)).contains("blocks that are not its own"));
        let other = live(|device| device.problem = Some("its table has options: x".to_owned()));
        assert!(of(other).ends_with(": its table has options: x)"));
        assert!(of(live(|device| device.root_hash = RootHash::new([8; 32]))).contains("not as it was"));
        let part_of = level_of("signed", part(None, false), &live(|_| ()), true).expect("it is known");
        assert_eq!(part_of, "plain (the metadata image is on no device)");
    }

    #[test]
    fn what_the_broker_made_is_known_by_its_root_hash() {
        let of = |live: Result<_, _>| level_of("signed", part(None, true), &live, false);
        assert_eq!(of(live(|_| ())), Ok("signed (IPE logs)".to_owned()));
        let unsigned = of(live(|device| device.signed = false)).expect("it is known");
        assert_eq!(unsigned, "plain (the metadata image is on no signed device any more)");
        assert_eq!(of(Err("only root may".to_owned())), Err("only root may".to_owned()));
    }

    #[test]
    fn of_files_the_kernel_says_whether_it_checks_them() {
        let none = || Part { root_hash: None, device: None, by_broker: false };
        let of = |is_checked| {
            let mounted = Mounted { objects_checked: is_checked, ..mounted(9) };
            let note = note(9, "verified", vec![none()]);
            assurance_now(&note, &mounted, &Ok(Vec::new()), &|_| unreachable!("it is not signed"))
        };
        assert_eq!(of(true).map(|assurance| assurance.level), Ok(Level::Verified));
        assert!(of(false).is_err_and(|why| why.contains("does not check its objects")));
        let plain = level_of("plain", none(), &Ok(Vec::new()), true);
        assert_eq!(plain, Ok("plain (why)".to_owned()));
    }
}
