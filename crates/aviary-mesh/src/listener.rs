//! Where traffic comes in: listeners and their filter chains.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::route::RouteTable;
use crate::tls::DownstreamTls;
use std::sync::Arc;

/// Which way the traffic of a listener or chain flows, seen from the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// From the network to the workload.
    Inbound,
    /// From the workload to the network; also everything at a gateway.
    Outbound,
}

/// An address and the filter chains that take its connections.
///
/// Source: Envoy `config.listener.v3.Listener`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of Envoy's listener"
)]
pub struct Listener {
    /// Resource name, e.g. `virtualOutbound`, `0.0.0.0_9080`, `10.96.3.4_3306`.
    pub name: String,
    /// The address it stands for. Port 0 is not allowed.
    pub address: SocketAddr,
    /// Whether a socket is bound. An unbound one gets its connections from a listener with
    /// `use_original_dst` whose connection's original destination it matches
    /// (exact address first, then the wildcard address with the same port).
    pub bind_to_port: bool,
    /// Hands connections to the unbound listener that matches their original destination. True for
    /// `virtualOutbound` only: a bound inbound listener looks the original destination up for its
    /// chains' matches, but hands nothing over.
    pub use_original_dst: bool,
    /// Which way the traffic flows.
    pub direction: Direction,
    /// Looks at the first bytes to tell HTTP from other protocols (`application_protocols` below).
    pub http_inspector: bool,
    /// Looks at the first bytes to tell TLS, its server name and application protocols
    /// (`server_names`, `transport_protocol`, `application_protocols` below).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls_inspector: bool,
    /// How long the inspector waits for first bytes before it goes on without an answer.
    pub inspect_timeout: Duration,
    /// Chains in order of declaration; the most specific match wins (see [`ChainMatch`]).
    pub chains: Vec<FilterChain>,
    /// Taken when no chain matches; without it the connection is closed.
    pub default_chain: Option<FilterChain>,
}

/// One way of treating a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterChain {
    /// Name, unique within the listener.
    pub name: String,
    /// Which connections it takes.
    pub matches: ChainMatch,
    /// TLS that ends here; `None` takes the bytes as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Arc<DownstreamTls>>,
    /// What is done with them.
    pub action: ChainAction,
}

/// The connections that a chain takes. An empty field matches everything.
///
/// Criteria are compared in Envoy's order: destination port, destination address (longest
/// prefix), server name, transport protocol, application protocols.
/// Source: Envoy `config.listener.v3.FilterChainMatch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChainMatch {
    /// Original destination port.
    pub destination_port: Option<u16>,
    /// Original destination address.
    pub destination_ranges: Vec<ipnet::IpNet>,
    /// Server names (exact, or `*.suffix`).
    pub server_names: Vec<String>,
    /// `raw_buffer` or `tls`.
    pub transport_protocol: Option<String>,
    /// `http/1.1`, `http/1.0`, `h2c` as found by the inspector.
    pub application_protocols: Vec<String>,
}

/// What is done with a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChainAction {
    /// Read as HTTP and routed by request.
    Http(HttpChain),
    /// Bytes are passed to one cluster.
    Tcp(TcpChain),
}

/// Treating a connection as HTTP.
///
/// Source: Envoy `HttpConnectionManager`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpChain {
    /// Statistics prefix, e.g. `outbound_0.0.0.0_9080`, `inbound_0.0.0.0_9080`.
    pub stat_prefix: String,
    /// Which way the traffic flows.
    pub direction: Direction,
    /// The route table, by name (RDS) or in place.
    pub routes: RouteSource,
    /// True at an edge: the client's address is the connection's, and what it says of itself
    /// in `x-forwarded-*` and `x-envoy-*` is not trusted.
    pub use_remote_address: bool,
    /// Whether each request is logged.
    pub access_log: bool,
    /// Value of the `server` header on replies, e.g. `istio-envoy`.
    pub server_name: String,
    /// Share of requests that start a trace, in percent, when the caller did not decide.
    pub trace_sampling_percent: f64,
}

/// Where a chain's routes come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RouteSource {
    /// A [`RouteTable`] of that name in [`crate::MeshConfig::routes`].
    Named(String),
    /// Fixed here.
    Inline(Arc<RouteTable>),
}

/// Passing bytes.
///
/// Source: Envoy `TcpProxy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpChain {
    /// Statistics prefix.
    pub stat_prefix: String,
    /// Which way the traffic flows.
    pub direction: Direction,
    /// The cluster that gets the bytes.
    pub cluster: String,
    /// Whether each connection is logged.
    pub access_log: bool,
    /// Closes after this long without a byte either way; `None` never does.
    pub idle_timeout: Option<Duration>,
}
