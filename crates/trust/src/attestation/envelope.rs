//! DSSE envelopes, and the bundles that they travel in.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::AttestationError;
use super::error::shortened;

/// The largest envelope or bundle, in bytes: lists of what is in a large image have some megabytes.
pub const ENVELOPE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The most signatures of an envelope.
pub const SIGNATURES_MAX: usize = 16;

/// The longest signature, in bytes: RSA with 4096 bits has 512.
const SIGNATURE_MAX_BYTES: usize = 1024;

/// Both alphabets have to be taken (`envelope.md`), with or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A payload with signatures, none of which is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Vec<u8>>,
}

/// A field that is there twice is refused: two readers could take two for the one.
#[derive(Deserialize)]
struct EnvelopeJson {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<SignatureJson>,
}

#[derive(Deserialize)]
struct SignatureJson {
    sig: String,
}

#[derive(Deserialize)]
struct BundleJson {
    #[serde(rename = "mediaType")]
    media_type: String,
    #[serde(rename = "dsseEnvelope")]
    envelope: Option<EnvelopeJson>,
}

impl Envelope {
    /// Reads an envelope that stands alone.
    ///
    /// # Errors
    /// More bytes or signatures than there may be, no such JSON, or no base64 in it.
    pub fn parse(json: &[u8]) -> Result<Self, AttestationError> {
        Self::of_json(read(json, "DSSE envelope")?)
    }

    /// Reads a Sigstore bundle of version 0.3. What it says of certificates and logs does not count: keys that are known do.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); another version, or a bundle of something else than an envelope.
    pub fn parse_bundle(json: &[u8]) -> Result<Self, AttestationError> {
        let bundle: BundleJson = read(json, "Sigstore bundle")?;
        if bundle.media_type != super::BUNDLE_MEDIA_TYPE {
            return Err(AttestationError::Bundle { found: shortened(&bundle.media_type) });
        }
        Self::of_json(bundle.envelope.ok_or(AttestationError::NoEnvelope)?)
    }

    fn of_json(json: EnvelopeJson) -> Result<Self, AttestationError> {
        let EnvelopeJson { payload_type, payload, signatures } = json;
        if signatures.len() > SIGNATURES_MAX {
            return Err(AttestationError::TooManySignatures { number: signatures.len() });
        }
        let signature = |signature: &SignatureJson| match decoded(&signature.sig, "a signature")? {
            bytes if bytes.len() > SIGNATURE_MAX_BYTES => Err(AttestationError::Malformed {
                what: "DSSE envelope",
                problem: format!("a signature of {} bytes", bytes.len()),
            }),
            bytes => Ok(bytes),
        };
        let signatures = signatures.iter().map(signature).collect::<Result<_, _>>()?;
        Ok(Self { payload_type, payload: decoded(&payload, "the payload")?, signatures })
    }

    /// What the payload is.
    #[must_use]
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The payload, which is **not** verified.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures.
    #[must_use]
    pub fn signatures(&self) -> &[Vec<u8>] {
        &self.signatures
    }

    /// What signatures are over: the type and the payload, each with its length (`protocol.md`, "PAE").
    #[must_use]
    pub fn to_be_signed(&self) -> Vec<u8> {
        let Self { payload_type, payload, .. } = self;
        let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
        [head.as_bytes(), payload].concat()
    }
}

fn read<'de, T: Deserialize<'de>>(json: &'de [u8], what: &'static str) -> Result<T, AttestationError> {
    if json.len() > ENVELOPE_MAX_BYTES {
        return Err(AttestationError::TooLarge { size_bytes: json.len() });
    }
    serde_json::from_slice(json)
        .map_err(|error| AttestationError::Malformed { what, problem: error.to_string() })
}

fn decoded(text: &str, what: &'static str) -> Result<Vec<u8>, AttestationError> {
    let is_url_safe = text.contains(['-', '_']);
    let bytes = if is_url_safe { URL_SAFE.decode(text) } else { STANDARD.decode(text) };
    bytes.map_err(|error| AttestationError::Malformed {
        what: "DSSE envelope",
        problem: format!("{what} is no base64: {error}"),
    })
}
