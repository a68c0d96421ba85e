//! Traffic from the network to the workload.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use aviary_api::selector;
use aviary_mesh::{
    FilterChain, Listener, MeshConfig, Route, RouteTable, VirtualHost,
    listener::{ChainMatch, Direction},
    route::{Retry, RouteAction},
};

use super::{INSPECT_TIMEOUT, http_chain, http_protocols, inline, tcp_chain};
use crate::{
    ProxyKey, Snapshot, cluster,
    service::{Port, Protocol, Service, Target},
    virtual_service::{default_route, operation},
};

/// Where inbound connections are redirected to.
const PORT: u16 = 15006;

/// Adds `virtualInbound` with a chain for each port of the workload that a Service leads to.
pub(crate) fn add(snapshot: &Snapshot, key: &ProxyKey, config: &mut MeshConfig) {
    let mut chains = vec![tcp_chain(
        "virtualInbound-blackhole",
        on_port(PORT),
        Direction::Inbound,
        cluster::BLACK_HOLE.to_owned(),
    )];
    let mut inspect = false;
    for (target, (service, port)) in ports(snapshot, key) {
        let cluster = cluster::inbound(snapshot, service, port, target);
        inspect |= port.protocol == Protocol::Auto;
        chains.extend(port_chains(service, port, target, &cluster.name));
        config
            .clusters
            .insert(cluster.name.clone(), Arc::new(cluster));
    }
    let listener = Listener {
        name: "virtualInbound".to_owned(),
        address: SocketAddr::from(([0, 0, 0, 0], PORT)),
        bind_to_port: true,
        use_original_dst: false,
        direction: Direction::Inbound,
        http_inspector: inspect,
        tls_inspector: false,
        inspect_timeout: INSPECT_TIMEOUT,
        chains,
        default_chain: Some(tcp_chain(
            "virtualInbound-catchall",
            ChainMatch::default(),
            Direction::Inbound,
            cluster::INBOUND_PASSTHROUGH.to_owned(),
        )),
        ..Listener::default()
    };
    config
        .listeners
        .insert(listener.name.clone(), Arc::new(listener));
}

/// The workload's ports by number, each with the first Service port that leads to it.
fn ports<'a>(snapshot: &'a Snapshot, key: &ProxyKey) -> BTreeMap<u16, (&'a Service, &'a Port)> {
    let mut ports = BTreeMap::new();
    let own = |service: &&Arc<Service>| {
        service.key.namespace == key.namespace
            && !service.selector.is_empty()
            && selector::matches(&service.selector, &key.labels)
    };
    for service in snapshot.services.values().filter(own) {
        for port in &service.ports {
            if let Some(target) = target(snapshot, key, port) {
                ports
                    .entry(target)
                    .or_insert_with(|| (service.as_ref(), port));
            }
        }
    }
    ports
}

/// The number of a pod's port; names are looked up in pods of the same labels.
pub(crate) fn target(snapshot: &Snapshot, key: &ProxyKey, port: &Port) -> Option<u16> {
    match &port.target {
        Target::Number(number) => Some(*number),
        Target::Name(name) => {
            let pods = snapshot.pods.iter();
            let mut own = pods.filter(|(pod, workload)| {
                pod.namespace == key.namespace && workload.labels == key.labels
            });
            own.find_map(|(_, workload)| workload.ports.get(name).copied())
        }
    }
}

fn on_port(port: u16) -> ChainMatch {
    ChainMatch {
        destination_port: Some(port),
        ..ChainMatch::default()
    }
}

fn port_chains(service: &Service, port: &Port, target: u16, cluster: &str) -> Vec<FilterChain> {
    let tcp = || {
        let name = format!("0.0.0.0_{target}");
        tcp_chain(
            &name,
            on_port(target),
            Direction::Inbound,
            cluster.to_owned(),
        )
    };
    let http = |matches: ChainMatch| {
        let table = table(service, port, target, cluster);
        let prefix = format!("inbound_0.0.0.0_{target}");
        let name = format!("0.0.0.0_{target}_http");
        http_chain(&name, matches, prefix, Direction::Inbound, inline(table))
    };
    match port.protocol {
        Protocol::Http | Protocol::Http2 => vec![http(on_port(target))],
        Protocol::Tcp => vec![tcp()],
        Protocol::Auto => {
            let matches = ChainMatch {
                application_protocols: http_protocols(),
                ..on_port(target)
            };
            vec![http(matches), tcp()]
        }
    }
}

fn table(service: &Service, port: &Port, target: u16, cluster: &str) -> RouteTable {
    let mut route: Route = default_route(
        "default",
        cluster.to_owned(),
        operation(&service.host, port.number),
    );
    if let RouteAction::Forward(forward) = &mut route.action {
        forward.retry = (port.protocol != Protocol::Http2).then(unsent_retry);
    }
    RouteTable {
        name: cluster.to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: format!("inbound|http|{target}"),
            domains: vec!["*".to_owned()],
            routes: vec![route],
            include_attempt_count: false,
            ..VirtualHost::default()
        }],
        ignore_port_in_host: true,
        ..RouteTable::default()
    }
}

/// The application closed a kept connection just as a request was about to use it.
///
/// Source: Istio `BuildInboundRetryPolicy`.
fn unsent_retry() -> Retry {
    Retry {
        attempts: 2,
        on: vec!["reset-before-request".to_owned()],
        status_codes: Vec::new(),
        per_try_timeout: None,
        avoid_previous: 0,
        base_interval: Duration::from_millis(25),
        guarded: true,
        ..Retry::default()
    }
}
