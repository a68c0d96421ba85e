//! A control plane for one Envoy, and the Envoy.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aviary_mesh::MeshConfig;
use aviary_xds::Snapshot;
use aviary_xds::ads::{Push, ServerSession};
use aviary_xds::protobuf::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use aviary_xds::protobuf::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// How long Envoy may take to start and to accept everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// How Envoy asks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    /// Incrementally.
    Delta,
    /// For the state of the world.
    Sotw,
}

/// The Envoy to test with. The Python package's start script needs its package on the path, so
/// the program beside it is taken.
pub(crate) fn envoy_program() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("AVIARY_TEST_ENVOY")?);
    let script = std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"#!"));
    if !script {
        return Some(path);
    }
    let program = path.parent()?.parent()?.join("envoy/_bin/envoy");
    program.is_file().then_some(program)
}

/// What the client said last.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    acked: bool,
    refusals: Vec<String>,
}

/// An Envoy that holds its whole configuration.
pub(crate) struct Envoy {
    child: Child,
    server: JoinHandle<()>,
    _folder: Folder,
}

impl Envoy {
    /// Starts Envoy and waits until it accepted everything.
    ///
    /// # Errors
    /// What Envoy refused, or its log when it does not come up.
    pub(crate) async fn start(
        program: &Path,
        mesh: &Arc<MeshConfig>,
        protocol: Protocol,
    ) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let control = listener.local_addr()?;
        let (said, mut state) = watch::channel(State::default());
        let snapshot = Arc::new(Snapshot::new(1, Arc::clone(mesh), None));
        let service = AggregatedDiscoveryServiceServer::new(Ads { snapshot, said });
        let server = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let server = tonic::transport::Server::builder().add_service(service);
            drop(server.serve_with_incoming(incoming).await);
        });
        let folder = Folder::new(control.port())?;
        let bootstrap = folder.0.join("bootstrap.json");
        let log = folder.0.join("envoy.log");
        std::fs::write(&bootstrap, bootstrap_json(control, protocol))?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&bootstrap)
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-path"])
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("Envoy does not start")?;
        let settled = state.wait_for(|state| state.acked || !state.refusals.is_empty());
        let state = match tokio::time::timeout(PATIENCE, settled).await {
            Ok(state) => state?.clone(),
            Err(_) => bail!("Envoy accepted nothing: {}", std::fs::read_to_string(&log)?),
        };
        if !state.refusals.is_empty() {
            bail!("Envoy refused: {}", state.refusals.join("; "));
        }
        Ok(Self {
            child,
            server,
            _folder: folder,
        })
    }

    /// Ends Envoy and its control plane.
    ///
    /// # Errors
    /// When the process cannot be ended.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.server.abort();
        Ok(self.child.kill().await?)
    }
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(port: u16) -> Result<Self> {
        let name = format!("aviary-envoy-{}-{port}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn bootstrap_json(control: SocketAddr, protocol: Protocol) -> String {
    let kind = match protocol {
        Protocol::Delta => "DELTA_GRPC",
        Protocol::Sotw => "GRPC",
    };
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let ads = serde_json::json!({"resource_api_version": "V3", "ads": {}});
    let address = serde_json::json!({"socket_address": {
        "address": control.ip().to_string(), "port_value": control.port(),
    }});
    serde_json::json!({
        "node": {"id": "sidecar~10.244.0.9~test.default~default.svc.cluster.local", "cluster": "t"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": kind, "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}],
            },
            "cds_config": ads, "lds_config": ads,
        },
        "static_resources": {"clusters": [{
            "name": "control", "type": "STATIC",
            "typed_extension_protocol_options": {options: {
                "@type": format!("type.googleapis.com/{options}"),
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "load_assignment": {"cluster_name": "control", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address}}]},
            ]},
        }]},
    })
    .to_string()
}

struct Ads {
    snapshot: Arc<Snapshot>,
    said: watch::Sender<State>,
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Ads {
    fn serve<Q: Send + 'static, R: Send + 'static>(
        &self,
        mut requests: Streaming<Q>,
        handle: impl Fn(&mut ServerSession, Q) + Send + 'static,
        reply: impl Fn(Push) -> Option<R> + Send + 'static,
    ) -> Replies<R> {
        let mut session = ServerSession::new();
        session.set_snapshot(Arc::clone(&self.snapshot));
        let (sender, receiver) = mpsc::channel(16);
        let said = self.said.clone();
        tokio::spawn(async move {
            let start = Instant::now();
            while let Some(Ok(request)) = requests.next().await {
                handle(&mut session, request);
                while let Some(push) = session.poll_response(start.elapsed()) {
                    let Some(message) = reply(push) else { return };
                    if sender.send(Ok(message)).await.is_err() {
                        return;
                    }
                }
                let refusal = |(kind, nack): (_, &aviary_xds::ads::Nack)| {
                    format!("{kind} {:?}: {}", nack.resources, nack.message)
                };
                said.send_replace(State {
                    acked: session.acked().is_some(),
                    refusals: session.nacks().map(refusal).collect(),
                });
            }
        });
        Box::pin(ReceiverStream::new(receiver))
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Ads {
    type StreamAggregatedResourcesStream = Replies<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Replies<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let reply = |push| match push {
            Push::Sotw(message) => Some(message),
            Push::Delta(_) => None,
        };
        Ok(Response::new(self.serve(
            request.into_inner(),
            ServerSession::handle_sotw,
            reply,
        )))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let reply = |push| match push {
            Push::Delta(message) => Some(message),
            Push::Sotw(_) => None,
        };
        Ok(Response::new(self.serve(
            request.into_inner(),
            ServerSession::handle_delta,
            reply,
        )))
    }
}
