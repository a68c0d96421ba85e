//! Which `DestinationRule` holds for a client and a Service, and what follows for a cluster.

use std::time::Duration;

use aviary_api::{
    ROOT_NAMESPACE,
    destination_rule::{
        ConnectionPool, HttpPool, LoadBalancer, OutlierDetection, SimpleBalancer, Subset,
        TrafficPolicy, Warmup,
    },
    duration, names,
};
use aviary_mesh::{
    Cluster,
    cluster::{Balance, Limits, Outlier, SlowStart, UpstreamProtocol},
    listener::TcpKeepalive,
    route::{HashCookie, HashOf, HashPolicy},
};

use crate::{Snapshot, service::Service};

/// The rules for one host of one namespace, merged.
#[derive(Debug, Default)]
pub(crate) struct Rule<'a> {
    /// Policy of all subsets.
    pub(crate) policy: Option<&'a TrafficPolicy>,
    /// Subsets by declaration, names unique.
    pub(crate) subsets: Vec<&'a Subset>,
}

/// The rule that holds for clients in `client` namespace.
///
/// Source: Istio `PushContext.destinationRule`: the client's namespace, the Service's, then the
/// root namespace; the first with any match wins entirely.
pub(crate) fn find<'a>(
    snapshot: &'a Snapshot,
    client: &str,
    service: &Service,
) -> Option<Rule<'a>> {
    [client, &service.key.namespace, ROOT_NAMESPACE]
        .into_iter()
        .find_map(|namespace| in_namespace(snapshot, namespace, &service.host))
}

/// The rule of one namespace for a host: the most specific host wins; several rules for the same
/// host merge, older ones first.
pub(crate) fn in_namespace<'a>(
    snapshot: &'a Snapshot,
    namespace: &str,
    host: &str,
) -> Option<Rule<'a>> {
    let first = crate::ObjectKey::new(namespace, "");
    let mut found: Vec<_> = snapshot
        .destination_rules
        .range(first..)
        .take_while(|(key, _)| key.namespace == namespace)
        .map(|(_, entry)| (names::expand_host(&entry.spec.host, namespace), entry))
        .filter(|(pattern, _)| names::host_covers(pattern, host))
        .collect();
    let best = found
        .iter()
        .map(|(pattern, _)| names::host_rank(pattern))
        .max()?;
    found.retain(|(pattern, _)| names::host_rank(pattern) == best);
    found.sort_by(|(_, a), (_, b)| a.age().cmp(&b.age()));
    let mut rule = Rule::default();
    for (_, entry) in found {
        rule.policy = rule.policy.or(entry.spec.traffic_policy.as_ref());
        for subset in &entry.spec.subsets {
            if rule.subsets.iter().all(|known| known.name != subset.name) {
                rule.subsets.push(subset);
            }
        }
    }
    Some(rule)
}

/// The sections in force for one port of one subset.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Policy<'a> {
    balancer: Option<&'a LoadBalancer>,
    pool: Option<&'a ConnectionPool>,
    outlier: Option<&'a OutlierDetection>,
}

impl<'a> Policy<'a> {
    /// The rule's policy, overridden by the subset's section by section; settings of a port
    /// replace all sections.
    ///
    /// Source: Istio `util.MergeTrafficPolicy`.
    pub(crate) fn layered(
        rule: Option<&'a TrafficPolicy>,
        subset: Option<&'a TrafficPolicy>,
        port: u16,
    ) -> Self {
        [rule, subset]
            .into_iter()
            .flatten()
            .fold(Self::default(), |below, policy| {
                let on_port = policy
                    .port_level_settings
                    .iter()
                    .find(|one| one.port.number == u32::from(port));
                match on_port {
                    Some(own) => Self {
                        balancer: own.load_balancer.as_ref(),
                        pool: own.connection_pool.as_ref(),
                        outlier: own.outlier_detection.as_ref(),
                    },
                    None => Self {
                        balancer: policy.load_balancer.as_ref().or(below.balancer),
                        pool: policy.connection_pool.as_ref().or(below.pool),
                        outlier: policy.outlier_detection.as_ref().or(below.outlier),
                    },
                }
            })
    }

    /// Sets what the policy says on a cluster.
    pub(crate) fn apply(&self, cluster: &mut Cluster) {
        cluster.balance = self.balancer.map_or(Balance::LeastRequest, balance);
        if !cluster.balance.is_hashing() && cluster.balance != Balance::Random {
            let warmup = self.balancer.and_then(|balancer| balancer.warmup.as_ref());
            cluster.slow_start = warmup.and_then(slow_start);
        }
        self.apply_pool(cluster);
        if let Some(http) = self.pool.and_then(|pool| pool.http.as_ref()) {
            cluster.protocol = protocol(cluster.protocol, http);
            let streams = Some(http.max_concurrent_streams).filter(|streams| *streams > 0);
            if matches!(
                cluster.protocol,
                UpstreamProtocol::Http2 | UpstreamProtocol::Downstream
            ) {
                cluster.http2.max_concurrent_streams = streams;
            }
        }
        cluster.outlier = self.outlier.map(outlier);
        cluster.panic_threshold_percent = self.outlier.map_or(0, |it| it.min_health_percent);
    }

    /// Sets only the limits, as for the Service's own inbound side.
    pub(crate) fn apply_pool(&self, cluster: &mut Cluster) {
        let tcp = self
            .pool
            .and_then(|pool| pool.tcp.clone())
            .unwrap_or_default();
        let http = self
            .pool
            .and_then(|pool| pool.http.clone())
            .unwrap_or_default();
        let limit = |value: u32| (value > 0).then_some(value);
        cluster.limits = Limits {
            max_connections: limit(tcp.max_connections),
            max_pending_requests: limit(http.http1_max_pending_requests),
            max_requests: limit(http.http2_max_requests),
            max_retries: limit(http.max_retries),
            max_requests_per_connection: limit(http.max_requests_per_connection),
            ..Limits::default()
        };
        if let Some(timeout) = time(tcp.connect_timeout.as_deref()) {
            cluster.connect_timeout = timeout;
        }
        cluster.idle_timeout = time(http.idle_timeout.as_deref());
        cluster.max_connection_duration = time(tcp.max_connection_duration.as_deref());
        cluster.keepalive = tcp.tcp_keepalive.as_ref().map(keepalive);
    }

    /// What of a request is hashed, where the balancer asks for it.
    pub(crate) fn hash(&self) -> Option<HashPolicy> {
        let wanted = self.balancer?.consistent_hash.as_ref()?;
        let of = if !wanted.http_header_name.is_empty() {
            HashOf::Header(wanted.http_header_name.to_ascii_lowercase())
        } else if let Some(cookie) = &wanted.http_cookie {
            HashOf::Cookie(HashCookie {
                name: cookie.name.clone(),
                ttl: cookie
                    .ttl
                    .as_deref()
                    .and_then(|ttl| duration::parse(ttl).ok()),
                path: cookie.path.clone(),
                attributes: (cookie.attributes.iter())
                    .map(|it| (it.name.clone(), it.value.clone()))
                    .collect(),
            })
        } else if wanted.use_source_ip {
            HashOf::SourceIp
        } else if !wanted.http_query_parameter_name.is_empty() {
            HashOf::Query(wanted.http_query_parameter_name.clone())
        } else {
            return None;
        };
        Some(HashPolicy {
            of,
            terminal: false,
        })
    }
}

/// What of requests to a subset of a Service's port is hashed.
///
/// Source: Istio `getHashPolicyByService`, `getHashPolicyByDestination`.
pub(crate) fn hash(
    snapshot: &Snapshot,
    client: &str,
    service: &Service,
    subset: &str,
    port: u16,
) -> Option<HashPolicy> {
    let rule = find(snapshot, client, service)?;
    let subset = rule.subsets.iter().find(|one| one.name == subset);
    let own = subset.and_then(|subset| subset.traffic_policy.as_ref());
    Policy::layered(rule.policy, own, port).hash()
}

/// Source: Istio `ApplyRingHashLoadBalancer`: a ring unless a table is asked for.
fn balance(balancer: &LoadBalancer) -> Balance {
    let Some(hash) = &balancer.consistent_hash else {
        return match balancer.simple {
            Some(SimpleBalancer::RoundRobin) => Balance::RoundRobin,
            Some(SimpleBalancer::Random) => Balance::Random,
            _ => Balance::LeastRequest,
        };
    };
    if let Some(maglev) = &hash.maglev {
        return match maglev.table_size {
            0 => Balance::MAGLEV,
            table => Balance::Maglev {
                table,
                by_hostname: false,
            },
        };
    }
    let wanted = hash
        .ring_hash
        .as_ref()
        .map_or(0, |ring| ring.minimum_ring_size);
    match wanted.max(hash.minimum_ring_size) {
        0 => Balance::RING,
        min => Balance::RingHash {
            min,
            max: 8 << 20,
            by_hostname: false,
        },
    }
}

fn slow_start(warmup: &Warmup) -> Option<SlowStart> {
    Some(SlowStart {
        window: time(warmup.duration.as_deref())?,
        aggression: warmup.aggression.unwrap_or(1.0),
        min_weight_percent: warmup.minimum_percent.unwrap_or(10.0),
    })
}

/// Source: Istio `shouldH2Upgrade`: ports that speak HTTP/2 already stay as they are.
fn protocol(now: UpstreamProtocol, http: &HttpPool) -> UpstreamProtocol {
    match now {
        UpstreamProtocol::Tcp => now,
        _ if http.use_client_protocol => UpstreamProtocol::Downstream,
        UpstreamProtocol::Http1 if http.h2_upgrade_policy == "UPGRADE" => UpstreamProtocol::Http2,
        _ => now,
    }
}

fn keepalive(wanted: &aviary_api::destination_rule::TcpKeepalive) -> TcpKeepalive {
    let seconds = |text: Option<&str>| u32::try_from(time(text)?.as_secs()).ok();
    TcpKeepalive {
        probes: Some(wanted.probes).filter(|probes| *probes > 0),
        time_seconds: seconds(wanted.time.as_deref()),
        interval_seconds: seconds(wanted.interval.as_deref()),
    }
}

/// Source: Istio fills gaps with Envoy's defaults once the section exists; the counter of gateway
/// errors is off unless set.
fn outlier(section: &OutlierDetection) -> Outlier {
    let percent = section.max_ejection_percent;
    Outlier {
        consecutive_5xx: Some(section.consecutive_5xx_errors.unwrap_or(5))
            .filter(|count| *count > 0),
        consecutive_gateway_errors: section
            .consecutive_gateway_errors
            .filter(|count| *count > 0),
        split_local_origin: section.split_external_local_origin_errors,
        consecutive_local_failures: section
            .split_external_local_origin_errors
            .then(|| section.consecutive_local_origin_failures.unwrap_or(5))
            .filter(|count| *count > 0),
        interval: time(section.interval.as_deref()).unwrap_or(Duration::from_secs(10)),
        base_ejection_time: time(section.base_ejection_time.as_deref())
            .unwrap_or(Duration::from_secs(30)),
        max_ejection_percent: if percent == 0 { 10 } else { percent },
        ..Outlier::default()
    }
}

/// A duration that validation has seen; an unreadable or zero one counts as absent.
pub(crate) fn time(text: Option<&str>) -> Option<Duration> {
    text.and_then(|text| duration::parse(text).ok())
        .filter(|time| !time.is_zero())
}
