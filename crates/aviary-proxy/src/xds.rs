//! The client of the control plane: keeps an ADS stream open and publishes what it brings.

mod status;

use std::sync::Arc;
use std::time::Duration;

use aviary_xds::Resource;
use aviary_xds::ads::ClientSession;
use aviary_xds::bootstrap::Server;
use aviary_xds::protobuf::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use aviary_xds::protobuf::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use hyper_util::rt::TokioIo;
use rand::Rng as _;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::config::{Config, Xds};
use crate::honoured;
use crate::serve::Handles;
use crate::snapshot::Snapshot;
use crate::worker::Query;

pub(crate) use status::Status;

/// First and longest pause before the control plane is tried again; doubled in between.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Largest message that is read, in bytes: the whole configuration of a big mesh.
const MESSAGE_LIMIT: usize = 64 << 20;

/// Requests that may wait to be sent; each response makes a few at most.
const REQUEST_QUEUE: usize = 64;

/// A connection that is not there after this long is tried anew.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A silent control plane is given up after about twice this.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// What is published to the workers.
pub(crate) type Publish = watch::Sender<Option<Arc<Snapshot>>>;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The socket cannot be connected to.
    #[error("cannot reach the control plane: {0}")]
    Connect(#[from] tonic::transport::Error),
    /// The control plane's words.
    #[error("the control plane ended the stream: {}", .0.message())]
    Refused(Box<tonic::Status>),
    /// The control plane is done.
    #[error("the control plane closed the stream")]
    Closed,
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// Keeps the proxy's configuration up to date.
pub(crate) struct Client {
    server: Xds,
    session: ClientSession,
    publish: Publish,
    workers: Handles,
    status: Arc<Status>,
}

impl Client {
    /// A client for the proxy that `config` describes.
    pub(crate) fn new(
        config: &Config,
        server: Xds,
        publish: Publish,
        workers: Handles,
        status: Arc<Status>,
    ) -> Self {
        let session = ClientSession::new(config.node.clone())
            .with_fixed(&config.fixed)
            .with_judge(judge);
        Self {
            server,
            session,
            publish,
            workers,
            status,
        }
    }

    /// Runs until it is dropped: a stream that ends is opened again.
    pub(crate) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.status.responses();
            let ended = self.stream().await;
            if let Err(error) = &ended {
                tracing::info!(%error, "configuration stays as it is");
            }
            self.status.update(|state| {
                state.connected = false;
                state.last_error = ended.err().map(|error| error.to_string());
            });
            if self.status.responses() > before {
                pause = FIRST_PAUSE;
            }
            // Jittered, so that proxies do not all come back at once.
            let part: f64 = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(pause.mul_f64(part)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One stream to its end.
    async fn stream(&mut self) -> Result<(), Error> {
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel().await?)
            .max_decoding_message_size(MESSAGE_LIMIT);
        let (requests, queue) = mpsc::channel(REQUEST_QUEUE);
        for request in self.session.connect() {
            send(&requests, request).await?;
        }
        let mut call = tonic::Request::new(ReceiverStream::new(queue));
        for (name, value) in &self.server.metadata {
            let (key, value) = metadata(name, value)?;
            call.metadata_mut().insert(key, value);
        }
        let mut responses = client.delta_aggregated_resources(call).await?.into_inner();
        self.status.update(|state| {
            state.connected = true;
            state.connects += 1;
        });
        while let Some(response) = responses.message().await? {
            let answers = self.session.handle_response(response);
            self.note_response();
            if self.publish() {
                // Before it is acknowledged: a pod ends once every proxy has said that it sends
                // it nothing.
                self.workers.ask(Query::InUse).await;
            }
            for answer in answers {
                send(&requests, answer).await?;
            }
        }
        Err(Error::Closed)
    }

    fn note_response(&self) {
        let nack = self.session.last_nack();
        if let Some(reason) = nack {
            tracing::warn!(reason, "refused a part of the configuration");
        }
        self.status.update(|state| {
            state.responses += 1;
            if let Some(reason) = nack {
                state.rejects += 1;
                state.last_reject = Some(reason.to_owned());
            }
        });
    }

    /// Publishes what came, if it is whole; tells whether it was.
    fn publish(&mut self) -> bool {
        let Some(mesh) = self.session.take_config() else {
            if !self.session.is_ready() {
                tracing::debug!(missing = ?self.session.missing(), "configuration not complete");
            }
            return false;
        };
        let previous = self.publish.borrow().clone();
        let snapshot = Snapshot::new(mesh, previous.as_deref());
        self.publish.send_replace(Some(Arc::new(snapshot)));
        self.status.update(|state| state.updates += 1);
        true
    }

    async fn channel(&self) -> Result<Channel, Error> {
        let socket = match &self.server.server {
            Server::Unix(socket) => socket.clone(),
            Server::Tcp(host, port) => {
                return Ok(kept_alive(&format!("http://{host}:{port}"))?
                    .connect()
                    .await?);
            }
        };
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // The address is never looked up: the connector knows the socket.
        let endpoint = kept_alive("http://control")?;
        Ok(endpoint.connect_with_connector(connector).await?)
    }
}

/// Refuses what the model can say but this proxy cannot do.
fn judge(resource: &Resource) -> Result<(), String> {
    let problem = match resource {
        Resource::Listener(listener) => honoured::listener(listener),
        Resource::Cluster(cluster) => honoured::cluster(cluster),
        _ => None,
    };
    problem.map_or(Ok(()), Err)
}

fn kept_alive(uri: &str) -> Result<Endpoint, Error> {
    Ok(Endpoint::from_shared(uri.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true))
}

fn metadata(
    name: &str,
    value: &str,
) -> Result<(MetadataKey<Ascii>, MetadataValue<Ascii>), tonic::Status> {
    let refuse = |what| {
        tonic::Status::unauthenticated(format!(
            "{what} of the metadata `{name}` has characters it must not"
        ))
    };
    let key = name.parse().map_err(|_| refuse("the name"))?;
    Ok((key, value.parse().map_err(|_| refuse("the value"))?))
}

async fn send(
    requests: &mpsc::Sender<DeltaDiscoveryRequest>,
    request: DeltaDiscoveryRequest,
) -> Result<(), Error> {
    requests.send(request).await.map_err(|_| Error::Closed)
}
