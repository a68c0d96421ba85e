use std::sync::Arc;

use aviary_mesh::cluster::ServiceLabels;
use aviary_mesh::endpoint::WorkloadLabels;

use super::*;
use crate::labels::{Protocol, Reporter, Security};

fn labels(code: u16, protocol: Protocol) -> Labels {
    Labels {
        reporter: Reporter::Source,
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
        protocol,
        code,
        grpc_status: "".into(),
        flags: "-".into(),
        security: Security::Unknown,
    }
}

#[test]
fn text_one_request_is_the_whole_contract() {
    let mut registry = Registry::default();
    let request = Request {
        duration: Duration::from_millis(7),
        received_bytes: 0,
        sent_bytes: 295,
    };
    registry.request(&labels(200, Protocol::Http), request);
    let text = registry.text();
    let set = "reporter=\"source\",source_workload=\"productpage-v1\",source_workload_namespace=\"prod\",\
        source_principal=\"unknown\",source_app=\"productpage\",source_version=\"v1\",\
        source_canonical_service=\"productpage\",source_canonical_revision=\"latest\",\
        source_cluster=\"Kubernetes\",destination_workload=\"unknown\",\
        destination_workload_namespace=\"unknown\",destination_principal=\"unknown\",\
        destination_app=\"unknown\",destination_version=\"unknown\",\
        destination_canonical_service=\"unknown\",destination_canonical_revision=\"unknown\",\
        destination_cluster=\"unknown\",destination_service=\"reviews.prod.svc.cluster.local\",\
        destination_service_name=\"reviews\",destination_service_namespace=\"prod\",\
        request_protocol=\"http\",response_code=\"200\",grpc_response_status=\"\",\
        response_flags=\"-\",connection_security_policy=\"unknown\"";
    let has = |line: String| assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
    has("# TYPE istio_requests_total counter".into());
    has(format!("istio_requests_total{{{set}}} 1"));
    has("# TYPE istio_request_duration_milliseconds histogram".into());
    has(format!(
        "istio_request_duration_milliseconds_bucket{{{set},le=\"5\"}} 0"
    ));
    has(format!(
        "istio_request_duration_milliseconds_bucket{{{set},le=\"10\"}} 1"
    ));
    has(format!(
        "istio_request_duration_milliseconds_sum{{{set}}} 7"
    ));
    has(format!("istio_request_bytes_bucket{{{set},le=\"0.5\"}} 1"));
    has(format!(
        "istio_response_bytes_bucket{{{set},le=\"+Inf\"}} 1"
    ));
    has(format!("istio_response_bytes_count{{{set}}} 1"));
}

#[test]
fn text_tcp_has_no_response_code() {
    let mut registry = Registry::default();
    let tcp = Tcp {
        opened: true,
        closed: false,
        sent_bytes: 5,
        received_bytes: 9,
    };
    registry.tcp(&labels(0, Protocol::Tcp), tcp);
    let text = registry.text();
    assert!(!text.contains("response_code="));
    let value = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name}{{")))
            .unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(value("istio_tcp_connections_opened_total"), "1");
    assert_eq!(value("istio_tcp_connections_closed_total"), "0");
    assert_eq!(value("istio_tcp_sent_bytes_total"), "5");
    assert_eq!(value("istio_tcp_received_bytes_total"), "9");
}

#[test]
fn merge_two_workers_adds_up() {
    let mut one = Registry::default();
    one.request(&labels(200, Protocol::Http), Request::default());
    let mut two = one.clone();
    two.request(&labels(503, Protocol::Http), Request::default());
    two.merge(&one);
    let counts: Vec<_> = sorted(&two.requests)
        .iter()
        .map(|(_, series)| series.total)
        .collect();
    assert_eq!(counts, [2, 1]);
}

#[test]
fn request_series_over_the_limit_are_dropped_and_counted() {
    let mut registry = Registry::default();
    for index in 0..SERIES_LIMIT + 3 {
        let mut labels = labels(200, Protocol::Http);
        labels.flags = format!("{index}").into();
        registry.request(&labels, Request::default());
    }
    assert_eq!(registry.requests.len(), SERIES_LIMIT);
    assert!(
        registry
            .text()
            .ends_with("aviary_metric_series_dropped_total 3\n")
    );
}
