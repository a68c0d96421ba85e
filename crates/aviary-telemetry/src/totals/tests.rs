use aviary_mesh::cluster::ServiceLabels;
use aviary_mesh::endpoint::WorkloadLabels;

use super::*;
use crate::recorder::{GrpcStatus, Labels, Measures, TcpMeasures};
use crate::{Flags, Protocol, Recorder, Reporter, Security};

struct Known {
    source: Arc<WorkloadLabels>,
    destination: Arc<WorkloadLabels>,
    service: Arc<ServiceLabels>,
    principal: Arc<str>,
}

impl Known {
    fn new() -> Self {
        Self {
            source: Arc::new(WorkloadLabels {
                workload: "productpage-v1".into(),
                namespace: "prod".into(),
                app: "productpage".into(),
                version: "v1".into(),
                canonical_service: "productpage".into(),
                cluster_id: "Kubernetes".into(),
                ..WorkloadLabels::default()
            }),
            destination: Arc::default(),
            service: Arc::new(ServiceLabels {
                host: "reviews.prod.svc.cluster.local".into(),
                name: "reviews".into(),
                namespace: "prod".into(),
            }),
            principal: "spiffe://cluster.local/ns/prod/sa/reviews".into(),
        }
    }

    fn labels(&self, protocol: Protocol) -> Labels<'_> {
        Labels {
            reporter: Reporter::Source,
            source: &self.source,
            destination: &self.destination,
            service: &self.service,
            source_principal: None,
            destination_principal: Some(&self.principal),
            protocol,
            code: 200,
            grpc_status: GrpcStatus::NONE,
            flags: Flags::NONE,
            security: Security::Unknown,
        }
    }
}

fn shown(recorder: &mut Recorder, totals: &mut Totals, now: Duration) -> String {
    totals.merge(recorder.take(now), now);
    totals.text(now)
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}{{")))?;
    line.rsplit(' ').next()
}

#[test]
fn text_one_request_is_the_whole_contract() {
    let known = Known::new();
    let (mut recorder, mut totals) = (Recorder::default(), Totals::default());
    let measures = Measures {
        duration: Duration::from_micros(7_250),
        sent_bytes: 295,
        ..Measures::default()
    };
    recorder.request(&known.labels(Protocol::Http), measures);
    let text = shown(&mut recorder, &mut totals, Duration::ZERO);
    let set = "reporter=\"source\",source_workload=\"productpage-v1\",source_workload_namespace=\"prod\",\
        source_principal=\"unknown\",source_app=\"productpage\",source_version=\"v1\",\
        source_canonical_service=\"productpage\",source_canonical_revision=\"latest\",\
        source_cluster=\"Kubernetes\",destination_workload=\"unknown\",\
        destination_workload_namespace=\"unknown\",\
        destination_principal=\"spiffe://cluster.local/ns/prod/sa/reviews\",\
        destination_app=\"unknown\",destination_version=\"unknown\",\
        destination_canonical_service=\"unknown\",destination_canonical_revision=\"unknown\",\
        destination_cluster=\"unknown\",destination_service=\"reviews.prod.svc.cluster.local\",\
        destination_service_name=\"reviews\",destination_service_namespace=\"prod\",\
        request_protocol=\"http\",response_code=\"200\",grpc_response_status=\"\",\
        response_flags=\"-\",connection_security_policy=\"unknown\"";
    let has = |line: String| assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
    let duration = "istio_request_duration_milliseconds";
    has("# TYPE istio_requests_total counter".into());
    has(format!("istio_requests_total{{{set}}} 1"));
    has(format!("# TYPE {duration} histogram"));
    has(format!("{duration}_bucket{{{set},le=\"5\"}} 0"));
    has(format!("{duration}_bucket{{{set},le=\"10\"}} 1"));
    has(format!("{duration}_sum{{{set}}} 7.25"));
    has(format!("istio_request_bytes_bucket{{{set},le=\"0.5\"}} 1"));
    has(format!(
        "istio_response_bytes_bucket{{{set},le=\"+Inf\"}} 1"
    ));
    has(format!("istio_response_bytes_sum{{{set}}} 295"));
    has(format!("istio_response_bytes_count{{{set}}} 1"));
    assert!(!text.contains("istio_request_messages_total"));
}

#[test]
fn text_tcp_has_no_response_code() {
    let known = Known::new();
    let (mut recorder, mut totals) = (Recorder::default(), Totals::default());
    let measures = TcpMeasures {
        opened: true,
        closed: false,
        sent_bytes: 5,
        received_bytes: 9,
    };
    recorder.tcp(&known.labels(Protocol::Tcp), measures);
    let text = shown(&mut recorder, &mut totals, Duration::ZERO);
    assert!(!text.contains("response_code="));
    for (name, want) in [
        ("connections_opened", "1"),
        ("connections_closed", "0"),
        ("sent_bytes", "5"),
        ("received_bytes", "9"),
    ] {
        let name = format!("istio_tcp_{name}_total");
        assert_eq!(value(&text, &name), Some(want), "{name}");
    }
}

#[test]
fn merge_several_workers_and_takes_adds_up() {
    let (known, again) = (Known::new(), Known::new());
    let mut totals = Totals::default();
    let (mut one, mut two) = (Recorder::default(), Recorder::default());
    let grpc = Measures {
        request_messages: 2,
        response_messages: 3,
        ..Measures::default()
    };
    one.request(&known.labels(Protocol::Grpc), grpc);
    two.request(&again.labels(Protocol::Grpc), grpc);
    shown(&mut one, &mut totals, Duration::ZERO);
    one.request(&known.labels(Protocol::Grpc), grpc);
    shown(&mut one, &mut totals, Duration::ZERO);
    let text = shown(&mut two, &mut totals, Duration::ZERO);
    assert_eq!(value(&text, "istio_requests_total"), Some("3"));
    assert_eq!(value(&text, "istio_request_messages_total"), Some("6"));
    assert_eq!(value(&text, "istio_response_messages_total"), Some("9"));
}

#[test]
fn text_idle_series_leaves_only_after_it_was_shown() {
    let known = Known::new();
    let (mut recorder, mut totals) = (Recorder::default(), Totals::default());
    recorder.request(&known.labels(Protocol::Http), Measures::default());
    let text = shown(&mut recorder, &mut totals, Duration::ZERO);
    assert_eq!(value(&text, "istio_requests_total"), Some("1"));
    recorder.request(&known.labels(Protocol::Http), Measures::default());
    totals.merge(recorder.take(IDLE), IDLE);
    let text = totals.text(IDLE * 3);
    assert_eq!(value(&text, "istio_requests_total"), Some("2"));
    let text = shown(&mut recorder, &mut totals, IDLE * 3);
    assert_eq!(value(&text, "istio_requests_total"), None);
    assert_eq!(recorder.series(), 0);
}
