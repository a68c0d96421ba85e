//! Release overlays: which version of a guarded Service answers.
//!
//! The user's rules decide whether a request goes to a Service, and everything else about it; the
//! overlay takes the place of the cluster. So it is composed onto finished routes, in the order in
//! which requests meet them, and user objects stay as they are.
//!
//! Every route that leads to a guarded Service becomes, in this order:
//! 1. for each block of content conditions, a copy with both conditions and the one version;
//! 2. the route itself, with its branches split by shares.
//!
//! Where copies go to the version under trial, each of these has a twin in front of it that takes
//! the methods that are copied.

mod both;
mod guard;
mod remarks;
mod split;
mod versions;

use std::collections::BTreeMap;

use aviary_api::release::Overlay;
use aviary_mesh::{
    Route,
    matcher::{FullRegex, HeaderMatch, StringMatch},
    route::{Forward, Mirror, RouteAction},
};

pub(crate) use both::{Both, strings};
pub(crate) use guard::{Guard, Guards};
pub(crate) use remarks::analyze;
pub(crate) use split::{reduce, tcp};
pub(crate) use versions::{clusters, exactly, labels};

use crate::{Diagnostic, Severity, cluster, diagnostic, virtual_service::Scope};
use split::Split;

/// Versions that conditions have chosen, by host.
type Chosen<'a> = BTreeMap<&'a str, &'a str>;

/// The methods of requests that are copied, as one condition's expression.
pub(crate) fn methods(overlay: &Overlay) -> Vec<&str> {
    let named = overlay.mirror.iter().flat_map(|mirror| &mirror.methods);
    let named: Vec<&str> = named.map(String::as_str).collect();
    if named.is_empty() {
        return aviary_api::release::MIRRORED_METHODS.to_vec();
    }
    named
}

/// The routes that one of the user's routes (or a default one) becomes.
pub(crate) fn routes(
    scope: &Scope<'_>,
    mut route: Route,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Route> {
    let RouteAction::Forward(forward) = &mut route.action else {
        return vec![route];
    };
    pin_copies(scope, forward);
    let guards = guards(scope, forward);
    let mut cases = vec![(route, Chosen::new())];
    for guard in &guards {
        let mut next = Vec::new();
        for (route, chosen) in cases {
            next.extend(matched(scope, guard, &route, &chosen, diagnostics));
            next.push((route, chosen));
        }
        cases = next;
    }
    if guards.is_empty() {
        return cases.into_iter().map(|(route, _)| route).collect();
    }
    let split = cases
        .into_iter()
        .flat_map(|(route, chosen)| split_route(scope, &guards, route, &chosen));
    split.collect()
}

/// The guards of the Services that a route leads to.
fn guards<'a>(scope: &Scope<'a>, forward: &Forward) -> Vec<&'a Guard> {
    let mut guards: Vec<&Guard> = Vec::new();
    for branch in &forward.clusters {
        let guard = cluster::outbound_parts(&branch.name)
            .and_then(|(_, _, host)| scope.snapshot.guard(host));
        if let Some(guard) = guard
            && guards.iter().all(|known| known.key != guard.key)
        {
            guards.push(guard);
        }
    }
    guards
}

/// The user's own copies for a guarded Service go to its steady version: pods of a version under
/// trial get nothing that its overlay does not say.
fn pin_copies(scope: &Scope<'_>, forward: &mut Forward) {
    for mirror in &mut forward.mirrors {
        let Some((port, subset, host)) = cluster::outbound_parts(&mirror.cluster) else {
            continue;
        };
        if let Some(guard) = scope.snapshot.guard(host) {
            let version = guard.steady();
            let name = versions::name(scope, guard, subset, version);
            mirror.cluster = cluster::outbound_name(port, &name, host);
        }
    }
}

/// Copies of a route with the content conditions of a guard.
fn matched<'a>(
    scope: &Scope<'_>,
    guard: &'a Guard,
    route: &Route,
    chosen: &Chosen<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(Route, Chosen<'a>)> {
    let Some(matched) = &guard.overlay.matched else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (i, block) in matched.matches.iter().enumerate() {
        if !crate::virtual_service::applies(scope, &guard.key, block) {
            continue;
        }
        match both::both(route, block) {
            Ok(None) => {}
            Ok(Some(mut both)) => {
                both.origin = guard.origin();
                let mut chosen = chosen.clone();
                chosen.insert(&guard.host, &matched.version);
                found.push((both, chosen));
            }
            Err(reason) => {
                let rule = match route.origin.rsplit_once('/') {
                    Some((_, name)) => format!(" of VirtualService `{name}`"),
                    None => String::new(),
                };
                diagnostics.push(Diagnostic {
                    code: diagnostic::UNCLEAR_MATCH,
                    severity: Severity::Warning,
                    kind: "Release",
                    object: guard.key.clone(),
                    path: format!("status.overlay.matched.matches[{i}]"),
                    message: format!("has no effect on a rule{rule}: {reason}"),
                });
            }
        }
    }
    found
}

/// A route by version, with its twins for copies in front of it.
fn split_route(
    scope: &Scope<'_>,
    guards: &[&Guard],
    mut route: Route,
    chosen: &Chosen<'_>,
) -> Vec<Route> {
    let mut copies = Vec::new();
    if let RouteAction::Forward(forward) = &mut route.action {
        let names = forward.clusters.iter();
        let branches: Vec<(&str, u32)> = names
            .map(|branch| (branch.name.as_str(), branch.weight))
            .collect();
        let split = Split::new(scope, &branches, chosen);
        for guard in guards {
            copies.push((*guard, split.mirrors(guard)));
        }
        split.apply(scope, forward);
    }
    let mut routes = vec![route];
    for (guard, mirrors) in copies
        .into_iter()
        .filter(|(_, mirrors)| !mirrors.is_empty())
    {
        routes = routes
            .into_iter()
            .flat_map(|route| [copied(guard, &route, &mirrors), route])
            .collect();
    }
    routes
}

/// A twin of a route for the methods that are copied.
fn copied(guard: &Guard, route: &Route, mirrors: &[Mirror]) -> Route {
    let mut twin = route.clone();
    let methods = methods(&guard.overlay);
    let value = match methods.as_slice() {
        [only] => StringMatch::Exact((*only).to_owned()),
        several => {
            let several: Vec<String> = several.iter().map(|it| regex::escape(it)).collect();
            // Escaped text is always an expression; were it none, nothing would be copied.
            match FullRegex::new(&several.join("|")) {
                Ok(regex) => StringMatch::Regex(regex),
                Err(_) => StringMatch::Exact(String::new()),
            }
        }
    };
    twin.matches.headers.push(HeaderMatch {
        name: ":method".to_owned(),
        value: Some(value),
        invert: false,
        missing_as_empty: false,
        ignore_case: false,
    });
    if let RouteAction::Forward(forward) = &mut twin.action {
        forward.mirrors.extend_from_slice(mirrors);
    }
    twin
}
