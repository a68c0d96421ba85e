//! Fields of a `DestinationRule`'s specification.

use super::{Field, choice, flag, integer, labels, list, number, object, port, text};

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
            ("consistentHash", consistent_hash()),
            ("localityLbSetting", Field::Later),
            ("warmup", warmup()),
            ("warmupDurationSecs", Field::Later),
        ],
    )
}

fn consistent_hash() -> Field {
    let attribute = vec![("name", text("Name.")), ("value", text("Value."))];
    let cookie = vec![
        ("name", text("Its name.")),
        ("path", text("Path of a cookie that is made.")),
        (
            "ttl",
            text(
                "A cookie is made for clients without one; of `0s` it lives as long as the session.",
            ),
        ),
        (
            "attributes",
            list(
                "Further attributes of a cookie that is made.",
                object("", attribute),
            ),
        ),
    ];
    let ring = vec![(
        "minimumRingSize",
        integer("Least places on the ring; 1024 by default."),
    )];
    let maglev = vec![(
        "tableSize",
        integer("Places in the table, a prime number; 65537 by default."),
    )];
    object(
        "Keeps clients where they were: by the hash of one part of the request.",
        vec![
            ("httpHeaderName", text("A header.")),
            ("httpCookie", object("A cookie.", cookie)),
            ("useSourceIp", flag("The client's address.")),
            ("httpQueryParameterName", text("A query parameter.")),
            ("ringHash", object("On a ring, the default.", ring)),
            (
                "maglev",
                object("In a table that is filled evenly.", maglev),
            ),
            (
                "minimumRingSize",
                integer("Older form of `ringHash.minimumRingSize`."),
            ),
        ],
    )
}

fn warmup() -> Field {
    object(
        "Gives pods that came a growing share; for ROUND_ROBIN and LEAST_REQUEST.",
        vec![
            ("duration", text("How long the share grows.")),
            (
                "minimumPercent",
                number("Share at the beginning, 0 to 100; 10 by default."),
            ),
            (
                "aggression",
                number("At least 1; above it grows faster at first. 1 by default."),
            ),
        ],
    )
}

fn connection_pool() -> Field {
    let keepalive = vec![
        (
            "probes",
            integer("Probes without an answer before it is broken."),
        ),
        ("time", text("Idle time before the first probe.")),
        ("interval", text("Time between probes.")),
    ];
    let tcp = vec![
        (
            "maxConnections",
            integer("Open connections; 0 is without limit."),
        ),
        (
            "connectTimeout",
            text("How long a connection may take to open; `10s` by default."),
        ),
        (
            "tcpKeepalive",
            object("Probes of idle connections by the kernel.", keepalive),
        ),
        (
            "maxConnectionDuration",
            text("Connections of this age are drained."),
        ),
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
        (
            "h2UpgradePolicy",
            choice(
                "`UPGRADE` speaks HTTP/2 with the pods of a port of HTTP/1.",
                &["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"],
            ),
        ),
        (
            "useClientProtocol",
            flag("Speaks the version of HTTP that the client speaks."),
        ),
        (
            "maxConcurrentStreams",
            integer("Streams at a time on a connection of HTTP/2."),
        ),
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
            (
                "splitExternalLocalOriginErrors",
                flag("Counts failures without an answer apart."),
            ),
            (
                "consecutiveLocalOriginFailures",
                integer(
                    "Failures without an answer in a row, when they count apart; 5 when absent.",
                ),
            ),
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
