//! What is told of one traced request.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::Context;
use crate::flags::Flags;

/// A request of a sampled trace, made at its end and only then.
///
/// Source: the attributes of Envoy's HTTP spans (`HttpTracerUtility::finalizeDownstreamSpan`).
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Trace, span and parent.
    pub context: Context,
    /// `tracestate` as the caller sent it; empty when absent.
    pub trace_state: String,
    /// Which side of the hop this proxy is.
    pub kind: Kind,
    /// The route's operation (`reviews.prod.svc.cluster.local:9080/*`), else `ingress` or `egress`.
    pub name: String,
    /// When the request began.
    pub start: SystemTime,
    /// To the last byte of the reply.
    pub duration: Duration,
    /// `x-request-id`.
    pub request_id: String,
    /// Method.
    pub method: String,
    /// Scheme, authority and path.
    pub url: String,
    /// `HTTP/1.1`, `HTTP/2` …
    pub protocol: &'static str,
    /// `user-agent`; empty when absent.
    pub user_agent: String,
    /// `x-envoy-downstream-service-cluster`; empty when absent.
    pub downstream_cluster: String,
    /// The client.
    pub peer: Option<SocketAddr>,
    /// The cluster; empty without one.
    pub upstream_cluster: String,
    /// The endpoint.
    pub upstream_address: Option<SocketAddr>,
    /// Status of the reply; 0 when there was none.
    pub code: u16,
    /// `grpc-status` of the reply.
    pub grpc_status: Option<u8>,
    /// Response flags.
    pub flags: Flags,
    /// Body bytes from the client.
    pub received_bytes: u64,
    /// Body bytes to the client.
    pub sent_bytes: u64,
}

/// Which side of a hop made a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The caller's sidecar, or a gateway.
    Client,
    /// The called workload's sidecar.
    Server,
}

/// An attribute of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name.
    pub name: &'static str,
    /// Value.
    pub value: String,
}

impl Span {
    /// The attributes that are known, in Envoy's order; `node_id` is the proxy's.
    pub fn attributes(&self, node_id: &str) -> Vec<Attribute> {
        let peer = self.peer.map(|peer| peer.ip().to_string());
        let upstream = self.upstream_address.map(|it| it.to_string());
        let dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        let code = self.code.to_string();
        let mut all = vec![
            ("component", "proxy".to_owned()),
            ("node_id", node_id.to_owned()),
            ("guid:x-request-id", self.request_id.clone()),
            ("http.url", self.url.clone()),
            ("http.method", self.method.clone()),
            ("downstream_cluster", dash(&self.downstream_cluster)),
            ("user_agent", dash(&self.user_agent)),
            ("http.protocol", self.protocol.to_owned()),
            ("peer.address", peer.unwrap_or_default()),
            ("request_size", self.received_bytes.to_string()),
            ("response_size", self.sent_bytes.to_string()),
            ("response_flags", self.flags.text().into_owned()),
            ("http.status_code", code),
        ];
        if !self.upstream_cluster.is_empty() {
            all.push(("upstream_cluster", self.upstream_cluster.clone()));
            all.push(("upstream_cluster.name", self.upstream_cluster.clone()));
        }
        if let Some(upstream) = upstream {
            all.push(("upstream_address", upstream));
        }
        if let Some(status) = self.grpc_status {
            all.push(("grpc.status_code", status.to_string()));
        }
        if self.is_error() {
            all.push(("error", "true".to_owned()));
        }
        all.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| Attribute { name, value })
            .collect()
    }

    /// Whether the request failed: no reply, a 5xx, or a gRPC status that is the server's fault.
    ///
    /// Source: Envoy `HttpTracerUtility::setCommonTags`, `addGrpcResponseTags`.
    pub fn is_error(&self) -> bool {
        let grpc = self
            .grpc_status
            .is_some_and(|status| matches!(status, 2 | 4 | 12 | 13 | 14 | 15));
        self.code == 0 || self.code >= 500 || grpc
    }
}
