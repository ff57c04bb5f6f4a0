//! What several documents have in common: the same thing has one name and one type in each of them. docs/json.md says
//! what they mean, docs/json.schema.json what they look like.

use std::path::Path;
use std::time::SystemTime;

use sealpack_format::ObjectId;
use sealpack_format::tree::Time;
use sealpack_store::{ImageRecord, LayerDescriptor, PackDescriptor, Staged};
use sealpack_trust::key::Certificate;
use sealpack_trust::seal::Seal;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// The version of all documents and lines: it changes when one of them loses or changes something.
pub(crate) const VERSION: u64 = 1;

/// An object with the fields of both; `more` wins.
pub(crate) fn with(mut value: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut value, more) {
        fields.extend(more);
    }
    value
}

/// A document, or a line on standard error, with its version.
pub(crate) fn versioned(value: Value) -> Value {
    with(value, json!({ "version": VERSION }))
}

/// A time in UTC as RFC 3339 writes it, with nanoseconds where there are some; nothing where its calendar does not
/// reach.
pub(crate) fn time(time: Time) -> Value {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(time.seconds) else { return Value::Null };
    if !(0..=9999).contains(&at.year()) {
        return Value::Null;
    }
    let fraction = match time.nanoseconds {
        0 => String::new(),
        nanoseconds => format!(".{nanoseconds:09}"),
    };
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z", u8::from(month)).into()
}

/// The same of a number of seconds since 1970.
pub(crate) fn time_of_seconds(seconds: u64) -> Value {
    i64::try_from(seconds).map_or(Value::Null, |seconds| time(Time { seconds, nanoseconds: 0 }))
}

/// The same of the system's time.
pub(crate) fn time_of_system(time: SystemTime) -> Value {
    time_of_seconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// A metadata image; its size where it is known.
pub(crate) fn metadata_image(id: &ObjectId, size_bytes: Option<u64>) -> Value {
    json!({ "algorithm": id.algorithm().name(), "fsverity_digest": id, "size_bytes": size_bytes })
}

/// What is recorded of an image under a name.
pub(crate) fn image(record: &ImageRecord) -> Value {
    json!({
        "name": record.name,
        "manifest": record.manifest,
        "config": record.config,
        "platform": record.platform,
        "metadata_image": metadata_image(&record.metadata_image, Some(record.metadata_image_size_bytes)),
        "kept_in": record.objects.name(),
        "pulled": time_of_seconds(record.pulled_unix_seconds),
    })
}

/// The number of the layer at this index, as people count them.
pub(crate) const fn layer_number(index: usize) -> usize {
    index + 1
}

/// The layer at this index.
pub(crate) fn layer(index: usize, layer: &LayerDescriptor, pack: Option<&PackDescriptor>) -> Value {
    json!({
        "number": layer_number(index),
        "diff_id": layer.diff_id,
        "blob": layer.blob,
        "blob_size_bytes": layer.blob_size_bytes,
        "pack": pack,
    })
}

/// What a store took, and what it had of that already.
pub(crate) fn staged(staged: &Staged) -> Value {
    json!({
        "added": {
            "packs": staged.packs,
            "pack_bytes": staged.pack_bytes,
            "objects": staged.objects,
            "object_bytes": staged.object_bytes,
        },
        "shared": { "packs": staged.existing_packs, "objects": staged.existing_objects },
        "replaced_packs": staged.replaced_packs,
        "replaced_objects": staged.replaced,
    })
}

/// A number of things, and their size together where that is known.
pub(crate) fn tally(count: u64, size_bytes: Option<u64>) -> Value {
    json!({ "count": count, "size_bytes": size_bytes })
}

/// What a seal says, and whose certificates its signatures name. Whether they count is another question.
pub(crate) fn seal(seal: &Seal) -> Value {
    let statement = seal.statement();
    json!({
        "names": statement.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "epoch": statement.epoch(),
        "created": statement.created().to_string(),
        "signers": seal.signers(),
        "root_hash_signers": seal.root_hash_signers(),
        "problem": null,
    })
}

/// A seal that cannot be used.
pub(crate) fn broken_seal(problem: &str) -> Value {
    json!({
        "names": [],
        "epoch": null,
        "created": null,
        "signers": [],
        "root_hash_signers": [],
        "problem": problem,
    })
}

/// Something that is wrong with a file of a store.
pub(crate) fn problem(
    kind: &str,
    path: &Path,
    what: &str,
    needed_by: &[String],
    quarantined: Option<&Path>,
) -> Value {
    json!({ "kind": kind, "path": path, "what": what, "needed_by": needed_by, "quarantined": quarantined })
}

/// A certificate.
pub(crate) fn certificate(certificate: &Certificate) -> Value {
    let validity = certificate.validity();
    json!({
        "type": certificate.public_key().kind().to_string(),
        "subject": certificate.subject(),
        "issuer": certificate.issuer(),
        "self_signed": certificate.is_self_signed(),
        "serial": certificate.serial_hex(),
        "subject_key_id": certificate.subject_key_id().map(ToString::to_string),
        "not_before": time_of_system(validity.not_before()),
        "not_after": time_of_system(validity.not_after()),
        "key_usage": certificate.key_usages(),
        "extended_key_usage": certificate.extended_key_usages(),
        "authority": certificate.is_authority(),
        "kernel_problem": certificate.check_kernel().err().map(|error| error.to_string()),
        "sha256": certificate.fingerprint().to_string(),
        "public_key_sha256": certificate.public_key().fingerprint().to_string(),
    })
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path in an image as `path`, and with its bytes as `path_hex` where it is not UTF-8.
pub(crate) fn path(path: &[u8]) -> Value {
    let mut value = json!({ "path": String::from_utf8_lossy(path) });
    if str::from_utf8(path).is_err() {
        value["path_hex"] = hex(path).into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_nanoseconds_only_where_there_are_some() {
        let at = |seconds, nanoseconds| time(Time { seconds, nanoseconds });
        assert_eq!(at(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(at(-1, 5), "1969-12-31T23:59:59.000000005Z");
        assert_eq!(at(1_795_804_495, 0), "2026-11-27T18:34:55Z");
        assert_eq!(at(i64::MAX, 0), Value::Null);
        assert_eq!(at(-100_000_000_000, 0), Value::Null);
        assert_eq!(time_of_seconds(u64::MAX), Value::Null);
    }
}
