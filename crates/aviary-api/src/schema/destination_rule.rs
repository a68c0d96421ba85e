//! Fields of a `DestinationRule`'s specification.

use super::{Field, choice, integer, labels, list, object, port, text};

/// The whole specification.
pub(crate) fn spec() -> Field {
    let subset = vec![
        ("name", text("Name that routes use.")),
        ("labels", labels("Labels of its pods.")),
        (
            "trafficPolicy",
            traffic_policy("Overrides the rule's policy, section by section."),
        ),
    ];
    object(
        "What holds for traffic to a Service once it is routed there.",
        vec![
            ("host", text("Service.")),
            ("trafficPolicy", traffic_policy("Policy of all subsets.")),
            (
                "subsets",
                list("Named slices of the Service.", object("", subset)),
            ),
            ("exportTo", Field::Later),
            ("workloadSelector", Field::Later),
        ],
    )
}

fn traffic_policy(doc: &'static str) -> Field {
    let mut port_policy = vec![("port", port("The Service's port."))];
    port_policy.extend(sections());
    let mut fields = sections();
    fields.push((
        "portLevelSettings",
        list(
            "For single ports; replaces the sections above there.",
            object("", port_policy),
        ),
    ));
    fields.extend([
        ("tunnel", Field::Later),
        ("proxyProtocol", Field::Later),
        ("retryBudget", Field::Later),
    ]);
    object(doc, fields)
}

fn sections() -> Vec<(&'static str, Field)> {
    vec![
        ("loadBalancer", load_balancer()),
        ("connectionPool", connection_pool()),
        ("outlierDetection", outlier_detection()),
        ("tls", Field::Later),
    ]
}

fn load_balancer() -> Field {
    object(
        "How an endpoint is chosen.",
        vec![
            (
                "simple",
                choice(
                    "LEAST_REQUEST by default.",
                    &[
                        "UNSPECIFIED",
                        "LEAST_CONN",
                        "RANDOM",
                        "PASSTHROUGH",
                        "ROUND_ROBIN",
                        "LEAST_REQUEST",
                    ],
                ),
            ),
            ("consistentHash", Field::Later),
            ("localityLbSetting", Field::Later),
            ("warmup", Field::Later),
            ("warmupDurationSecs", Field::Later),
        ],
    )
}

fn connection_pool() -> Field {
    let tcp = vec![
        (
            "maxConnections",
            integer("Open connections; 0 is without limit."),
        ),
        (
            "connectTimeout",
            text("How long a connection may take to open; `10s` by default."),
        ),
        ("tcpKeepalive", Field::Later),
        ("maxConnectionDuration", Field::Later),
        ("idleTimeout", Field::Later),
    ];
    let http = vec![
        (
            "http1MaxPendingRequests",
            integer("Requests waiting for a connection."),
        ),
        ("http2MaxRequests", integer("Requests under way.")),
        (
            "maxRequestsPerConnection",
            integer("Requests after which a connection is closed."),
        ),
        ("maxRetries", integer("Retries under way.")),
        (
            "idleTimeout",
            text("Idle connections are closed after this long; `1h` by default."),
        ),
        ("h2UpgradePolicy", Field::Later),
        ("useClientProtocol", Field::Later),
        ("maxConcurrentStreams", Field::Later),
        ("http2KeepAlive", Field::Later),
    ];
    object(
        "Limits; over one, requests are answered 503.",
        vec![
            ("tcp", object("On connections.", tcp)),
            ("http", object("On requests.", http)),
        ],
    )
}

fn outlier_detection() -> Field {
    object(
        "Ejection of endpoints that fail.",
        vec![
            ("consecutiveErrors", Field::Later),
            ("splitExternalLocalOriginErrors", Field::Later),
            ("consecutiveLocalOriginFailures", Field::Later),
            (
                "consecutiveGatewayErrors",
                integer("502, 503 and 504 in a row; off when absent."),
            ),
            (
                "consecutive5xxErrors",
                integer("5xx in a row; 5 when absent, 0 is off."),
            ),
            ("interval", text("Time between sweeps; `10s` by default.")),
            (
                "baseEjectionTime",
                text("First time out; `30s` by default."),
            ),
            (
                "maxEjectionPercent",
                integer("Greatest share ejected; 10 by default."),
            ),
            (
                "minHealthPercent",
                integer("Below this share of healthy ones all are used."),
            ),
        ],
    )
}
