//! Where traffic comes in: listeners and their filter chains.

mod http;
mod tcp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::is_default;
use crate::rbac::RbacFilter;
use crate::tls::DownstreamTls;

pub use http::{
    ClientCert, Codec, EscapedSlashes, ForwardClientCert, Http2, HttpChain, HttpFilter, PathForm,
    PingKeepalive, RequestIds, RouteSource, ServerHeader, StripPort, TraceSink, Tracing,
};
pub use tcp::{TcpBranch, TcpChain, TcpKeepalive};

/// Which way the traffic of a listener or chain flows, seen from the workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// From the network to the workload.
    Inbound,
    /// From the workload to the network; also everything at a gateway.
    #[default]
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
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls_inspector: bool,
    /// How long the inspector waits for first bytes before it goes on without an answer.
    pub inspect_timeout: Duration,
    /// Chains in order of declaration; the most specific match wins (see [`ChainMatch`]).
    pub chains: Vec<FilterChain>,
    /// Taken when no chain matches; without it the connection is closed.
    pub default_chain: Option<FilterChain>,
    /// Probes of idle connections by the kernel; `None` leaves them out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keepalive: Option<TcpKeepalive>,
}

impl Default for Listener {
    /// A bound listener without chains on port 80 of every address.
    fn default() -> Self {
        Self {
            name: String::new(),
            address: SocketAddr::from(([0, 0, 0, 0], 80)),
            bind_to_port: true,
            use_original_dst: false,
            direction: Direction::Outbound,
            http_inspector: false,
            tls_inspector: false,
            inspect_timeout: Duration::from_secs(15),
            chains: Vec::new(),
            default_chain: None,
            keepalive: None,
        }
    }
}

/// One way of treating a connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterChain {
    /// Name, unique within the listener.
    pub name: String,
    /// Which connections it takes.
    pub matches: ChainMatch,
    /// TLS that ends here; `None` takes the bytes as they are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: Option<Arc<DownstreamTls>>,
    /// Judges the connection before anything is read; the first that denies closes it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rbac: Vec<Arc<RbacFilter>>,
    /// What is done with them.
    pub action: ChainAction,
}

/// The connections that a chain takes. An empty field matches everything.
///
/// Criteria are compared in Envoy's order: destination port, destination address (longest
/// prefix), server name, transport protocol, application protocols, source address, source port.
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
    /// Address of the peer.
    #[serde(skip_serializing_if = "is_default")]
    pub source_ranges: Vec<ipnet::IpNet>,
    /// Port of the peer.
    #[serde(skip_serializing_if = "is_default")]
    pub source_ports: Vec<u16>,
}

/// What is done with a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all chains are of the larger kind"
)]
pub enum ChainAction {
    /// Read as HTTP and routed by request.
    Http(HttpChain),
    /// Bytes are passed to a cluster.
    Tcp(TcpChain),
}

impl Default for ChainAction {
    fn default() -> Self {
        Self::Tcp(TcpChain::default())
    }
}
