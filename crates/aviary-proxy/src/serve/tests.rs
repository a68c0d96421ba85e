//! A whole proxy: configuration by ADS from a real server session, admin pages, state on disk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use aviary_mesh::cluster::{Balance, Limits, UpstreamProtocol};
use aviary_mesh::listener::{ChainMatch, Direction, HttpChain, RouteSource};
use aviary_mesh::route::{DirectResponse, HeaderEdits, RouteAction, RouteMatch};
use aviary_mesh::{
    ChainAction, Cluster, Discovery, FilterChain, Listener, MeshConfig, Route, RouteTable,
    VirtualHost,
};
use aviary_xds::bootstrap::Server;
use aviary_xds::protobuf::envoy::config::core::v3::Node;
use aviary_xds::protobuf::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use aviary_xds::protobuf::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::ProxyKind;
use crate::config::{Life, Ports, Xds};

mod hand_over;
mod telemetry;

fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("aviary-proxy-{}-{name}", std::process::id()));
    // Left over from a run that was stopped.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn config(folder: &Path) -> Config {
    Config {
        kind: ProxyKind::Router,
        node: Node {
            id: "router~10.244.0.3~gateway-1.istio-system~istio-system.svc.cluster.local".into(),
            ..Node::default()
        },
        fixed: Arc::default(),
        pod: "gateway-1".into(),
        namespace: "istio-system".into(),
        address: "10.244.0.3".parse().unwrap(),
        service_account: "default".into(),
        workload: "gateway".into(),
        labels: std::iter::once(("istio".to_owned(), "ingressgateway".to_owned())).collect(),
        xds: Some(Xds {
            server: Server::Unix(folder.join("xds.sock")),
            metadata: vec![("authorization".into(), "Bearer secret".into())],
        }),
        state: Some(folder.join("proxy")),
        inherited: Vec::new(),
        workers: 2,
        ports: Ports {
            admin: Some(free()),
            metrics: Some(free()),
            readiness: Some(free()),
        },
        drain_limit: Duration::from_secs(2),
        access_log: false,
        life: Life::default(),
    }
}

/// A listener that answers everything with `body`, and a cluster for good measure.
#[expect(clippy::too_many_lines, reason = "a configuration")]
fn mesh(address: SocketAddr, body: &str) -> MeshConfig {
    let route = Route {
        name: "default".into(),
        matches: RouteMatch::default(),
        action: RouteAction::Direct(DirectResponse {
            status: 200,
            body: body.into(),
        }),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        fault: None,
        origin: String::new(),
        operation: String::new(),
        ..Route::default()
    };
    let table = RouteTable {
        name: "http.80".into(),
        virtual_hosts: vec![VirtualHost {
            name: "any:80".into(),
            domains: vec!["*".into()],
            routes: vec![route],
            include_attempt_count: false,
            ..VirtualHost::default()
        }],
        ignore_port_in_host: true,
        ..RouteTable::default()
    };
    let chain = HttpChain {
        stat_prefix: "http".into(),
        direction: Direction::Outbound,
        routes: RouteSource::Named("http.80".into()),
        use_remote_address: true,
        access_log: vec![aviary_mesh::access_log::AccessLog::istio()],
        server_name: "istio-envoy".into(),
        tracing: Some(aviary_mesh::listener::Tracing {
            random_percent: 1.0,
            ..aviary_mesh::listener::Tracing::default()
        }),
        ..HttpChain::default()
    };
    let listener = Listener {
        name: "main".into(),
        address,
        bind_to_port: true,
        use_original_dst: false,
        direction: Direction::Outbound,
        http_inspector: false,
        tls_inspector: false,
        inspect_timeout: Duration::ZERO,
        chains: vec![FilterChain {
            tls: None,
            name: "main".into(),
            matches: ChainMatch::default(),
            action: ChainAction::Http(chain),
            ..FilterChain::default()
        }],
        default_chain: None,
        ..Listener::default()
    };
    let cluster = Cluster {
        tls: aviary_mesh::tls::ClusterTls::default(),
        name: "outbound|80||nowhere.default.svc.cluster.local".into(),
        discovery: Discovery::Eds,
        connect_timeout: Duration::from_secs(10),
        balance: Balance::LeastRequest,
        limits: Limits::default(),
        outlier: None,
        protocol: UpstreamProtocol::Http1,
        source_address: None,
        idle_timeout: None,
        service: None,
        ..Cluster::default()
    };
    let mut mesh = MeshConfig::default();
    mesh.listeners
        .insert(listener.name.clone(), Arc::new(listener));
    mesh.routes.insert(table.name.clone(), Arc::new(table));
    mesh.clusters
        .insert(cluster.name.clone(), Arc::new(cluster));
    mesh
}

/// What a method of the service streams.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A control plane that gives everybody the configuration of the moment.
struct Control(watch::Receiver<Arc<aviary_xds::Snapshot>>);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Control {
    type StreamAggregatedResourcesStream = Answers<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("delta only"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        if request
            .metadata()
            .get("authorization")
            .is_none_or(|token| token != "Bearer secret")
        {
            return Err(Status::unauthenticated("wrong token"));
        }
        let mut requests = request.into_inner();
        let mut snapshots = self.0.clone();
        let (send, receive) = mpsc::channel(16);
        tokio::spawn(async move {
            let begin = Instant::now();
            let mut session = aviary_xds::ads::ServerSession::new();
            let snapshot = snapshots.borrow_and_update().clone();
            session.set_snapshot(snapshot);
            loop {
                while let Some(push) = session.poll_response(begin.elapsed()) {
                    let aviary_xds::ads::Push::Delta(response) = push else {
                        return;
                    };
                    if send.send(Ok(response)).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    request = requests.next() => match request {
                        Some(Ok(request)) => session.handle_delta(request),
                        _ => return,
                    },
                    changed = snapshots.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let snapshot = snapshots.borrow_and_update().clone();
                        session.set_snapshot(snapshot);
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(
            tokio_stream::wrappers::ReceiverStream::new(receive),
        )))
    }
}

/// Starts the control plane on the proxy's socket.
fn control(folder: &Path, mesh: MeshConfig) -> watch::Sender<Arc<aviary_xds::Snapshot>> {
    let first = aviary_xds::Snapshot::new(1, Arc::new(mesh), None);
    let (publish, snapshots) = watch::channel(Arc::new(first));
    let socket = UnixListener::bind(folder.join("xds.sock")).unwrap();
    let service = AggregatedDiscoveryServiceServer::new(Control(snapshots));
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(UnixListenerStream::new(socket)),
    );
    publish
}

/// Status and body of a page; status 0 when nobody listens.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::AsyncReadExt as _;
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return (0, String::new());
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Asks until the answer is as wanted.
async fn until(address: SocketAddr, path: &str, wanted: (u16, &str)) {
    let asked = async {
        loop {
            let got = get(address, path).await;
            if (got.0, got.1.as_str()) == wanted {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(20);
    assert!(
        tokio::time::timeout(limit, asked).await.is_ok(),
        "{path} becomes {wanted:?}"
    );
}

#[tokio::test]
async fn run_follows_the_control_plane_and_outlives_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder("ads");
    let (config, drain) = (config(&folder), CancellationToken::new());
    let [admin, metrics, readiness] = [
        config.ports.admin.unwrap(),
        config.ports.metrics.unwrap(),
        config.ports.readiness.unwrap(),
    ];
    let address = free();
    let proxy = tokio::spawn(run(config.clone(), drain.clone()));

    let waiting = (503, "waiting for the first configuration\n");
    until(readiness, "/healthz/ready", waiting).await;
    let publish = control(&folder, mesh(address, "one"));
    until(readiness, "/healthz/ready", (200, "LIVE\n")).await;
    assert_eq!(get(address, "/").await, (200, "one".to_owned()));

    let previous = publish.borrow().clone();
    let next = aviary_xds::Snapshot::new(2, Arc::new(mesh(address, "two")), Some(&previous));
    publish.send_replace(Arc::new(next));
    until(address, "/", (200, "two")).await;

    let (status, dump) = get(admin, "/config_dump").await;
    let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        dump["node"],
        "router~10.244.0.3~gateway-1.istio-system~istio-system.svc.cluster.local"
    );
    assert_eq!(dump["xds"]["connected"], true);
    assert!(dump["config"]["routes"]["http.80"].is_object());
    let (_, metrics) = get(metrics, "/stats/prometheus").await;
    assert!(metrics.contains("istio_build{component=\"proxy\""));
    assert!(metrics.contains("source_workload=\"gateway\""));

    drain.cancel();
    proxy.await.unwrap().unwrap();
    assert_eq!(get(address, "/").await.0, 0);

    // Once more, with nobody on the socket.
    std::fs::remove_file(folder.join("xds.sock")).unwrap();
    let kept = folder.join("proxy/config.json");
    assert_eq!(
        std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let drain = CancellationToken::new();
    let proxy = tokio::spawn(run(config, drain.clone()));
    until(readiness, "/healthz/ready", (200, "LIVE\n")).await;
    assert_eq!(get(address, "/").await, (200, "two".to_owned()));
    drain.cancel();
    proxy.await.unwrap().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}
