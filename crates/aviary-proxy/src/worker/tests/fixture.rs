//! A worker, servers and a client on loopback, all on one thread.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use ::http::{HeaderMap, Request, Response, StatusCode};
use aviary_mesh::access_log::{AccessLog, LogSink};
use aviary_mesh::cluster::{Balance, Limits, ServiceLabels, UpstreamProtocol};
use aviary_mesh::listener::{ChainMatch, Direction, HttpChain, RouteSource, TcpBranch, TcpChain};
use aviary_mesh::route::{Forward, HeaderEdits, RouteAction, RouteMatch, WeightedCluster};
use aviary_mesh::{
    ChainAction, Cluster, Discovery, Endpoint, EndpointSet, FilterChain, Listener, MeshConfig,
    Route, RouteTable, VirtualHost,
};
use aviary_telemetry::access_log::{Entry, Moment, Texts};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::super::*;
use crate::otlp::Traced;
use crate::record::{Line, Lines, Queue, Spares};

/// A request's body.
pub(super) type Body = BoxBody<Bytes, Infallible>;

/// A body in one piece.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// No bytes.
pub(super) fn nothing() -> Body {
    Empty::new().boxed()
}

/// Runs a test with local tasks, as a worker does.
pub(super) fn on_worker_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(30), test)
            .await
            .expect("the test ends");
    });
}

/// An address that was free a moment ago.
pub(super) fn free_address() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

pub(super) fn cluster(name: &str) -> Cluster {
    Cluster {
        tls: aviary_mesh::tls::ClusterTls::default(),
        name: name.to_owned(),
        discovery: Discovery::Eds,
        connect_timeout: Duration::from_secs(2),
        balance: Balance::RoundRobin,
        limits: Limits::default(),
        outlier: None,
        protocol: UpstreamProtocol::Http1,
        source_address: None,
        idle_timeout: None,
        service: Some(ServiceLabels {
            host: "reviews.prod.svc.cluster.local".into(),
            name: "reviews".into(),
            namespace: "prod".into(),
        }),
        ..Cluster::default()
    }
}

pub(super) fn workload(name: &str) -> WorkloadLabels {
    WorkloadLabels {
        workload: name.to_owned(),
        namespace: "prod".into(),
        cluster_id: "Kubernetes".into(),
        ..WorkloadLabels::default()
    }
}

pub(super) fn forward_to(clusters: &[(&str, u32)]) -> Forward {
    let branch = |(name, weight): &(&str, u32)| WeightedCluster {
        name: (*name).to_owned(),
        weight: *weight,
        ..WeightedCluster::default()
    };
    Forward {
        clusters: clusters.iter().map(branch).collect(),
        ..Forward::default()
    }
}

pub(super) fn route(forward: Forward) -> Route {
    Route {
        name: "default".into(),
        matches: RouteMatch::default(),
        action: RouteAction::Forward(forward),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        fault: None,
        origin: String::new(),
        operation: String::new(),
        ..Route::default()
    }
}

pub(super) fn http_chain(direction: Direction, table: &str) -> HttpChain {
    HttpChain {
        stat_prefix: "test".into(),
        direction,
        routes: RouteSource::Named(table.to_owned()),
        use_remote_address: false,
        access_log: vec![AccessLog::istio()],
        server_name: "istio-envoy".into(),
        ..HttpChain::default()
    }
}

pub(super) fn tcp_chain(cluster: &str) -> TcpChain {
    TcpChain {
        stat_prefix: "test".into(),
        direction: Direction::Outbound,
        clusters: TcpBranch::only(cluster),
        access_log: vec![AccessLog::istio()],
        idle_timeout: None,
        ..TcpChain::default()
    }
}

pub(super) fn listener(address: SocketAddr, action: ChainAction) -> Listener {
    Listener {
        name: format!("listener_{}", address.port()),
        address,
        bind_to_port: true,
        use_original_dst: false,
        direction: Direction::Outbound,
        http_inspector: false,
        tls_inspector: false,
        inspect_timeout: Duration::from_secs(1),
        chains: vec![FilterChain {
            tls: None,
            name: "main".into(),
            matches: ChainMatch::default(),
            action,
            ..FilterChain::default()
        }],
        default_chain: None,
        ..Listener::default()
    }
}

/// Builds a configuration piece by piece.
#[derive(Clone, Default)]
pub(super) struct Plan(pub(super) MeshConfig);

impl Plan {
    pub(super) fn listener(mut self, listener: Listener) -> Self {
        self.0
            .listeners
            .insert(listener.name.clone(), Arc::new(listener));
        self
    }

    /// One virtual host, for `domain`, in the table `t`.
    pub(super) fn routes(mut self, domain: &str, routes: Vec<Route>) -> Self {
        let host = VirtualHost {
            name: format!("{domain}:80"),
            domains: vec![domain.to_owned()],
            routes,
            include_attempt_count: true,
            ..VirtualHost::default()
        };
        let table = RouteTable {
            name: "t".into(),
            virtual_hosts: vec![host],
            ignore_port_in_host: true,
            ..RouteTable::default()
        };
        self.0.routes.insert("t".into(), Arc::new(table));
        self
    }

    pub(super) fn cluster(mut self, cluster: Cluster, addresses: &[SocketAddr]) -> Self {
        let endpoint = |address: &SocketAddr| Endpoint {
            workload: Arc::new(workload("reviews-v1")),
            ..Endpoint::new(*address)
        };
        let set = EndpointSet {
            cluster: cluster.name.clone(),
            endpoints: addresses.iter().map(endpoint).collect(),
            ..EndpointSet::default()
        };
        self.0.endpoints.insert(cluster.name.clone(), Arc::new(set));
        self.0
            .clusters
            .insert(cluster.name.clone(), Arc::new(cluster));
        self
    }
}

/// A plain proxy: one HTTP listener, one route for everything to cluster `c`.
pub(super) fn simple(address: SocketAddr, forward: Forward, cluster_at: &[SocketAddr]) -> Plan {
    let chain = http_chain(Direction::Outbound, "t");
    Plan::default()
        .listener(listener(address, ChainAction::Http(chain)))
        .routes("*", vec![route(forward)])
        .cluster(cluster("c"), cluster_at)
}

/// The lines of one sink or several.
#[derive(Default)]
struct Written(Vec<u8>);

impl Texts for Written {
    fn of(&mut self, _: &LogSink) -> &mut Vec<u8> {
        &mut self.0
    }
}

/// A line as it is written.
pub(super) fn text(line: &Line) -> String {
    let mut written = Written::default();
    line.write(&mut Moment::default(), &mut written);
    String::from_utf8(written.0).unwrap()
}

/// A worker under test.
pub(super) struct Proxy {
    pub(super) drain: CancellationToken,
    pub(super) queries: mpsc::Sender<Query>,
    lines: mpsc::Receiver<Lines>,
    waiting: VecDeque<Box<Line>>,
    pub(super) spans: mpsc::Receiver<Vec<Traced>>,
    publish: watch::Sender<Option<Arc<Snapshot>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts one and waits until it serves `plan`.
    pub(super) async fn start(plan: Plan) -> Self {
        let options = Options {
            kind: ProxyKind::Router,
            labels: workload("productpage-v1"),
            workers: 1,
            inherited: Vec::new(),
            handed: Vec::new(),
            gate: Gate::new(10_000),
            seed: 7,
            drain_limit: Duration::from_secs(5),
        };
        let (publish, snapshots) = watch::channel(None);
        let (queries, questions) = mpsc::channel(4);
        let (to_log, lines) = Queue::new();
        let (to_export, spans) = Queue::new();
        let drain = CancellationToken::new();
        let channels = Channels {
            snapshots,
            queries: questions,
            queues: Queues {
                lines: to_log,
                spares: Spares::default(),
                spans: to_export,
            },
            drain: drain.clone(),
            ready: Arc::new(watch::channel(0).0),
        };
        let task = tokio::task::spawn_local(run(options, channels));
        let proxy = Self {
            drain,
            queries,
            lines,
            waiting: VecDeque::new(),
            spans,
            publish,
            task,
        };
        proxy.apply(plan).await;
        proxy
    }

    /// Puts another configuration into use.
    pub(super) async fn apply(&self, plan: Plan) {
        let previous = self.publish.borrow().clone();
        let snapshot = Snapshot::new(Arc::new(plan.0), previous.as_deref());
        self.publish.send_replace(Some(Arc::new(snapshot)));
        let (reply, answer) = oneshot::channel();
        self.queries.send(Query::InUse(reply)).await.unwrap();
        answer.await.unwrap();
    }

    pub(super) async fn metrics(&self) -> String {
        let (reply, answer) = oneshot::channel();
        self.queries.send(Query::Metrics(reply)).await.unwrap();
        let mut totals = aviary_telemetry::Totals::default();
        totals.merge(answer.await.unwrap(), Duration::ZERO);
        totals.text(Duration::ZERO)
    }

    pub(super) async fn clusters(&self) -> String {
        let (reply, answer) = oneshot::channel();
        self.queries.send(Query::Clusters(reply)).await.unwrap();
        answer.await.unwrap()
    }

    /// The next log line.
    pub(super) async fn next_line(&mut self) -> Line {
        while self.waiting.is_empty() {
            self.waiting.extend(self.lines.recv().await.unwrap());
        }
        *self.waiting.pop_front().unwrap()
    }

    /// What the next log line is made from.
    pub(super) async fn line(&mut self) -> Entry {
        self.next_line().await.entry
    }

    /// Waits for the end of a drain; tells how many lines and spans came that nobody has seen.
    pub(super) async fn rest(mut self) -> (usize, usize) {
        self.task.await.unwrap();
        let (mut lines, mut spans) = (self.waiting.len(), 0);
        // The worker lives on in its tasks until the thread ends.
        while let Ok(more) = self.lines.try_recv() {
            lines += more.len();
        }
        while let Ok(more) = self.spans.try_recv() {
            spans += more.len();
        }
        (lines, spans)
    }

    /// Waits for the end of a drain.
    pub(super) async fn ended(self) {
        self.task.await.unwrap();
    }
}

/// What a server did.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: Cell<u32>,
    pub(super) requests: Cell<u32>,
}

/// Starts an HTTP server; `answer` gets the request and its number, from 1.
pub(super) async fn server<A, F>(answer: A) -> (SocketAddr, Rc<Seen>)
where
    A: Fn(Request<Bytes>, u32) -> F + 'static,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (seen, answer) = (Rc::new(Seen::default()), Rc::new(answer));
    let counts = Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            counts.connections.set(counts.connections.get() + 1);
            let (counts, answer) = (Rc::clone(&counts), Rc::clone(&answer));
            tokio::task::spawn_local(async move {
                let service = service_fn(|request: Request<hyper::body::Incoming>| async {
                    counts.requests.set(counts.requests.get() + 1);
                    let number = counts.requests.get();
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    Ok::<_, Infallible>(answer(Request::from_parts(parts, body), number).await)
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, seen)
}

pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// A server that says its name.
pub(super) async fn named(name: &'static str) -> (SocketAddr, Rc<Seen>) {
    server(move |_, _| async move { answer(200, name) }).await
}

/// A reply, whole.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// One client connection.
pub(super) struct Caller(SendRequest<Body>);

impl Caller {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::task::spawn_local(async move {
            let _ = connection.with_upgrades().await;
        });
        Self(sender)
    }

    pub(super) async fn send(&mut self, request: Request<Body>) -> Got {
        self.0.ready().await.expect("the connection is open");
        let response = self.0.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Got {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(super) async fn get(&mut self, path: &str) -> Got {
        self.send(get("reviews", path)).await
    }

    /// Whether the other side has left it open.
    pub(super) async fn is_open(&mut self) -> bool {
        self.0.ready().await.is_ok()
    }
}

pub(super) fn get(host: &str, path: &str) -> Request<Body> {
    Request::builder()
        .uri(path)
        .header("host", host)
        .body(nothing())
        .unwrap()
}
