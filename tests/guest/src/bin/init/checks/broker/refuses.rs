//! What the broker refuses.

use super::{Broker, ask, ask_over, connect};
use crate::checks::Verdict;
use crate::checks::leftovers::{ensure_none, loops, settled};
use anyhow::{Context, Result, bail, ensure};
use sealpack_format::RootHash;
use sealpack_format::broker::{Answer, Layer, Refusal, Request, Step, Tree};
use sealpack_kernel::{Errno, Kernel};
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

const SIGNED: &str = "/disk/signed";

/// How many requests leave nothing.
const REQUESTS: usize = 10_000;

/// A signed device, as it is asked for.
struct Device {
    file: File,
    root_hash: RootHash,
    data_blocks: u64,
    signature: Vec<u8>,
}

impl Device {
    fn new(signature: &str) -> Result<Self> {
        let text = |name: &str| fs::read_to_string(format!("{SIGNED}/{name}"));
        Ok(Self {
            file: File::open(format!("{SIGNED}/device"))?,
            root_hash: text("root-hash")?.parse()?,
            data_blocks: text("data-blocks")?.parse()?,
            signature: fs::read(format!("{SIGNED}/{signature}"))?,
        })
    }

    fn layer(&self) -> Layer<'_> {
        let Self { root_hash, data_blocks, signature, .. } = self;
        Layer { root_hash: *root_hash, data_blocks: *data_blocks, tree: Tree::Behind, signature }
    }

    fn message(&self) -> Result<Vec<u8>> {
        Ok(Request::Mount { layer: self.layer(), idmapped: false }.to_bytes()?)
    }
}

/// That the message is refused at this step, with one of these numbers.
fn refused(
    what: &str,
    message: &[u8],
    descriptors: &[BorrowedFd<'_>],
    step: Step,
    errnos: &[Errno],
) -> Result<()> {
    let (answer, packet) = ask(message, descriptors).with_context(|| what.to_owned())?;
    ensure!(packet.descriptors.is_empty(), "{what}: a descriptor came with a refusal");
    match answer {
        Answer::Refused(Refusal { errno, step: actual, text, .. })
            if actual == step && errnos.contains(&Errno::from_raw_os_error(errno)) =>
        {
            println!("{what}: {}: {text}", std::io::Error::from_raw_os_error(errno));
            Ok(())
        }
        other => bail!("{what}: not {errnos:?} while {step}, but {other:?}"),
    }
}

pub(crate) fn all() -> Result<Verdict> {
    let before = (settled()?, loops()?);
    let broker = Broker::service()?;
    let good = Device::new("trusted.p7s")?;
    let (answer, packet) = ask(&good.message()?, &[good.file.as_fd()])?;
    ensure!(matches!(answer, Answer::Done(_)) && packet.descriptors.len() == 1, "the good one: {answer:?}");
    drop(packet);
    // While it is there, whoever has its file shares it: the kernel has accepted a signature of it.
    ensure_none(&before.0)?;
    signatures()?;
    files(&good)?;
    messages(&good)?;
    changed(&good)?;
    many(&good)?;
    ensure_none(&before.0)?;
    crate::checks::leftovers::wait_for("the loop devices", || Ok(loops()? == before.1))?;
    ensure!(!broker.is_gone(), "the broker has ended");
    Ok(Verdict::Shown)
}

fn signatures() -> Result<()> {
    for (signature, errnos) in [
        ("unknown.p7s", &[Errno::NOKEY][..]),
        // Where .dm-verity is in use, it is asked last, and does not know the key.
        ("other.p7s", &[Errno::KEYREJECTED, Errno::NOKEY]),
        ("root-hash", &[Errno::BADMSG]),
    ] {
        let device = Device::new(signature)?;
        refused(signature, &device.message()?, &[device.file.as_fd()], Step::Table, errnos)?;
    }
    Ok(())
}

fn files(good: &Device) -> Result<()> {
    let message = good.message()?;
    let refused =
        |what: &str, file: BorrowedFd<'_>, errno| refused(what, &message, &[file], Step::Files, &[errno]);
    let other_size = |what: &str, blocks: u64| {
        let layer = Layer { data_blocks: blocks, ..good.layer() };
        let message = Request::Mount { layer, idmapped: false }.to_bytes()?;
        super::refuses::refused(what, &message, &[good.file.as_fd()], Step::Files, &[Errno::INVAL])
    };
    other_size("one block too many", good.data_blocks + 1)?;
    other_size("one block too few", good.data_blocks - 1)?;
    let copy = Path::new("/disk/refused");
    fs::copy(format!("{SIGNED}/device"), copy)?;
    let writable = File::options().read(true).write(true).open(copy)?;
    refused("a file open for writing", writable.as_fd(), Errno::BADF)?;
    let in_memory = Path::new("/tmp/refused");
    fs::copy(copy, in_memory)?;
    refused("a file on tmpfs", File::open(in_memory)?.as_fd(), Errno::MEDIUMTYPE)?;
    let (reader, _writer) = std::io::pipe()?;
    refused("a pipe", reader.as_fd(), Errno::INVAL)?;
    refused("a device", File::open("/dev/vda")?.as_fd(), Errno::INVAL)?;
    refused("a directory", File::open("/disk")?.as_fd(), Errno::INVAL)?;
    refused("a file of proc", File::open("/proc/version")?.as_fd(), Errno::MEDIUMTYPE)?;
    for path in [copy, in_memory] {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn messages(good: &Device) -> Result<()> {
    let message = good.message()?;
    let no_request = |what: &str, message: &[u8], descriptors: &[BorrowedFd<'_>]| {
        refused(what, message, descriptors, Step::Request, &[Errno::PROTO])
    };
    let file = good.file.as_fd();
    no_request("no descriptor", &message, &[])?;
    no_request("one descriptor too many", &message, &[file, file])?;
    no_request("half a message", &message[..message.len() / 2], &[file])?;
    no_request("one byte more", &[message.as_slice(), &[0]].concat(), &[file])?;
    for (at, value, what) in
        [(48, 0xff, "a lying length"), (6, 2, "a lying count"), (52, 2, "two descriptors")]
    {
        let mut lying = message.clone();
        lying[at] = value;
        no_request(what, &lying, &[file])?;
    }
    let unsigned = [&message[..48], &0_u32.to_le_bytes(), &1_u32.to_le_bytes()].concat();
    no_request("no signature", &unsigned, &[file])?;
    no_request("words", b"GET / HTTP/1.1", &[])
}

/// A pack whose first block was changed: the kernel finds out when it mounts.
fn changed(good: &Device) -> Result<()> {
    let path = Path::new("/disk/changed");
    fs::copy(format!("{SIGNED}/device"), path)?;
    let writer = File::options().write(true).open(path)?;
    writer.write_all_at(&[0xff; 16], 1024)?;
    writer.sync_all()?;
    drop(writer);
    let file = File::open(path)?;
    refused("a changed superblock", &good.message()?, &[file.as_fd()], Step::Mount, &[Errno::IO])?;
    Ok(fs::remove_file(path)?)
}

/// Refused after a device was made, each of them, and as many as come.
fn many(good: &Device) -> Result<()> {
    let kernel = Kernel::new();
    let bad = Device::new("root-hash")?;
    let (bad_message, short) = (bad.message()?, good.message()?);
    let mut connection = connect(&kernel)?;
    for number in 0..REQUESTS {
        // As many as one connection may have.
        if number % 500 == 0 {
            connection = connect(&kernel)?;
        }
        let file = good.file.as_fd();
        // Each hundredth gets as far as the signature.
        let (message, descriptors) =
            if number % 100 == 0 { (&bad_message, &[file][..]) } else { (&short, &[][..]) };
        let (answer, _) = ask_over(&kernel, &connection, message, descriptors)?;
        ensure!(matches!(answer, Answer::Refused(_)), "request {number}: {answer:?}");
    }
    println!("{REQUESTS} requests were refused");
    Ok(())
}
