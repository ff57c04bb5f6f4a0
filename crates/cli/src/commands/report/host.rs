//! This machine.

use std::path::Path;

use sealpack_kernel::Kernel;
use sealpack_kernel::probe::System;
use sealpack_node::mounted_files::MountedFiles;
use sealpack_node::mounts::{MountOf, NOTES, mounts};
use sealpack_node::policy::tell;
use sealpack_node::standing::{KeyringContents, Standing};
use sealpack_page::{Denial, Host, Keyring, LevelReach, Mount};
use sealpack_store::ImageRecord;
use sealpack_trust::policy::Action;
use sealpack_trust::policy::audit::Record;

use super::images::time;
use crate::commands::policy::read_log;
use crate::context::Context;
use crate::error::CommandError;
use crate::show::standing::ipe_text;

pub(super) fn found(
    context: &Context,
    kernel: &Kernel,
    records: &[ImageRecord],
    log: Option<&Path>,
) -> Result<Host, CommandError> {
    // A file that is named has to be there.
    let log = log.map(|file| read_log(kernel, Some(file))).transpose()?;
    let standing = Standing::find_out(&Kernel::new(), &System::this(), &context.store_path()?);
    let levels = standing.levels.iter().map(|reach| LevelReach {
        name: reach.level.name().to_owned(),
        how: reach.how.as_ref().map(ToString::to_string).map_err(ToString::to_string),
    });
    Ok(Host {
        kernel: standing.report.release.clone(),
        enforces: ipe_text(&standing.ipe),
        enforcing: standing.ipe.as_ref().is_ok_and(|ipe| ipe.enforcing && ipe.policy.is_some()),
        policy: active_text(kernel),
        levels: levels.collect(),
        keyrings: standing.keyrings.iter().map(|(which, held)| keyring(which.name(), held)).collect(),
        mounts: mounted(kernel, records),
        denials: denials(context, kernel, records, log),
    })
}

/// The text of the policy that decides, if there is one and it can be read.
fn active_text(kernel: &Kernel) -> Option<String> {
    let policies = kernel.ipe()?.policies().ok()?;
    policies.into_iter().find(|policy| policy.active).map(|policy| policy.text)
}

fn keyring(name: &str, contents: &KeyringContents) -> Keyring {
    let keys = match contents {
        KeyringContents::Held(_) => {
            let included = contents.included().map(|name| format!("all of {name}"));
            Ok(contents.certificates().map(str::to_owned).chain(included).collect())
        }
        KeyringContents::Absent => Err("the kernel has none".to_owned()),
        KeyringContents::Unreadable(why) => Err(why.clone()),
    };
    Keyring { name: name.to_owned(), keys }
}

fn mounted(kernel: &Kernel, records: &[ImageRecord]) -> Result<Vec<Mount>, String> {
    let found = mounts(kernel, Path::new(NOTES)).map_err(|error| error.to_string())?;
    Ok(found.mounts.iter().map(|mount| of_mount(mount, records)).collect())
}

fn of_mount(mount: &MountOf, records: &[ImageRecord]) -> Mount {
    let MountOf { mounted, process, note, assurance } = mount;
    let known = || {
        let of_it = records.iter().filter(|record| record.metadata_image == mounted.image);
        let names: Vec<&str> = of_it.map(|record| record.name.as_str()).collect();
        if names.is_empty() { format!("metadata image {}", mounted.image) } else { names.join(", ") }
    };
    let target = mounted.target.display();
    Mount {
        target: process.map_or_else(|| target.to_string(), |process| format!("{target} (process {process})")),
        image: note.as_ref().map_or_else(known, |note| note.name.clone()),
        level: assurance.as_ref().map(|it| it.level.name().to_owned()).map_err(Clone::clone),
        why_not_more: assurance.as_ref().map(|it| it.why_not_more.clone()).unwrap_or_default(),
        since: note.as_ref().map(|note| time(note.mounted_unix_seconds)),
    }
}

/// What was denied, the most frequent first; in words why that is not known.
fn denials(
    context: &Context,
    kernel: &Kernel,
    records: &[ImageRecord],
    log: Option<Vec<u8>>,
) -> Result<Vec<Denial>, String> {
    let log = match log {
        Some(log) => log,
        None if kernel.ipe().is_none() => {
            return Err("IPE is not active in this kernel, which denies nothing then".to_owned());
        }
        None => read_log(kernel, None).map_err(|error| error.message())?,
    };
    let log = match started() {
        Some(started) => since(&log, started),
        None => log,
    };
    let told = tell(&log, &MountedFiles::now(records), &mut context.output.remarks());
    let is_denial =
        |record: &Record| matches!(record, Record::Access(access) if access.action == Action::Deny);
    let denied = told.into_iter().filter(|told| is_denial(&told.record));
    let mut denials: Vec<Denial> = denied
        .map(|told| Denial { what: told.explanation.what, why: told.explanation.why, count: told.count })
        .collect();
    denials.sort_by_key(|denial| std::cmp::Reverse(denial.count));
    Ok(denials)
}

/// When the machine was started, in seconds since 1970 (proc_stat(5)).
fn started() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The lines of a log without those of events that were earlier.
fn since(log: &[u8], unix_seconds: u64) -> Vec<u8> {
    const STAMP: &[u8] = b"audit(";
    let is_earlier = |line: &[u8]| {
        let stamp = line.windows(STAMP.len()).position(|part| part == STAMP);
        let digits = stamp.and_then(|start| line.get(start + STAMP.len()..)).unwrap_or_default();
        let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
        let seconds = str::from_utf8(&digits[..end]).ok().and_then(|digits| digits.parse::<u64>().ok());
        seconds.is_some_and(|seconds| seconds < unix_seconds)
    };
    log.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_earlier(line)).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::since;

    #[test]
    fn events_from_before_the_machine_was_started_are_left_out_and_what_has_no_time_is_not() {
        let log = b"type=1420 audit(99.999:1): a\ntype=1420 audit(100.000:2): b\nno time\naudit(x)";
        let kept = since(log, 100);
        assert_eq!(String::from_utf8_lossy(&kept), "type=1420 audit(100.000:2): b\nno time\naudit(x)");
    }
}
