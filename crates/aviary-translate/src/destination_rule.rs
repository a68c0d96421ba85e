//! Which `DestinationRule` holds for a client and a Service, and what follows for a cluster.

use std::time::Duration;

use aviary_api::{
    ROOT_NAMESPACE,
    destination_rule::{
        ConnectionPool, LoadBalancer, OutlierDetection, SimpleBalancer, Subset, TrafficPolicy,
    },
    duration, names,
};
use aviary_mesh::{
    Cluster,
    cluster::{Balance, Limits, Outlier},
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
        cluster.balance = match self.balancer.and_then(|balancer| balancer.simple) {
            Some(SimpleBalancer::RoundRobin) => Balance::RoundRobin,
            Some(SimpleBalancer::Random) => Balance::Random,
            _ => Balance::LeastRequest,
        };
        self.apply_pool(cluster);
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
