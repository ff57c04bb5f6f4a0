use std::io::Write;
use std::sync::mpsc::{Receiver, channel};

use sealpack_kernel::packets::Listener;
use tempfile::TempDir;

use super::*;

/// What a broker that only plays its part was asked: the message, and how many bytes each descriptor's file has.
type Heard = (Vec<u8>, Vec<u64>);

/// A broker that answers what it is told to, one after the other, over one connection.
struct Player {
    directory: TempDir,
    heard: Receiver<Heard>,
}

impl Player {
    fn new(answers: Vec<Vec<u8>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = Kernel::new().listen_at(&directory.path().join("broker"), 4).unwrap();
        let (hears, heard) = channel();
        std::thread::spawn(move || play(&listener, answers, &hears));
        Self { directory, heard }
    }

    fn broker(&self) -> Broker {
        Broker::at(self.directory.path().join("broker"))
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.try_iter().collect()
    }
}

fn play(listener: &Listener, answers: Vec<Vec<u8>>, hears: &std::sync::mpsc::Sender<Heard>) {
    let kernel = Kernel::new();
    let connection = loop {
        match kernel.accept(listener).unwrap() {
            Some(connection) => break connection,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    for answer in answers {
        let mut buffer = vec![0; REQUEST_MAX_BYTES];
        let packet = kernel.receive(&connection, &mut buffer).unwrap();
        let sizes =
            packet.descriptors.iter().map(|fd| File::from(fd.try_clone().unwrap()).metadata().unwrap().len());
        hears.send((buffer[..packet.length].to_vec(), sizes.collect())).unwrap();
        let mount = File::open("/dev/null").unwrap();
        let is_mount = answer.starts_with(&[0; 4]) && matches!(buffer.get(4), Some(b'M' | b'O'));
        let descriptors = [mount.as_fd()];
        kernel.send(&connection, &answer, if is_mount { &descriptors } else { &[] }).unwrap();
    }
}

fn done(text: &str) -> Vec<u8> {
    Answer::Done(text.to_owned()).to_bytes().to_vec()
}

fn refused(errno: Errno, step: Step, layer: Option<u16>, text: &str) -> Vec<u8> {
    let (errno, text) = (errno.raw_os_error(), text.to_owned());
    Answer::Refused(Refusal { errno, step, layer, text }).to_bytes().to_vec()
}

fn file(bytes: usize) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![1; bytes]).unwrap();
    file
}

fn device(number: u8, has_tree_apart: bool, signers: &[&str]) -> Device {
    let root_hash = [number; 32];
    let signature =
        |signer: &&str| Signature { der: signer.repeat(4).into_bytes(), signer: (*signer).to_owned() };
    let mut device = Device::handed(sealpack_format::RootHash::new(root_hash), 5, has_tree_apart);
    device.signatures = signers.iter().map(signature).collect();
    device
}

/// What comes of a mount of one pack with these signatures, when the broker answers so.
fn mounted(signers: &[&str], answers: Vec<Vec<u8>>) -> (Result<Result<(), String>, Error>, Vec<Heard>) {
    let player = Player::new(answers);
    let (kernel, device, data) = (Kernel::new(), device(0xab, false, signers), file(7));
    let client = player.broker().connect(&kernel).unwrap().expect("somebody listens");
    let files = Files { data: &data, tree: None };
    let lower = Lowered { what: "the pack", path: Path::new("/p.pack"), device: &device, files };
    let result = client.mounts(&[lower]).map(|mut mounts| mounts.remove(0).map(drop));
    (result, player.heard())
}

#[test]
fn a_device_is_asked_for_with_its_file_and_one_signature_after_the_other() {
    let unknown = || refused(Errno::NOKEY, Step::Table, Some(0), "");
    let (result, heard) = mounted(&["first", "second"], vec![unknown(), done("")]);
    assert_eq!(result.unwrap(), Ok(()));
    let signatures: Vec<_> = heard
        .iter()
        .map(|(message, sizes)| match Request::parse(message).unwrap() {
            Request::Mount { layer, idmapped: false } => {
                assert_eq!((layer.data_blocks, layer.tree, sizes.as_slice()), (5, Tree::Behind, &[7][..]));
                layer.signature.to_vec()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(signatures, ["first".repeat(4).into_bytes(), "second".repeat(4).into_bytes()]);
    let (result, _) = mounted(&["somebody"], vec![unknown()]);
    assert!(result.unwrap().unwrap_err().starts_with("the signer's certificate, somebody, is in none"));
    let (result, heard) = mounted(&[], vec![]);
    assert_eq!(
        result.unwrap(),
        Err(format!("there is no signature of the pack, root hash {}", "ab".repeat(32)))
    );
    assert!(heard.is_empty(), "nothing is asked without a signature");
}

#[test]
fn what_the_kernel_refuses_is_told_as_if_it_had_been_asked_directly() {
    let error = |answer| mounted(&["somebody"], vec![answer]).0.unwrap_err();
    match error(refused(Errno::KEYREJECTED, Step::Table, Some(0), "")) {
        Error::Signature { what, signer, error } => {
            assert_eq!((what.as_str(), signer.as_str()), ("the pack", "somebody"));
            assert!(error.to_string().contains("not one of this root hash"), "{error}");
        }
        other => panic!("{other}"),
    }
    match error(refused(Errno::IO, Step::Mount, Some(0), "")) {
        Error::Corrupted { what, path, .. } => {
            assert_eq!((what, path.as_path()), ("the pack", Path::new("/p.pack")))
        }
        other => panic!("{other}"),
    }
    let text = error(refused(Errno::INVAL, Step::Mount, Some(0), "erofs: no superblock")).to_string();
    assert!(text.starts_with("mounting a device: broker(a mount of the pack, root hash abab"), "{text}");
    assert!(text.ends_with("EINVAL (Invalid argument): broker says: erofs: no superblock"), "{text}");
    let text = error(refused(Errno::MEDIUMTYPE, Step::Files, Some(0), "a file is not on ext4")).to_string();
    assert!(
        text.starts_with("the broker refuses it: ") && text.contains("looking at the descriptors"),
        "{text}"
    );
}

#[test]
fn many_are_asked_for_ahead_and_those_that_are_refused_once_more() {
    const COUNT: u8 = 40;
    let unknown = || refused(Errno::NOKEY, Step::Table, Some(0), "");
    // The third one's first signature is by somebody unknown, the fifth has none.
    let answers = (0..COUNT - 1).map(|number| if number == 2 { unknown() } else { done("") });
    let player = Player::new(answers.chain([done("")]).collect());
    let kernel = Kernel::new();
    let client = player.broker().connect(&kernel).unwrap().expect("somebody listens");
    let signers = |number: u8| if number == 4 { &[][..] } else { &["first", "second"] };
    let devices: Vec<_> = (0..COUNT).map(|number| device(number, false, signers(number))).collect();
    let (data, path) = (file(7), Path::new("/x"));
    let files = Files { data: &data, tree: None };
    let lower = |device| Lowered { what: "a device", path, device, files };
    let lowers: Vec<_> = devices.iter().map(lower).collect();
    let mounts = client.mounts(&lowers).unwrap();
    assert_eq!(mounts.len(), usize::from(COUNT));
    for (number, mount) in mounts.iter().enumerate() {
        assert_eq!(mount.is_ok(), number != 4, "{number}");
    }
    let heard = player.heard();
    let hash = |heard: &Heard| match Request::parse(&heard.0).unwrap() {
        Request::Mount { layer, .. } => (layer.root_hash.as_bytes()[0], layer.signature.len()),
        other => panic!("{other:?}"),
    };
    let first: Vec<_> = (0..COUNT).filter(|number| *number != 4).map(|number| (number, 20)).collect();
    assert_eq!(heard.iter().map(hash).collect::<Vec<_>>(), [first, vec![(2, 24)]].concat());
}

#[test]
fn what_was_refused_is_told_where_the_next_answer_does_not_come() {
    let told = |refusal| {
        // It hears both requests, answers the first one, and closes the connection.
        let player = Player::new(vec![refusal]);
        let kernel = Kernel::new();
        let client = player.broker().connect(&kernel).unwrap().expect("somebody listens");
        let devices = [device(1, false, &["first", "second"]), device(2, false, &["first"])];
        let (data, path) = (file(7), Path::new("/x"));
        let files = Files { data: &data, tree: None };
        let lowers = devices.each_ref().map(|device| Lowered { what: "a device", path, device, files });
        client.mounts(&lowers).unwrap_err().to_string()
    };
    let text = told(refused(Errno::USERS, Step::Limit, None, "too many devices"));
    assert!(text.contains("too many devices"), "{text}");
    // For this one another signature would have been tried: that is not why the connection was closed.
    let text = told(refused(Errno::NOKEY, Step::Table, Some(0), ""));
    assert!(!text.contains("NOKEY"), "{text}");
}

#[test]
fn an_overlay_is_asked_for_whole_and_again_with_another_signature_of_what_was_refused() {
    let player = Player::new(vec![refused(Errno::NOKEY, Step::Table, Some(1), ""), done("")]);
    let kernel = Kernel::new();
    let client = player.broker().connect(&kernel).unwrap().expect("somebody listens");
    let devices = [device(1, true, &["first"]), device(2, false, &["first", "second"])];
    let (image, tree, pack) = (file(1), file(2), file(3));
    let files = [Files { data: &image, tree: Some(&tree) }, Files { data: &pack, tree: None }];
    let path = Path::new("/x");
    let lowers: Vec<_> = devices
        .iter()
        .zip(files)
        .map(|(device, files)| Lowered { what: "a device", path, device, files })
        .collect();
    client.overlay(&ObjectId::sha256([9; 32]), &lowers).unwrap().unwrap();
    let heard = player.heard();
    assert_eq!(heard.len(), 2);
    // The map, if this test runs in a user namespace, is last.
    assert_eq!(heard[0].1[..3], [1, 2, 3]);
    let Request::Overlay { image, layers, .. } = Request::parse(&heard[1].0).unwrap() else {
        panic!("{heard:?}")
    };
    assert_eq!((image, layers.len()), (ObjectId::sha256([9; 32]), 2));
    assert_eq!((layers[0].tree, layers[1].tree), (Tree::Apart, Tree::Behind));
    assert_eq!(
        (layers[0].signature, layers[1].signature),
        ("first".repeat(4).as_bytes(), "second".repeat(4).as_bytes())
    );
}

#[test]
fn what_is_no_answer_is_no_success() {
    let text = |answer: Vec<u8>| mounted(&["somebody"], vec![answer]).0.unwrap_err().to_string();
    assert!(text(b"hello".to_vec()).contains("broker(no answer)"));
    assert!(text([done(""), vec![0]].concat()).contains("bytes follow"));
    let (result, _) = mounted(&["somebody"], vec![]);
    assert!(result.is_err(), "the connection was closed");
    let player = Player::new(vec![refused(Errno::STALE, Step::Policy, None, "")]);
    let error = player.broker().update_policy(&Kernel::new(), b"policy").unwrap_err().to_string();
    assert!(error.contains("this version or a higher one"), "{error}");
}

/// Of a connection that is closed before all of it was read, the kernel says so first, and then what came over it.
#[test]
fn what_was_refused_before_it_was_asked_for_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (kernel, broker) = (Kernel::new(), Broker::at(directory.path().join("broker")));
    let listener = kernel.listen_at(broker.socket(), 4).unwrap();
    let client = broker.connect(&kernel).unwrap().expect("somebody listens");
    client.send(&Request::Version, &[]).unwrap();
    let connection = kernel.accept(&listener).unwrap().expect("it is there");
    kernel.send(&connection, &refused(Errno::USERS, Step::Limit, None, "too many"), &[]).unwrap();
    drop(connection);
    match client.answer().unwrap() {
        (Answer::Refused(refusal), None) => assert_eq!(refusal.text, "too many"),
        other => panic!("{other:?}"),
    }
    let error = client.answer().unwrap_err().to_string();
    assert!(error.contains("it closed the connection"), "{error}");
}

#[test]
fn where_nobody_listens_there_is_no_broker() {
    let kernel = Kernel::new();
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::at(directory.path().join("none"));
    assert_eq!(broker.version(&kernel).unwrap(), None);
    assert!(!broker.update_policy(&kernel, b"policy").unwrap());
    drop(kernel.listen_at(broker.socket(), 1).unwrap());
    assert_eq!(broker.version(&kernel).unwrap(), None, "it is dead");
    let player = Player::new(vec![done("1.2.3")]);
    assert_eq!(player.broker().version(&kernel).unwrap().as_deref(), Some("1.2.3"));
}
