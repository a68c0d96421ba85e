//! Clusters as Envoy's `Cluster`.
#![expect(
    deprecated,
    reason = "older forms that Envoy still reads, or only they exist"
)]

use std::collections::HashMap;
use std::mem::take;
use std::net::SocketAddr;
use std::time::Duration;

use aviary_mesh::cluster::{
    Balance, Cluster, Discovery, Dns, Family, Limits, RetryBudget, ServiceLabels, UpstreamProtocol,
};
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::{
    Thresholds, thresholds::RetryBudget as ProtoBudget,
};
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster as ProtoCluster, UpstreamConnectionOptions,
};
use envoy_types::pb::envoy::config::core::v3::{
    BindConfig, Http1ProtocolOptions, HttpProtocolOptions as CommonHttpOptions,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    AutoHttpConfig, ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
    explicit_http_config::ProtocolConfig,
};
use envoy_types::pb::google::protobuf::{Any, UInt32Value};
use serde::{Deserialize, Serialize};

use super::extra::{metadata, take_extra};
use envoy_types::pb::envoy::r#type::v3::Percent;

use super::value::{
    any, duration, duration_of, never_is_zero, number, number_of, share_of, socket_address,
    socket_address_of, unpack,
};
use super::{
    Fault, Within, ads_source, balance, endpoint, nothing_left, outlier, protocol, transport,
};

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DNS_REFRESH: Duration = Duration::from_secs(5);
/// Envoy's limits where nothing is said.
const CONNECTIONS: u32 = 1_024;
const RETRIES: u32 = 3;

/// What Envoy's cluster has no field for.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Extra {
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<ServiceLabels>,
    /// Of an original-destination cluster, which has no balancer in Envoy.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<Balance>,
    /// It is not HTTP.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tcp: bool,
}

pub(super) fn to_proto(cluster: &Cluster) -> ProtoCluster {
    let original = cluster.discovery == Discovery::OriginalDst;
    let extra = Extra {
        service: cluster.service.clone(),
        balance: (original && cluster.balance != Balance::default()).then_some(cluster.balance),
        tcp: cluster.protocol == UpstreamProtocol::Tcp,
    };
    let (transport_socket, transport_socket_matches) = transport::cluster(&cluster.tls);
    let mut proto = ProtoCluster {
        name: cluster.name.clone(),
        connect_timeout: duration(cluster.connect_timeout),
        lb_policy: if original {
            LbPolicy::ClusterProvided
        } else {
            balance::policy(cluster.balance)
        }
        .into(),
        lb_config: (!original)
            .then(|| balance::config(cluster.balance, cluster.slow_start.as_ref()))
            .flatten(),
        circuit_breakers: Some(circuit_breakers(&cluster.limits)),
        outlier_detection: cluster.outlier.as_ref().map(outlier::to_proto),
        common_lb_config: Some(balance::common(&balance::Common {
            panic_threshold_percent: cluster.panic_threshold_percent,
            locality_weighted: cluster.locality_weighted,
            by_hostname: !original && by_hostname(cluster.balance),
        })),
        typed_extension_protocol_options: http_options(cluster),
        upstream_bind_config: cluster.source_address.map(|address| BindConfig {
            source_address: Some(socket_address(SocketAddr::new(address, 0))),
            ..BindConfig::default()
        }),
        upstream_connection_options: cluster.keepalive.as_ref().map(|it| {
            UpstreamConnectionOptions {
                tcp_keepalive: Some(protocol::tcp_keepalive(it)),
                ..UpstreamConnectionOptions::default()
            }
        }),
        metadata: metadata(&extra, None),
        transport_socket,
        transport_socket_matches,
        ..ProtoCluster::default()
    };
    discovery(cluster, &mut proto);
    proto
}

fn by_hostname(balance: Balance) -> bool {
    match balance {
        Balance::RingHash { by_hostname, .. } | Balance::Maglev { by_hostname, .. } => by_hostname,
        _ => false,
    }
}

fn discovery(cluster: &Cluster, proto: &mut ProtoCluster) {
    let kind = match &cluster.discovery {
        Discovery::Eds => {
            proto.eds_cluster_config = Some(EdsClusterConfig {
                eds_config: Some(ads_source()),
                service_name: cluster.name.clone(),
            });
            DiscoveryType::Eds
        }
        Discovery::OriginalDst => DiscoveryType::OriginalDst,
        Discovery::Static(endpoints) => {
            let assignment = endpoint::static_assignment(&cluster.name, endpoints);
            proto.load_assignment = Some(assignment);
            DiscoveryType::Static
        }
        Discovery::Dns(dns) => {
            let assignment = endpoint::names_assignment(&cluster.name, &dns.names);
            proto.load_assignment = Some(assignment);
            proto.dns_refresh_rate = duration(dns.refresh);
            proto.respect_dns_ttl = dns.respect_ttl;
            proto.dns_lookup_family = match dns.family {
                Family::V6First => DnsLookupFamily::Auto,
                Family::V4First => DnsLookupFamily::V4Preferred,
                Family::V4 => DnsLookupFamily::V4Only,
                Family::V6 => DnsLookupFamily::V6Only,
                Family::All => DnsLookupFamily::All,
            }
            .into();
            if dns.all_addresses {
                DiscoveryType::StrictDns
            } else {
                DiscoveryType::LogicalDns
            }
        }
    };
    proto.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind.into()));
}

fn circuit_breakers(limits: &Limits) -> CircuitBreakers {
    let limit = |limit: Option<u32>| number(limit.unwrap_or(u32::MAX));
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: limit(limits.max_connections),
            max_pending_requests: limit(limits.max_pending_requests),
            max_requests: limit(limits.max_requests),
            max_retries: limit(limits.max_retries),
            retry_budget: limits.retry_budget.map(|budget| ProtoBudget {
                budget_percent: Some(Percent {
                    value: budget.percent,
                }),
                min_retry_concurrency: number(budget.at_least),
                ..ProtoBudget::default()
            }),
            track_remaining: true,
            ..Thresholds::default()
        }],
        ..CircuitBreakers::default()
    }
}

fn http_options(cluster: &Cluster) -> HashMap<String, Any> {
    let http2 = protocol::http2_options(&cluster.http2);
    let explicit = |config| {
        UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(config),
        })
    };
    let protocol = match cluster.protocol {
        UpstreamProtocol::Tcp | UpstreamProtocol::Http1 => explicit(
            ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()),
        ),
        UpstreamProtocol::Http2 => explicit(ProtocolConfig::Http2ProtocolOptions(http2)),
        UpstreamProtocol::Alpn => UpstreamProtocolOptions::AutoConfig(AutoHttpConfig {
            http2_protocol_options: Some(http2),
            ..AutoHttpConfig::default()
        }),
        UpstreamProtocol::Downstream => {
            UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                http2_protocol_options: Some(http2),
                ..UseDownstreamHttpConfig::default()
            })
        }
    };
    let common = CommonHttpOptions {
        idle_timeout: cluster.idle_timeout.and_then(duration),
        max_requests_per_connection: cluster.limits.max_requests_per_connection.and_then(number),
        max_connection_duration: cluster.max_connection_duration.and_then(duration),
        ..CommonHttpOptions::default()
    };
    let plain = common == CommonHttpOptions::default();
    if plain && cluster.protocol == UpstreamProtocol::Tcp {
        return HashMap::new();
    }
    let options = HttpProtocolOptions {
        common_http_protocol_options: (!plain).then_some(common),
        upstream_protocol_options: Some(protocol),
        ..HttpProtocolOptions::default()
    };
    HashMap::from([(HTTP_OPTIONS.to_owned(), any(&options))])
}

pub(super) fn from_proto(mut proto: ProtoCluster) -> Result<Cluster, Fault> {
    let extra: Extra = take_extra(&mut proto.metadata).within("metadata")?;
    let common = balance::common_of(proto.common_lb_config.take()).within("common_lb_config")?;
    let discovery = discovery_of(&mut proto)?;
    let (balance, slow_start) = balance_of(&mut proto, &discovery, &extra, common.by_hostname)?;
    let mut cluster = Cluster {
        name: take(&mut proto.name),
        connect_timeout: duration_of(proto.connect_timeout.take())
            .within("connect_timeout")?
            .unwrap_or(CONNECT_TIMEOUT),
        balance,
        slow_start,
        limits: limits_of(proto.circuit_breakers.take()).within("circuit_breakers")?,
        outlier: (proto
            .outlier_detection
            .take()
            .map(outlier::from_proto)
            .transpose())
        .within("outlier_detection")?,
        source_address: source_of(&mut proto).within("upstream_bind_config")?,
        tls: transport::cluster_of(
            proto.transport_socket.take().as_ref(),
            &take(&mut proto.transport_socket_matches),
        )?,
        service: extra.service,
        panic_threshold_percent: common.panic_threshold_percent,
        locality_weighted: common.locality_weighted,
        discovery,
        ..Cluster::default()
    };
    if let Some(mut options) = proto.upstream_connection_options.take() {
        cluster.keepalive = options.tcp_keepalive.take().map(protocol::tcp_keepalive_of);
        nothing_left(&options).within("upstream_connection_options")?;
    }
    if let Some(config) = proto.typed_extension_protocol_options.remove(HTTP_OPTIONS) {
        let field = format!("typed_extension_protocol_options[{HTTP_OPTIONS}]");
        http_options_of(&config, &mut cluster).within(&field)?;
    }
    if extra.tcp {
        cluster.protocol = UpstreamProtocol::Tcp;
    }
    // The name of statistics that are not kept, and buffers, which have limits of their own.
    proto.alt_stat_name.clear();
    proto.per_connection_buffer_limit_bytes = None;
    nothing_left(&proto)?;
    Ok(cluster)
}

fn source_of(proto: &mut ProtoCluster) -> Result<Option<std::net::IpAddr>, Fault> {
    let Some(mut config) = proto.upstream_bind_config.take() else {
        return Ok(None);
    };
    let address = config
        .source_address
        .take()
        .map(socket_address_of)
        .transpose();
    nothing_left(&config)?;
    Ok(address
        .within("source_address")?
        .map(|address| address.ip()))
}

fn balance_of(
    proto: &mut ProtoCluster,
    discovery: &Discovery,
    extra: &Extra,
    by_hostname: bool,
) -> Result<(Balance, Option<aviary_mesh::cluster::SlowStart>), Fault> {
    let policy = take(&mut proto.lb_policy);
    let provided: i32 = LbPolicy::ClusterProvided.into();
    if *discovery == Discovery::OriginalDst {
        if policy != provided {
            return Err(Fault::new("must be CLUSTER_PROVIDED").at("lb_policy"));
        }
        return Ok((extra.balance.unwrap_or_default(), None));
    }
    balance::balance_of(policy, proto.lb_config.take(), by_hostname)
}

fn limits_of(proto: Option<CircuitBreakers>) -> Result<Limits, Fault> {
    let mut proto = proto.unwrap_or_default();
    let mut thresholds = take(&mut proto.thresholds);
    nothing_left(&proto)?;
    if thresholds.len() > 1 {
        return Err(
            Fault::new("only those of the default priority are supported").at("thresholds"),
        );
    }
    let mut proto = thresholds.pop().unwrap_or_default();
    // No statistics of what remains are kept.
    proto.track_remaining = false;
    let limit = |value: &mut Option<UInt32Value>, default| {
        Some(number_of(value.take()).unwrap_or(default)).filter(|value| *value != u32::MAX)
    };
    let limits = Limits {
        max_connections: limit(&mut proto.max_connections, CONNECTIONS),
        max_pending_requests: limit(&mut proto.max_pending_requests, CONNECTIONS),
        max_requests: limit(&mut proto.max_requests, CONNECTIONS),
        max_retries: limit(&mut proto.max_retries, RETRIES),
        retry_budget: proto
            .retry_budget
            .take()
            .map(budget_of)
            .transpose()
            .within("thresholds[0].retry_budget")?,
        max_requests_per_connection: None,
    };
    nothing_left(&proto).within("thresholds[0]")?;
    Ok(limits)
}

fn budget_of(mut proto: ProtoBudget) -> Result<RetryBudget, Fault> {
    let budget = RetryBudget {
        percent: share_of(proto.budget_percent.take(), 20.0).within("budget_percent")?,
        at_least: number_of(proto.min_retry_concurrency.take()).unwrap_or(RETRIES),
    };
    nothing_left(&proto)?;
    Ok(budget)
}

fn discovery_of(proto: &mut ProtoCluster) -> Result<Discovery, Fault> {
    let unsupported = || Fault::new("a discovery type that is not supported").at("type");
    let kind = match proto.cluster_discovery_type.take() {
        // Absent is the first of the enumeration.
        None => DiscoveryType::Static,
        Some(ClusterDiscoveryType::Type(kind)) => {
            DiscoveryType::try_from(kind).map_err(|_| unsupported())?
        }
        Some(ClusterDiscoveryType::ClusterType(_)) => return Err(unsupported()),
    };
    let assignment = proto.load_assignment.take().unwrap_or_default();
    match kind {
        DiscoveryType::Eds => {
            if let Some(mut eds) = proto.eds_cluster_config.take() {
                let source = eds.eds_config.take();
                let name = take(&mut eds.service_name);
                if source.is_some_and(|source| source != ads_source())
                    || !name.is_empty() && name != proto.name
                {
                    let fault = Fault::new("endpoints come by ADS under the cluster's own name");
                    return Err(fault.at("eds_cluster_config"));
                }
            }
            nothing_left(&assignment).within("load_assignment")?;
            Ok(Discovery::Eds)
        }
        DiscoveryType::OriginalDst => {
            nothing_left(&assignment).within("load_assignment")?;
            Ok(Discovery::OriginalDst)
        }
        DiscoveryType::Static => endpoint::static_of(assignment)
            .map(Discovery::Static)
            .within("load_assignment"),
        DiscoveryType::StrictDns | DiscoveryType::LogicalDns => {
            let names = endpoint::names_of(assignment).within("load_assignment")?;
            dns_of(proto, names, kind == DiscoveryType::StrictDns).map(Discovery::Dns)
        }
    }
}

fn dns_of(
    proto: &mut ProtoCluster,
    names: Vec<aviary_mesh::cluster::DnsName>,
    all_addresses: bool,
) -> Result<Dns, Fault> {
    if !all_addresses && names.len() != 1 {
        return Err(Fault::new("LOGICAL_DNS needs exactly one endpoint").at("load_assignment"));
    }
    Ok(Dns {
        all_addresses,
        names,
        refresh: duration_of(proto.dns_refresh_rate.take())
            .within("dns_refresh_rate")?
            .unwrap_or(DNS_REFRESH),
        respect_ttl: take(&mut proto.respect_dns_ttl),
        family: match DnsLookupFamily::try_from(take(&mut proto.dns_lookup_family)) {
            Ok(DnsLookupFamily::Auto) => Family::V6First,
            Ok(DnsLookupFamily::V4Preferred) => Family::V4First,
            Ok(DnsLookupFamily::V4Only) => Family::V4,
            Ok(DnsLookupFamily::V6Only) => Family::V6,
            Ok(DnsLookupFamily::All) => Family::All,
            Err(_) => return Err(Fault::new("is not known").at("dns_lookup_family")),
        },
    })
}

fn http_options_of(config: &Any, cluster: &mut Cluster) -> Result<(), Fault> {
    let mut options: HttpProtocolOptions = unpack(config)?;
    let mut common = options
        .common_http_protocol_options
        .take()
        .unwrap_or_default();
    cluster.idle_timeout = duration_of(common.idle_timeout.take())
        .within("common_http_protocol_options.idle_timeout")?;
    cluster.limits.max_requests_per_connection =
        number_of(common.max_requests_per_connection.take()).filter(|it| *it > 0);
    cluster.max_connection_duration = never_is_zero(common.max_connection_duration.take())
        .within("common_http_protocol_options.max_connection_duration")?;
    nothing_left(&common).within("common_http_protocol_options")?;
    let (protocol, http1, http2) = match options.upstream_protocol_options.take() {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(config)) => match config.protocol_config {
            None => (UpstreamProtocol::Http1, None, None),
            Some(ProtocolConfig::HttpProtocolOptions(http1)) => {
                (UpstreamProtocol::Http1, Some(http1), None)
            }
            Some(ProtocolConfig::Http2ProtocolOptions(http2)) => {
                (UpstreamProtocol::Http2, None, Some(http2))
            }
            Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                return Err(Fault::new("is not supported").at("http3_protocol_options"));
            }
        },
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(mut config)) => {
            let (http1, http2) = (
                config.http_protocol_options.take(),
                config.http2_protocol_options.take(),
            );
            nothing_left(&config).within("use_downstream_protocol_config")?;
            (UpstreamProtocol::Downstream, http1, http2)
        }
        Some(UpstreamProtocolOptions::AutoConfig(mut config)) => {
            let (http1, http2) = (
                config.http_protocol_options.take(),
                config.http2_protocol_options.take(),
            );
            nothing_left(&config).within("auto_config")?;
            (UpstreamProtocol::Alpn, http1, http2)
        }
        None => return Err(Fault::new("a protocol is missing")),
    };
    protocol::http1_of(http1).within("http_protocol_options")?;
    cluster.http2 = protocol::http2_of(http2).within("http2_protocol_options")?;
    cluster.protocol = protocol;
    nothing_left(&options)
}
