//! What containerd has: images, and blobs out of its content service, for who reads them from a thread that may block.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use sealpack_format::{BlobDigest, DiffId};
use sealpack_oci::manifest::Descriptor;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::protocol::containerd::services::containers::v1 as containers;
use crate::protocol::containerd::services::content::v1 as api;
use crate::protocol::containerd::services::images::v1 as images;
use crate::snapshots::{Blob, Named};

/// The header with the namespace, without which containerd answers nothing.
pub(super) const NAMESPACE: &str = "containerd-namespace";

/// The label of a blob that containerd has unpacked, with the diff ID.
const UNCOMPRESSED: &str = "containerd.io/uncompressed";

/// How much may be on its way: some of the messages of 1 MiB that containerd sends.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// How long a list is waited for, while a client waits for a container.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// How long the list of a namespace's images may be: some 100,000 of them.
const IMAGES_MAX_BYTES: usize = 64 * 1024 * 1024;

/// containerd, which need not be there yet.
#[derive(Clone)]
pub(super) struct Content {
    channel: Channel,
}

impl Content {
    /// The one that listens at `socket`.
    pub(super) fn new(socket: PathBuf) -> Self {
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move {
                let connected = UnixStream::connect(&socket).await;
                let failed = |error: io::Error| {
                    io::Error::new(error.kind(), format!("cannot connect to {}: {error}", socket.display()))
                };
                connected.map(TokioIo::new).map_err(failed)
            }
        });
        let endpoint = Endpoint::from_static("http://localhost")
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        Self { channel: endpoint.connect_with_connector_lazy(connect) }
    }

    /// Begins to read a blob of a namespace. Blocks; for threads that may.
    pub(super) fn open(&self, handle: &Handle, namespace: &str, blob: &BlobDigest) -> io::Result<BlobReader> {
        let wanted = api::ReadContentRequest { digest: blob.to_string(), offset: 0, size: 0 };
        let request = in_namespace(namespace, wanted).map_err(|status| failed(&status))?;
        let answer = handle.block_on(self.client().read(request)).map_err(|status| failed(&status))?;
        Ok(BlobReader { handle: handle.clone(), messages: answer.into_inner(), chunk: Vec::new(), at: 0 })
    }

    /// The blobs of a namespace of which containerd knows what they are unpacked, since it has done so.
    async fn layers(&self, namespace: &str) -> Result<Vec<(DiffId, Blob)>, Status> {
        let filters = vec![format!("labels.{UNCOMPRESSED:?}")];
        let request = in_namespace(namespace, api::ListContentRequest { filters })?;
        let mut messages = self.client().list(request).await?.into_inner();
        let mut found = Vec::new();
        while let Some(message) = messages.message().await? {
            found.extend(message.info.iter().filter_map(layer));
        }
        Ok(found)
    }

    /// The images of a namespace.
    async fn images(&self, namespace: &str) -> Result<Vec<Named>, Status> {
        let mut request = in_namespace(namespace, images::ListImagesRequest::default())?;
        request.set_timeout(ANSWERS_WITHIN);
        let mut client = images::images_client::ImagesClient::new(self.channel.clone())
            .max_decoding_message_size(IMAGES_MAX_BYTES);
        let answer = client.list(request).await?.into_inner();
        Ok(answer.images.into_iter().filter_map(named).collect())
    }

    /// The image of the container whose own snapshot has that key, if there is such a container.
    async fn image_of(&self, namespace: &str, key: &str) -> Result<Option<String>, Status> {
        let mut request = in_namespace(namespace, containers::GetContainerRequest { id: key.to_owned() })?;
        request.set_timeout(ANSWERS_WITHIN);
        let mut client = containers::containers_client::ContainersClient::new(self.channel.clone());
        let container = match client.get(request).await {
            Err(status) if status.code() == tonic::Code::NotFound => return Ok(None),
            other => other?.into_inner().container,
        };
        let is_its = |container: &containers::Container| container.snapshot_key == key;
        Ok(container.filter(is_its).map(|container| container.image).filter(|image| !image.is_empty()))
    }

    fn client(&self) -> api::content_client::ContentClient<Channel> {
        api::content_client::ContentClient::new(self.channel.clone())
    }
}

/// What is asked of it.
pub(super) struct Blobs {
    content: Content,
    handle: Handle,
}

impl Blobs {
    /// Those of `content`, asked by threads of `handle`'s runtime's process that may block.
    pub(super) const fn new(content: Content, handle: Handle) -> Self {
        Self { content, handle }
    }
}

impl crate::snapshots::Blobs for Blobs {
    fn layers(&self, namespace: &str) -> io::Result<Vec<(DiffId, Blob)>> {
        self.handle.block_on(self.content.layers(namespace)).map_err(|status| failed(&status))
    }

    fn open(&self, namespace: &str, blob: &BlobDigest) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.content.open(&self.handle, namespace, blob)?))
    }
}

impl crate::snapshots::Images for Blobs {
    fn named(&self, namespace: &str) -> io::Result<Vec<Named>> {
        self.handle.block_on(self.content.images(namespace)).map_err(|status| failed(&status))
    }

    fn of_container(&self, namespace: &str, key: &str) -> io::Result<Option<String>> {
        self.handle.block_on(self.content.image_of(namespace, key)).map_err(|status| failed(&status))
    }

    fn read(&self, namespace: &str, blob: &BlobDigest) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.content.open(&self.handle, namespace, blob)?))
    }
}

/// A blob as it comes.
pub(super) struct BlobReader {
    handle: Handle,
    messages: Streaming<api::ReadContentResponse>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            let message = self.handle.block_on(self.messages.message());
            let Some(message) = message.map_err(|status| failed(&status))? else { return Ok(0) };
            (self.chunk, self.at) = (message.data, 0);
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn in_namespace<T>(namespace: &str, message: T) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let namespace = AsciiMetadataValue::try_from(namespace);
    let namespace = namespace.map_err(|error| Status::invalid_argument(error.to_string()))?;
    request.metadata_mut().insert(NAMESPACE, namespace);
    Ok(request)
}

/// What has another label than a digest is none.
fn layer(info: &api::Info) -> Option<(DiffId, Blob)> {
    let layer = info.labels.get(UNCOMPRESSED)?.parse().ok()?;
    let digest = info.digest.parse().ok()?;
    let media_type = sealpack_oci::media_type::OCI_LAYER.to_owned();
    Some((layer, Blob { digest, size_bytes: u64::try_from(info.size).ok()?, media_type }))
}

/// What is not described by a digest is none.
fn named(image: images::Image) -> Option<Named> {
    let target = image.target?;
    let size_bytes = u64::try_from(target.size).ok()?;
    let target = Descriptor::new(&target.media_type, target.digest.parse().ok()?, size_bytes);
    Some(Named { reference: image.name, target })
}

/// What containerd said, with what is behind it where that is of the connection.
fn failed(status: &Status) -> io::Error {
    let mut text = format!("containerd says: {}", status.message());
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    io::Error::other(text)
}
