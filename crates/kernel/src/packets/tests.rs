use std::fs::File;
use std::io::{Read, Seek, Write};

use super::*;

fn pair() -> (Kernel, Connection, Connection) {
    let kernel = Kernel::new();
    let (one, other) = kernel.connected_pair().unwrap();
    for connection in [&one, &other] {
        kernel.limit_waiting(connection, Duration::from_millis(200)).unwrap();
    }
    (kernel, one, other)
}

#[test]
fn a_message_arrives_whole_with_its_descriptors() {
    let (kernel, one, other) = pair();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    kernel.send(&one, b"message", &[file.as_fd(), file.as_fd()]).unwrap();
    let mut buffer = [0; 100];
    let packet = kernel.receive(&other, &mut buffer).unwrap();
    assert_eq!(
        (&buffer[..packet.length], packet.is_cut, packet.descriptors.len()),
        (&b"message"[..], false, 2)
    );
    let mut received = File::from(packet.descriptors.into_iter().next().unwrap());
    received.rewind().unwrap();
    let mut content = String::new();
    received.read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
}

#[test]
fn what_there_is_no_room_for_is_told_to_be_missing() {
    let (kernel, one, other) = pair();
    kernel.send(&one, b"message", &[]).unwrap();
    let packet = kernel.receive(&other, &mut [0; 3]).unwrap();
    assert_eq!((packet.length, packet.is_cut), (3, true));
}

#[test]
fn as_many_descriptors_as_the_kernel_takes_arrive_and_no_more_are_sent() {
    let (kernel, one, other) = pair();
    let file = tempfile::tempfile().unwrap();
    kernel.send(&one, b"x", &[file.as_fd(); DESCRIPTORS_MAX]).unwrap();
    let packet = kernel.receive(&other, &mut [0; 3]).unwrap();
    assert_eq!((packet.descriptors.len(), packet.is_cut), (DESCRIPTORS_MAX, false));
    let error = kernel.send(&one, b"x", &[file.as_fd(); DESCRIPTORS_MAX + 1]).unwrap_err();
    assert_eq!(error.errno(), Errno::INVAL);
}

#[test]
fn nobody_waits_for_ever_and_a_closed_end_is_seen() {
    let (kernel, one, other) = pair();
    assert_eq!(kernel.receive(&other, &mut [0; 3]).unwrap_err().errno(), Errno::AGAIN);
    drop(one);
    assert_eq!(kernel.receive(&other, &mut [0; 3]).unwrap().length, 0);
    assert_eq!(kernel.send(&other, b"x", &[]).unwrap_err().errno(), Errno::PIPE);
}

#[test]
fn a_listener_hears_who_connects() {
    let kernel = Kernel::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    assert_eq!(kernel.connect_to(&path).unwrap_err().errno(), Errno::NOENT);
    let listener = kernel.listen_at(&path, 4).unwrap();
    assert!(kernel.accept(&listener).unwrap().is_none());
    let client = kernel.connect_to(&path).unwrap();
    let served = kernel.accept(&listener).unwrap().expect("somebody connected");
    let peer = kernel.peer(&served).unwrap();
    assert_eq!(peer.pid, i32::try_from(std::process::id()).unwrap());
    assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    kernel.make_room(&client, 300_000).unwrap();
    kernel.send(&client, &[1; 260_000], &[]).unwrap();
    assert_eq!(kernel.receive(&served, &mut vec![0; 262_144]).unwrap().length, 260_000);
    assert_eq!(kernel.listen_at(&path, 4).unwrap_err().errno(), Errno::ADDRINUSE);
    drop((listener, served));
    assert_eq!(kernel.connect_to(&path).unwrap_err().errno(), Errno::CONNREFUSED);
}
