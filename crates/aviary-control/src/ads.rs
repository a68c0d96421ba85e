//! The ADS server: one stream per proxy, each driven by a session of `aviary-xds`.

mod proxies;
mod stream;
mod token;
#[cfg(test)]
mod tests;

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use aviary_xds::protobuf::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    aggregated_discovery_service_server::{
        AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
    },
};
use tokio::{net::UnixListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};

use crate::mesh::Publisher;

pub(crate) use proxies::{Progress, Proxies};
use stream::Stream;
use token::Verifier;

/// Responses on their way to one proxy. The session sends at most one per type that is not
/// confirmed, so that more cannot wait.
const WAITING: usize = 8;

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The socket could not be made.
    #[error("cannot listen on `{path}`: {source}")]
    Listen {
        /// The socket.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
}

/// The server.
#[derive(Clone)]
pub(crate) struct Server {
    publisher: Arc<Publisher>,
    proxies: Arc<Proxies>,
    verifier: Arc<Verifier>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    /// A server of what `publisher` has, to proxies with tokens of `key`.
    pub(crate) fn new(
        publisher: Arc<Publisher>,
        proxies: Arc<Proxies>,
        key: [u8; 32],
        stop: CancellationToken,
    ) -> Self {
        let verifier = Arc::new(Verifier::new(&key));
        Self {
            publisher,
            proxies,
            verifier,
            tasks: TaskTracker::new(),
            stop,
        }
    }

    /// Serves on a unix socket until it is stopped.
    ///
    /// # Errors
    /// When the socket cannot be made or served.
    pub(crate) async fn run(self, socket: &Path) -> Result<(), Error> {
        let listener = listen(socket).map_err(|source| Error::Listen {
            path: socket.display().to_string(),
            source,
        })?;
        let (stop, tasks) = (self.stop.clone(), self.tasks.clone());
        tonic::transport::Server::builder()
            .add_service(AggregatedDiscoveryServiceServer::new(self))
            .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop.cancelled_owned())
            .await?;
        tasks.close();
        tasks.wait().await;
        Ok(())
    }

    fn stream<Message>(&self, request: &Request<Streaming<Message>>) -> Stream {
        let token = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = token
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        Stream {
            publisher: Arc::clone(&self.publisher),
            proxies: Arc::clone(&self.proxies),
            verifier: Arc::clone(&self.verifier),
            token: token.to_owned(),
            stop: self.stop.clone(),
        }
    }
}

fn listen(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Server {
    type StreamAggregatedResourcesStream = ReceiverStream<Result<DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let stream = self.stream(&request);
        let (responses, receiver) = mpsc::channel(WAITING);
        self.tasks
            .spawn(stream.run(request.into_inner(), responses));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let stream = self.stream(&request);
        let (responses, receiver) = mpsc::channel(WAITING);
        self.tasks
            .spawn(stream.run(request.into_inner(), responses));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
