//! The parts of a configuration as rows.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;

use aviary_mesh::listener::{ChainAction, ChainMatch, Listener, RouteSource};
use aviary_mesh::route::{PathMatch, Route, RouteAction, RouteTable};
use aviary_mesh::{Cluster, Discovery, Endpoint, FilterChain, MeshConfig};
use serde::Serialize;
use serde_json::{Value, json};

use super::Dump;
use super::table::Table;
use crate::cli::{ProxyFilter, ProxyPart};

/// A part as a table for people and as data for programs.
pub(super) fn of(part: ProxyPart, dump: &Dump, live: &str, filter: &ProxyFilter) -> (Table, Value) {
    match part {
        ProxyPart::Listeners => listeners(&dump.config, filter),
        ProxyPart::Routes => routes(&dump.config, filter),
        ProxyPart::Clusters => clusters(&dump.config, filter),
        ProxyPart::Endpoints => endpoints(&dump.config, live, filter),
        ProxyPart::Secrets | ProxyPart::Stats => secrets(&dump.secrets, filter),
    }
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

fn text(of: Option<impl Display>) -> String {
    of.map(|it| it.to_string()).unwrap_or_default()
}

fn listeners(config: &MeshConfig, filter: &ProxyFilter) -> (Table, Value) {
    let mut table = Table::new(&["NAME", "ADDRESS", "PORT", "MATCH", "DESTINATION"]);
    let mut data = Vec::new();
    for listener in config.listeners.values() {
        let port = listener.address.port();
        if !filter.fits_name(&listener.name) || !filter.fits_port(port) {
            continue;
        }
        data.push(value(&**listener));
        for (condition, chain) in chains(listener) {
            table.row([
                listener.name.clone(),
                listener.address.ip().to_string(),
                port.to_string(),
                condition,
                destination(chain),
            ]);
        }
    }
    (table, data.into())
}

fn chains(listener: &Listener) -> Vec<(String, &FilterChain)> {
    let own = listener
        .chains
        .iter()
        .map(|chain| (condition(&chain.matches), chain));
    let rest = listener
        .default_chain
        .iter()
        .map(|chain| ("otherwise".to_owned(), chain));
    own.chain(rest).collect()
}

fn condition(matches: &ChainMatch) -> String {
    let mut parts = Vec::new();
    parts.extend(
        matches
            .transport_protocol
            .iter()
            .map(|it| format!("transport {it}")),
    );
    if !matches.application_protocols.is_empty() {
        parts.push(format!(
            "protocol {}",
            matches.application_protocols.join(",")
        ));
    }
    if !matches.server_names.is_empty() {
        parts.push(format!("SNI {}", matches.server_names.join(",")));
    }
    parts.extend(
        matches
            .destination_ranges
            .iter()
            .map(|it| format!("to {it}")),
    );
    parts.extend(
        matches
            .destination_port
            .iter()
            .map(|it| format!("port {it}")),
    );
    if parts.is_empty() {
        parts.push("all".to_owned());
    }
    parts.join("; ")
}

fn destination(chain: &FilterChain) -> String {
    match &chain.action {
        ChainAction::Http(http) => match &http.routes {
            RouteSource::Named(name) => format!("routes {name}"),
            RouteSource::Inline(table) => format!("routes {} (inline)", table.name),
        },
        ChainAction::Tcp(tcp) => format!("TCP {}", names(&value(tcp))),
    }
}

/// The cluster of a TCP chain, or its clusters with their weights.
fn names(tcp: &Value) -> String {
    match (&tcp["cluster"], &tcp["clusters"]) {
        (Value::String(name), _) if !name.is_empty() => name.clone(),
        (_, Value::Array(branches)) => {
            let branch = |it: &Value| it["name"].as_str().unwrap_or_default().to_owned();
            branches.iter().map(branch).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    }
}

fn routes(config: &MeshConfig, filter: &ProxyFilter) -> (Table, Value) {
    let mut table = Table::new(&["NAME", "VIRTUAL HOST", "DOMAINS", "MATCH", "TO", "FROM"]);
    let mut data = Vec::new();
    let chains = config
        .listeners
        .values()
        .flat_map(|it| it.chains.iter().chain(&it.default_chain));
    let inline = chains.filter_map(|chain| match &chain.action {
        ChainAction::Http(http) => match &http.routes {
            RouteSource::Inline(table) => Some(&**table),
            RouteSource::Named(_) => None,
        },
        ChainAction::Tcp(_) => None,
    });
    for routes in config.routes.values().map(|it| &**it).chain(inline) {
        if filter.fits_name(&routes.name) {
            data.push(value(routes));
            rows_of(routes, &mut table);
        }
    }
    (table, data.into())
}

fn rows_of(routes: &RouteTable, table: &mut Table) {
    for host in &routes.virtual_hosts {
        let domains = match host.domains.as_slice() {
            [first, rest @ ..] if !rest.is_empty() => format!("{first} + {} more", rest.len()),
            domains => domains.join(","),
        };
        for route in &host.routes {
            table.row([
                routes.name.clone(),
                host.name.clone(),
                domains.clone(),
                asked(route),
                target(route),
                route
                    .origin
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            ]);
        }
    }
}

fn asked(route: &Route) -> String {
    let path = match &route.matches.path {
        PathMatch::Prefix(path) | PathMatch::SegmentPrefix(path) => format!("{path}*"),
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Regex(path) => format!("~{}", path.source()),
    };
    let headers = route
        .matches
        .headers
        .iter()
        .map(|it| format!("header {}", it.name));
    let query = route
        .matches
        .query
        .iter()
        .map(|it| format!("query {}", it.name));
    std::iter::once(path)
        .chain(headers)
        .chain(query)
        .collect::<Vec<_>>()
        .join("; ")
}

fn target(route: &Route) -> String {
    match &route.action {
        RouteAction::Redirect(redirect) => format!("redirect {}", redirect.status),
        RouteAction::Direct(direct) => format!("answer {}", direct.status),
        RouteAction::Forward(forward) => match forward.clusters.as_slice() {
            [only] => only.name.clone(),
            branches => {
                let branch = |(share, name)| format!("{share} {name}");
                shares(branches.iter().map(|it| (it.weight, it.name.as_str())))
                    .into_iter()
                    .map(branch)
                    .collect::<Vec<_>>()
                    .join(", ")
            }
        },
    }
}

/// Weights as percentages.
pub(crate) fn shares<'a>(branches: impl Iterator<Item = (u32, &'a str)>) -> Vec<(String, &'a str)> {
    let branches: Vec<_> = branches.collect();
    let total: f64 = branches.iter().map(|(weight, _)| f64::from(*weight)).sum();
    let share = |weight: u32| match (branches.len(), total) {
        (1, _) => 100.0,
        (_, total) if total > 0.0 => f64::from(weight) * 100.0 / total,
        _ => 0.0,
    };
    branches
        .iter()
        .map(|(weight, name)| {
            (
                format!("{} %", (share(*weight) * 100.0).round() / 100.0),
                *name,
            )
        })
        .collect()
}

/// The parts of a cluster's name: service, port, subset, direction.
fn parts(cluster: &str) -> [String; 4] {
    let parts: Vec<_> = cluster.split('|').map(str::to_owned).collect();
    match parts.as_slice() {
        [direction, port, subset, host] => [
            host.clone(),
            port.clone(),
            subset.clone(),
            direction.clone(),
        ],
        _ => [
            cluster.to_owned(),
            String::new(),
            String::new(),
            String::new(),
        ],
    }
}

fn fits(filter: &ProxyFilter, cluster: &str) -> bool {
    let [host, port, _, direction] = parts(cluster);
    let port = port.parse().ok();
    let any_port = filter.port.is_none();
    filter.fits_name(cluster)
        && filter.fits_fqdn(&host)
        && filter.fits_direction(&direction)
        && port.map_or(any_port, |port| filter.fits_port(port))
}

fn clusters(config: &MeshConfig, filter: &ProxyFilter) -> (Table, Value) {
    let mut table = Table::new(&["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE"]);
    let mut data = Vec::new();
    for cluster in config.clusters.values().filter(|it| fits(filter, &it.name)) {
        let kind = match &cluster.discovery {
            Discovery::Eds => "EDS",
            Discovery::OriginalDst => "ORIGINAL_DST",
            Discovery::Static(_) => "STATIC",
            Discovery::Dns(_) => "DNS",
        };
        table.row(parts(&cluster.name).into_iter().chain([kind.to_owned()]));
        data.push(value(&**cluster));
    }
    (table, data.into())
}

/// The endpoints that a cluster is configured with.
pub(crate) fn endpoints_of<'a>(config: &'a MeshConfig, cluster: &'a Cluster) -> &'a [Endpoint] {
    match &cluster.discovery {
        Discovery::Static(endpoints) => endpoints,
        _ => config
            .endpoints
            .get(&cluster.name)
            .map_or(&[][..], |set| &set.endpoints),
    }
}

/// What the page `/clusters` says of the endpoints' health, by cluster and address.
pub(crate) fn health(live: &str) -> HashMap<(String, SocketAddr), String> {
    let mut all = HashMap::new();
    for line in live.lines() {
        let Some((place, flags)) = line.split_once("::health_flags::") else {
            continue;
        };
        let Some((cluster, address)) = place.rsplit_once("::") else {
            continue;
        };
        if let Ok(address) = address.parse() {
            let known: &mut String = all.entry((cluster.to_owned(), address)).or_default();
            // A worker may have ejected what another one has not.
            if known.is_empty() || known == "healthy" {
                flags.clone_into(known);
            }
        }
    }
    all
}

fn endpoints(config: &MeshConfig, live: &str, filter: &ProxyFilter) -> (Table, Value) {
    let mut table = Table::new(&["ENDPOINT", "STATUS", "WEIGHT", "WORKLOAD", "CLUSTER"]);
    let mut data = Vec::new();
    let health = health(live);
    for cluster in config.clusters.values().filter(|it| fits(filter, &it.name)) {
        for endpoint in endpoints_of(config, cluster) {
            let status = health.get(&(cluster.name.clone(), endpoint.address));
            table.row([
                endpoint.address.to_string(),
                text(status.map(|flags| flags.trim_start_matches('/'))),
                endpoint.weight.to_string(),
                endpoint.workload.workload.clone(),
                cluster.name.clone(),
            ]);
            data.push(json!({
                "cluster": cluster.name, "status": status, "endpoint": value(endpoint),
            }));
        }
    }
    (table, data.into())
}

fn secrets(secrets: &Value, filter: &ProxyFilter) -> (Table, Value) {
    let mut table = Table::new(&["NAME", "KIND"]);
    let mut data = Vec::new();
    for secret in secrets.as_array().into_iter().flatten() {
        let name = secret["name"].as_str().unwrap_or_default();
        if filter.fits_name(name) {
            let kind = secret["kind"]
                .as_object()
                .and_then(|kind| kind.keys().next());
            table.row([name.to_owned(), text(kind)]);
            data.push(secret.clone());
        }
    }
    (table, data.into())
}

#[cfg(test)]
mod tests;
