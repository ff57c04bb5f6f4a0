//! containerd's service of snapshots.

use std::pin::Pin;

use prost::Message as _;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::answer::Answerer;
use crate::error::Error;
use crate::filter::Filters;
use crate::mounts::Mount;
use crate::protocol::containerd::services::snapshots::v1 as api;
use crate::protocol::containerd::types;
use crate::snapshots::Info;
use crate::state::Kind;

/// How much of a list is in one message, at least one snapshot: a client that gets more than it takes, which is 4 MiB for
/// gRPC's and 16 MiB for containerd's, gets nothing of the list. That labels have 4 KiB each says nothing of how many there
/// are: what a pod's annotations say under `containerd.io/snapshot/` is in them, 256 KiB of it.
const MESSAGE_BYTES: usize = 1024 * 1024;

pub(super) struct Service {
    answerer: Answerer,
}

impl Service {
    pub(super) const fn new(answerer: Answerer) -> Self {
        Self { answerer }
    }
}

#[tonic::async_trait]
impl api::snapshots_server::Snapshots for Service {
    async fn prepare(
        &self,
        request: Request<api::PrepareSnapshotRequest>,
    ) -> Result<Response<api::PrepareSnapshotResponse>, Status> {
        let api::PrepareSnapshotRequest { snapshotter: _, key, parent, labels } = request.into_inner();
        let labels = labels.into_iter().collect();
        let mounts =
            self.answerer.ask("Prepare", &key.clone(), move |it| it.prepare(&key, &parent, labels)).await?;
        Ok(Response::new(api::PrepareSnapshotResponse { mounts: mounts.into_iter().map(mount).collect() }))
    }

    async fn view(
        &self,
        request: Request<api::ViewSnapshotRequest>,
    ) -> Result<Response<api::ViewSnapshotResponse>, Status> {
        let api::ViewSnapshotRequest { snapshotter: _, key, parent, labels } = request.into_inner();
        let labels = labels.into_iter().collect();
        let mounts =
            self.answerer.ask("View", &key.clone(), move |it| it.view(&key, &parent, labels)).await?;
        Ok(Response::new(api::ViewSnapshotResponse { mounts: mounts.into_iter().map(mount).collect() }))
    }

    async fn mounts(
        &self,
        request: Request<api::MountsRequest>,
    ) -> Result<Response<api::MountsResponse>, Status> {
        let key = request.into_inner().key;
        let mounts = self.answerer.ask("Mounts", &key.clone(), move |it| it.mounts(&key)).await?;
        Ok(Response::new(api::MountsResponse { mounts: mounts.into_iter().map(mount).collect() }))
    }

    async fn commit(&self, request: Request<api::CommitSnapshotRequest>) -> Result<Response<()>, Status> {
        let api::CommitSnapshotRequest { snapshotter: _, name, key, labels, parent } = request.into_inner();
        let labels = labels.into_iter().collect();
        self.answerer
            .ask("Commit", &name.clone(), move |it| it.commit(&name, &key, labels, &parent))
            .await
            .map(Response::new)
    }

    async fn remove(&self, request: Request<api::RemoveSnapshotRequest>) -> Result<Response<()>, Status> {
        let key = request.into_inner().key;
        self.answerer.ask("Remove", &key.clone(), move |it| it.remove(&key)).await.map(Response::new)
    }

    async fn stat(
        &self,
        request: Request<api::StatSnapshotRequest>,
    ) -> Result<Response<api::StatSnapshotResponse>, Status> {
        let key = request.into_inner().key;
        let found = self.answerer.ask("Stat", &key.clone(), move |it| it.stat(&key)).await?;
        Ok(Response::new(api::StatSnapshotResponse { info: Some(info(found)) }))
    }

    async fn update(
        &self,
        request: Request<api::UpdateSnapshotRequest>,
    ) -> Result<Response<api::UpdateSnapshotResponse>, Status> {
        let api::UpdateSnapshotRequest { snapshotter: _, info: asked, update_mask } = request.into_inner();
        let asked = asked.ok_or_else(|| super::answer::status(&Error::Lacks("snapshot")))?;
        let fields = update_mask.map(|mask| mask.paths).unwrap_or_default();
        let labels = asked.labels.into_iter().collect();
        let updated = self
            .answerer
            .ask("Update", &asked.name.clone(), move |it| it.update(&asked.name, &labels, &fields))
            .await?;
        Ok(Response::new(api::UpdateSnapshotResponse { info: Some(info(updated)) }))
    }

    type ListStream = Pin<Box<dyn Stream<Item = Result<api::ListSnapshotsResponse, Status>> + Send>>;

    async fn list(
        &self,
        request: Request<api::ListSnapshotsRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let filters = request.into_inner().filters;
        let found = self
            .answerer
            .ask("List", &filters.join(" "), move |it| Ok(it.list(&Filters::parse(&filters)?)))
            .await?;
        Ok(Response::new(Box::pin(tokio_stream::iter(messages(found.into_iter().map(info)).map(Ok)))))
    }

    async fn usage(
        &self,
        request: Request<api::UsageRequest>,
    ) -> Result<Response<api::UsageResponse>, Status> {
        let key = request.into_inner().key;
        let usage = self.answerer.ask("Usage", &key.clone(), move |it| it.usage(&key)).await?;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let (size, inodes) = (number(usage.size_bytes), number(usage.inodes));
        Ok(Response::new(api::UsageResponse { size, inodes }))
    }

    async fn cleanup(&self, _request: Request<api::CleanupRequest>) -> Result<Response<()>, Status> {
        self.answerer.ask("Cleanup", "", |it| it.sweep().map(drop)).await.map(Response::new)
    }
}

/// A list, in pieces that clients take.
fn messages(infos: impl Iterator<Item = api::Info>) -> impl Iterator<Item = api::ListSnapshotsResponse> {
    let mut infos = infos.peekable();
    std::iter::from_fn(move || {
        let mut info = vec![infos.next()?];
        let mut bytes = info[0].encoded_len();
        while let Some(next) = infos.next_if(|next| bytes + next.encoded_len() <= MESSAGE_BYTES) {
            bytes += next.encoded_len();
            info.push(next);
        }
        Some(api::ListSnapshotsResponse { info })
    })
}

fn mount(mount: Mount) -> types::Mount {
    let Mount { fs_type, source, options } = mount;
    types::Mount { r#type: fs_type.to_owned(), source, target: String::new(), options }
}

fn info(info: Info) -> api::Info {
    let kind = match info.kind {
        Kind::View => api::Kind::View,
        Kind::Active => api::Kind::Active,
        Kind::Committed => api::Kind::Committed,
    };
    api::Info {
        name: info.name,
        parent: info.parent,
        kind: kind.into(),
        created_at: Some(info.created.into()),
        updated_at: Some(info.updated.into()),
        labels: info.labels.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred snapshots were one message, whatever was in them: those who may make pods had containerd, which takes
    /// 16 MiB, list nothing any more, and so remove nothing.
    #[test]
    fn a_list_is_in_messages_that_clients_take_whatever_labels_there_are() {
        let labelled = |name: usize, labels: usize| api::Info {
            name: name.to_string(),
            labels: (0..labels)
                .map(|key| (format!("containerd.io/snapshot/{key}"), "x".repeat(4000)))
                .collect(),
            ..api::Info::default()
        };
        // 64 labels of 4 KiB are what a pod can have; the last is the largest that a client can send at all.
        let sizes = [0, 64, 64, 64, 64, 64, 0, 0, 1000, 0];
        let infos: Vec<api::Info> = (0..100).map(|name| labelled(name, sizes[name % sizes.len()])).collect();
        let messages: Vec<_> = messages(infos.clone().into_iter()).collect();
        for message in &messages {
            assert!(message.encoded_len() < 2 * MESSAGE_BYTES || message.info.len() == 1);
            assert!(message.encoded_len() < 4 * 1024 * 1024 + MESSAGE_BYTES);
        }
        assert!(messages.len() < infos.len() / 2, "small ones go together");
        let listed: Vec<api::Info> = messages.into_iter().flat_map(|message| message.info).collect();
        assert_eq!(listed, infos, "each once, in their order");
        assert_eq!(super::messages(std::iter::empty()).count(), 0);
    }
}
