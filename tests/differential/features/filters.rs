//! What stands between a route and its cluster: faults, cross-origin rules, authorisation.

use serde_json::{Value, json};

use super::{Feature, forward, get};
use crate::config::per_filter;

pub(super) fn faults() -> Feature {
    let host = "faults.example";
    let fault = |path: &str, fault: Value| {
        let mut route = forward(path, json!({}));
        route["typed_per_filter_config"] = per_filter(
            "envoy.filters.http.fault",
            "extensions.filters.http.fault.v3.HTTPFault",
            fault,
        );
        route
    };
    let percent = |of: u32| json!({"numerator": of, "denominator": "HUNDRED"});
    Feature {
        host,
        routes: json!([
            fault(
                "/abort",
                json!({"abort": {"http_status": 503, "percentage": percent(100)}})
            ),
            fault(
                "/teapot",
                json!({"abort": {"http_status": 418, "percentage": percent(100)}})
            ),
            fault(
                "/never",
                json!({"abort": {"http_status": 503, "percentage": percent(0)}})
            ),
            fault(
                "/delay",
                json!({"delay": {"fixed_delay": "0.05s", "percentage": percent(100)}})
            ),
            fault(
                "/both",
                json!({
                    "delay": {"fixed_delay": "0.02s", "percentage": percent(100)},
                    "abort": {"http_status": 500, "percentage": percent(100)},
                })
            ),
            fault(
                "/some",
                json!({
                    "abort": {"http_status": 429, "percentage": percent(100)},
                    "headers": [
                        {"name": "end-user", "string_match": {"exact": "jason"}},
                        {"name": "x-bad", "present_match": true, "invert_match": true},
                    ],
                })
            ),
            fault(
                "/cluster",
                json!({
                    "abort": {"http_status": 501, "percentage": percent(100)},
                    "upstream_cluster": "one",
                })
            ),
            fault(
                "/else",
                json!({
                    "abort": {"http_status": 501, "percentage": percent(100)},
                    "upstream_cluster": "two",
                })
            ),
            fault(
                "/grpc",
                json!({"abort": {"grpc_status": 9, "percentage": percent(100)}})
            ),
        ]),
        settings: json!({}),
        requests: [
            "/abort", "/teapot", "/never", "/delay", "/both", "/some", "/cluster", "/else", "/grpc",
        ]
        .iter()
        .flat_map(|path| {
            [
                get(host, path),
                get(host, path).method("POST"),
                get(host, path).method("HEAD"),
                get(host, path).header("end-user", "jason"),
                get(host, path)
                    .header("end-user", "jason")
                    .header("x-bad", ""),
                get(host, path).header("content-type", "application/grpc"),
            ]
        })
        .collect(),
    }
}

pub(super) fn cors() -> Feature {
    let host = "cors.example";
    let policy = json!({
        "allow_origin_string_match": [{"exact": "https://good.example"}, {"suffix": ".good.example"}],
        "allow_methods": "GET,POST",
        "allow_headers": "x-one,x-two",
        "expose_headers": "x-three",
        "max_age": "600",
        "allow_credentials": true,
    });
    let mut route = forward("/", json!({}));
    route["typed_per_filter_config"] = per_filter(
        "envoy.filters.http.cors",
        "extensions.filters.http.cors.v3.CorsPolicy",
        policy,
    );
    let origins = [
        "https://good.example",
        "https://a.good.example",
        "https://bad.example",
        "null",
        "",
    ];
    let methods = ["GET", "POST", "OPTIONS"];
    let requests = origins.iter().flat_map(|origin| {
        methods.into_iter().flat_map(move |method| {
            ["", "GET", "DELETE"].map(|asked| {
                let mut request = get(host, "/").method(method);
                if !origin.is_empty() {
                    request = request.header("origin", origin);
                }
                if !asked.is_empty() {
                    request = request.header("access-control-request-method", asked);
                }
                request
            })
        })
    });
    Feature {
        host,
        routes: json!([route]),
        settings: json!({}),
        requests: requests.collect(),
    }
}

/// Policies of the virtual host, and answers to other origins that do not come from upstream.
pub(super) fn cors_of_host() -> Feature {
    let host = "cors-of-host.example";
    let policy = |fields: Value| {
        per_filter(
            "envoy.filters.http.cors",
            "extensions.filters.http.cors.v3.CorsPolicy",
            fields,
        )
    };
    let with = |mut route: Value, fields: Value| {
        route["typed_per_filter_config"] = policy(fields);
        route
    };
    let good = || json!([{"exact": "https://good.example"}]);
    let fraction = |of: u32| json!({"default_value": {"numerator": of, "denominator": "HUNDRED"}});
    let paths = [
        "/any",
        "/none",
        "/answered",
        "/failing",
        "/off",
        "/own",
        "/strict",
        "/rest",
    ];
    let requests = paths.into_iter().flat_map(|path| {
        ["https://good.example", "https://bad.example"]
            .into_iter()
            .flat_map(move |origin| {
                let call = |method| get(host, path).method(method).header("origin", origin);
                [
                    call("GET"),
                    call("OPTIONS"),
                    call("OPTIONS").header("access-control-request-method", "PUT"),
                    call("OPTIONS")
                        .header("access-control-request-method", "PUT")
                        .header("access-control-request-headers", "x-a,x-b")
                        .header("access-control-request-private-network", "true"),
                    call("POST").orders("status=500"),
                ]
            })
    });
    Feature {
        host,
        routes: json!([
            with(
                forward("/any", json!({})),
                json!({
                    "allow_origin_string_match": [{"safe_regex": {"regex": "https://.*"}}],
                    "allow_methods": "*",
                    "allow_headers": "*",
                    "allow_private_network_access": true,
                })
            ),
            with(forward("/none", json!({})), json!({})),
            {"name": "answered", "match": {"prefix": "/answered"}, "direct_response": {"status": 200, "body": {"inline_string": "here"}}},
            forward("/failing", json!({"cluster": "nobody"})),
            with(
                forward("/off", json!({})),
                json!({"allow_origin_string_match": good(), "filter_enabled": fraction(0)})
            ),
            with(
                forward("/own", json!({})),
                json!({"allow_origin_string_match": good(), "allow_methods": "PATCH", "expose_headers": "x-mine"})
            ),
            with(
                forward("/strict", json!({})),
                json!({"allow_origin_string_match": good(), "forward_not_matching_preflights": false})
            ),
            forward("/rest", json!({})),
        ]),
        settings: json!({"typed_per_filter_config": policy(json!({
            "allow_origin_string_match": good(),
            "allow_methods": "GET,PUT",
            "allow_headers": "x-one",
            "expose_headers": "x-two",
            "max_age": "60",
            "allow_credentials": true,
        }))}),
        requests: requests.collect(),
    }
}

/// What callers of gRPC get when there is no answer from upstream.
pub(super) fn grpc() -> Feature {
    let host = "grpc.example";
    let answer = |path: &str, status: u32| json!({"match": {"prefix": path}, "direct_response": {"status": status, "body": {"inline_string": "a \"word\" é %"}}});
    let paths = [
        "/full", "/nobody", "/dead", "/lost", "/200", "/400", "/401", "/403", "/404", "/429",
        "/500", "/503", "/moved", "/late",
    ];
    let requests = paths.into_iter().flat_map(|path| {
        [
            "application/grpc",
            "application/grpc+proto",
            "application/grpcweb",
            "text/plain",
        ]
        .map(|kind| {
            let request = get(host, path).method("POST").header("content-type", kind);
            match path {
                "/late" => request.orders("hang"),
                _ => request,
            }
        })
    });
    Feature {
        host,
        routes: json!([
            forward("/full", json!({"cluster": "full"})),
            forward("/nobody", json!({"cluster": "nobody"})),
            forward("/dead", json!({"cluster": "dead"})),
            answer("/200", 200),
            answer("/400", 400),
            answer("/401", 401),
            answer("/403", 403),
            answer("/404", 404),
            answer("/429", 429),
            answer("/500", 500),
            answer("/503", 503),
            {"match": {"prefix": "/moved"}, "redirect": {"path_redirect": "/new"}},
            forward("/late", json!({"timeout": "0.4s"})),
        ]),
        settings: json!({}),
        requests: requests.collect(),
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn rbac() -> Feature {
    let host = "rbac.example";
    let with = |path: &str, action: &str, permission: Value, principal: Value| {
        let mut route = forward(path, json!({}));
        let rules = json!({"rbac": {"rules": {"action": action, "policies": {"p": {
            "permissions": [permission], "principals": [principal],
        }}}}});
        route["typed_per_filter_config"] = per_filter(
            "envoy.filters.http.rbac",
            "extensions.filters.http.rbac.v3.RBACPerRoute",
            rules,
        );
        route
    };
    let any = || json!({"any": true});
    let header =
        |name: &str, value: Value| json!({"header": {"name": name, "string_match": value}});
    let path = |value: Value| json!({"url_path": {"path": value}});
    Feature {
        host,
        routes: json!([
            with(
                "/method",
                "ALLOW",
                header(":method", json!({"exact": "GET"})),
                any()
            ),
            with(
                "/deny",
                "DENY",
                path(json!({"prefix": "/deny/secret"})),
                any()
            ),
            with(
                "/ip",
                "ALLOW",
                any(),
                json!({"direct_remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}})
            ),
            with(
                "/local",
                "ALLOW",
                any(),
                json!({"remote_ip": {"address_prefix": "127.0.0.0", "prefix_len": 8}})
            ),
            with(
                "/not",
                "ALLOW",
                json!({"not_rule": header("x-bad", json!({"exact": "1"}))}),
                any()
            ),
            with(
                "/header",
                "DENY",
                any(),
                header("end-user", json!({"prefix": "ja"}))
            ),
            with(
                "/combined",
                "ALLOW",
                json!({"and_rules": {"rules": [
                    {"or_rules": {"rules": [
                        header(":method", json!({"exact": "GET"})),
                        header(":method", json!({"exact": "POST"})),
                    ]}},
                    {"not_rule": {"url_path": {"path": {"suffix": "/closed"}}}},
                    {"destination_port_range": {"start": 1, "end": 65535}},
                ]}}),
                json!({"or_ids": {"ids": [
                    {"not_id": {"header": {"name": "x-bad", "present_match": true}}},
                    {"header": {"name": "end-user", "string_match": {"safe_regex": {"regex": "j.*n"}}}},
                ]}})
            ),
            with(
                "/authority",
                "DENY",
                header(
                    ":authority",
                    json!({"prefix": "rbac.", "ignore_case": true})
                ),
                json!({"authenticated": {}})
            ),
            with(
                "/sni",
                "ALLOW",
                json!({"not_rule": {"requested_server_name": {"suffix": "within.example"}}}),
                any()
            ),
            with(
                "/peer",
                "ALLOW",
                any(),
                json!({"authenticated": {"principal_name": {"suffix": "/sa/outside"}}})
            ),
        ]),
        settings: json!({}),
        requests: [
            "/combined",
            "/combined/closed",
            "/authority",
            "/sni",
            "/peer",
            "/method",
            "/deny",
            "/deny/secret",
            "/deny/secret?x",
            "/deny//secret",
            "/ip",
            "/local",
            "/not",
            "/header",
        ]
        .iter()
        .flat_map(|path| {
            [
                get(host, path),
                get(host, path).method("POST"),
                get(host, path).header("x-bad", "1"),
                get(host, path).header("end-user", "jason"),
                get(host, path).header("x-forwarded-for", "10.2.3.4"),
                get(host, path).header("x-bad", "").by("encrypted"),
            ]
        })
        .collect(),
    }
}
