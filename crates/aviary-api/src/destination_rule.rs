//! `DestinationRule`: what holds for traffic to a Service once it is routed there.
//!
//! Only honoured fields are here; [`crate::validate`] refuses the others.
//! Source: Istio `networking/v1alpha3/destination_rule.proto`.

use serde::{Deserialize, Serialize};

use crate::{selector::Labels, virtual_service::PortSelector};

/// A `DestinationRule` object.
pub type DestinationRule = crate::Object<DestinationRuleSpec>;

/// Policy and subsets of a host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationRuleSpec {
    /// Service; a short name is one of the object's namespace.
    pub host: String,
    /// Policy of all subsets.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named slices of the Service.
    pub subsets: Vec<Subset>,
}

/// A named slice of a Service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// Name that routes use.
    pub name: String,
    /// Labels of its pods.
    pub labels: Labels,
    /// Policy that overrides the rule's, section by section.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// Load balancing, limits and ejection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits.
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection of endpoints that fail.
    pub outlier_detection: Option<OutlierDetection>,
    /// For single ports; replaces all of the above there.
    pub port_level_settings: Vec<PortPolicy>,
}

/// The policy of one port.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortPolicy {
    /// The Service's port.
    pub port: PortSelector,
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits.
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection of endpoints that fail.
    pub outlier_detection: Option<OutlierDetection>,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    /// The algorithm.
    pub simple: Option<SimpleBalancer>,
    /// By the hash of a part of the request.
    pub consistent_hash: Option<ConsistentHash>,
    /// Gives pods that came a growing share.
    pub warmup: Option<Warmup>,
}

/// By the hash of one part of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsistentHash {
    /// A header.
    pub http_header_name: String,
    /// A cookie.
    pub http_cookie: Option<HashCookie>,
    /// The client's address.
    pub use_source_ip: bool,
    /// A query parameter.
    pub http_query_parameter_name: String,
    /// On a ring, which is the default.
    pub ring_hash: Option<RingHash>,
    /// In a table.
    pub maglev: Option<Maglev>,
    /// Older form of `ringHash.minimumRingSize`.
    pub minimum_ring_size: u64,
}

/// A cookie that is hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// Path of a cookie that is made.
    pub path: String,
    /// When set, a cookie is made for clients without one.
    pub ttl: Option<String>,
    /// Further attributes of a cookie that is made.
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CookieAttribute {
    /// Its name.
    pub name: String,
    /// Its value; empty for a flag.
    pub value: String,
}

/// A ring.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RingHash {
    /// Least places on it; 1024 when 0.
    pub minimum_ring_size: u64,
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Maglev {
    /// Its places, a prime number; 65537 when 0.
    pub table_size: u64,
}

/// A growing share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Warmup {
    /// How long the share grows.
    pub duration: Option<String>,
    /// Share at the beginning, 0 to 100.
    pub minimum_percent: Option<f64>,
    /// At least 1.
    pub aggression: Option<f64>,
}

/// Algorithms without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SimpleBalancer {
    /// The default, `LEAST_REQUEST`.
    Unspecified,
    /// Older name of `LEAST_REQUEST`.
    LeastConn,
    /// The one of two drawn at random that has fewer requests under way.
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// At random.
    Random,
    /// To the original destination: refused, not honoured yet.
    Passthrough,
}

/// Limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionPool {
    /// On connections.
    pub tcp: Option<TcpPool>,
    /// On requests.
    pub http: Option<HttpPool>,
}

/// Limits on connections. 0 is without limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpPool {
    /// Open connections to the host.
    pub max_connections: u32,
    /// How long a connection may take to open.
    pub connect_timeout: Option<String>,
    /// Probes of idle connections.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Connections of this age are drained.
    pub max_connection_duration: Option<String>,
}

/// Limits on requests. 0 is without limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPool {
    /// Requests waiting for a connection.
    pub http1_max_pending_requests: u32,
    /// Requests under way.
    pub http2_max_requests: u32,
    /// Requests after which a connection is closed.
    pub max_requests_per_connection: u32,
    /// Retries under way.
    pub max_retries: u32,
    /// Idle connections are closed after this long.
    pub idle_timeout: Option<String>,
    /// `UPGRADE` speaks HTTP/2.
    pub h2_upgrade_policy: String,
    /// Speaks the version that the client speaks.
    pub use_client_protocol: bool,
    /// Streams at a time on a connection of HTTP/2. 0 is without limit.
    pub max_concurrent_streams: u32,
}

/// Probes of idle connections; unset values are the kernel's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpKeepalive {
    /// Probes without an answer before it is broken.
    pub probes: u32,
    /// Idle time before the first.
    pub time: Option<String>,
    /// Time between them.
    pub interval: Option<String>,
}

/// Ejection of endpoints that fail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// 5xx in a row that eject; 0 turns this off, 5 when absent.
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    /// 502, 503 and 504 in a row that eject; off when absent or 0.
    pub consecutive_gateway_errors: Option<u32>,
    /// Counts failures without an answer apart.
    pub split_external_local_origin_errors: bool,
    /// Failures without an answer in a row, when they count apart; 5 when absent, 0 is off.
    pub consecutive_local_origin_failures: Option<u32>,
    /// Time between sweeps; 10 s when absent.
    pub interval: Option<String>,
    /// First time out; 30 s when absent.
    pub base_ejection_time: Option<String>,
    /// Greatest share that is ejected, in percent; 10 when absent or 0.
    pub max_ejection_percent: u32,
    /// Below this share of healthy endpoints all are used, in percent.
    pub min_health_percent: u32,
}
