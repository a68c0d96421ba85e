//! Clusters and their endpoints.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aviary_api::{
    destination_rule::{Subset, TrafficPolicy},
    selector::{self, Labels},
};
use aviary_mesh::{
    Cluster, Discovery, Endpoint, EndpointSet, MeshConfig,
    cluster::{Balance, Limits, UpstreamProtocol},
    endpoint::WorkloadLabels,
};

use crate::{
    ProxyKey, ProxyKind, Snapshot,
    destination_rule::{self, Policy, Rule},
    service::{Port, Protocol, Service},
};

/// Sends to where the connection was meant to go.
pub(crate) const PASSTHROUGH: &str = "PassthroughCluster";
/// The same on the inbound side.
pub(crate) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";
/// Sends nowhere.
pub(crate) const BLACK_HOLE: &str = "BlackHoleCluster";
/// Istio's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Inbound connections to the application come from here, so that they are not redirected again.
const INBOUND_SOURCE: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 6);

/// `outbound|<port>|<subset>|<host>`.
pub(crate) fn outbound_name(port: u16, subset: &str, host: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

/// `inbound|<port>||`.
pub(crate) fn inbound_name(port: u16) -> String {
    format!("inbound|{port}||")
}

/// One cluster to be: a port of a Service, or a subset of it.
struct Wanted<'a> {
    name: String,
    service: &'a Service,
    port: &'a Port,
    subset: Option<&'a Subset>,
    rule: Option<&'a TrafficPolicy>,
}

/// Adds the clusters to all Services, the fixed ones, and their endpoints.
pub(crate) fn add_outbound(snapshot: &Snapshot, key: &ProxyKey, config: &mut MeshConfig) {
    let mut add = |cluster: Cluster| {
        config
            .clusters
            .insert(cluster.name.clone(), Arc::new(cluster));
    };
    let original = bare(
        PASSTHROUGH.to_owned(),
        Discovery::OriginalDst,
        UpstreamProtocol::Tcp,
    );
    add(bare(
        BLACK_HOLE.to_owned(),
        Discovery::Static(Vec::new()),
        UpstreamProtocol::Tcp,
    ));
    if key.kind == ProxyKind::Sidecar {
        add(Cluster {
            source_address: Some(INBOUND_SOURCE.into()),
            ..bare(
                INBOUND_PASSTHROUGH.to_owned(),
                Discovery::OriginalDst,
                UpstreamProtocol::Tcp,
            )
        });
        add(original);
    }
    for_each(snapshot, key, |wanted| {
        let discovery = if wanted.service.addresses.is_empty() && key.kind == ProxyKind::Sidecar {
            Discovery::OriginalDst
        } else {
            Discovery::Eds
        };
        let mut cluster = bare(wanted.name, discovery, upstream(wanted.port.protocol));
        let own = wanted
            .subset
            .and_then(|subset| subset.traffic_policy.as_ref());
        Policy::layered(wanted.rule, own, wanted.port.number).apply(&mut cluster);
        cluster.service = Some(wanted.service.labels());
        add(cluster);
    });
    add_endpoints(snapshot, key, config);
}

/// Adds the endpoints of all clusters that have them sent.
pub(crate) fn add_endpoints(snapshot: &Snapshot, key: &ProxyKey, config: &mut MeshConfig) {
    for_each(snapshot, key, |wanted| {
        let is_sent = |cluster: &Arc<Cluster>| cluster.discovery == Discovery::Eds;
        if config.clusters.get(&wanted.name).is_some_and(is_sent) {
            let none = Labels::new();
            let labels = wanted.subset.map_or(&none, |subset| &subset.labels);
            let set = EndpointSet {
                endpoints: endpoints(snapshot, wanted.service, wanted.port, labels),
                cluster: wanted.name.clone(),
                ..EndpointSet::default()
            };
            config.endpoints.insert(wanted.name, Arc::new(set));
        }
    });
}

fn for_each<'a>(snapshot: &'a Snapshot, key: &ProxyKey, mut visit: impl FnMut(Wanted<'a>)) {
    for service in snapshot.services.values() {
        let rule = destination_rule::find(snapshot, &key.namespace, service).unwrap_or_default();
        for port in &service.ports {
            let wanted = |subset: Option<&'a Subset>, rule: Option<&'a TrafficPolicy>| Wanted {
                name: outbound_name(
                    port.number,
                    subset.map_or("", |subset| &subset.name),
                    &service.host,
                ),
                service,
                port,
                subset,
                rule,
            };
            visit(wanted(None, rule.policy));
            for subset in &rule.subsets {
                visit(wanted(Some(subset), rule.policy));
            }
            for form in kept(snapshot, service, &rule) {
                visit(wanted(Some(&form.subset), form.traffic_policy.as_ref()));
            }
        }
    }
}

/// Subsets that routes in force need and that no rule declares any more.
fn kept<'a>(
    snapshot: &'a Snapshot,
    service: &'a Service,
    rule: &Rule<'a>,
) -> impl Iterator<Item = &'a crate::live::SubsetForm> {
    let declared: Vec<&str> = rule
        .subsets
        .iter()
        .map(|subset| subset.name.as_str())
        .collect();
    snapshot
        .retained
        .values()
        .filter(|form| form.host == service.host)
        .filter(move |form| !declared.contains(&form.subset.name.as_str()))
}

/// The cluster of a workload's own port, seen from its sidecar.
pub(crate) fn inbound(snapshot: &Snapshot, service: &Service, port: &Port, target: u16) -> Cluster {
    let mut cluster = bare(
        inbound_name(target),
        Discovery::OriginalDst,
        upstream(port.protocol),
    );
    let rule =
        destination_rule::find(snapshot, &service.key.namespace, service).unwrap_or_default();
    Policy::layered(rule.policy, None, port.number).apply_pool(&mut cluster);
    cluster.source_address = Some(INBOUND_SOURCE.into());
    cluster.service = Some(service.labels());
    cluster
}

fn bare(name: String, discovery: Discovery, protocol: UpstreamProtocol) -> Cluster {
    Cluster {
        name,
        discovery,
        connect_timeout: CONNECT_TIMEOUT,
        balance: Balance::LeastRequest,
        limits: Limits::default(),
        outlier: None,
        protocol,
        source_address: None,
        idle_timeout: None,
        service: None,
        ..Cluster::default()
    }
}

fn upstream(protocol: Protocol) -> UpstreamProtocol {
    match protocol {
        Protocol::Http | Protocol::Auto => UpstreamProtocol::Http1,
        Protocol::Http2 => UpstreamProtocol::Http2,
        Protocol::Tcp => UpstreamProtocol::Tcp,
    }
}

fn endpoints(
    snapshot: &Snapshot,
    service: &Service,
    port: &Port,
    subset: &Labels,
) -> Vec<Endpoint> {
    let slices = snapshot.slices.get(&service.key);
    let mut found: Vec<Endpoint> = Vec::new();
    for slice in slices.iter().flat_map(|slices| slices.values()) {
        let Some((_, number)) = slice.ports.iter().find(|(name, _)| *name == port.name) else {
            continue;
        };
        for endpoint in &slice.endpoints {
            let pod = endpoint.pod.as_ref().and_then(|pod| snapshot.pods.get(pod));
            let chosen = match pod {
                Some(pod) => selector::matches(subset, &pod.labels),
                None => subset.is_empty(),
            };
            if chosen {
                let unknown = || {
                    let namespace = service.key.namespace.clone();
                    Arc::new(WorkloadLabels {
                        namespace,
                        ..WorkloadLabels::default()
                    })
                };
                found.push(Endpoint {
                    health: endpoint.health,
                    workload: pod.map_or_else(unknown, |pod| Arc::clone(&pod.names)),
                    ..Endpoint::new(SocketAddr::new(endpoint.address, *number))
                });
            }
        }
    }
    found.sort_by_key(|endpoint| endpoint.address);
    found.dedup_by_key(|endpoint| endpoint.address);
    found
}
