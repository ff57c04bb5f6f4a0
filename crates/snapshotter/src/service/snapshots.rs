//! containerd's service of snapshots.

use std::pin::Pin;

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

/// How many snapshots are in one message of a list. With labels of 4 KiB each, it stays below gRPC's 4 MiB.
const LISTED_AT_ONCE: usize = 100;

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
        let mut found = found.into_iter().map(info).peekable();
        let messages = std::iter::from_fn(move || {
            found.peek()?;
            Some(Ok(api::ListSnapshotsResponse { info: found.by_ref().take(LISTED_AT_ONCE).collect() }))
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
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
