//! Logs and spans of a whole proxy, to a real file and a real collector.

use aviary_mesh::Endpoint;
use aviary_mesh::access_log::{AccessLog, LogFormat, LogSink};
use aviary_mesh::listener::{TraceSink, Tracing};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio_stream::wrappers::TcpListenerStream;

use super::*;

/// Passes on what it gets.
struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let sent = self.0.send(request.into_inner()).await;
        sent.map_err(|_| Status::unavailable("gone"))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// One listener whose requests are logged to `log` and all traced to `collector`.
fn told(address: SocketAddr, log: &Path, collector: SocketAddr) -> MeshConfig {
    let mut mesh = mesh(address, "hello");
    let listener = Arc::make_mut(mesh.listeners.get_mut("main").unwrap());
    let ChainAction::Http(chain) = &mut listener.chains[0].action else {
        panic!("a chain for HTTP");
    };
    chain.access_log = vec![AccessLog {
        sink: LogSink::File(log.to_str().unwrap().to_owned()),
        format: LogFormat::Text("%REQ(:PATH)% %RESPONSE_CODE% %BYTES_SENT%\n".to_owned()),
        filter: None,
    }];
    chain.tracing = Some(Tracing {
        sink: Some(TraceSink {
            cluster: "otel".into(),
            service_name: "gateway.istio-system".into(),
            timeout: Some(Duration::from_secs(1)),
        }),
        ..Tracing::default()
    });
    let otel = Cluster {
        name: "otel".into(),
        discovery: Discovery::Static(vec![Endpoint::new(collector)]),
        ..Cluster::default()
    };
    mesh.clusters.insert(otel.name.clone(), Arc::new(otel));
    mesh
}

/// A proxy that tells, its drain, and what it is asked at.
async fn start(
    name: &str,
    log: &str,
    collector: SocketAddr,
) -> (PathBuf, SocketAddr, Config, CancellationToken) {
    let folder = folder(name);
    let address = free();
    let mut config = config(&folder);
    (config.xds, config.state) = (None, None);
    config.fixed = Arc::new(told(address, &folder.join(log), collector));
    let drain = CancellationToken::new();
    tokio::spawn(run(config.clone(), drain.clone()));
    until(address, "/", (200, "hello")).await;
    (folder, address, config, drain)
}

/// Waits until a counter of `/stats` is at least `least`.
async fn counted(config: &Config, name: &str, least: u64) {
    let asked = async {
        loop {
            let (_, stats) = get(config.ports.admin.unwrap(), "/stats").await;
            let line = stats.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.strip_prefix(": ")?.parse().ok());
            if value.unwrap_or(0_u64) >= least {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(20);
    let in_time = tokio::time::timeout(limit, asked).await;
    assert!(in_time.is_ok(), "{name} becomes {least}");
}

#[tokio::test]
async fn run_logs_to_a_file_and_exports_to_a_collector() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (sent, mut got) = mpsc::channel(64);
    let (folder, address, config, drain) =
        start("telemetry", "access.log", socket.local_addr().unwrap()).await;
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Collector(sent)))
            .serve_with_incoming(TcpListenerStream::new(socket)),
    );
    assert_eq!(get(address, "/told?x=1").await.0, 200);
    let span = loop {
        let request = got.recv().await.unwrap();
        let resources = request.resource_spans.into_iter();
        let mut spans = resources
            .flat_map(|it| it.scope_spans)
            .flat_map(|it| it.spans);
        let url = |span: &opentelemetry_proto::tonic::trace::v1::Span| {
            let mut all = span.attributes.iter();
            all.any(|it| it.key == "http.url" && format!("{it:?}").contains("/told?x=1"))
        };
        if let Some(span) = spans.find(url) {
            break span;
        }
    };
    assert_eq!((span.trace_id.len(), span.name.as_str()), (16, "egress"));
    counted(&config, "tracing.opentelemetry.spans_sent", 1).await;
    counted(&config, "access_log.lines", 2).await;
    let log = std::fs::read_to_string(folder.join("access.log")).unwrap();
    assert!(log.lines().any(|line| line == "/told?x=1 200 5"), "{log}");
    drain.cancel();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn run_with_sinks_that_fail_serves_on_and_counts() {
    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (folder, address, config, drain) =
        start("telemetry-down", "/dev/full", silent.local_addr().unwrap()).await;
    for _ in 0..200 {
        assert_eq!(get(address, "/").await, (200, "hello".to_owned()));
    }
    counted(&config, "tracing.opentelemetry.spans_failed", 1).await;
    counted(&config, "access_log.failed", 1).await;
    drain.cancel();
    std::fs::remove_dir_all(&folder).unwrap();
}
