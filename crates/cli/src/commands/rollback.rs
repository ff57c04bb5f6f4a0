use sealpack_format::Algorithm;
use sealpack_format::reference::Reference;
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::judge::{Candidate, Failure};
use sealpack_trust::seal::Seal;
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use sealpack_gate::{Demand, Gate};
use sealpack_node::seals;

/// The fewest characters of a digest that name an image.
const DIGEST_PREFIX_MIN: usize = 8;

/// Give a name back to the image that had it before.
///
/// Without --to, that is the newest one in the name's history whose seal has a lower epoch than that of the image that
/// has the name now; if that one has no seal, the newest one that has. Nothing is fetched. The image that loses the name
/// goes into the history, and the highest epoch that was seen stays: the next pull of the name brings a later image, or
/// is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack rollback debian:12
  sealpack history debian:12
  sealpack rollback debian:12 --to sha256:…")]
pub(crate) struct Rollback {
    /// The name.
    name: Reference,
    /// The manifest of the image that gets the name: the digest, or its first characters, at least 8.
    #[arg(long, value_name = "DIGEST")]
    to: Option<String>,
}

impl Rollback {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let name = self.name.to_string();
        let current = store.image(&name)?.ok_or_else(|| {
            CommandError::failed(format_args!("the store has no image {name}"))
                .hint("`sealpack images` lists what it has")
        })?;
        let history = store.history(&name)?;
        let target = match &self.to {
            Some(digest) => by_digest(&history, digest, &name)?,
            None => before(context, &store, &current, &history)?,
        };
        check_whole(&store, target)?;
        store.set_image(target)?;
        let epochs = [target, &current].map(|record| seals::epoch_of(&store, record));
        let value = json!({
            "name": name,
            "manifest": target.manifest,
            "epoch": epochs[0],
            "manifest_before": current.manifest,
            "epoch_before": epochs[1],
        });
        context.output.result(&value, || {
            let [epoch, epoch_before] =
                epochs.map(|epoch| epoch.map_or("no seal".to_owned(), |epoch| format!("epoch {epoch}")));
            format!(
                "{name} is {} now ({epoch}), and was {} ({epoch_before})",
                target.manifest, current.manifest
            )
        })
    }
}

fn by_digest<'h>(
    history: &'h [ImageRecord],
    digest: &str,
    name: &str,
) -> Result<&'h ImageRecord, CommandError> {
    // Another algorithm's name finds nothing. The beginning will do here: every image in the history had the name.
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    if hex.len() < DIGEST_PREFIX_MIN || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(CommandError::usage(format_args!(
            "--to {digest}: give at least {DIGEST_PREFIX_MIN} digits of a digest, lowercase hexadecimal, alone or behind sha256:"
        ))
        .hint("`sealpack history` shows the digests"));
    }
    let mut found = history.iter().filter(|record| {
        let is_asked = hex == digest || record.manifest.algorithm() == Algorithm::Sha256;
        is_asked && record.manifest.hex().starts_with(hex)
    });
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => Err(CommandError::failed(format_args!(
            "{digest} is the beginning of several digests in the history of {name}"
        ))
        .hint("give more of the digest")),
        (None, _) => Err(CommandError::failed(format_args!("{digest} is not in the history of {name}"))
            .hint("`sealpack history` lists what is; `sealpack gc` keeps only the newest, unless told otherwise")),
    }
}

/// The newest image that is older by its seal.
fn before<'h>(
    context: &Context,
    store: &Store,
    current: &ImageRecord,
    history: &'h [ImageRecord],
) -> Result<&'h ImageRecord, CommandError> {
    let now = seals::read(store, current)?.map(|seal| seal.statement().epoch());
    for record in history {
        match seals::read(store, record) {
            Ok(Some(seal)) if now.is_none_or(|now| seal.statement().epoch() < now) => {
                match why_not(context, store, record, seal)? {
                    None => return Ok(record),
                    Some(why) => context.output.remark(&format!("passing over {}: {why}", record.manifest)),
                }
            }
            Ok(_) => {}
            // It says nothing of its epoch.
            Err(error) => context.output.remark(&format!("passing over {}: {}", record.manifest, error)),
        }
    }
    let what = now.map_or("a seal".to_owned(), |now| format!("a seal of an epoch before {now}"));
    Err(CommandError::failed(format_args!("no image with {what} is in the history of {}", current.name))
        .hint("`sealpack history` lists what is; --to takes any of it, sealed or not"))
}

/// Why a sealed image must not be what a name goes back to by itself: the rules refuse it, as they are by now, or
/// something in it was revoked.
fn why_not(
    context: &Context,
    store: &Store,
    record: &ImageRecord,
    seal: Seal,
) -> Result<Option<String>, CommandError> {
    let pulled_as = record.pulled_as.as_ref().unwrap_or(&record.name);
    let [pulled_as, name] = [pulled_as, &record.name].map(|name| name.parse::<Reference>());
    let (pulled_as, name) = (pulled_as.map_err(CommandError::failed)?, name.map_err(CommandError::failed)?);
    let gate = Gate::new(context.anchors()?, Demand::ROLLBACK, &pulled_as, &name, Some(store))?;
    let seals = [Candidate { label: "in the store".to_owned(), seal: Ok(seal) }];
    let judgements = gate.judgements(&seals, &record.manifest, record.index.as_ref(), &record.platform);
    let refusals =
        judgements.iter().filter_map(|judgement| judgement.refusal.as_ref().map(ToString::to_string));
    let verdicts = judgements.iter().flat_map(|judgement| &judgement.seals);
    let failures =
        verdicts.filter_map(|(_, verdict)| verdict.as_ref().ok()).flat_map(|verdict| &verdict.failures);
    let is_revoked = |failure: &&Failure| matches!(failure, Failure::RevokedRootHash { .. });
    Ok(refusals.chain(failures.filter(is_revoked).map(ToString::to_string)).next())
}

/// That the image can be used as it is.
fn check_whole(store: &Store, record: &ImageRecord) -> Result<(), CommandError> {
    store.verify_metadata_image(&record.metadata_image)?;
    for layer in &record.layers {
        if !store.has_layer(&layer.diff_id, record.objects)? {
            return Err(CommandError::failed(format_args!(
                "{} is incomplete: layer {} is missing or damaged",
                record.manifest, layer.diff_id
            ))
            .hint("`sealpack fsck` names what is; pulling the image by its digest brings it back"));
        }
    }
    Ok(())
}
