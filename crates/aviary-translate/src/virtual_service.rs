//! A `VirtualService`'s rules as routes.

mod condition;
mod forward;

use std::collections::BTreeSet;
use std::sync::Arc;

use aviary_api::{
    duration, names, selector,
    virtual_service::{HttpMatch, HttpRoute, VirtualServiceSpec},
};
use aviary_mesh::{
    Route,
    cors::Cors,
    listener::TcpBranch,
    matcher::{StringMatch, Text},
    route::{
        DirectResponse, Fault, FaultAbort, FaultDelay, FilterSettings, HeaderEdits, PathMatch,
        Redirect, RouteAction, RouteMatch,
    },
};

pub(crate) use condition::{route_match, string};
use forward::default_forward;
pub(crate) use forward::{ALONE, Target, hashes};

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
pub(crate) fn applies(scope: &Scope<'_>, key: &ObjectKey, block: &HttpMatch) -> bool {
    let source = Source {
        port: block.port,
        gateways: &block.gateways,
        labels: &block.source_labels,
        namespace: &block.source_namespace,
    };
    source.fits(scope, key)
}

/// What a block says of where requests come from and which port they are for.
struct Source<'a> {
    port: Option<u32>,
    gateways: &'a [String],
    labels: &'a selector::Labels,
    namespace: &'a str,
}

impl Source<'_> {
    fn fits(&self, scope: &Scope<'_>, key: &ObjectKey) -> bool {
        if self.port.is_some_and(|port| port != u32::from(scope.port)) {
            return false;
        }
        if !self.gateways.is_empty() {
            let mut own = self.gateways.iter();
            return own.any(|name| {
                scope
                    .gateways
                    .contains(&names::expand_gateway(name, &key.namespace))
            });
        }
        selector::matches(self.labels, &scope.proxy.labels)
            && (self.namespace.is_empty() || self.namespace == scope.proxy.namespace)
    }
}

/// The branches of the first rule for connections that applies; `None` when none does.
///
/// Source: Istio `buildSidecarOutboundTCPFilterChainOpts`, `matchTCP`.
pub(crate) fn tcp_branches(
    scope: &Scope<'_>,
    key: &ObjectKey,
    spec: &VirtualServiceSpec,
) -> Option<Vec<TcpBranch>> {
    let rule = spec.tcp.iter().find(|rule| {
        let mut blocks = rule.matches.iter().map(|block| Source {
            port: block.port,
            gateways: &block.gateways,
            labels: &block.source_labels,
            namespace: &block.source_namespace,
        });
        rule.matches.is_empty() || blocks.any(|source| source.fits(scope, key))
    })?;
    Some(forward::tcp_branches(scope, key, &rule.route))
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
        RouteAction::Redirect(redirect_to(redirect, scope.port))
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
        matches: route_match(block)?,
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
        filters: FilterSettings {
            cors: rule.cors_policy.as_ref().map(cors).transpose()?,
            ..FilterSettings::default()
        },
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

fn redirect_to(redirect: &aviary_api::virtual_service::HttpRedirect, asked: u16) -> Redirect {
    // Source: Istio `ApplyRedirect`.
    let derived = (redirect.derive_port == "FROM_REQUEST_PORT").then_some(asked);
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    Redirect {
        scheme: some(&redirect.scheme),
        host: some(&redirect.authority),
        port: (redirect.port.and_then(|port| u16::try_from(port).ok())).or(derived),
        path: some(&redirect.uri),
        prefix: None,
        status: redirect.redirect_code.map_or(301, status),
        ..Redirect::default()
    }
}

/// Source: Istio `TranslateCORSPolicy`.
fn cors(wanted: &aviary_api::virtual_service::CorsPolicy) -> Result<Arc<Cors>, String> {
    let mut allow_origins = condition::origins(&wanted.allow_origins)?;
    if allow_origins.is_empty() {
        let older = wanted.allow_origin.iter().cloned();
        allow_origins = older.map(StringMatch::Exact).map(Text::from).collect();
    }
    Ok(Arc::new(Cors {
        allow_origins,
        allow_methods: wanted.allow_methods.join(","),
        allow_headers: wanted.allow_headers.join(","),
        expose_headers: wanted.expose_headers.join(","),
        max_age: (wanted.max_age.as_deref())
            .and_then(|text| duration::parse(text).ok())
            .map(|time| time.as_secs().to_string())
            .unwrap_or_default(),
        allow_credentials: wanted.allow_credentials.unwrap_or(false),
        forward_unmatched_preflights: wanted.unmatched_preflights != "IGNORE",
        ..Cors::default()
    }))
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
        let grpc_status = abort.grpc_code();
        let status = match grpc_status {
            Some(_) => 200,
            None => status(abort.http_status?),
        };
        (percent > 0.0).then_some(FaultAbort {
            status,
            grpc_status,
            percent,
        })
    });
    (delay.is_some() || abort.is_some()).then(|| Fault {
        delay,
        abort,
        ..Fault::default()
    })
}
