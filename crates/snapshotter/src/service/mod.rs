//! The socket: containerd's protocols, in and out. Calls are done by threads that may block; here they are waited for.

mod answer;
mod content;
mod diff;
mod listen;
mod snapshots;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

pub use listen::{ListenError, Listener};

use crate::protocol::containerd::services::diff::v1::diff_server::DiffServer;
use crate::protocol::containerd::services::snapshots::v1::snapshots_server::SnapshotsServer;
use crate::snapshots::Snapshotter;
use content::Content;

/// How long calls may take that have begun when the program is asked to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves on `listener`, for the containerd whose own socket is `containerd`, until `stopped` is ready and the calls that had begun have ended, or had their time.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: Listener,
    snapshotter: Arc<Snapshotter>,
    containerd: PathBuf,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (socket, place) = listener.into_parts();
    let incoming = UnixListenerStream::new(tokio::net::UnixListener::from_std(socket)?);
    let (stop, is_stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::builder()
        .add_service(DiffServer::new(diff::Service::new(Arc::clone(&snapshotter), Content::new(containerd))))
        .add_service(SnapshotsServer::new(snapshots::Service::new(snapshotter)))
        .serve_with_incoming_shutdown(incoming, async {
            // An end of whoever would say it is one, too.
            _ = is_stopped.await;
        });
    let server = tokio::spawn(server);
    stopped.await;
    drop(stop);
    let ended = tokio::time::timeout(PATIENCE, server).await;
    drop(place);
    match ended {
        Ok(Ok(served)) => served.map_err(io::Error::other),
        Ok(Err(panic)) => Err(io::Error::other(panic)),
        // Whatever is not done by now is as if the program had been killed, which nothing minds.
        Err(_) => Ok(()),
    }
}
