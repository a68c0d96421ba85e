//! Passing bytes, as Envoy's TCP proxy.

use std::mem::take;
use std::time::Duration;

use aviary_mesh::listener::{Direction, TcpBranch, TcpChain};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy,
    tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight},
};
use envoy_types::pb::envoy::r#type::v3::{HashPolicy, hash_policy};
use envoy_types::pb::google::protobuf::Any;

use super::value::{duration, duration_of, never_is_zero, number, number_of, unpack};
use super::{Fault, Within, each, log, nothing_left};

const IDLE_TIMEOUT: Duration = Duration::from_hours(1);

pub(super) fn to_proto(tcp: &TcpChain) -> TcpProxy {
    let source_ip = HashPolicy {
        policy_specifier: Some(hash_policy::PolicySpecifier::SourceIp(
            hash_policy::SourceIp {},
        )),
    };
    TcpProxy {
        stat_prefix: tcp.stat_prefix.clone(),
        cluster_specifier: Some(match tcp.clusters.as_slice() {
            [single] => ClusterSpecifier::Cluster(single.cluster.clone()),
            several => ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters: several.iter().map(branch).collect(),
            }),
        }),
        // Absent means an hour to Envoy, nothing means never.
        idle_timeout: duration(tcp.idle_timeout.unwrap_or_default()),
        access_log: tcp.access_log.iter().map(log::to_proto).collect(),
        max_connect_attempts: (tcp.connect_attempts > 0)
            .then_some(tcp.connect_attempts)
            .and_then(number),
        max_downstream_connection_duration: tcp.max_duration.and_then(duration),
        hash_policy: if tcp.hash_source_ip {
            vec![source_ip]
        } else {
            Vec::new()
        },
        ..TcpProxy::default()
    }
}

fn branch(branch: &TcpBranch) -> ClusterWeight {
    ClusterWeight {
        name: branch.cluster.clone(),
        weight: branch.weight,
        ..ClusterWeight::default()
    }
}

pub(super) fn from_proto(config: &Any, direction: Direction) -> Result<TcpChain, Fault> {
    let mut proto: TcpProxy = unpack(config)?;
    let clusters = match proto.cluster_specifier.take() {
        Some(ClusterSpecifier::Cluster(name)) => TcpBranch::only(name),
        Some(ClusterSpecifier::WeightedClusters(split)) => {
            each("clusters", split.clusters, branch_of).within("weighted_clusters")?
        }
        None => return Err(Fault::new("is missing").at("cluster")),
    };
    let hash = each(
        "hash_policy",
        take(&mut proto.hash_policy),
        |policy| match policy.policy_specifier {
            Some(hash_policy::PolicySpecifier::SourceIp(_)) => Ok(()),
            _ => Err(Fault::new("only `source_ip` is supported")),
        },
    )?;
    let idle = duration_of(proto.idle_timeout.take()).within("idle_timeout")?;
    let tcp = TcpChain {
        stat_prefix: take(&mut proto.stat_prefix),
        direction,
        clusters,
        access_log: each("access_log", take(&mut proto.access_log), log::from_proto)?,
        idle_timeout: Some(idle.unwrap_or(IDLE_TIMEOUT)).filter(|it| !it.is_zero()),
        connect_attempts: number_of(proto.max_connect_attempts.take()).unwrap_or(0),
        max_duration: never_is_zero(proto.max_downstream_connection_duration.take())
            .within("max_downstream_connection_duration")?,
        hash_source_ip: !hash.is_empty(),
    };
    nothing_left(&proto)?;
    Ok(tcp)
}

fn branch_of(mut proto: ClusterWeight) -> Result<TcpBranch, Fault> {
    let branch = TcpBranch {
        cluster: take(&mut proto.name),
        weight: take(&mut proto.weight),
    };
    nothing_left(&proto)?;
    Ok(branch)
}
