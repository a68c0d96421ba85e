//! Rules of `DestinationRule`.

use std::collections::BTreeSet;

use super::Findings;
use crate::destination_rule::{
    ConnectionPool, ConsistentHash, DestinationRule, LoadBalancer, OutlierDetection,
    SimpleBalancer, TrafficPolicy,
};

/// Adds what is wrong with the specification.
pub(super) fn check(object: &DestinationRule, found: &mut Findings) {
    let spec = &object.spec;
    found.host("spec.host", &spec.host);
    if let Some(policy) = &spec.traffic_policy {
        check_policy("spec.trafficPolicy", policy, found);
    }
    let mut seen = BTreeSet::new();
    for (i, subset) in spec.subsets.iter().enumerate() {
        let path = format!("spec.subsets[{i}]");
        if subset.name.is_empty() {
            found.add(format!("{path}.name"), "is empty; name the subset");
        } else if !super::is_label(&subset.name) {
            found.add(
                format!("{path}.name"),
                format!(
                    "`{}` is not a subset name; use letters, digits and `-`",
                    subset.name
                ),
            );
        } else if !seen.insert(&subset.name) {
            found.add(
                format!("{path}.name"),
                format!("`{}` is here twice; rename one", subset.name),
            );
        }
        if spec.host.starts_with('*') {
            found.add(
                &path,
                format!(
                    "subsets of the wildcard host `{}` are not possible",
                    spec.host
                ),
            );
        }
        if let Some(policy) = &subset.traffic_policy {
            check_policy(&format!("{path}.trafficPolicy"), policy, found);
        }
    }
}

fn check_policy(path: &str, policy: &TrafficPolicy, found: &mut Findings) {
    let sections = Sections {
        balancer: policy.load_balancer.as_ref(),
        pool: policy.connection_pool.as_ref(),
        outlier: policy.outlier_detection.as_ref(),
    };
    check_sections(path, &sections, found);
    let mut seen = BTreeSet::new();
    for (i, port) in policy.port_level_settings.iter().enumerate() {
        let path = format!("{path}.portLevelSettings[{i}]");
        found.port(&format!("{path}.port.number"), port.port.number);
        if !seen.insert(port.port.number) {
            found.add(
                &path,
                format!("port {} is here twice; remove one", port.port.number),
            );
        }
        let sections = Sections {
            balancer: port.load_balancer.as_ref(),
            pool: port.connection_pool.as_ref(),
            outlier: port.outlier_detection.as_ref(),
        };
        check_sections(&path, &sections, found);
    }
}

fn check_balancer(path: &str, balancer: &LoadBalancer, found: &mut Findings) {
    if let Some(warmup) = &balancer.warmup {
        let path = format!("{path}.warmup");
        if warmup.duration.is_none() {
            found.add(
                format!("{path}.duration"),
                "is missing; say how long, such as `30s`",
            );
        }
        found.duration(
            &format!("{path}.duration"),
            warmup.duration.as_deref(),
            false,
        );
        if let Some(percent) = warmup.minimum_percent {
            found.percent(&format!("{path}.minimumPercent"), percent);
        }
        if warmup
            .aggression
            .is_some_and(|value| !(1.0..=f64::MAX).contains(&value))
        {
            found.add(format!("{path}.aggression"), "must be at least 1");
        }
        if balancer.consistent_hash.is_some() || balancer.simple == Some(SimpleBalancer::Random) {
            found.add(path, "has no effect with this balancer; remove it, or use `ROUND_ROBIN` or `LEAST_REQUEST`");
        }
    }
    let Some(hash) = &balancer.consistent_hash else {
        return;
    };
    if balancer
        .simple
        .is_some_and(|simple| simple != SimpleBalancer::Unspecified)
    {
        found.add(
            format!("{path}.simple"),
            "cannot stand beside `consistentHash`; keep one",
        );
    }
    check_hash(&format!("{path}.consistentHash"), hash, found);
}

/// Most places on a ring and in a table. Source: Envoy's bounds.
const LARGEST_RING: u64 = 8 << 20;
const LARGEST_TABLE: u64 = 5_000_011;

fn check_hash(path: &str, hash: &ConsistentHash, found: &mut Findings) {
    let keys = [
        !hash.http_header_name.is_empty(),
        hash.http_cookie.is_some(),
        hash.use_source_ip,
        !hash.http_query_parameter_name.is_empty(),
    ];
    if keys.iter().filter(|set| **set).count() != 1 {
        found.add(
            path,
            "needs one of `httpHeaderName`, `httpCookie`, `useSourceIp` and `httpQueryParameterName`",
        );
    }
    if let Some(cookie) = &hash.http_cookie {
        let path = format!("{path}.httpCookie");
        if cookie.name.is_empty() {
            found.add(format!("{path}.name"), "is empty; name the cookie");
        }
        found.seconds(&format!("{path}.ttl"), cookie.ttl.as_deref());
    }
    if hash.ring_hash.is_some() && hash.maglev.is_some() {
        found.add(
            format!("{path}.maglev"),
            "cannot stand beside `ringHash`; keep one",
        );
    }
    let ring = hash
        .ring_hash
        .as_ref()
        .map_or(0, |ring| ring.minimum_ring_size);
    if ring.max(hash.minimum_ring_size) > LARGEST_RING {
        found.add(path, format!("a ring has at most {LARGEST_RING} places"));
    }
    let table = hash.maglev.as_ref().map_or(0, |maglev| maglev.table_size);
    let is_prime = table > 1 && (2..=table.isqrt()).all(|it| !table.is_multiple_of(it));
    if table != 0 && (table > LARGEST_TABLE || !is_prime) {
        let reason = format!("{table} is not a prime number up to {LARGEST_TABLE}");
        found.add(format!("{path}.maglev.tableSize"), reason);
    }
}

struct Sections<'a> {
    balancer: Option<&'a LoadBalancer>,
    pool: Option<&'a ConnectionPool>,
    outlier: Option<&'a OutlierDetection>,
}

fn check_sections(path: &str, sections: &Sections<'_>, found: &mut Findings) {
    if let Some(balancer) = sections.balancer
        && balancer.simple == Some(SimpleBalancer::Passthrough)
    {
        found.add(
            format!("{path}.loadBalancer.simple"),
            "`PASSTHROUGH` is not honoured yet by Aviary; use `LEAST_REQUEST`, `ROUND_ROBIN` or `RANDOM`",
        );
    }
    if let Some(balancer) = sections.balancer {
        check_balancer(&format!("{path}.loadBalancer"), balancer, found);
    }
    if let Some(pool) = sections.pool {
        let path = format!("{path}.connectionPool");
        if let Some(tcp) = &pool.tcp {
            found.duration(
                &format!("{path}.tcp.connectTimeout"),
                tcp.connect_timeout.as_deref(),
                false,
            );
            let age = format!("{path}.tcp.maxConnectionDuration");
            found.duration(&age, tcp.max_connection_duration.as_deref(), false);
            if let Some(keepalive) = &tcp.tcp_keepalive {
                let path = format!("{path}.tcp.tcpKeepalive");
                found.seconds(&format!("{path}.time"), keepalive.time.as_deref());
                found.seconds(&format!("{path}.interval"), keepalive.interval.as_deref());
            }
        }
        if let Some(http) = &pool.http {
            found.duration(
                &format!("{path}.http.idleTimeout"),
                http.idle_timeout.as_deref(),
                false,
            );
            if http.use_client_protocol && http.h2_upgrade_policy == "UPGRADE" {
                found.add(
                    format!("{path}.http.useClientProtocol"),
                    "cannot stand beside `h2UpgradePolicy: UPGRADE`; keep one",
                );
            }
        }
    }
    if let Some(outlier) = sections.outlier {
        let path = format!("{path}.outlierDetection");
        found.duration(
            &format!("{path}.interval"),
            outlier.interval.as_deref(),
            false,
        );
        found.duration(
            &format!("{path}.baseEjectionTime"),
            outlier.base_ejection_time.as_deref(),
            false,
        );
        let shares = [
            ("maxEjectionPercent", outlier.max_ejection_percent),
            ("minHealthPercent", outlier.min_health_percent),
        ];
        for (name, share) in shares {
            found.percent(&format!("{path}.{name}"), f64::from(share));
        }
    }
}
