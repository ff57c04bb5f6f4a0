use sealpack_kernel::seccomp::SystemCall;

use super::architecture::{AARCH64, Table, X86_64};
use super::*;

const ALL: Rules = Rules { device_mapper: true, foreign_abi: true };
const MAPPER: Rules = Rules { device_mapper: true, foreign_abi: false };
const FOREIGN: Rules = Rules { device_mapper: false, foreign_abi: true };

fn filter(architecture: &Architecture, rules: Rules) -> Program {
    program(architecture, rules).unwrap().unwrap()
}

fn call(table: &Table, number: u32, request: u64) -> SystemCall {
    SystemCall { number, architecture: table.audit, arguments: [3, request, 7, 7, 7, 7] }
}

/// Every number, with every size and direction, and bits in the upper half: type and number decide alone.
#[test]
fn of_device_mappers_ioctls_only_those_that_look_are_allowed() {
    for architecture in [X86_64, AARCH64] {
        let filter = filter(&architecture, ALL);
        let verdict = |request: u64| filter.judge(&call(&architecture.own, architecture.own.ioctl, request));
        for number in 0..=0xff_u64 {
            let looks = LOOKING.iter().any(|(looking, _)| u64::from(*looking) == number);
            let expected = if looks { Verdict::Allow } else { REFUSED };
            for upper in [0, 0x0138, 0x4138, 0x8138, 0xc138, 0xc000, 0x3fff, 0xffff] {
                for half in [0, 1, 1 << 31, u64::from(u32::MAX)] {
                    let request = half << 32 | upper << 16 | 0xfd00 | number;
                    assert_eq!(verdict(request), expected, "{request:#x}");
                }
            }
        }
        for upper in 0..=0xffff_u64 {
            assert_eq!(verdict(upper << 16 | 0xfd09), REFUSED, "{upper:#x}: DM_TABLE_LOAD");
            assert_eq!(verdict(upper << 16 | 0xfd0c), Verdict::Allow, "{upper:#x}: DM_TABLE_STATUS");
        }
    }
}

#[test]
fn the_numbers_that_only_look_are_those_of_their_names() {
    // DM_VERSION_CMD is the first of an enumeration, without gaps.
    let names = [
        "VERSION",
        "REMOVE_ALL",
        "LIST_DEVICES",
        "DEV_CREATE",
        "DEV_REMOVE",
        "DEV_RENAME",
        "DEV_SUSPEND",
        "DEV_STATUS",
        "DEV_WAIT",
        "TABLE_LOAD",
        "TABLE_CLEAR",
        "TABLE_DEPS",
        "TABLE_STATUS",
        "LIST_VERSIONS",
        "TARGET_MSG",
        "DEV_SET_GEOMETRY",
        "DEV_ARM_POLL",
        "GET_TARGET_VERSION",
    ];
    for (number, name) in LOOKING {
        let index = usize::try_from(number).unwrap();
        assert_eq!(name.strip_prefix("DM_"), Some(names[index]));
    }
}

#[test]
fn other_ioctls_and_other_calls_are_allowed() {
    for architecture in [X86_64, AARCH64] {
        let own = architecture.own;
        let filter = filter(&architecture, ALL);
        for kind in (0..=0xff_u64).filter(|kind| *kind != 0xfd) {
            assert_eq!(filter.judge(&call(&own, own.ioctl, 0xc138_0009 | kind << 8)), Verdict::Allow);
        }
        for number in (0..1024).filter(|number| *number != own.ioctl) {
            assert_eq!(filter.judge(&call(&own, number, 0xc138_fd09)), Verdict::Allow, "{number}");
        }
    }
}

#[test]
fn other_abis_are_refused_whatever_the_call() {
    for rules in [ALL, FOREIGN] {
        let filter = filter(&X86_64, rules);
        let refused = |call: SystemCall| assert_eq!(filter.judge(&call), REFUSED, "{call:x?}");
        for number in [0, 16, 54, 514, 0x4000_0000, u32::MAX] {
            for audit in [0x4000_0003, 0xc000_00b7, 0, u32::MAX] {
                refused(SystemCall { architecture: audit, ..call(&X86_64.own, number, 0) });
            }
        }
        for number in [0x4000_0000, 0x4000_0010, 0x4000_0202, 0x8000_0000, u32::MAX] {
            refused(call(&X86_64.own, number, 0));
        }
        assert_eq!(filter.judge(&call(&X86_64.own, 0x3fff_ffff, 0)), Verdict::Allow);
    }
    let filter = filter(&AARCH64, ALL);
    assert_eq!(filter.judge(&call(&AARCH64.foreign[0], 1, 0)), REFUSED);
    // It has no x32.
    assert_eq!(filter.judge(&call(&AARCH64.own, 0x4000_0000, 0)), Verdict::Allow);
}

#[test]
fn where_other_abis_are_allowed_their_ioctls_are_judged_too() {
    for architecture in [X86_64, AARCH64] {
        let filter = filter(&architecture, MAPPER);
        let foreign = architecture.foreign[0];
        let mut ways = vec![(architecture.own, architecture.own.ioctl), (foreign, foreign.ioctl)];
        ways.extend(
            architecture
                .own
                .second
                .iter()
                .flat_map(|second| second.ioctls.map(|number| (architecture.own, number))),
        );
        for (table, number) in ways {
            assert_eq!(filter.judge(&call(&table, number, 0xc138_fd09)), REFUSED, "{table:x?} {number:#x}");
            assert_eq!(filter.judge(&call(&table, number, 0xc138_fd0c)), Verdict::Allow);
            assert_eq!(filter.judge(&call(&table, number + 1, 0xc138_fd09)), Verdict::Allow);
        }
        let other = SystemCall { architecture: 0x1234, ..call(&foreign, 1, 0) };
        assert_eq!(filter.judge(&other), REFUSED);
    }
}

#[test]
fn where_device_mapper_is_left_alone_its_ioctls_are_allowed() {
    let filter = filter(&X86_64, FOREIGN);
    assert_eq!(filter.judge(&call(&X86_64.own, 16, 0xc138_fd09)), Verdict::Allow);
    let nothing = Rules { device_mapper: false, foreign_abi: false };
    assert_eq!(program(&X86_64, nothing), Ok(None));
}
