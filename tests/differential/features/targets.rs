//! Where requests go, and where their copies.

use serde_json::json;

use super::{Feature, forward, get};
use crate::request::Request;

pub(super) fn mirrors() -> Feature {
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
                "/plain",
                json!({"request_mirror_policies": [
                    {"cluster": "mirror", "disable_shadow_host_suffix_append": true},
                ]})
            ),
            forward(
                "/retried",
                json!({
                    "request_mirror_policies": [to("mirror", 100)],
                    "retry_policy": {"retry_on": "5xx", "num_retries": 2},
                })
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
        settings: json!({"domains": [host, format!("{host}:*")]}),
        requests: ["/all", "/none", "/two", "/plain", "/rewritten"]
            .iter()
            .flat_map(|path| {
                let port = format!("{host}:8080");
                [
                    get(host, path),
                    get(host, path).method("POST"),
                    get(host, path).method("POST").chunked(),
                    get(host, path).orders("status=500"),
                    get(host, path).method("HEAD"),
                    get(&port, path).header("x-forwarded-for", "10.0.0.1"),
                ]
            })
            .chain(["GET", "POST"].map(|method| {
                // Both get the request once: the copy is sent with the first try.
                get(host, "/retried").method(method).orders("status=500")
            }))
            .collect(),
    }
}

/// What follows from a request's hash: the endpoint of a ring, or the branch of a split.
pub(super) fn hashes() -> Feature {
    let host = "hashes.example";
    let header =
        |terminal: bool| json!({"header": {"header_name": "x-user"}, "terminal": terminal});
    let query = json!({"query_parameter": {"name": "user"}});
    let cookie = json!({"cookie": {"name": "user"}});
    let address = json!({"connection_properties": {"source_ip": true}});
    let sticky = json!({"cookie": {
        "name": "sticky", "ttl": "60s", "path": "/x",
        "attributes": [{"name": "SameSite", "value": "Strict"}, {"name": "Secure"}],
    }});
    let session = json!({"cookie": {"name": "sticky", "ttl": "0s"}});
    let mut routes = Vec::new();
    for cluster in ["ring", "small-ring", "maglev"] {
        for (name, policies) in [
            ("header", json!([header(false)])),
            ("query", json!([query])),
            ("cookie", json!([cookie])),
            ("several", json!([header(true), cookie, query])),
            ("all", json!([header(false), cookie, query])),
            ("address", json!([address])),
        ] {
            let path = format!("/{cluster}/{name}");
            routes.push(forward(
                &path,
                json!({"cluster": cluster, "hash_policy": policies}),
            ));
        }
    }
    let split = json!({
        "clusters": [{"name": "one", "weight": 30}, {"name": "two", "weight": 50}, {"name": "three", "weight": 20}],
        "use_hash_policy": true,
    });
    routes.push(json!({
        "name": "split",
        "match": {"prefix": "/split"},
        "route": {"weighted_clusters": split, "hash_policy": [header(false)]},
    }));
    let mut requests = Vec::new();
    for route in &routes {
        let path = route["name"]
            .as_str()
            .map(|name| name.trim_start_matches('/'));
        let path = format!("/{}", path.unwrap_or_default());
        for user in [
            "ann",
            "bob",
            "cy",
            "",
            // In UTF-8: other bytes are judged as text, and hashed as such.
            "\u{c3}\u{a9}",
            "a long name of somebody who has a long name",
        ] {
            let asks = if path.ends_with("address") {
                // Without a told address the hash is that of the connection.
                vec![
                    get(host, &path)
                        .header("x-forwarded-for", "10.9.8.7")
                        .by("plain"),
                ]
            } else if path.starts_with("/split") {
                vec![get(host, &path).header("x-user", user)]
            } else {
                vec![
                    get(host, &path).header("x-user", user),
                    get(host, &path)
                        .header("x-user", user)
                        .header("X-User", "zoe"),
                    get(host, &format!("{path}?x&user={user}")).header("x-user", "ann"),
                    get(host, &format!("{path}?x&user={user}"))
                        .header("cookie", "user=dan; x=y")
                        .header("x-user", "fix"),
                    get(host, &path)
                        .header("cookie", &format!("a=b; user={user}"))
                        .header("x-user", "ann"),
                ]
            };
            // What has nothing to hash goes anywhere.
            let hashed = |it: &Request| {
                let has = |name: &str| {
                    it.headers
                        .iter()
                        .any(|(key, value)| key == name && !value.is_empty())
                };
                match path.rsplit('/').next() {
                    Some("query") => it.target.contains("user=") && !it.target.ends_with('='),
                    Some("cookie") => it
                        .headers
                        .iter()
                        .any(|(key, value)| key == "cookie" && !value.ends_with('=')),
                    Some("header" | "split") => has("x-user"),
                    _ => has("x-user") || path.ends_with("address"),
                }
            };
            requests.extend(asks.into_iter().filter(hashed));
        }
    }
    for (path, policy) in [("/sticky", sticky), ("/session", session)] {
        routes.push(forward(
            path,
            json!({"cluster": "ring", "hash_policy": [policy]}),
        ));
        requests.push(get(host, path).header("cookie", "sticky=ann"));
        requests.push(get(host, path).header("cookie", "sticky=\"bob\"; x=y"));
        let plain = format!("{path}-made");
        routes.insert(
            0,
            forward(&plain, json!({"cluster": "one", "hash_policy": [policy]})),
        );
        requests.push(get(host, &plain));
    }
    Feature {
        host,
        routes: json!(routes),
        settings: json!({}),
        requests,
    }
}

/// Clusters that cannot take a request.
pub(super) fn troubles() -> Feature {
    let host = "troubles.example";
    let retry = |on: &str| json!({"retry_on": on, "num_retries": 2});
    let paths = [
        "/full",
        "/no-room",
        "/dead",
        "/dead-again",
        "/full-again",
        "/nobody",
        "/nobody-again",
        "/split",
        "/mirrored",
    ];
    let requests = paths
        .into_iter()
        .flat_map(|path| ["GET", "POST", "HEAD"].map(|method| get(host, path).method(method)));
    Feature {
        host,
        routes: json!([
            forward("/full-again", json!({"cluster": "full", "retry_policy": retry("5xx")})),
            forward("/dead-again", json!({"cluster": "dead", "retry_policy": retry("connect-failure")})),
            forward("/nobody-again", json!({"cluster": "nobody", "retry_policy": retry("5xx")})),
            forward("/full", json!({"cluster": "full"})),
            forward("/no-room", json!({"cluster": "no-room"})),
            forward("/dead", json!({"cluster": "dead"})),
            forward("/nobody", json!({"cluster": "nobody"})),
            forward("/mirrored", json!({"request_mirror_policies": [{"cluster": "nobody"}, {"cluster": "dead"}, {"cluster": "mirror"}]})),
            {"match": {"prefix": "/split"}, "route": {"weighted_clusters": {"clusters": [
                {"name": "one", "weight": 0}, {"name": "two", "weight": 7},
            ]}}},
        ]),
        settings: json!({"include_request_attempt_count": true}),
        requests: requests.collect(),
    }
}
