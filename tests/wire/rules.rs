//! F30: no spelling of a path, a host or a field gets around a rule.

use anyhow::Result;
use aviary_tests::Steady;
use aviary_tests::frames::{Frame, Frames};
use aviary_tests::origin::Origin;
use aviary_tests::raw::Raw;
use aviary_tests::standalone::Bootstrap;
use serde_json::{Value, json};

use crate::bench::Bench;

const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";

/// Ways to say `/admin/users` that some server takes for it.
const PATHS: &[&str] = &[
    "/admin/users",
    "//admin/users",
    "///admin//users",
    "/./admin/users",
    "/.//admin/users",
    "/a/../admin/users",
    "/a/b/../../admin/users",
    "/../admin/users",
    "/%61dmin/users",
    "/%61%64%6d%69%6e/users",
    "/%61%64%6D%69%6E/users",
    "/%2e/admin/users",
    "/%2E/admin/users",
    "/a/%2e%2e/admin/users",
    "/a/.%2e/admin/users",
    "/a/%2e./admin/users",
    "/a%2f..%2fadmin/users",
    "/a%2F..%2Fadmin/users",
    "/a/..%2fadmin/users",
    "/%2fadmin/users",
    "/%2Fadmin%2Fusers",
    "/admin%2fusers",
    "/%5cadmin/users",
    "/%5Cadmin%5Cusers",
    "/\\admin/users",
    "/a/..\\admin/users",
    "/a/..%5cadmin/users",
    "/a\\..\\admin/users",
    "/admin/./users",
    "/admin/users/",
    "/admin/users?x",
    "/admin/users?/../x",
    "/admin/users/.",
    "/admin/x/../users",
    "/x/..;/admin/users",
    "/x/..;a=b/admin/users",
    "/;/admin/users",
    "/;a=b/admin/users",
    "/admin;a=b/users",
    "/admin;/users",
    "/admin%3ba=b/users",
    "/%00/../admin/users",
    "/admin%00/users",
    "/admin/users%00.png",
    "/admin/users%2f",
    "/%c0%af/../admin/users",
    "/a%252f..%252fadmin/users",
    "/%2561dmin/users",
    "/admin/%75sers",
    "/admin/users#x",
    "/x#/../admin/users",
    "http://a.test/admin/users",
    "http://a.test//admin/users",
    "http://a.test/x/../admin/users",
];

/// What the most liberal server makes of a path: it takes parameters off, decodes, takes backslashes for
/// slashes, and goes up where it says so.
fn liberal(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        let code = more.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        match code.and_then(|it| u8::from_str_radix(it, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &more[2..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        let segment = segment.split([';', '\0']).next().unwrap_or_default();
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

/// Rules that keep everybody away from `/admin`.
fn rules() -> Vec<(&'static str, Value, Vec<Value>)> {
    let pass = json!({"match": {"prefix": "/"}, "route": {"cluster": "up-0"}});
    let deny = |found: Value| json!({"match": found, "direct_response": {"status": 403}});
    let rbac = |permission: Value| {
        json!({"name": "envoy.filters.http.rbac", "typed_config": {
            "@type": RBAC,
            "rules": {"action": "DENY", "policies": {"admin": {
                "permissions": [permission],
                "principals": [{"any": true}],
            }}},
        }})
    };
    let path = |found: Value| json!({"url_path": {"path": found}});
    let by_route = |found: Value| json!([deny(found), pass]);
    vec![
        (
            "a route by prefix",
            by_route(json!({"prefix": "/admin"})),
            vec![],
        ),
        (
            "a route by expression",
            by_route(json!({"safe_regex": {"regex": "/admin.*"}})),
            vec![],
        ),
        (
            "a policy by prefix",
            json!([pass]),
            vec![rbac(path(json!({"prefix": "/admin"})))],
        ),
        (
            "a policy by expression",
            json!([pass]),
            vec![rbac(path(json!({"safe_regex": {"regex": "/admin.*"}})))],
        ),
        (
            "a policy by content",
            json!([pass]),
            vec![rbac(path(json!({"contains": "admin"})))],
        ),
    ]
}

/// A listener with these routes and filters, which brings paths into one form.
fn normal(bootstrap: Bootstrap, routes: &Value, filters: &[Value]) -> Bootstrap {
    let router = json!({"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}});
    let filters: Vec<&Value> = filters.iter().chain([&router]).collect();
    bootstrap.manager(&json!({
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }))
}

/// What of all that the server heard it would take for the admin's.
fn slipped(bench: &Bench) -> Vec<String> {
    let heard = bench.origin.heard().concat();
    let targets = heard
        .lines()
        .filter_map(|line| line.strip_suffix(" HTTP/1.1"));
    let paths = targets.filter_map(|line| line.split(' ').nth(1));
    paths
        .filter(|path| liberal(path).starts_with("/admin"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn f30_no_spelling_of_a_path_gets_around_a_rule() -> Result<()> {
    for (name, routes, filters) in rules() {
        let bench = Bench::before(Origin::echo()?, |it| normal(it, &routes, &filters))?;
        let neighbour = Steady::start(bench.address)?;
        for path in PATHS {
            let mut client = Raw::connect(bench.address)?;
            let answer = client.get(path)?;
            let fine = [200, 307, 400, 403, 404].contains(&answer.status);
            assert!(fine, "{name}, {path}: {}", answer.head);
        }
        for (number, path) in (0..).zip(PATHS) {
            // The codec takes some of them for no path at all and ends the connection.
            let mut client = Frames::connect(bench.address)?;
            client.send(&Frame::get(number * 2 + 1, path))?;
            let _ = client.reply(number * 2 + 1);
        }
        assert_eq!(slipped(&bench), Vec::<String>::new(), "{name}");
        neighbour.assert_unaffected();
    }
    Ok(())
}

#[test]
fn liberal_server_takes_each_spelling_for_the_path() {
    for path in [
        "/a/..%5cadmin/users",
        "/x/..;a=b/admin/users",
        "//admin;b/users?x",
    ] {
        assert_eq!(liberal(path), "/admin/users", "{path}");
    }
    assert_eq!(liberal("/%2561dmin"), "/%61dmin");
}

/// Hosts are compared without regard to case, and a policy sees what the route saw.
#[test]
fn cve_2021_39155_case_of_the_host_gets_around_no_rule() -> Result<()> {
    let policy = json!({"name": "envoy.filters.http.rbac", "typed_config": {
        "@type": RBAC,
        "rules": {"action": "DENY", "policies": {"host": {
            "permissions": [{"header": {
                "name": ":authority",
                "string_match": {"exact": "admin.test", "ignore_case": true},
            }}],
            "principals": [{"any": true}],
        }}},
    }});
    let routes = json!([{"match": {"prefix": "/"}, "route": {"cluster": "up-0"}}]);
    let bench = Bench::before(Origin::echo()?, |it| normal(it, &routes, &[policy]))?;
    for host in ["admin.test", "ADMIN.test", "Admin.Test", "aDMIN.TEST"] {
        let request = format!("GET /host HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let answer = Raw::connect(bench.address)?.ask(request)?;
        assert_eq!(answer.status, 403, "{host}");
        let request = format!("GET http://{host}/host HTTP/1.1\r\nhost: a.test\r\n\r\n");
        let answer = Raw::connect(bench.address)?.ask(request)?;
        assert!([400, 403].contains(&answer.status), "{host}");
    }
    assert_eq!(bench.origin.count("/host"), 0);
    Ok(())
}

/// A value that is no UTF-8 is judged all the same.
#[test]
fn cve_2026_73552_value_beyond_utf_8_gets_around_no_rule() -> Result<()> {
    let policy = |found: Value| {
        json!({"name": "envoy.filters.http.rbac", "typed_config": {
            "@type": RBAC,
            "rules": {"action": "DENY", "policies": {"field": {
                "permissions": [{"header": {"name": "x-tenant", "string_match": found}}],
                "principals": [{"any": true}],
            }}},
        }})
    };
    let routes = json!([{"match": {"prefix": "/"}, "route": {"cluster": "up-0"}}]);
    for found in [
        json!({"safe_regex": {"regex": "evil.*"}}),
        json!({"prefix": "evil"}),
        json!({"contains": "evil"}),
    ] {
        let filters = [policy(found.clone())];
        let bench = Bench::before(Origin::echo()?, |it| normal(it, &routes, &filters))?;
        for value in [
            &b"evil"[..],
            b"evil\xff",
            b"evil\xc0\xaf",
            b"evil\xed\xa0\x80x",
        ] {
            let head = b"GET /field HTTP/1.1\r\nhost: a.test\r\nx-tenant: ";
            let request = [head, value, b"\r\n\r\n"].concat();
            let answer = Raw::connect(bench.address)?.ask(request)?;
            assert!(
                [400, 403].contains(&answer.status),
                "{found}, {value:?}: {}",
                answer.head
            );
        }
        assert_eq!(bench.origin.count("/field"), 0, "{found}");
    }
    Ok(())
}
