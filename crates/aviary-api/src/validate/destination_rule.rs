//! Rules of `DestinationRule`.

use std::collections::BTreeSet;

use super::Findings;
use crate::destination_rule::{
    ConnectionPool, DestinationRule, LoadBalancer, OutlierDetection, TrafficPolicy,
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

struct Sections<'a> {
    balancer: Option<&'a LoadBalancer>,
    pool: Option<&'a ConnectionPool>,
    outlier: Option<&'a OutlierDetection>,
}

fn check_sections(path: &str, sections: &Sections<'_>, found: &mut Findings) {
    if let Some(balancer) = sections.balancer
        && balancer.simple == Some(crate::destination_rule::SimpleBalancer::Passthrough)
    {
        found.add(
            format!("{path}.loadBalancer.simple"),
            "`PASSTHROUGH` is not honoured yet by Aviary; use `LEAST_REQUEST`, `ROUND_ROBIN` or `RANDOM`",
        );
    }
    if let Some(pool) = sections.pool {
        let path = format!("{path}.connectionPool");
        if let Some(tcp) = &pool.tcp {
            found.duration(
                &format!("{path}.tcp.connectTimeout"),
                tcp.connect_timeout.as_deref(),
                false,
            );
        }
        if let Some(http) = &pool.http {
            found.duration(
                &format!("{path}.http.idleTimeout"),
                http.idle_timeout.as_deref(),
                false,
            );
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
