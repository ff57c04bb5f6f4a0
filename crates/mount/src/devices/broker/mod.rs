//! Devices and mounts of the broker's: of a process that may make them, for one that may not.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealpack_format::ObjectId;
use sealpack_format::broker::{
    ANSWER_BYTES, Answer, Layer, REQUEST_MAX_BYTES, Refusal, Request, SOCKET, Step, Tree,
};
use sealpack_kernel::capabilities::CapabilitySet;
use sealpack_kernel::dm::DeviceName;
use sealpack_kernel::mount::DetachedMount;
use sealpack_kernel::packets::Connection;
use sealpack_kernel::{Errno, Kernel};

use super::signatures::{Tried, first_accepted, is_of_load};
use super::{DOING, Files};
use crate::error::Error;
use crate::plan::{Device, Signature};

/// How long an answer may take: longer than the broker takes for a request at most.
const PATIENCE: Duration = Duration::from_secs(100);

/// How many mounts are asked for before the first answer is read: neither end waits for the other to read then.
const AHEAD_MAX: usize = 16;

/// Where the broker is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    socket: PathBuf,
}

impl Default for Broker {
    /// Where it listens on every host that has one.
    fn default() -> Self {
        Self::at(SOCKET)
    }
}

impl Broker {
    /// A broker that listens elsewhere.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its version, `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Broker`].
    pub fn version(&self, kernel: &Kernel) -> Result<Option<String>, Error> {
        let Some(client) = self.connect(kernel)? else { return Ok(None) };
        client.ask("its version", &Request::Version, &[]).map(|(text, _)| Some(text))
    }

    /// Has it replace the active policy by a higher version of it: PKCS#7 in DER with the policy in it. Answers `false`
    /// where there is no broker.
    ///
    /// # Errors
    /// As [`Ipe::update`](sealpack_kernel::ipe::Ipe::update) in [`Error::Call`]; `EOPNOTSUPP` where no policy was active
    /// when the broker began; [`Error::Broker`] when it is not the superuser who asks.
    pub fn update_policy(&self, kernel: &Kernel, signed: &[u8]) -> Result<bool, Error> {
        let Some(client) = self.connect(kernel)? else { return Ok(false) };
        client.ask("an update of the policy", &Request::Update { signed }, &[]).map(|_| true)
    }

    /// A connection, `None` where nobody listens whom this process may connect to.
    pub(crate) fn connect<'k>(&self, kernel: &'k Kernel) -> Result<Option<Client<'k>>, Error> {
        let failed = |error| Error::call("asking the broker", error);
        match kernel.connect_to(&self.socket) {
            Ok(connection) => {
                kernel.limit_waiting(&connection, PATIENCE).map_err(failed)?;
                kernel.make_room(&connection, REQUEST_MAX_BYTES).map_err(failed)?;
                Ok(Some(Client { kernel, connection }))
            }
            Err(error) => match error.errno() {
                Errno::NOENT | Errno::NOTDIR | Errno::CONNREFUSED | Errno::ACCESS | Errno::PERM => Ok(None),
                _ => Err(failed(error)),
            },
        }
    }
}

/// A connection to the broker.
pub(crate) struct Client<'k> {
    kernel: &'k Kernel,
    connection: Connection,
}

/// A mount of a device, and the device's name; in words why it cannot be signed.
pub(crate) type Handed = Result<(DetachedMount, DeviceName), String>;

/// Why a mount was refused, and of which of the devices, by its place among them, that was.
type Refused = (Error, Option<usize>);

/// A device that is to be in an overlay.
#[derive(Clone, Copy)]
pub(crate) struct Lowered<'p> {
    /// What messages call it.
    pub(crate) what: &'p str,
    /// The file that its data are in, for messages.
    pub(crate) path: &'p Path,
    pub(crate) device: &'p Device,
    pub(crate) files: Files<'p>,
}

impl Client<'_> {
    /// Mounts what is on each of these signed devices, attached nowhere, and answers with the devices' names too; in words
    /// why one of them cannot be signed.
    ///
    /// # Errors
    /// As [`Verity::activate`](super::Verity::activate), and what the broker refuses.
    pub(crate) fn mounts(&self, lowers: &[Lowered<'_>]) -> Result<Vec<Handed>, Error> {
        let mut answers = self.first_answers(lowers)?.into_iter();
        let mount = |lower: &Lowered<'_>| {
            let first = if lower.device.signatures.is_empty() { None } else { answers.next() };
            self.mount(lower, first)
        };
        lowers.iter().map(mount).collect()
    }

    /// Asks for all devices that have signatures, each with its first one, without waiting for each answer: so that the
    /// broker goes from one to the next without this process between.
    fn first_answers(&self, lowers: &[Lowered<'_>]) -> Result<Vec<Result<DetachedMount, Refused>>, Error> {
        let mut answers = Vec::new();
        let mut asked: Vec<&Lowered<'_>> = Vec::new();
        for lower in lowers {
            let Some(signature) = lower.device.signatures.first() else { continue };
            if let Some(lower) = asked.len().checked_sub(AHEAD_MAX).and_then(|waiting| asked.get(waiting)) {
                self.next_answer(lower, &mut answers)?;
            }
            self.ask_for_one(lower, signature)?;
            asked.push(lower);
        }
        for lower in asked.into_iter().skip(answers.len()) {
            self.next_answer(lower, &mut answers)?;
        }
        Ok(answers)
    }

    /// Reads one more answer. Where none comes, the error is why the broker refused one before and closed the connection;
    /// a signature that was not accepted is no reason for that.
    fn next_answer(
        &self,
        lower: &Lowered<'_>,
        answers: &mut Vec<Result<DetachedMount, Refused>>,
    ) -> Result<(), Error> {
        let is_of_signature = |error: &Error| matches!(error, Error::Call { error, .. } if is_of_load(error));
        match self.mount_answer(&[lower]) {
            Ok(answer) => answers.push(answer),
            Err(lost) => {
                let refusals = answers.drain(..).filter_map(Result::err).map(|(error, _)| error);
                return Err(refusals.into_iter().find(|error| !is_of_signature(error)).unwrap_or(lost));
            }
        }
        Ok(())
    }

    /// As [`mounts`](Self::mounts), of one; `first` is what came of the first signature.
    fn mount(
        &self,
        lower: &Lowered<'_>,
        mut first: Option<Result<DetachedMount, Refused>>,
    ) -> Result<Handed, Error> {
        let Lowered { what, device, .. } = *lower;
        let mounted = first_accepted(self.kernel, what, device, |signature| {
            let answer = match first.take() {
                Some(answer) => answer,
                None => {
                    self.ask_for_one(lower, signature)?;
                    self.mount_answer(&[lower])?
                }
            };
            answer.map_err(|(error, _)| error)
        })?;
        Ok(mounted.map(|mount| {
            let name = self.name_of(&mount).unwrap_or_else(|| device.name(true, 1));
            (mount, name)
        }))
    }

    fn ask_for_one(&self, lower: &Lowered<'_>, signature: &Signature) -> Result<(), Error> {
        let request = Request::Mount { layer: layer(lower, signature), idmapped: false };
        self.send(&request, &descriptors(&[lower], None))
    }

    /// Mounts the overlay of these, the metadata image's first, attached nowhere; in words why one of them cannot be signed.
    /// Owners are mapped by the user namespace of this process, unless that is the first one.
    ///
    /// # Errors
    /// As [`mount`](Self::mount).
    pub(crate) fn overlay(
        &self,
        image: &ObjectId,
        lowers: &[Lowered<'_>],
    ) -> Result<Result<DetachedMount, String>, Error> {
        let lowers: Vec<&Lowered<'_>> = lowers.iter().collect();
        let map = own_map(self.kernel)?;
        let descriptors = descriptors(&lowers, map.as_ref());
        let mut tried: Vec<_> =
            lowers.iter().map(|lower| (Tried::new(lower.what, lower.device), 0)).collect();
        loop {
            let mut layers = Vec::new();
            for (lower, (tried, next)) in lowers.iter().zip(&mut tried) {
                match lower.device.signatures.get(*next) {
                    Some(signature) => layers.push(layer(lower, signature)),
                    None => return tried.none_accepted().map(Err),
                }
            }
            let request = Request::Overlay { image: *image, layers, idmapped: map.is_some() };
            self.send(&request, &descriptors)?;
            let (error, number) = match self.mount_answer(&lowers)? {
                Ok(mount) => return Ok(Ok(mount)),
                Err(refused) => refused,
            };
            // Another signature of the same device, if there is one.
            let refused = number.and_then(|number| Some((lowers.get(number)?, tried.get_mut(number)?)));
            let Some((lower, (tried, next))) = refused else { return Err(error) };
            let Some(signature) = lower.device.signatures.get(*next) else { return Err(error) };
            *next += 1;
            if let Err(why) = tried.refused(self.kernel, signature, error)? {
                return Ok(Err(why));
            }
        }
    }

    /// What comes of a mount of `lowers` that was asked for; what is refused, and of which of them.
    fn mount_answer(&self, lowers: &[&Lowered<'_>]) -> Result<Result<DetachedMount, Refused>, Error> {
        let asked = |layer: Option<usize>| match layer.and_then(|number| lowers.get(number)) {
            Some(lower) => format!("a mount of {}, root hash {}", lower.what, lower.device.root_hash),
            None => "a mount".to_owned(),
        };
        match self.answer()? {
            (Answer::Done(_), Some(mount)) => Ok(Ok(DetachedMount::from(mount))),
            (Answer::Done(_), None) => Err(no_answer("it sent no mount")),
            (Answer::Refused(refusal), _) => {
                let layer = refusal.layer.map(usize::from).or((lowers.len() == 1).then_some(0));
                let error = error_of(&refusal, asked(layer));
                let corrupted = refusal.step == Step::Mount && refusal.errno == Errno::IO.raw_os_error();
                let error = match (error, layer.and_then(|number| lowers.get(number))) {
                    (Error::Call { error, .. }, Some(lower)) if corrupted => {
                        let what =
                            if lower.device.tree.is_some() { "the metadata image" } else { "the pack" };
                        Error::Corrupted { what, path: lower.path.to_owned(), error }
                    }
                    (error, _) => error,
                };
                Ok(Err((error, layer)))
            }
        }
    }

    /// Asks for something, and answers with the text of the answer.
    fn ask(
        &self,
        what: &str,
        request: &Request<'_>,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(String, Option<OwnedFd>), Error> {
        self.send(request, descriptors)?;
        match self.answer()? {
            (Answer::Done(text), descriptor) => Ok((text, descriptor)),
            (Answer::Refused(refusal), _) => Err(error_of(&refusal, what.to_owned())),
        }
    }

    fn send(&self, request: &Request<'_>, descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let message = request.to_bytes().map_err(|error| Error::NotForBroker { error })?;
        match self.kernel.send(&self.connection, &message, descriptors) {
            // It may have refused this connection, and said so, before it was asked.
            Err(error) if error.errno() == Errno::PIPE => Ok(()),
            result => result.map_err(|error| Error::Call { doing: "asking the broker", error }),
        }
    }

    fn answer(&self) -> Result<(Answer, Option<OwnedFd>), Error> {
        // One more, so that an answer that is too long is none.
        let mut buffer = [0; ANSWER_BYTES + 1];
        let mut packet = self.kernel.receive(&self.connection, &mut buffer);
        if packet.as_ref().is_err_and(|error| error.errno() == Errno::CONNRESET) {
            // It closed the connection before it had read all. What it said before comes now.
            packet = self.kernel.receive(&self.connection, &mut buffer);
        }
        let packet = packet.map_err(|error| Error::Call { doing: "asking the broker", error })?;
        let bytes = buffer.get(..packet.length).unwrap_or_default();
        if bytes.is_empty() {
            return Err(no_answer("it closed the connection"));
        }
        let answer = Answer::parse(bytes).map_err(|error| no_answer(&error.to_string()))?;
        Ok((answer, packet.descriptors.into_iter().next()))
    }

    /// The name of the device that a mount is of, as the kernel shows it to everybody.
    fn name_of(&self, mount: &DetachedMount) -> Option<DeviceName> {
        let number = self.kernel.device_of_mount(mount).ok()?;
        let name = std::fs::read_to_string(format!("/sys/dev/block/{number}/dm/name")).ok()?;
        name.trim_end().parse().ok()
    }
}

/// Whether this process can make overlays of what the broker mounts: it may on the whole machine, and only devices are
/// refused to it.
pub(crate) fn makes_overlays(kernel: &Kernel) -> Result<bool, Error> {
    let failed = |error| Error::Call { doing: "looking at what this process may", error };
    let may = kernel.effective_capabilities().map_err(failed)?.contains(CapabilitySet::SYS_ADMIN);
    Ok(may && kernel.is_in_first_user_namespace().map_err(failed)?)
}

/// The user namespace by which owners are mapped.
fn own_map(kernel: &Kernel) -> Result<Option<OwnedFd>, Error> {
    let failed = |error| Error::Call { doing: "opening the user namespace", error };
    match kernel.is_in_first_user_namespace().map_err(failed)? {
        true => Ok(None),
        false => kernel.own_user_namespace().map(Some).map_err(failed),
    }
}

fn layer<'p>(lower: &Lowered<'p>, signature: &'p Signature) -> Layer<'p> {
    let Device { root_hash, data_blocks, .. } = *lower.device;
    let tree = if lower.files.tree.is_some() { Tree::Apart } else { Tree::Behind };
    Layer { root_hash, data_blocks, tree, signature: &signature.der }
}

fn descriptors<'f>(lowers: &[&Lowered<'f>], map: Option<&'f OwnedFd>) -> Vec<BorrowedFd<'f>> {
    let files = lowers.iter().flat_map(|lower| [Some(lower.files.data), lower.files.tree]);
    files.flatten().map(File::as_fd).chain(map.map(AsFd::as_fd)).collect()
}

/// A refusal as the error of a call, which tells what the kernel was asked for; what the broker itself refuses as such.
fn error_of(refusal: &Refusal, asked: String) -> Error {
    let Refusal { errno, step, text, .. } = refusal;
    let errno = Errno::from_raw_os_error(*errno);
    let told = |asked| sealpack_kernel::Error::told("broker", asked, errno, text);
    match step {
        Step::Request | Step::Limit | Step::Files | Step::Namespace => {
            Error::Broker { error: told(format!("{asked}, {step}")) }
        }
        // The signature's, which has meanings of its own.
        Step::Table => Error::Call { doing: DOING, error: told(format!("{asked}, DM_TABLE_LOAD")).of_load() },
        Step::Loop | Step::Device => Error::Call { doing: DOING, error: told(format!("{asked}, {step}")) },
        Step::Mount => Error::Call { doing: "mounting a device", error: told(asked) },
        Step::Overlay => Error::Call { doing: "mounting the overlay", error: told(asked) },
        Step::Policy => Error::Call { doing: "updating the policy", error: told(asked).of_update() },
    }
}

fn no_answer(why: &str) -> Error {
    let error = sealpack_kernel::Error::told("broker", "no answer".to_owned(), Errno::PROTO, why);
    Error::Broker { error }
}

#[cfg(test)]
mod tests;
