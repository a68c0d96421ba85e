//! What the two did with one request, side by side.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::LOG;
use crate::message::{Answer, Fields};
use crate::request::Request;
use crate::server::{ID, Seen};

/// What one proxy did with a request.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) answer: Answer,
    pub(crate) seen: Vec<Seen>,
    pub(crate) log: Vec<String>,
}

/// A thing in which they do not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// `status`, `answer header NAME`, `answer trailer NAME`, `body`, `servers`, `request line`,
    /// `request header NAME`, `request trailer NAME`, `request body`, `name as sent NAME`, `log lines`,
    /// `log PART`.
    pub(crate) what: String,
    pub(crate) envoy: String,
    pub(crate) ours: String,
}

/// Fields whose values differ from one request to the next in any proxy; that they are there is
/// compared.
const VARYING: [&str; 3] = ["date", "x-request-id", "x-envoy-upstream-service-time"];

/// What is left of the time for all tries, after some of it has passed.
const LEFT: &str = "x-envoy-expected-rq-timeout-ms";

/// Everything in which `ours` is not as `envoy`.
pub(crate) fn compare(request: &Request, envoy: &Done, ours: &Done) -> Vec<Mismatch> {
    let mut found = Found::default();
    let status = |done: &Done| done.answer.status.to_string();
    found.differ("status", &status(envoy), &status(ours));
    if envoy.answer.status != ours.answer.status {
        // Everything else follows from that.
        return found.0;
    }
    let (left, right) = (&envoy.answer, &ours.answer);
    found.fields("answer header", &left.headers, &right.headers);
    found.fields("answer trailer", &left.trailers, &right.trailers);
    if request.method != "HEAD" {
        found.differ("body", &left.body, &right.body);
    }
    found.differ("servers", &servers(envoy), &servers(ours));
    for (left, right) in sorted(&envoy.seen).iter().zip(sorted(&ours.seen)) {
        found.differ("request line", &left.line, &right.line);
        let (bytes, ours) = (left.body.to_string(), right.body.to_string());
        found.differ("request body", &bytes, &ours);
        let is_first = envoy.seen.len() == 1;
        let timed = |(name, _): &&(String, String)| is_first || *name != LEFT;
        let told = |seen: &Seen| -> Fields { seen.headers.iter().filter(timed).cloned().collect() };
        found.fields("request header", &told(left), &told(right));
        found.fields("request trailer", &left.trailers, &right.trailers);
        for (left, _) in &left.headers {
            let mut all = right.headers.iter();
            if let Some((right, _)) = all.find(|(name, _)| name.eq_ignore_ascii_case(left)) {
                found.differ(&format!("name as sent {left}"), left, right);
            }
        }
    }
    found.log(&envoy.log, &ours.log);
    found.0
}

#[derive(Default)]
struct Found(Vec<Mismatch>);

impl Found {
    fn differ(&mut self, what: &str, envoy: &str, ours: &str) {
        if envoy != ours {
            self.0.push(Mismatch {
                what: what.to_owned(),
                envoy: envoy.to_owned(),
                ours: ours.to_owned(),
            });
        }
    }

    /// Compares log lines part by part.
    fn log(&mut self, envoy: &[String], ours: &[String]) {
        let count = |lines: &[String]| lines.len().to_string();
        self.differ("log lines", &count(envoy), &count(ours));
        for (envoy, ours) in envoy.iter().zip(ours) {
            let parts = envoy.split('\t').zip(ours.split('\t'));
            for ((name, _), (envoy, ours)) in LOG.iter().zip(parts) {
                let (envoy, ours) = match *name {
                    // Their order means nothing.
                    "flags" => (in_order(envoy), in_order(ours)),
                    _ => (envoy.to_owned(), ours.to_owned()),
                };
                self.differ(&format!("log {name}"), &envoy, &ours);
            }
        }
    }

    fn fields(&mut self, what: &str, envoy: &Fields, ours: &Fields) {
        let (left, right) = (table(envoy), table(ours));
        let names: BTreeSet<_> = left.keys().chain(right.keys()).collect();
        let text = |table: &BTreeMap<String, Vec<String>>, name: &str| {
            let values = table.get(name);
            values.map_or_else(|| "(absent)".to_owned(), |values| values.join(" | "))
        };
        for name in names {
            let (envoy, ours) = (text(&left, name), text(&right, name));
            self.differ(&format!("{what} {name}"), &envoy, &ours);
        }
    }
}

fn in_order(list: &str) -> String {
    let mut parts: Vec<_> = list.split(',').collect();
    parts.sort_unstable();
    parts.join(",")
}

fn sorted(seen: &[Seen]) -> Vec<&Seen> {
    let mut seen: Vec<_> = seen.iter().collect();
    // Stable: several tries at one server keep their order.
    seen.sort_by(|a, b| a.server.cmp(&b.server));
    seen
}

fn servers(done: &Done) -> String {
    let names: Vec<_> = sorted(&done.seen)
        .iter()
        .map(|seen| seen.server.as_str())
        .collect();
    names.join(" ")
}

/// Values by lower-case name, in order.
fn table(headers: &Fields) -> BTreeMap<String, Vec<String>> {
    let mut table = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let value = match name.as_str() {
            ID => value.clone(),
            name if VARYING.contains(&name) => "(some)".to_owned(),
            // A made-up value: the address of the client, hashed with its port.
            "set-cookie" if value.starts_with("sticky=") => {
                let (_, attributes) = value.split_once(';').unwrap_or_default();
                format!("(some);{attributes}")
            }
            _ => value.clone(),
        };
        table.entry(name).or_default().push(value);
    }
    table
}
