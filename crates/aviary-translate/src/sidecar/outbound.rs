//! Traffic from the workload to the network.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use aviary_api::names;
use aviary_mesh::{
    ChainAction, FilterChain, Listener, MeshConfig, Route, RouteTable, VirtualHost,
    listener::{ChainMatch, Direction, TcpBranch},
    route::{HashOf, HashPolicy, RouteAction},
};

use super::{INSPECT_TIMEOUT, http_chain, http_protocols, named, tcp_chain};
use crate::{
    Diagnostic, ProxyKey, Snapshot, cluster, destination_rule, overlay,
    service::{Port, Protocol, Service},
    virtual_service::{self, Scope, default_route, operation},
};

/// Where outbound connections are redirected to.
const PORT: u16 = 15001;
/// Hosts that are no Services are routed on this port (Istio's choice).
const PLAIN_PORT: u16 = 80;

/// Adds `virtualOutbound`, a listener per port and the route tables.
pub(crate) fn add(
    snapshot: &Snapshot,
    key: &ProxyKey,
    config: &mut MeshConfig,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut add = |listener: Listener| {
        config
            .listeners
            .insert(listener.name.clone(), Arc::new(listener));
    };
    let passthrough = tcp_chain(
        "virtualOutbound-catchall-tcp",
        ChainMatch::default(),
        Direction::Outbound,
        cluster::PASSTHROUGH.to_owned(),
    );
    add(Listener {
        bind_to_port: true,
        use_original_dst: true,
        default_chain: Some(passthrough),
        ..unbound(
            "virtualOutbound".to_owned(),
            SocketAddr::from(([0, 0, 0, 0], PORT)),
            vec![],
        )
    });
    let mut tables: BTreeMap<u16, Hosts> = BTreeMap::new();
    let mut alone: BTreeMap<String, Hosts> = BTreeMap::new();
    for service in snapshot.services.values() {
        for port in &service.ports {
            match port.protocol {
                Protocol::Http | Protocol::Http2 => {
                    let table = tables.entry(port.number).or_default();
                    table.add_service(snapshot, key, service, port, diagnostics);
                }
                Protocol::Tcp => {
                    let hash = hash_of(snapshot, key, service, port);
                    let by_source = hash.is_some_and(|hash| hash.of == HashOf::SourceIp);
                    let clusters = tcp_clusters(snapshot, key, service, port);
                    for address in &service.addresses {
                        let mut listener = tcp_listener(service, port, by_source, *address);
                        split(&mut listener.chains, &clusters);
                        add(listener);
                    }
                }
                Protocol::Auto => {
                    let table = alone
                        .entry(format!("{}:{}", service.host, port.number))
                        .or_default();
                    table.add_service(snapshot, key, service, port, diagnostics);
                    let clusters = tcp_clusters(snapshot, key, service, port);
                    for address in &service.addresses {
                        let mut listener = auto_listener(service, port, *address);
                        split(listener.default_chain.as_mut_slice(), &clusters);
                        add(listener);
                    }
                }
            }
        }
    }
    if let Some(table) = tables.get_mut(&PLAIN_PORT) {
        table.add_foreign(snapshot, key, diagnostics);
    }
    for port in tables.keys() {
        add(http_listener(*port));
    }
    let shared = tables
        .into_iter()
        .map(|(port, hosts)| (port.to_string(), hosts));
    for (name, hosts) in shared.chain(alone) {
        let table = hosts.into_table(name.clone());
        config.routes.insert(name, Arc::new(table));
    }
}

fn unbound(name: String, address: SocketAddr, chains: Vec<FilterChain>) -> Listener {
    Listener {
        name,
        address,
        bind_to_port: false,
        use_original_dst: false,
        direction: Direction::Outbound,
        http_inspector: false,
        tls_inspector: false,
        inspect_timeout: INSPECT_TIMEOUT,
        chains,
        default_chain: None,
        ..Listener::default()
    }
}

fn http_listener(port: u16) -> Listener {
    let name = format!("0.0.0.0_{port}");
    let prefix = format!("outbound_{name}");
    let routes = named(port.to_string());
    let chain = http_chain(
        &name,
        ChainMatch::default(),
        prefix,
        Direction::Outbound,
        routes,
    );
    unbound(name, SocketAddr::from(([0, 0, 0, 0], port)), vec![chain])
}

fn service_cluster(service: &Service, port: &Port) -> String {
    cluster::outbound_name(port.number, "", &service.host)
}

fn hash_of(
    snapshot: &Snapshot,
    key: &ProxyKey,
    service: &Service,
    port: &Port,
) -> Option<HashPolicy> {
    destination_rule::hash(snapshot, &key.namespace, service, "", port.number)
}

fn tcp_listener(service: &Service, port: &Port, by_source: bool, address: IpAddr) -> Listener {
    let name = format!("{address}_{}", port.number);
    let cluster = service_cluster(service, port);
    let mut chain = tcp_chain(&name, ChainMatch::default(), Direction::Outbound, cluster);
    if let ChainAction::Tcp(tcp) = &mut chain.action {
        tcp.hash_source_ip = by_source;
    }
    unbound(name, SocketAddr::new(address, port.number), vec![chain])
}

/// Where connections to a port are sent: by the user's rules, else to the Service.
fn tcp_clusters(
    snapshot: &Snapshot,
    key: &ProxyKey,
    service: &Service,
    port: &Port,
) -> Vec<TcpBranch> {
    let gateways = mesh();
    let scope = Scope {
        snapshot,
        proxy: key,
        gateways: &gateways,
        port: port.number,
        host: &service.host,
    };
    let owner = snapshot.mesh_owner(&service.host);
    let branches = owner
        .and_then(|(owner, spec)| virtual_service::tcp_branches(&scope, owner, spec))
        .filter(|branches| !branches.is_empty())
        .unwrap_or_else(|| TcpBranch::only(service_cluster(service, port)));
    overlay::tcp(&scope, branches)
}

/// Gives the chains these clusters.
fn split(chains: &mut [FilterChain], clusters: &[TcpBranch]) {
    for chain in chains {
        if let ChainAction::Tcp(tcp) = &mut chain.action {
            tcp.clusters = clusters.to_vec();
        }
    }
}

fn auto_listener(service: &Service, port: &Port, address: IpAddr) -> Listener {
    let name = format!("{address}_{}", port.number);
    let matches = ChainMatch {
        application_protocols: http_protocols(),
        ..ChainMatch::default()
    };
    let routes = named(format!("{}:{}", service.host, port.number));
    let prefix = format!("outbound_{name}");
    let http = http_chain(
        &format!("{name}_http"),
        matches,
        prefix,
        Direction::Outbound,
        routes,
    );
    let cluster = service_cluster(service, port);
    let tcp = tcp_chain(&name, ChainMatch::default(), Direction::Outbound, cluster);
    Listener {
        http_inspector: true,
        tls_inspector: false,
        default_chain: Some(tcp),
        ..unbound(name, SocketAddr::new(address, port.number), vec![http])
    }
}

/// The virtual hosts of a table to be, with domains unique.
#[derive(Default)]
struct Hosts {
    domains: BTreeSet<String>,
    virtual_hosts: Vec<VirtualHost>,
}

impl Hosts {
    fn add_service(
        &mut self,
        snapshot: &Snapshot,
        key: &ProxyKey,
        service: &Service,
        port: &Port,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let gateways = mesh();
        let scope = Scope {
            snapshot,
            proxy: key,
            gateways: &gateways,
            port: port.number,
            host: &service.host,
        };
        let routes = match snapshot.mesh_owner(&service.host) {
            Some((owner, spec)) if !spec.http.is_empty() => {
                virtual_service::routes(&scope, owner, spec, diagnostics)
            }
            _ => {
                let mut route = default_route(
                    "default",
                    service_cluster(service, port),
                    operation(&service.host, port.number),
                );
                if let RouteAction::Forward(forward) = &mut route.action {
                    let hash = hash_of(snapshot, key, service, port);
                    forward.hash = hash.into_iter().collect();
                }
                vec![route]
            }
        };
        self.add(
            format!("{}:{}", service.host, port.number),
            domains(service, key),
            by_version(&scope, routes, diagnostics),
        );
    }

    /// Adds the hosts of rules that are no Services.
    fn add_foreign(
        &mut self,
        snapshot: &Snapshot,
        key: &ProxyKey,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let gateways = mesh();
        for host in snapshot.mesh_hosts() {
            let covers = |service: &Arc<Service>| names::host_covers(&host, &service.host);
            if snapshot.services.values().any(covers) {
                continue;
            }
            let Some((owner, spec)) = snapshot.mesh_owner(&host) else {
                continue;
            };
            let scope = Scope {
                snapshot,
                proxy: key,
                gateways: &gateways,
                port: PLAIN_PORT,
                host: &host,
            };
            let routes = virtual_service::routes(&scope, owner, spec, diagnostics);
            let routes = by_version(&scope, routes, diagnostics);
            self.add(format!("{host}:{PLAIN_PORT}"), vec![host.clone()], routes);
        }
    }

    fn add(&mut self, name: String, mut domains: Vec<String>, routes: Vec<Route>) {
        domains.retain(|domain| self.domains.insert(domain.clone()));
        if !domains.is_empty() {
            let include_attempt_count = true;
            self.virtual_hosts.push(VirtualHost {
                name,
                domains,
                routes,
                include_attempt_count,
                ..VirtualHost::default()
            });
        }
    }

    fn into_table(mut self, name: String) -> RouteTable {
        let passthrough = cluster::PASSTHROUGH;
        let mut any = default_route("allow_any", passthrough.to_owned(), passthrough.to_owned());
        if let RouteAction::Forward(forward) = &mut any.action {
            forward.retry = None;
        }
        self.add("allow_any".to_owned(), vec!["*".to_owned()], vec![any]);
        RouteTable {
            name,
            virtual_hosts: self.virtual_hosts,
            ignore_port_in_host: true,
            ..RouteTable::default()
        }
    }
}

/// With the overlays of Releases.
fn by_version(
    scope: &Scope<'_>,
    routes: Vec<Route>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Route> {
    let routes = routes.into_iter();
    routes
        .flat_map(|route| overlay::routes(scope, route, diagnostics))
        .collect()
}

fn mesh() -> BTreeSet<String> {
    BTreeSet::from([names::MESH_GATEWAY.to_owned()])
}

/// The names under which a client calls a Service.
///
/// Source: Istio `generateVirtualHostDomains`.
fn domains(service: &Service, key: &ProxyKey) -> Vec<String> {
    let (name, namespace) = (&service.key.name, &service.key.namespace);
    let mut domains = vec![service.host.clone()];
    if *namespace == key.namespace {
        domains.push(name.clone());
    }
    domains.push(format!("{name}.{namespace}"));
    domains.push(format!("{name}.{namespace}.svc"));
    domains.extend(service.addresses.iter().map(|address| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }));
    domains
}
