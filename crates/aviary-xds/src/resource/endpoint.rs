//! Endpoint sets as `ClusterLoadAssignment`.

use std::mem::take;
use std::sync::Arc;

use aviary_mesh::cluster::DnsName;
use aviary_mesh::endpoint::{Endpoint, EndpointSet, Health, Locality, WorkloadLabels};
use envoy_types::pb::envoy::config::core::v3::{
    Address, HealthStatus, Locality as ProtoLocality, SocketAddress, address, socket_address,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as ProtoEndpoint, LbEndpoint, LocalityLbEndpoints,
    cluster_load_assignment::Policy, lb_endpoint,
};

use super::extra::{add, metadata, take_extra};
use super::value::{address, host_and_port_of, number, number_of, socket_address_of, socket_of};
use super::{Fault, Within, each, nothing_left, transport};

/// Envoy's, in percent.
const OVERPROVISIONING: u32 = 140;

pub(super) fn to_proto(set: &EndpointSet) -> ClusterLoadAssignment {
    let percent = set.overprovisioning_percent;
    ClusterLoadAssignment {
        cluster_name: set.cluster.clone(),
        endpoints: groups(&set.endpoints),
        policy: (percent > 0).then(|| Policy {
            overprovisioning_factor: number(percent),
            ..Policy::default()
        }),
        ..ClusterLoadAssignment::default()
    }
}

/// Neighbours of one priority and locality make a group.
fn groups(endpoints: &[Endpoint]) -> Vec<LocalityLbEndpoints> {
    endpoints
        .chunk_by(|a, b| a.priority == b.priority && a.locality == b.locality)
        .map(|group| LocalityLbEndpoints {
            lb_endpoints: group.iter().map(endpoint).collect(),
            ..place(group[0].priority, group[0].locality.as_deref())
        })
        .collect()
}

fn place(priority: u32, locality: Option<&Locality>) -> LocalityLbEndpoints {
    LocalityLbEndpoints {
        priority,
        locality: locality.map(|it| ProtoLocality {
            region: it.region.clone(),
            zone: it.zone.clone(),
            sub_zone: it.sub_zone.clone(),
        }),
        load_balancing_weight: locality
            .filter(|it| it.weight > 0)
            .and_then(|it| number(it.weight)),
        ..LocalityLbEndpoints::default()
    }
}

/// The endpoints of a static cluster.
pub(super) fn static_assignment(cluster: &str, endpoints: &[Endpoint]) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: groups(endpoints),
        ..ClusterLoadAssignment::default()
    }
}

/// The names of a cluster that looks them up.
pub(super) fn names_assignment(cluster: &str, names: &[DnsName]) -> ClusterLoadAssignment {
    let endpoint = |name: &DnsName| LbEndpoint {
        host_identifier: Some(host(
            Some(Address {
                address: Some(address::Address::SocketAddress(SocketAddress {
                    address: name.host.clone(),
                    port_specifier: Some(socket_address::PortSpecifier::PortValue(u32::from(
                        name.port,
                    ))),
                    ..SocketAddress::default()
                })),
            }),
            None,
        )),
        load_balancing_weight: number(name.weight),
        ..LbEndpoint::default()
    };
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: names
            .chunk_by(|a, b| a.priority == b.priority && a.locality == b.locality)
            .map(|group| LocalityLbEndpoints {
                lb_endpoints: group.iter().map(endpoint).collect(),
                ..place(group[0].priority, group[0].locality.as_deref())
            })
            .collect(),
        ..ClusterLoadAssignment::default()
    }
}

fn host(address: Option<Address>, hostname: Option<&str>) -> lb_endpoint::HostIdentifier {
    lb_endpoint::HostIdentifier::Endpoint(ProtoEndpoint {
        address,
        hostname: hostname.unwrap_or_default().to_owned(),
        ..ProtoEndpoint::default()
    })
}

fn endpoint(endpoint: &Endpoint) -> LbEndpoint {
    let labels = endpoint.workload.as_ref();
    // Istio's compact form: name;namespace;canonical name;canonical revision;cluster.
    let compact = (*labels != WorkloadLabels::default()).then(|| {
        let fields = [
            &labels.workload,
            &labels.namespace,
            &labels.canonical_service,
            &labels.canonical_revision,
            &labels.cluster_id,
        ];
        ("workload", fields.map(String::as_str).join(";"))
    });
    let mut metadata = metadata(labels, compact);
    if endpoint.mesh_tls {
        add(
            metadata.get_or_insert_default(),
            transport::MATCH_KEY,
            transport::mesh_mark(),
        );
    }
    LbEndpoint {
        health_status: match endpoint.health {
            Health::Healthy => HealthStatus::Healthy,
            Health::Draining => HealthStatus::Draining,
            Health::Unhealthy => HealthStatus::Unhealthy,
        }
        .into(),
        metadata,
        load_balancing_weight: number(endpoint.weight),
        host_identifier: Some(host(
            address(endpoint.address),
            endpoint.hostname.as_deref(),
        )),
    }
}

pub(super) fn from_proto(proto: ClusterLoadAssignment) -> Result<EndpointSet, Fault> {
    let (cluster, endpoints, overprovisioning_percent) = assignment_of(proto, endpoint_of)?;
    Ok(EndpointSet {
        cluster,
        endpoints,
        overprovisioning_percent,
    })
}

/// The endpoints of a static cluster.
pub(super) fn static_of(proto: ClusterLoadAssignment) -> Result<Vec<Endpoint>, Fault> {
    match assignment_of(proto, endpoint_of)? {
        (_, endpoints, 0) => Ok(endpoints),
        _ => Err(Fault::new("is not supported in a static cluster").at("policy")),
    }
}

/// The names of a cluster that looks them up.
pub(super) fn names_of(proto: ClusterLoadAssignment) -> Result<Vec<DnsName>, Fault> {
    match assignment_of(proto, name_of)? {
        (_, names, 0) => Ok(names),
        _ => Err(Fault::new("is not supported in a cluster with names").at("policy")),
    }
}

/// What a group says of those in it.
struct Place {
    priority: u32,
    locality: Option<Arc<Locality>>,
}

fn assignment_of<T>(
    mut proto: ClusterLoadAssignment,
    convert: impl Fn(LbEndpoint, &Place) -> Result<T, Fault>,
) -> Result<(String, Vec<T>, u32), Fault> {
    let groups = each("endpoints", take(&mut proto.endpoints), |group| {
        group_of(group, &convert)
    })?;
    let mut policy = proto.policy.take().unwrap_or_default();
    let factor = number_of(policy.overprovisioning_factor.take());
    nothing_left(&policy).within("policy")?;
    let cluster = take(&mut proto.cluster_name);
    nothing_left(&proto)?;
    let factor = factor.filter(|factor| *factor != OVERPROVISIONING);
    Ok((
        cluster,
        groups.into_iter().flatten().collect(),
        factor.unwrap_or(0),
    ))
}

fn group_of<T>(
    mut proto: LocalityLbEndpoints,
    convert: impl Fn(LbEndpoint, &Place) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let weight = number_of(proto.load_balancing_weight.take()).unwrap_or(0);
    let named = proto.locality.take().unwrap_or_default();
    let locality = Locality {
        region: named.region,
        zone: named.zone,
        sub_zone: named.sub_zone,
        weight,
    };
    let place = Place {
        priority: take(&mut proto.priority),
        locality: (locality != Locality::default()).then(|| Arc::new(locality)),
    };
    let endpoints = each("lb_endpoints", take(&mut proto.lb_endpoints), |it| {
        convert(it, &place)
    })?;
    nothing_left(&proto)?;
    Ok(endpoints)
}

fn name_of(mut proto: LbEndpoint, place: &Place) -> Result<DnsName, Fault> {
    let mut endpoint = inner_of(&mut proto)?;
    let address = socket_of(endpoint.address.take()).and_then(host_and_port_of);
    let (host, port) = address.within("endpoint.address")?;
    nothing_left(&endpoint).within("endpoint")?;
    let name = DnsName {
        host,
        port,
        weight: weight_of(&mut proto)?,
        priority: place.priority,
        locality: place.locality.clone(),
    };
    nothing_left(&proto)?;
    Ok(name)
}

fn inner_of(proto: &mut LbEndpoint) -> Result<ProtoEndpoint, Fault> {
    match proto.host_identifier.take() {
        Some(lb_endpoint::HostIdentifier::Endpoint(endpoint)) => Ok(endpoint),
        _ => Err(Fault::new("an endpoint is missing").at("endpoint")),
    }
}

fn weight_of(proto: &mut LbEndpoint) -> Result<u32, Fault> {
    match number_of(proto.load_balancing_weight.take()) {
        Some(0) => Err(Fault::new("must be at least 1").at("load_balancing_weight")),
        weight => Ok(weight.unwrap_or(1)),
    }
}

fn endpoint_of(mut proto: LbEndpoint, place: &Place) -> Result<Endpoint, Fault> {
    let mesh_tls = proto.metadata.as_ref().is_some_and(|metadata| {
        let mark = metadata.filter_metadata.get(transport::MATCH_KEY);
        mark.is_some_and(|mark| *mark == transport::mesh_mark())
    });
    let labels: WorkloadLabels = take_extra(&mut proto.metadata).within("metadata")?;
    let mut inner = inner_of(&mut proto)?;
    let address = socket_of(inner.address.take()).and_then(socket_address_of);
    let hostname = take(&mut inner.hostname);
    let endpoint = Endpoint {
        address: address.within("endpoint.address")?,
        weight: weight_of(&mut proto)?,
        health: match HealthStatus::try_from(take(&mut proto.health_status)) {
            Ok(HealthStatus::Unknown | HealthStatus::Healthy) => Health::Healthy,
            Ok(HealthStatus::Draining) => Health::Draining,
            _ => Health::Unhealthy,
        },
        mesh_tls,
        workload: Arc::new(labels),
        priority: place.priority,
        locality: place.locality.clone(),
        hostname: (!hostname.is_empty()).then(|| hostname.into()),
    };
    nothing_left(&inner).within("endpoint")?;
    nothing_left(&proto)?;
    Ok(endpoint)
}
