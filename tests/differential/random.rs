//! Route tables drawn from a small vocabulary, so that their conditions overlap.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use crate::request::Words;

const PATHS: [&str; 9] = [
    "/", "/a", "/a/", "/a/b", "/A", "/api", "/api/v1", "/a b", "/b",
];
const HEADERS: [&str; 3] = ["x-tier", "end-user", "x-empty"];
const VALUES: [&str; 4] = ["jason", "beta", "ja", "a.b"];
const CLUSTERS: [&str; 4] = ["one", "two", "three", "four"];

fn pick<'a>(of: &[&'a str], rng: &mut SmallRng) -> &'a str {
    of.choose(rng).copied().unwrap_or_default()
}

/// A virtual host for `host`, and what to ask it.
pub(crate) fn host(host: &str, rng: &mut SmallRng) -> (Value, Words) {
    let mut words = Words {
        hosts: vec![host.to_owned()],
        paths: vec!["/".to_owned()],
        headers: Vec::new(),
    };
    let mut routes: Vec<_> = (0..rng.random_range(3..9))
        .map(|number| route(number, &mut words, rng))
        .collect();
    if rng.random_bool(0.5) {
        routes
            .push(json!({"name": "rest", "match": {"prefix": "/"}, "route": {"cluster": "four"}}));
    }
    let mut domains = vec![host.to_owned()];
    match rng.random_range(0..3) {
        0 => domains.push(format!("*.{host}")),
        1 => domains.push(format!("{host}:*")),
        _ => domains.push(format!("{host}:8080")),
    }
    (
        json!({"name": host, "domains": domains, "routes": routes}),
        words,
    )
}

fn route(number: usize, words: &mut Words, rng: &mut SmallRng) -> Value {
    let path = pick(&PATHS, rng);
    words.paths.push(path.replace(' ', "%20"));
    let mut matches = match rng.random_range(0..5) {
        0 => {
            json!({"safe_regex": {"regex": pick(&["/a.*", "/[^/]+", "/(a|b)/.*", ".*/v1", "/a/?"], rng)}})
        }
        2 => json!({"path": path}),
        3 if path.len() > 1 && !path.ends_with('/') => json!({"path_separated_prefix": path}),
        _ => json!({"prefix": path}),
    };
    if rng.random_ratio(1, 5) && matches.get("safe_regex").is_none() {
        matches["case_sensitive"] = json!(false);
    }
    let headers: Vec<_> = (0..rng.random_range(0..2))
        .map(|_| header(words, rng))
        .collect();
    if !headers.is_empty() {
        matches["headers"] = json!(headers);
    }
    if rng.random_ratio(1, 5) {
        matches["query_parameters"] = match rng.random_range(0..3) {
            0 => json!([{"name": "q", "string_match": {"exact": "1"}}]),
            1 => json!([{"name": "q", "present_match": true}]),
            _ => json!([{"name": "r", "string_match": {"safe_regex": {"regex": "[0-9]+"}}}]),
        };
    }
    let mut route = json!({"name": format!("r{number}"), "match": matches});
    let is_prefix =
        matches.get("prefix").is_some() || matches.get("path_separated_prefix").is_some();
    act(&mut route, is_prefix, rng);
    if rng.random_ratio(1, 4) {
        edit(&mut route, rng);
    }
    route
}

fn header(words: &mut Words, rng: &mut SmallRng) -> Value {
    let (name, value) = (pick(&HEADERS, rng), pick(&VALUES, rng));
    words.headers.push((name.to_owned(), value.to_owned()));
    let mut header = match rng.random_range(0..8) {
        0 => json!({"string_match": {"prefix": value}}),
        1 => json!({"string_match": {"suffix": value}}),
        2 => json!({"string_match": {"contains": value}}),
        3 => json!({"string_match": {"safe_regex": {"regex": "j.*"}}}),
        4 => json!({"present_match": true}),
        5 => json!({"string_match": {"exact": value, "ignore_case": true}}),
        _ => json!({"string_match": {"exact": value}}),
    };
    header["name"] = json!(name);
    if rng.random_ratio(1, 4) {
        header["invert_match"] = json!(true);
    }
    if rng.random_ratio(1, 5) && header.get("present_match").is_none() {
        header["treat_missing_header_as_empty"] = json!(true);
    }
    header
}

fn act(route: &mut Value, is_prefix: bool, rng: &mut SmallRng) {
    match rng.random_range(0..8) {
        0 => {
            route["redirect"] = redirect(is_prefix, rng);
        }
        1 => {
            route["direct_response"] =
                json!({"status": 418, "body": {"inline_string": "short and stout"}});
        }
        _ => {
            let mut forward = json!({"cluster": pick(&CLUSTERS, rng)});
            match rng.random_range(0..5) {
                0 if is_prefix => {
                    forward["prefix_rewrite"] = json!(pick(&["/new", "/new/", "/"], rng));
                }
                1 => {
                    forward["regex_rewrite"] = json!({"pattern": {"regex": "^/([^/]*)/?(.*)$"}, "substitution": r"/\2-\1"});
                }
                _ => {}
            }
            if rng.random_ratio(1, 5) {
                forward["host_rewrite_literal"] = json!("rewritten.example");
            }
            if rng.random_ratio(1, 5) {
                forward["timeout"] = json!("3s");
            }
            if rng.random_ratio(1, 3) {
                forward["retry_policy"] =
                    json!({"retry_on": "5xx", "num_retries": rng.random_range(1..4)});
            }
            route["route"] = forward;
        }
    }
}

fn redirect(is_prefix: bool, rng: &mut SmallRng) -> Value {
    let mut redirect = match rng.random_range(0..4) {
        0 => json!({"path_redirect": "/elsewhere"}),
        1 if is_prefix => json!({"prefix_rewrite": "/else"}),
        2 => json!({"host_redirect": "else.example", "port_redirect": 8443}),
        _ => json!({"scheme_redirect": "https"}),
    };
    if rng.random_bool(0.3) {
        redirect["response_code"] = json!(pick(&["FOUND", "SEE_OTHER", "PERMANENT_REDIRECT"], rng));
    }
    redirect
}

fn edit(route: &mut Value, rng: &mut SmallRng) {
    let add = |key: &str, value: &str, action: &str| json!([{"header": {"key": key, "value": value}, "append_action": action}]);
    match rng.random_range(0..4) {
        0 => route["request_headers_to_add"] = add("x-tier", "set", "OVERWRITE_IF_EXISTS_OR_ADD"),
        1 => route["request_headers_to_add"] = add("x-tier", "more", "APPEND_IF_EXISTS_OR_ADD"),
        2 => {
            route["request_headers_to_remove"] = json!(["end-user"]);
            route["response_headers_to_remove"] = json!(["x-drop"]);
        }
        _ => route["response_headers_to_add"] = add("x-twice", "3", "APPEND_IF_EXISTS_OR_ADD"),
    }
}
