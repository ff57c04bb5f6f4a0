//! What is mounted on the machine.

use sealpack_format::tree::Time;
use sealpack_node::mounts::MountOf;
use sealpack_node::seals;
use sealpack_store::{ImageRecord, Images, Store};
use sealpack_trust::seal::Seal;
use serde_json::{Value, json};

use super::files::date;
use super::parts;
use crate::error::CommandResult;
use crate::output::{Output, table};

const HEADER: [&str; 6] = ["TARGET", "IMAGE", "MANIFEST", "LEVEL", "SEAL", "SINCE (UTC)"];

/// Shows the mounts, with what the store knows of their images, if there is one.
pub(crate) fn list(output: Output, mounts: &[MountOf], known: Option<(&Store, &Images)>) -> CommandResult {
    for mount in mounts {
        let why = match &mount.assurance {
            Ok(assurance) => &assurance.why_not_more,
            Err(why) => why,
        };
        if !why.is_empty() {
            output.detail(|| format!("{}: {why}", mount.mounted.target.display()));
        }
    }
    let rows: Vec<Row<'_>> = mounts.iter().map(|mount| Row::new(mount, known)).collect();
    let value = json!({ "image_mounts": rows.iter().map(Row::json).collect::<Vec<_>>() });
    output.result(&value, || table(&HEADER, &rows.iter().map(Row::cells).collect::<Vec<_>>()))
}

/// A mount, and the image that it is of.
struct Row<'m> {
    mount: &'m MountOf,
    /// The names that the store has for the image now.
    names: Vec<&'m str>,
    /// The seal that it was mounted with, if the store still has it; or what is wrong with that.
    seal: Option<Result<Seal, String>>,
}

impl<'m> Row<'m> {
    fn new(mount: &'m MountOf, known: Option<(&'m Store, &'m Images)>) -> Self {
        let of_it = |record: &&ImageRecord| record.metadata_image == mount.mounted.image;
        let records: Vec<&ImageRecord> =
            known.into_iter().flat_map(|(_, images)| images.records.iter().filter(of_it)).collect();
        let noted = mount.note.as_ref().and_then(|note| {
            let is_it = |record: &&&ImageRecord| {
                record.name == note.name
                    && record.manifest == note.manifest
                    && record.statement == note.statement
            };
            records.iter().find(is_it).filter(|_| note.statement.is_some())
        });
        let seal = noted.zip(known).and_then(|(record, (store, _))| {
            seals::read(store, record).map_err(|error| error.to_string()).transpose()
        });
        Self { mount, names: records.iter().map(|record| record.name.as_str()).collect(), seal }
    }

    fn json(&self) -> Value {
        let MountOf { mounted, process, note, assurance } = self.mount;
        let note = note.as_ref();
        json!({
            "target": mounted.target,
            "process": process,
            "mount_id": mounted.mount_id,
            "metadata_image": parts::metadata_image(&mounted.image, None),
            "name": note.map(|note| &note.name),
            "manifest": note.map(|note| note.manifest),
            "store": note.map(|note| &note.store),
            "since": note.map(|note| parts::time_of_seconds(note.mounted_unix_seconds)),
            "level_when_mounted": note.map(|note| &note.level),
            "names": self.names,
            "read_write": mounted.read_write,
            "upper": mounted.upper,
            "level": assurance.as_ref().ok().map(|assurance| assurance.level.name()),
            "why_not_more": match assurance {
                Ok(assurance) => &assurance.why_not_more,
                Err(why) => why,
            },
            "seal": self.seal.as_ref().map(|seal| match seal {
                Ok(seal) => parts::seal(seal),
                Err(problem) => parts::broken_seal(problem),
            }),
        })
    }

    fn cells(&self) -> Vec<String> {
        let MountOf { mounted, process, note, assurance } = self.mount;
        let short = |digest: String| digest.chars().take(12).collect::<String>();
        let target = mounted.target.display();
        let image = match (note, self.names.as_slice()) {
            (Some(note), _) => note.name.clone(),
            (None, []) => format!("(metadata image {})", short(mounted.image.to_string())),
            (None, names) => names.join(", "),
        };
        vec![
            process.map_or_else(|| target.to_string(), |process| format!("{target} (process {process})")),
            image,
            note.as_ref().map_or("-".to_owned(), |note| short(note.manifest.hex())),
            assurance.as_ref().map_or("?", |assurance| assurance.level.name()).to_owned(),
            self.seal_cell(),
            note.as_ref().map_or("-".to_owned(), |note| {
                let seconds = i64::try_from(note.mounted_unix_seconds).unwrap_or(i64::MAX);
                date(Time { seconds, nanoseconds: 0 })
            }),
        ]
    }

    fn seal_cell(&self) -> String {
        match &self.seal {
            None => "-".to_owned(),
            Some(Ok(seal)) => {
                format!("epoch {} by {}", seal.statement().epoch(), seal.signers().join(", "))
            }
            Some(Err(_)) => "damaged".to_owned(),
        }
    }
}
