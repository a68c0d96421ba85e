//! Rules of `VirtualService`.

mod cors;
mod tcp;

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::{
    names,
    virtual_service::{
        Destination, Headers, HttpFault, HttpMatch, HttpRedirect, HttpRetry, HttpRewrite,
        HttpRoute, StringMatch, VirtualService,
    },
};

/// Adds what is wrong with the specification.
pub(super) fn check(object: &VirtualService, found: &mut Findings) {
    let spec = &object.spec;
    if spec.hosts.is_empty() {
        found.add("spec.hosts", "is empty; name at least one host");
    }
    let in_mesh = spec.gateways.is_empty() || spec.gateways.iter().any(|name| name == "mesh");
    let mut seen = BTreeSet::new();
    for (i, host) in spec.hosts.iter().enumerate() {
        let path = format!("spec.hosts[{i}]");
        found.host(&path, host);
        if !seen.insert(names::expand_host(host, object.namespace())) {
            found.add(&path, format!("`{host}` is here twice; remove one"));
        }
        if host == "*" && in_mesh {
            found.add(
                &path,
                "the host `*` is not allowed for the gateway `mesh`; name the hosts",
            );
        }
    }
    for (i, gateway) in spec.gateways.iter().enumerate() {
        check_gateway(&format!("spec.gateways[{i}]"), gateway, found);
    }
    if spec.http.is_empty() && spec.tcp.is_empty() {
        found.add("spec.http", "is empty; add at least one rule");
    }
    if !spec.tcp.is_empty() && !in_mesh {
        found.add(
            "spec.tcp",
            "is not honoured yet by Aviary at gateways; bind it to `mesh`",
        );
    }
    for (i, rule) in spec.tcp.iter().enumerate() {
        tcp::check(&format!("spec.tcp[{i}]"), rule, found);
    }
    for (i, route) in spec.http.iter().enumerate() {
        check_route(&format!("spec.http[{i}]"), route, found);
    }
}

fn check_gateway(path: &str, gateway: &str, found: &mut Findings) {
    let name = gateway.rsplit_once('/').map_or(gateway, |(_, name)| name);
    if name.is_empty() || !name.split('.').all(super::is_label) {
        found.add(
            path,
            format!("`{gateway}` is not a gateway; write `name` or `namespace/name`"),
        );
    }
}

fn check_route(path: &str, route: &HttpRoute, found: &mut Findings) {
    check_action(path, route, found);
    check_weights(path, route, found);
    for (below, destination) in route.destinations() {
        check_destination(&format!("{path}.{below}"), destination, found);
    }
    for (i, branch) in route.route.iter().enumerate() {
        check_headers(
            &format!("{path}.route[{i}].headers"),
            branch.headers.as_ref(),
            found,
        );
    }
    for (i, matches) in route.matches.iter().enumerate() {
        check_match(&format!("{path}.match[{i}]"), matches, found);
    }
    found.duration(&format!("{path}.timeout"), route.timeout.as_deref(), true);
    if let Some(retries) = &route.retries {
        check_retries(&format!("{path}.retries"), retries, found);
    }
    if let Some(fault) = &route.fault {
        check_fault(&format!("{path}.fault"), fault, found);
    }
    if let Some(rewrite) = &route.rewrite {
        check_rewrite(&format!("{path}.rewrite"), rewrite, found);
    }
    if route.mirror.is_some() && !route.mirrors.is_empty() {
        found.add(
            format!("{path}.mirror"),
            "cannot stand beside `mirrors`; use only `mirrors`",
        );
    }
    if let Some(percent) = route.mirror_percentage {
        found.percent(&format!("{path}.mirrorPercentage.value"), percent.value);
    }
    if let Some(percent) = route.mirror_percent {
        found.percent(&format!("{path}.mirrorPercent"), f64::from(percent));
    }
    for (i, mirror) in route.mirrors.iter().enumerate() {
        if let Some(percent) = mirror.percentage {
            found.percent(
                &format!("{path}.mirrors[{i}].percentage.value"),
                percent.value,
            );
        }
    }
    check_headers(&format!("{path}.headers"), route.headers.as_ref(), found);
    if let Some(cors) = &route.cors_policy {
        cors::check(&format!("{path}.corsPolicy"), cors, found);
    }
}

/// Exactly one of route, redirect and direct response.
fn check_action(path: &str, route: &HttpRoute, found: &mut Findings) {
    let actions = [
        (!route.route.is_empty(), "route"),
        (route.redirect.is_some(), "redirect"),
        (route.direct_response.is_some(), "directResponse"),
    ];
    let set: Vec<&str> = actions
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| *name)
        .collect();
    match set.as_slice() {
        [] => found.add(
            path,
            "has neither `route` nor `redirect` nor `directResponse`; add one",
        ),
        ["route"] => {}
        [one] => {
            if route.fault.is_some() || route.rewrite.is_some() {
                found.add(
                    path,
                    format!("`fault` and `rewrite` cannot stand beside `{one}`"),
                );
            }
        }
        several => found.add(path, format!("has {}; keep one", several.join(" and "))),
    }
    if let Some(redirect) = &route.redirect {
        check_redirect(&format!("{path}.redirect"), redirect, found);
    }
    if let Some(direct) = &route.direct_response {
        if !(200..=599).contains(&direct.status) {
            found.add(
                format!("{path}.directResponse.status"),
                format!("{} is not a status; use 200 to 599", direct.status),
            );
        }
        if direct
            .body
            .as_ref()
            .is_some_and(|body| body.string.len() > 1 << 20)
        {
            found.add(
                format!("{path}.directResponse.body"),
                "is larger than 1 MiB",
            );
        }
    }
}

fn check_redirect(path: &str, redirect: &HttpRedirect, found: &mut Findings) {
    if *redirect == HttpRedirect::default() {
        found.add(path, "is empty; set `uri`, `authority`, `port` or `scheme`");
    }
    if let Some(code) = redirect.redirect_code
        && !matches!(code, 301 | 302 | 303 | 307 | 308)
    {
        found.add(
            format!("{path}.redirectCode"),
            format!("{code} is not a redirect; use 301, 302, 303, 307 or 308"),
        );
    }
    if let Some(port) = redirect.port {
        found.port(&format!("{path}.port"), port);
    }
}

fn check_weights(path: &str, route: &HttpRoute, found: &mut Findings) {
    let mut total = 0_i64;
    for (i, branch) in route.route.iter().enumerate() {
        if branch.weight < 0 || branch.weight > i64::from(u32::MAX) {
            found.add(
                format!("{path}.route[{i}].weight"),
                format!("{} is not a weight; use 0 or more", branch.weight),
            );
        }
        total = total.saturating_add(branch.weight);
    }
    if route.route.len() > 1 && total == 0 {
        found.add(
            format!("{path}.route"),
            "the weights add up to 0; give at least one destination a weight",
        );
    }
    if total > i64::from(u32::MAX) {
        found.add(
            format!("{path}.route"),
            "the weights add up to more than 4294967295",
        );
    }
}

fn check_destination(path: &str, destination: &Destination, found: &mut Findings) {
    let host = &destination.host;
    if host.starts_with('*') {
        found.add(
            format!("{path}.host"),
            format!("`{host}` is a wildcard; name one host"),
        );
    } else {
        found.host(&format!("{path}.host"), host);
    }
    if destination.subset.starts_with('$') {
        found.add(
            format!("{path}.subset"),
            format!(
                "`{}`: subsets chosen by a traffic label are not honoured yet by Aviary",
                destination.subset
            ),
        );
    } else if !destination.subset.is_empty() && !super::is_label(&destination.subset) {
        found.add(
            format!("{path}.subset"),
            format!(
                "`{}` is not a subset name; use letters, digits and `-`",
                destination.subset
            ),
        );
    }
    if let Some(port) = &destination.port {
        found.port(&format!("{path}.port.number"), port.number);
    }
}

/// Adds what is wrong with conditions on a request.
pub(super) fn check_match(path: &str, matches: &HttpMatch, found: &mut Findings) {
    let parts = [
        ("uri", &matches.uri),
        ("scheme", &matches.scheme),
        ("method", &matches.method),
        ("authority", &matches.authority),
    ];
    for (name, part) in parts {
        if let Some(part) = part {
            check_string(&format!("{path}.{name}"), part, true, found);
        }
    }
    let maps: [(&str, &BTreeMap<String, StringMatch>); 3] = [
        ("headers", &matches.headers),
        ("withoutHeaders", &matches.without_headers),
        ("queryParams", &matches.query_params),
    ];
    for (name, map) in maps {
        for (key, part) in map {
            let path = format!("{path}.{name}[{key}]");
            check_string(&path, part, false, found);
            if key.starts_with('@') {
                found.add(
                    &path,
                    "matching on token claims is not honoured yet by Aviary",
                );
            } else if name != "queryParams" && !is_header_name(key) {
                found.add(&path, format!("`{key}` is not a header name"));
            }
        }
    }
    if let Some(port) = matches.port {
        found.port(&format!("{path}.port"), port);
    }
    for (i, gateway) in matches.gateways.iter().enumerate() {
        check_gateway(&format!("{path}.gateways[{i}]"), gateway, found);
    }
}

fn check_string(path: &str, matches: &StringMatch, needed: bool, found: &mut Findings) {
    let set = [&matches.exact, &matches.prefix, &matches.regex];
    let count = set.iter().filter(|part| part.is_some()).count();
    if count > 1 {
        found.add(
            path,
            "has more than one of `exact`, `prefix` and `regex`; keep one",
        );
    } else if count == 0 && needed {
        found.add(path, "is empty; set `exact`, `prefix` or `regex`");
    }
    if let Some(regex) = &matches.regex
        && regex != "*"
    {
        found.regex(&format!("{path}.regex"), regex);
    }
    if needed && matches.prefix.as_deref() == Some("") {
        found.add(
            format!("{path}.prefix"),
            "is empty; leave the condition out to match everything",
        );
    }
}

/// Source: Envoy's `x-envoy-retry-on` and `x-envoy-retry-grpc-on`.
const RETRY_CONDITIONS: [&str; 15] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

fn check_retries(path: &str, retries: &HttpRetry, found: &mut Findings) {
    if !(0..=100).contains(&retries.attempts) {
        found.add(
            format!("{path}.attempts"),
            format!(
                "{} is not a number of attempts; use 0 to 100",
                retries.attempts
            ),
        );
    }
    found.duration(
        &format!("{path}.perTryTimeout"),
        retries.per_try_timeout.as_deref(),
        true,
    );
    found.duration(
        &format!("{path}.backoff"),
        retries.backoff.as_deref(),
        false,
    );
    for part in retries
        .retry_on
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let status = part
            .parse::<u16>()
            .is_ok_and(|code| (100..=599).contains(&code));
        if !status && !RETRY_CONDITIONS.contains(&part) {
            found.add(
                format!("{path}.retryOn"),
                format!("`{part}` is neither a retry condition nor a status code"),
            );
        }
    }
}

fn check_fault(path: &str, fault: &HttpFault, found: &mut Findings) {
    if fault.delay.is_none() && fault.abort.is_none() {
        found.add(path, "has neither `delay` nor `abort`; add one");
    }
    if let Some(delay) = &fault.delay {
        if delay.fixed_delay.is_none() {
            found.add(
                format!("{path}.delay.fixedDelay"),
                "is missing; say how long, such as `7s`",
            );
        }
        found.duration(
            &format!("{path}.delay.fixedDelay"),
            delay.fixed_delay.as_deref(),
            false,
        );
        if let Some(percent) = delay.percentage {
            found.percent(&format!("{path}.delay.percentage.value"), percent.value);
        }
        if let Some(percent) = delay.percent
            && !(0..=100).contains(&percent)
        {
            found.add(
                format!("{path}.delay.percent"),
                format!("{percent} is not a percentage; use 0 to 100"),
            );
        }
    }
    if let Some(abort) = &fault.abort {
        if let Some(name) = &abort.grpc_status {
            let path = format!("{path}.abort.grpcStatus");
            if abort.http_status.is_some() {
                found.add(path, "cannot stand beside `httpStatus`; keep one");
            } else if abort.grpc_code().is_none() {
                let reason =
                    format!("`{name}` is not a gRPC status; use one such as `UNAVAILABLE`");
                found.add(path, reason);
            }
        }
        match abort.http_status {
            None if abort.grpc_status.is_some() => {}
            None => found.add(
                format!("{path}.abort.httpStatus"),
                "is missing; use 200 to 599",
            ),
            Some(status) if !(200..=599).contains(&status) => found.add(
                format!("{path}.abort.httpStatus"),
                format!("{status} is not a status; use 200 to 599"),
            ),
            Some(_) => {}
        }
        if let Some(percent) = abort.percentage {
            found.percent(&format!("{path}.abort.percentage.value"), percent.value);
        }
    }
}

fn check_rewrite(path: &str, rewrite: &HttpRewrite, found: &mut Findings) {
    if *rewrite == HttpRewrite::default() {
        found.add(
            path,
            "is empty; set `uri`, `authority` or `uriRegexRewrite`",
        );
    }
    if let Some(regex) = &rewrite.uri_regex_rewrite {
        if !rewrite.uri.is_empty() {
            found.add(path, "has `uri` and `uriRegexRewrite`; keep one");
        }
        if regex.pattern.is_empty() {
            found.add(
                format!("{path}.uriRegexRewrite.match"),
                "is empty; give an expression",
            );
        } else {
            found.regex(&format!("{path}.uriRegexRewrite.match"), &regex.pattern);
        }
    }
}

fn check_headers(path: &str, headers: Option<&Headers>, found: &mut Findings) {
    let Some(headers) = headers else { return };
    for (side, operations) in [
        ("request", &headers.request),
        ("response", &headers.response),
    ] {
        let Some(operations) = operations else {
            continue;
        };
        let sets = operations
            .set
            .iter()
            .map(|(name, value)| ("set", name, Some(value)));
        let adds = operations
            .add
            .iter()
            .map(|(name, value)| ("add", name, Some(value)));
        let removes = operations.remove.iter().map(|name| ("remove", name, None));
        for (verb, name, value) in sets.chain(adds).chain(removes) {
            let path = format!("{path}.{side}.{verb}[{name}]");
            if !is_header_name(name.strip_prefix(':').unwrap_or(name)) {
                found.add(&path, format!("`{name}` is not a header name"));
            }
            let Some(value) = value else { continue };
            if value.contains('%') {
                found.add(
                    &path,
                    "values with `%` (Envoy's variables) are not honoured yet by Aviary",
                );
            } else if value.bytes().any(|byte| byte < b' ' && byte != b'\t') {
                found.add(&path, "the value has control characters");
            }
        }
    }
}

/// Whether `name` is a token of RFC 9110, as names of headers and cookies are.
pub(super) fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
