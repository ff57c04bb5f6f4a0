//! One connection, served in a process of its own.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use sealpack_format::broker::{Answer, Layer, REQUEST_MAX_BYTES, Refusal, Request, Step};
use sealpack_kernel::mount::DetachedMount;
use sealpack_kernel::packets::{Connection, Packet, Peer};
use sealpack_kernel::{Errno, Kernel};

use super::answer::{about, no_request, refused};
use super::files::Files;
use super::work::Work;

/// How long the first request, and each answer, may take on its way.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long until the next request: whoever has one more has it at hand.
const PATIENCE_BETWEEN: Duration = Duration::from_secs(1);

/// How many requests one connection may have: a mount for the metadata image and for each pack of the largest image, and
/// some.
const REQUESTS_MAX: usize = 512;

const SUPERUSER: u32 = 0;

/// What was done: the text of the answer, and the mount if one was asked for.
type Done = (String, Option<DetachedMount>);

/// Answers one request after the other, until there are none.
pub(super) fn serve(
    kernel: &Kernel,
    connection: &Connection,
    peer: Peer,
    work: &mut impl Work,
    mut log: impl FnMut(char, Result<(), &Refusal>),
) {
    let mut patience = PATIENCE;
    // One byte more, so that a request that is too long is told from one that is not.
    let mut buffer = vec![0; REQUEST_MAX_BYTES + 1];
    for _ in 0..REQUESTS_MAX {
        if kernel.limit_waiting(connection, patience).is_err() {
            return;
        }
        let Ok(packet) = kernel.receive(connection, &mut buffer) else { return };
        if packet.length == 0 {
            return;
        }
        let bytes = buffer.get(..packet.length).unwrap_or_default();
        let (letter, result) = handle(bytes, packet, peer.uid, work);
        let (answer, mount) = match &result {
            Ok((text, mount)) => (Answer::Done(text.clone()), mount.as_ref()),
            Err(refusal) => (Answer::Refused(refusal.clone()), None),
        };
        let descriptors: Vec<_> = mount.into_iter().map(AsFd::as_fd).collect();
        let sent = kernel.send(connection, &answer.to_bytes(), &descriptors);
        // Afterwards: a console takes its time, and nobody is to wait for it.
        log(letter, result.as_ref().map(drop));
        if sent.is_err() {
            return;
        }
        patience = PATIENCE_BETWEEN;
    }
}

/// Does what a message asks for, and says which operation that is.
fn handle(bytes: &[u8], packet: Packet, user: u32, work: &mut impl Work) -> (char, Result<Done, Refusal>) {
    if packet.is_cut {
        let text = "the message, or what came with it, is too large";
        return ('?', Err(refused(Errno::PROTO, Step::Request, text)));
    }
    match Request::parse(bytes) {
        Ok(request) => (request.letter(), act(&request, packet.descriptors, user, work)),
        Err(error) => ('?', Err(no_request(&error))),
    }
}

fn act(
    request: &Request<'_>,
    descriptors: Vec<OwnedFd>,
    user: u32,
    work: &mut impl Work,
) -> Result<Done, Refusal> {
    let (wanted, came) = (request.descriptors(), descriptors.len());
    if wanted != came {
        let text = format!("{came} descriptors came, not {wanted}");
        return Err(refused(Errno::PROTO, Step::Request, text));
    }
    match request {
        Request::Version => Ok((env!("CARGO_PKG_VERSION").to_owned(), None)),
        Request::Update { .. } if user != SUPERUSER => {
            Err(refused(Errno::PERM, Step::Request, "only the superuser updates policies"))
        }
        Request::Update { signed } => work.update(signed).map(|()| (String::new(), None)),
        Request::Mount { layer, idmapped } => {
            let mounts = mounts(std::slice::from_ref(layer), *idmapped, descriptors, user, work)?;
            Ok((String::new(), mounts.into_iter().next()))
        }
        Request::Overlay { image, layers, idmapped } => {
            let lowers = mounts(layers, *idmapped, descriptors, user, work)?;
            Ok((String::new(), Some(work.overlay(image, &lowers)?)))
        }
    }
}

/// Mounts of the layers. All that was handed over is looked at before the first is made.
fn mounts(
    layers: &[Layer<'_>],
    idmapped: bool,
    mut descriptors: Vec<OwnedFd>,
    user: u32,
    work: &mut impl Work,
) -> Result<Vec<DetachedMount>, Refusal> {
    let map = if idmapped { descriptors.pop() } else { None };
    if let Some(map) = &map {
        let owner = work.owner(map)?;
        if user != SUPERUSER && owner != user {
            return Err(refused(Errno::PERM, Step::Namespace, "the user namespace is another user's"));
        }
    }
    let mut descriptors = descriptors.into_iter();
    let mut files = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let taken = Files::take(layer, &mut descriptors).map_err(about(number))?;
        taken.check(layer).map_err(about(number))?;
        files.push(taken);
    }
    work.count(layers.len())?;
    let numbered = layers.iter().zip(&files).enumerate();
    numbered
        .map(|(number, (layer, files))| work.mount(layer, files, map.as_ref()).map_err(about(number)))
        .collect()
}

#[cfg(test)]
mod tests;
