//! Where a request goes: route tables, matches, splits, retries, faults, edits.

mod affinity;
mod hash;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cors::Cors;
use crate::is_default;
use crate::matcher::{FullRegex, HeaderMatch, QueryMatch};
use crate::rbac::RbacFilter;

pub(crate) use affinity::branch_of;
pub use affinity::{Affinity, BUCKETS};
pub use hash::{HashCookie, HashOf, HashPolicy};

/// Virtual hosts for one port or one gateway server.
///
/// Source: Envoy `config.route.v3.RouteConfiguration`; clusters named here need not exist
/// (`validate_clusters` off): such a request answers 503 with flag NC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTable {
    /// Resource name, e.g. `9080`, `http.8080`, `inbound|9080||`.
    pub name: String,
    /// In order; domains are unique over the table (of two equal ones the first is used).
    pub virtual_hosts: Vec<VirtualHost>,
    /// Compares hosts without their port.
    pub ignore_port_in_host: bool,
    /// Edits of every request, after those of the virtual host.
    #[serde(default, skip_serializing_if = "is_default")]
    pub request_headers: HeaderEdits,
    /// Edits of every reply, after those of the virtual host.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_headers: HeaderEdits,
    /// Edits apply from the table down to the branch instead, so that the most specific one wins.
    #[serde(default, skip_serializing_if = "is_default")]
    pub most_specific_edits_win: bool,
}

/// Routes for a set of hosts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualHost {
    /// Name, `<host>:<port>` by Istio's custom.
    pub name: String,
    /// Lower-case: exact, `*.suffix`, `prefix.*`, or `*`; matched in that order of preference, longest first.
    pub domains: Vec<String>,
    /// In order: the first that matches is taken.
    pub routes: Vec<Route>,
    /// Adds `x-envoy-attempt-count` to what is sent upstream.
    pub include_attempt_count: bool,
    /// Adds `x-envoy-attempt-count` to replies.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attempt_count_in_response: bool,
    /// Requests that did not come by TLS are redirected (301) to https.
    #[serde(default, skip_serializing_if = "is_default")]
    pub require_tls: bool,
    /// Edits of every request, after those of the route.
    #[serde(default, skip_serializing_if = "is_default")]
    pub request_headers: HeaderEdits,
    /// Edits of every reply, after those of the route.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_headers: HeaderEdits,
    /// For routes without a retry policy of their own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Option<Retry>,
    /// For routes without filter settings of their own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub filters: FilterSettings,
}

/// What a route or virtual host says to the filters of its chain. The route's comes before the
/// virtual host's, and that before the filter's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FilterSettings {
    /// Which web pages may call.
    #[serde(skip_serializing_if = "is_default")]
    pub cors: Option<Arc<Cors>>,
    /// Who may call, instead of every authorisation filter of the chain; rules without content
    /// turn them off.
    #[serde(skip_serializing_if = "is_default")]
    pub rbac: Option<Arc<RbacFilter>>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Name for logs; empty when the user gave none.
    pub name: String,
    /// Which requests it takes.
    pub matches: RouteMatch,
    /// What becomes of them.
    pub action: RouteAction,
    /// Edits of the request before it goes on.
    pub request_headers: HeaderEdits,
    /// Edits of the reply.
    pub response_headers: HeaderEdits,
    /// Injected delay or abort.
    pub fault: Option<Fault>,
    /// The object that made this route, e.g.
    /// `/apis/networking.istio.io/v1/namespaces/prod/virtual-service/reviews`; empty for defaults.
    pub origin: String,
    /// Name of the span, e.g. `reviews.prod.svc.cluster.local:9080/*`.
    pub operation: String,
    /// Settings of the chain's filters.
    #[serde(default, skip_serializing_if = "is_default")]
    pub filters: FilterSettings,
}

impl Default for Route {
    /// Forwards every request to nowhere.
    fn default() -> Self {
        Self {
            name: String::new(),
            matches: RouteMatch::default(),
            action: RouteAction::Forward(Forward::default()),
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            fault: None,
            origin: String::new(),
            operation: String::new(),
            filters: FilterSettings::default(),
        }
    }
}

/// Conditions on a request; all must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteMatch {
    /// On the path without query.
    pub path: PathMatch,
    /// Folds case of exact and prefix paths.
    pub ignore_case: bool,
    /// On headers and pseudo headers.
    pub headers: Vec<HeaderMatch>,
    /// On query parameters.
    pub query: Vec<QueryMatch>,
    /// Only requests of gRPC (`content-type: application/grpc`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub grpc: bool,
    /// Only this share of requests, in percent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub share_percent: Option<f64>,
}

impl Default for RouteMatch {
    fn default() -> Self {
        Self {
            path: PathMatch::Prefix("/".to_owned()),
            ignore_case: false,
            headers: Vec::new(),
            query: Vec::new(),
            grpc: false,
            share_percent: None,
        }
    }
}

/// A condition on the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// A raw string prefix: `/foo` takes `/foobar`.
    Prefix(String),
    /// A prefix of whole segments: `/foo` takes `/foo` and `/foo/bar`.
    SegmentPrefix(String),
    /// The whole path.
    Exact(String),
    /// The whole path.
    Regex(FullRegex),
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all routes are of the largest kind"
)]
pub enum RouteAction {
    /// Sent upstream.
    Forward(Forward),
    /// Answered with a redirect.
    Redirect(Redirect),
    /// Answered in place.
    Direct(DirectResponse),
}

/// Sending upstream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of Envoy's route action"
)]
pub struct Forward {
    /// One or more clusters; weights need not sum to 100, a single one takes everything.
    pub clusters: Vec<WeightedCluster>,
    /// For the whole request with all its retries; `None` waits without end.
    pub timeout: Option<Duration>,
    /// When and how often to try again; `None` never does.
    pub retry: Option<Retry>,
    /// Copies sent elsewhere, their answers thrown away.
    pub mirrors: Vec<Mirror>,
    /// New path.
    pub rewrite: Option<PathRewrite>,
    /// New `host`.
    pub host_rewrite: Option<String>,
    /// `Upgrade: websocket` is allowed; a chain may allow it for all its routes.
    pub websocket: bool,
    /// `Upgrade: websocket` is refused though the chain allows it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_websocket: bool,
    /// New `host`: what the endpoint was named.
    #[serde(default, skip_serializing_if = "is_default")]
    pub auto_host_rewrite: bool,
    /// New `host`: the value of this request header, when it is there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub host_rewrite_header: Option<String>,
    /// The host before a rewrite is appended to `x-forwarded-host`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub append_forwarded_host: bool,
    /// What is hashed, for balancers by hash and for `hash_split`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hash: Vec<HashPolicy>,
    /// The branch follows the request's hash (a client keeps its branch), when it has one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hash_split: bool,
    /// Branches side by side of which a client keeps one; the runs do not overlap. Envoy has no
    /// place for it and draws among all branches.
    #[serde(default, skip_serializing_if = "is_default")]
    pub affinity: Vec<Affinity>,
    /// Ends a stream without a byte for this long; `None` means the chain's, zero never does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub idle_timeout: Option<Duration>,
    /// Ends a stream of this age; `None` means the chain's, zero never does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_stream_duration: Option<Duration>,
    /// `grpc-timeout` takes the place of the timeout, up to this bound (zero: without bound);
    /// `None` leaves it to the upstream.
    #[serde(default, skip_serializing_if = "is_default")]
    pub grpc_timeout_max: Option<Duration>,
    /// Status when the cluster is not known; 0 means 503.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_cluster_status: u16,
}

/// One branch of a split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightedCluster {
    /// Cluster name.
    pub name: String,
    /// Relative share; at least one branch of a split has one. A single branch has 100.
    pub weight: u32,
    /// Edits of the request on this branch, before the route's.
    pub request_headers: HeaderEdits,
    /// Edits of the reply on this branch.
    pub response_headers: HeaderEdits,
    /// New `host` on this branch; the route's wins.
    pub host_rewrite: Option<String>,
}

/// Trying again.
///
/// Source: Envoy `config.route.v3.RetryPolicy`, Istio `HTTPRetry`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Tries after the first.
    pub attempts: u32,
    /// Envoy's condition names: `connect-failure`, `refused-stream`, `reset`, `5xx`, `gateway-error`,
    /// `retriable-4xx`, `unavailable`, `cancelled`, `retriable-status-codes`, `reset-before-request`.
    /// See [`crate::retry::CONDITIONS`].
    pub on: Vec<String>,
    /// Status codes for `retriable-status-codes`.
    pub status_codes: Vec<u16>,
    /// For each try; `None` means the request's timeout only.
    pub per_try_timeout: Option<Duration>,
    /// Avoids endpoints already tried, drawing again up to this often; 0 does not avoid.
    pub avoid_previous: u32,
    /// First pause between tries, doubled with jitter up to ten times it. Envoy's default is 25 ms.
    pub base_interval: Duration,
    /// Tries again only while nothing reached the upstream or the method is safe. True for the
    /// mesh's default policy, false for a policy that a user wrote.
    pub guarded: bool,
    /// Longest pause between tries; zero means ten times the first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_interval: Duration,
    /// Ends a try whose answer does not go on for this long.
    #[serde(default, skip_serializing_if = "is_default")]
    pub per_try_idle_timeout: Option<Duration>,
    /// Replies with one of these headers are retried (condition `retriable-headers`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_headers: Vec<HeaderMatch>,
    /// Only requests with one of these headers are retried; all when empty.
    #[serde(default, skip_serializing_if = "is_default")]
    pub request_headers: Vec<HeaderMatch>,
}

impl Default for Retry {
    /// One more try, on nothing.
    fn default() -> Self {
        Self {
            attempts: 1,
            on: Vec::new(),
            status_codes: Vec::new(),
            per_try_timeout: None,
            avoid_previous: 0,
            base_interval: Duration::from_millis(25),
            guarded: false,
            max_interval: Duration::ZERO,
            per_try_idle_timeout: None,
            response_headers: Vec::new(),
            request_headers: Vec::new(),
        }
    }
}

/// A copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Cluster name.
    pub cluster: String,
    /// Share of requests copied, 0 to 100, in steps of 0.0001.
    pub percent: f64,
    /// The copy's host gets `-shadow` appended (before its port).
    #[serde(default, skip_serializing_if = "is_default")]
    pub shadow_host: bool,
    /// Only requests that went to one of these clusters; empty means any. Envoy has no place for
    /// it and copies all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub only_from: Vec<String>,
}

impl Mirror {
    /// Whether requests that went to `branch` are copied.
    pub(crate) fn takes(&self, branch: &WeightedCluster) -> bool {
        self.only_from.is_empty() || self.only_from.contains(&branch.name)
    }
}

/// A new path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathRewrite {
    /// Replaces the matched prefix (or, for an exact match, the whole path).
    Prefix(String),
    /// Replaces every match of the expression (unanchored) by the substitution (`\1` groups).
    Regex {
        /// RE2 expression.
        pattern: String,
        /// Replacement.
        substitution: String,
    },
}

/// A redirect. Unset parts keep the request's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// New scheme.
    pub scheme: Option<String>,
    /// New host.
    pub host: Option<String>,
    /// New port, which is written even when it is the scheme's own.
    pub port: Option<u16>,
    /// New path.
    pub path: Option<String>,
    /// New prefix in place of the matched one.
    pub prefix: Option<String>,
    /// New path by a regular expression, as [`PathRewrite::Regex`]: pattern and substitution.
    #[serde(default, skip_serializing_if = "is_default")]
    pub regex: Option<(String, String)>,
    /// The query is left out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strip_query: bool,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// An answer in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// Text of the body, at most 1 MiB.
    pub body: String,
}

/// Header changes: removals first, then `set` (overwrite), then `add` (append). Values are literal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderEdits {
    /// Lower-case names and values that replace what is there.
    pub set: Vec<(String, String)>,
    /// Lower-case names and values that are appended.
    pub add: Vec<(String, String)>,
    /// Lower-case names that go.
    pub remove: Vec<String>,
    /// Lower-case names and values that are set only where there is none.
    #[serde(skip_serializing_if = "is_default")]
    pub add_if_absent: Vec<(String, String)>,
    /// Lower-case names and values that replace what is there, and only that.
    #[serde(skip_serializing_if = "is_default")]
    pub replace: Vec<(String, String)>,
}

impl HeaderEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
            && self.add.is_empty()
            && self.remove.is_empty()
            && self.add_if_absent.is_empty()
            && self.replace.is_empty()
    }
}

/// An injected fault; comes before timeouts and retries, which do not apply to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Waits before the request goes on.
    pub delay: Option<FaultDelay>,
    /// Answers instead of the service.
    pub abort: Option<FaultAbort>,
    /// Only requests with all of these headers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: Vec<HeaderMatch>,
    /// Only requests to this cluster; empty means any.
    #[serde(default, skip_serializing_if = "is_default")]
    pub upstream_cluster: String,
}

/// An injected wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultDelay {
    /// How long.
    pub duration: Duration,
    /// Share of requests, 0 to 100, in steps of 0.0001.
    pub percent: f64,
}

/// An injected answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultAbort {
    /// 200 to 599.
    pub status: u16,
    /// Answers with 200 and this `grpc-status` instead of `status`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub grpc_status: Option<u32>,
    /// Share of requests, 0 to 100, in steps of 0.0001.
    pub percent: f64,
}
