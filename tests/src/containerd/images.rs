//! Images that containers can be run from: programs with what they need, and a config that says how.

use crate::images::{self, Image};
use crate::layer_tar::{Entry, Member, archive};
use crate::layout::{Layer, Layout, Packing};
use anyhow::Result;
use serde_json::json;
use std::path::Path;

/// The repository and tag of [`pause`], in whatever registry a test has.
pub const PAUSE: &str = "pause:1";

/// How many images [`family`] has.
pub const FAMILY: usize = 10;

/// The image that pods are kept by: it waits, and ends when it is told to.
///
/// # Errors
/// If the package with busybox cannot be fetched.
pub fn pause() -> Result<Image> {
    images::cached("pause", "1", |dir| {
        let layout = Layout::create(dir)?;
        let layers = [shell_layer(&layout)?];
        let script = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait; done";
        layout.add_image_with("latest", &layers, &json!({"Entrypoint": ["/bin/sh", "-c", script]}))
    })
}

/// A shell in one layer, and over it one with `/greeting`.
///
/// # Errors
/// As [`pause`].
pub fn shell() -> Result<Image> {
    images::cached("shell", "1", |dir| {
        let layout = Layout::create(dir)?;
        let greeting = Entry::new("greeting", Member::File(b"hello from a layer\n".to_vec()));
        let layers = [shell_layer(&layout)?, layer(&layout, &[greeting])?];
        layout.add_image_with("latest", &layers, &json!({"Entrypoint": ["/bin/sh"]}))
    })
}

/// Ten images, named `0` to `9`, with a common base; each has `/number` in a layer of its own.
///
/// # Errors
/// As [`pause`].
pub fn family() -> Result<Vec<Image>> {
    let built = images::cached("family", "1", |dir| {
        let layout = Layout::create(dir)?;
        let base = shell_layer(&layout)?;
        for number in 0..FAMILY {
            let text = Entry::new("number", Member::File(format!("{number}\n").into_bytes()));
            let noise = Entry::new("noise", Member::File(images::handmade::noise(200_000 + number)));
            let layers = [base.clone(), layer(&layout, &[text, noise])?];
            layout.add_image_with(&number.to_string(), &layers, &json!({"Entrypoint": ["/bin/sh"]}))?;
        }
        Ok(())
    })?;
    Ok((0..FAMILY).map(|number| Image::in_layout(built.dir().to_owned(), &number.to_string())).collect())
}

/// Three images of the same files, each packed at another time: their layers differ.
///
/// # Errors
/// As [`pause`].
pub fn rebuilt() -> Result<Vec<Image>> {
    const TIMES: [&str; 3] = ["1600000001", "1600000002", "1600000003"];
    let built = images::cached("shell-rebuilt", "1", |dir| {
        let layout = Layout::create(dir)?;
        for time in TIMES {
            let entries: Vec<Entry> = shell_entries()?.into_iter().map(|entry| entry.mtime(time)).collect();
            layout.add_image_with(time, &[layer(&layout, &entries)?], &json!({"Entrypoint": ["/bin/sh"]}))?;
        }
        Ok(())
    })?;
    Ok(TIMES.map(|time| Image::in_layout(built.dir().to_owned(), time)).to_vec())
}

/// As many layers as an image may have: a shell, and over it files each of which says so in its own layer, `/layers/1` and
/// so on, and one that every layer has anew, `/newest`.
///
/// # Errors
/// As [`pause`].
pub fn most_layers() -> Result<Image> {
    const LAYERS: usize = 127;
    images::cached("most-layers", "1", |dir| {
        let layout = Layout::create(dir)?;
        let mut layers = vec![shell_layer(&layout)?];
        for number in 1..LAYERS {
            let text = || Member::File(format!("{number}\n").into_bytes());
            let entries = [Entry::new(format!("layers/{number}"), text()), Entry::new("newest", text())];
            layers.push(layer(&layout, &entries)?);
        }
        layout.add_image_with("latest", &layers, &json!({"Entrypoint": ["/bin/sh"]}))
    })
}

/// One image of these members, each file with data that no other image has, in a layout at `dir`, which is created.
///
/// # Errors
/// If the disk cannot be written.
pub fn of(dir: &Path, entries: &[Entry]) -> Result<Image> {
    let layout = Layout::create(dir)?;
    let layers = [shell_layer(&layout)?, layer(&layout, entries)?];
    layout.add_image_with("latest", &layers, &json!({"Entrypoint": ["/bin/sh"]}))?;
    Ok(Image::in_layout(dir.to_owned(), "latest"))
}

fn layer(layout: &Layout, entries: &[Entry]) -> Result<Layer> {
    layout.add_layer(archive(entries).as_slice(), Packing::Gzip)
}

fn shell_layer(layout: &Layout) -> Result<Layer> {
    layer(layout, &shell_entries()?)
}

/// Busybox by all the names that tests call, and a user besides root.
fn shell_entries() -> Result<Vec<Entry>> {
    let mut entries = vec![
        Entry::new("./", Member::Directory),
        Entry::new("bin/", Member::Directory),
        Entry::new("bin/busybox", Member::File(images::handmade::busybox_program()?)).mode(0o755),
        Entry::new("etc/", Member::Directory),
        Entry::new(
            "etc/passwd",
            Member::File(b"root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n".to_vec()),
        ),
        Entry::new("tmp/", Member::Directory).mode(0o1777),
    ];
    for name in
        ["sh", "ls", "cat", "cp", "mv", "rm", "chmod", "id", "sleep", "true", "mkdir", "ln", "touch", "sync"]
    {
        entries.push(Entry::new(format!("bin/{name}"), Member::Symlink("busybox".to_owned())));
    }
    Ok(entries)
}
