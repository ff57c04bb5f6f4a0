//! What the broker can be asked for.

use super::bytes::{Fields, expect};
use super::{
    DATA_BLOCKS_MAX, LAYERS_MAX, LAYERS_MIN, MAGIC, MessageError, REQUEST_MAX_BYTES, SIGNATURE_BYTES,
};
use crate::digest::{Algorithm, ObjectId, RootHash};

const MOUNT: u8 = b'M';
const OVERLAY: u8 = b'O';
const UPDATE: u8 = b'P';
const VERSION: u8 = b'V';

/// The flag of an idmapped mount; there is no other.
const IDMAPPED: u8 = 1;

/// Room for the longest digest.
const DIGEST_BYTES: usize = 64;

/// Bytes before the layers, and of each of them without its signature.
const HEADER_BYTES: usize = 8;
const IMAGE_BYTES: usize = 4 + DIGEST_BYTES;
const LAYER_BYTES: usize = 48;

/// Something that the broker can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// A mount of the EROFS filesystem on one device.
    Mount {
        /// The device.
        layer: Layer<'a>,
        /// Whether owners are mapped by the user namespace that is the last descriptor.
        idmapped: bool,
    },
    /// A mount of the overlay of a metadata image and packs.
    Overlay {
        /// What the mount is to say it is of. Nobody checks it: it is whoever asks that says so.
        image: ObjectId,
        /// The devices, the metadata image's first; 2 to 61 of them.
        layers: Vec<Layer<'a>>,
        /// Whether owners are mapped by the user namespace that is the last descriptor.
        idmapped: bool,
    },
    /// That the active policy is replaced by a higher version of it.
    Update {
        /// PKCS#7 in DER with the policy in it.
        signed: &'a [u8],
    },
    /// Which version the broker is of.
    Version,
}

/// A device that is to be activated, or shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer<'a> {
    /// What everything on it hashes to.
    pub root_hash: RootHash,
    /// How many blocks of 4096 bytes it has.
    pub data_blocks: u64,
    /// Where its hash area is.
    pub tree: Tree,
    /// A signature of the root hash, detached PKCS#7 in DER.
    pub signature: &'a [u8],
}

/// Where the hash area of a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// Behind the data, in the same file.
    Behind,
    /// In a file of its own.
    Apart,
}

impl Tree {
    /// How many descriptors the device is of.
    #[must_use]
    pub const fn descriptors(self) -> usize {
        match self {
            Self::Behind => 1,
            Self::Apart => 2,
        }
    }
}

impl<'a> Request<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// Anything that is not exactly one request.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MessageError> {
        if bytes.len() > REQUEST_MAX_BYTES {
            return Err(MessageError::TooLong { bytes: bytes.len() });
        }
        let mut fields = Fields::new(bytes);
        let magic = fields.array::<4>("the magic")?;
        expect("the magic", u32::from_le_bytes(magic), u32::from_le_bytes(MAGIC))?;
        let (op, flags, count) =
            (fields.u8("the operation")?, fields.u8("the flags")?, fields.u16("the count")?);
        let request = match op {
            MOUNT => {
                expect("the count of layers", count, 1_u16)?;
                let [layer] = <[Layer<'_>; 1]>::try_from(layers(&mut fields, 1)?)
                    .map_err(|layers| MessageError::Layers { count: layers.len() })?;
                Self::Mount { layer, idmapped: is_idmapped(flags)? }
            }
            OVERLAY => {
                let count = usize::from(count);
                check_count(count)?;
                let image = image(&mut fields)?;
                Self::Overlay { image, layers: layers(&mut fields, count)?, idmapped: is_idmapped(flags)? }
            }
            UPDATE | VERSION => {
                expect("the flags", flags, 0_u8)?;
                expect("the count of layers", count, 0_u16)?;
                match op {
                    UPDATE => Self::Update { signed: signed(fields.rest())? },
                    _ => Self::Version,
                }
            }
            _ => return Err(MessageError::Field { field: "the operation", value: op.into() }),
        };
        fields.end()?;
        Ok(request)
    }

    /// Writes the message.
    ///
    /// # Errors
    /// More layers, blocks or bytes than a request can have.
    pub fn to_bytes(&self) -> Result<Vec<u8>, MessageError> {
        let (op, idmapped, layers) = match self {
            Self::Mount { layer, idmapped } => (MOUNT, *idmapped, std::slice::from_ref(layer)),
            Self::Overlay { layers, idmapped, .. } => {
                check_count(layers.len())?;
                (OVERLAY, *idmapped, layers.as_slice())
            }
            Self::Update { .. } => (UPDATE, false, &[][..]),
            Self::Version => (VERSION, false, &[][..]),
        };
        let count = u16::try_from(layers.len()).map_err(|_| MessageError::Layers { count: layers.len() })?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend([op, u8::from(idmapped)]);
        bytes.extend(count.to_le_bytes());
        if let Self::Overlay { image, .. } = self {
            write_image(&mut bytes, image);
        }
        for layer in layers {
            layer.write(&mut bytes)?;
        }
        for layer in layers {
            bytes.extend(layer.signature);
        }
        if let Self::Update { signed } = self {
            bytes.extend(self::signed(signed)?);
        }
        match bytes.len() {
            0..=REQUEST_MAX_BYTES => Ok(bytes),
            bytes => Err(MessageError::TooLong { bytes }),
        }
    }

    /// How many descriptors have to come with it: of each layer the data's and the tree's, if that is apart, and
    /// last the user namespace's, if there is one.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let (layers, idmapped) = match self {
            Self::Mount { layer, idmapped } => (std::slice::from_ref(layer), *idmapped),
            Self::Overlay { layers, idmapped, .. } => (layers.as_slice(), *idmapped),
            Self::Update { .. } | Self::Version => return 0,
        };
        let of_layers: usize = layers.iter().map(|layer| layer.tree.descriptors()).sum();
        of_layers.saturating_add(usize::from(idmapped))
    }

    /// The letter of the operation, for messages.
    #[must_use]
    pub const fn letter(&self) -> char {
        match self {
            Self::Mount { .. } => 'M',
            Self::Overlay { .. } => 'O',
            Self::Update { .. } => 'P',
            Self::Version => 'V',
        }
    }
}

impl Layer<'_> {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), MessageError> {
        let signature_bytes = self.signature.len();
        check_signature(signature_bytes)?;
        check_blocks(self.data_blocks)?;
        let short = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
        bytes.extend(self.root_hash.as_bytes());
        bytes.extend(self.data_blocks.to_le_bytes());
        bytes.extend(short(signature_bytes));
        bytes.extend(short(self.tree.descriptors()));
        Ok(())
    }
}

/// The layers, and behind all of them their signatures.
fn layers<'a>(fields: &mut Fields<'a>, count: usize) -> Result<Vec<Layer<'a>>, MessageError> {
    const { assert!(HEADER_BYTES + IMAGE_BYTES + LAYERS_MAX * LAYER_BYTES < REQUEST_MAX_BYTES) };
    let mut layers = Vec::with_capacity(count.min(LAYERS_MAX));
    let mut lengths = Vec::with_capacity(count.min(LAYERS_MAX));
    for _ in 0..count {
        let root_hash = RootHash::new(fields.array("a root hash")?);
        let data_blocks = fields.u64("a number of blocks")?;
        let signature_bytes = usize::try_from(fields.u32("a signature's length")?).unwrap_or(usize::MAX);
        let tree = match fields.u32("a number of descriptors")? {
            1 => Tree::Behind,
            2 => Tree::Apart,
            other => {
                return Err(MessageError::Field { field: "a number of descriptors", value: other.into() });
            }
        };
        check_blocks(data_blocks)?;
        check_signature(signature_bytes)?;
        layers.push(Layer { root_hash, data_blocks, tree, signature: &[] });
        lengths.push(signature_bytes);
    }
    for (layer, length) in layers.iter_mut().zip(lengths) {
        layer.signature = fields.bytes("a signature", length)?;
    }
    Ok(layers)
}

/// The image's identity: the length of the digest, and room for the longest.
fn image(fields: &mut Fields<'_>) -> Result<ObjectId, MessageError> {
    const FIELD: &str = "the length of the image's digest";
    let length = fields.u32(FIELD)?;
    let bytes = fields.array::<DIGEST_BYTES>("the image's digest")?;
    let algorithm = match length {
        32 => Algorithm::Sha256,
        64 => Algorithm::Sha512,
        other => return Err(MessageError::Field { field: FIELD, value: other.into() }),
    };
    let (digest, padding) = bytes.split_at(algorithm.digest_bytes());
    for byte in padding {
        expect("a byte behind the image's digest", *byte, 0_u8)?;
    }
    ObjectId::from_slice(algorithm, digest).ok_or(MessageError::Field { field: FIELD, value: length.into() })
}

fn write_image(bytes: &mut Vec<u8>, image: &ObjectId) {
    let digest = image.as_bytes();
    bytes.extend(u32::try_from(digest.len()).unwrap_or(0).to_le_bytes());
    bytes.extend(digest);
    bytes.extend(std::iter::repeat_n(0, DIGEST_BYTES.saturating_sub(digest.len())));
}

const fn signed(bytes: &[u8]) -> Result<&[u8], MessageError> {
    if bytes.is_empty() { Err(MessageError::Short { field: "the policy" }) } else { Ok(bytes) }
}

fn is_idmapped(flags: u8) -> Result<bool, MessageError> {
    match flags {
        0 => Ok(false),
        IDMAPPED => Ok(true),
        _ => Err(MessageError::Field { field: "the flags", value: flags.into() }),
    }
}

fn check_count(count: usize) -> Result<(), MessageError> {
    if (LAYERS_MIN..=LAYERS_MAX).contains(&count) { Ok(()) } else { Err(MessageError::Layers { count }) }
}

fn check_signature(bytes: usize) -> Result<(), MessageError> {
    if SIGNATURE_BYTES.contains(&bytes) { Ok(()) } else { Err(MessageError::Signature { bytes }) }
}

fn check_blocks(blocks: u64) -> Result<(), MessageError> {
    if (1..=DATA_BLOCKS_MAX).contains(&blocks) { Ok(()) } else { Err(MessageError::DataBlocks { blocks }) }
}
