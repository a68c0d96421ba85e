//! Edited heads, and answers of the proxies' own.

use serde_json::{Value, json};

use super::{Feature, forward, get};

pub(super) fn edits() -> Feature {
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
            get(host, "/").header("x-by-table", "1").by("specific-wins"),
            get(host, "/").orders("status=500"),
            get(host, "/").method("HEAD"),
        ],
    }
}

/// Every kind of edit, on what is there and what is not.
pub(super) fn actions() -> Feature {
    let host = "actions.example";
    let actions = [
        "APPEND_IF_EXISTS_OR_ADD",
        "ADD_IF_ABSENT",
        "OVERWRITE_IF_EXISTS",
        "OVERWRITE_IF_EXISTS_OR_ADD",
    ];
    let options = |value: &str| {
        let keys = ["x-one", "x-twice", "x-new", "content-type", "user-agent"];
        let all = actions.iter().flat_map(|action| {
            keys.map(|key| {
                json!({
                    "header": {"key": key, "value": value},
                    "append_action": action,
                    "keep_empty_value": value.is_empty(),
                })
            })
        });
        all.collect::<Vec<_>>()
    };
    let routes = actions.iter().enumerate().map(|(number, action)| {
        let mut route = forward(&format!("/{number}"), json!({}));
        let option = |key: &str| {
            json!([{"header": {"key": key, "value": "edited"}, "append_action": action}])
        };
        route["request_headers_to_add"] = option("x-one");
        route["response_headers_to_add"] = option("x-twice");
        route
    });
    let mut all = forward("/all", json!({}));
    all["request_headers_to_add"] = json!(options("100%% edited"));
    all["response_headers_to_add"] = json!(options("100%% edited"));
    let mut empty = forward("/empty", json!({}));
    empty["request_headers_to_add"] = json!(options(""));
    empty["response_headers_to_add"] = json!(options(""));
    let paths = ["/0", "/1", "/2", "/3", "/all", "/empty"];
    let requests = paths.into_iter().flat_map(|path| {
        [
            get(host, path),
            get(host, path).header("x-one", "mine"),
            get(host, path)
                .header("X-One", "mine")
                .header("x-one", "again"),
            get(host, path).header("x-one", ""),
            get(host, path)
                .header("user-agent", "me")
                .orders("status=404"),
        ]
    });
    Feature {
        host,
        routes: json!(routes.chain([all, empty]).collect::<Vec<_>>()),
        settings: json!({}),
        requests: requests.collect(),
    }
}

/// Other paths and hosts than were asked for.
pub(super) fn rewrites() -> Feature {
    let host = "rewrites.example";
    let regex = |regex: &str, new: &str| json!({"regex_rewrite": {"pattern": {"regex": regex}, "substitution": new}});
    let paths = [
        "/prefix",
        "/slash/",
        "/exact",
        "/regex",
        "/groups/a/b",
        "/every/a/a",
        "/header",
        "/both",
        "/branch",
        "/forwarded",
        "/segment/x",
    ];
    let tails = ["", "?q=1", "/%2e%2e/x?y", "//z", "/a%2fb", "/é?é"];
    let requests = paths.into_iter().flat_map(|path| {
        tails.into_iter().flat_map(move |tail| {
            let target = format!("{path}{tail}");
            [
                get(host, &target),
                get(&host.to_ascii_uppercase(), &target)
                    .header("x-forwarded-host", "before.example"),
                get(&format!("{host}:8080"), &target).header("x-wanted", "wanted.example:1"),
            ]
        })
    });
    Feature {
        host,
        routes: json!([
            forward("/prefix", json!({"prefix_rewrite": "/new"})),
            forward("/slash/", json!({"prefix_rewrite": "/"})),
            {"match": {"path": "/exact"}, "route": {"cluster": "one", "prefix_rewrite": "/whole"}},
            {"match": {"path_separated_prefix": "/segment"}, "route": {"cluster": "one", "prefix_rewrite": "/other"}},
            forward("/regex", regex("^/regex(.*)$", r"/changed\1")),
            forward("/groups", regex("^/groups/([^/]+)/(.*)$", r"/\2/\1/\0")),
            forward("/every", regex("a", "bb")),
            forward("/header", json!({"host_rewrite_header": "x-wanted"})),
            forward("/both", json!({"host_rewrite_literal": "literal.example", "prefix_rewrite": "/b"})),
            {"match": {"prefix": "/branch"}, "route": {"weighted_clusters": {"clusters": [
                {"name": "two", "weight": 1, "host_rewrite_literal": "branch.example"},
            ]}}},
            forward("/forwarded", json!({"host_rewrite_literal": "else.example", "append_x_forwarded_host": true})),
        ]),
        settings: json!({"domains": [host, format!("{host}:*")]}),
        requests: requests.collect(),
    }
}

pub(super) fn redirects() -> Feature {
    let host = "redirects.example";
    let to = |path: &str, redirect: Value| json!({"name": path, "match": {"prefix": path}, "redirect": redirect});
    let paths = [
        "/https", "/host", "/port", "/path", "/prefix", "/code", "/strip", "/all", "/regex",
        "/other", "/same",
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
                    host.to_ascii_uppercase(),
                ]
                .map(|authority| get(&authority, &format!("{path}{tail}")))
            })
    });
    let by_tls = paths.iter().flat_map(|path| {
        [":80", ":443", ""].map(|port| {
            let request = get(&format!("{host}{port}"), path);
            request.header("x-forwarded-proto", "https")
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
            to(
                "/regex",
                json!({"regex_rewrite": {"pattern": {"regex": "^/regex(.*)$"}, "substitution": r"\1/x"}, "response_code": "SEE_OTHER"})
            ),
            to(
                "/other",
                json!({"scheme_redirect": "ftp", "response_code": "PERMANENT_REDIRECT"})
            ),
            to("/same", json!({"scheme_redirect": "http"})),
        ]),
        settings: json!({"domains": [host, format!("{host}:*")]}),
        requests: requests.chain(by_tls).collect(),
    }
}

pub(super) fn answers() -> Feature {
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
    let others = ["empty", "chunked", "trailers", "empty,status=404"];
    let others = others.iter().flat_map(|orders| {
        ["GET", "POST", "HEAD"].map(|method| get(host, "/pass").method(method).orders(orders))
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
        requests: plain.chain(passed).chain(others).collect(),
    }
}
