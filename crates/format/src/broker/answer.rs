//! What the broker answers.

use std::fmt;

use super::MessageError;
use super::bytes::{Fields, expect};

/// The length of every answer.
pub const ANSWER_BYTES: usize = 64;

/// Room for text.
pub const TEXT_MAX_BYTES: usize = 56;

/// The largest error number (`MAX_ERRNO`, include/linux/err.h).
const ERRNO_MAX: i32 = 4095;

/// In place of a layer where it is about none.
const NO_LAYER: u16 = u16::MAX;

/// What the broker answers. Where a mount was asked for, and made, its descriptor comes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done. The text is empty, or the version that was asked for.
    Done(String),
    /// It is not, and nothing was left.
    Refused(Refusal),
}

/// Why the broker did not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error number, 1 to 4095: the kernel's, or what the kernel would say to the like.
    pub errno: i32,
    /// What the broker was doing.
    pub step: Step,
    /// About which layer, from 0.
    pub layer: Option<u16>,
    /// What the kernel or the broker has to say about it, at most 56 bytes.
    pub text: String,
}

/// What the broker does for a request, in the order in which it does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It reads the message.
    Request,
    /// It counts what this user has of it already.
    Limit,
    /// It looks at the descriptors.
    Files,
    /// It looks at the user namespace.
    Namespace,
    /// It makes a loop device of a file.
    Loop,
    /// It makes a device, or looks whether the one there is can be shared.
    Device,
    /// It loads the table, where the kernel checks the signature.
    Table,
    /// It mounts what is on the device.
    Mount,
    /// It makes the overlay.
    Overlay,
    /// It gives a policy to the kernel.
    Policy,
}

impl Step {
    /// All, in their order, which is that of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Request,
        Self::Limit,
        Self::Files,
        Self::Namespace,
        Self::Loop,
        Self::Device,
        Self::Table,
        Self::Mount,
        Self::Overlay,
        Self::Policy,
    ];

    /// Its number in an answer, 1 to 10.
    const fn number(self) -> u16 {
        match self {
            Self::Request => 1,
            Self::Limit => 2,
            Self::Files => 3,
            Self::Namespace => 4,
            Self::Loop => 5,
            Self::Device => 6,
            Self::Table => 7,
            Self::Mount => 8,
            Self::Overlay => 9,
            Self::Policy => 10,
        }
    }

    fn of(number: u16) -> Result<Self, MessageError> {
        let step = Self::ALL.into_iter().find(|step| step.number() == number);
        step.ok_or(MessageError::Field { field: "the step", value: number.into() })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "reading the request",
            Self::Limit => "counting what this user has",
            Self::Files => "looking at the descriptors",
            Self::Namespace => "looking at the user namespace",
            Self::Loop => "attaching a loop device",
            Self::Device => "activating a dm-verity device",
            Self::Table => "loading the table of a dm-verity device",
            Self::Mount => "mounting a device",
            Self::Overlay => "mounting the overlay",
            Self::Policy => "updating the policy",
        })
    }
}

impl Answer {
    /// Reads a message.
    ///
    /// # Errors
    /// Anything that is not exactly one answer.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut fields = Fields::new(bytes);
        let errno = i32::from_le_bytes(fields.array("the error number")?);
        let (step, layer) = (fields.u16("the step")?, fields.u16("the layer")?);
        let text = text_of(fields.bytes("the text", TEXT_MAX_BYTES)?)?;
        fields.end()?;
        match errno {
            0 => {
                expect("the step of what was done", step, 0_u16)?;
                expect("the layer of what was done", layer, NO_LAYER)?;
                Ok(Self::Done(text))
            }
            1..=ERRNO_MAX => {
                let layer = (layer != NO_LAYER).then_some(layer);
                Ok(Self::Refused(Refusal { errno, step: Step::of(step)?, layer, text }))
            }
            _ => Err(MessageError::Field {
                field: "the error number",
                value: u64::from(errno.cast_unsigned()),
            }),
        }
    }

    /// Writes the message. Text is cut where it is too long, and what cannot be printed in it becomes a question mark;
    /// an error number that is none becomes `EIO`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ANSWER_BYTES] {
        const EIO: i32 = 5;
        let (errno, step, layer, text) = match self {
            Self::Done(text) => (0, 0, NO_LAYER, text),
            Self::Refused(refusal) => {
                let errno =
                    Some(refusal.errno).filter(|errno| (1..=ERRNO_MAX).contains(errno)).unwrap_or(EIO);
                (errno, refusal.step.number(), refusal.layer.unwrap_or(NO_LAYER), &refusal.text)
            }
        };
        let mut bytes = [0; ANSWER_BYTES];
        let fields = errno.to_le_bytes().into_iter().chain(step.to_le_bytes()).chain(layer.to_le_bytes());
        for (byte, value) in bytes.iter_mut().zip(fields.chain(printable(text))) {
            *byte = value;
        }
        bytes
    }
}

fn is_printable(character: char) -> bool {
    character == ' ' || character.is_ascii_graphic()
}

/// As much of a text as there is room for.
fn printable(text: &str) -> impl Iterator<Item = u8> {
    let shown = text.chars().map(|character| if is_printable(character) { character } else { '?' });
    shown.filter_map(|character| u8::try_from(character).ok()).take(TEXT_MAX_BYTES)
}

/// The text before the zero bytes.
fn text_of(bytes: &[u8]) -> Result<String, MessageError> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, behind) = bytes.split_at(end);
    let text = str::from_utf8(text).map_err(|_| MessageError::Text)?;
    let is_text = text.chars().all(is_printable) && behind.iter().all(|byte| *byte == 0);
    is_text.then(|| text.to_owned()).ok_or(MessageError::Text)
}
