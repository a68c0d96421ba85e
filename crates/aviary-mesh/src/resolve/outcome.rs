//! From a request head to what is done with the request.

use rand::Rng;

use super::condition::{holds, split_path};
use super::trace::Trace;
use super::{Decision, Head, Outcome, Target};
use crate::compiled::{Rewrite, Table, without_port};
use crate::route::{
    Forward, PathMatch, PathRewrite, Redirect, Route, RouteAction, RouteMatch, WeightedCluster,
};

pub(super) fn decide<'a>(
    table: &'a Table,
    head: &impl Head,
    rng: &mut impl Rng,
    trace: &mut impl Trace,
) -> Decision<'a> {
    let not_found = |virtual_host| Decision {
        virtual_host,
        route: None,
        outcome: Outcome::NotFound,
        delay: None,
    };
    let Some(host) = table.virtual_host(head.authority()) else {
        trace.note(|| {
            format!(
                "no virtual host of {} for {}: 404",
                table.table().name,
                head.authority()
            )
        });
        return not_found(None);
    };
    let virtual_host = &table.table().virtual_hosts[host];
    trace.note(|| format!("host {} belongs to {}", head.authority(), virtual_host.name));
    let found = virtual_host
        .routes
        .iter()
        .enumerate()
        .find(|(number, route)| {
            let taken = holds(&route.matches, head, trace);
            trace.note(|| {
                format!(
                    "route {}: {}",
                    label(*number, route),
                    if taken { "taken" } else { "no" }
                )
            });
            taken
        });
    let Some((number, route)) = found else {
        trace.note(|| format!("no route of {} matches: 404", virtual_host.name));
        return not_found(Some(virtual_host));
    };
    let (delay, abort) = draw_fault(route, rng, trace);
    let outcome = match abort {
        Some(status) => Outcome::Abort { status },
        None => act(route, table.rewrite(host, number), head, rng, trace),
    };
    Decision {
        virtual_host: Some(virtual_host),
        route: Some(route),
        outcome,
        delay,
    }
}

fn act<'a>(
    route: &'a Route,
    rewrite: Option<&Rewrite>,
    head: &impl Head,
    rng: &mut impl Rng,
    trace: &mut impl Trace,
) -> Outcome<'a> {
    match &route.action {
        RouteAction::Redirect(redirect) => {
            let location = location(redirect, &route.matches, head);
            trace.note(|| format!("redirect {} to {location}", redirect.status));
            Outcome::Redirect {
                status: redirect.status,
                location,
            }
        }
        RouteAction::Direct(direct) => {
            trace.note(|| format!("answered in place with {}", direct.status));
            Outcome::Direct {
                status: direct.status,
                body: &direct.body,
            }
        }
        RouteAction::Forward(forward) => target(route, forward, rewrite, head, rng, trace)
            .map_or(Outcome::NotFound, Outcome::Forward),
    }
}

fn label(number: usize, route: &Route) -> String {
    match (route.name.as_str(), route.origin.as_str()) {
        ("", "") => format!("#{number}"),
        ("", origin) => format!("#{number} of {origin}"),
        (name, "") => format!("#{number} `{name}`"),
        (name, origin) => format!("#{number} `{name}` of {origin}"),
    }
}

/// True for `percent` of all draws, in steps of a millionth as Envoy's fractions.
pub(super) fn draw(percent: f64, rng: &mut impl Rng) -> bool {
    if percent <= 0.0 {
        return false;
    }
    percent >= 100.0 || rng.random_range(0.0..100.0) < percent
}

fn draw_fault(
    route: &Route,
    rng: &mut impl Rng,
    trace: &mut impl Trace,
) -> (Option<std::time::Duration>, Option<u16>) {
    // A redirect or direct response is a route too, and Envoy's fault filter comes before it.
    let Some(fault) = &route.fault else {
        return (None, None);
    };
    let delay = fault
        .delay
        .as_ref()
        .filter(|delay| draw(delay.percent, rng));
    let abort = fault
        .abort
        .as_ref()
        .filter(|abort| draw(abort.percent, rng));
    if let Some(delay) = delay {
        trace.note(|| format!("fault: delay of {:?}", delay.duration));
    }
    if let Some(abort) = abort {
        trace.note(|| format!("fault: abort with {}", abort.status));
    }
    (
        delay.map(|delay| delay.duration),
        abort.map(|abort| abort.status),
    )
}

fn choose_branch<'a>(forward: &'a Forward, rng: &mut impl Rng) -> Option<&'a WeightedCluster> {
    if let [single] = forward.clusters.as_slice() {
        return Some(single);
    }
    let total: u64 = forward
        .clusters
        .iter()
        .map(|branch| u64::from(branch.weight))
        .sum();
    if total == 0 {
        return forward.clusters.first();
    }
    let mut drawn = rng.random_range(0..total);
    forward.clusters.iter().find(|branch| {
        let weight = u64::from(branch.weight);
        if drawn < weight {
            return true;
        }
        drawn -= weight;
        false
    })
}

fn target<'a>(
    route: &'a Route,
    forward: &'a Forward,
    rewrite: Option<&Rewrite>,
    head: &impl Head,
    rng: &mut impl Rng,
    trace: &mut impl Trace,
) -> Option<Target<'a>> {
    let branch = choose_branch(forward, rng)?;
    trace.note(|| match forward.clusters.len() {
        1 => format!("cluster {}", branch.name),
        count => format!(
            "cluster {} drawn with weight {} of {count}",
            branch.name, branch.weight
        ),
    });
    let mirrors = forward
        .mirrors
        .iter()
        .filter(|mirror| draw(mirror.percent, rng))
        .map(|mirror| mirror.cluster.as_str())
        .collect::<Vec<_>>();
    if !mirrors.is_empty() {
        trace.note(|| format!("copies to {}", mirrors.join(", ")));
    }
    let path = forward.rewrite.as_ref().map(|wanted| {
        let (path, query) = split_path(head.path_and_query());
        let new = match (wanted, rewrite) {
            (PathRewrite::Prefix(prefix), _) => replace_matched(&route.matches, path, prefix),
            (PathRewrite::Regex { .. }, Some(rewrite)) => rewrite.apply(path),
            (PathRewrite::Regex { .. }, None) => path.to_owned(),
        };
        new + query
    });
    if let Some(path) = &path {
        trace.note(|| format!("path becomes {path}"));
    }
    let host = forward
        .host_rewrite
        .as_deref()
        .or(branch.host_rewrite.as_deref());
    Some(Target {
        forward,
        branch,
        path,
        host,
        timeout: forward.timeout,
        retry: forward.retry.as_ref(),
        mirrors,
        request_edits: [&branch.request_headers, &route.request_headers],
        response_edits: [&branch.response_headers, &route.response_headers],
    })
}

/// `path` with the part that the route matched replaced: the prefix, or the whole path.
fn replace_matched(matches: &RouteMatch, path: &str, new: &str) -> String {
    let rest = match &matches.path {
        PathMatch::Prefix(prefix) | PathMatch::SegmentPrefix(prefix) => {
            path.get(prefix.len()..).unwrap_or_default()
        }
        PathMatch::Exact(_) | PathMatch::Regex(_) => "",
    };
    format!("{new}{rest}")
}

fn location(redirect: &Redirect, matches: &RouteMatch, head: &impl Head) -> String {
    let scheme = redirect.scheme.as_deref().unwrap_or_else(|| head.scheme());
    let host = match &redirect.host {
        Some(host) => host,
        None if redirect.port.is_some() => without_port(head.authority()),
        // The default port of the old scheme means nothing to the new one.
        None if scheme != head.scheme() => {
            let default = if head.scheme() == "https" {
                ":443"
            } else {
                ":80"
            };
            head.authority()
                .strip_suffix(default)
                .unwrap_or_else(|| head.authority())
        }
        None => head.authority(),
    };
    let port = match (scheme, redirect.port) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    let (path, query) = split_path(head.path_and_query());
    let path = match (&redirect.path, &redirect.prefix) {
        // A query in the new path takes the place of the request's.
        (Some(new), _) if new.contains('?') => new.clone(),
        (Some(new), _) => format!("{new}{query}"),
        (None, Some(prefix)) => replace_matched(matches, path, prefix) + query,
        (None, None) => head.path_and_query().to_owned(),
    };
    format!("{scheme}://{host}{port}{path}")
}
