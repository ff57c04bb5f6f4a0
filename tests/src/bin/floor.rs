//! What a pull cannot do without, and nothing else: reads each layer's blob, inflates it, hashes what a pull
//! hashes (the blob, the tar stream, and the stream's 4 KiB blocks), writes the stream to a file, and waits until that is on
//! the disk.
//!
//! `sealpack-floor OUTPUT-DIRECTORY GZIP-LAYER…`: the layers in parallel; beside each layer's inflating, its
//! hashing runs on threads of its own.

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

const BUFFER_BYTES: usize = 256 * 1024;
/// Buffers that wait before a thread that is behind.
const BUFFERS: usize = 8;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let output = arguments.next().context("usage: sealpack-floor OUTPUT-DIRECTORY GZIP-LAYER...")?;
    std::fs::create_dir_all(&output)?;
    let layers: Vec<PathBuf> = arguments.collect();
    thread::scope(|scope| {
        let workers: Vec<_> = layers
            .iter()
            .enumerate()
            .map(|(number, layer)| {
                let output = output.join(number.to_string());
                scope.spawn(move || pass(scope, layer, &output))
            })
            .collect();
        workers.into_iter().try_for_each(|worker| join(worker)?)
    })
}

/// Passes one layer through.
fn pass<'scope>(scope: &'scope Scope<'scope, '_>, layer: &Path, output: &Path) -> Result<()> {
    let (to_blob, blob) = sync_channel::<Arc<[u8]>>(BUFFERS);
    let (to_stream, stream) = sync_channel::<Arc<[u8]>>(BUFFERS);
    let (to_blocks, blocks) = sync_channel::<Arc<[u8]>>(BUFFERS);
    let hashers = [
        scope.spawn(move || hash(&blob, usize::MAX)),
        scope.spawn(move || hash(&stream, usize::MAX)),
        scope.spawn(move || hash(&blocks, 4096)),
    ];
    let file = File::open(layer).with_context(|| format!("cannot open {}", layer.display()))?;
    let mut inflated =
        MultiGzDecoder::new(std::io::BufReader::with_capacity(BUFFER_BYTES, Tee { file, to: to_blob }));
    let mut out = File::create(output)?;
    loop {
        let mut buffer = vec![0; BUFFER_BYTES];
        let length = fill(&mut inflated, &mut buffer)?;
        if length == 0 {
            break;
        }
        out.write_all(&buffer[..length])?;
        buffer.truncate(length);
        let buffer: Arc<[u8]> = buffer.into();
        to_stream.send(Arc::clone(&buffer)).context("the hasher ended")?;
        to_blocks.send(buffer).context("the hasher ended")?;
    }
    drop((inflated, to_stream, to_blocks));
    for hasher in hashers {
        std::hint::black_box(join(hasher)?);
    }
    out.sync_all()?;
    Ok(())
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))
}

/// Hashes what arrives, anew for each `block_bytes` of a buffer.
fn hash(buffers: &Receiver<Arc<[u8]>>, block_bytes: usize) -> Sha256 {
    let mut whole = Sha256::new();
    for buffer in buffers {
        if block_bytes == usize::MAX {
            whole.update(&buffer);
            continue;
        }
        for block in buffer.chunks(block_bytes) {
            std::hint::black_box(Sha256::digest(block));
        }
    }
    whole
}

fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Reads on, and sends what passes to the hasher.
struct Tee {
    file: File,
    to: SyncSender<Arc<[u8]>>,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.to.send(buffer[..read].into()).map_err(std::io::Error::other)?;
        Ok(read)
    }
}
