//! A virtual host for each feature, and requests that show it from every side.

use serde_json::{Value, json};

use crate::config::per_filter;
use crate::request::Request;

/// A feature's routes, and what is asked of them.
struct Feature {
    host: &'static str,
    routes: Value,
    /// Fields of the virtual host beside its routes.
    settings: Value,
    requests: Vec<Request>,
}

/// The virtual hosts and the requests of all features.
pub(crate) fn all() -> (Vec<Value>, Vec<Request>) {
    let (mut hosts, mut requests) = (Vec::new(), Vec::new());
    for feature in [
        retries(),
        retry_of_host(),
        faults(),
        mirrors(),
        cors(),
        rbac(),
        edits(),
        redirects(),
        timeouts(),
        answers(),
    ] {
        let mut host = json!({
            "name": feature.host,
            "domains": [feature.host],
            "routes": feature.routes,
        });
        for (field, value) in feature.settings.as_object().into_iter().flatten() {
            host[field] = value.clone();
        }
        hosts.push(host);
        requests.extend(feature.requests);
    }
    for (id, request) in requests.iter_mut().enumerate() {
        request.id = id.to_string();
    }
    (hosts, requests)
}

#[expect(clippy::needless_pass_by_value, reason = "`json!` makes values")]
fn forward(prefix: &str, fields: Value) -> Value {
    let mut route = json!({"cluster": "one"});
    for (field, value) in fields.as_object().into_iter().flatten() {
        route[field] = value.clone();
    }
    json!({"name": prefix, "match": {"prefix": prefix}, "route": route})
}

fn get(host: &str, path: &str) -> Request {
    Request::get(0, host, path)
}

fn retries() -> Feature {
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
        "",
    ];
    let paths = ["/5xx", "/gateway", "/reset", "/codes", "/4xx", "/none"];
    let requests = paths.iter().flat_map(|path| {
        orders.iter().flat_map(move |orders| {
            ["GET", "POST"].map(|method| get(host, path).orders(orders).method(method))
        })
    });
    let asked = ["5xx", "gateway-error", "retriable-4xx", "nonsense"]
        .into_iter()
        .flat_map(|on| {
            ["1", "3", "x"].map(|times| {
                let request = get(host, "/none").orders("fail=2");
                request
                    .header("x-envoy-retry-on", on)
                    .header("x-envoy-max-retries", times)
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
            forward("/none", json!({})),
        ]),
        settings: json!({"include_request_attempt_count": true}),
        requests: requests.chain(asked).collect(),
    }
}

fn retry_of_host() -> Feature {
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

fn faults() -> Feature {
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
        ]),
        settings: json!({}),
        requests: ["/abort", "/teapot", "/never", "/delay", "/both"]
            .iter()
            .flat_map(|path| ["GET", "POST", "HEAD"].map(|method| get(host, path).method(method)))
            .collect(),
    }
}

fn mirrors() -> Feature {
    let host = "mirrors.example";
    let fraction = |of: u32| json!({"default_value": {"numerator": of, "denominator": "HUNDRED"}});
    let to = |cluster: &str, of: u32| json!({"cluster": cluster, "runtime_fraction": fraction(of)});
    Feature {
        host,
        routes: json!([
            forward(
                "/all",
                json!({"request_mirror_policies": [to("mirror", 100)]})
            ),
            forward(
                "/none",
                json!({"request_mirror_policies": [to("mirror", 0)]})
            ),
            forward(
                "/two",
                json!({"request_mirror_policies": [to("mirror", 100), to("mirror-two", 100)]})
            ),
            forward(
                "/rewritten",
                json!({
                    "request_mirror_policies": [to("mirror", 100)],
                    "prefix_rewrite": "/new",
                    "host_rewrite_literal": "other.example",
                })
            ),
        ]),
        settings: json!({}),
        requests: ["/all", "/none", "/two", "/rewritten"]
            .iter()
            .flat_map(|path| ["GET", "POST"].map(|method| get(host, path).method(method)))
            .collect(),
    }
}

fn cors() -> Feature {
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

#[expect(clippy::too_many_lines, reason = "a table")]
fn rbac() -> Feature {
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
        ]),
        settings: json!({}),
        requests: [
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
            ]
        })
        .collect(),
    }
}

fn edits() -> Feature {
    let host = "edits.example";
    let option = |key: &str, value: &str, action: &str| json!({"header": {"key": key, "value": value}, "append_action": action});
    let all = |level: &str| {
        json!([
            option("x-add", level, "APPEND_IF_EXISTS_OR_ADD"),
            option("x-set", level, "OVERWRITE_IF_EXISTS_OR_ADD"),
        ])
    };
    let mut route = forward("/", json!({}));
    route["route"] = json!({"weighted_clusters": {"clusters": [{
        "name": "two", "weight": 1,
        "request_headers_to_add": all("branch"), "response_headers_to_add": all("branch"),
        "request_headers_to_remove": ["x-own"],
    }]}});
    for (field, value) in [
        ("request_headers_to_add", all("route")),
        ("response_headers_to_add", all("route")),
        ("request_headers_to_remove", json!(["x-gone"])),
        ("response_headers_to_remove", json!(["x-drop", "server"])),
    ] {
        route[field] = value;
    }
    Feature {
        host,
        routes: json!([route]),
        settings: json!({
            "request_headers_to_add": all("host"),
            "response_headers_to_add": all("host"),
            "response_headers_to_remove": ["x-twice"],
        }),
        requests: vec![
            get(host, "/"),
            get(host, "/")
                .header("X-Add", "mine")
                .header("x-add", "again"),
            get(host, "/")
                .header("x-set", "mine")
                .header("X-Set", "again"),
            get(host, "/")
                .header("x-own", "1")
                .header("x-gone", "1")
                .header("X-Gone", "2"),
            get(host, "/").orders("status=500"),
            get(host, "/").method("HEAD"),
        ],
    }
}

fn redirects() -> Feature {
    let host = "redirects.example";
    let to = |path: &str, redirect: Value| json!({"name": path, "match": {"prefix": path}, "redirect": redirect});
    let paths = [
        "/https", "/host", "/port", "/path", "/prefix", "/code", "/strip", "/all",
    ];
    let requests = paths.iter().flat_map(|path| {
        ["", "?q=1", "/more?q=1&r=2", "/%2e%2e/x"]
            .into_iter()
            .flat_map(move |tail| {
                [
                    host.to_owned(),
                    format!("{host}:80"),
                    format!("{host}:443"),
                    format!("{host}:8080"),
                ]
                .map(|authority| get(&authority, &format!("{path}{tail}")))
            })
    });
    Feature {
        host,
        routes: json!([
            to("/https", json!({"https_redirect": true})),
            to("/host", json!({"host_redirect": "else.example"})),
            to("/port", json!({"port_redirect": 8443})),
            to("/path", json!({"path_redirect": "/new?fixed=1"})),
            to(
                "/prefix",
                json!({"prefix_rewrite": "/new", "response_code": "FOUND"})
            ),
            to(
                "/code",
                json!({"path_redirect": "/new", "response_code": "TEMPORARY_REDIRECT"})
            ),
            to(
                "/strip",
                json!({"path_redirect": "/new", "strip_query": true})
            ),
            to(
                "/all",
                json!({
                    "scheme_redirect": "https", "host_redirect": "else.example", "port_redirect": 443,
                    "prefix_rewrite": "/new",
                })
            ),
        ]),
        settings: json!({"domains": [host, format!("{host}:*")]}),
        requests: requests.collect(),
    }
}

fn timeouts() -> Feature {
    let host = "timeouts.example";
    Feature {
        host,
        routes: json!([
            forward("/short", json!({"timeout": "0.05s"})),
            forward(
                "/tries",
                json!({
                    "timeout": "1s",
                    "retry_policy": {"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.05s"},
                })
            ),
            forward("/none", json!({"timeout": "0s"})),
        ]),
        settings: json!({"include_request_attempt_count": true}),
        requests: vec![
            get(host, "/short").orders("slow=400"),
            get(host, "/short").orders("slow=1"),
            get(host, "/tries").orders("slow=300"),
            get(host, "/none").orders("slow=100"),
            get(host, "/none")
                .orders("slow=300")
                .header("x-envoy-upstream-rq-timeout-ms", "50"),
            get(host, "/short")
                .orders("slow=100")
                .header("x-envoy-upstream-rq-timeout-ms", "2000"),
        ],
    }
}

fn answers() -> Feature {
    let host = "answers.example";
    let direct = |path: &str, status: u32, body: &str| {
        json!({
            "match": {"path": path},
            "direct_response": {"status": status, "body": {"inline_string": body}},
            "response_headers_to_add": [{"header": {"key": "x-added", "value": "1"}}],
        })
    };
    let statuses = [
        "200", "201", "204", "301", "304", "401", "404", "429", "500", "503",
    ];
    let paths = ["/ok", "/no-body", "/teapot", "/nobody", "/nowhere", "/lost"];
    let plain = paths.iter().flat_map(|path| {
        ["GET", "POST", "HEAD", "OPTIONS"].map(|method| get(host, path).method(method))
    });
    let passed = statuses.iter().flat_map(|status| {
        ["GET", "HEAD"].map(|method| {
            get(host, "/pass")
                .method(method)
                .orders(&format!("status={status}"))
        })
    });
    Feature {
        host,
        routes: json!([
            direct("/ok", 200, "hello"),
            direct("/no-body", 204, ""),
            direct("/teapot", 418, "short"),
            {"name": "nobody", "match": {"path": "/nobody"}, "route": {"cluster": "nobody"}},
            forward("/pass", json!({})),
        ]),
        settings: json!({}),
        requests: plain.chain(passed).collect(),
    }
}
