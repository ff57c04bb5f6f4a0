use std::fs::File;
use std::os::fd::BorrowedFd;

use sealpack_format::broker::Tree;
use sealpack_format::{ObjectId, RootHash};

use super::*;

const USER: u32 = 1000;
const SIGNATURE: [u8; 16] = [1; 16];

/// Does what it is asked for with files in the place of mounts, and notes it.
#[derive(Default)]
struct Noted {
    done: Vec<String>,
    refuses: Option<Refusal>,
}

fn nothing() -> DetachedMount {
    DetachedMount::from(OwnedFd::from(File::open("/dev/null").unwrap()))
}

impl Work for Noted {
    fn count(&mut self, more: usize) -> Result<(), Refusal> {
        self.done.push(format!("{more} more"));
        Ok(())
    }

    fn mount(
        &mut self,
        layer: &Layer<'_>,
        _: &Files,
        map: Option<&OwnedFd>,
    ) -> Result<DetachedMount, Refusal> {
        self.done.push(format!("mount {} {}", layer.data_blocks, map.is_some()));
        self.refuses.take().map_or_else(|| Ok(nothing()), Err)
    }

    fn overlay(&mut self, image: &ObjectId, lowers: &[DetachedMount]) -> Result<DetachedMount, Refusal> {
        self.done.push(format!("overlay {} {}", &image.to_string()[..4], lowers.len()));
        Ok(nothing())
    }

    fn owner(&self, _: &OwnedFd) -> Result<u32, Refusal> {
        Ok(USER)
    }

    fn update(&mut self, signed: &[u8]) -> Result<(), Refusal> {
        self.done.push(format!("update {}", signed.len()));
        Ok(())
    }
}

/// Sends messages with these descriptors, has them served for `user`, and answers with what was noted and the answers,
/// each with whether a descriptor came with it.
fn served(
    user: u32,
    messages: &[(&[u8], &[BorrowedFd<'_>])],
    mut work: Noted,
) -> (Vec<String>, Vec<(Answer, bool)>) {
    let kernel = Kernel::new();
    let (client, server) = kernel.connected_pair().unwrap();
    kernel.make_room(&client, 300_000).unwrap();
    for (bytes, descriptors) in messages {
        kernel.send(&client, bytes, descriptors).unwrap();
    }
    // There are no more.
    rustix::net::shutdown(client.as_fd(), rustix::net::Shutdown::Write).unwrap();
    let peer = Peer { pid: 1, uid: user };
    // Answers are sent without waiting for the client, who has not read any yet.
    serve(&kernel, &server, peer, &mut work, |_, _| {});
    let mut answers = Vec::new();
    kernel.limit_waiting(&client, Duration::from_millis(1)).unwrap();
    while answers.len() < messages.len() {
        let mut buffer = [0; 100];
        let Ok(packet) = kernel.receive(&client, &mut buffer) else { break };
        let answer = Answer::parse(&buffer[..packet.length]).unwrap();
        answers.push((answer, packet.descriptors.len() == 1));
    }
    (work.done, answers)
}

fn refusal_of(user: u32, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> (Errno, Step) {
    let (done, answers) = served(user, &[(message, descriptors)], Noted::default());
    assert!(done.iter().all(|what| !what.starts_with("mount")), "{done:?}");
    match answers.as_slice() {
        [(Answer::Refused(refusal), false)] => (Errno::from_raw_os_error(refusal.errno), refusal.step),
        other => panic!("{other:?}"),
    }
}

fn layer(data_blocks: u64, tree: Tree) -> Layer<'static> {
    Layer { root_hash: RootHash::new([1; 32]), data_blocks, tree, signature: &SIGNATURE }
}

/// A file of that many blocks, open for reading.
fn file(blocks: u64) -> File {
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    file.as_file().set_len(blocks * 4096).unwrap();
    File::open(file.path()).unwrap()
}

/// Whether the build's directory is on a filesystem that the broker takes.
fn can_be_taken() -> bool {
    let layer = layer(1, Tree::Behind);
    let taken = Files { data: file(2), tree: None }.check(&layer).is_ok();
    if !taken {
        eprintln!("skipped: {} is not on ext4, btrfs, xfs or f2fs", env!("CARGO_MANIFEST_DIR"));
    }
    taken
}

#[test]
fn an_overlay_is_made_of_all_layers_in_their_order() {
    if !can_be_taken() {
        return;
    }
    let layers = vec![layer(3, Tree::Apart), layer(1, Tree::Behind)];
    let request = Request::Overlay { image: ObjectId::sha256([0xab; 32]), layers, idmapped: true };
    // Three blocks have a tree of one, behind the superblock; one block has none.
    let (data, tree, pack, map) = (file(3), file(2), file(2), file(0));
    let descriptors = [data.as_fd(), tree.as_fd(), pack.as_fd(), map.as_fd()];
    let message = request.to_bytes().unwrap();
    let (done, answers) = served(USER, &[(&message, &descriptors)], Noted::default());
    assert_eq!(done, ["2 more", "mount 3 true", "mount 1 true", "overlay abab 2"]);
    assert_eq!(answers, [(Answer::Done(String::new()), true)]);
    // A namespace of somebody else's is not taken, and only the superuser may give it.
    assert_eq!(refusal_of(1001, &message, &descriptors), (Errno::PERM, Step::Namespace));
    assert_eq!(served(0, &[(&message, &descriptors)], Noted::default()).1.len(), 1);
}

#[test]
fn a_refusal_names_the_layer_and_what_was_done() {
    if !can_be_taken() {
        return;
    }
    let request = Request::Overlay {
        image: ObjectId::sha256([0xab; 32]),
        layers: vec![layer(1, Tree::Behind), layer(2, Tree::Behind)],
        idmapped: false,
    };
    let message = request.to_bytes().unwrap();
    let (good, short) = (file(2), file(3));
    let (done, answers) = served(USER, &[(&message, &[good.as_fd(), short.as_fd()])], Noted::default());
    assert_eq!(done, [""; 0], "nothing is mounted before all was looked at");
    let [(Answer::Refused(refusal), false)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(
        (refusal.layer, refusal.step, refusal.errno),
        (Some(1), Step::Files, Errno::INVAL.raw_os_error())
    );
    let bad_key =
        Refusal { errno: Errno::NOKEY.raw_os_error(), step: Step::Table, layer: None, text: String::new() };
    let work = Noted { refuses: Some(bad_key.clone()), ..Noted::default() };
    let whole = file(4);
    let (_, answers) = served(USER, &[(&message, &[good.as_fd(), whole.as_fd()])], work);
    assert_eq!(answers, [(Answer::Refused(Refusal { layer: Some(0), ..bad_key }), false)]);
}

#[test]
fn as_many_mounts_as_are_asked_for_come_over_one_connection() {
    if !can_be_taken() {
        return;
    }
    let message = Request::Mount { layer: layer(1, Tree::Behind), idmapped: false }.to_bytes().unwrap();
    let data = file(2);
    let descriptors = [data.as_fd()];
    let messages = [(message.as_slice(), descriptors.as_slice()); 5];
    let (done, answers) = served(USER, &messages, Noted::default());
    assert_eq!(done.iter().filter(|what| *what == "mount 1 false").count(), 5);
    assert_eq!(answers, vec![(Answer::Done(String::new()), true); 5]);
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_served() {
    let version = Request::Version.to_bytes().unwrap();
    let half = Request::Mount { layer: layer(1, Tree::Behind), idmapped: false }.to_bytes().unwrap();
    let half = &half[..half.len() / 2];
    let large = vec![b'x'; REQUEST_MAX_BYTES + 10];
    let messages: [(&[u8], &[BorrowedFd<'_>]); 4] =
        [(b"x", &[]), (half, &[]), (&large, &[]), (&version, &[])];
    let (done, answers) = served(USER, &messages, Noted::default());
    assert!(done.is_empty());
    for (answer, _) in &answers[..3] {
        let Answer::Refused(refusal) = answer else { panic!("{answer:?}") };
        assert_eq!((refusal.errno, refusal.step), (Errno::PROTO.raw_os_error(), Step::Request));
    }
    assert_eq!(answers[3], (Answer::Done(env!("CARGO_PKG_VERSION").to_owned()), false));
}

#[test]
fn descriptors_have_to_be_as_many_as_are_announced() {
    let message = Request::Mount { layer: layer(1, Tree::Apart), idmapped: false }.to_bytes().unwrap();
    let data = file(1);
    for count in [0, 1, 3] {
        let descriptors = vec![data.as_fd(); count];
        assert_eq!(refusal_of(USER, &message, &descriptors), (Errno::PROTO, Step::Request), "{count}");
    }
    let version = Request::Version.to_bytes().unwrap();
    assert_eq!(refusal_of(USER, &version, &[data.as_fd()]), (Errno::PROTO, Step::Request));
}

#[test]
fn only_the_superuser_updates_the_policy() {
    let message = Request::Update { signed: b"policy" }.to_bytes().unwrap();
    assert_eq!(refusal_of(USER, &message, &[]), (Errno::PERM, Step::Request));
    let (done, answers) = served(0, &[(&message, &[])], Noted::default());
    assert_eq!((done, answers), (vec!["update 6".to_owned()], vec![(Answer::Done(String::new()), false)]));
}
