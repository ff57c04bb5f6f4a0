//! The metrics, for who asks for them by HTTP on the same socket.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tonic::service::Routes;

use crate::snapshots::Snapshotter;

/// What Prometheus wants to be told of its own format.
const FORMAT: &str = "text/plain; version=0.0.4";

/// `/metrics`, beside which gRPC's services go.
pub(super) fn routes(snapshotter: Arc<Snapshotter>) -> Routes {
    let text = move || {
        let snapshotter = Arc::clone(&snapshotter);
        async move { ([(CONTENT_TYPE, FORMAT)], snapshotter.metrics().text(&snapshotter.count())) }
    };
    Routes::from(Router::new().route("/metrics", get(text)))
}
