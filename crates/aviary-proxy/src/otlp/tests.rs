use std::time::SystemTime;

use aviary_telemetry::Flags;
use aviary_telemetry::trace::{Context, span};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1 as wire;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

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

fn sink(cluster: &str) -> Arc<Sink> {
    Arc::new(Sink {
        cluster: cluster.into(),
        service_name: "reviews.prod".into(),
        timeout: None,
    })
}

fn span(number: u64) -> Span {
    Span {
        context: Context {
            trace_id: 7,
            span_id: number,
            parent_id: number - 1,
            sampled: true,
        },
        trace_state: "a=b".into(),
        kind: span::Kind::Server,
        name: "reviews.prod.svc.cluster.local:9080/*".into(),
        start: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        duration: Duration::from_millis(2),
        request_id: "id".into(),
        method: "GET".into(),
        url: "http://reviews:9080/".into(),
        protocol: "HTTP/1.1",
        user_agent: String::new(),
        downstream_cluster: String::new(),
        peer: None,
        upstream_cluster: "inbound|9080||".into(),
        upstream_address: None,
        code: 500,
        grpc_status: None,
        flags: Flags::NONE,
        received_bytes: 0,
        sent_bytes: 0,
    }
}

/// An exporter that finds collectors by `lookup`, its queue, and what it counts.
fn start(
    lookup: impl Fn(&str) -> Result<Vec<SocketAddr>, String> + Send + 'static,
) -> (mpsc::Sender<Vec<Traced>>, Arc<Counts>) {
    let (queue, spans) = mpsc::channel(8);
    let exporter = Exporter::new(spans, "sidecar~a".into(), false, Box::new(lookup));
    let counts = exporter.counts();
    tokio::spawn(exporter.run());
    (queue, counts)
}

fn traced(sink: &Arc<Sink>, number: u64) -> Traced {
    Traced {
        sink: Arc::clone(sink),
        span: Box::new(span(number)),
    }
}

/// A collector and what it gets.
async fn collector() -> (SocketAddr, mpsc::Receiver<ExportTraceServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sent, got) = mpsc::channel(8);
    let server = Server::builder()
        .add_service(TraceServiceServer::new(Collector(sent)))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    (address, got)
}

fn spans_of(request: ExportTraceServiceRequest) -> Vec<wire::Span> {
    let resources = request.resource_spans.into_iter();
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

#[tokio::test]
async fn run_gives_a_collector_all_of_each_span() {
    let (address, mut got) = collector().await;
    let (queue, counts) = start(move |_| Ok(vec![address]));
    let sink = sink("outbound|4317||otel");
    let batch = (1..=3).map(|number| traced(&sink, number)).collect();
    queue.send(batch).await.unwrap();
    let request = got.recv().await.unwrap();
    let resource = request.resource_spans[0].resource.clone().unwrap();
    assert_eq!(resource.attributes[0].key, "service.name");
    let got = spans_of(request);
    assert_eq!(got.len(), 3);
    assert_eq!(got[0].trace_id, 7_u128.to_be_bytes());
    assert_eq!(got[0].span_id, 1_u64.to_be_bytes());
    assert!(got[0].parent_span_id.is_empty());
    assert_eq!(got[1].parent_span_id, 1_u64.to_be_bytes());
    assert_eq!(got[0].kind, 2);
    assert_eq!(got[0].start_time_unix_nano, 1_000_000_000);
    assert_eq!(got[0].end_time_unix_nano, 1_002_000_000);
    assert_eq!(got[0].status.clone().unwrap().code, 2);
    assert!(got[0].attributes.iter().any(|it| it.key == "node_id"));
    assert!(counts.text(5).contains("spans_dropped: 5\n"));
}

#[tokio::test]
async fn run_goes_to_another_endpoint_when_one_is_away() {
    let (alive, mut got) = collector().await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let away = gone.local_addr().unwrap();
    drop(gone);
    let (queue, counts) = start(move |cluster| {
        assert_eq!(cluster, "outbound|4317||otel");
        Ok(vec![alive, away])
    });
    let sink = sink("outbound|4317||otel");
    // The second endpoint has the first turn.
    for number in 1..=2 {
        queue.send(vec![traced(&sink, number)]).await.unwrap();
        while counts.failed.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(
        spans_of(got.recv().await.unwrap())[0].span_id,
        2_u64.to_be_bytes()
    );
}

#[tokio::test]
async fn run_without_a_collector_counts_what_is_lost_and_ends() {
    let (queue, spans) = mpsc::channel(8);
    let lookup = |_: &str| Err("does not exist".to_owned());
    let exporter = Exporter::new(spans, "node".into(), false, Box::new(lookup));
    let counts = exporter.counts();
    let sink = sink("none");
    let batch = (1..=5).map(|number| traced(&sink, number)).collect();
    queue.send(batch).await.unwrap();
    drop(queue);
    exporter.run().await;
    assert!(counts.text(0).contains("spans_failed: 5\n"));
}
