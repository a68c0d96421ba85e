//! What the proxy beside a workload is configured with.

pub(crate) mod inbound;
pub(crate) mod outbound;

use std::{sync::Arc, time::Duration};

use aviary_mesh::{
    ChainAction, FilterChain,
    access_log::AccessLog,
    listener::{ChainMatch, Direction, HttpChain, RouteSource, TcpBranch, TcpChain, Tracing},
};

/// How long the inspector waits for a client's first bytes on a port of undeclared protocol.
/// Istio waits without end, which hangs protocols in which the server speaks first.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(1);
/// What the inspector calls plaintext HTTP.
const HTTP_PROTOCOLS: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];
/// Every request starts a trace: one machine's mesh is small enough, and a trace that was asked
/// for is always there. Istio's default is 1.
const TRACE_SAMPLING_PERCENT: f64 = 100.0;
/// Value of `server` on replies.
pub(crate) const SERVER_NAME: &str = "istio-envoy";

/// How every chain traces.
pub(crate) fn tracing() -> Tracing {
    Tracing {
        random_percent: TRACE_SAMPLING_PERCENT,
        ..Tracing::default()
    }
}

fn http_chain(
    name: &str,
    matches: ChainMatch,
    stat_prefix: String,
    direction: Direction,
    routes: RouteSource,
) -> FilterChain {
    FilterChain {
        tls: None,
        name: name.to_owned(),
        matches,
        action: ChainAction::Http(HttpChain {
            stat_prefix,
            direction,
            routes,
            use_remote_address: false,
            access_log: vec![AccessLog::istio()],
            server_name: SERVER_NAME.to_owned(),
            tracing: Some(tracing()),
            ..HttpChain::default()
        }),
        ..FilterChain::default()
    }
}

fn tcp_chain(
    name: &str,
    matches: ChainMatch,
    direction: Direction,
    cluster: String,
) -> FilterChain {
    FilterChain {
        tls: None,
        name: name.to_owned(),
        matches,
        action: ChainAction::Tcp(TcpChain {
            stat_prefix: cluster.clone(),
            direction,
            clusters: TcpBranch::only(cluster),
            access_log: vec![AccessLog::istio()],
            idle_timeout: None,
            ..TcpChain::default()
        }),
        ..FilterChain::default()
    }
}

fn http_protocols() -> Vec<String> {
    HTTP_PROTOCOLS.map(str::to_owned).to_vec()
}

/// A named route table.
fn named(name: impl Into<String>) -> RouteSource {
    RouteSource::Named(name.into())
}

/// A route table in place.
fn inline(table: aviary_mesh::RouteTable) -> RouteSource {
    RouteSource::Inline(Arc::new(table))
}
