//! What a gateway workload is configured with.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use aviary_api::{
    gateway::{GatewaySpec, Server},
    names, selector,
    virtual_service::VirtualServiceSpec,
};
use aviary_mesh::{
    ChainAction, FilterChain, Listener, MeshConfig, Route, RouteTable, VirtualHost,
    access_log::AccessLog,
    listener::{ChainMatch, Direction, HttpChain, RouteSource},
};

use crate::{
    Diagnostic, ObjectKey, ProxyKey, Snapshot, overlay,
    sidecar::{self, SERVER_NAME, tracing},
    snapshot::Entry,
    virtual_service::{self, Scope},
};

/// A server of a Gateway that this workload serves.
struct Served<'a> {
    gateway: &'a Entry<GatewaySpec>,
    server: &'a Server,
    number: u16,
}

/// Adds a listener and a route table for each port.
pub(crate) fn add(
    snapshot: &Snapshot,
    key: &ProxyKey,
    config: &mut MeshConfig,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for (port, servers) in servers(snapshot, key) {
        let name = format!("http.{port}");
        let table = table(snapshot, key, &name, port, &servers, diagnostics);
        let listener = listener(port, &name);
        config.routes.insert(name, Arc::new(table));
        config
            .listeners
            .insert(listener.name.clone(), Arc::new(listener));
    }
}

/// The servers of all Gateways that select this workload, by the port that the workload binds,
/// older Gateways first.
fn servers<'a>(snapshot: &'a Snapshot, key: &ProxyKey) -> BTreeMap<u16, Vec<Served<'a>>> {
    let selected =
        |gateway: &&Arc<Entry<GatewaySpec>>| selector::matches(&gateway.spec.selector, &key.labels);
    let mut gateways: Vec<&Arc<Entry<GatewaySpec>>> =
        snapshot.gateways.values().filter(selected).collect();
    gateways.sort_by(|a, b| a.age().cmp(&b.age()));
    let mut ports: BTreeMap<u16, Vec<Served<'a>>> = BTreeMap::new();
    for gateway in gateways {
        for server in &gateway.spec.servers {
            let Ok(number) = u16::try_from(server.port.number) else {
                continue;
            };
            let port = bound_port(snapshot, key, number);
            ports.entry(port).or_default().push(Served {
                gateway,
                server,
                number,
            });
        }
    }
    ports
}

/// The pod's port behind the Service port `number`; the number itself when no Service has it.
fn bound_port(snapshot: &Snapshot, key: &ProxyKey, number: u16) -> u16 {
    let own = snapshot.services.values().filter(|service| {
        service.key.namespace == key.namespace
            && !service.selector.is_empty()
            && selector::matches(&service.selector, &key.labels)
    });
    let mut ports = own.flat_map(|service| &service.ports);
    ports
        .find(|port| port.number == number)
        .and_then(|port| sidecar::inbound::target(snapshot, key, port))
        .unwrap_or(number)
}

fn listener(port: u16, routes: &str) -> Listener {
    let name = format!("0.0.0.0_{port}");
    Listener {
        address: SocketAddr::from(([0, 0, 0, 0], port)),
        bind_to_port: true,
        use_original_dst: false,
        direction: Direction::Outbound,
        http_inspector: false,
        tls_inspector: false,
        inspect_timeout: Duration::ZERO,
        chains: vec![FilterChain {
            tls: None,
            name: name.clone(),
            matches: ChainMatch::default(),
            action: ChainAction::Http(HttpChain {
                stat_prefix: format!("outbound_{name}"),
                direction: Direction::Outbound,
                routes: RouteSource::Named(routes.to_owned()),
                use_remote_address: true,
                access_log: vec![AccessLog::istio()],
                server_name: SERVER_NAME.to_owned(),
                tracing: Some(tracing()),
                ..HttpChain::default()
            }),
            ..FilterChain::default()
        }],
        default_chain: None,
        name,
        ..Listener::default()
    }
}

/// The rules that serve one domain: by `VirtualService`, with the gateways and ports they come by.
#[derive(Default)]
struct Domain<'a> {
    rules: Vec<(&'a ObjectKey, &'a VirtualServiceSpec, BTreeSet<String>, u16)>,
}

fn table(
    snapshot: &Snapshot,
    key: &ProxyKey,
    name: &str,
    port: u16,
    servers: &[Served<'_>],
    diagnostics: &mut Vec<Diagnostic>,
) -> RouteTable {
    let mut domains: BTreeMap<String, Domain<'_>> = BTreeMap::new();
    let ordered = snapshot.live_by_age();
    for served in servers {
        let gateway = served.gateway.key.to_string();
        let only = BTreeSet::from([gateway.clone()]);
        for (owner, spec) in &ordered {
            if !virtual_service::is_bound(owner, spec, &only) {
                continue;
            }
            for host in shared_hosts(served, owner, spec) {
                let domain = domains.entry(host).or_default();
                let known = domain
                    .rules
                    .iter_mut()
                    .find(|(other, _, _, number)| *other == *owner && *number == served.number);
                match known {
                    Some((_, _, gateways, _)) => {
                        gateways.insert(gateway.clone());
                    }
                    None => domain
                        .rules
                        .push((owner, spec, only.clone(), served.number)),
                }
            }
        }
    }
    let mut virtual_hosts: Vec<VirtualHost> = Vec::new();
    for (host, domain) in domains {
        let mut routes: Vec<(Scope<'_>, Route)> = Vec::new();
        for (owner, spec, gateways, number) in &domain.rules {
            let scope = Scope {
                snapshot,
                proxy: key,
                gateways,
                port: *number,
                host: &host,
            };
            let own = virtual_service::routes(&scope, owner, spec, diagnostics);
            routes.extend(own.into_iter().map(|route| (scope, route)));
        }
        // Several objects may end in a catch-all; it must not hide the rules of the next.
        routes.sort_by_key(|(_, route)| virtual_service::takes_everything(&route.matches));
        let routes = routes
            .into_iter()
            .flat_map(|(scope, route)| overlay::routes(&scope, route, diagnostics))
            .collect();
        virtual_hosts.push(VirtualHost {
            name: format!("{host}:{port}"),
            domains: vec![host],
            routes,
            include_attempt_count: true,
            ..VirtualHost::default()
        });
    }
    if virtual_hosts.is_empty() {
        virtual_hosts.push(VirtualHost {
            name: format!("blackhole:{port}"),
            domains: vec!["*".to_owned()],
            ..VirtualHost::default()
        });
    }
    RouteTable {
        name: name.to_owned(),
        virtual_hosts,
        ignore_port_in_host: true,
        ..RouteTable::default()
    }
}

/// The hosts of a `VirtualService` that a server serves, each narrowed to what both name.
///
/// Source: Istio `getHostsFromSlashFormat` and `host.Names.Intersection`.
fn shared_hosts(served: &Served<'_>, owner: &ObjectKey, spec: &VirtualServiceSpec) -> Vec<String> {
    let mut hosts = Vec::new();
    for pattern in &served.server.hosts {
        let (namespace, pattern) = pattern.split_once('/').unwrap_or(("*", pattern));
        let allowed = match namespace {
            "*" => true,
            "." => owner.namespace == served.gateway.key.namespace,
            other => owner.namespace == other,
        };
        if !allowed {
            continue;
        }
        let pattern = names::expand_host(pattern, &served.gateway.key.namespace);
        for host in &spec.hosts {
            let host = names::expand_host(host, &owner.namespace);
            if let Some(shared) = names::host_intersection(&host, &pattern)
                && hosts.iter().all(|known| known != shared)
            {
                hosts.push(shared.to_owned());
            }
        }
    }
    hosts
}
