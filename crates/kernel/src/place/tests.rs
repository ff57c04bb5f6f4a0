use std::collections::BTreeSet;
use std::io::Write;

use super::*;
use crate::{alone, mountinfo};

/// Whether this test can have a place of its own; says why when it cannot.
///
/// Device-mapper need not be in this kernel for what it shows, so another device stands for it.
fn entered() -> Option<Kernel> {
    let kernel = Kernel::new();
    match kernel.enter_with([(Path::new("/dev/null"), MAPPER_CONTROL), (kernel.loop_control(), LOOP_CONTROL)])
    {
        Ok(kernel) => Some(kernel),
        Err(error) => {
            let expected = [Errno::PERM, Errno::ACCESS, Errno::NOENT, Errno::NODEV, Errno::NXIO];
            assert!(expected.contains(&error.errno()), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

#[test]
fn nothing_of_the_machine_is_left_but_the_control_devices() {
    alone::run("place::tests::nothing_of_the_machine_is_left_but_the_control_devices", || {
        // What was opened before can still be used.
        let proc = std::fs::File::open("/proc").unwrap();
        let Some(kernel) = entered() else { return };
        let names: BTreeSet<_> = std::fs::read_dir("/")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names, ["control", "nodes", "proc"].map(str::to_owned).into());
        assert_eq!(std::fs::read_dir(LOWERS).unwrap().count(), LOWERS_MAX);
        kernel.open_device(kernel.loop_control()).unwrap();
        let flags = rustix::fs::OFlags::RDONLY;
        let file = rustix::fs::openat(&proc, "thread-self/mountinfo", flags, Mode::empty()).unwrap();
        let text = std::io::read_to_string(std::fs::File::from(file)).unwrap();
        let left: Vec<_> = mountinfo::parse(text.as_bytes()).unwrap();
        let points: BTreeSet<_> = left.iter().map(|mount| mount.mount_point.display().to_string()).collect();
        assert_eq!(points, ["/", MAPPER_CONTROL, LOOP_CONTROL].map(str::to_owned).into(), "{left:?}");
    });
}

#[test]
fn loop_devices_are_attached_and_mounted_by_nodes_that_are_made_for_them() {
    alone::run("place::tests::loop_devices_are_attached_and_mounted_by_nodes_that_are_made_for_them", || {
        let mut file = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
        file.write_all(&[7; 8192]).unwrap();
        let file = file.reopen().unwrap();
        let Some(kernel) = entered() else { return };
        let device = match kernel.attach_loop(file.as_fd()) {
            Ok(device) => device,
            Err(error) => return eprintln!("skipped: {error}"),
        };
        let number = DeviceNumber::of_open(&device).unwrap();
        let again = kernel.open_loop(number).unwrap();
        let status = kernel.loop_status(&again).unwrap();
        assert_eq!((status.read_only, status.autoclear), (true, true));
        assert!(
            kernel.open_loop(DeviceNumber { major: 1, minor: 0 }).is_err(),
            "a RAM disk is no loop device"
        );
        let node = format!("{NODES}/{}-{}", number.major, number.minor);
        assert_eq!(kernel.source_path(&device).unwrap(), Path::new(&node));
        assert_eq!(std::fs::read_dir(NODES).unwrap().count(), 1, "it is used again");
        // Whatever it is of, it is compared.
        std::fs::rename(&node, format!("{NODES}/7-1234567")).unwrap();
        let other = DeviceNumber { major: 7, minor: 1_234_567 };
        assert_eq!(kernel.open_loop(other).unwrap_err().errno(), Errno::NXIO);
    });
}

#[test]
fn elsewhere_devices_are_found_as_ever() {
    let kernel = Kernel::new();
    assert!(!kernel.is_in_own_place());
    assert_eq!(kernel.lower_place(0), None);
    assert_eq!(kernel.mapper_control(), Path::new("/dev/mapper/control"));
    let file = tempfile::tempfile().unwrap();
    assert!(kernel.source_path(&file).unwrap().starts_with("/proc/thread-self/fd"));
}

#[test]
fn the_command_line_gets_another_first_byte() {
    alone::run("place::tests::the_command_line_gets_another_first_byte", || {
        let kernel = Kernel::new();
        kernel.rename_process("sealpack-test", b'@').unwrap();
        let line = std::fs::read("/proc/self/cmdline").unwrap();
        let word = line.split(|byte| *byte == 0).next().unwrap();
        let program = std::env::current_exe().unwrap();
        assert_eq!(word[0], b'@');
        assert_eq!(&word[1..], &program.as_os_str().as_encoded_bytes()[1..]);
        assert_eq!(std::fs::read_to_string("/proc/thread-self/comm").unwrap(), "sealpack-test\n");
        assert_eq!(kernel.rename_process("a\0b", b'@').unwrap_err().errno(), Errno::INVAL);
    });
}
