//! Which pods go first when a ReplicaSet has too many.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::object::{annotation, created, name};
use crate::pod;

/// The pods in order of deletion.
///
/// First pods without a node, then by phase, not ready, not yet available, lower deletion cost, crowded on a node,
/// ready for a shorter time, restarted more often, younger. Times are compared by magnitude, so
/// that pods of about the same age are not always replaced in order of age.
/// Source: the documented ranking of Kubernetes' ReplicaSet controller, which does not look at
/// availability; without it a rollout that is overtaken by another can lose its last available pod.
pub(super) fn first_to_go<'a>(
    pods: &[&'a Pod],
    min_ready_seconds: i32,
    now: Timestamp,
) -> Vec<&'a Pod> {
    let mut crowd: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in pods {
        *crowd.entry(pod::node(pod).unwrap_or_default()).or_default() += 1;
    }
    let mut order = pods.to_vec();
    order.sort_by_cached_key(|pod| {
        (
            pod::node(pod).is_some(),
            phase_rank(pod::phase(pod)),
            pod::is_ready(pod),
            pod::is_available(pod, min_ready_seconds, now),
            deletion_cost(pod),
            Reverse(crowd.get(pod::node(pod).unwrap_or_default()).copied()),
            pod::ready_since(pod).map(|since| magnitude(since, now)),
            Reverse(restarts(pod)),
            magnitude(created(&pod.metadata), now),
            name(&pod.metadata).to_owned(),
        )
    });
    order
}

fn phase_rank(phase: &str) -> u8 {
    match phase {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}

fn deletion_cost(pod: &Pod) -> i64 {
    annotation(&pod.metadata, "controller.kubernetes.io/pod-deletion-cost")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// Bits needed for the seconds that have passed.
fn magnitude(since: Timestamp, now: Timestamp) -> u32 {
    let seconds = u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0);
    u64::BITS - seconds.leading_zeros()
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    statuses
        .into_iter()
        .flatten()
        .map(|status| status.restart_count)
        .max()
        .unwrap_or(0)
}
