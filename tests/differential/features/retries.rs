//! Trying again, and giving up.

use serde_json::json;

use super::{Feature, forward, get};

pub(super) fn retries() -> Feature {
    let host = "retries.example";
    let policy =
        |on: &str, times: u32| json!({"retry_policy": {"retry_on": on, "num_retries": times}});
    let orders = [
        "fail=1",
        "fail=2",
        "fail=9",
        "status=404",
        "status=409",
        "status=500",
        "close",
        "close=1",
        "again=1",
        "",
    ];
    let paths = [
        "/5xx", "/gateway", "/reset", "/codes", "/4xx", "/headers", "/only", "/none",
    ];
    let requests = paths.iter().flat_map(|path| {
        orders.iter().flat_map(move |orders| {
            ["GET", "POST"].map(|method| get(host, path).orders(orders).method(method))
        })
    });
    Feature {
        host,
        routes: json!([
            forward("/5xx", policy("5xx", 2)),
            forward("/gateway", policy("gateway-error", 1)),
            forward("/reset", policy("reset,connect-failure", 3)),
            forward(
                "/codes",
                json!({"retry_policy": {
                    "retry_on": "retriable-status-codes", "retriable_status_codes": [404, 500], "num_retries": 1,
                }})
            ),
            forward("/4xx", policy("retriable-4xx", 1)),
            forward(
                "/headers",
                json!({"retry_policy": {
                    "retry_on": "retriable-headers",
                    "retriable_headers": [{"name": "x-again", "present_match": true}],
                }})
            ),
            forward(
                "/only",
                json!({"retry_policy": {
                    "retry_on": "5xx",
                    "retriable_request_headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
                }})
            ),
            forward("/none", json!({})),
        ]),
        settings: json!({
            "include_request_attempt_count": true,
            "include_attempt_count_in_response": true,
        }),
        requests: requests.collect(),
    }
}

pub(super) fn retry_of_host() -> Feature {
    let host = "retry-of-host.example";
    Feature {
        host,
        routes: json!([
            forward(
                "/own",
                json!({"retry_policy": {"retry_on": "5xx", "num_retries": 1}})
            ),
            forward("/", json!({})),
        ]),
        settings: json!({"retry_policy": {"retry_on": "5xx", "num_retries": 3}}),
        requests: ["/own", "/"]
            .iter()
            .flat_map(|path| ["fail=1", "fail=3"].map(|orders| get(host, path).orders(orders)))
            .collect(),
    }
}

/// What a client asks for itself; only some ways believe it.
pub(super) fn asked() -> Feature {
    let host = "asked.example";
    let on = [
        "5xx",
        "gateway-error",
        "retriable-4xx",
        "retriable-status-codes",
        "retriable-headers",
        "reset,connect-failure",
        "nonsense",
        "",
    ];
    let requests = on.into_iter().flat_map(|on| {
        ["1", "3", "0", "x"].into_iter().flat_map(move |times| {
            [
                ("fail=2", "redirects-escaped-slash"),
                ("fail=2", "plain"),
                ("status=409", "no-escaped-slash"),
                ("close=1", "redirects-escaped-slash"),
                ("again=1", "no-escaped-slash"),
            ]
            .map(|(orders, way)| {
                let request = get(host, "/").orders(orders).by(way);
                let request = match way {
                    "redirects-escaped-slash" => request,
                    _ => request.header("x-forwarded-for", "10.0.0.1"),
                };
                let request = match orders {
                    "close=1" => request.method("POST"),
                    _ => request,
                };
                request
                    .header("x-envoy-retry-on", on)
                    .header("x-envoy-max-retries", times)
                    .header("x-envoy-retriable-status-codes", "409,503")
                    .header("x-envoy-retriable-header-names", "x-again")
            })
        })
    });
    Feature {
        host,
        routes: json!([forward("/", json!({}))]),
        settings: json!({}),
        requests: requests.collect(),
    }
}

/// Times are either far longer than an answer takes, or run out because there is never one.
pub(super) fn timeouts() -> Feature {
    let host = "timeouts.example";
    let asks = |time: &str, orders: &str| {
        let request = get(host, "/none").header("x-envoy-upstream-rq-timeout-ms", time);
        request.orders(orders).by("redirects-escaped-slash")
    };
    Feature {
        host,
        routes: json!([
            forward("/short", json!({"timeout": "0.4s"})),
            forward("/long", json!({"timeout": "30s"})),
            forward(
                "/tries",
                json!({
                    "timeout": "20s",
                    "retry_policy": {"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.4s"},
                })
            ),
            forward(
                "/resets",
                json!({
                    "timeout": "20s",
                    "retry_policy": {"retry_on": "connect-failure", "num_retries": 1, "per_try_timeout": "0.4s"},
                })
            ),
            forward("/idle", json!({"timeout": "0s", "idle_timeout": "0.4s"})),
            forward(
                "/oldest",
                json!({"timeout": "0s", "max_stream_duration": {"max_stream_duration": "0.4s"}})
            ),
            forward("/none", json!({"timeout": "0s"})),
        ]),
        settings: json!({"include_request_attempt_count": true}),
        requests: vec![
            get(host, "/short").orders("hang"),
            get(host, "/short").method("POST").orders("hang"),
            get(host, "/long").orders("slow=50"),
            get(host, "/tries").orders("hang"),
            get(host, "/tries").method("POST").orders("hang"),
            get(host, "/resets").orders("hang"),
            get(host, "/idle").orders("hang"),
            get(host, "/oldest").orders("hang"),
            get(host, "/none").orders("slow=50"),
            asks("400", "hang"),
            asks("400", "hang")
                .by("no-escaped-slash")
                .header("x-forwarded-for", "10.0.0.1"),
            asks("30000", "slow=50"),
            asks("30000", "slow=50").by("plain"),
            asks("400", "hang").header("x-envoy-upstream-rq-timeout-alt-response", "1"),
            asks("30000", "hang").header("x-envoy-upstream-rq-per-try-timeout-ms", "400"),
        ],
    }
}
