//! Clusters as Envoy's `Cluster`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use aviary_mesh::cluster::{
    Balance, Cluster, Discovery, Limits, Outlier, ServiceLabels, UpstreamProtocol,
};
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster as ProtoCluster, OutlierDetection,
};
use envoy_types::pb::envoy::config::core::v3::{
    BindConfig, Http1ProtocolOptions, Http2ProtocolOptions,
    HttpProtocolOptions as CommonHttpOptions,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
};
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::{Any, UInt32Value};
use serde::{Deserialize, Serialize};

use super::extra::{extra_of, metadata};
use super::value::{
    any, boolean, duration, duration_of, number, socket_address, socket_address_of, unpack,
};
use super::{Fault, ads_source, endpoint, transport};

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What Envoy's cluster has no field for.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Extra {
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<ServiceLabels>,
    /// Of an original-destination cluster, which has no balancer in Envoy.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<Balance>,
    /// Of a cluster that is not HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<Duration>,
    /// Of a cluster that is not HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_requests_per_connection: Option<u32>,
}

pub(super) fn to_proto(cluster: &Cluster) -> ProtoCluster {
    let tcp = cluster.protocol == UpstreamProtocol::Tcp;
    let original = cluster.discovery == Discovery::OriginalDst;
    let extra = Extra {
        service: cluster.service.clone(),
        balance: (original && cluster.balance != Balance::default()).then_some(cluster.balance),
        idle_timeout: cluster.idle_timeout.filter(|_| tcp),
        max_requests_per_connection: cluster.limits.max_requests_per_connection.filter(|_| tcp),
    };
    let (kind, eds, load_assignment) = match &cluster.discovery {
        Discovery::Eds => {
            let eds = EdsClusterConfig {
                eds_config: Some(ads_source()),
                service_name: cluster.name.clone(),
            };
            (DiscoveryType::Eds, Some(eds), None)
        }
        Discovery::OriginalDst => (DiscoveryType::OriginalDst, None, None),
        Discovery::Static(addresses) => {
            let assignment = endpoint::static_assignment(&cluster.name, addresses);
            (DiscoveryType::Static, None, Some(assignment))
        }
    };
    let policy = match cluster.balance {
        _ if original => LbPolicy::ClusterProvided,
        Balance::LeastRequest => LbPolicy::LeastRequest,
        Balance::RoundRobin => LbPolicy::RoundRobin,
        Balance::Random => LbPolicy::Random,
    };
    let panic = cluster
        .outlier
        .as_ref()
        .map_or(0, |outlier| outlier.min_health_percent);
    let (transport_socket, transport_socket_matches) = transport::cluster(&cluster.tls);
    ProtoCluster {
        name: cluster.name.clone(),
        transport_socket,
        transport_socket_matches,
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind.into())),
        eds_cluster_config: eds,
        load_assignment,
        connect_timeout: duration(cluster.connect_timeout),
        lb_policy: policy.into(),
        circuit_breakers: Some(circuit_breakers(&cluster.limits)),
        outlier_detection: cluster.outlier.as_ref().map(outlier),
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent {
                value: f64::from(panic),
            }),
            ..CommonLbConfig::default()
        }),
        typed_extension_protocol_options: http_options(cluster),
        upstream_bind_config: cluster.source_address.map(|address| BindConfig {
            source_address: Some(socket_address(SocketAddr::new(address, 0))),
            ..BindConfig::default()
        }),
        metadata: metadata(&extra, None),
        ..ProtoCluster::default()
    }
}

fn circuit_breakers(limits: &Limits) -> CircuitBreakers {
    let limit = |limit: Option<u32>| number(limit.unwrap_or(u32::MAX));
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: limit(limits.max_connections),
            max_pending_requests: limit(limits.max_pending_requests),
            max_requests: limit(limits.max_requests),
            max_retries: limit(limits.max_retries),
            track_remaining: true,
            ..Thresholds::default()
        }],
        ..CircuitBreakers::default()
    }
}

/// An unset counter is turned off by enforcing it for no host, as Istio does; success rates are
/// not used.
fn outlier(outlier: &Outlier) -> OutlierDetection {
    let enforcing = |limit: Option<u32>| number(if limit.is_some() { 100 } else { 0 });
    OutlierDetection {
        consecutive_5xx: outlier.consecutive_5xx.and_then(number),
        enforcing_consecutive_5xx: enforcing(outlier.consecutive_5xx),
        consecutive_gateway_failure: outlier.consecutive_gateway_errors.and_then(number),
        enforcing_consecutive_gateway_failure: enforcing(outlier.consecutive_gateway_errors),
        interval: duration(outlier.interval),
        base_ejection_time: duration(outlier.base_ejection_time),
        max_ejection_percent: number(outlier.max_ejection_percent),
        enforcing_success_rate: number(0),
        always_eject_one_host: boolean(true),
        ..OutlierDetection::default()
    }
}

fn http_options(cluster: &Cluster) -> HashMap<String, Any> {
    let protocol = match cluster.protocol {
        UpstreamProtocol::Tcp => return HashMap::new(),
        UpstreamProtocol::Http1 => {
            ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default())
        }
        UpstreamProtocol::Http2 => {
            ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default())
        }
    };
    let common = CommonHttpOptions {
        idle_timeout: cluster.idle_timeout.and_then(duration),
        max_requests_per_connection: cluster.limits.max_requests_per_connection.and_then(number),
        ..CommonHttpOptions::default()
    };
    let options = HttpProtocolOptions {
        common_http_protocol_options: (common != CommonHttpOptions::default()).then_some(common),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(
            ExplicitHttpConfig {
                protocol_config: Some(protocol),
            },
        )),
        ..HttpProtocolOptions::default()
    };
    HashMap::from([(HTTP_OPTIONS.to_owned(), any(&options))])
}

/// Takes over the TLS of `understood`: [`from_proto`] has judged it by itself.
pub(super) fn settle_tls(got: &mut ProtoCluster, understood: &ProtoCluster) {
    got.transport_socket
        .clone_from(&understood.transport_socket);
    got.transport_socket_matches
        .clone_from(&understood.transport_socket_matches);
}

pub(super) fn from_proto(proto: &ProtoCluster) -> Result<Cluster, Fault> {
    let extra: Extra = extra_of(proto.metadata.as_ref()).map_err(|fault| fault.at("metadata"))?;
    let options = proto
        .typed_extension_protocol_options
        .get(HTTP_OPTIONS)
        .map(unpack::<HttpProtocolOptions>)
        .transpose()
        .map_err(|fault| fault.at("typed_extension_protocol_options"))?;
    let common = options
        .as_ref()
        .and_then(|options| options.common_http_protocol_options.as_ref());
    let thresholds = proto
        .circuit_breakers
        .as_ref()
        .and_then(|breakers| breakers.thresholds.first())
        .copied_limits(common, &extra);
    let panic = proto
        .common_lb_config
        .as_ref()
        .and_then(|config| config.healthy_panic_threshold)
        .map_or(0.0, |percent| percent.value);
    let idle = common.and_then(|common| common.idle_timeout.as_ref());
    Ok(Cluster {
        tls: transport::cluster_of(
            proto.transport_socket.as_ref(),
            &proto.transport_socket_matches,
        )?,
        name: proto.name.clone(),
        discovery: discovery_of(proto)?,
        connect_timeout: duration_of(proto.connect_timeout.as_ref())
            .map_err(|fault| fault.at("connect_timeout"))?
            .ok_or_else(|| Fault::new("a duration is missing").at("connect_timeout"))?,
        balance: balance_of(proto, &extra)?,
        limits: thresholds,
        outlier: proto
            .outlier_detection
            .as_ref()
            .map(|outlier| outlier_of(outlier, panic))
            .transpose()
            .map_err(|fault| fault.at("outlier_detection"))?,
        protocol: protocol_of(options.as_ref()),
        source_address: proto
            .upstream_bind_config
            .as_ref()
            .and_then(|config| config.source_address.as_ref())
            .map(|address| socket_address_of(address).map(|address| address.ip()))
            .transpose()
            .map_err(|fault| fault.at("upstream_bind_config.source_address"))?,
        idle_timeout: duration_of(idle)
            .map_err(|fault| fault.at("idle_timeout"))?
            .or(extra.idle_timeout),
        service: extra.service,
    })
}

/// The limits in a threshold message, with the one that stands elsewhere.
trait CopiedLimits {
    fn copied_limits(self, common: Option<&CommonHttpOptions>, extra: &Extra) -> Limits;
}

impl CopiedLimits for Option<&Thresholds> {
    fn copied_limits(self, common: Option<&CommonHttpOptions>, extra: &Extra) -> Limits {
        let limit = |read: fn(&Thresholds) -> Option<UInt32Value>| {
            self.and_then(read)
                .map(|value| value.value)
                .filter(|value| *value != u32::MAX)
        };
        Limits {
            max_connections: limit(|thresholds| thresholds.max_connections),
            max_pending_requests: limit(|thresholds| thresholds.max_pending_requests),
            max_requests: limit(|thresholds| thresholds.max_requests),
            max_retries: limit(|thresholds| thresholds.max_retries),
            max_requests_per_connection: common
                .and_then(|common| common.max_requests_per_connection)
                .map(|value| value.value)
                .or(extra.max_requests_per_connection),
        }
    }
}

fn discovery_of(proto: &ProtoCluster) -> Result<Discovery, Fault> {
    let Some(ClusterDiscoveryType::Type(kind)) = &proto.cluster_discovery_type else {
        return Err(Fault::new("a discovery type that is not supported").at("type"));
    };
    match DiscoveryType::try_from(*kind) {
        Ok(DiscoveryType::Eds) => Ok(Discovery::Eds),
        Ok(DiscoveryType::OriginalDst) => Ok(Discovery::OriginalDst),
        Ok(DiscoveryType::Static) => proto
            .load_assignment
            .as_ref()
            .map_or(Ok(Vec::new()), endpoint::addresses_of)
            .map(Discovery::Static)
            .map_err(|fault| fault.at("load_assignment")),
        _ => Err(Fault::new("a discovery type that is not supported").at("type")),
    }
}

fn balance_of(proto: &ProtoCluster, extra: &Extra) -> Result<Balance, Fault> {
    match LbPolicy::try_from(proto.lb_policy) {
        Ok(LbPolicy::LeastRequest) => Ok(Balance::LeastRequest),
        Ok(LbPolicy::RoundRobin) => Ok(Balance::RoundRobin),
        Ok(LbPolicy::Random) => Ok(Balance::Random),
        Ok(LbPolicy::ClusterProvided) => Ok(extra.balance.unwrap_or_default()),
        _ => Err(Fault::new("a balancer that is not supported").at("lb_policy")),
    }
}

fn protocol_of(options: Option<&HttpProtocolOptions>) -> UpstreamProtocol {
    match options.map(|options| &options.upstream_protocol_options) {
        None => UpstreamProtocol::Tcp,
        Some(Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(_)),
        }))) => UpstreamProtocol::Http2,
        // Anything else differs after encoding again and is refused there.
        Some(_) => UpstreamProtocol::Http1,
    }
}

fn outlier_of(proto: &OutlierDetection, panic: f64) -> Result<Outlier, Fault> {
    let needed = |field: &'static str, value| {
        duration_of(value)
            .and_then(|value| value.ok_or_else(|| Fault::new("a duration is missing")))
            .map_err(|fault| fault.at(field))
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentage; what is not whole differs after encoding again"
    )]
    let min_health_percent = panic as u32;
    Ok(Outlier {
        consecutive_5xx: proto.consecutive_5xx.map(|value| value.value),
        consecutive_gateway_errors: proto.consecutive_gateway_failure.map(|value| value.value),
        interval: needed("interval", proto.interval.as_ref())?,
        base_ejection_time: needed("base_ejection_time", proto.base_ejection_time.as_ref())?,
        max_ejection_percent: proto.max_ejection_percent.map_or(10, |value| value.value),
        min_health_percent,
    })
}
