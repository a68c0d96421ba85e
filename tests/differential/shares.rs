//! What is drawn or dealt out: each proxy's shares are those that the configuration asks for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::config::per_filter;
use crate::request::Request;
use crate::run::Pair;
use crate::side::Side;

/// Requests for each share, and by each of so many ways in.
const REQUESTS: usize = 1200;
const HOST: &str = "shares.example";
/// Ways in that change nothing about these requests.
const WAYS: [&str; 4] = ["plain", "edge", "behind-one", "no-escaped-slash"];

/// How far from what is asked for a count may be.
#[derive(Debug, Clone, Copy)]
enum Slack {
    /// Independent draws: so many standard deviations.
    Drawn(f64),
    /// Dealt out in turn: so many requests.
    Dealt(f64),
}

/// A route and what becomes of its requests.
struct Share {
    route: Value,
    /// Servers reached, separated by blanks, or the status of an answer in place; shares in percent.
    expected: Vec<(&'static str, f64)>,
    slack: Slack,
}

fn share(path: &str, action: &Value, expected: &[(&'static str, f64)], slack: Slack) -> Share {
    Share {
        route: json!({"name": path, "match": {"prefix": path}, "route": action}),
        expected: expected.to_vec(),
        slack,
    }
}

/// Five standard deviations: once in a million counts.
const DRAWN: Slack = Slack::Drawn(5.0);

fn all() -> Vec<Share> {
    let percent = |of: u32| json!({"numerator": of, "denominator": "HUNDRED"});
    let even = [("a", 25.0), ("b", 25.0), ("c", 25.0), ("d", 25.0)];
    let by_weight = [("a", 10.0), ("b", 20.0), ("c", 30.0), ("d", 40.0)];
    let branch = |name: &str, weight: u32| json!({"name": name, "weight": weight});
    let split = json!({"weighted_clusters": {"clusters": [branch("one", 10), branch("two", 20), branch("three", 70)]}});
    let rare = json!({"weighted_clusters": {"clusters": [branch("one", 1), branch("two", 99)]}});
    let to = |cluster: &str| json!({"cluster": cluster});
    let copied = json!({"cluster": "one", "request_mirror_policies": [
        {"cluster": "mirror", "runtime_fraction": {"default_value": percent(30)}},
    ]});
    let mut faulty = share("/fault", &to("one"), &[("one", 80.0), ("418", 20.0)], DRAWN);
    faulty.route["typed_per_filter_config"] = per_filter(
        "envoy.filters.http.fault",
        "extensions.filters.http.fault.v3.HTTPFault",
        json!({"abort": {"http_status": 418, "percentage": percent(20)}}),
    );
    let mut some = share("/some", &to("two"), &[("two", 25.0), ("404", 75.0)], DRAWN);
    some.route["match"]["runtime_fraction"] = json!({"default_value": percent(25)});
    vec![
        share(
            "/split",
            &split,
            &[("one", 10.0), ("two", 20.0), ("three", 70.0)],
            DRAWN,
        ),
        share("/rare", &rare, &[("one", 1.0), ("two", 99.0)], DRAWN),
        share(
            "/copied",
            &copied,
            &[("one", 70.0), ("mirror one", 30.0)],
            DRAWN,
        ),
        share("/random", &to("random"), &even, DRAWN),
        // Not independent: it keeps away from who is busy.
        share("/least", &to("least"), &even, Slack::Drawn(8.0)),
        share("/robin", &to("robin"), &even, Slack::Dealt(2.0)),
        share("/weighted", &to("weighted"), &by_weight, Slack::Dealt(6.0)),
        faulty,
        some,
    ]
}

/// The virtual host of all shares.
pub(crate) fn host() -> Value {
    let routes: Vec<_> = all().into_iter().map(|share| share.route).collect();
    json!({"name": HOST, "domains": [HOST], "routes": routes})
}

fn requests(share: &Share) -> Vec<Request> {
    let path = share.route["name"].as_str().unwrap_or_default();
    let request = |number: usize| {
        let mut request = Request::get(0, HOST, path).by(WAYS[number % WAYS.len()]);
        request.id = format!("{path}-{number}");
        request
    };
    (0..REQUESTS).map(request).collect()
}

/// What is wrong about the shares of both.
pub(crate) fn judge(pair: &Pair) -> String {
    let all = all();
    let asked: Vec<_> = all.iter().flat_map(requests).collect();
    let answers = pair.ask(&asked);
    pair.settle(&asked);
    let mut wrong = String::new();
    let mut answers = asked.iter().zip(answers);
    for share in &all {
        let mut counts = [BTreeMap::new(), BTreeMap::new()];
        for (request, answers) in answers.by_ref().take(REQUESTS) {
            let statuses = answers.map_or([0; 2], |pair| pair.map(|it| it.status));
            for ((side, counts), status) in pair.sides.iter().zip(&mut counts).zip(statuses) {
                *counts
                    .entry(outcome(pair, side, request, status))
                    .or_insert(0_u32) += 1;
            }
        }
        for (side, counts) in pair.sides.iter().zip(&counts) {
            if !share.holds(counts) {
                let (path, wanted) = (&share.route["name"], &share.expected);
                let which = side.which;
                let _ = writeln!(wrong, "{path} by {which:?}: {counts:?}, not {wanted:?} %");
            }
        }
    }
    wrong
}

fn outcome(pair: &Pair, side: &Side, request: &Request, status: u16) -> String {
    let seen = pair.servers.seen(side.which.mark(), &request.id);
    let mut names: Vec<_> = seen.into_iter().map(|seen| seen.server).collect();
    names.sort();
    match names.as_slice() {
        [] => status.to_string(),
        names => names.join(" "),
    }
}

impl Share {
    fn holds(&self, counts: &BTreeMap<String, u32>) -> bool {
        let all = f64::from(counts.values().sum::<u32>());
        let known = |name: &String| self.expected.iter().any(|(it, _)| it == name);
        let near = |(name, percent): &(&str, f64)| {
            let part = percent / 100.0;
            let slack = match self.slack {
                Slack::Drawn(sigmas) => sigmas * (all * part * (1.0 - part)).sqrt(),
                Slack::Dealt(slack) => slack,
            };
            let count = counts.get(*name).copied().unwrap_or_default();
            (f64::from(count) - all * part).abs() <= slack
        };
        counts.keys().all(known) && self.expected.iter().all(near)
    }
}
