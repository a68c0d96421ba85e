//! A `VirtualService`'s rules as routes.

mod condition;
mod forward;

use std::collections::BTreeSet;

use aviary_api::{
    names, selector,
    virtual_service::{HttpMatch, HttpRoute, VirtualServiceSpec},
};
use aviary_mesh::{
    Route,
    route::{
        DirectResponse, Fault, FaultAbort, FaultDelay, HeaderEdits, PathMatch, Redirect,
        RouteAction, RouteMatch,
    },
};

use forward::default_forward;

use crate::{
    Diagnostic, ObjectKey, ProxyKey, Severity, Snapshot, destination_rule::time, diagnostic,
};

/// For whom and where a `VirtualService` is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// All objects.
    pub(crate) snapshot: &'a Snapshot,
    /// The proxy.
    pub(crate) proxy: &'a ProxyKey,
    /// Gateways that the proxy serves here: `mesh`, or `<namespace>/<name>`.
    pub(crate) gateways: &'a BTreeSet<String>,
    /// The port that `match.port` and port-less destinations mean.
    pub(crate) port: u16,
    /// The host that the routes are for, for span names.
    pub(crate) host: &'a str,
}

/// Whether the rules are bound to one of the scope's gateways.
pub(crate) fn is_bound(
    key: &ObjectKey,
    spec: &VirtualServiceSpec,
    gateways: &BTreeSet<String>,
) -> bool {
    if spec.gateways.is_empty() {
        return gateways.contains(names::MESH_GATEWAY);
    }
    let mut own = spec
        .gateways
        .iter()
        .map(|name| names::expand_gateway(name, &key.namespace));
    own.any(|name| gateways.contains(&name))
}

/// The routes of `spec` in order. The first that takes everything is the last.
pub(crate) fn routes(
    scope: &Scope<'_>,
    key: &ObjectKey,
    spec: &VirtualServiceSpec,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Route> {
    let everything = HttpMatch::default();
    let mut routes = Vec::new();
    for (i, rule) in spec.http.iter().enumerate() {
        let blocks = if rule.matches.is_empty() {
            std::slice::from_ref(&everything)
        } else {
            &rule.matches
        };
        for block in blocks.iter().filter(|block| applies(scope, key, block)) {
            match route(scope, key, rule, block) {
                Ok(route) => {
                    let last = takes_everything(&route.matches);
                    routes.push(route);
                    if last {
                        return routes;
                    }
                }
                Err(reason) => diagnostics.push(Diagnostic {
                    code: diagnostic::BAD_RULE,
                    severity: Severity::Error,
                    kind: "VirtualService",
                    object: key.clone(),
                    path: format!("spec.http[{i}]"),
                    message: reason,
                }),
            }
        }
    }
    routes
}

/// Whether a match takes every request.
///
/// Source: Istio `IsCatchAllRoute`.
pub(crate) fn takes_everything(matches: &RouteMatch) -> bool {
    let path = match &matches.path {
        PathMatch::Prefix(prefix) | PathMatch::SegmentPrefix(prefix) => prefix == "/",
        PathMatch::Regex(regex) => regex.source() == ".*",
        PathMatch::Exact(_) => false,
    };
    path && matches.headers.is_empty() && matches.query.is_empty()
}

/// Whether a match can hold for this proxy at all.
///
/// Source: Istio `matchesHTTP`: with `gateways` in the block, the source is not looked at.
fn applies(scope: &Scope<'_>, key: &ObjectKey, block: &HttpMatch) -> bool {
    if block.port.is_some_and(|port| port != u32::from(scope.port)) {
        return false;
    }
    if !block.gateways.is_empty() {
        let mut own = block.gateways.iter();
        return own.any(|name| {
            scope
                .gateways
                .contains(&names::expand_gateway(name, &key.namespace))
        });
    }
    let namespace = &block.source_namespace;
    selector::matches(&block.source_labels, &scope.proxy.labels)
        && (namespace.is_empty() || *namespace == scope.proxy.namespace)
}

fn route(
    scope: &Scope<'_>,
    key: &ObjectKey,
    rule: &HttpRoute,
    block: &HttpMatch,
) -> Result<Route, String> {
    let headers = rule.headers.clone().unwrap_or_default();
    let (request_headers, host) = forward::request_edits(headers.request.as_ref());
    let action = if let Some(redirect) = &rule.redirect {
        RouteAction::Redirect(redirect_to(redirect))
    } else if let Some(direct) = &rule.direct_response {
        RouteAction::Direct(DirectResponse {
            status: status(direct.status),
            body: direct.body.clone().unwrap_or_default().string,
        })
    } else {
        RouteAction::Forward(forward::forward(scope, key, rule, host))
    };
    Ok(Route {
        name: rule.name.clone(),
        matches: condition::route_match(block)?,
        action,
        request_headers,
        response_headers: headers
            .response
            .as_ref()
            .map(forward::edits)
            .unwrap_or_default(),
        fault: rule.fault.as_ref().and_then(fault),
        origin: format!(
            "/apis/networking.istio.io/v1/namespaces/{}/virtual-service/{}",
            key.namespace, key.name
        ),
        operation: operation(scope.host, scope.port),
        ..Route::default()
    })
}

/// Name of the spans of a Service's requests.
pub(crate) fn operation(host: &str, port: u16) -> String {
    format!("{host}:{port}/*")
}

/// The route where no rule says anything.
pub(crate) fn default_route(name: &str, cluster: String, operation: String) -> Route {
    Route {
        name: name.to_owned(),
        matches: RouteMatch::default(),
        action: RouteAction::Forward(default_forward(cluster)),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        fault: None,
        origin: String::new(),
        operation,
        ..Route::default()
    }
}

fn redirect_to(redirect: &aviary_api::virtual_service::HttpRedirect) -> Redirect {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    Redirect {
        scheme: some(&redirect.scheme),
        host: some(&redirect.authority),
        port: redirect.port.and_then(|port| u16::try_from(port).ok()),
        path: some(&redirect.uri),
        prefix: None,
        status: redirect.redirect_code.map_or(301, status),
        ..Redirect::default()
    }
}

/// A status that validation has seen.
fn status(code: u32) -> u16 {
    u16::try_from(code).unwrap_or(500)
}

/// Source: Istio: an absent percentage is none; the older whole `percent` counts when it is set.
fn fault(fault: &aviary_api::virtual_service::HttpFault) -> Option<Fault> {
    let delay = fault.delay.as_ref().and_then(|delay| {
        let older = delay
            .percent
            .and_then(|percent| u8::try_from(percent).ok())
            .map(f64::from);
        let percent = delay.percentage.map(|percent| percent.value).or(older)?;
        let duration = time(delay.fixed_delay.as_deref())?;
        (percent > 0.0).then_some(FaultDelay { duration, percent })
    });
    let abort = fault.abort.as_ref().and_then(|abort| {
        let percent = abort.percentage?.value;
        let status = status(abort.http_status?);
        (percent > 0.0).then(|| FaultAbort {
            status,
            percent,
            ..FaultAbort::default()
        })
    });
    (delay.is_some() || abort.is_some()).then(|| Fault {
        delay,
        abort,
        ..Fault::default()
    })
}
