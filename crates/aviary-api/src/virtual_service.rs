//! `VirtualService`: where requests for a host go.
//!
//! Only honoured fields are here; [`crate::validate`] refuses the others.
//! Source: Istio `networking/v1alpha3/virtual_service.proto`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::selector::Labels;

/// A `VirtualService` object.
pub type VirtualService = crate::Object<VirtualServiceSpec>;

/// Routing rules for hosts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualServiceSpec {
    /// Hosts that the rules are for; short names are Services of the object's namespace.
    pub hosts: Vec<String>,
    /// Gateways (`name`, `namespace/name`) and `mesh` for all sidecars; empty means `mesh`.
    pub gateways: Vec<String>,
    /// Rules for HTTP, first match wins.
    pub http: Vec<HttpRoute>,
    /// Rules for connections, first match wins; for sidecars.
    pub tcp: Vec<TcpRoute>,
}

impl VirtualServiceSpec {
    /// Every destination with its path.
    pub fn destinations(&self) -> impl Iterator<Item = (String, &Destination)> {
        let http = self.http.iter().enumerate().flat_map(|(i, rule)| {
            let all = rule.destinations();
            all.map(move |(below, it)| (format!("spec.http[{i}].{below}"), it))
        });
        let tcp = self.tcp.iter().enumerate().flat_map(|(i, rule)| {
            let all = rule.route.iter().enumerate();
            all.map(move |(j, branch)| {
                let path = format!("spec.tcp[{i}].route[{j}].destination");
                (path, &branch.destination)
            })
        });
        http.chain(tcp)
    }
}

/// One rule for connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRoute {
    /// Conditions, any of which suffices; empty takes everything.
    #[serde(rename = "match")]
    pub matches: Vec<TcpMatch>,
    /// Destinations with weights.
    pub route: Vec<TcpRouteDestination>,
}

/// Conditions on a connection of which all must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpMatch {
    /// Port of the Service.
    pub port: Option<u32>,
    /// Labels that the calling workload must have.
    pub source_labels: Labels,
    /// Namespace that the calling workload must be in.
    pub source_namespace: String,
    /// Narrows the gateways of the object.
    pub gateways: Vec<String>,
}

/// A destination of connections with its share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRouteDestination {
    /// Where to.
    pub destination: Destination,
    /// Relative share; a single destination gets everything.
    pub weight: i64,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// Name, for logs.
    pub name: String,
    /// Conditions, any of which suffices; empty takes everything.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    /// Destinations with weights.
    pub route: Vec<HttpRouteDestination>,
    /// Answer with a redirect instead.
    pub redirect: Option<HttpRedirect>,
    /// Answer in place instead.
    pub direct_response: Option<HttpDirectResponse>,
    /// Change of path or host.
    pub rewrite: Option<HttpRewrite>,
    /// For the whole request; absent or zero waits without end.
    pub timeout: Option<String>,
    /// Trying again; absent is the mesh's default.
    pub retries: Option<HttpRetry>,
    /// Injected faults.
    pub fault: Option<HttpFault>,
    /// A copy of the requests (older form of `mirrors`).
    pub mirror: Option<Destination>,
    /// Share of copies for `mirror`; absent is everything.
    pub mirror_percentage: Option<Percent>,
    /// Older form of `mirrorPercentage`, in whole percent.
    pub mirror_percent: Option<u32>,
    /// Copies of the requests.
    pub mirrors: Vec<HttpMirror>,
    /// Which web pages of other origins may call.
    pub cors_policy: Option<CorsPolicy>,
    /// Header changes.
    pub headers: Option<Headers>,
}

/// Which web pages of other origins may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CorsPolicy {
    /// Older form of `allowOrigins`: exact origins.
    pub allow_origin: Vec<String>,
    /// Origins that may call.
    pub allow_origins: Vec<StringMatch>,
    /// Methods that they may use.
    pub allow_methods: Vec<String>,
    /// Headers that they may send.
    pub allow_headers: Vec<String>,
    /// Headers that they may read.
    pub expose_headers: Vec<String>,
    /// For how long browsers may keep the answer to a preflight.
    pub max_age: Option<String>,
    /// Whether they may send credentials.
    pub allow_credentials: Option<bool>,
    /// `IGNORE` answers preflights of other origins; otherwise they go on.
    pub unmatched_preflights: String,
}

/// Conditions of which all must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Name, for logs.
    pub name: String,
    /// On the path.
    pub uri: Option<StringMatch>,
    /// On the scheme.
    pub scheme: Option<StringMatch>,
    /// On the method.
    pub method: Option<StringMatch>,
    /// On the host.
    pub authority: Option<StringMatch>,
    /// On headers; an empty condition asks for presence.
    pub headers: BTreeMap<String, StringMatch>,
    /// On headers that must not match.
    pub without_headers: BTreeMap<String, StringMatch>,
    /// On query parameters.
    pub query_params: BTreeMap<String, StringMatch>,
    /// Folds case of the path.
    pub ignore_uri_case: bool,
    /// Port of the Service, or of the gateway's server.
    pub port: Option<u32>,
    /// Labels that the calling workload must have.
    pub source_labels: Labels,
    /// Namespace that the calling workload must be in.
    pub source_namespace: String,
    /// Narrows the gateways of the object.
    pub gateways: Vec<String>,
}

/// A comparison; at most one field is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StringMatch {
    /// Equal.
    pub exact: Option<String>,
    /// Starts with.
    pub prefix: Option<String>,
    /// The whole value matches the RE2 expression.
    pub regex: Option<String>,
}

/// A destination with its share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteDestination {
    /// Where to.
    pub destination: Destination,
    /// Relative share; a single destination gets everything.
    pub weight: i64,
    /// Header changes on this branch.
    pub headers: Option<Headers>,
}

/// A Service, or a subset of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Destination {
    /// Service; a short name is one of the object's namespace.
    pub host: String,
    /// Subset of the host's `DestinationRule`; empty is all of the Service.
    pub subset: String,
    /// Port; absent is the Service's only one, else the one the request came for.
    pub port: Option<PortSelector>,
}

/// A port by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortSelector {
    /// 1 to 65535.
    pub number: u32,
}

/// A redirect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRedirect {
    /// New path.
    pub uri: String,
    /// New host.
    pub authority: String,
    /// New port.
    pub port: Option<u32>,
    /// `FROM_REQUEST_PORT`: the port that the request came for; otherwise the scheme's own.
    pub derive_port: String,
    /// New scheme.
    pub scheme: String,
    /// 301, 302, 303, 307 or 308; 301 when absent.
    pub redirect_code: Option<u32>,
}

/// An answer in place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpDirectResponse {
    /// 200 to 599.
    pub status: u32,
    /// Body.
    pub body: Option<HttpBody>,
}

/// A body as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpBody {
    /// The text.
    pub string: String,
}

/// Change of path or host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRewrite {
    /// Replaces the matched prefix, or the whole path of an exact match.
    pub uri: String,
    /// New host.
    pub authority: String,
    /// Replaces what an expression matches.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// Replaces what an expression matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegexRewrite {
    /// RE2 expression.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Replacement, with `\1` for groups.
    pub rewrite: String,
}

/// Trying again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRetry {
    /// Tries after the first; 0 turns retries off.
    pub attempts: i64,
    /// For each try.
    pub per_try_timeout: Option<String>,
    /// Conditions and status codes, separated by commas.
    pub retry_on: String,
    /// Avoids endpoints already tried; true when absent.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// First pause between tries; 25 ms when absent.
    pub backoff: Option<String>,
}

/// Injected faults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpFault {
    /// A wait.
    pub delay: Option<FaultDelay>,
    /// An answer instead of the service's.
    pub abort: Option<FaultAbort>,
}

/// An injected wait.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultDelay {
    /// How long.
    pub fixed_delay: Option<String>,
    /// Share of requests; absent is none.
    pub percentage: Option<Percent>,
    /// Older form of `percentage`, in whole percent.
    pub percent: Option<i64>,
}

/// An injected answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultAbort {
    /// 200 to 599.
    pub http_status: Option<u32>,
    /// Name of a gRPC status, instead of `httpStatus`.
    pub grpc_status: Option<String>,
    /// Share of requests; absent is none.
    pub percentage: Option<Percent>,
}

/// A share in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Percent {
    /// 0 to 100.
    pub value: f64,
}

/// A copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMirror {
    /// Where to.
    pub destination: Destination,
    /// Share of requests; absent is everything.
    pub percentage: Option<Percent>,
}

/// Header changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Headers {
    /// Of the request.
    pub request: Option<HeaderOperations>,
    /// Of the reply.
    pub response: Option<HeaderOperations>,
}

/// Changes in one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderOperations {
    /// Overwrites.
    pub set: BTreeMap<String, String>,
    /// Appends.
    pub add: BTreeMap<String, String>,
    /// Removes.
    pub remove: Vec<String>,
}

/// Names of gRPC's status codes, by number.
///
/// Source: `google.rpc.Code`.
pub const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl FaultAbort {
    /// The number of `grpc_status`; `None` when it names none.
    pub fn grpc_code(&self) -> Option<u32> {
        let name = self.grpc_status.as_deref()?;
        (0..)
            .zip(GRPC_STATUSES)
            .find(|(_, known)| *known == name)
            .map(|(code, _)| code)
    }
}

impl HttpRoute {
    /// Every destination with its path below the rule: branches first, then mirrors.
    pub fn destinations(&self) -> impl Iterator<Item = (String, &Destination)> {
        let branches = self.route.iter().enumerate();
        let mirrors = self.mirrors.iter().enumerate();
        branches
            .map(|(i, branch)| (format!("route[{i}].destination"), &branch.destination))
            .chain(
                self.mirror
                    .iter()
                    .map(|mirror| ("mirror".to_owned(), mirror)),
            )
            .chain(
                mirrors
                    .map(|(i, mirror)| (format!("mirrors[{i}].destination"), &mirror.destination)),
            )
    }
}
