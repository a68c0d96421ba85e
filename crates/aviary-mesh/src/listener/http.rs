//! Treating a connection as HTTP.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Direction;
use crate::access_log::AccessLog;
use crate::is_default;
use crate::rbac::RbacFilter;
use crate::route::{Fault, RouteTable};

/// Treating a connection as HTTP.
///
/// Source: Envoy `HttpConnectionManager`. A timeout of `None` never ends anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of Envoy's connection manager"
)]
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
    /// Where each request is logged; nowhere when empty.
    pub access_log: Vec<AccessLog>,
    /// Value of the `server` header on replies, e.g. `istio-envoy`.
    pub server_name: String,
    /// How requests are traced; without it none starts a trace.
    pub tracing: Option<Tracing>,
    /// The protocol that is read.
    #[serde(skip_serializing_if = "is_default")]
    pub codec: Codec,
    /// The form that paths are brought to before anything looks at them.
    #[serde(skip_serializing_if = "is_default")]
    pub path: PathForm,
    /// What is done with `x-request-id`.
    #[serde(skip_serializing_if = "is_default")]
    pub request_ids: RequestIds,
    /// A stream without a byte either way for this long is answered 408 or reset.
    #[serde(skip_serializing_if = "is_default")]
    pub stream_idle_timeout: Option<Duration>,
    /// The whole request must have come by then (408).
    #[serde(skip_serializing_if = "is_default")]
    pub request_timeout: Option<Duration>,
    /// The request head must have come by then (408); `None` means the proxy's own limit.
    #[serde(skip_serializing_if = "is_default")]
    pub request_headers_timeout: Option<Duration>,
    /// A connection without a stream is closed after this long; `None` means the proxy's own limit.
    #[serde(skip_serializing_if = "is_default")]
    pub idle_timeout: Option<Duration>,
    /// A connection of this age is drained.
    #[serde(skip_serializing_if = "is_default")]
    pub max_connection_duration: Option<Duration>,
    /// A stream of this age is ended.
    #[serde(skip_serializing_if = "is_default")]
    pub max_stream_duration: Option<Duration>,
    /// A connection is drained after this many requests.
    #[serde(skip_serializing_if = "is_default")]
    pub max_requests_per_connection: Option<u32>,
    /// Longest request head in KiB; `None` means the proxy's own limit.
    #[serde(skip_serializing_if = "is_default")]
    pub max_head_kib: Option<u32>,
    /// Most fields of a request head; `None` means the proxy's own limit.
    #[serde(skip_serializing_if = "is_default")]
    pub max_fields: Option<u32>,
    /// What is done with the upstream's `server` header.
    #[serde(skip_serializing_if = "is_default")]
    pub server_header: ServerHeader,
    /// Proxies in front whose `x-forwarded-for` entries are believed.
    #[serde(skip_serializing_if = "is_default")]
    pub trusted_hops: u32,
    /// Leaves `x-forwarded-for` as it came, though this is an edge.
    #[serde(skip_serializing_if = "is_default")]
    pub keep_forwarded_for: bool,
    /// Takes the port off the host before routing and forwarding.
    #[serde(skip_serializing_if = "is_default")]
    pub strip_port: StripPort,
    /// `Upgrade: websocket` is allowed, unless the route says otherwise.
    #[serde(skip_serializing_if = "is_default")]
    pub websocket: bool,
    /// Clients whose `x-envoy-*` headers steer the proxy, when they come here without a proxy
    /// between; nobody's do when empty. Source: Envoy `internal_address_config`.
    #[serde(skip_serializing_if = "is_default")]
    pub internal: Vec<ipnet::IpNet>,
    /// Appended to `via` of requests and replies; nothing is when empty.
    #[serde(skip_serializing_if = "is_default")]
    pub via: String,
    /// What upstreams are told of the client's certificate.
    #[serde(skip_serializing_if = "is_default")]
    pub client_cert: ClientCert,
    /// Leaves out every `x-envoy-*` header that the router would add.
    #[serde(skip_serializing_if = "is_default")]
    pub suppress_envoy_headers: bool,
    /// Limits of HTTP/2 connections.
    #[serde(skip_serializing_if = "is_default")]
    pub http2: Http2,
    /// What a request passes before the router, in order.
    pub filters: Vec<HttpFilter>,
}

impl Default for HttpChain {
    fn default() -> Self {
        Self {
            stat_prefix: String::new(),
            direction: Direction::Outbound,
            routes: RouteSource::Named(String::new()),
            use_remote_address: false,
            access_log: Vec::new(),
            server_name: String::new(),
            tracing: None,
            codec: Codec::Auto,
            path: PathForm::default(),
            request_ids: RequestIds::default(),
            stream_idle_timeout: None,
            request_timeout: None,
            request_headers_timeout: None,
            idle_timeout: None,
            max_connection_duration: None,
            max_stream_duration: None,
            max_requests_per_connection: None,
            max_head_kib: None,
            max_fields: None,
            server_header: ServerHeader::Overwrite,
            trusted_hops: 0,
            keep_forwarded_for: false,
            strip_port: StripPort::Keep,
            websocket: false,
            internal: Vec::new(),
            via: String::new(),
            client_cert: ClientCert::default(),
            suppress_envoy_headers: false,
            http2: Http2::default(),
            filters: vec![HttpFilter::Fault(None), HttpFilter::Cors],
        }
    }
}

impl HttpChain {
    /// Share of requests that start a trace, in percent, when the caller did not decide.
    pub fn sampling_percent(&self) -> f64 {
        self.tracing.as_ref().map_or(0.0, Tracing::sampling_percent)
    }
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

/// What a request passes before the router.
///
/// The order counts: an injected fault before an authorisation also answers whoever is not allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HttpFilter {
    /// [`crate::cors`], for routes and virtual hosts that have a policy.
    Cors,
    /// A fault for all routes without one of their own; with `None` only those with one have any.
    Fault(Option<Fault>),
    /// Whether the request is allowed ([`crate::rbac::authorize`]).
    Rbac(Arc<RbacFilter>),
}

/// The protocol that a chain reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Codec {
    /// By ALPN, else HTTP/2 when the connection begins with its preface.
    #[default]
    Auto,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The form that paths are brought to, once, before match, authorisation, logging and forwarding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathForm {
    /// Dot segments are resolved and unreserved escapes decoded. Source: Envoy `normalize_path`.
    pub normalize: bool,
    /// `//` becomes `/`. Source: Envoy `merge_slashes`.
    pub merge_slashes: bool,
    /// What is done with `%2f` and `%5c`. Source: Envoy `path_with_escaped_slashes_action`.
    pub escaped_slashes: EscapedSlashes,
}

/// What is done with `%2f` and `%5c` in a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EscapedSlashes {
    /// Nothing.
    #[default]
    Keep,
    /// 400.
    Reject,
    /// Answered 307 to the decoded path (200 with an error for gRPC).
    Redirect,
    /// Decoded.
    Decode,
}

/// What is done with `x-request-id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestIds {
    /// Makes one where there is none.
    pub generate: bool,
    /// Keeps what a client outside sent; at an edge a new one is made otherwise.
    pub keep_external: bool,
    /// Sets it on replies too.
    pub in_response: bool,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self {
            generate: true,
            keep_external: false,
            in_response: false,
        }
    }
}

/// What is done with the upstream's `server` header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServerHeader {
    /// Ours takes its place.
    #[default]
    Overwrite,
    /// Ours is set when it has none.
    AppendIfAbsent,
    /// It stays as it is, also when it is absent.
    PassThrough,
}

/// Taking the port off the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StripPort {
    /// It stays.
    #[default]
    Keep,
    /// The listener's own port goes.
    Matching,
    /// Any port goes.
    Any,
}

/// What upstreams are told of the client's certificate, in `x-forwarded-client-cert`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientCert {
    /// What is done with the header.
    pub forward: ForwardClientCert,
    /// Tells the subject.
    pub subject: bool,
    /// Tells the alternative names that are URIs.
    pub uri: bool,
    /// Tells the alternative names that are host names.
    pub dns: bool,
}

/// What is done with `x-forwarded-client-cert`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ForwardClientCert {
    /// It goes.
    #[default]
    Sanitize,
    /// It stays when the client has a certificate.
    ForwardOnly,
    /// The client's certificate is appended.
    AppendForward,
    /// The client's certificate takes its place.
    SanitizeSet,
    /// It stays.
    AlwaysForwardOnly,
}

/// How requests are traced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracing {
    /// Share of requests that start a trace, in percent, when the caller did not decide.
    pub random_percent: f64,
    /// Share of the requests for which the caller asks by `x-client-trace-id` that start one, in percent.
    pub client_percent: f64,
    /// Upper bound of all, in percent.
    pub overall_percent: f64,
    /// Where spans go; without it trace headers are only passed on.
    #[serde(skip_serializing_if = "is_default")]
    pub sink: Option<TraceSink>,
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            random_percent: 100.0,
            client_percent: 100.0,
            overall_percent: 100.0,
            sink: None,
        }
    }
}

impl Tracing {
    /// Share of requests that start a trace by themselves, in percent.
    pub fn sampling_percent(&self) -> f64 {
        self.random_percent.min(self.overall_percent)
    }
}

/// Where spans go: an OTLP collector that speaks gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceSink {
    /// The collector's cluster.
    pub cluster: String,
    /// `service.name` of the spans; Envoy's default is `unknown_service:envoy`.
    pub service_name: String,
    /// For one export; `None` waits without end.
    pub timeout: Option<Duration>,
}

/// Settings of HTTP/2 connections; unset values are the proxy's.
///
/// Source: Envoy `config.core.v3.Http2ProtocolOptions`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Http2 {
    /// Streams at a time that the peer may open.
    pub max_concurrent_streams: Option<u32>,
    /// First flow-control window of a stream, in bytes.
    pub stream_window_bytes: Option<u32>,
    /// First flow-control window of the connection, in bytes.
    pub connection_window_bytes: Option<u32>,
    /// Pings that find broken connections.
    pub keepalive: Option<PingKeepalive>,
}

/// Pings on an HTTP/2 connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PingKeepalive {
    /// Time between pings.
    pub interval: Duration,
    /// The connection is closed when no answer came by then.
    pub timeout: Duration,
}
