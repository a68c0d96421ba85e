//! Where requests go.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{merge, socket, typed};
use crate::client::Speech;
use crate::server::Servers;

/// The servers. Those up to the second mirror have a cluster of the same name; the others are the
/// endpoints of clusters with several.
pub(crate) const SERVERS: [&str; 10] = [
    "one",
    "two",
    "three",
    "four",
    "mirror",
    "mirror-two",
    "a",
    "b",
    "c",
    "d",
];
/// Those that clusters share.
pub(crate) const SHARED: [&str; 4] = ["a", "b", "c", "d"];

/// All clusters.
pub(super) fn all(servers: &Servers, up: Speech) -> Vec<Value> {
    let single = |(name, address): (&&str, &SocketAddr)| {
        let own = !SHARED.contains(name);
        own.then(|| cluster(name, &[*address], up))
    };
    let mut clusters: Vec<_> = servers.addresses.iter().filter_map(single).collect();
    let shared: Vec<_> = SHARED.iter().map(|name| servers.addresses[name]).collect();
    // Nobody listens on a port that cannot be asked for.
    let dead = SocketAddr::from(([127, 0, 0, 1], 1));
    let no_request = json!({"thresholds": [{"max_requests": 0}]});
    let no_pending = json!({"thresholds": [{"max_pending_requests": 0}]});
    for (name, endpoints, fields) in [
        ("nobody", &[][..], json!({})),
        ("dead", &[dead][..], json!({})),
        (
            "full",
            &shared[..1],
            json!({"circuit_breakers": no_request}),
        ),
        (
            "no-room",
            &shared[..1],
            json!({"circuit_breakers": no_pending}),
        ),
        ("ring", &shared[..], json!({"lb_policy": "RING_HASH"})),
        (
            "small-ring",
            &shared[..],
            json!({
                "lb_policy": "RING_HASH",
                "ring_hash_lb_config": {"minimum_ring_size": 8, "maximum_ring_size": 64},
            }),
        ),
        (
            "maglev",
            &shared[..],
            json!({"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 251}}),
        ),
        ("robin", &shared[..], json!({"lb_policy": "ROUND_ROBIN"})),
        ("random", &shared[..], json!({"lb_policy": "RANDOM"})),
        ("least", &shared[..], json!({"lb_policy": "LEAST_REQUEST"})),
    ] {
        let mut cluster = cluster(name, endpoints, up);
        merge(&mut cluster, &fields);
        clusters.push(cluster);
    }
    clusters.push(weighted(&shared, up));
    clusters
}

/// Round robin by weights 1, 2, 3, 4.
fn weighted(addresses: &[SocketAddr], up: Speech) -> Value {
    let mut weighted = cluster("weighted", addresses, up);
    let endpoints = &mut weighted["load_assignment"]["endpoints"][0]["lb_endpoints"];
    for (weight, endpoint) in (1..).zip(endpoints.as_array_mut().into_iter().flatten()) {
        endpoint["load_balancing_weight"] = json!(weight);
    }
    weighted
}

pub(super) fn cluster(name: &str, addresses: &[SocketAddr], up: Speech) -> Value {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| json!({"endpoint": {"address": socket(*address)}}))
        .collect();
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        // Several ways ask at once; the default is three retries at a time.
        "circuit_breakers": {"thresholds": [{"retry_budget": {
            "budget_percent": {"value": 100.0}, "min_retry_concurrency": 100,
        }}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    });
    if up == Speech::Http2 {
        let options = typed(
            "extensions.upstreams.http.v3.HttpProtocolOptions",
            json!({"explicit_http_config": {"http2_protocol_options": {}}}),
        );
        cluster["typed_extension_protocol_options"] =
            json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options});
    }
    cluster
}
