//! A control plane for one proxy, which gives what a test says.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aviary_mesh::MeshConfig;
use aviary_xds::Snapshot;
use aviary_xds::ads::{Push, ServerSession};
use aviary_xds::protobuf::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use aviary_xds::protobuf::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::free_address;

/// How long a proxy may take to accept what it is given.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the proxy said last.
#[derive(Debug, Clone, Default)]
struct Said {
    acked: Option<u64>,
    refusals: Vec<String>,
}

/// A control plane; it is gone when the value is dropped.
#[derive(Debug)]
pub struct Control {
    address: SocketAddr,
    version: u64,
    snapshots: watch::Sender<Arc<Snapshot>>,
    said: watch::Receiver<Said>,
    runtime: Runtime,
}

impl Control {
    /// Starts one that gives `mesh`.
    ///
    /// # Errors
    /// There is no free address.
    pub fn start(mesh: MeshConfig) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let first = Arc::new(Snapshot::new(1, Arc::new(mesh), None));
        let (snapshots, following) = watch::channel(first);
        let (telling, said) = watch::channel(Said::default());
        let service = AggregatedDiscoveryServiceServer::new(Ads { following, telling });
        let listener = runtime.block_on(tokio::net::TcpListener::bind(free_address()?))?;
        let address = listener.local_addr()?;
        runtime.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            drop(
                server
                    .serve_with_incoming(TcpListenerStream::new(listener))
                    .await,
            );
        });
        Ok(Self {
            address,
            version: 1,
            snapshots,
            said,
            runtime,
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives something else, and waits until the proxy has it.
    ///
    /// # Errors
    /// The proxy refuses it, or says nothing in time.
    pub fn publish(&mut self, mesh: MeshConfig) -> Result<()> {
        self.version += 1;
        let version = self.version;
        let before = Arc::clone(&self.snapshots.borrow());
        let next = Snapshot::new(version, Arc::new(mesh), Some(&before));
        self.snapshots.send_replace(Arc::new(next));
        let settled = self
            .said
            .wait_for(|said| said.acked == Some(version) || !said.refusals.is_empty());
        let settled = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, settled).await });
        let said = settled??;
        ensure!(
            said.refusals.is_empty(),
            "refused: {}",
            said.refusals.join("; ")
        );
        Ok(())
    }
}

struct Ads {
    following: watch::Receiver<Arc<Snapshot>>,
    telling: watch::Sender<Said>,
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One stream: what the proxy says and what the test gives lead to responses.
async fn converse(
    mut requests: Streaming<DeltaDiscoveryRequest>,
    mut following: watch::Receiver<Arc<Snapshot>>,
    telling: watch::Sender<Said>,
    replies: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
) {
    let start = Instant::now();
    let mut session = ServerSession::new();
    session.set_snapshot(Arc::clone(&following.borrow_and_update()));
    loop {
        tokio::select! {
            request = requests.next() => match request {
                Some(Ok(request)) => session.handle_delta(request),
                _ => return,
            },
            changed = following.changed() => match changed {
                Ok(()) => session.set_snapshot(Arc::clone(&following.borrow_and_update())),
                Err(_) => return,
            },
        }
        while let Some(Push::Delta(message)) = session.poll_response(start.elapsed()) {
            if replies.send(Ok(message)).await.is_err() {
                return;
            }
        }
        telling.send_replace(Said {
            acked: session.acked(),
            refusals: session
                .nacks()
                .map(|(kind, nack)| format!("{kind} {:?}: {}", nack.resources, nack.message))
                .collect(),
        });
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Ads {
    type StreamAggregatedResourcesStream = Replies<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Replies<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only what is incremental"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (sender, receiver) = mpsc::channel(16);
        let (following, telling) = (self.following.clone(), self.telling.clone());
        tokio::spawn(converse(request.into_inner(), following, telling, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
