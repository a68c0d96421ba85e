//! The one configuration that both proxies get, but for addresses.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::upstream::Upstreams;

/// Clusters with one server each, of the same name.
pub(crate) const SERVERS: [&str; 6] = ["one", "two", "three", "four", "mirror", "mirror-two"];

/// Name of a listener, and the fields of its connection manager.
pub(crate) type Way = (&'static str, fn() -> Value);

/// Listeners that differ in how they take requests; all have the same routes.
pub(crate) const WAYS: [Way; 4] = [
    ("plain", || json!({})),
    (
        "edge",
        || json!({"use_remote_address": true, "normalize_path": true, "merge_slashes": true}),
    ),
    (
        "behind-one",
        || json!({"use_remote_address": true, "xff_num_trusted_hops": 1, "normalize_path": true}),
    ),
    ("no-escaped-slash", || {
        json!({
            "normalize_path": true,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "server_header_transformation": "PASS_THROUGH",
        })
    }),
];

/// What is compared of a request's log line.
const LOG: &str =
    "%REQ(X-TEST-ID)% %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_CLUSTER% %ROUTE_NAME%\n";

/// The file of a proxy that listens on `listen` once for each of [`WAYS`].
pub(crate) fn bootstrap(listen: &[SocketAddr], upstreams: &Upstreams, hosts: &[Value]) -> Value {
    let listeners: Vec<_> = WAYS
        .iter()
        .zip(listen)
        .map(|((name, way), address)| listener(name, *address, &way(), hosts))
        .collect();
    let mut clusters: Vec<_> = upstreams
        .addresses
        .iter()
        .map(|(name, address)| cluster(name, &[*address]))
        .collect();
    clusters.push(cluster("nobody", &[]));
    json!({"static_resources": {"listeners": listeners, "clusters": clusters}})
}

fn typed(kind: &str, mut rest: Value) -> Value {
    rest["@type"] = json!(format!("type.googleapis.com/envoy.{kind}"));
    rest
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn listener(name: &str, address: SocketAddr, way: &Value, hosts: &[Value]) -> Value {
    let mut manager = json!({
        "stat_prefix": name,
        "route_config": {"name": "routes", "virtual_hosts": hosts},
        "access_log": [{
            "name": "envoy.access_loggers.file",
            "typed_config": typed("extensions.access_loggers.file.v3.FileAccessLog", json!({
                "path": "/dev/stdout",
                "log_format": {"text_format_source": {"inline_string": LOG}},
            })),
        }],
        "http_filters": [
            {"name": "envoy.filters.http.cors",
             "typed_config": typed("extensions.filters.http.cors.v3.Cors", json!({}))},
            {"name": "envoy.filters.http.fault",
             "typed_config": typed("extensions.filters.http.fault.v3.HTTPFault", json!({}))},
            {"name": "envoy.filters.http.rbac",
             "typed_config": typed("extensions.filters.http.rbac.v3.RBAC", json!({}))},
            {"name": "envoy.filters.http.router",
             "typed_config": typed("extensions.filters.http.router.v3.Router", json!({}))},
        ],
    });
    for (field, value) in way.as_object().into_iter().flatten() {
        manager[field] = value.clone();
    }
    json!({
        "name": name,
        "address": socket(address),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": typed(
                "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                manager,
            ),
        }]}],
    })
}

fn cluster(name: &str, addresses: &[SocketAddr]) -> Value {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| json!({"endpoint": {"address": socket(*address)}}))
        .collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        // Several ways ask at once; the default is three retries at a time.
        "circuit_breakers": {"thresholds": [{"retry_budget": {
            "budget_percent": {"value": 100.0}, "min_retry_concurrency": 100,
        }}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}

/// A per-route setting of a filter.
pub(crate) fn per_filter(filter: &str, kind: &str, value: Value) -> Value {
    json!({filter: typed(kind, value)})
}
