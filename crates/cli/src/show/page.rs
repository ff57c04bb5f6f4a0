//! A page about images that was written.

use std::path::Path;

use sealpack_page::{Image, Page};
use serde_json::{Value, json};

use crate::error::CommandResult;
use crate::output::{Output, count, size};

/// Shows where it is, and what it is about.
pub(crate) fn written(output: Output, file: &Path, bytes: usize, page: &Page) -> CommandResult {
    let value = json!({
        "file": file,
        "size_bytes": bytes,
        "reported": page.images.iter().map(image).collect::<Vec<_>>(),
        "with_host": page.host.is_some(),
    });
    output.result(&value, || {
        let machine = if page.host.is_some() { " and this machine" } else { "" };
        let images = count(page.images.len() as u64, "image");
        format!("{}: {images}{machine}, {}", file.display(), size(bytes as u64))
    })
}

fn image(image: &Image) -> Value {
    let checked = image.checked.as_ref().ok();
    let denied = checked.map(|checked| {
        let allows = |place: usize| checked.reasons.get(place).is_some_and(|reason| reason.allows);
        checked.files.iter().filter(|file| !allows(file.reason)).count()
    });
    let mut value = json!({ "names": image.names, "manifest": image.manifest });
    if let Some(denied) = denied {
        value["denied"] = denied.into();
    }
    value
}
