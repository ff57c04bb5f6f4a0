//! The UKIs on the ESP of a sealed host, and which one comes when.

use sealpack_host::esp::{Boots, Entry, NextBy};
use sealpack_host::uki::UkiFile;
use sealpack_trust::key::Certificate;
use serde_json::{Value, json};

use super::parts;

/// What is on the ESP; in words, why that is not known.
pub(crate) type Seen = Result<Boots, String>;

/// For machines.
pub(crate) fn json_of(seen: &Seen) -> Value {
    let boots = seen.as_ref().ok();
    let file = |entry: Option<&Entry>| entry.map(|entry| entry.file_name.clone());
    json!({
        "entries": boots.map(|boots| boots.entries.iter().map(entry_json).collect::<Vec<_>>()).unwrap_or_default(),
        "running": boots.and_then(|boots| file(boots.running())),
        "next": boots.and_then(|boots| file(boots.next())),
        "next_by": boots.filter(|boots| boots.next.is_some()).map(|boots| word(boots.next_by)),
        "fallback": boots.and_then(|boots| file(boots.fallback())),
        "falls_back": boots.is_some_and(Boots::falls_back),
        "problem": seen.as_ref().err(),
    })
}

const fn word(by: NextBy) -> &'static str {
    match by {
        NextBy::Order => "order",
        NextBy::OneShot => "one_shot",
        NextBy::Variable => "variable",
        NextBy::Configuration => "configuration",
    }
}

fn entry_json(entry: &Entry) -> Value {
    let (uki, counter) = (entry.uki.as_ref().ok(), entry.name.counter);
    let boot = uki.map(|uki| uki.command_line.boot());
    let signers: Vec<&str> =
        uki.map(|uki| uki.signers.iter().map(Certificate::subject).collect()).unwrap_or_default();
    json!({
        "file": entry.file_name,
        "size_bytes": entry.size_bytes,
        "tries_left": counter.map(|counter| counter.left),
        "tries_done": counter.map(|counter| counter.done.unwrap_or(0)),
        "epoch": uki.and_then(UkiFile::epoch),
        "metadata_image": boot.map(|boot| parts::metadata_image(&boot.image, None)),
        "root_hash": boot.map(|boot| boot.root_hash),
        "kernel": uki.and_then(|uki| uki.kernel.clone()),
        "signers": signers,
        "problem": entry.uki.as_ref().err().map(ToString::to_string),
    })
}

/// For people, in a line each.
pub(crate) fn lines(seen: &Seen) -> Vec<(&'static str, String)> {
    let boots = match seen {
        Ok(boots) => boots,
        Err(why) => return vec![("next", format!("not known: {why}"))],
    };
    let by = match boots.next_by {
        NextBy::Order => "",
        NextBy::OneShot => ", once, by LoaderEntryOneShot",
        NextBy::Variable => ", by LoaderEntryDefault",
        NextBy::Configuration => ", by loader.conf",
    };
    let next = boots.next().map_or_else(|| "no UKI is on the ESP".to_owned(), |next| text_of(next) + by);
    let fallback = match (boots.fallback(), boots.falls_back()) {
        (None, _) => "none".to_owned(),
        (Some(entry), true) => text_of(entry),
        (Some(entry), false) => format!("{}; by `sealpack host rollback` only", text_of(entry)),
    };
    vec![("next", next), ("fallback", fallback)]
}

fn text_of(entry: &Entry) -> String {
    let epoch = entry.uki.as_ref().ok().and_then(UkiFile::epoch);
    let epoch = epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    let tries = match entry.name.counter {
        None => String::new(),
        Some(counter) if counter.left == 1 => ", 1 try left".to_owned(),
        Some(counter) => format!(", {} tries left", counter.left),
    };
    format!("{}{epoch}{tries}", entry.file_name)
}

#[cfg(test)]
mod tests {
    use sealpack_format::boot::{BootParameters, CommandLine};
    use sealpack_format::{ObjectId, RootHash};
    use sealpack_host::esp::{Esp, Facts, Filesystem};
    use sealpack_tests::host_image::program;

    use super::*;

    fn uki(image: u8) -> Vec<u8> {
        let boot = BootParameters::new(ObjectId::sha256([image; 32]), RootHash::new([image; 32]));
        let line = CommandLine::new(boot, []).expect("a command line").to_string();
        let release = format!("IMAGE_ID=host\nIMAGE_VERSION={image}\n");
        program(&[
            (".osrel", release.as_bytes()),
            (".cmdline", line.as_bytes()),
            (".uname", b"6.12.1"),
            (".initrd", b"i"),
            (".linux", b"l"),
        ])
    }

    fn seen(files: &[(&str, Vec<u8>)]) -> Boots {
        let place = tempfile::tempdir().expect("a directory");
        let looked = Filesystem::look(place.path()).expect("a filesystem");
        let esp = Esp::open(place.path(), Filesystem { is_mounted: true, is_fat: true, ..looked });
        let esp = esp.expect("an ESP");
        for (file, bytes) in files {
            std::fs::write(esp.path_of(file), bytes).expect("it can be written");
        }
        let booted = Some(BootParameters::new(ObjectId::sha256([1; 32]), RootHash::new([1; 32])));
        Boots::of(esp.entries().expect("entries"), &Facts { booted, ..Facts::default() })
    }

    #[test]
    fn what_comes_next_and_what_after_it_is_told_with_the_tries() {
        let boots =
            seen(&[("sealed_1.efi", uki(1)), ("sealed_2+2-1.efi", uki(2)), ("text.efi", b"text".to_vec())]);
        let told = lines(&Ok(boots.clone()));
        let expected =
            [("next", "sealed_2+2-1.efi, epoch 2, 2 tries left"), ("fallback", "sealed_1.efi, epoch 1")];
        assert_eq!(told, expected.map(|(what, text)| (what, text.to_owned())));
        let json = json_of(&Ok(boots));
        assert_eq!(json["running"], "sealed_1.efi");
        assert_eq!((&json["next_by"], &json["falls_back"]), (&json!("order"), &json!(true)));
        let next = &json["entries"][0];
        assert_eq!((&next["tries_left"], &next["tries_done"]), (&json!(2), &json!(1)));
        assert_eq!((&next["kernel"], &next["epoch"]), (&json!("6.12.1"), &json!(2)));
        let schema: Value = serde_json::from_str(include_str!("../../../../docs/json.schema.json"))
            .expect("the schema is JSON");
        let entries = &schema["$defs"]["sealed_host"]["properties"]["boots"]["properties"]["entries"];
        let names =
            |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
        assert_eq!(names(next), names(&entries["items"]["properties"]));
        let other = json["entries"][2]["problem"].as_str().expect("a problem");
        assert!(other.contains("begin with MZ"), "{other}");
    }

    #[test]
    fn what_nothing_falls_back_to_by_itself_is_told_so() {
        let told = lines(&Ok(seen(&[("sealed_1.efi", uki(1)), ("sealed_2.efi", uki(2))])));
        assert_eq!(told[1].1, "sealed_1.efi, epoch 1; by `sealpack host rollback` only");
        let told = lines(&Err("no EFI system partition is mounted at /efi".to_owned()));
        assert_eq!(told, [("next", "not known: no EFI system partition is mounted at /efi".to_owned())]);
        assert_eq!(lines(&Ok(seen(&[])))[0].1, "no UKI is on the ESP");
    }
}
