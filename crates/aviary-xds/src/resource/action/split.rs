//! The clusters of a route, with their weights.
#![expect(
    deprecated,
    reason = "older forms that Envoy still reads, or only they exist"
)]

use std::mem::take;

use aviary_mesh::route::{Forward, WeightedCluster};
use envoy_types::pb::envoy::config::route::v3::WeightedCluster as Proto;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::{
    ClusterWeight, RandomValueSpecifier, cluster_weight::HostRewriteSpecifier,
};
use envoy_types::pb::google::protobuf::BoolValue;

use super::super::edits::{added, edits_of};
use super::super::value::{number, number_of};
use super::super::{Fault, Within, each, nothing_left};

/// Weight of a single branch.
const ALONE: u32 = 100;

/// A single branch without edits is a plain cluster; its weight says nothing.
pub(super) fn to_proto(forward: &Forward) -> ClusterSpecifier {
    if let [single] = forward.clusters.as_slice()
        && !forward.hash_split
        && single.request_headers.is_empty()
        && single.response_headers.is_empty()
        && single.host_rewrite.is_none()
    {
        return ClusterSpecifier::Cluster(single.name.clone());
    }
    ClusterSpecifier::WeightedClusters(Proto {
        clusters: forward.clusters.iter().map(branch_to_proto).collect(),
        random_value_specifier: forward
            .hash_split
            .then_some(RandomValueSpecifier::UseHashPolicy(BoolValue {
                value: true,
            })),
        ..Proto::default()
    })
}

/// The branches, and whether a request's hash chooses among them.
pub(super) fn from_proto(
    proto: Option<ClusterSpecifier>,
) -> Result<(Vec<WeightedCluster>, bool), Fault> {
    match proto {
        Some(ClusterSpecifier::Cluster(name)) => {
            let single = WeightedCluster {
                name,
                weight: ALONE,
                ..WeightedCluster::default()
            };
            Ok((vec![single], false))
        }
        Some(ClusterSpecifier::WeightedClusters(split)) => {
            split_of(split).within("weighted_clusters")
        }
        _ => Err(Fault::new("`cluster` or `weighted_clusters` is needed")),
    }
}

fn split_of(mut proto: Proto) -> Result<(Vec<WeightedCluster>, bool), Fault> {
    let clusters = each("clusters", take(&mut proto.clusters), branch_of)?;
    let sum: u64 = clusters.iter().map(|it| u64::from(it.weight)).sum();
    if sum == 0 {
        return Err(Fault::new("no cluster has a weight"));
    }
    if let Some(total) = number_of(proto.total_weight.take())
        && u64::from(total) != sum
    {
        let reason = format!("{total} is not the sum of the weights, {sum}");
        return Err(Fault::new(reason).at("total_weight"));
    }
    // There is no runtime layer with weights of its own.
    proto.runtime_key_prefix.clear();
    let by_hash = match proto.random_value_specifier.take() {
        None => false,
        Some(RandomValueSpecifier::UseHashPolicy(value)) => value.value,
        Some(RandomValueSpecifier::HeaderName(_)) => {
            return Err(Fault::new("is not supported; use `use_hash_policy`").at("header_name"));
        }
    };
    nothing_left(&proto)?;
    Ok((clusters, by_hash))
}

fn branch_to_proto(branch: &WeightedCluster) -> ClusterWeight {
    ClusterWeight {
        name: branch.name.clone(),
        weight: number(branch.weight),
        request_headers_to_add: added(&branch.request_headers),
        request_headers_to_remove: branch.request_headers.remove.clone(),
        response_headers_to_add: added(&branch.response_headers),
        response_headers_to_remove: branch.response_headers.remove.clone(),
        host_rewrite_specifier: branch
            .host_rewrite
            .clone()
            .map(HostRewriteSpecifier::HostRewriteLiteral),
        ..ClusterWeight::default()
    }
}

fn branch_of(mut proto: ClusterWeight) -> Result<WeightedCluster, Fault> {
    let branch = WeightedCluster {
        name: take(&mut proto.name),
        weight: number_of(proto.weight.take()).unwrap_or(0),
        request_headers: edits_of(
            "request",
            &mut proto.request_headers_to_add,
            &mut proto.request_headers_to_remove,
        )?,
        response_headers: edits_of(
            "response",
            &mut proto.response_headers_to_add,
            &mut proto.response_headers_to_remove,
        )?,
        host_rewrite: proto.host_rewrite_specifier.take().map(|host| {
            let HostRewriteSpecifier::HostRewriteLiteral(host) = host;
            host
        }),
    };
    nothing_left(&proto)?;
    Ok(branch)
}
