//! Whether a request meets the conditions of a route.

use rand::Rng;

use super::trace::Trace;
use super::{Head, draw};
use crate::matcher::{HeaderMatch, QueryMatch, StringMatch};
use crate::route::{PathMatch, RouteMatch};

/// A path without query and fragment, and what was cut off (with its `?` or `#`).
pub(super) fn split_path(path_and_query: &str) -> (&str, &str) {
    // By bytes: to look for characters costs several times as much, on every request.
    let end = path_and_query
        .bytes()
        .position(|byte| matches!(byte, b'?' | b'#'));
    path_and_query.split_at(end.unwrap_or(path_and_query.len()))
}

/// Whether all conditions hold; the first that does not is noted.
pub(super) fn holds(
    matches: &RouteMatch,
    path: &str,
    query: &str,
    head: &impl Head,
    rng: &mut impl Rng,
    trace: &mut impl Trace,
) -> bool {
    if !path_holds(&matches.path, path, matches.ignore_case) {
        trace.note(|| format!("path {path} does not match {}", describe(&matches.path)));
        return false;
    }
    if matches.grpc && !is_grpc(head) {
        trace.note(|| "it is no request of gRPC".to_owned());
        return false;
    }
    // Regular expressions cost most.
    let is_regex = |it: &&HeaderMatch| matches!(it.value, Some(StringMatch::Regex(_)));
    let plain = matches.headers.iter().filter(|it| !is_regex(it));
    let mut ordered = plain.chain(matches.headers.iter().filter(is_regex));
    if let Some(failed) = ordered.find(|header| !header_holds(header, head)) {
        trace.note(|| format!("condition on header {} does not hold", failed.name));
        return false;
    }
    if let Some(failed) = matches
        .query
        .iter()
        .find(|condition| !query_holds(condition, query))
    {
        trace.note(|| format!("condition on query parameter {} does not hold", failed.name));
        return false;
    }
    if let Some(percent) = matches.share_percent
        && !draw(percent, rng)
    {
        trace.note(|| format!("it is not in the share of {percent} %"));
        return false;
    }
    true
}

fn describe(path: &PathMatch) -> String {
    match path {
        PathMatch::Prefix(prefix) => format!("prefix {prefix}"),
        PathMatch::SegmentPrefix(prefix) => format!("path prefix {prefix}"),
        PathMatch::Exact(exact) => format!("exactly {exact}"),
        PathMatch::Regex(regex) => format!("{regex:?}"),
    }
}

fn starts_with(path: &str, prefix: &str, ignore_case: bool) -> bool {
    path.as_bytes().get(..prefix.len()).is_some_and(|head| {
        if ignore_case {
            head.eq_ignore_ascii_case(prefix.as_bytes())
        } else {
            head == prefix.as_bytes()
        }
    })
}

fn path_holds(wanted: &PathMatch, path: &str, ignore_case: bool) -> bool {
    match wanted {
        PathMatch::Prefix(prefix) => starts_with(path, prefix, ignore_case),
        PathMatch::SegmentPrefix(prefix) => {
            starts_with(path, prefix, ignore_case)
                && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
        }
        PathMatch::Exact(exact) if ignore_case => path.eq_ignore_ascii_case(exact),
        PathMatch::Exact(exact) => path == exact,
        PathMatch::Regex(regex) => regex.is_match(path),
    }
}

/// Whether a condition on a header holds.
pub fn header_holds(condition: &HeaderMatch, head: &impl Head) -> bool {
    condition.holds_for(|take| match condition.name.as_str() {
        ":method" => take(head.method()),
        // To Envoy they are one.
        ":authority" | "host" => take(head.authority()),
        ":scheme" => take(head.scheme()),
        ":path" => take(head.path_and_query()),
        // HTTP/2 may cut it into pieces, which mean nothing (RFC 9113 §8.2.3).
        "cookie" => head.header("cookie").iter().for_each(|value| take(value)),
        name => head.each_value(name, take),
    })
}

fn query_holds(condition: &QueryMatch, query: &str) -> bool {
    match (query_value(&condition.name, query), &condition.value) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(value), Some(wanted)) => wanted.matches(value, condition.ignore_case),
    }
}

/// The first value of a query parameter, as it was written.
pub(super) fn query_value<'q>(name: &str, path_and_query: &'q str) -> Option<&'q str> {
    let end = path_and_query.find('#').unwrap_or(path_and_query.len());
    let (_, query) = path_and_query.get(..end)?.split_once('?')?;
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
}

/// Source: Envoy `Grpc::Common::isGrpcRequestHeaders`.
fn is_grpc(head: &impl Head) -> bool {
    head.header("content-type").is_some_and(|value| {
        value
            .strip_prefix("application/grpc")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
    })
}
