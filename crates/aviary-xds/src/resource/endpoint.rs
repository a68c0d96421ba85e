//! Endpoint sets as `ClusterLoadAssignment`.

use std::net::SocketAddr;
use std::sync::Arc;

use aviary_mesh::endpoint::{Endpoint, EndpointSet, Health, WorkloadLabels};
use envoy_types::pb::envoy::config::core::v3::HealthStatus;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as ProtoEndpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};

use super::extra::{add, extra_of, metadata};
use super::value::{address, address_of, number};
use super::{Fault, each, transport};

pub(super) fn to_proto(set: &EndpointSet) -> ClusterLoadAssignment {
    assignment(&set.cluster, set.endpoints.iter().map(endpoint).collect())
}

/// The endpoints of a static cluster.
pub(super) fn static_assignment(cluster: &str, addresses: &[SocketAddr]) -> ClusterLoadAssignment {
    let endpoints = addresses.iter().map(|address| LbEndpoint {
        host_identifier: Some(host(*address)),
        ..LbEndpoint::default()
    });
    assignment(cluster, endpoints.collect())
}

fn assignment(cluster: &str, lb_endpoints: Vec<LbEndpoint>) -> ClusterLoadAssignment {
    let locality = LocalityLbEndpoints {
        lb_endpoints,
        ..LocalityLbEndpoints::default()
    };
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: if locality.lb_endpoints.is_empty() {
            Vec::new()
        } else {
            vec![locality]
        },
        ..ClusterLoadAssignment::default()
    }
}

fn host(socket: SocketAddr) -> lb_endpoint::HostIdentifier {
    lb_endpoint::HostIdentifier::Endpoint(ProtoEndpoint {
        address: address(socket),
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
        host_identifier: Some(host(endpoint.address)),
    }
}

pub(super) fn from_proto(proto: &ClusterLoadAssignment) -> Result<EndpointSet, Fault> {
    let endpoints = proto
        .endpoints
        .iter()
        .flat_map(|locality| &locality.lb_endpoints);
    Ok(EndpointSet {
        cluster: proto.cluster_name.clone(),
        endpoints: each("lb_endpoints", endpoints, endpoint_of)?,
    })
}

pub(super) fn addresses_of(proto: &ClusterLoadAssignment) -> Result<Vec<SocketAddr>, Fault> {
    let endpoints = proto
        .endpoints
        .iter()
        .flat_map(|locality| &locality.lb_endpoints);
    each("lb_endpoints", endpoints, address_of_endpoint)
}

fn address_of_endpoint(proto: &LbEndpoint) -> Result<SocketAddr, Fault> {
    match &proto.host_identifier {
        Some(lb_endpoint::HostIdentifier::Endpoint(endpoint)) => {
            address_of(endpoint.address.as_ref()).map_err(|fault| fault.at("endpoint.address"))
        }
        _ => Err(Fault::new("an endpoint is missing")),
    }
}

fn endpoint_of(proto: &LbEndpoint) -> Result<Endpoint, Fault> {
    let labels: WorkloadLabels =
        extra_of(proto.metadata.as_ref()).map_err(|fault| fault.at("metadata"))?;
    Ok(Endpoint {
        mesh_tls: proto.metadata.as_ref().is_some_and(|metadata| {
            let mark = metadata.filter_metadata.get(transport::MATCH_KEY);
            mark.is_some_and(|mark| *mark == transport::mesh_mark())
        }),
        address: address_of_endpoint(proto)?,
        weight: proto.load_balancing_weight.map_or(1, |weight| weight.value),
        health: match HealthStatus::try_from(proto.health_status) {
            Ok(HealthStatus::Unknown | HealthStatus::Healthy) => Health::Healthy,
            Ok(HealthStatus::Draining) => Health::Draining,
            _ => Health::Unhealthy,
        },
        workload: Arc::new(labels),
    })
}
