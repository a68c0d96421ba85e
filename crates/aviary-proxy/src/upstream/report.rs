//! Clusters as the admin pages show them.

use std::fmt::Write as _;

use aviary_mesh::circuit::Resource;
use aviary_mesh::endpoint::Health;

use super::Upstream;

/// One cluster in the text form of Envoy's `/clusters`.
pub(crate) fn text(upstream: &Upstream) -> String {
    let mut text = String::new();
    let name = upstream.name();
    let usage = upstream.usage.borrow();
    let counters = &upstream.counters;
    for (what, value) in [
        ("cx_active", u64::from(usage.in_use(Resource::Connection))),
        ("rq_active", u64::from(usage.in_use(Resource::Request))),
        (
            "rq_pending_active",
            u64::from(usage.in_use(Resource::Pending)),
        ),
        ("rq_total", counters.requests.get()),
        ("rq_retry", counters.retries.get()),
        ("overflow", counters.overflows.get()),
        ("cx_total", counters.connects.get()),
        ("cx_connect_fail", counters.connect_failures.get()),
        ("ejections", counters.ejections.get()),
    ] {
        let _ = writeln!(text, "{name}::{what}::{value}");
    }
    let ejector = upstream.ejector.borrow();
    for slot in upstream.slots.borrow().iter() {
        let endpoint = &slot.endpoint;
        let at = format!("{name}::{}", endpoint.address);
        let health = match endpoint.health {
            _ if ejector.is_ejected(endpoint.address) => "/failed_outlier_check",
            Health::Healthy => "healthy",
            Health::Draining => "/eds_status_draining",
            Health::Unhealthy => "/failed_eds_health",
        };
        let _ = writeln!(text, "{at}::cx_active::{}", slot.host.connections());
        let _ = writeln!(text, "{at}::rq_active::{}", slot.host.active());
        let _ = writeln!(text, "{at}::health_flags::{health}");
        let _ = writeln!(text, "{at}::weight::{}", endpoint.weight);
    }
    text
}

/// One cluster's counters in the form of Envoy's `/stats`.
pub(crate) fn stats(upstream: &Upstream) -> String {
    let mut text = String::new();
    let name = upstream.name();
    let counters = &upstream.counters;
    for (what, value) in [
        ("upstream_cx_connect_fail", counters.connect_failures.get()),
        ("upstream_cx_total", counters.connects.get()),
        ("upstream_rq_pending_overflow", counters.overflows.get()),
        ("upstream_rq_retry", counters.retries.get()),
        ("upstream_rq_total", counters.requests.get()),
    ] {
        let _ = writeln!(text, "cluster.{name}.{what}: {value}");
    }
    text
}
