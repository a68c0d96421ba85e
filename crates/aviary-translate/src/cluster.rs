//! Clusters and their endpoints.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Duration};

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
    overlay,
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

/// Port, subset and host of a name by [`outbound_name`].
pub(crate) fn outbound_parts(name: &str) -> Option<(u16, &str, &str)> {
    let mut parts = name.strip_prefix("outbound|")?.splitn(3, '|');
    let port = parts.next()?.parse().ok()?;
    Some((port, parts.next()?, parts.next()?))
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
    subset: Option<Cow<'a, Subset>>,
    rule: Option<&'a TrafficPolicy>,
    /// The version whose endpoints take over while there is no ready one.
    fallback: Option<&'a str>,
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
            .as_ref()
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
            let subset = wanted.subset.as_ref();
            let labels = subset.map_or(&none, |subset| &subset.labels);
            let mut set = EndpointSet {
                endpoints: endpoints(snapshot, wanted.service, wanted.port, labels),
                cluster: wanted.name.clone(),
                ..EndpointSet::default()
            };
            if let Some(fallback) = wanted.fallback {
                let labels = overlay::labels(fallback);
                let others = endpoints(snapshot, wanted.service, wanted.port, &labels);
                add_fallback(&mut set, others);
            }
            config.endpoints.insert(wanted.name, Arc::new(set));
        }
    });
}

/// Endpoints that take over when none of the set is healthy: any that is keeps everything, so that
/// a version that lost some of its pods does not give away some of its share.
fn add_fallback(set: &mut EndpointSet, others: Vec<Endpoint>) {
    /// One healthy endpoint of one.
    const WHOLE: u32 = 100;
    let count = u32::try_from(set.endpoints.len()).unwrap_or(u32::MAX);
    set.overprovisioning_percent = WHOLE.saturating_mul(count.max(1));
    let lower = others.into_iter().map(|endpoint| Endpoint {
        priority: 1,
        ..endpoint
    });
    set.endpoints.extend(lower);
}

fn for_each<'a>(snapshot: &'a Snapshot, key: &ProxyKey, mut visit: impl FnMut(Wanted<'a>)) {
    for service in snapshot.services.values() {
        let rule = destination_rule::find(snapshot, &key.namespace, service).unwrap_or_default();
        for port in &service.ports {
            let wanted = |subset: Option<Cow<'a, Subset>>, rule: Option<&'a TrafficPolicy>| {
                let subset_name = subset.as_ref().map_or("", |subset| &subset.name);
                Wanted {
                    name: outbound_name(port.number, subset_name, &service.host),
                    service,
                    port,
                    subset,
                    rule,
                    fallback: None,
                }
            };
            visit(wanted(None, rule.policy));
            for subset in &rule.subsets {
                visit(wanted(Some(Cow::Borrowed(subset)), rule.policy));
            }
            for form in kept(snapshot, service, &rule) {
                let subset = Cow::Borrowed(&form.subset);
                visit(wanted(Some(subset), form.traffic_policy.as_ref()));
            }
            let guard = snapshot.guard(&service.host);
            for version in guard
                .iter()
                .flat_map(|guard| overlay::clusters(guard, &rule))
            {
                visit(Wanted {
                    fallback: version.fallback,
                    ..wanted(Some(Cow::Owned(version.subset)), rule.policy)
                });
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
