//! Upstream services with their policies.

mod balance;
mod outlier;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::endpoint::{Endpoint, Locality};
use crate::is_default;
use crate::listener::{Http2, TcpKeepalive};
use crate::tls::ClusterTls;

pub use balance::{Balance, SlowStart};
pub use outlier::{Enforcing, FailurePercentage, Outlier, SuccessRate};

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
    /// Below this share of healthy endpoints all are used, 0 to 100; 0 never does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub panic_threshold_percent: u32,
    /// Each locality of a priority gets the share of its weight.
    #[serde(default, skip_serializing_if = "is_default")]
    pub locality_weighted: bool,
    /// Gives endpoints that came or came back a growing share.
    #[serde(default, skip_serializing_if = "is_default")]
    pub slow_start: Option<SlowStart>,
    /// Probes of idle connections by the kernel.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keepalive: Option<TcpKeepalive>,
    /// A connection of this age is drained.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_connection_duration: Option<Duration>,
    /// Limits of HTTP/2 connections.
    #[serde(default, skip_serializing_if = "is_default")]
    pub http2: Http2,
}

impl Default for Cluster {
    /// A cluster without a name whose endpoints are sent separately.
    fn default() -> Self {
        Self {
            name: String::new(),
            discovery: Discovery::Eds,
            connect_timeout: Duration::from_secs(10),
            balance: Balance::LeastRequest,
            limits: Limits::default(),
            outlier: None,
            protocol: UpstreamProtocol::Http1,
            source_address: None,
            idle_timeout: None,
            tls: ClusterTls::default(),
            service: None,
            panic_threshold_percent: 0,
            locality_weighted: false,
            slow_start: None,
            keepalive: None,
            max_connection_duration: None,
            http2: Http2::default(),
        }
    }
}

/// Where endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Discovery {
    /// Sent separately, under the cluster's name.
    Eds,
    /// The connection's original destination.
    OriginalDst,
    /// Fixed here, sorted as in [`crate::EndpointSet`].
    Static(Vec<Endpoint>),
    /// Looked up by name.
    Dns(Dns),
}

/// Endpoints that are looked up by name, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dns {
    /// All addresses of an answer are endpoints; otherwise one of them stands for the name, and
    /// connections to the one before stay. Source: Envoy `STRICT_DNS` and `LOGICAL_DNS`.
    pub all_addresses: bool,
    /// What is looked up, in order.
    pub names: Vec<DnsName>,
    /// Time between look-ups. Envoy's default is 5 s.
    pub refresh: Duration,
    /// The answer's own time to live is used instead of `refresh`.
    pub respect_ttl: bool,
    /// Which addresses are asked for.
    pub family: Family,
}

/// A name that is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsName {
    /// A host name, or an address that stands for itself.
    pub host: String,
    /// Port of its endpoints.
    pub port: u16,
    /// Weight of each of its endpoints.
    pub weight: u32,
    /// As of [`Endpoint::priority`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: u32,
    /// As of [`Endpoint::locality`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub locality: Option<Arc<Locality>>,
}

/// Which addresses a name is looked up for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Family {
    /// IPv6, and IPv4 when there is none. Envoy's default.
    #[default]
    V6First,
    /// IPv4, and IPv6 when there is none.
    V4First,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    All,
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
    /// The one that the TLS handshake agrees on, else HTTP/1.1.
    Alpn,
    /// The one that the client speaks.
    Downstream,
    /// Not HTTP.
    Tcp,
}

/// Circuit-breaker thresholds; over one, the request is answered 503 with flag UO.
///
/// Source: Istio `ConnectionPoolSettings`, Envoy `CircuitBreakers`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Open connections.
    pub max_connections: Option<u32>,
    /// Requests waiting for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests under way.
    pub max_requests: Option<u32>,
    /// Retries under way; does not count where there is a `retry_budget`.
    pub max_retries: Option<u32>,
    /// Retries under way as a share of the requests.
    #[serde(skip_serializing_if = "is_default")]
    pub retry_budget: Option<RetryBudget>,
    /// Requests after which a connection is closed.
    pub max_requests_per_connection: Option<u32>,
}

/// Retries under way as a share of the requests under way and pending.
///
/// Source: Envoy `CircuitBreakers.Thresholds.RetryBudget`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Share, 0 to 100. Envoy's default is 20.
    pub percent: f64,
    /// So many are always allowed. Envoy's default is 3.
    pub at_least: u32,
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
