//! A connection to a gRPC server on a unix socket, for tests that wait for each answer.

use anyhow::{Result, anyhow};
use prost::Message;
use std::path::Path;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(120);

/// A message without fields that anybody looks at.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

/// A connection, on which each call waits for its answer.
pub struct Connection {
    runtime: tokio::runtime::Runtime,
    channel: Grpc<Channel>,
    namespace: Option<AsciiMetadataValue>,
}

impl Connection {
    /// Connects to a server that listens already.
    pub fn new(socket: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?;
        let channel = runtime.block_on(endpoint.timeout(CALL_MAX).connect())?;
        Ok(Self { runtime, channel: Grpc::new(channel), namespace: None })
    }

    /// Has all calls be about what is in one of containerd's namespaces.
    pub fn in_namespace(self, name: &str) -> Result<Self> {
        Ok(Self { namespace: Some(name.parse()?), ..self })
    }

    /// Calls a method by its whole name, as in `runtime.v1.ImageService/PullImage`.
    pub fn call<Q, A>(&mut self, method: &str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = path(method);
        let request = self.request(request);
        let Self { runtime, channel, .. } = self;
        runtime.block_on(async {
            channel.ready().await.map_err(|error| Status::new(Code::Unavailable, error.to_string()))?;
            let codec = tonic_prost::ProstCodec::<Q, A>::default();
            Ok(channel.unary(request, path, codec).await?.into_inner())
        })
    }

    /// Calls a method that answers with a stream of messages; answers with all of them.
    pub fn list<Q, A>(&mut self, method: &str, request: Q) -> Result<Vec<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = path(method);
        let request = self.request(request);
        let Self { runtime, channel, .. } = self;
        runtime.block_on(async {
            channel.ready().await.map_err(|error| Status::new(Code::Unavailable, error.to_string()))?;
            let codec = tonic_prost::ProstCodec::<Q, A>::default();
            let answer = channel.server_streaming(request, path, codec).await?;
            let (mut stream, mut messages) = (answer.into_inner(), Vec::new());
            while let Some(message) = stream.message().await? {
                messages.push(message);
            }
            Ok(messages)
        })
    }

    fn request<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        if let Some(namespace) = &self.namespace {
            request.metadata_mut().insert("containerd-namespace", namespace.clone());
        }
        request
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/{method}").parse().expect("a method's name is a path")
}

/// A status, as an error of a test.
pub fn said(status: &Status) -> anyhow::Error {
    anyhow!("{:?}: {}", status.code(), status.message())
}
