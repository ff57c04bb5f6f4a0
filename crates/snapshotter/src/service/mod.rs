//! The socket: containerd's protocols, in and out. Calls are done by threads that may block; here they are waited for.

mod afterwards;
mod answer;
mod content;
mod diff;
mod listen;
mod ready;
mod scraped;
mod snapshots;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

pub use listen::{ListenError, Listener};

use crate::event::Observer;
use crate::protocol::containerd::services::diff::v1::diff_server::DiffServer;
use crate::protocol::containerd::services::snapshots::v1::snapshots_server::SnapshotsServer;
use crate::snapshots::Snapshotter;
use answer::Answerer;
use content::{Blobs, Content};

/// How long calls may take that have begun when the program is asked to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves on `listener`, for the containerd whose own socket is `containerd`, until `stopped` is ready and the calls that had
/// begun have ended, or had their time. `observer` hears what happens.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: Listener,
    snapshotter: Arc<Snapshotter>,
    containerd: PathBuf,
    observer: Observer,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (socket, place) = listener.into_parts();
    let incoming = UnixListenerStream::new(tokio::net::UnixListener::from_std(socket)?);
    let content = Content::new(containerd);
    ready::start(&snapshotter)?;
    snapshotter.ask_of_images(Blobs::new(content.clone(), Handle::current()));
    afterwards::start(&snapshotter, Blobs::new(content.clone(), Handle::current()), Arc::clone(&observer))?;
    let answerer = Answerer::new(Arc::clone(&snapshotter), observer);
    let (stop, is_stopped) = tokio::sync::oneshot::channel::<()>();
    let routes = scraped::routes(snapshotter)
        .add_service(DiffServer::new(diff::Service::new(answerer.clone(), content)))
        .add_service(SnapshotsServer::new(snapshots::Service::new(answerer)));
    let server = Server::builder()
        // Whoever reads the metrics speaks it.
        .accept_http1(true)
        .add_routes(routes)
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
