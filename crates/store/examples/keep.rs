//! Keeps files in a store, each content once: `keep STORE FILE…`. The store is made if there is none.
//!
//! No name means these objects, so that the next gc removes them: who wants them kept publishes an image that has them.

use std::error::Error;
use std::path::Path;

use sealpack_format::ObjectId;
use sealpack_format::verity::fsverity_digest;
use sealpack_store::{Added, Store};

/// Keeps the files. Answers with what each is called there and what became of it.
fn keep(store: &Path, files: &[String]) -> Result<Vec<(ObjectId, Added)>, Box<dyn Error>> {
    let store = Store::open_or_create(store, None)?;
    let staging = store.stage()?;
    let mut kept = Vec::new();
    for file in files {
        let content = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        let id = fsverity_digest(store.algorithm(), &content);
        kept.push((id, staging.add_bytes(&id, &content)?));
    }
    // Until here nothing is in the store, and whatever fails, nothing will be.
    staging.commit()?;
    Ok(kept)
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, files @ ..] = arguments.as_slice() else { return Err("usage: keep STORE FILE…".into()) };
    for ((id, added), file) in keep(store.as_ref(), files)?.into_iter().zip(files) {
        println!("{id} {file}: {added:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_files_are_kept_once_and_a_failure_keeps_nothing() -> Result<(), Box<dyn Error>> {
        let place = tempfile::tempdir()?;
        let at = |name: &str| place.path().join(name);
        let file = |name: &str| at(name).display().to_string();
        std::fs::write(at("one"), [1; 100])?;
        std::fs::write(at("same"), [1; 100])?;
        std::fs::write(at("other"), [2; 100])?;

        assert!(keep(&at("store"), &[file("other"), file("missing")]).is_err());
        let kept = keep(&at("store"), &[file("one"), file("same")])?;
        assert_eq!(kept[0].0, kept[1].0);
        assert_eq!([kept[0].1, kept[1].1], [Added::New, Added::Existing]);
        let [(other, added)] = keep(&at("store"), &[file("other")])?[..] else { panic!("one was given") };
        assert_eq!(added, Added::New, "the failed one left it behind");
        let path = Store::open(at("store"))?.object_path(&other);
        assert_eq!(std::fs::read(path)?, [2; 100]);
        Ok(())
    }
}
