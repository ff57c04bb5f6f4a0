//! What is kept of a sealed host's `/etc`.

use std::path::Path;

use sealpack_format::boot::keep::EtcPath;
use sealpack_host::keep::{Kept, PassedOver};
use serde_json::{Value, json};

use crate::error::CommandResult;
use crate::output::{Output, count};

/// Says that there is nothing to do.
pub(crate) fn persistent(output: Output) -> CommandResult {
    output.result(&json_of(&Kept::default()), || {
        "all of /etc is on the data partition (sealpack.etc=persistent)".to_owned()
    })
}

/// Shows what was done.
pub(crate) fn kept(output: Output, kept: &Kept) -> CommandResult {
    for passed in &kept.passed_over {
        let word = if passed.why.is_failure() { "warning" } else { "note" };
        output.remark(&format!("{word}: {} is not kept: {}", absolute(passed), passed.why));
    }
    output.result(&json_of(kept), || {
        let line = |word: &str, paths: &[EtcPath]| -> String {
            paths.iter().map(|path| format!("{word} {path}\n")).collect()
        };
        let all = kept.written.len() + kept.unchanged.len();
        let changes = line("kept", &kept.written) + &line("not kept any more", &kept.removed);
        format!("{changes}{} kept for the next boot", count(all as u64, "file"))
    })
}

fn absolute(passed: &PassedOver) -> String {
    Path::new("/etc").join(&passed.path).display().to_string()
}

fn json_of(kept: &Kept) -> Value {
    let texts = |paths: &[EtcPath]| -> Vec<String> { paths.iter().map(ToString::to_string).collect() };
    json!({
        "written": texts(&kept.written),
        "unchanged": texts(&kept.unchanged),
        "let_go": texts(&kept.removed),
        "passed_over": kept.passed_over.iter().map(|passed| json!({
            "path": absolute(passed),
            "reason": passed.why.to_string(),
            "lost": passed.why.is_failure(),
        })).collect::<Vec<_>>(),
    })
}
