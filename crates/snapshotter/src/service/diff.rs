//! containerd's service of diffs: layers that are applied.

use tokio::runtime::Handle;
use tonic::{Request, Response, Status};

use super::answer::{Answerer, status};
use super::content::{Content, NAMESPACE};
use crate::error::Error;
use crate::protocol::containerd::services::diff::v1 as api;
use crate::protocol::containerd::types;
use crate::snapshots::{Blob, Given};

pub(super) struct Service {
    answerer: Answerer,
    content: Content,
}

impl Service {
    pub(super) const fn new(answerer: Answerer, content: Content) -> Self {
        Self { answerer, content }
    }
}

#[tonic::async_trait]
impl api::diff_server::Diff for Service {
    /// `ctr` of 1.7 sends no namespace: that is the one of the snapshot then.
    async fn apply(
        &self,
        request: Request<api::ApplyRequest>,
    ) -> Result<Response<api::ApplyResponse>, Status> {
        let namespace = request.metadata().get(NAMESPACE).and_then(|value| value.to_str().ok());
        let namespace = namespace.filter(|name| !name.is_empty()).map(str::to_owned);
        let api::ApplyRequest { diff, mounts } = request.into_inner();
        let blob = diff.ok_or(Error::Lacks("descriptor")).and_then(blob).map_err(|error| status(&error))?;
        let (content, handle) = (self.content.clone(), Handle::current());
        let of = blob.digest.to_string();
        let applied = self.answerer.ask("Apply", &of, move |snapshotter| {
            let given: Vec<Given<'_>> = mounts.iter().map(given).collect();
            let target = snapshotter.target(&given, &blob)?;
            let namespace = namespace.unwrap_or_else(|| target.namespace().to_owned());
            snapshotter.apply(&target, &blob, || content.open(&handle, &namespace, &blob.digest))
        });
        let applied = applied.await?;
        Ok(Response::new(api::ApplyResponse {
            applied: Some(types::Descriptor {
                media_type: sealpack_oci::media_type::OCI_LAYER.to_owned(),
                digest: applied.layer.to_string(),
                size: i64::try_from(applied.size_bytes).unwrap_or(i64::MAX),
                annotations: std::collections::HashMap::new(),
            }),
        }))
    }

    /// containerd does this itself, by looking into what is mounted.
    async fn diff(&self, _request: Request<api::DiffRequest>) -> Result<Response<api::DiffResponse>, Status> {
        Err(Status::unimplemented("sealpack: differences are left to others"))
    }
}

fn given(mount: &types::Mount) -> Given<'_> {
    Given { source: &mount.source, options: &mount.options }
}

fn blob(descriptor: types::Descriptor) -> Result<Blob, Error> {
    let types::Descriptor { media_type, digest, size, annotations: _ } = descriptor;
    let digest = digest.parse().map_err(|error| Error::Descriptor(format!("{error}")))?;
    let size_bytes = u64::try_from(size).map_err(|_| Error::Descriptor(format!("its size is {size}")))?;
    Ok(Blob { digest, size_bytes, media_type })
}
