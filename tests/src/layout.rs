//! A writer of OCI image layouts, and the compressions that layers come in.

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// How a layer's tar stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// One gzip member.
    Gzip,
    /// A gzip member for each mebibyte, the last one short.
    GzipMembers,
    /// One zstd frame.
    Zstd,
    /// A zstd frame for each mebibyte, a skippable frame before each.
    ZstdFrames,
}

impl Packing {
    fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip | Self::GzipMembers => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd | Self::ZstdFrames => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// A layer whose blob is in a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    media_type: String,
    /// The blob's digest: `sha256:` and hex.
    pub digest: String,
    /// The blob's size.
    pub size_bytes: u64,
    /// The digest of the tar stream in it.
    pub diff_id: String,
}

/// An OCI image layout that is being written or read.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// An empty layout at `dir`, which is created.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir.join("blobs/sha256"))
            .with_context(|| format!("cannot make {}", dir.display()))?;
        std::fs::write(dir.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
        let layout = Self::open(dir);
        layout.write_index(&json!({"schemaVersion": 2, "manifests": []}))?;
        Ok(layout)
    }

    /// The layout that is at `dir`.
    pub fn open(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// Packs the tar stream `tar` and adds it as a blob.
    ///
    /// # Errors
    /// If reading or writing fails.
    pub fn add_layer(&self, tar: impl Read, packing: Packing) -> Result<Layer> {
        let mut blob = Hashing::new(tempfile::NamedTempFile::new_in(&self.dir)?);
        let mut tar = HashingReader { inner: tar, sha256: Sha256::new() };
        pack(BufReader::with_capacity(1 << 20, &mut tar), &mut blob, packing)?;
        let diff_id = name(tar.sha256);
        let (file, digest, size_bytes) = blob.finish();
        // A temporary file is for its owner only; a layout may be read by others.
        rustix::fs::fchmod(file.as_file(), rustix::fs::Mode::from_raw_mode(0o644))?;
        file.persist(self.blob_path(&digest))?;
        Ok(Layer { media_type: packing.media_type().to_owned(), digest, size_bytes, diff_id })
    }

    /// Adds the image made of `layers`, bottom first, under the name `tag`.
    ///
    /// # Errors
    /// If writing fails.
    pub fn add_image(&self, tag: &str, layers: &[Layer]) -> Result<()> {
        self.add_image_with(tag, layers, &json!({}))
    }

    /// As [`Layout::add_image`]; how it is to be run is in `config`, as in the config's field of that name, besides a `PATH`.
    ///
    /// # Errors
    /// If writing fails.
    pub fn add_image_with(&self, tag: &str, layers: &[Layer], config: &Value) -> Result<()> {
        let mut run = json!({"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]});
        for (key, value) in config.as_object().context("a config's fields have names")? {
            run[key] = value.clone();
        }
        let config = self.add_blob(&json!({
            "created": "2025-06-15T15:06:40Z",
            "architecture": architecture(),
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>()},
        }))?;
        let descriptors: Vec<Value> = layers
            .iter()
            .map(|layer| json!({"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size_bytes}))
            .collect();
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = self.add_blob(&json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config.0,
                "size": config.1,
            },
            "layers": descriptors,
        }))?;
        let mut index = self.index()?;
        let manifests = index["manifests"].as_array_mut().context("index.json has no list of manifests")?;
        manifests.push(json!({
            "mediaType": media_type,
            "digest": manifest.0,
            "size": manifest.1,
            "annotations": {"org.opencontainers.image.ref.name": tag},
        }));
        self.write_index(&index)
    }

    /// The layers of the image named `tag`, bottom first.
    ///
    /// # Errors
    /// If the layout has no such image.
    pub fn layers(&self, tag: &str) -> Result<Vec<Layer>> {
        let index = self.index()?;
        let named = |manifest: &&Value| manifest["annotations"]["org.opencontainers.image.ref.name"] == tag;
        let manifest = index["manifests"].as_array().into_iter().flatten().find(named);
        let manifest = manifest.with_context(|| format!("{} has no image {tag}", self.dir.display()))?;
        let manifest = self.json(&self.blob_path(&text(&manifest["digest"])))?;
        let config = self.json(&self.blob_path(&text(&manifest["config"]["digest"])))?;
        let diff_ids = config["rootfs"]["diff_ids"].as_array().into_iter().flatten();
        let layers = manifest["layers"].as_array().into_iter().flatten().zip(diff_ids);
        let layer = |(layer, diff_id): (&Value, &Value)| Layer {
            media_type: text(&layer["mediaType"]),
            digest: text(&layer["digest"]),
            size_bytes: layer["size"].as_u64().unwrap_or_default(),
            diff_id: text(diff_id),
        };
        Ok(layers.map(layer).collect())
    }

    /// The blobs of the layers of the image named `tag`, bottom first, as paths.
    ///
    /// # Errors
    /// If the layout has no such image.
    pub fn layer_blobs(&self, tag: &str) -> Result<Vec<PathBuf>> {
        Ok(self.layers(tag)?.iter().map(|layer| self.blob_path(&layer.digest)).collect())
    }

    /// Links the layers of the image named `tag` of another layout on the same filesystem into this one, bottom first.
    ///
    /// # Errors
    /// If the layout has no such image, or the links cannot be made.
    pub fn link_layers(&self, other: &Self, tag: &str) -> Result<Vec<Layer>> {
        let layers = other.layers(tag)?;
        for layer in &layers {
            let (from, to) = (other.blob_path(&layer.digest), self.blob_path(&layer.digest));
            match std::fs::hard_link(&from, &to) {
                // Of an image with the same layer.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => other.with_context(|| format!("cannot link {}", from.display()))?,
            }
        }
        Ok(layers)
    }

    /// Where the blob named `digest` is.
    pub fn blob_path(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs").join(digest.replace(':', "/"))
    }

    fn index(&self) -> Result<Value> {
        self.json(&self.dir.join("index.json"))
    }

    fn json(&self, path: &Path) -> Result<Value> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", path.display()))
    }

    fn write_index(&self, index: &Value) -> Result<()> {
        let path = self.dir.join("index.json");
        std::fs::write(&path, index.to_string()).with_context(|| format!("cannot write {}", path.display()))
    }

    fn add_blob(&self, value: &Value) -> Result<(String, usize)> {
        let bytes = value.to_string().into_bytes();
        let digest = name(Sha256::new_with_prefix(&bytes));
        std::fs::write(self.blob_path(&digest), &bytes)?;
        Ok((digest, bytes.len()))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// This machine's architecture as OCI names it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `sha256:` and the digest in hex.
fn name(sha256: Sha256) -> String {
    let hex: String = sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn pack(mut tar: impl Read, mut out: impl Write, packing: Packing) -> io::Result<()> {
    const PIECE_BYTES: u64 = 1 << 20;
    let gzip = |piece: &mut dyn Read, out: &mut dyn Write| -> io::Result<u64> {
        let mut encoder = GzEncoder::new(out, Compression::default());
        let bytes = io::copy(piece, &mut encoder)?;
        encoder.finish()?;
        Ok(bytes)
    };
    match packing {
        Packing::Plain => io::copy(&mut tar, &mut out).map(drop),
        Packing::Gzip => gzip(&mut tar, &mut out).map(drop),
        Packing::GzipMembers => {
            while gzip(&mut tar.by_ref().take(PIECE_BYTES), &mut out)? == PIECE_BYTES {}
            Ok(())
        }
        Packing::Zstd => zstd::stream::copy_encode(tar, out, 3),
        Packing::ZstdFrames => loop {
            let mut piece = Vec::new();
            tar.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)?;
            if piece.is_empty() {
                return Ok(());
            }
            // RFC 8878, section 3.1.2: magic number, length, then bytes that decoders pass over.
            out.write_all(&0x184D_2A50_u32.to_le_bytes())?;
            out.write_all(&5_u32.to_le_bytes())?;
            out.write_all(b"skip!")?;
            out.write_all(&zstd::encode_all(piece.as_slice(), 3)?)?;
        },
    }
}

/// Writes on, and hashes and counts what passes.
struct Hashing<W> {
    inner: W,
    sha256: Sha256,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, sha256: Sha256::new(), bytes: 0 }
    }

    fn finish(self) -> (W, String, u64) {
        (self.inner, name(self.sha256), self.bytes)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.sha256.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads on, and hashes and counts what passes.
struct HashingReader<R> {
    inner: R,
    sha256: Sha256,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sha256.update(&buffer[..read]);
        Ok(read)
    }
}
