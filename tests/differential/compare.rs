//! What the two did with one request, side by side.

use std::collections::BTreeMap;

use crate::request::Request;
use crate::upstream::{ID, Seen};
use crate::wire::Answer;

/// What one proxy did with a request.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) answer: Answer,
    pub(crate) seen: Vec<Seen>,
    pub(crate) log: String,
}

/// A thing in which they do not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// `status`, `answer header NAME`, `servers`, `request line`, `request header NAME`,
    /// `name as sent NAME`, `body`, `log`.
    pub(crate) what: String,
    pub(crate) envoy: String,
    pub(crate) ours: String,
}

/// Fields whose values differ from one request to the next in any proxy; that they are there is
/// compared.
const VARYING: [&str; 3] = ["date", "x-request-id", "x-envoy-upstream-service-time"];

/// Everything in which `ours` is not as `envoy`.
pub(crate) fn compare(request: &Request, envoy: &Done, ours: &Done) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let mut differ = |what: String, envoy: String, ours: String| {
        if envoy != ours {
            found.push(Mismatch { what, envoy, ours });
        }
    };
    let text = |done: &Done| done.answer.status.to_string();
    differ("status".into(), text(envoy), text(ours));
    if envoy.answer.status != ours.answer.status {
        // Everything else follows from that.
        return found;
    }
    let (left, right) = (table(&envoy.answer.headers), table(&ours.answer.headers));
    for (name, left, right) in both(&left, &right) {
        differ(format!("answer header {name}"), left, right);
    }
    if request.method != "HEAD" {
        let text = |done: &Done| done.answer.body.to_string();
        differ("body".into(), text(envoy), text(ours));
    }
    differ("servers".into(), servers(envoy), servers(ours));
    for (left, right) in sorted(&envoy.seen).iter().zip(sorted(&ours.seen)) {
        differ("request line".into(), left.line.clone(), right.line.clone());
        differ(
            "request body".into(),
            left.body.to_string(),
            right.body.to_string(),
        );
        let (left_table, right_table) = (table(&left.headers), table(&right.headers));
        for (name, left, right) in both(&left_table, &right_table) {
            differ(format!("request header {name}"), left, right);
        }
        for (left, _) in &left.headers {
            let same = right
                .headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(left));
            if let Some((right, _)) = same {
                differ(format!("name as sent {left}"), left.clone(), right.clone());
            }
        }
    }
    differ("log".into(), envoy.log.clone(), ours.log.clone());
    found
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
fn table(headers: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut table = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let value = match name.as_str() {
            ID => value.clone(),
            name if VARYING.contains(&name) => "(some)".to_owned(),
            // What is left of the time for all tries, after some of it has passed.
            "x-envoy-expected-rq-timeout-ms" => match value.parse::<u32>() {
                Ok(time @ 1000..) => format!("{} s", time.div_ceil(1000)),
                _ => value.clone(),
            },
            _ => value.clone(),
        };
        table.entry(name).or_default().push(value);
    }
    table
}

fn both<'a>(
    left: &'a BTreeMap<String, Vec<String>>,
    right: &'a BTreeMap<String, Vec<String>>,
) -> impl Iterator<Item = (&'a str, String, String)> {
    let text = |table: &BTreeMap<String, Vec<String>>, name: &str| {
        table
            .get(name)
            .map_or_else(|| "(absent)".to_owned(), |values| values.join(" | "))
    };
    let names: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    names
        .into_iter()
        .map(move |name| (name.as_str(), text(left, name), text(right, name)))
}
