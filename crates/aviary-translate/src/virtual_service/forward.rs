//! Where matched requests are sent, and how.

use std::time::Duration;

use aviary_api::{
    names,
    virtual_service::{
        Destination, HeaderOperations, HttpRetry, HttpRoute, HttpRouteDestination,
        TcpRouteDestination,
    },
};
use aviary_mesh::listener::TcpBranch;
use aviary_mesh::route::{
    Forward, HashPolicy, HeaderEdits, Mirror, PathRewrite, Retry, WeightedCluster,
};

use super::Scope;
use crate::{
    ObjectKey, cluster,
    destination_rule::{self, time},
};

/// Source: Istio `retry.DefaultPolicy`.
const DEFAULT_RETRY_ON: [&str; 5] = [
    "connect-failure",
    "refused-stream",
    "unavailable",
    "cancelled",
    "retriable-status-codes",
];
const DEFAULT_ATTEMPTS: u32 = 2;
/// Draws of another endpoint when the one drawn was tried already.
const AVOID_PREVIOUS: u32 = 5;
/// Weight of a single branch, which takes everything: the form that survives the wire.
pub(crate) const ALONE: u32 = 100;
/// Envoy's default.
const BASE_INTERVAL: Duration = Duration::from_millis(25);

/// Sending everything to one cluster with the mesh's defaults.
pub(crate) fn default_forward(cluster: String) -> Forward {
    Forward {
        clusters: vec![WeightedCluster {
            name: cluster,
            weight: ALONE,
            ..WeightedCluster::default()
        }],
        retry: Some(default_retry()),
        websocket: true,
        ..Forward::default()
    }
}

/// The mesh's default retry policy.
fn default_retry() -> Retry {
    Retry {
        attempts: DEFAULT_ATTEMPTS,
        on: DEFAULT_RETRY_ON.map(str::to_owned).to_vec(),
        status_codes: Vec::new(),
        per_try_timeout: None,
        avoid_previous: AVOID_PREVIOUS,
        base_interval: BASE_INTERVAL,
        guarded: true,
        ..Retry::default()
    }
}

/// The action of a rule with destinations. `host` is a new host by header edits.
pub(super) fn forward(
    scope: &Scope<'_>,
    key: &ObjectKey,
    rule: &HttpRoute,
    host: Option<String>,
) -> Forward {
    let rewrite = rule.rewrite.clone().unwrap_or_default();
    let path = match rewrite.uri_regex_rewrite {
        Some(regex) => Some(PathRewrite::Regex {
            pattern: regex.pattern,
            substitution: regex.rewrite,
        }),
        None => (!rewrite.uri.is_empty()).then_some(PathRewrite::Prefix(rewrite.uri)),
    };
    Forward {
        clusters: clusters(scope, key, &rule.route),
        hash: hashes(
            scope,
            (rule.route.iter()).map(|branch| target_of(scope, key, &branch.destination)),
        ),
        timeout: time(rule.timeout.as_deref()),
        retry: rule
            .retries
            .as_ref()
            .map_or_else(|| Some(default_retry()), retry),
        mirrors: mirrors(scope, key, rule),
        rewrite: path,
        host_rewrite: host.or_else(|| Some(rewrite.authority).filter(|name| !name.is_empty())),
        websocket: true,
        ..Forward::default()
    }
}

/// Source: Istio: of several destinations those without weight are dropped; a single one takes
/// everything whatever its weight.
fn clusters(
    scope: &Scope<'_>,
    key: &ObjectKey,
    branches: &[HttpRouteDestination],
) -> Vec<WeightedCluster> {
    let several = branches.len() > 1;
    let live: Vec<_> = branches
        .iter()
        .filter(|branch| !several || branch.weight > 0)
        .collect();
    let single = live.len() == 1;
    let clusters = live.into_iter().map(|branch| {
        let headers = branch.headers.clone().unwrap_or_default();
        let (request_headers, host_rewrite) = request_edits(headers.request.as_ref());
        WeightedCluster {
            name: cluster_of(scope, key, &branch.destination),
            weight: if single {
                ALONE
            } else {
                u32::try_from(branch.weight).unwrap_or(0)
            },
            request_headers,
            response_headers: headers.response.as_ref().map(edits).unwrap_or_default(),
            host_rewrite,
        }
    });
    clusters.collect()
}

/// As [`clusters`], for connections.
pub(super) fn tcp_branches(
    scope: &Scope<'_>,
    key: &ObjectKey,
    branches: &[TcpRouteDestination],
) -> Vec<TcpBranch> {
    let several = branches.len() > 1;
    let live = branches
        .iter()
        .filter(|branch| !several || branch.weight > 0);
    let mut all: Vec<_> = live
        .map(|branch| TcpBranch {
            cluster: cluster_of(scope, key, &branch.destination),
            weight: u32::try_from(branch.weight).unwrap_or(0),
        })
        .collect();
    if let [only] = all.as_mut_slice() {
        only.weight = ALONE;
    }
    all
}

/// What is hashed for the balancers of the destinations.
///
/// Source: Istio: those of all destinations stand side by side.
pub(crate) fn hashes(
    scope: &Scope<'_>,
    targets: impl IntoIterator<Item = Target>,
) -> Vec<HashPolicy> {
    let mut hashes = Vec::new();
    for target in targets {
        let Target { host, subset, port } = target;
        let hash = scope.snapshot.service_of_host(&host).and_then(|service| {
            let client = &scope.proxy.namespace;
            destination_rule::hash(scope.snapshot, client, service, &subset, port)
        });
        hashes.extend(hash.filter(|hash| !hashes.contains(hash)));
    }
    hashes
}

/// What a destination means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Full name.
    pub(crate) host: String,
    /// Empty is all of it.
    pub(crate) subset: String,
    /// Port of the Service.
    pub(crate) port: u16,
}

/// The cluster of a destination, whether it exists or not.
fn cluster_of(scope: &Scope<'_>, key: &ObjectKey, destination: &Destination) -> String {
    let Target { host, subset, port } = target_of(scope, key, destination);
    cluster::outbound_name(port, &subset, &host)
}

/// What a destination means.
///
/// Source: Istio `GetDestinationCluster`: without a port, the Service's only one, else that which
/// the request came for.
fn target_of(scope: &Scope<'_>, key: &ObjectKey, destination: &Destination) -> Target {
    let host = names::expand_host(&destination.host, &key.namespace);
    let explicit = destination
        .port
        .as_ref()
        .and_then(|port| u16::try_from(port.number).ok());
    let only = || match scope.snapshot.service_of_host(&host)?.ports.as_slice() {
        [port] => Some(port.number),
        _ => None,
    };
    let port = explicit.or_else(only).unwrap_or(scope.port);
    let subset = destination.subset.clone();
    Target { host, subset, port }
}

/// Source: Istio: an absent percentage is everything, zero turns the copy off.
fn mirrors(scope: &Scope<'_>, key: &ObjectKey, rule: &HttpRoute) -> Vec<Mirror> {
    let older = rule.mirror_percent.map(f64::from);
    let single = rule.mirror.iter().map(|destination| {
        let percent = rule
            .mirror_percentage
            .map(|percent| percent.value)
            .or(older);
        (destination, percent)
    });
    let several = rule.mirrors.iter().map(|mirror| {
        (
            &mirror.destination,
            mirror.percentage.map(|percent| percent.value),
        )
    });
    let all = single.chain(several).map(|(destination, percent)| Mirror {
        cluster: cluster_of(scope, key, destination),
        percent: percent.unwrap_or(100.0),
        shadow_host: true,
        ..Mirror::default()
    });
    all.filter(|mirror| mirror.percent > 0.0).collect()
}

fn retry(wanted: &HttpRetry) -> Option<Retry> {
    let attempts = u32::try_from(wanted.attempts)
        .ok()
        .filter(|attempts| *attempts > 0)?;
    let mut retry = Retry {
        attempts,
        per_try_timeout: time(wanted.per_try_timeout.as_deref()),
        base_interval: time(wanted.backoff.as_deref()).unwrap_or(BASE_INTERVAL),
        guarded: false,
        ..default_retry()
    };
    if wanted.retry_ignore_previous_hosts == Some(false) {
        retry.avoid_previous = 0;
    }
    let parts = wanted
        .retry_on
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let (codes, conditions): (Vec<&str>, Vec<&str>) =
        parts.partition(|part| part.parse::<u16>().is_ok());
    if !conditions.is_empty() || !codes.is_empty() {
        retry.on = conditions.into_iter().map(str::to_owned).collect();
        retry.status_codes = codes.iter().filter_map(|code| code.parse().ok()).collect();
        let by_code = "retriable-status-codes";
        if !retry.status_codes.is_empty() && retry.on.iter().all(|name| name != by_code) {
            retry.on.push(by_code.to_owned());
        }
    }
    Some(retry)
}

/// Edits of the request, and the new host when they set one.
///
/// Source: Istio: `host` or `:authority` becomes a host rewrite, other pseudo headers are ignored.
pub(super) fn request_edits(
    operations: Option<&HeaderOperations>,
) -> (HeaderEdits, Option<String>) {
    let Some(operations) = operations else {
        return (HeaderEdits::default(), None);
    };
    let is_host =
        |name: &str| name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority");
    let host = operations.set.iter().find(|(name, _)| is_host(name));
    (edits(operations), host.map(|(_, value)| value.clone()))
}

/// Edits of the reply.
pub(super) fn edits(operations: &HeaderOperations) -> HeaderEdits {
    let is_plain = |name: &str| !name.starts_with(':') && !name.eq_ignore_ascii_case("host");
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        let plain = map.iter().filter(|(name, _)| is_plain(name));
        plain
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect()
    };
    let remove = operations.remove.iter().filter(|name| is_plain(name));
    HeaderEdits {
        set: pairs(&operations.set),
        add: pairs(&operations.add),
        remove: remove.map(|name| name.to_ascii_lowercase()).collect(),
        ..HeaderEdits::default()
    }
}
