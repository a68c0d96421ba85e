//! What a collector is told of a request.

use aviary_http::RequestHead;
use aviary_mesh::listener::Direction;
use aviary_telemetry::access_log::Entry;
use aviary_telemetry::trace::span::Kind;
use aviary_telemetry::trace::{Context, Span};

use super::Telling;

/// Makes the span of a request that is over.
pub(super) fn make(telling: &Telling, context: Context, entry: &Entry, head: &RequestHead) -> Span {
    let fields = &head.fields;
    let text = |name: &str| fields.text(name).unwrap_or_default().to_owned();
    let (kind, plain) = match telling.direction {
        Direction::Inbound => (Kind::Server, "ingress"),
        Direction::Outbound => (Kind::Client, "egress"),
    };
    let path = fields.text("x-envoy-original-path");
    Span {
        context,
        trace_state: text("tracestate"),
        kind,
        name: match entry.operation.as_str() {
            "" => plain,
            operation => operation,
        }
        .to_owned(),
        start: entry.start,
        duration: entry.duration,
        request_id: text("x-request-id"),
        method: head.method().to_owned(),
        url: format!(
            "{}://{}{}",
            head.scheme().text(),
            head.authority(),
            path.unwrap_or_else(|| head.path())
        ),
        protocol: entry.protocol.unwrap_or_default(),
        user_agent: text("user-agent"),
        downstream_cluster: text("x-envoy-downstream-service-cluster"),
        peer: entry.downstream_direct_remote,
        upstream_cluster: entry.cluster.clone(),
        upstream_address: entry.upstream_host,
        code: entry.code,
        grpc_status: entry.grpc_status.number(),
        flags: entry.flags,
        received_bytes: entry.received_bytes,
        sent_bytes: entry.sent_bytes,
    }
}
