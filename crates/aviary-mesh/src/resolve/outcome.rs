//! From a request head to what is done with the request.

use std::borrow::Cow;

use rand::Rng;

use super::condition::holds;
use super::hash::{bucket, hash};
use super::trace::Trace;
use super::{Decision, Head, Outcome, Target};
use crate::compiled::{Rewrite, Table, without_port};
use crate::route::{
    Forward, HeaderEdits, PathMatch, PathRewrite, Redirect, Route, RouteAction, RouteMatch,
    RouteTable, VirtualHost, WeightedCluster, branch_of,
};

pub(super) fn decide<'a>(
    table: &'a Table,
    head: &impl Head,
    rng: &mut impl Rng,
    trace: &mut impl Trace,
) -> Decision<'a> {
    let source: &'a RouteTable = table.table();
    let without_route = |virtual_host, outcome| Decision {
        table: source,
        virtual_host,
        route: None,
        outcome,
    };
    let Some(host) = table.virtual_host(head.authority()) else {
        trace.note(|| {
            format!(
                "no virtual host of {} for {}: 404",
                source.name,
                head.authority()
            )
        });
        return without_route(None, Outcome::NotFound);
    };
    let virtual_host = &source.virtual_hosts[host];
    trace.note(|| format!("host {} belongs to {}", head.authority(), virtual_host.name));
    if virtual_host.require_tls && !came_by_tls(head) {
        trace.note(|| "TLS is required: redirected to https".to_owned());
        let redirect = Outcome::Redirect {
            status: 301,
            location: format!("https://{}{}", head.authority(), head.path_and_query()),
        };
        return without_route(Some(virtual_host), redirect);
    }
    let found = find(table, host, head, rng, trace);
    let Some((number, route)) = found else {
        trace.note(|| format!("no route of {} matches: 404", virtual_host.name));
        return without_route(Some(virtual_host), Outcome::NotFound);
    };
    let place = Place {
        table: source,
        virtual_host,
        route,
        rewrite: table.rewrite(host, number),
    };
    Decision {
        table: source,
        virtual_host: Some(virtual_host),
        route: Some(route),
        outcome: place.act(head, rng, trace),
    }
}

/// The first route that matches. With reasons asked for, those that cannot match are gone through
/// as well.
fn find<'a, T: Trace>(
    table: &'a Table,
    host: usize,
    head: &impl Head,
    rng: &mut impl Rng,
    trace: &mut T,
) -> Option<(usize, &'a Route)> {
    let routes = &table.table().virtual_hosts[host].routes;
    let (path, query) = head.path_parts();
    let mut taken = |number: usize| {
        let route = &routes[number];
        let taken = holds(&route.matches, path, query, head, rng, trace);
        trace.note(|| {
            let answer = if taken { "taken" } else { "no" };
            format!("route {}: {answer}", label(number, route))
        });
        taken
    };
    let candidates = table.candidates(host, path);
    let number = match candidates.filter(|_| !T::WANTED) {
        Some(mut candidates) => candidates.find(|number| taken(*number)),
        None => (0..routes.len()).find(|number| taken(*number)),
    }?;
    Some((number, &routes[number]))
}

/// What the proxy before us says, else what the connection is.
fn came_by_tls(head: &impl Head) -> bool {
    match head.header("x-forwarded-proto") {
        Some(proto) => proto.eq_ignore_ascii_case("https"),
        None => head.scheme() == "https",
    }
}

/// Edits of one level.
#[derive(Clone, Copy)]
pub(super) struct Levels<'a> {
    pub(super) request: &'a HeaderEdits,
    pub(super) response: &'a HeaderEdits,
}

static NO_EDITS: HeaderEdits = HeaderEdits {
    set: Vec::new(),
    add: Vec::new(),
    remove: Vec::new(),
    add_if_absent: Vec::new(),
    replace: Vec::new(),
};

/// Edits of all levels in the order that they apply: from the branch up to the table, or, where the
/// most specific ones are to win, those of the branch and then from the table down to the route.
///
/// Source: Envoy `RouteEntryImplBase::getRequestHeaderParsers`, `WeightedClusterEntry`.
pub(super) fn edits<'a>(
    table: &'a RouteTable,
    virtual_host: Option<&'a VirtualHost>,
    route: Option<&'a Route>,
    branch: Option<&'a WeightedCluster>,
    of: impl Fn(Levels<'a>) -> &'a HeaderEdits,
) -> [&'a HeaderEdits; 4] {
    let pick = |levels: Option<Levels<'a>>| levels.map_or(&NO_EDITS, &of);
    let mut all = [
        pick(branch.map(|it| Levels {
            request: &it.request_headers,
            response: &it.response_headers,
        })),
        pick(route.map(|it| Levels {
            request: &it.request_headers,
            response: &it.response_headers,
        })),
        pick(virtual_host.map(|it| Levels {
            request: &it.request_headers,
            response: &it.response_headers,
        })),
        of(Levels {
            request: &table.request_headers,
            response: &table.response_headers,
        }),
    ];
    if table.most_specific_edits_win {
        // Those of the branch come first all the same.
        all[1..].reverse();
    }
    all
}

/// A route with what stands around it.
struct Place<'a> {
    table: &'a RouteTable,
    virtual_host: &'a VirtualHost,
    route: &'a Route,
    rewrite: Option<&'a Rewrite>,
}

impl<'a> Place<'a> {
    fn act(&self, head: &impl Head, rng: &mut impl Rng, trace: &mut impl Trace) -> Outcome<'a> {
        match &self.route.action {
            RouteAction::Redirect(redirect) => {
                let location = location(redirect, &self.route.matches, self.rewrite, head);
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
            RouteAction::Forward(forward) => self
                .target(forward, head, rng, trace)
                .map_or(Outcome::NotFound, Outcome::Forward),
        }
    }

    fn target(
        &self,
        forward: &'a Forward,
        head: &impl Head,
        rng: &mut impl Rng,
        trace: &mut impl Trace,
    ) -> Option<Target<'a>> {
        let hash = hash(&forward.hash, head);
        let (branch, kept) = choose_branch(forward, hash.value, head, rng)?;
        trace.note(|| match forward.clusters.len() {
            1 => format!("cluster {}", branch.name),
            count => format!(
                "cluster {} {} with weight {} of {count}",
                branch.name,
                match hash.value {
                    _ if kept => "keeps the client",
                    Some(_) if forward.hash_split => "follows the hash",
                    _ => "drawn",
                },
                branch.weight
            ),
        });
        let mirrors = forward
            .mirrors
            .iter()
            .filter(|mirror| mirror.takes(branch) && draw(mirror.percent, rng))
            .collect::<Vec<_>>();
        for mirror in &mirrors {
            trace.note(|| format!("copy to {}", mirror.cluster));
        }
        let path = self.new_path(forward, head);
        if let Some(path) = &path {
            trace.note(|| format!("path becomes {path}"));
        }
        let pick = |of: fn(Levels<'a>) -> &'a HeaderEdits| {
            let (host, route) = (Some(self.virtual_host), Some(self.route));
            edits(self.table, host, route, Some(branch), of)
        };
        Some(Target {
            forward,
            branch,
            path,
            host: new_host(forward, branch, head),
            timeout: forward.timeout,
            retry: forward.retry.as_ref().or(self.virtual_host.retry.as_ref()),
            mirrors,
            request_edits: pick(|levels| levels.request),
            response_edits: pick(|levels| levels.response),
            hash,
        })
    }

    fn new_path(&self, forward: &Forward, head: &impl Head) -> Option<String> {
        let wanted = forward.rewrite.as_ref()?;
        let (path, query) = head.path_parts();
        let new = match (wanted, self.rewrite) {
            (PathRewrite::Prefix(prefix), _) => replace_matched(&self.route.matches, path, prefix),
            (PathRewrite::Regex { .. }, Some(rewrite)) => rewrite.apply(path),
            (PathRewrite::Regex { .. }, None) => path.to_owned(),
        };
        Some(new + query)
    }
}

fn new_host<'a>(
    forward: &'a Forward,
    branch: &'a WeightedCluster,
    head: &impl Head,
) -> Option<Cow<'a, str>> {
    if let Some(host) = &forward.host_rewrite {
        return Some(Cow::Borrowed(host));
    }
    let named = forward.host_rewrite_header.as_ref();
    let named = named
        .and_then(|name| head.header(name))
        .filter(|host| !host.is_empty());
    match named {
        Some(host) => Some(Cow::Owned(host.into_owned())),
        None => branch.host_rewrite.as_deref().map(Cow::Borrowed),
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
pub(crate) fn draw(percent: f64, rng: &mut impl Rng) -> bool {
    if percent <= 0.0 {
        return false;
    }
    percent >= 100.0 || rng.random_range(0.0..100.0) < percent
}

/// The branch, and whether the client keeps it.
fn choose_branch<'a>(
    forward: &'a Forward,
    hash: Option<u64>,
    head: &impl Head,
    rng: &mut impl Rng,
) -> Option<(&'a WeightedCluster, bool)> {
    let drawn = draw_branch(forward, hash, rng)?;
    let kept = forward.affinity.iter().find_map(|affinity| {
        let run = affinity.around(&forward.clusters, drawn)?;
        branch_of(run, bucket(affinity, head)?)
    });
    match kept {
        Some(branch) => Some((branch, true)),
        None => forward.clusters.get(drawn).map(|branch| (branch, false)),
    }
}

/// By the hash when the split follows it: growing shares at the end of the list only add clients.
///
/// Source: Envoy `RouteEntryImplBase::pickWeightedCluster`.
fn draw_branch(forward: &Forward, hash: Option<u64>, rng: &mut impl Rng) -> Option<usize> {
    if forward.clusters.len() == 1 {
        return Some(0);
    }
    let weights = forward
        .clusters
        .iter()
        .map(|branch| u64::from(branch.weight));
    let total: u64 = weights.clone().sum();
    if total == 0 {
        return (!forward.clusters.is_empty()).then_some(0);
    }
    let mut drawn = match hash {
        Some(hash) if forward.hash_split => hash % total,
        _ => rng.random_range(0..total),
    };
    weights.enumerate().find_map(|(position, weight)| {
        if drawn < weight {
            return Some(position);
        }
        drawn -= weight;
        None
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

/// Source: Envoy `RouteEntryImplBase::newUri`, `processRequestHost`.
fn location(
    redirect: &Redirect,
    matches: &RouteMatch,
    rewrite: Option<&Rewrite>,
    head: &impl Head,
) -> String {
    let scheme = redirect.scheme.as_deref().unwrap_or_else(|| head.scheme());
    // What the client meant, and so the port that it left out or not.
    let told = head.header("x-forwarded-proto");
    let before = told.as_deref().unwrap_or_else(|| head.scheme());
    let host = match &redirect.host {
        Some(host) => host,
        None if redirect.port.is_some() => without_port(head.authority()),
        // The default port of the old scheme means nothing to the new one.
        None if scheme != before => {
            let default = match before {
                "https" => ":443",
                "http" => ":80",
                _ => "",
            };
            head.authority()
                .strip_suffix(default)
                .unwrap_or_else(|| head.authority())
        }
        None => head.authority(),
    };
    let port = redirect
        .port
        .map_or(String::new(), |port| format!(":{port}"));
    let (path, query) = head.path_parts();
    let query = if redirect.strip_query { "" } else { query };
    let path = match (&redirect.path, &redirect.prefix, rewrite) {
        // A query in the new path takes the place of the request's.
        (Some(new), _, _) if new.contains('?') => new.clone(),
        (Some(new), _, _) => format!("{new}{query}"),
        (None, Some(prefix), _) => replace_matched(matches, path, prefix) + query,
        (None, None, Some(rewrite)) => rewrite.apply(path) + query,
        (None, None, None) => format!("{path}{query}"),
    };
    format!("{scheme}://{host}{port}{path}")
}
