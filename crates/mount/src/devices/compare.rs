//! Whether a device that is there is the one that would be made.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use sealpack_kernel::dm::{DeviceMapper, DeviceName, DeviceNumber, DeviceStatus, Target};
use sealpack_kernel::loopdev::LoopStatus;
use sealpack_kernel::{Errno, Kernel};

use super::{DOING, Files};
use crate::error::Error;
use crate::plan::Device;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Compared {
    /// The very device that would be made.
    Same,
    /// One with the same content, of other files: another store's.
    OtherFiles,
    /// One whose maker died, or that is going: it will not be there for long.
    Unfinished,
    /// Another one, under a name that is ours.
    Different(String),
}

/// What a device is like: its status, its table, and what the loop devices are that the table
/// has for data and hashes, `None` where one is no loop device that is in use.
struct Live {
    status: DeviceStatus,
    table: Vec<Target>,
    loops: [Option<LoopStatus>; 2],
}

/// Which file a loop device is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// Compares the device `name`, which the caller has open so that it stays the same one.
pub(super) fn compare(
    kernel: &Kernel,
    mapper: &DeviceMapper<'_>,
    name: &DeviceName,
    planned: &Device,
    files: &Files<'_>,
    is_signed: bool,
) -> Result<Compared, Error> {
    let call = |error| Error::call(DOING, error);
    let (Some(status), Some(table)) = (mapper.status(name).map_err(call)?, mapper.table(name).map_err(call)?)
    else {
        return Ok(Compared::Unfinished);
    };
    let mut loops = [None, None];
    if let Some(numbers) = devices_of(&table) {
        for (place, number) in loops.iter_mut().zip(numbers) {
            *place = loop_status(kernel, number).map_err(call)?;
        }
    }
    let data = identity(files.data)?;
    let tree = files.tree.map_or(Ok(data), identity)?;
    let live = Live { status, table, loops };
    Ok(live.compare(planned, is_signed.then_some(name), [data, tree]))
}

/// What a loop device is like; `None` for what is none, or is not in use any more.
fn loop_status(kernel: &Kernel, number: DeviceNumber) -> Result<Option<LoopStatus>, sealpack_kernel::Error> {
    let status = kernel.open_loop(number).and_then(|device| kernel.loop_status(&device));
    match status {
        Ok(status) => Ok(Some(status)),
        // Other devices do not know the request, or are not there any more.
        Err(error) => match error.errno() {
            Errno::NOENT | Errno::NXIO | Errno::NODEV | Errno::NOTTY | Errno::INVAL => Ok(None),
            _ => Err(error),
        },
    }
}

fn identity(file: &File) -> Result<Identity, Error> {
    let failed = |error| Error::Io { what: "a file that is open", path: "/proc/self/fd".into(), error };
    let status = file.metadata().map_err(failed)?;
    Ok(Identity { device: status.dev(), inode: status.ino() })
}

/// The devices for data and hashes that the table of a dm-verity device has.
fn devices_of(table: &[Target]) -> Option<[DeviceNumber; 2]> {
    let [target] = table else { return None };
    let mut words = target.parameters.split(' ').skip(1).map(|word| {
        let (major, minor) = word.split_once(':')?;
        Some(DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? })
    });
    Some([words.next()??, words.next()??])
}

impl Live {
    fn compare(&self, planned: &Device, key: Option<&DeviceName>, files: [Identity; 2]) -> Compared {
        let status = &self.status;
        if !status.has_table || status.suspended {
            return Compared::Unfinished;
        }
        let Some([data, hashes]) = devices_of(&self.table) else {
            return Compared::Different(format!("its table is {}", self.table_text()));
        };
        let expected = planned.table(key, data, hashes).target();
        if self.table != [expected.clone()] {
            return Compared::Different(format!("its table is {}, not {expected}", self.table_text()));
        }
        if !status.read_only {
            return Compared::Different("it is writable".to_owned());
        }
        if status.has_loaded_table {
            return Compared::Different("it is about to get another table".to_owned());
        }
        for (status, file) in self.loops.iter().zip(files) {
            match status {
                None => return Compared::Different("it is not on loop devices".to_owned()),
                Some(status) if !status.read_only => {
                    return Compared::Different(format!("/dev/loop{} is writable", status.number));
                }
                Some(status) if !is_of(status, file) => return Compared::OtherFiles,
                Some(_) => {}
            }
        }
        Compared::Same
    }

    fn table_text(&self) -> String {
        let lines: Vec<_> = self.table.iter().map(ToString::to_string).collect();
        format!("{:?}", lines.join("; "))
    }
}

/// Whether a loop device is all of a file.
fn is_of(status: &LoopStatus, file: Identity) -> bool {
    let identity = Identity { device: status.backing_device, inode: status.backing_inode };
    identity == file && (status.offset_bytes, status.size_limit_bytes) == (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Identity = Identity { device: 0x801, inode: 12 };
    const TREE: Identity = Identity { device: 0x801, inode: 13 };

    fn planned() -> Device {
        let root_hash = "ab".repeat(32).parse().unwrap();
        Device { root_hash, data_blocks: 100, tree: Some("/tree".into()), signatures: Vec::new() }
    }

    fn loop_of(number: u32, file: Identity) -> LoopStatus {
        LoopStatus {
            number,
            backing_device: file.device,
            backing_inode: file.inode,
            offset_bytes: 0,
            size_limit_bytes: 0,
            read_only: true,
            autoclear: true,
            direct_io: true,
        }
    }

    fn numbers() -> [DeviceNumber; 2] {
        [3, 4].map(|minor| DeviceNumber { major: 7, minor })
    }

    fn live(key: Option<&DeviceName>) -> Live {
        let [data, hashes] = numbers();
        Live {
            status: DeviceStatus {
                number: DeviceNumber { major: 254, minor: 0 },
                open_count: 2,
                read_only: true,
                suspended: false,
                has_table: true,
                has_loaded_table: false,
                removed_when_unused: true,
            },
            table: vec![planned().table(key, data, hashes).target()],
            loops: [Some(loop_of(3, DATA)), Some(loop_of(4, TREE))],
        }
    }

    /// What a comparison finds of a signed device after `change`.
    fn after(change: impl FnOnce(&mut Live)) -> Compared {
        let name = planned().name(true, 1);
        let mut live = live(Some(&name));
        change(&mut live);
        live.compare(&planned(), Some(&name), [DATA, TREE])
    }

    fn difference_after(change: impl FnOnce(&mut Live)) -> String {
        match after(change) {
            Compared::Different(difference) => difference,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_device_that_would_be_made_is_shared() {
        assert_eq!(after(|_| {}), Compared::Same);
        assert_eq!(live(None).compare(&planned(), None, [DATA, TREE]), Compared::Same);
    }

    #[test]
    fn an_unsigned_device_is_never_taken_for_a_signed_one_nor_the_other_way_round() {
        let name = planned().name(true, 1);
        let as_signed = live(None).compare(&planned(), Some(&name), [DATA, TREE]);
        let as_unsigned = live(Some(&name)).compare(&planned(), None, [DATA, TREE]);
        for compared in [as_signed, as_unsigned] {
            assert!(matches!(&compared, Compared::Different(why) if why.contains("its table is")));
        }
        let other = planned().name(true, 2);
        let compared = live(Some(&other)).compare(&planned(), Some(&name), [DATA, TREE]);
        assert!(matches!(compared, Compared::Different(_)), "{compared:?}");
    }

    #[test]
    fn tables_that_check_less_or_another_thing_are_refused() {
        for (from, to) in [
            (" 2 root_hash_sig_key_desc", " 3 ignore_corruption root_hash_sig_key_desc"),
            (" 2 root_hash_sig_key_desc", " 3 check_at_most_once root_hash_sig_key_desc"),
            ("1 7:3", "0 7:3"),
            ("abab", "baba"),
            (" 100 1 ", " 99 1 "),
            (" 100 1 ", " 100 2 "),
            (" - 2", " 00 2"),
            ("sha256", "sha1"),
        ] {
            let why = difference_after(|live| {
                let changed = live.table[0].parameters.replacen(from, to, 1);
                assert_ne!(changed, live.table[0].parameters);
                live.table[0].parameters = changed;
            });
            assert!(why.starts_with("its table is") && why.contains(", not "), "{why}");
        }
        difference_after(|live| live.table[0].name = "linear".into());
        difference_after(|live| live.table[0].sectors -= 8);
        difference_after(|live| live.table.push(live.table[0].clone()));
        difference_after(|live| live.table.clear());
        difference_after(|live| live.table[0].parameters = "nonsense".into());
    }

    #[test]
    fn a_device_that_can_change_under_its_users_is_refused() {
        assert_eq!(difference_after(|live| live.status.read_only = false), "it is writable");
        assert!(difference_after(|live| live.status.has_loaded_table = true).contains("another table"));
        assert_eq!(
            difference_after(|live| live.loops[1].as_mut().unwrap().read_only = false),
            "/dev/loop4 is writable"
        );
        assert_eq!(difference_after(|live| live.loops[0] = None), "it is not on loop devices");
    }

    #[test]
    fn a_device_of_other_files_is_left_to_those_who_use_it() {
        let changes: [fn(&mut LoopStatus); 4] = [
            |status| status.backing_inode += 1,
            |status| status.backing_device += 1,
            |status| status.offset_bytes = 4096,
            |status| status.size_limit_bytes = 4096,
        ];
        for change in changes {
            for index in [0, 1] {
                let compared = after(|live| change(live.loops[index].as_mut().unwrap()));
                assert_eq!(compared, Compared::OtherFiles);
            }
        }
        assert_eq!(after(|live| live.loops.swap(0, 1)), Compared::OtherFiles);
    }

    #[test]
    fn a_device_that_was_never_finished_is_not_waited_for_forever_but_not_used_either() {
        assert_eq!(after(|live| live.status.suspended = true), Compared::Unfinished);
        assert_eq!(after(|live| live.status.has_table = false), Compared::Unfinished);
    }
}
