//! Upstream services with their policies.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tls::ClusterTls;

/// An upstream service port, or a subset of it.
///
/// Source: Envoy `config.cluster.v3.Cluster`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Resource name, e.g. `outbound|9080|v1|reviews.prod.svc.cluster.local`.
    pub name: String,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// How long a connection may take to open. Istio's default is 10 s.
    pub connect_timeout: Duration,
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// Limits; `None` is without limit.
    pub limits: Limits,
    /// Ejection of endpoints that fail; off when `None`.
    pub outlier: Option<Outlier>,
    /// The protocol spoken upstream.
    pub protocol: UpstreamProtocol,
    /// Local address that connections come from, e.g. 127.0.0.6 for inbound clusters.
    pub source_address: Option<IpAddr>,
    /// Idle connections are closed after this long; `None` means one hour (Envoy's default).
    pub idle_timeout: Option<Duration>,
    /// TLS spoken with its endpoints.
    #[serde(default, skip_serializing_if = "ClusterTls::is_plain")]
    pub tls: ClusterTls,
    /// The service behind it, for metrics; `None` for unknown destinations.
    pub service: Option<ServiceLabels>,
}

/// Where endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Discovery {
    /// Sent separately, under the cluster's name.
    Eds,
    /// The connection's original destination.
    OriginalDst,
    /// Fixed here.
    Static(Vec<SocketAddr>),
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Balance {
    /// The one of two drawn at random that has fewer requests under way.
    #[default]
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// At random.
    Random,
}

/// The protocol spoken upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// Not HTTP.
    Tcp,
}

/// Circuit-breaker thresholds; over one, the request is answered 503 with flag UO.
///
/// Source: Istio `ConnectionPoolSettings`, Envoy `CircuitBreakers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(
    clippy::struct_field_names,
    reason = "the names that Istio and Envoy use"
)]
pub struct Limits {
    /// Open connections.
    pub max_connections: Option<u32>,
    /// Requests waiting for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests under way.
    pub max_requests: Option<u32>,
    /// Retries under way.
    pub max_retries: Option<u32>,
    /// Requests after which a connection is closed.
    pub max_requests_per_connection: Option<u32>,
}

/// Ejecting endpoints that fail.
///
/// Source: Envoy `OutlierDetection`, with Istio's fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlier {
    /// 5xx in a row that eject; `None` turns this counter off.
    pub consecutive_5xx: Option<u32>,
    /// 502, 503, 504 in a row that eject; `None` turns this counter off.
    pub consecutive_gateway_errors: Option<u32>,
    /// Time between sweeps that bring endpoints back.
    pub interval: Duration,
    /// Ejected for this long times the number of ejections.
    pub base_ejection_time: Duration,
    /// At most this share of the endpoints is ejected (but always one), 0 to 100.
    pub max_ejection_percent: u32,
    /// Below this share of healthy endpoints all are used again, 0 to 100.
    pub min_health_percent: u32,
}

/// The service that a cluster leads to, for metrics and logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceLabels {
    /// FQDN, e.g. `reviews.prod.svc.cluster.local`.
    pub host: String,
    /// Short name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
}
