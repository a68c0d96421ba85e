//! Conditions of every kind, and hosts; each route answers with its own name.

use serde_json::{Value, json};

use super::{Feature, get};

/// A route that answers in place with the text of its condition.
fn told(name: &str, matches: &Value) -> Value {
    json!({
        "name": name,
        "match": matches,
        "direct_response": {"status": 200, "body": {"inline_string": name}},
    })
}

/// A path for each condition on the header `x-h`, so that each is judged alone.
pub(super) fn headers() -> Feature {
    let host = "headers.example";
    let text = |value: Value| json!({"string_match": value});
    let conditions = [
        text(json!({"exact": "one"})),
        text(json!({"exact": "one", "ignore_case": true})),
        text(json!({"exact": "one,two"})),
        text(json!({"exact": ""})),
        text(json!({"prefix": "on"})),
        text(json!({"prefix": "ON", "ignore_case": true})),
        text(json!({"suffix": "ne"})),
        text(json!({"contains": "n"})),
        text(json!({"contains": "N,T", "ignore_case": true})),
        text(json!({"safe_regex": {"regex": "o.e"}})),
        text(json!({"safe_regex": {"regex": ".*"}})),
        text(json!({"safe_regex": {"regex": "[^,]*"}})),
        text(json!({"safe_regex": {"regex": "(?i)ONE"}})),
        json!({"present_match": true}),
        json!({"present_match": false}),
        json!({"exact_match": "one"}),
        json!({"prefix_match": "o"}),
        json!({"suffix_match": "e"}),
        json!({"contains_match": "n"}),
        json!({"safe_regex_match": {"regex": "one|two"}}),
        json!({}),
    ];
    let mut routes = Vec::new();
    let mut paths = Vec::new();
    for (number, condition) in conditions.iter().enumerate() {
        for (invert, missing) in [(false, false), (true, false), (false, true), (true, true)] {
            let path = format!("/{number}-{invert}-{missing}");
            let mut header = condition.clone();
            header["name"] = json!("x-h");
            header["invert_match"] = json!(invert);
            header["treat_missing_header_as_empty"] = json!(missing);
            routes.push(told(&path, &json!({"path": path, "headers": [header]})));
            paths.push(path);
        }
    }
    for (name, value) in [
        (":method", "POST"),
        (":authority", host),
        (":path", "/pseudo?x"),
        (":scheme", "http"),
        ("host", host),
    ] {
        let path = format!("/pseudo{}", name.trim_start_matches(':'));
        let header = json!({"name": name, "string_match": {"exact": value}});
        routes.push(told(&path, &json!({"prefix": path, "headers": [header]})));
        paths.push(path);
    }
    let requests = paths.iter().flat_map(|path| {
        let ask = || get(host, path);
        [
            ask(),
            ask().method("POST"),
            ask().header("x-h", ""),
            ask().header("x-h", "one"),
            ask().header("X-H", "ONE"),
            ask().header("x-h", "one").header("X-h", "two"),
            ask().header("x-h", "one,two"),
            ask().header("x-h", " one\t"),
            ask().header("x-h", "one\u{e9}"),
            ask().header("x-h", "\u{ff}"),
        ]
    });
    Feature {
        host,
        requests: requests.collect(),
        routes: json!(routes),
        settings: json!({}),
    }
}

pub(super) fn query() -> Feature {
    let host = "query.example";
    let conditions = [
        json!({"present_match": true}),
        json!({"string_match": {"exact": "1"}}),
        json!({"string_match": {"exact": ""}}),
        json!({"string_match": {"exact": "A", "ignore_case": true}}),
        json!({"string_match": {"prefix": "1"}}),
        json!({"string_match": {"suffix": "1"}}),
        json!({"string_match": {"contains": "1"}}),
        json!({"string_match": {"safe_regex": {"regex": "[0-9]+"}}}),
    ];
    let queries = [
        "",
        "?",
        "?q",
        "?q=",
        "?q=1",
        "?q=12",
        "?q=a",
        "?Q=1",
        "?x=1&q=1",
        "?q=2&q=1",
        "?q=1&q=2",
        "?q=%31",
        "?q=1%",
        "?%71=1",
        "?q=1;x=2",
        "?q=1#q",
        "?&q=1&",
        "?q==1",
        "?q=1?q=2",
        "?q=\u{e9}",
        "?q=a+1",
    ];
    let mut routes = Vec::new();
    let mut requests = Vec::new();
    for (number, condition) in conditions.iter().enumerate() {
        let path = format!("/{number}");
        let mut parameter = condition.clone();
        parameter["name"] = json!("q");
        let matches = json!({"path": path, "query_parameters": [parameter]});
        routes.push(told(&path, &matches));
        requests.extend(queries.map(|query| get(host, &format!("{path}{query}"))));
    }
    Feature {
        host,
        routes: json!(routes),
        settings: json!({}),
        requests,
    }
}

/// The first route that takes a path tells its name.
pub(super) fn paths() -> Feature {
    let host = "paths.example";
    let routes = [
        json!({"path": "/exact"}),
        json!({"path": "/Case", "case_sensitive": false}),
        json!({"path": "/space x"}),
        json!({"path_separated_prefix": "/segment"}),
        json!({"path_separated_prefix": "/Fold", "case_sensitive": false}),
        json!({"prefix": "/prefix"}),
        json!({"prefix": "/slash/"}),
        json!({"prefix": "/%2f"}),
        json!({"prefix": "/\u{e9}"}),
        json!({"safe_regex": {"regex": "/regex/[a-z]+"}}),
        json!({"safe_regex": {"regex": "/dot.x"}}),
        json!({"safe_regex": {"regex": "/(alt|ernative)"}}),
        json!({"safe_regex": {"regex": "(?i)/fold-.*"}}),
        json!({"prefix": "/grpc", "grpc": {}}),
        json!({"prefix": "/never", "runtime_fraction": {"default_value": {"numerator": 0}}}),
        json!({"prefix": "/always", "runtime_fraction": {"default_value": {"numerator": 100}}}),
        json!({"prefix": ""}),
    ];
    let paths = [
        "/exact",
        "/exact/",
        "/exactx",
        "/EXACT",
        "/exact?x",
        "/exact#x",
        "/exact;x",
        "/case",
        "/CASE?x",
        "/CASES",
        "/space%20x",
        "/space+x",
        "/segment",
        "/segment/",
        "/segment/x",
        "/segments",
        "/segment?x",
        "/segment#x",
        "/SEGMENT",
        "/fold",
        "/FOLD/x",
        "/folds",
        "/prefix",
        "/prefixed",
        "/PREFIX",
        "/slash",
        "/slash/",
        "/slash/x",
        "/slash?/",
        "/%2f",
        "/%2F",
        "/%2fx",
        "/\u{e9}",
        "/%e9",
        "/\u{c3}\u{a9}",
        "/%c3%a9",
        "/regex/a",
        "/regex/A",
        "/regex/",
        "/regex/a/b",
        "/regex/a?b",
        "/dot.x",
        "/dot/x",
        "/dot%2fx",
        "/alt",
        "/ernative",
        "/alternative",
        "/FOLD-x",
        "/fold-",
        "/grpc",
        "/grpc/x",
        "/never",
        "/always",
        "/",
        "/other",
        "//exact",
        "/./exact",
        "/x/../exact",
        "/%65xact",
        "/exact%00",
        "/exact%20",
        "/exact/..",
        "/prefix/../exact",
        "/exact//",
        "/\\exact",
        "/exact\\..",
        "/%5cexact",
        "/exact%2f",
        "/%2e/exact",
        "http://paths.example/exact",
        "http://else.example/exact",
        "https://paths.example/exact",
        "HTTP://PATHS.example/exact?x",
        "http://paths.example",
        "http://paths.example?x",
        "http://me@paths.example/exact",
    ];
    let requests = paths.iter().flat_map(|path| {
        let ask = || get(host, path);
        [
            ask(),
            ask().by("edge"),
            ask().by("no-escaped-slash"),
            ask().by("redirects-escaped-slash"),
            ask().by("decodes-slash"),
            ask().header("content-type", "application/grpc"),
        ]
    });
    Feature {
        host,
        routes: routes
            .iter()
            .map(|it| told(&it.to_string(), it))
            .collect::<Vec<_>>()
            .into(),
        settings: json!({}),
        requests: requests.collect(),
    }
}

/// Which virtual host takes what: here that of this name and its wildcards, or none.
pub(super) fn hosts() -> Feature {
    let host = "hosts.example";
    let hosts = [
        "hosts.example",
        "HOSTS.Example",
        "hosts.example:80",
        "hosts.example:8080",
        "hosts.example:0",
        "hosts.example:",
        "hosts.example.",
        "a.hosts.example",
        "a.b.hosts.example",
        ".hosts.example",
        "xhosts.example",
        "hosts.other",
        "hosts.",
        "hosts.other:80",
        "[::1]",
        "[::1]:80",
        "127.0.0.1",
        "127.0.0.1:80",
        "unknown.test",
        "",
        "me@hosts.example",
        "hosts.example:80:80",
        "hosts.example:http",
        "hosts_x.hosts.example",
        "a,hosts.example",
        "ho sts.example",
        "hosts.example/x",
        "hosts.example?x",
        "hosts.example#x",
        "*.hosts.example",
        "%68osts.example",
        "h\u{f6}sts.hosts.example",
        "\"hosts.example\"",
    ];
    let requests = hosts.into_iter().flat_map(|host| {
        [
            get(host, "/"),
            get(host, "/").by("decodes-slash"),
            get(host, "/").by("trusts-two"),
            get(host, "/").by("specific-wins"),
            get(host, "/forwarded").by("plain"),
        ]
    });
    Feature {
        host,
        routes: json!([
            {"match": {"path": "/forwarded"}, "route": {"cluster": "one"}},
            told("hosts", &json!({"prefix": "/"})),
        ]),
        settings: json!({"domains": [host, "*.hosts.example", "hosts.*", "hosts.example:8080", "[::1]", "127.0.0.1:80"]}),
        requests: requests.collect(),
    }
}

/// Bytes that few clients send, in every part of a head.
pub(super) fn bytes() -> Feature {
    let host = "bytes.example";
    let mut requests = Vec::new();
    for byte in ("\t !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u{7f}\u{80}\u{a0}\u{ff}").chars() {
        requests.push(get(host, &format!("/a{byte}b")));
        requests.push(get(host, &format!("/q?a{byte}b")));
        requests.push(get(host, "/value").header("x-odd", &format!("a{byte}b")));
        requests.push(get(host, "/name").header(&format!("x{byte}odd"), "1"));
        requests.push(get(&format!("a{byte}b.bytes.example"), "/host"));
    }
    for method in [
        "get", "PURGE", "TRACE", "M-SEARCH", "X", "OPTIONS", "DELETE",
    ] {
        requests.push(get(host, "/method").method(method));
    }
    for version in [
        "HTTP/1.0", "HTTP/1.1", "HTTP/1.2", "HTTP/2.0", "HTTP/3", "http/1.1",
    ] {
        requests.push(get(host, "/version").version(version));
    }
    for target in [
        "*",
        "",
        "x",
        "?x",
        "bytes.example:80",
        "//",
        "http:/x",
        "http:///x",
        "ftp://bytes.example/x",
    ] {
        requests.push(get(host, target));
        requests.push(get(host, target).method("OPTIONS"));
    }
    requests.push(get("bytes.example:443", "bytes.example:443").method("CONNECT"));
    for (name, value) in [
        ("te", "trailers, gzip"),
        ("te", ""),
        ("connection", "keep-alive"),
        ("connection", "close"),
        ("connection", "x-odd, te"),
        ("connection", ""),
        ("expect", "100-continue"),
        ("upgrade", "h2c"),
        ("trailer", "x-end"),
        ("transfer-encoding", "identity"),
        ("transfer-encoding", "gzip, chunked"),
        ("content-length", "0"),
        ("content-length", "+0"),
        ("content-length", "00"),
        ("date", "yesterday"),
        ("x-request-id", ""),
        ("x-forwarded-for", ""),
        ("x-forwarded-for", "::1"),
        ("x-forwarded-for", "[::1]:80"),
        ("x-forwarded-for", "10.0.0.1:80"),
        ("x-forwarded-for", "10.0.0.1,"),
        ("x-forwarded-proto", "HTTPS"),
        ("x-forwarded-proto", ""),
        ("x-envoy-external-address", "1.1.1.1"),
        ("x-envoy-original-dst-host", "1.1.1.1:80"),
        ("x-envoy-attempt-count", "7"),
        ("x-envoy-original-path", "/mine"),
        ("x-envoy-original-host", "mine.example"),
        ("x-envoy-expected-rq-timeout-ms", "7"),
        ("x-envoy-downstream-service-cluster", "c"),
        ("x-envoy-upstream-service-time", "7"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("x-b3-traceid", "0af7651916cd43dd8448eb211c80319c"),
        ("proxy-authorization", "x"),
        ("cookie", "a=1; b=2"),
        ("accept-encoding", "gzip"),
    ] {
        for way in [
            "plain",
            "edge",
            "behind-one",
            "redirects-escaped-slash",
            "trusts-two",
            "encrypted",
        ] {
            let request = get(host, "/field").header(name, value).by(way);
            requests.push(request.clone().header(name, value));
            requests.push(request);
        }
    }
    Feature {
        host,
        routes: json!([{"name": "all", "match": {"prefix": ""}, "route": {"cluster": "one"}}]),
        settings: json!({"domains": [host, "*.bytes.example", "bytes.example:*"]}),
        requests,
    }
}
